"""The families, held to Hugging Face's classes of the same weights, and their parts to torch's."""

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.models.llama.modeling_llama import LlamaMLP

from tutor.families import (
    FamilyModel,
    bart,
    bert,
    corrupt_spans,
    gpt2,
    llama,
    mask_tokens,
    renamed,
    rms_norm,
    roberta,
    sample,
    shift_for_next_token,
    swiglu,
    t5,
)

V, LENGTH, PAD = 41, 24, 1
B, T, TARGET = 3, 9, 6
LENGTHS = torch.tensor([9, 5, 1])


# The parts


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rms_norm_is_torchs(dtype):
    x, weight = torch.randn(2, 3, 7, dtype=dtype), torch.randn(7, dtype=dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    for scale, eps in ((1.0, 1e-6), (1e-4, 1e-5), (1e4, 1e-5)):
        wanted = F.rms_norm(scale * x, (7,), weight, eps)
        torch.testing.assert_close(
            rms_norm(scale * x, weight, eps), wanted, rtol=tolerance, atol=tolerance
        )


def test_rms_norm_of_large_half_precision_does_not_overflow():
    x = torch.full((2, 8), 1000.0, dtype=torch.float16)
    assert torch.equal(rms_norm(x, torch.ones(8, dtype=torch.float16)), torch.ones_like(x))


def test_weights_of_another_width_are_refused_by_rms_norm():
    with pytest.raises(ValueError, match=r"x \(2, 7\), weight \(6,\)"):
        rms_norm(torch.ones(2, 7), torch.ones(6))


def test_swiglu_is_llamas_feed_forward():
    layer = LlamaMLP(
        LlamaConfig(hidden_size=6, num_attention_heads=2, intermediate_size=10)
    ).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    weights = (layer.gate_proj.weight.mT, layer.up_proj.weight.mT, layer.down_proj.weight.mT)
    torch.testing.assert_close(swiglu(x, *weights), layer(x), rtol=0, atol=1e-12)


def test_parameters_that_do_not_fit_are_refused_by_swiglu():
    x, gate, out = torch.ones(2, 6), torch.ones(6, 10), torch.ones(10, 6)
    with pytest.raises(ValueError, match=r"w_gate \(6, 10\), w_in \(6, 9\)"):
        swiglu(x, gate, torch.ones(6, 9), out)
    with pytest.raises(ValueError, match=r"w_out \(9, 6\)"):
        swiglu(x, gate, gate, torch.ones(9, 6))


# The families


def _sizes(heads, **more):
    return {
        "vocabulary": V,
        "max_length": LENGTH,
        "width": 6 * heads,
        "num_heads": heads,
        "hidden_width": 20,
        **more,
    }


def _theirs(heads, **more):
    return {
        "vocab_size": V,
        "hidden_size": 6 * heads,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "intermediate_size": 20,
        "max_position_embeddings": LENGTH,
        "pad_token_id": PAD,
        "bos_token_id": 0,
        "eos_token_id": 2,
        **more,
    }


def _bert(heads, tied):
    config = BertConfig(**_theirs(heads, tie_word_embeddings=tied))
    return BertForMaskedLM(config), bert(num_encoder_layers=2, tied=tied, **_sizes(heads))


def _roberta(heads, tied):
    given = _theirs(heads, tie_word_embeddings=tied, type_vocab_size=1, layer_norm_eps=1e-5)
    config = RobertaConfig(**(given | {"max_position_embeddings": LENGTH + 2}))
    return RobertaForMaskedLM(config), roberta(num_encoder_layers=2, tied=tied, **_sizes(heads))


def _gpt2(heads, tied):
    config = GPT2Config(
        vocab_size=V,
        n_positions=LENGTH,
        n_embd=6 * heads,
        n_layer=2,
        n_head=heads,
        n_inner=20,
        bos_token_id=0,
        eos_token_id=2,
        tie_word_embeddings=tied,
    )
    return GPT2LMHeadModel(config), gpt2(num_decoder_layers=2, tied=tied, **_sizes(heads))


def _llama(heads, tied, groups):
    given = _theirs(heads, tie_word_embeddings=tied, num_key_value_heads=groups, rms_norm_eps=1e-6)
    ours = llama(num_decoder_layers=2, num_kv_heads=groups, tied=tied, **_sizes(heads))
    return LlamaForCausalLM(LlamaConfig(**given)), ours


def _t5(heads, tied, gated=False):
    config = T5Config(
        vocab_size=V,
        d_model=6 * heads,
        d_kv=6,
        d_ff=20,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=heads,
        pad_token_id=PAD,
        decoder_start_token_id=0,
        tie_word_embeddings=tied,
        feed_forward_proj="gated-gelu" if gated else "relu",
    )
    bend = functools.partial(F.gelu, approximate="tanh") if gated else torch.relu
    stacks = {"num_encoder_layers": 2, "num_decoder_layers": 3}
    ours = t5(tied=tied, gated=gated, activation=bend, **stacks, **_sizes(heads))
    return T5ForConditionalGeneration(config), ours


def _bart(heads, tied, scaled=False):
    config = BartConfig(
        vocab_size=V,
        d_model=6 * heads,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=20,
        decoder_ffn_dim=20,
        max_position_embeddings=LENGTH,
        pad_token_id=PAD,
        bos_token_id=0,
        eos_token_id=2,
        scale_embedding=scaled,
        tie_word_embeddings=tied,
    )
    stacks = {"num_encoder_layers": 2, "num_decoder_layers": 3}
    ours = bart(tied=tied, scaled_embedding=scaled, **stacks, **_sizes(heads))
    return BartForConditionalGeneration(config), ours


FAMILIES = {
    "BERT": (_bert, 3, True),
    "BERT, four heads, untied": (_bert, 4, False),
    "RoBERTa": (_roberta, 3, True),
    "RoBERTa, untied": (_roberta, 5, False),
    "GPT-2": (_gpt2, 3, True),
    "GPT-2, untied": (_gpt2, 2, False),
    "LLaMA": (_llama, 3, False, 3),
    "LLaMA, tied, one key head": (_llama, 3, True, 1),
    "LLaMA, two key heads of six": (_llama, 6, False, 2),
    "T5": (_t5, 3, True),
    "T5 1.1": (_t5, 3, False, True),
    "BART": (_bart, 3, True),
    "BART, scaled": (_bart, 4, True, True),
}
IN_SINGLE = ("LLaMA", "T5")
"""Their norms, and LLaMA's rotation, compute in single precision there, whatever comes in."""


@functools.cache
def _pair(name):
    """Their model with weights far from their beginning, and ours with the same."""
    make, *given = FAMILIES[name]
    theirs, config = make(*given)
    draw = torch.Generator().manual_seed(len(name))
    theirs = theirs.double().eval().requires_grad_(False)
    for parameter in theirs.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    ours = FamilyModel(config).double().eval()
    ours.load_state_dict(renamed(theirs.state_dict(), config), strict=True)
    return theirs, ours


def _tokens(seed=0):
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, V, (B, T), generator=draw)
    real = torch.arange(T) < LENGTHS[:, None]
    return tokens.masked_fill(~real, PAD), real, torch.randint(3, V, (B, TARGET), generator=draw)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", FAMILIES)
def test_family_gives_the_logits_of_hugging_faces_class(name, dtype):
    theirs, ours = (model.to(dtype) for model in _pair(name))
    tokens, real, target = _tokens()
    given = {"input_ids": tokens, "attention_mask": real.long()}
    with torch.no_grad():
        if ours.config.num_encoder_layers and ours.config.num_decoder_layers:
            wanted = theirs(**given, decoder_input_ids=target).logits
            got = ours(tokens, LENGTHS, target)
        else:
            wanted, got = theirs(**given).logits[real], ours(tokens, LENGTHS)[real]
    for model in (theirs, ours):
        model.double()
    exact = dtype == torch.float64 and not name.startswith(IN_SINGLE)
    tolerance = 1e-10 if exact else 1e-5
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["GPT-2", "LLaMA", "T5", "BART"])
def test_what_is_written_does_not_read_what_comes_later(name):
    _, ours = _pair(name)
    tokens, _, target = _tokens()
    both = ours.config.num_encoder_layers
    written = target if both else tokens[:1].expand(B, -1)
    later = written.clone()
    later[:, 4:] = 7
    source = (tokens, LENGTHS) if both else ()
    with torch.no_grad():
        a, b = (ours(*source, target=w) if both else ours(w) for w in (written, later))
    torch.testing.assert_close(a[:, :4], b[:, :4], rtol=0, atol=1e-12)
    assert (a[:, 4:] - b[:, 4:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["BERT", "RoBERTa"])
def test_what_is_masked_is_read_from_both_sides(name):
    _, ours = _pair(name)
    tokens = _tokens()[0][:1]
    with torch.no_grad():
        before = ours(tokens)
        for place in (0, T - 1):
            other = tokens.clone()
            other[0, place] = 7 if tokens[0, place] != 7 else 8
            assert (ours(other) - before)[0, 4].abs().max() > 1e-4


def test_second_sentence_of_a_pair_has_another_segment():
    theirs, ours = _pair("BERT")
    tokens = _tokens()[0][:1]
    segments = (torch.arange(T) > 4)[None].long()
    with torch.no_grad():
        wanted = theirs(input_ids=tokens, token_type_ids=segments).logits
        got = ours(tokens, segments=segments)
        assert (got - ours(tokens)).abs().max() > 1e-3
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


def test_base_models_have_as_many_parameters_as_published():
    """Hugging Face's defaults; counted on no memory."""
    pairs = [
        (bert(), BertForMaskedLM, BertConfig()),
        (gpt2(), GPT2LMHeadModel, GPT2Config()),
        (llama(), LlamaForCausalLM, LlamaConfig()),
        (t5(), T5ForConditionalGeneration, T5Config()),
        (bart(), BartForConditionalGeneration, BartConfig()),
    ]
    for config, theirs, sizes in pairs:
        with torch.device("meta"):
            ours = sum(p.numel() for p in FamilyModel(config).parameters())
            wanted = sum(p.numel() for p in theirs(sizes).parameters())
        biases = config.vocabulary if config.name == "BART" else 0  # there a buffer
        assert ours == wanted + biases, config.name


def test_unknown_positions_and_a_missing_target_are_refused():
    with pytest.raises(ValueError, match=r"positions must be .*got 'alibi'"):
        gpt2(positions="alibi")
    with pytest.raises(ValueError, match="T5 has a decoder"):
        _pair("T5")[1](torch.ones(1, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="25 tokens; GPT-2 has 24 learned positions"):
        _pair("GPT-2")[1](torch.ones(1, 25, dtype=torch.int64))


# What they learn


def test_masked_tokens_in_bert_s_shares():
    """A large draw: 15 % are to be said, of which 80, 10 and 10 % are read as mask, other, same."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 1000, (40, 5000), generator=draw)
    special = torch.zeros_like(tokens, dtype=torch.bool)
    special[:, :10] = True
    chance, kind = torch.rand(2, *tokens.shape, generator=draw)
    substitute = torch.full_like(tokens, 2000)
    read, said = mask_tokens(tokens, special, chance, kind, substitute, mask_id=4)
    chosen = said != -100
    assert not chosen[:, :10].any()
    assert torch.equal(said[chosen], tokens[chosen])
    assert torch.equal(read[~chosen], tokens[~chosen])
    assert chosen[:, 10:].double().mean() == pytest.approx(0.15, abs=0.005)
    kinds = [(read == 4), (read == 2000), (read == tokens)]
    for where, share in zip(kinds, (0.8, 0.1, 0.1), strict=True):
        assert where[chosen].double().mean() == pytest.approx(share, abs=0.01)


def test_mask_tokens_by_hand():
    tokens = torch.tensor([0, 11, 12, 13, 14, 0])
    special = tokens == 0
    chance = torch.tensor([0.0, 0.1, 0.14, 0.15, 0.0, 0.0])
    kind = torch.tensor([0.0, 0.79, 0.8, 0.0, 0.9, 0.0])
    read, said = mask_tokens(tokens, special, chance, kind, torch.full((6,), 99), mask_id=3)
    assert read.tolist() == [0, 3, 99, 13, 14, 0]
    assert said.tolist() == [-100, 11, 12, -100, 14, -100]


def test_shapes_that_differ_are_refused_by_mask_tokens():
    tokens, drawn = torch.zeros(6, dtype=torch.int64), torch.zeros(6)
    with pytest.raises(ValueError, match=r"one shape, got \(6,\), \(5,\)"):
        mask_tokens(tokens, torch.zeros(5, dtype=torch.bool), drawn, drawn, tokens, mask_id=3)


def test_shifted_loss_is_the_one_that_gpt2_computes():
    theirs, ours = _pair("GPT-2")
    tokens, real, _ = _tokens()
    labels = tokens.masked_fill(~real, -100)
    with torch.no_grad():
        wanted = theirs(input_ids=tokens, attention_mask=real.long(), labels=labels).loss
        read, said = shift_for_next_token(tokens, LENGTHS)
        got = F.cross_entropy(ours(read).flatten(0, 1), said.flatten())
    assert got.item() == pytest.approx(wanted.item(), abs=1e-5)
    assert said[2].tolist() == [-100] * (T - 1)  # one token has nothing to say


def test_lengths_of_other_rows_are_refused_by_the_shift():
    with pytest.raises(ValueError, match=r"\(3, 9\) and \(2,\)"):
        shift_for_next_token(_tokens()[0], LENGTHS[:2])
    for shape in ((3,), (3, 2, 2)):
        with pytest.raises(ValueError, match=r"tokens \(B, T\)"):
            shift_for_next_token(torch.zeros(shape, dtype=torch.int64), torch.ones(3))


def test_spans_as_in_the_paper_s_figure():
    """Raffel et al. 2020, figure 2: "Thank you <X> me to your party <Y> week." """
    text = "Thank you for inviting me to your party last week ."
    source, target = corrupt_spans(list(range(11)), [(2, 4), (8, 9)], first_sentinel=99)
    told = {99: "<X>", 98: "<Y>", 97: "<Z>"} | dict(enumerate(text.split()))
    assert " ".join(told[i] for i in source) == "Thank you <X> me to your party <Y> week ."
    assert " ".join(told[i] for i in target) == "<X> for inviting <Y> last <Z>"


@given(st.data())
def test_spans_put_back_give_the_text(data):
    tokens = list(range(data.draw(st.integers(0, 20))))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(tokens)), max_size=8)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    source, target = corrupt_spans(tokens, spans, first_sentinel=999)
    pieces = {}
    for token in target:
        if token > 900:
            pieces[token] = current = []
        else:
            current.append(token)
    back = [t for token in source for t in (pieces[token] if token > 900 else [token])]
    assert back == tokens
    assert pieces[999 - len(spans)] == []


@pytest.mark.parametrize(
    "spans", [[(2, 2)], [(3, 5), (4, 6)], [(0, 2), (2, 3)], [(5, 9)], [(-1, 2)]]
)
def test_spans_that_do_not_fit_are_refused(spans):
    with pytest.raises(ValueError, match="spans must be in order"):
        corrupt_spans(list(range(8)), spans, 99)


# How they write


CUTS = [(1.0, None, None), (0.7, None, None), (1.0, 3, None), (1.0, None, 0.6), (1.3, 5, 0.8)]


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), CUTS)
def test_sample_draws_as_hugging_faces_warpers_leave_it(temperature, top_k, top_p):
    draw = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(11, generator=draw, dtype=torch.float64)
    left = logits[None] / temperature
    if top_k:
        left = TopKLogitsWarper(top_k)(None, left)
    if top_p:
        left = TopPLogitsWarper(top_p)(None, left)
    wanted = left[0].softmax(-1)
    chance = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    drawn = sample(logits.expand(20_000, -1), chance, temperature, top_k, top_p)
    got = drawn.bincount(minlength=11) / 20_000
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=1e-4)
    assert torch.equal(drawn, drawn.sort().values)  # in the order of the vocabulary


def test_sample_without_temperature_is_greedy_and_top_p_keeps_one():
    logits = torch.tensor([[0.1, 2.0, 1.0], [5.0, 1.0, 2.0]])
    high = torch.tensor([0.99, 0.99])
    assert sample(logits, high, temperature=0.0).tolist() == [1, 0]
    assert sample(logits, high, top_k=1).tolist() == [1, 0]
    assert sample(logits, high, top_p=1e-6).tolist() == [1, 0]


def test_sample_never_falls_off_the_end():
    logits = torch.full((4, 7), -3.0)
    logits[:, 5:] = -torch.inf
    assert sample(logits, torch.tensor([0.0, 0.5, 0.999, 1.0])).max() == 4


@pytest.mark.parametrize("cut", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_cuts_out_of_range_are_refused(cut):
    with pytest.raises(ValueError, match=f"{next(iter(cut))} must"):
        sample(torch.zeros(3), torch.tensor(0.5), **cut)


def test_embedding_is_one_for_all_stacks():
    model = FamilyModel(bart(num_encoder_layers=1, num_decoder_layers=1, **_sizes(2)))
    assert model.encoder_embedding.token is model.decoder_embedding.token
    assert model.readout.weight is model.encoder_embedding.token.weight
    assert isinstance(model.encoder.norm, nn.Identity)
