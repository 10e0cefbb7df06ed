"""The assembled model against transformers' LLaMA, chapter 8's, and answers derived by hand."""

import math

import pytest
import torch
from gguf import GGMLQuantizationType, quants
from transformers import LlamaConfig, LlamaForCausalLM

from tutor.assembly import (
    BLOCK,
    SYSTEM,
    Assembled,
    chat_prompt,
    decoder_block,
    language_model,
    load_checkpoint,
    nine_of,
    pieces,
    stream,
)
from tutor.checks.table_model import TableModel
from tutor.position import convert_rope_layout
from tutor.tokens import bpe_decode, bpe_encode

L, C, F, H, G, D, V = 2, 24, 28, 6, 3, 4, 17
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture
def llama():
    torch.manual_seed(14)
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=C,
        intermediate_size=F,
        num_hidden_layers=L,
        num_attention_heads=H,
        num_key_value_heads=G,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).double().eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return model


def tensors(model):
    """By GGUF's names, with the rows of q and k for the paper's rotation."""
    found = {"token_embd.weight": model.model.embed_tokens.weight.detach()}
    for i, layer in enumerate(model.model.layers):
        of, feed = layer.self_attn, layer.mlp
        parts = (
            layer.input_layernorm,
            *(of.q_proj, of.k_proj, of.v_proj, of.o_proj),
            layer.post_attention_layernorm,
            *(feed.gate_proj, feed.up_proj, feed.down_proj),
        )
        for name, part in zip(BLOCK, parts, strict=True):
            weight = part.weight.detach()
            if name in ("attn_q", "attn_k"):
                heads = H if name == "attn_q" else G
                weight = convert_rope_layout(weight, heads, to="interleaved")
            found[f"blk.{i}.{name}.weight"] = weight
    found["output_norm.weight"] = model.model.norm.weight.detach()
    return found


def loaded(model):
    found = tensors(model)
    names = sorted(found, reverse=True)
    kinds = ["F32"] * len(names)
    embedding, blocks, norm = load_checkpoint(names, kinds, [found[n] for n in names], H, G)
    return [embedding, *(w for row in blocks for w in nine_of(row, C, H, G)), norm]


def nothing(batch=1):
    return torch.zeros(2, L, batch, G, 0, D, dtype=torch.float64)


def test_logits_are_those_of_transformers_llama_from_a_files_tensors(llama):
    ids = torch.randint(V, (3, 9))
    logits, keys, values = language_model(ids, loaded(llama), *nothing(3), H)
    wanted = llama(ids, use_cache=True)
    torch.testing.assert_close(logits, wanted.logits[:, -1], rtol=0, atol=1e-6)
    for i, layer in enumerate(wanted.past_key_values.layers):
        torch.testing.assert_close(keys[i], layer.keys, rtol=0, atol=1e-6)
        torch.testing.assert_close(values[i], layer.values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("lengths", [(9,), (1,) * 9, (4, 5), (6, 1, 2)])
def test_text_in_any_pieces_has_the_same_logits(llama, lengths):
    weights, ids = loaded(llama), torch.randint(V, (1, 9))
    wanted = language_model(ids, weights, *nothing(), H)[0]
    model = Assembled(weights, H, G, capacity=9)
    for part in ids.split(lengths, 1):
        logits = model(part, torch.tensor([0]))
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-10)
    assert model.cache.length == 9


def test_reset_forgets_and_without_it_the_last_chat_is_read(llama):
    weights, rows = loaded(llama), torch.tensor([0])
    ids = torch.randint(V, (1, 5))
    model = Assembled(weights, H, G, capacity=20)
    first = model(ids, rows)
    assert not torch.allclose(model(ids, rows), first)
    memory = model.cache.keys.data_ptr()
    model.reset()
    torch.testing.assert_close(model(ids, rows), first, rtol=0, atol=0)
    assert model.cache.keys.data_ptr() == memory


def zero_block():
    weights = [torch.ones(C), *(torch.zeros(C, n * D) for n in (H, G, G)), torch.zeros(H * D, C)]
    return [*weights, torch.ones(C), torch.zeros(C, F), torch.zeros(C, F), torch.zeros(F, C)]


def test_block_of_zeros_passes_everything_on():
    x, past = torch.randn(2, 5, C), torch.randn(2, G, 3, D)
    answer, k, v = decoder_block(x, zero_block(), past, past, H)
    assert torch.equal(answer, x) and k.shape == v.shape == (2, G, 5, D)


def test_blocks_that_do_not_fit_are_refused():
    x, past, weights = torch.randn(2, 5, C), torch.randn(2, G, 3, D), zero_block()
    assert decoder_block(x, weights, past, past, H)[0].shape == x.shape
    with pytest.raises(ValueError, match="9 weights, got 8"):
        decoder_block(x, weights[:-1], past, past, H)
    with pytest.raises(ValueError, match=r"3 key heads must divide num_heads \(4\)"):
        decoder_block(x, weights, past, past, 4)


def test_wrong_number_of_weights_is_refused(llama):
    with pytest.raises(ValueError, match="2 layers have 20 weights, got 19"):
        language_model(torch.tensor([[1]]), loaded(llama)[1:], *nothing(), H)


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_blocks_are_read_as_the_library_reads_them(kind):
    torch.manual_seed(1)
    encoding = GGMLQuantizationType[kind]
    shapes = [(32,), (64, 32), (32, 32), (32, 32), (32, 64), (32,), (96, 32), (96, 32), (32, 96)]
    names = [f"blk.0.{part}.weight" for part in BLOCK]
    names += ["token_embd.weight", "output_norm.weight"]
    shapes += [(10, 32), (32,)]
    kinds, data, wanted = [], [], {}
    for name, shape in zip(names, shapes, strict=True):
        x = torch.randn(shape)
        kinds.append("F32" if len(shape) == 1 else kind)
        if len(shape) == 2:
            stored = quants.quantize(x.numpy(), encoding)
            x = torch.from_numpy(quants.dequantize(stored, encoding))
            data.append(torch.from_numpy(stored))
        else:
            data.append(x)
        wanted[name] = x
    embedding, blocks, norm = load_checkpoint(names, kinds, data, 4, 2)
    sizes = [math.prod(shape) for shape in shapes[:9]]
    assert blocks.shape == (1, sum(sizes)) and blocks.dtype == torch.float32
    assert torch.equal(embedding, wanted["token_embd.weight"])
    assert torch.equal(norm, wanted["output_norm.weight"])
    for part, numbers in zip(BLOCK, blocks[0].split(sizes), strict=True):
        right = wanted[f"blk.0.{part}.weight"]
        if part in ("attn_q", "attn_k"):
            right = convert_rope_layout(right, 4 if part == "attn_q" else 2, to="half")
        assert torch.equal(numbers, right.mT.flatten() if right.ndim == 2 else right)


def test_rows_of_blocks_are_cut_up_without_a_copy(llama):
    found = tensors(llama)
    _, blocks, _ = load_checkpoint(list(found), ["F32"] * len(found), list(found.values()), H, G)
    for i, row in enumerate(blocks):
        nine = nine_of(row, C, H, G)
        assert [tuple(w.shape) for w in nine[1:5]] == [(C, 24), (C, 12), (C, 12), (24, C)]
        assert torch.equal(nine[-1], found[f"blk.{i}.ffn_down.weight"].mT)
        assert all(w.untyped_storage().data_ptr() == blocks.data_ptr() for w in nine)


def test_layers_stand_in_the_order_of_their_numbers():
    """blk.10 behind blk.9, and not behind blk.1; each norm has its layer's number."""
    shapes = [(2,), (2, 2), (2, 2), (2, 2), (2, 2), (2,), (1, 2), (1, 2), (2, 1)]
    names = [f"blk.{i}.{part}.weight" for i in range(11) for part in BLOCK]
    data = [torch.full(shape, float(i)) for i in range(11) for shape in shapes]
    names += ["token_embd.weight", "output_norm.weight"]
    data += [torch.zeros(3, 2), torch.zeros(2)]
    _, blocks, _ = load_checkpoint(names[::-1], ["F32"] * len(names), data[::-1], 1, 1)
    assert torch.equal(blocks, torch.arange(11.0)[:, None].expand(11, 26))


def test_files_that_do_not_fit_are_refused(llama):
    found = tensors(llama)

    def load(tensors, kind="F32"):
        return load_checkpoint(list(tensors), [kind] * len(tensors), list(tensors.values()), H, G)

    assert len(load(found)[1]) == L
    with pytest.raises(ValueError, match=r"no part of the model asks for output\.weight"):
        load(found | {"output.weight": torch.zeros(V, C)})
    with pytest.raises(ValueError, match=r"1 tensors are missing: blk\.1\.ffn_up\.weight"):
        load({n: t for n, t in found.items() if n != "blk.1.ffn_up.weight"})
    with pytest.raises(ValueError, match="9 tensors are missing"):
        load({n: t for n, t in found.items() if not n.startswith("blk.")})
    with pytest.raises(ValueError, match="kind 'Q6_K'"):
        load(found, "Q6_K")


def test_prompt_is_the_template_by_hand():
    ids = chat_prompt([("user", "Hi"), ("assistant", "Ho"), ("user", "3")], [], SPECIAL)
    told = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>user\n3<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert ids == bpe_encode(told, [], SPECIAL)
    own = chat_prompt([("system", "Rhyme."), ("user", "Hi")], [], SPECIAL)
    assert bpe_decode(own, [], SPECIAL).startswith(b"<|im_start|>system\nRhyme.<|im_end|>\n")


def test_control_tokens_in_a_question_are_text():
    ids = chat_prompt([("user", "<|im_end|>")], [], SPECIAL)
    assert ids.count(258) == 2 and ids.count(257) == 3
    assert bpe_decode(ids, [], SPECIAL).count(b"<|im_end|>") == 3


def test_conversations_that_are_none_are_refused():
    with pytest.raises(ValueError, match="at least one message"):
        chat_prompt([], [], SPECIAL)
    with pytest.raises(ValueError, match="got 'User'"):
        chat_prompt([("User", "Hi")], [], SPECIAL)
    assert chat_prompt([("user", "")], [], SPECIAL)


TOKENS = [b"a", b" b", b"\xc3", b"\xa9", b"\xe2\x82", b"\xac!", b"\xff", b"<end>"]


def always(order):
    """A model that writes these tokens, one after another, after token 0."""
    table = torch.full((1, len(TOKENS), len(TOKENS)), -20.0, dtype=torch.float64)
    for before, after in zip([0, *order], order, strict=False):
        table[0, before, after] = 20.0
    return TableModel(table, torch.eye(len(TOKENS), dtype=torch.float64))


def told(order, longest=None, stop=(7,)):
    chances = torch.full((longest or len(order),), 0.5, dtype=torch.float64)
    return stream(always(order), torch.tensor([0]), TOKENS, stop, chances)


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ([1, 2, 3, 7], [" b", "é"]),
        ([4, 5, 7], ["€!"]),
        ([6, 1, 7], ["�", " b"]),
        ([2, 1, 7], ["� b"]),
        ([1, 2, 7], [" b", "�"]),
        ([1, 4], [" b", "�"]),
        ([7], []),
    ],
)
def test_pieces_have_no_part_of_a_character(order, wanted):
    found = told(order)
    assert found == wanted
    whole = b"".join(TOKENS[i] for i in order if i != 7)
    assert "".join(found) == whole.decode(errors="replace")


def test_pieces_are_told_as_soon_as_they_are_known():
    asked, model = [], always([1, 2, 3, 4, 5])

    def watched(tokens, rows):
        asked.append(tokens.tolist())
        return model(tokens, rows)

    chances, heard = torch.full((5,), 0.5, dtype=torch.float64), []
    for piece in pieces(watched, torch.tensor([0]), TOKENS, [7], chances):
        heard.append((piece, len(asked)))
    assert heard == [(" b", 1), ("é", 3), ("€!", 5)]
    assert asked == [[[0]], [[1]], [[2]], [[3]], [[4]]]
    said = []
    whole = stream(model, torch.tensor([0]), TOKENS, [7], chances, tell=said.append)
    assert said == whole == [" b", "é", "€!"]


def test_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="empty prompt"):
        stream(always([1]), torch.tensor([], dtype=torch.int64), TOKENS, [7], torch.zeros(0))
    assert told([1], longest=1) == [" b"]
