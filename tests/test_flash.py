"""FlashAttention, held to the plain algorithm, to torch's own and to answers by hand."""

import gc
import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tutor import flash
from tutor.attention import attention_backward, causal_mask, scaled_dot_product_attention
from tutor.flash import (
    attention_io_bytes,
    flash_attention,
    flash_attention_triton,
    flash_backward,
    flash_forward,
    online_softmax,
    visible_tiles,
)

needs_triton = pytest.mark.skipif(
    flash.triton is None, reason="needs Triton, of which there are packages for Linux alone"
)
INTERPRETED = flash.triton is not None and not isinstance(
    flash.flash_kernel, flash.triton.JITFunction
)
on_cpu = pytest.mark.skipif(not INTERPRETED, reason="kernels are compiled here, for a GPU")


def plain(q, k, v, causal=False):
    """Chapter 3's attention, with as many key heads as query heads, in double precision."""
    share = q.shape[-3] // k.shape[-3]
    k, v = (t.repeat_interleave(share, dim=-3) for t in (k, v))
    keep = causal_mask(q.shape[-2], k.shape[-2], q.device) if causal else None
    return scaled_dot_product_attention(q, k, v, keep)


def qkv(draw, heads=(6, 2), times=(7, 9), widths=(5, 3), batch=(2,), dtype=torch.float64):
    (h, g), (tq, tk), (d, dv) = heads, times, widths
    shapes = (*batch, h, tq, d), (*batch, g, tk, d), (*batch, g, tk, dv)
    return tuple(draw(*shape, dtype=dtype) for shape in shapes)


SHAPES = {
    "ragged": ((6, 2), (7, 9)),
    "one token": ((2, 1), (1, 1)),
    "one query of many keys": ((3, 3), (1, 11)),
    "more queries than keys": ((4, 4), (11, 4)),
    "tiles that fit": ((9, 3), (8, 12)),
    "tiles that are larger": ((4, 1), (2, 3)),
}
TILES = [(1, 1), (2, 3), (4, 4), (3, 2), (64, 64)]


# The softmax in one pass


def test_a_stream_by_hand():
    """ln 1, ln 2 and then ln 4: the sum of exponentials is 7, and 7 / 4 measured from ln 4."""
    maximum, total = torch.tensor(-math.inf), torch.tensor(0.0)
    scores = torch.tensor([1.0, 2.0, 4.0]).log()
    maximum, total, weights, factor = online_softmax(scores[:2], maximum, total)
    torch.testing.assert_close(total, torch.tensor(1.5))
    torch.testing.assert_close(weights, torch.tensor([0.5, 1.0]))
    assert factor == 0
    maximum, total, weights, factor = online_softmax(scores[2:], maximum, total)
    torch.testing.assert_close(total, torch.tensor(7 / 4))
    torch.testing.assert_close(factor, torch.tensor(0.5))
    torch.testing.assert_close(maximum + total.log(), torch.tensor(7.0).log())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.floats(-2e4, 2e4))
def test_any_cut_of_a_stream_has_the_same_sum(sizes, offset):
    scores = torch.randn(3, sum(sizes), dtype=torch.float64) * 50 + offset
    maximum, total = torch.full((3,), -math.inf).double(), torch.zeros(3).double()
    for piece in scores.split(sizes, -1):
        maximum, total, _, _ = online_softmax(piece, maximum, total)
    torch.testing.assert_close(maximum + total.log(), scores.logsumexp(-1), rtol=1e-12, atol=0)


def test_what_was_never_seen_stays_at_nothing():
    state = torch.full((2,), -math.inf), torch.zeros(2)
    nothing = torch.full((2, 3), -math.inf)
    maximum, total, weights, _ = online_softmax(nothing, *state)
    assert maximum.eq(-math.inf).all() and not total.any() and not weights.any()
    maximum, total, _, _ = online_softmax(torch.zeros(2, 4), maximum, total)
    assert torch.equal(total, torch.full((2,), 4.0))
    maximum, total, weights, factor = online_softmax(nothing, maximum, total)
    assert torch.equal(total, torch.full((2,), 4.0)) and factor.eq(1).all() and not weights.any()


# Tiles


@settings(max_examples=200, deadline=None)
@given(*[st.integers(1, n) for n in (20, 20, 7, 7)])
def test_visible_tiles_are_those_of_the_mask(num_queries, num_keys, query_tile, key_tile):
    keep = causal_mask(num_queries, num_keys)
    found = visible_tiles(num_queries, num_keys, query_tile, key_tile)
    assert len(found) == math.ceil(num_queries / query_tile)
    for rows, (whole, end) in zip(keep.split(query_tile), found, strict=True):
        tiles = rows.split(key_tile, 1)
        assert [t.any().item() for t in tiles] == [j < end for j in range(len(tiles))]
        assert [t.all().item() for t in tiles] == [j < whole for j in range(len(tiles))]


def test_a_square_has_half_of_its_tiles():
    found = visible_tiles(1024, 1024, 64, 64)
    assert found == [(i, i + 1) for i in range(16)]
    assert sum(end for _, end in found) == 16 * 17 / 2


def test_a_tile_has_a_row():
    with pytest.raises(ValueError, match="0 queries, 4 keys"):
        visible_tiles(8, 8, 0, 4)


# Forward and backward


@pytest.mark.parametrize("tiles", TILES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads, times", SHAPES.values(), ids=SHAPES)
def test_output_gradients_and_log_sum_exp_are_the_plain_ones(draw, heads, times, causal, tiles):
    given = [t.requires_grad_() for t in qkv(draw, heads, times)]
    out, wanted = flash_attention(*given, causal, *tiles), plain(*given, causal)
    torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-12)
    cotangent = draw(*out.shape)
    found, right = (torch.autograd.grad(o, given, cotangent) for o in (out, wanted))
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    q, k, _ = given
    scores = q @ k.repeat_interleave(heads[0] // heads[1], -3).mT * q.shape[-1] ** -0.5
    if causal:
        scores = scores.masked_fill(~causal_mask(*times), -math.inf)
    _, lse = flash_forward(*given, causal, *tiles)
    torch.testing.assert_close(lse, scores.logsumexp(-1), rtol=1e-12, atol=1e-12)


def error(found, right):
    """Relative to the largest value."""
    return max(
        float((f.double() - r).abs().max() / r.abs().max().clamp_min(1e-30))
        for f, r in zip(found, right, strict=True)
    )


def all_of(attention, given, causal, cotangent):
    leaves = [t.detach().requires_grad_() for t in given]
    out = attention(*leaves, causal)
    return (out, *torch.autograd.grad(out, leaves, cotangent.to(out.dtype)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("times", [(70, 70), (33, 70), (70, 33), (1, 70)], ids=str)
def test_single_precision_is_right_to_1e_5(draw, times, causal):
    given = qkv(draw, (6, 2), times, (32, 32), dtype=torch.float32)
    cotangent = draw(2, 6, times[0], 32)
    right = all_of(plain, [t.double() for t in given], causal, cotangent)
    found = all_of(lambda *a: flash_attention(*a, 16, 16), given, causal, cotangent)
    assert error(found, right) < 1e-5


def test_large_scores_lose_no_more_than_in_the_plain_algorithm(draw):
    """Scores of 50 and more, over several draws: rounding is a matter of luck in one."""
    ours, theirs = [], []
    for _ in range(6):
        q, k, v = qkv(draw, (2, 2), (65, 65), (32, 32), dtype=torch.float32)
        given, cotangent = (q * 16, k, v), draw(2, 2, 65, 32)
        assert (given[0] @ k.mT * 32**-0.5).abs().max() > 50
        right = all_of(plain, [t.double() for t in given], True, cotangent)
        tiled = all_of(lambda *a: flash_attention(*a, 16, 16), given, True, cotangent)
        ours.append(error(tiled, right))
        theirs.append(error(all_of(plain, given, True, cotangent), right))
    assert sum(ours) < 2 * sum(theirs)


def test_scores_far_below_any_sentinel():
    """All are -20,000: the softmax is even, and -1e4 in the place of -∞ would win."""
    q, k = torch.full((1, 5, 1), 200.0), torch.full((1, 7, 1), -100.0)
    v = torch.arange(7.0).reshape(1, 7, 1)
    out, lse = flash_forward(q, k, v, False, 2, 3)
    torch.testing.assert_close(out, torch.full((1, 5, 1), 3.0))
    torch.testing.assert_close(lse, torch.full((1, 5), -20_000 + math.log(7)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_good_as_torchs(draw, dtype):
    given = qkv(draw, (4, 4), (70, 70), (32, 32), dtype=dtype)
    cotangent = draw(2, 4, 70, 32).to(dtype).double()
    right = all_of(plain, [t.double() for t in given], True, cotangent)

    def torchs(q, k, v, causal):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    ours = all_of(lambda *a: flash_attention(*a, 16, 16), given, True, cotangent)
    assert ours[0].dtype == dtype
    assert error(ours, right) < 2 * error(all_of(torchs, given, True, cotangent), right)


def test_it_is_torchs_attention(draw):
    q, k, v = qkv(draw, (9, 3), (12, 12))
    wanted = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(flash_attention(q, k, v, True, 5, 4), wanted)


def test_a_query_that_may_read_nothing_gets_zeros_and_gives_no_gradient(draw):
    given = [t.requires_grad_() for t in qkv(draw, (2, 2), (5, 2))]
    out = flash_attention(*given, True, 2, 2)
    assert not out[..., :3, :].any() and out[..., 3:, :].all()
    grads = torch.autograd.grad(out.sum(), given)
    assert all(g.isfinite().all() for g in grads) and not grads[0][..., :3, :].any()


def test_backward_by_hand_is_chapter_3s(draw):
    q, k, v = qkv(draw, (2, 2), (6, 6))
    grad_out = draw(2, 2, 6, 3)
    wanted = attention_backward(grad_out, q, k, v, causal_mask(6, 6))
    out, lse = flash_forward(q, k, v, True, 4, 3)
    found = flash_backward(grad_out, q, k, v, out, lse, True, 2, 5)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_shapes_that_do_not_fit_are_named(draw):
    q, k, v = qkv(draw)
    with pytest.raises(ValueError, match=r"do not fit.*q \(2, 6, 7, 5\)"):
        flash_forward(q, k[..., :4], v)
    with pytest.raises(ValueError, match=r"key heads \(2\) must divide query heads \(5\)"):
        flash_forward(q[:, :5], k, v)
    with pytest.raises(ValueError, match="heads, a time and a width"):
        flash_forward(q[0, 0], k[0, 0], v[0, 0])
    flash_forward(q, k, v)


# Memory


class Live(TorchDispatchMode):
    """The largest tensor that was made, and the most bytes that new storages held at a time."""

    def __init__(self):
        super().__init__()
        self.largest = self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else (out,):
            if isinstance(t, torch.Tensor) and id(t.untyped_storage()) not in self.known:
                self.seen(t)
        return out

    def seen(self, t):
        storage = t.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key in self.known or not size:
            return
        self.largest = max(self.largest, size // t.element_size())
        self.known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone():
            self.known.discard(key)
            self.now -= size

        weakref.finalize(storage, gone)


def watched(attention, t, heads=8, width=64):
    given = [torch.zeros(heads, t, width, requires_grad=True) for _ in range(3)]
    gc.collect()
    with Live() as live:
        out = attention(*given)
        torch.autograd.grad(out.sum(), given)
    return live


def test_no_tensor_is_larger_than_a_tile_or_an_answer():
    live = watched(lambda *a: flash_attention(*a, True, 16, 16), 256, 2, 8)
    assert live.largest == 2 * 256 * 8  # the answer itself
    assert watched(lambda *a: plain(*a, True), 256, 2, 8).largest == 2 * 256 * 256


def test_memory_is_linear_in_the_length():
    """Twice the length takes twice the memory, and four times as much in the plain algorithm."""
    small, large = (watched(lambda *a: flash_attention(*a, True, 32, 32), t) for t in (512, 1024))
    assert large.peak < 2.1 * small.peak
    small, large = (watched(lambda *a: plain(*a, True), t) for t in (512, 1024))
    assert large.peak > 3.5 * small.peak


# Bytes


def test_bytes_by_hand():
    """T = 4, D = 1 and room for 5 numbers: R² + 4 R = 5, so a tile has one row, and k is read
    four times."""
    assert attention_io_bytes(4, 1, 10) == (2 * (4 * 16 + 4 * 4), 2 * (2 * 4 + 4 * 2 * 4))


def test_with_room_for_everything_k_and_v_are_read_once():
    assert attention_io_bytes(64, 16, 2**20)[1] == 2 * 4 * 64 * 16


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 128), st.integers(0, 2**17), st.sampled_from([1, 2, 4]))
def test_the_tile_is_the_largest_that_fits(tokens, width, spare, size):
    sram = size * (4 * width + 1) + spare
    rows = max(r for r in range(1, tokens + 1) if r == 1 or size * (4 * r * width + r * r) <= sram)
    tiled = size * 2 * tokens * width * (1 + math.ceil(tokens / rows))
    assert attention_io_bytes(tokens, width, sram, size)[1] == tiled


def test_a_memory_without_room_for_a_row_is_refused():
    with pytest.raises(ValueError, match="514 bytes do not hold one row of width 65, 2 bytes"):
        attention_io_bytes(128, 65, 514)
    assert attention_io_bytes(128, 64, 514)


# Triton

KERNEL_SHAPES = {
    "ragged": ((2, 1), (19, 35)),
    "one token": ((1, 1), (1, 1)),
    "more queries than keys": ((1, 1), (18, 3)),
}


@needs_triton
@on_cpu
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads, times", KERNEL_SHAPES.values(), ids=KERNEL_SHAPES)
def test_the_kernels_are_right_in_the_interpreter(draw, heads, times, causal):
    given = qkv(draw, heads, times, (7, 7), (), torch.float32)
    cotangent = draw(heads[0], times[0], 7)
    right = all_of(plain, [t.double() for t in given], causal, cotangent)
    found = all_of(lambda *a: flash_attention_triton(*a, 16, 16), given, causal, cotangent)
    for f, r in zip(found, right, strict=True):
        torch.testing.assert_close(f.double(), r, rtol=1e-5, atol=1e-5)


@needs_triton
@on_cpu
def test_the_kernel_writes_the_log_sum_exp(draw):
    q, k, v = qkv(draw, (1, 1), (3, 5), (4, 4), (), torch.float32)
    out, lse = torch.empty_like(q), torch.empty(1, 3)
    sizes = {"num_queries": 3, "num_keys": 5, "width": 4, "share": 1, "scale": 0.5}
    shapes = {"CAUSAL": True, "QUERY_TILE": 16, "KEY_TILE": 16, "WIDTH": 16}
    flash.flash_kernel[1, 1](q, k, v, out, lse, **sizes, **shapes)
    wanted = flash_forward(q, k, v, True)
    torch.testing.assert_close((out, lse), wanted, rtol=1e-5, atol=1e-5)


@needs_triton
@on_cpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_kernels_take_short_dtypes(draw, dtype):
    given = qkv(draw, (1, 1), (5, 5), (16, 16), (), dtype)
    right = plain(*(t.double() for t in given), True)
    out = flash_attention_triton(*given, True, 16, 16)
    assert out.dtype == dtype
    assert error((out,), (right,)) < (2e-3 if dtype == torch.float16 else 2e-2)


@needs_triton
def test_tiles_are_powers_of_two(draw):
    with pytest.raises(ValueError, match="from 16 on, got 48 × 16"):
        flash_attention_triton(*qkv(draw, widths=(4, 4)), False, 48, 16)
    with pytest.raises(ValueError, match="values of width 5, got 3"):
        flash_attention_triton(*qkv(draw))


@needs_triton
@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() or INTERPRETED,
    reason="needs a CUDA device and compiled kernels (no TRITON_INTERPRET)",
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("times", [(512, 512), (333, 777), (1, 500)], ids=str)
def test_compiled_kernels_are_as_good_as_torchs_attention(draw, times, dtype):
    given = [t.cuda() for t in qkv(draw, (6, 2), times, (64, 64), dtype=dtype)]
    cotangent = draw(2, 6, times[0], 64).to(dtype).cuda()
    right = all_of(plain, [t.double() for t in given], True, cotangent.double())

    def torchs(q, k, v, causal):
        keep = causal_mask(*times, q.device)
        return F.scaled_dot_product_attention(q, k, v, keep, enable_gqa=True)

    found = error(all_of(flash_attention_triton, given, True, cotangent), right)
    theirs = error(all_of(torchs, given, True, cotangent), right)
    assert found < (1e-5 if dtype == torch.float32 else 2 * theirs)
