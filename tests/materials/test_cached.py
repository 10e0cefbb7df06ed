"""Chapter 8's models with chapter 9's caches in them: held to the same models without, and to
Hugging Face's classes."""

import copy
import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tutor.attention import scaled_dot_product_attention
from tutor.families import FamilyModel, bart, gpt2, llama, renamed, t5
from tutor.kv_cache import decode_flops, generate, kv_cache_bytes
from tutor.materials.cached import CachedModel, stored_for_decoding

V, LENGTH = 41, 40
LENGTHS = torch.tensor([9, 5, 1])
SIZES = {"vocabulary": V, "max_length": LENGTH, "hidden_width": 20}
STACKS = {"num_encoder_layers": 2, "num_decoder_layers": 3}
CONFIGS = {
    "GPT-2": gpt2(num_decoder_layers=3, width=18, num_heads=3, **SIZES),
    "LLaMA": llama(num_decoder_layers=3, width=18, num_heads=3, **SIZES),
    "LLaMA, grouped": llama(num_decoder_layers=3, width=36, num_heads=6, num_kv_heads=2, **SIZES),
    "LLaMA, one key head": llama(
        num_decoder_layers=2, width=18, num_heads=3, num_kv_heads=1, **SIZES
    ),
    "T5": t5(width=18, num_heads=3, num_buckets=8, max_distance=20, **STACKS, **SIZES),
    "BART": bart(width=18, num_heads=3, **STACKS, **SIZES),
}
BOTH = ("T5", "BART")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@functools.cache
def _model(name):
    """Random weights, far from those that a model begins with."""
    draw = torch.Generator().manual_seed(len(name))
    model = FamilyModel(CONFIGS[name]).double().eval().requires_grad_(False)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
        parameter += (0.15 if parameter.ndim > 1 else 0.1) * noise
    return model


def _tokens(*shape, seed=0):
    return torch.randint(3, V, shape, generator=torch.Generator().manual_seed(seed))


def _source(name):
    """What a model with an encoder reads: three texts of unequal lengths, with padding."""
    if name not in BOTH:
        return {}
    return {"source": _tokens(3, 9, seed=7), "lengths": LENGTHS}


def _uncached(name, written):
    model = _model(name)
    if name not in BOTH:
        return model(written)
    source = _source(name)
    return model(source["source"], source["lengths"], written)


@pytest.fixture(params=[torch.float64, torch.float32], ids=["double", "single"])
def dtype(request):
    yield request.param
    for name in CONFIGS:
        _model(name).double()


@pytest.mark.parametrize("name", CONFIGS)
def test_cached_logits_are_those_without_a_cache_at_every_step(name, dtype):
    written = _tokens(3, 14)
    model, rows = _model(name).to(dtype), torch.arange(3)
    wanted = _uncached(name, written)
    cached = CachedModel(model, LENGTH, **_source(name))
    got = [cached.read(written[:, :5], rows)]
    got += [cached.read(token, rows) for token in written[:, 5:].split(1, 1)]
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(torch.cat(got, 1), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_logits_do_not_depend_on_the_chunks(name, chunks):
    written = _tokens(3, sum(chunks))
    cached = CachedModel(_model(name), LENGTH, **_source(name))
    got = [cached.read(piece, torch.arange(3)) for piece in written.split(chunks, 1)]
    wanted = _uncached(name, written)
    torch.testing.assert_close(torch.cat(got, 1), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CONFIGS)
def test_prompts_of_unequal_lengths_are_written_on_as_each_alone(name, dtype):
    """Read one by one, and then together; the empty places that this leaves are not read."""
    model, lengths = _model(name).to(dtype), (7, 2, 4)
    texts = [_tokens(n + 5, seed=n) for n in lengths]
    cached = CachedModel(model, LENGTH, **_source(name))
    for b, (text, n) in enumerate(zip(texts, lengths, strict=True)):
        for piece in text[:n].split(3):
            cached.read(piece[None], torch.tensor([b]))
    newest = torch.stack([t[n:] for t, n in zip(texts, lengths, strict=True)])
    got = torch.cat(
        [cached.read(token, torch.arange(3)) for token in newest.split([1, 3, 1], 1)], 1
    )
    tolerance = TOLERANCE[dtype]
    for b, (text, n) in enumerate(zip(texts, lengths, strict=True)):
        wanted = _uncached(name, text.expand(3, -1))[b, n:]
        torch.testing.assert_close(got[b], wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("theirs", ["GPT-2", "LLaMA"])
def test_padded_prompts_give_the_logits_of_hugging_faces_class(side, theirs):
    """There padding is hidden by a mask, and here it never comes in."""
    model, config = _hugging_faces(theirs)
    ours = FamilyModel(config).double().eval()
    ours.load_state_dict(renamed(model.state_dict(), config))
    lengths = (6, 2, 4)
    prompts = [_tokens(n, seed=n) for n in lengths]
    real = torch.stack([torch.arange(6) < n for n in lengths])
    real = real.flip(1) if side == "left" else real
    padded = torch.zeros(3, 6, dtype=torch.int64)
    padded[real] = torch.cat(prompts)
    places = (real.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = model(padded, attention_mask=real.long(), position_ids=places).logits
    cached = CachedModel(ours, LENGTH)
    for b, (text, keep) in enumerate(zip(padded, real, strict=True)):
        got = cached.read(text[keep][None], torch.tensor([b]))[0]
        torch.testing.assert_close(got, logits[b, keep], rtol=1e-5, atol=1e-5)


def _hugging_faces(name):
    torch.manual_seed(5)
    if name == "GPT-2":
        sizes = {"n_positions": LENGTH, "n_embd": 18, "n_layer": 2, "n_head": 3, "n_inner": 20}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=V, **sizes, bos_token_id=0, eos_token_id=2))
        return model.double().eval(), gpt2(num_decoder_layers=2, width=18, num_heads=3, **SIZES)
    sizes = {"hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 6}
    more = {"num_key_value_heads": 2, "intermediate_size": 20, "max_position_embeddings": LENGTH}
    config = LlamaConfig(vocab_size=V, **sizes, **more, bos_token_id=0, eos_token_id=2)
    ours = llama(num_decoder_layers=2, width=36, num_heads=6, num_kv_heads=2, **SIZES)
    return LlamaForCausalLM(config).double().eval(), ours


@pytest.mark.parametrize("theirs", ["GPT-2", "LLaMA"])
def test_greedy_tokens_are_those_that_transformers_generates(theirs):
    model, config = _hugging_faces(theirs)
    for parameter in model.parameters():
        parameter.data *= 3
    ours = FamilyModel(config).double().eval()
    ours.load_state_dict(renamed(model.state_dict(), config))
    prompts = _tokens(3, 6)
    wanted = model.generate(
        prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=20, min_new_tokens=20,
        do_sample=False, pad_token_id=0, eos_token_id=None,
    )[:, 6:]  # fmt: skip
    never = torch.tensor([], dtype=torch.int64)
    got, lengths = generate(
        CachedModel(ours, LENGTH), list(prompts), torch.zeros(3, 20), never, temperature=0
    )
    assert torch.equal(got, wanted)
    assert lengths.tolist() == [20, 20, 20]
    assert len(wanted.unique()) > 3


def test_source_is_read_once():
    model = _model("BART")
    calls = []
    cached = CachedModel(model, LENGTH, **_source("BART"))
    hook = cached.model.encoder.register_forward_hook(lambda *_: calls.append(1))
    for token in _tokens(3, 4).split(1, 1):
        cached.read(token, torch.arange(3))
    hook.remove()
    assert not calls


def test_model_with_an_encoder_and_no_source_is_refused():
    with pytest.raises(ValueError, match="BART has an encoder"):
        CachedModel(_model("BART"), LENGTH)


def test_rows_of_one_window_that_have_read_more_and_less_are_refused():
    cached = CachedModel(_model("GPT-2"), LENGTH, window=4)
    for row, length in enumerate((3, 2)):
        cached.read(_tokens(1, length), torch.tensor([row]))
    with pytest.raises(ValueError, match=r"must have read as much: \[3, 2\]"):
        cached.read(_tokens(2, 1), torch.arange(2))


def _windowed(window):
    def attend(q, k, v, keep=None):
        behind = torch.arange(k.shape[-2] - q.shape[-2], k.shape[-2])[:, None]
        behind = behind - torch.arange(k.shape[-2])
        return scaled_dot_product_attention(q, k, v, keep & (behind < window))

    return attend


@pytest.mark.parametrize("window", [1, 3, 8, 30])
@pytest.mark.parametrize("name", ["GPT-2", "LLaMA, grouped"])
def test_rolling_cache_reads_the_window_and_nothing_else(name, window):
    model, written, rows = _model(name), _tokens(3, 20), torch.arange(3)
    config = replace(CONFIGS[name], attention=_windowed(window))
    whole = FamilyModel(config).double().eval()
    whole.load_state_dict(model.state_dict())
    for chunks in ([1] * 20, [7, 1, 1, 5, 6]):
        cached = CachedModel(model, LENGTH, window=window)
        got = torch.cat([cached.read(p, rows) for p in written.split(chunks, 1)], 1)
        torch.testing.assert_close(got, whole(written), rtol=1e-10, atol=1e-10)
    sizes = 3, model.config.width, model.config.num_heads, model.config.num_kv_heads or 3
    assert cached.nbytes == kv_cache_bytes(*sizes, window, 3, torch.float64)


def test_weights_are_shared_and_the_model_stays_as_it_was():
    model, written = _model("LLaMA, grouped"), _tokens(2, 6)
    before = model(written)
    cached = CachedModel(model, LENGTH)
    cached.read(written, torch.arange(2))
    assert torch.equal(model(written), before)
    mine = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in cached.model.parameters()} == mine


def test_stored_for_decoding_changes_the_memory_and_no_number():
    model = FamilyModel(CONFIGS["GPT-2"])
    before = {name: p.clone() for name, p in model.state_dict().items()}
    assert stored_for_decoding(model) is model
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert model.decoder.layers[0].linear1.weight.mT.is_contiguous()
    assert model.readout.weight is model.decoder_embedding.token.weight


class _Called(TorchDispatchMode):
    """Names of the operations that are done within it."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["GPT-2", "LLaMA, grouped", "T5"])
def test_model_stored_for_several_rows_says_the_same_and_takes_the_packed_matrices(name):
    model, rows, written = copy.deepcopy(_model(name)).float(), torch.arange(3), _tokens(3, 6)
    parts = [written[:, :4], *written[:, 4:].split(1, dim=1)]
    plain = CachedModel(model, LENGTH, **_source(name))
    wanted = [plain.read(part, rows) for part in parts]
    ties = len({p.data_ptr() for p in model.parameters()})
    assert stored_for_decoding(model, 3) is model
    assert len({p.data_ptr() for p in model.parameters()}) == ties
    stored = CachedModel(model, LENGTH, **_source(name))
    with _Called() as called:
        got = [stored.read(part, rows) for part in parts]
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    packed = sum("_linear_pointwise" in name for name in called.names)
    # In each of two steps, of each layer: what it asks, its answer, and the two of feed-forward.
    assert not torch.backends.mkldnn.is_available() or packed >= 2 * 4 * len(stored.layers)


def test_reset_forgets_what_the_rows_have_read():
    cached, written = CachedModel(_model("GPT-2"), LENGTH), _tokens(2, 6)
    first = cached.read(written, torch.arange(2))
    cached.reset()
    torch.testing.assert_close(cached.read(written, torch.arange(2)), first)


# What it costs


def _flops(function, *args, **kwargs):
    with FlopCounterMode(display=False) as counter:
        function(*args, **kwargs)
    return counter.get_total_flops()


def test_bytes_are_those_that_the_cache_takes():
    cached = CachedModel(_model("LLaMA, grouped"), 17)
    cached.read(_tokens(2, 5), torch.arange(2))
    assert cached.nbytes == kv_cache_bytes(3, 36, 6, 2, 17, 2, torch.float64)


@pytest.mark.parametrize("name", ["GPT-2", "LLaMA", "LLaMA, grouped"])
@pytest.mark.parametrize("past", [1, 8, 25])
def test_flops_are_those_that_torch_counts(name, past):
    model, written, rows = _model(name), _tokens(1, past + 1), torch.tensor([0])
    cached = CachedModel(model, LENGTH)
    cached.read(written[:, :past], rows)
    assert _flops(cached, written[:, past:], rows) == decode_flops(model.config, past)
    whole = _flops(lambda: model.scores(model.hidden(written)[:, -1]))
    assert whole == decode_flops(model.config, past, cached=False)
