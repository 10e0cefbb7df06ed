"""Chapter 10's reference, held to torch's own attention and to values derived by hand."""

import math
import re

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.families import FamilyModel, gpt2, llama
from tutor.grouped_query import (
    GPUS,
    MODELS,
    absorbed_latent_attention,
    concurrent_users,
    expand_kv_heads,
    grouped_query_attention,
    latent_attention,
    pool_kv_heads,
)
from tutor.materials.smollm2 import CONFIG as SMOLLM2
from tutor.multihead import multi_head_attention
from tutor.position import apply_rope

B, TQ, TK, D, DV, C = 2, 3, 5, 7, 11, 13
HEADS = [(6, 6), (6, 3), (6, 2), (6, 1), (9, 3), (8, 2), (4, 4), (1, 1)]
DOUBLE = {"atol": 1e-12, "rtol": 1e-12}


def storage(t):
    """Whose memory it is. Not from the checks: test_shapes.py checks the signatures of all that is
    imported here, and their protocols are none that can be checked."""
    return t.untyped_storage()._cdata


def shape(*sizes):
    """A shape as an error message shows it, for ``match``."""
    return re.escape(str(sizes))


@pytest.fixture
def qkv(draw):
    """q of H heads, k and v of G."""
    return lambda h, g, tq=TQ, tk=TK: (draw(B, h, tq, D), draw(B, g, tk, D), draw(B, g, tk, DV))


class Operands(TorchDispatchMode):
    """What each product reads, and the largest tensor that any operation writes."""

    def __init__(self):
        super().__init__()
        self.read, self.largest = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in (torch.ops.aten.bmm, torch.ops.aten.mm):
            self.read += args
        inputs = {storage(t) for t in args if isinstance(t, torch.Tensor)}
        if isinstance(out, torch.Tensor) and storage(out) not in inputs:
            self.largest = max(self.largest, out.numel())
        return out


# Expanding


def test_each_head_stands_beside_its_copies():
    kv = torch.tensor([[[1.0]], [[2.0]], [[3.0]]])  # G = 3
    assert expand_kv_heads(kv, 9).flatten().tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert expand_kv_heads(kv, 3).flatten().tolist() == [1, 2, 3]
    assert expand_kv_heads(kv[:1], 4).flatten().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(("h", "g"), HEADS)
def test_query_head_h_finds_key_head_h_by_the_share(draw, h, g):
    kv = draw(B, g, TK, D)
    found = expand_kv_heads(kv, h)
    assert found.shape == (B, h, TK, D)
    for head in range(h):
        assert torch.equal(found[:, head], kv[:, head // (h // g)])


def test_expanding_adds_up_the_gradients_of_a_group(draw):
    kv = draw(3, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: expand_kv_heads(t, 6), (kv,))


@pytest.mark.parametrize(("h", "g"), [(4, 3), (3, 4), (0, 3)])
def test_heads_that_do_not_divide_are_refused(draw, h, g):
    with pytest.raises(ValueError, match=f"key heads, {g}, must divide that of query heads, {h}"):
        expand_kv_heads(draw(g, TK, D), h)
    assert expand_kv_heads(draw(3, TK, D), 3).shape == (3, TK, D)


# Attention


@pytest.mark.parametrize(("h", "g"), HEADS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_grouped_attention_is_torchs(draw, h, g, dtype):
    q, k, v = draw(B, h, TQ, D), draw(B, g, TK, D), draw(B, g, TK, DV)
    keep = draw(B, h, TQ, TK) > 0
    keep[..., 0] = True
    q, k, v = (t.to(dtype) for t in (q, k, v))
    tolerance = DOUBLE if dtype == torch.float64 else {"atol": 1e-5, "rtol": 1e-5}
    for mask in (None, keep, keep[:, :1], causal_mask(TQ, TK)):
        wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        torch.testing.assert_close(grouped_query_attention(q, k, v, mask), wanted, **tolerance)


@pytest.mark.parametrize(("h", "g"), HEADS)
def test_grouped_attention_is_chapter_3s_of_expanded_heads(qkv, h, g):
    q, k, v = qkv(h, g)
    keep = causal_mask(TQ, TK)
    wanted = scaled_dot_product_attention(q, *(expand_kv_heads(t, h) for t in (k, v)), keep)
    torch.testing.assert_close(grouped_query_attention(q, k, v, keep), wanted, **DOUBLE)


def test_as_many_key_heads_as_query_heads_are_chapter_4s(draw):
    x, w_q, w_k, w_v = draw(B, TK, C), draw(C, 4 * D), draw(C, 4 * D), draw(C, 4 * D)
    w_out = torch.eye(4 * D, dtype=torch.float64)
    q, k, v = ((x @ w).unflatten(-1, (4, D)).transpose(1, 2) for w in (w_q, w_k, w_v))
    wanted = multi_head_attention(x, w_q, w_k, w_v, w_out, 4)
    found = grouped_query_attention(q, k, v).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(found, wanted, **DOUBLE)


def test_by_hand_two_groups_of_two():
    # Width 1, two keys. Head 0 of the first group scores (ln 3, 0) and head 1 scores (0, 0); of the
    # second group, whose keys are the other way round, head 2 scores (0, ln 3) and head 3 (0, 0).
    ln3 = math.log(3)
    q = torch.tensor([[[1.0]], [[0.0]], [[1.0]], [[0.0]]], dtype=torch.float64)
    k = torch.tensor([[[ln3], [0.0]], [[0.0], [ln3]]], dtype=torch.float64)
    v = torch.tensor([[[4.0], [8.0]], [[0.0], [40.0]]], dtype=torch.float64)
    wanted = torch.tensor([[[5.0]], [[6.0]], [[30.0]], [[20.0]]], dtype=torch.float64)
    torch.testing.assert_close(grouped_query_attention(q, k, v), wanted, **DOUBLE)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_any_batch_may_stand_before_the_heads(draw, batch):
    q, k, v = draw(*batch, 6, TQ, D), draw(*batch, 2, TK, D), draw(*batch, 2, TK, DV)
    wanted = scaled_dot_product_attention(q, expand_kv_heads(k, 6), expand_kv_heads(v, 6))
    torch.testing.assert_close(grouped_query_attention(q, k, v), wanted, **DOUBLE)


def test_a_query_that_may_read_nothing_gets_zeros_and_no_nan(qkv):
    q, k, v = (t.requires_grad_() for t in qkv(6, 2))
    keep = torch.ones(B, 6, TQ, TK, dtype=torch.bool)
    keep[0, 4, 1] = False
    out = grouped_query_attention(q, k, v, keep)
    assert not out[0, 4, 1].any() and out[0, 4, 0].any()
    out.sum().backward()
    assert all(t.grad.isfinite().all() for t in (q, k, v))


def test_each_head_may_have_a_mask_of_its_own(qkv):
    q, k, v = qkv(6, 3)
    keep = torch.ones(B, 6, TQ, TK, dtype=torch.bool)
    before = grouped_query_attention(q, k, v, keep)
    keep[:, 3, :, 0] = False  # the second of group 1
    changed = (grouped_query_attention(q, k, v, keep) - before).abs().amax((0, 2, 3)) > 0
    assert changed.tolist() == [False, False, False, True, False, False]


def test_scores_far_below_zero_do_not_lose_to_what_is_hidden(qkv):
    q, k, v = qkv(6, 2)
    keep = torch.arange(TK) == 2
    low = grouped_query_attention(q.abs() + 1, k * 0 - 1e5, v, keep.expand(TQ, TK))
    wanted = expand_kv_heads(v, 6)[:, :, 2:3].expand_as(low)
    torch.testing.assert_close(low, wanted, **DOUBLE)


def test_gradients_of_a_groups_queries_add_up_in_its_keys(draw):
    q, k, v = draw(6, 2, 3), draw(2, 4, 3), draw(2, 4, 2)
    tensors = tuple(t.requires_grad_() for t in (q, k, v))
    assert torch.autograd.gradcheck(grouped_query_attention, tensors)


@pytest.mark.parametrize("g", [1, 2, 4])
def test_no_key_and_no_value_is_copied(draw, g):
    q, k, v = draw(B, 8, 1, 16), draw(B, g, 64, 16), draw(B, g, 64, 16)
    with Operands() as seen:
        grouped_query_attention(q, k, v)
    assert storage(k) in map(storage, seen.read) and storage(v) in map(storage, seen.read)
    assert seen.largest <= B * 8 * 64 < k.numel()  # the scores, and nothing larger
    with Operands() as seen:  # such a test can fail
        scaled_dot_product_attention(q, expand_kv_heads(k, 8), expand_kv_heads(v, 8))
    assert storage(k) not in map(storage, seen.read) and seen.largest == 8 // g * k.numel()


def test_a_product_that_broadcasts_copies_after_all(draw):
    q, k = draw(B, 2, 4, 1, 16), draw(B, 2, 1, 64, 16)
    with Operands() as seen:
        q @ k.mT
    assert storage(k) not in map(storage, seen.read) and seen.largest == 4 * k.numel()


def test_bad_input_is_refused_by_name(qkv):
    q, k, v = qkv(6, 3)
    with pytest.raises(TypeError, match="keep must be bool"):
        grouped_query_attention(q, k, v, torch.ones(TQ, TK))
    with pytest.raises(ValueError, match="key heads, 3, must divide that of query heads, 5"):
        grouped_query_attention(q[:, :5], k, v)
    with pytest.raises(ValueError, match="does not broadcast.*" + shape(B, 6, TQ, TK)):
        grouped_query_attention(q, k, v, torch.ones(B, 3, TQ, TK, dtype=torch.bool))
    with pytest.raises(ValueError, match="every key needs one value.*" + shape(B, 3, TK - 1, DV)):
        grouped_query_attention(q, k, v[:, :, 1:])
    with pytest.raises(ValueError, match="batch or in their width"):
        grouped_query_attention(q[..., 1:], k, v)
    with pytest.raises(ValueError, match="heads, time and width"):
        grouped_query_attention(q[0, 0], k[0, 0], v[0, 0])


# Pooling


def test_pooling_by_hand():
    # Four heads of one row; the rows of each are its number.
    w_k = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 50.0], [9.0, 90.0]])
    k, v = pool_kv_heads(w_k, -w_k, 4, 2)
    assert k.tolist() == [[2.0, 20.0], [7.0, 70.0]] and torch.equal(v, -k)
    assert pool_kv_heads(w_k, w_k, 4, 1)[0].tolist() == [[4.5, 45.0]]
    assert torch.equal(pool_kv_heads(w_k, w_k, 4, 4)[0], w_k)
    biases = pool_kv_heads(w_k[:, 0], w_k[:, 1], 4, 2)
    assert biases[0].tolist() == [2.0, 7.0] and biases[1].tolist() == [20.0, 70.0]


@pytest.mark.parametrize(("h", "g"), [(8, 4), (8, 2), (8, 1), (9, 3), (3, 1), (4, 4)])
def test_a_pooled_projection_makes_the_mean_of_the_heads(draw, h, g):
    w_k, w_v, x = draw(h * D, C), draw(h * DV, C), draw(TK, C)
    for w, pooled in zip((w_k, w_v), pool_kv_heads(w_k, w_v, h, g), strict=True):
        each = (x @ w.T).unflatten(-1, (h, -1))
        wanted = torch.stack([part.mean(1) for part in each.split(h // g, 1)], 1).flatten(1)
        torch.testing.assert_close(x @ pooled.T, wanted, **DOUBLE)


def test_heads_that_are_alike_are_pooled_without_loss(draw):
    w_k, w_v = draw(2 * D, C), draw(2 * DV, C)
    copied = [w.unflatten(0, (2, -1)).repeat_interleave(3, 0).flatten(0, 1) for w in (w_k, w_v)]
    for w, pooled in zip((w_k, w_v), pool_kv_heads(*copied, 6, 2), strict=True):
        torch.testing.assert_close(pooled, w, **DOUBLE)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_what_is_pooled_is_rotated_as_its_heads_were(draw, layout):
    w_k, x, at = draw(4 * 8, C), draw(TK, C), torch.arange(TK)
    (pooled, _), heads = pool_kv_heads(w_k, w_k, 4, 1), (x @ w_k.T).unflatten(-1, (4, 8))
    turned = apply_rope(heads.transpose(0, 1), at, layout=layout).mean(0)
    torch.testing.assert_close(apply_rope(x @ pooled.T, at, layout=layout), turned, **DOUBLE)


def test_rows_that_are_no_heads_are_refused(draw):
    with pytest.raises(ValueError, match=shape(10, C) + ".*" + shape(12, C)):
        pool_kv_heads(draw(10, C), draw(12, C), 4, 2)
    with pytest.raises(ValueError, match="key heads, 3, must divide that of query heads, 4"):
        pool_kv_heads(draw(8, C), draw(12, C), 4, 3)
    assert pool_kv_heads(draw(8, C), draw(12, C), 4, 2)[1].shape == (6, C)


# The planner


def test_planner_by_hand():
    tiny = {"parameters": 1_000, "layers": 3, "width": 8, "heads": 4, "kv_heads": 2}
    tiny["head_width"] = 5
    # 2,000 bytes of weights; 2 · 3 · 2 · 5 = 60 numbers a token, 120 bytes, 1,200 for ten.
    left = 10**9 - 2_000
    assert concurrent_users(tiny, 10, 1) == (2_000, 120, left // 1_200)
    assert concurrent_users(tiny, 10, 1, 4, 8) == (500, 60, (10**9 - 500) // 600)
    assert concurrent_users(tiny | {"kv_heads": 4}, 10, 1)[1] == 240
    assert concurrent_users(tiny | {"parameters": 1_001}, 10, 1, 4)[0] == 501


def test_planner_agrees_with_published_figures():
    weights, a_token, _ = concurrent_users(MODELS["Llama-3-70B"], 8192, 80)
    assert round(weights / 1e9) == 141  # "about 140 GB"
    assert a_token == 327_680  # 320 KiB
    assert concurrent_users(MODELS["Llama-3-8B"], 8192, 80)[1] == 131_072  # 128 KiB
    assert concurrent_users(MODELS["SmolLM2-135M"], 8192, 80)[1] == 23_040
    # Mistral and Llama-3-8B have the same cache; GPT-2 has a key head for each query head.
    assert concurrent_users(MODELS["Mistral-7B"], 8192, 80)[1] == 131_072
    assert concurrent_users(MODELS["GPT-2"], 1024, 80)[1] == 36_864


@pytest.mark.parametrize("name", MODELS)
def test_shapes_have_the_parameters_that_are_published(name):
    shape = MODELS[name]
    llamas = {
        "Llama-3-70B": {"vocabulary": 128_256, "hidden_width": 28_672},
        "Llama-3-8B": {"vocabulary": 128_256, "hidden_width": 14_336},
        "Mistral-7B": {"vocabulary": 32_000, "hidden_width": 14_336},
    }
    if name in llamas:
        config = llama(
            **llamas[name],
            width=shape["width"],
            num_heads=shape["heads"],
            num_kv_heads=shape["kv_heads"],
            num_decoder_layers=shape["layers"],
        )
    else:
        config = {"GPT-2": gpt2(), "SmolLM2-135M": SMOLLM2}[name]
    with torch.device("meta"):
        model = FamilyModel(config)
    assert sum(p.numel() for p in model.parameters()) == shape["parameters"]
    kv_heads = config.num_kv_heads or config.num_heads
    told = (config.num_decoder_layers, config.width, config.num_heads, kv_heads)
    assert told == (shape["layers"], shape["width"], shape["heads"], shape["kv_heads"])
    assert shape["head_width"] * shape["heads"] == shape["width"]


def test_a_model_that_does_not_fit_has_no_users():
    assert concurrent_users(MODELS["Llama-3-70B"], 8192, GPUS["H100"])[2] == 0
    assert concurrent_users(MODELS["Llama-3-70B"], 8192, GPUS["2 × H100"])[2] == 7


def test_a_user_fits_to_the_last_byte_and_not_beyond():
    tiny = {"parameters": 0, "layers": 1, "width": 1, "heads": 1, "kv_heads": 1, "head_width": 1}
    assert concurrent_users(tiny, 250_000_000, 1) == (0, 4, 1)
    assert concurrent_users(tiny, 250_000_001, 1) == (0, 4, 0)
    assert concurrent_users(tiny | {"parameters": 1}, 250_000_000, 1)[2] == 0


def test_what_is_no_plan_is_refused():
    with pytest.raises(ValueError, match="at least one token, got 0"):
        concurrent_users(MODELS["GPT-2"], 0, 80)
    with pytest.raises(ValueError, match="key heads, 5, must divide that of query heads, 12"):
        concurrent_users(MODELS["GPT-2"] | {"kv_heads": 5}, 1, 80)
    assert concurrent_users(MODELS["GPT-2"], 1, 80)[2] > 0


# Latent attention


@pytest.mark.parametrize("batch", [(), (B,)])
def test_latent_attention_may_be_absorbed(draw, batch):
    h, r, dr = 4, 6, 2
    q, q_turned = draw(*batch, h, TQ, D), draw(*batch, h, TQ, dr)
    latent, k_turned = draw(*batch, TK, r), draw(*batch, TK, dr)
    w_k, w_v = draw(h, r, D), draw(h, r, DV)
    for keep in (None, causal_mask(TQ, TK)):
        args = q, q_turned, latent, k_turned, w_k, w_v, keep
        wanted = latent_attention(*args)
        torch.testing.assert_close(absorbed_latent_attention(*args), wanted, atol=1e-10, rtol=0)


def test_latent_attention_is_multi_head_attention_of_what_it_makes(draw):
    h, r, dr = 3, 4, 2
    q, q_turned, latent, k_turned = draw(h, TQ, D), draw(h, TQ, dr), draw(TK, r), draw(TK, dr)
    w_k, w_v = draw(h, r, D), draw(h, r, DV)
    found = latent_attention(q, q_turned, latent, k_turned, w_k, w_v)
    for head in range(h):
        scores = q[head] @ (latent @ w_k[head]).T + q_turned[head] @ k_turned.T
        weights = (scores / math.sqrt(D + dr)).softmax(-1)
        torch.testing.assert_close(found[head], weights @ (latent @ w_v[head]), **DOUBLE)


def test_absorbed_attention_makes_no_key(draw):
    h, r, dr, tk = 4, 6, 2, 64
    q, q_turned = draw(h, 1, 32), draw(h, 1, dr)
    latent, k_turned = draw(tk, r), draw(tk, dr)
    args = q, q_turned, latent, k_turned, draw(h, r, 32), draw(h, r, 32)
    with Operands() as seen:
        absorbed_latent_attention(*args)
    assert seen.largest == tk * (r + dr)  # the cache, put side by side
    with Operands() as seen:
        latent_attention(*args)
    assert seen.largest == h * tk * (32 + dr)
