"""Long context, held to masked full attention, to transformers' scaling, to real processes."""

import os
import signal
import time

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests import ring_tasks
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.long_context import (
    RingAttention,
    global_random_mask,
    layers_to_reach,
    linear_attention,
    linear_attention_step,
    positive_features,
    ring_bytes,
    rotate,
    scale_rope,
    strided_mask,
    window_mask,
    windowed_attention,
)
from tutor.materials.ring_processes import attend, by_rank, own_class, run_ring
from tutor.position import apply_rope

B, H, T, D, DV = 2, 3, 13, 7, 11
DOUBLE = torch.float64


def normal(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).to(
        dtype
    )


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation gives."""

    found = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.found = max(self.found, out.numel())
        return out


# Masks


def test_window_by_hand():
    assert window_mask(3, 4, 2).int().tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_window_counts_the_query_itself():
    assert torch.equal(window_mask(5, 5, 1), torch.eye(5, dtype=torch.bool))
    assert window_mask(9, 9, 4).sum(-1).tolist() == [1, 2, 3, 4, 4, 4, 4, 4, 4]


def test_window_as_wide_as_the_text_is_causal():
    for window in (7, 8, 100):
        assert torch.equal(window_mask(4, 7, window), causal_mask(4, 7))


def test_stride_by_hand():
    assert strided_mask(4, 4, 2).int().tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [1, 0, 1, 0],
        [0, 1, 0, 1],
    ]
    assert strided_mask(1, 7, 3).int().tolist() == [[1, 0, 0, 1, 0, 0, 1]]


def test_stride_of_one_is_causal():
    assert torch.equal(strided_mask(4, 7, 1), causal_mask(4, 7))


def test_global_tokens_by_hand():
    chance = torch.zeros(3, 5)
    assert global_random_mask(chance, 2, 0).int().tolist() == [[1, 1, 0, 0, 0]] * 3
    assert global_random_mask(torch.zeros(3, 3), 2, 0).int().tolist() == [
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 0],
    ]


def test_random_tokens_are_those_with_the_smallest_chance():
    chance = torch.tensor([[0.1, 0.5, 0.2, 0.05, 0.0]])
    assert global_random_mask(chance, 1, 2).int().tolist() == [[1, 0, 0, 1, 1]]
    assert global_random_mask(chance, 0, 3).int().tolist() == [[1, 0, 0, 1, 1]]


def test_number_of_keys_is_what_was_asked_for():
    chance = torch.rand(T, T, generator=torch.Generator().manual_seed(0))
    keep = global_random_mask(chance, 2, 3)
    assert not (keep & ~causal_mask(T, T)).any()
    assert keep.sum(-1).tolist() == [min(i + 1, 5) for i in range(T)]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: window_mask(3, 3, 0), "at least the query's own key, got 0"),
        (lambda: strided_mask(3, 3, 0), "at least 1, got 0"),
        (lambda: global_random_mask(torch.rand(3, 3), -1, 0), r"num_global \(-1\)"),
        (lambda: global_random_mask(torch.rand(3, 3), 0, -2), r"num_random \(-2\)"),
        (lambda: layers_to_reach(torch.ones(3, 4, dtype=torch.bool)), r"\(3, 4\)"),
    ],
)
def test_masks_that_mean_nothing_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
    window_mask(3, 3, 1)


# Reach


def by_walking(keep):
    """Breadth first, token by token, in plain Python."""
    size = len(keep)
    found = torch.full((size, size), -1)
    for i in range(size):
        found[i, i], edge, depth = 0, {i}, 0
        while edge:
            depth += 1
            edge = {j for k in edge for j in range(size) if keep[k, j] and found[i, j] < 0}
            for j in edge:
                found[i, j] = depth
    return found


def test_reach_by_hand():
    assert layers_to_reach(window_mask(5, 5, 2)).tolist() == [
        [0, -1, -1, -1, -1],
        [1, 0, -1, -1, -1],
        [2, 1, 0, -1, -1],
        [3, 2, 1, 0, -1],
        [4, 3, 2, 1, 0],
    ]


def test_reach_is_that_of_a_walk():
    draw = torch.Generator().manual_seed(1)
    for size in (1, 2, 9, 14):
        keep = torch.rand(size, size, generator=draw) < 0.2
        assert torch.equal(layers_to_reach(keep), by_walking(keep))


def test_depth_widens_a_window():
    for window in (2, 3, 5):
        layers = layers_to_reach(window_mask(T, T, window))
        assert layers.max() == -(-(T - 1) // (window - 1))


def test_window_and_stride_reach_all_in_two():
    keep = window_mask(25, 25, 5) | strided_mask(25, 25, 5)
    assert layers_to_reach(keep).max() == 2


# Windowed attention


@pytest.mark.parametrize("window", [1, 2, 3, 4, 12, 13, 14, 50])
@pytest.mark.parametrize("new", [1, 5, T])
def test_windowed_is_masked_full_attention(window, new):
    q, k, v = normal(B, H, new, D), normal(B, H, T, D, seed=1), normal(B, H, T, DV, seed=2)
    want = scaled_dot_product_attention(q, k, v, window_mask(new, T, window))
    torch.testing.assert_close(windowed_attention(q, k, v, window), want, rtol=0, atol=1e-12)
    single = windowed_attention(q.float(), k.float(), v.float(), window)
    torch.testing.assert_close(single, want.float(), rtol=0, atol=1e-5)


def test_windowed_gradients_are_those_of_masked_full_attention():
    inputs = [normal(B, T, w, seed=s).requires_grad_() for s, w in enumerate((D, D, DV))]
    want = scaled_dot_product_attention(*inputs, window_mask(T, T, 4))
    grad = normal(B, T, DV, seed=9)
    for a, b in zip(
        torch.autograd.grad(want, inputs, grad),
        torch.autograd.grad(windowed_attention(*inputs, 4), inputs, grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_windowed_never_builds_the_square():
    time, window = 1024, 16
    q = normal(1, time, 4, dtype=torch.float32)
    with Largest() as windowed:
        windowed_attention(q, q, q, window)
    with Largest() as full:
        scaled_dot_product_attention(q, q, q, window_mask(time, time, window))
    assert full.found == time**2
    assert windowed.found == time * 4  # the answer itself


def test_windowed_work_grows_with_the_length():
    def flops(time):
        q = torch.zeros(1, time, 8)
        with FlopCounterMode(display=False) as counter:
            windowed_attention(q, q, q, 32)
        return counter.get_total_flops()

    assert flops(2048) / flops(1024) == pytest.approx(2, rel=0.03)


def test_windows_for_queries_without_a_position_are_refused():
    q, k = normal(5, D), normal(4, D)
    with pytest.raises(ValueError, match=r"newest of the keys' positions, got \(5, 7\), \(4, 7\)"):
        windowed_attention(q, k, k, 2)
    with pytest.raises(ValueError, match="at least the query's own key, got 0"):
        windowed_attention(k, k, k, 0)
    assert windowed_attention(q[:4], k, k, 2).shape == (4, D)


# Linear attention


def by_the_square(q, k, v, keep):
    weights = positive_features(q) @ positive_features(k).mT * keep
    return weights / weights.sum(-1, keepdim=True) @ v


def test_features_are_elu_plus_one_and_never_zero():
    x = torch.linspace(-5, 5, 101, dtype=DOUBLE)
    torch.testing.assert_close(positive_features(x), torch.nn.functional.elu(x) + 1)
    low = torch.tensor([-30.0])
    assert torch.nn.functional.elu(low) + 1 == 0
    assert positive_features(low) > 0
    x = torch.tensor([1e4, 0.0, -1e4], requires_grad=True)
    positive_features(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 0]


@pytest.mark.parametrize("new", [1, 5, T])
def test_linear_attention_is_a_mixture_by_shares(new):
    q, k, v = normal(B, new, D), normal(B, T, D, seed=1), normal(B, T, DV, seed=2)
    for causal in (True, False):
        keep = causal_mask(new, T) if causal else torch.ones(new, T, dtype=torch.bool)
        want = by_the_square(q, k, v, keep)
        got = linear_attention(q, k, v, causal)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_parallel_and_recurrent_forms_are_equal():
    for dtype, bar in ((DOUBLE, 1e-12), (torch.float32, 1e-6)):
        q, k, v = (normal(B, 50, w, seed=s, dtype=dtype) for s, w in enumerate((D, D, DV)))
        context, total = q.new_zeros(B, D, DV), q.new_zeros(B, D)
        outs = []
        for t in range(50):
            out, context, total = linear_attention_step(q[:, t], k[:, t], v[:, t], context, total)
            outs.append(out)
        difference = (torch.stack(outs, 1) - linear_attention(q, k, v)).abs().max()
        assert difference < bar


def test_linear_attention_by_hand():
    q, k, v = torch.zeros(2, 1), torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    assert linear_attention(q, k, v).tolist() == [[1.0], [4.0]]  # shares 1 and 3 of 4
    assert linear_attention(q, k, v, causal=False).tolist() == [[4.0], [4.0]]


def test_linear_step_costs_the_same_after_any_past():
    def flops(past):
        context, total = torch.zeros(D, DV), torch.zeros(D)
        for _ in range(past):
            _, context, total = linear_attention_step(
                torch.ones(D), torch.ones(D), torch.ones(DV), context, total
            )
        with FlopCounterMode(display=False) as counter:
            linear_attention_step(torch.ones(D), torch.ones(D), torch.ones(DV), context, total)
        return counter.get_total_flops()

    assert flops(1) == flops(100) == 2 * D * DV


def test_linear_attention_never_builds_the_square():
    q = torch.zeros(1, 512, 4)
    for causal in (True, False):
        with Largest() as seen:
            linear_attention(q, q, q, causal)
        assert seen.found <= 512 * 4 * 4


def test_causal_queries_without_a_position_are_refused():
    q, k = normal(5, D), normal(4, D)
    with pytest.raises(ValueError, match="newest of the keys' positions"):
        linear_attention(q, k, k)
    assert linear_attention(q, k, k, causal=False).shape == (5, D)


# RoPE scaled


def theirs(kind, width, factor, length, trained, theta):
    config = LlamaConfig(
        hidden_size=2 * width,
        num_attention_heads=2,
        head_dim=width,
        max_position_embeddings=trained,
        rope_parameters={"rope_type": kind, "rope_theta": theta, "factor": factor},
    )
    frequencies, _ = ROPE_INIT_FUNCTIONS[kind](config, None, seq_len=length)
    return frequencies.double()


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.7, 8.0])
@pytest.mark.parametrize("length", [100, 512, 513, 5000])
def test_scaling_is_that_of_transformers(factor, length):
    for width, theta in ((64, 100_000.0), (10, 500.0)):
        for method, kind in (("linear", "linear"), ("ntk", "dynamic")):
            got = scale_rope(width, factor, method, length, 512, theta)
            want = theirs(kind, width, factor, length, 512, theta)
            torch.testing.assert_close(got, want, rtol=3e-6, atol=0)


def test_scaling_by_hand():
    assert scale_rope(4, 2.0, "linear", 9, 9, 16.0).tolist() == [0.5, 0.125]
    # Twice as long, by a factor of 1: 16 · 2^(4/2) = 64, whose root is 8.
    assert scale_rope(4, 1.0, "ntk", 20, 10, 16.0).tolist() == [1.0, 0.125]
    assert scale_rope(4, 5.0, "ntk", 10, 10, 16.0).tolist() == [1.0, 0.25]


def test_a_slowest_pair_is_stretched_by_the_length():
    plain = scale_rope(64, 1.0, "ntk", 1, 512)
    scaled = scale_rope(64, 1.0, "ntk", 2048, 512)
    ratio = plain / scaled
    assert ratio[0] == 1
    assert ratio[-1] == pytest.approx(4)
    assert (ratio.diff() > 0).all()


def test_rotate_is_apply_rope_where_nothing_is_scaled():
    x, positions = normal(B, T, 8), torch.arange(T) + 40
    plain = scale_rope(8, 1.0, "linear", T, T, 700.0)
    torch.testing.assert_close(
        rotate(x, positions, plain), apply_rope(x, positions, 700.0), rtol=0, atol=1e-12
    )
    third = scale_rope(8, 3.0, "linear", T, T, 700.0)
    torch.testing.assert_close(
        rotate(x, positions, third),
        apply_rope(x, positions.double() / 3, 700.0),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((8, 2.0, "yarn", 9, 9), "'yarn'"),
        ((8, 0.5, "linear", 9, 9), "got 0.5"),
        ((7, 2.0, "linear", 9, 9), "must be even, got 7"),
        ((2, 2.0, "ntk", 9, 9), "width 2"),
    ],
)
def test_scaling_that_means_nothing_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        scale_rope(*arguments)
    scale_rope(2, 2.0, "linear", 9, 9)


# The ring, in one process


def around(parts, causal):
    """All ranks in one process, and the elements that one of them sends."""
    ranks = [RingAttention(*part, r, len(parts), causal) for r, part in enumerate(parts)]
    sent = 0
    for _ in range(len(parts) - 1):
        letters = [one.outgoing() for one in ranks]
        sent += sum(t.numel() for t in letters[0])
        for r, one in enumerate(ranks):
            one.receive(*letters[r - 1])
    return torch.cat([one.result() for one in ranks], -2), sent


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_ranks_together_are_one_attention(causal, ranks):
    time = 15 if ranks in (3, 5) else 14
    q, k, v = normal(B, H, time, D), normal(B, H, time, D, seed=1), normal(B, H, time, DV, seed=2)
    keep = causal_mask(time, time) if causal else None
    out, sent = around(by_rank(ranks, q, k, v), causal)
    want = scaled_dot_product_attention(q, k, v, keep)
    torch.testing.assert_close(out, want, rtol=0, atol=1e-12)
    part = time // ranks
    assert 8 * sent == ring_bytes((B, H, part, D), (B, H, part, DV), ranks, 8, backward=False)


def test_ranks_together_have_the_gradients_of_one_attention():
    inputs = [normal(1, 12, w, seed=s).requires_grad_() for s, w in enumerate((D, D, DV))]
    grad = normal(1, 12, DV, seed=9)
    want = torch.autograd.grad(
        scaled_dot_product_attention(*inputs, causal_mask(12, 12)), inputs, grad
    )
    out, _ = around(by_rank(3, *inputs), True)
    for a, b in zip(torch.autograd.grad(out, inputs, grad), want, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_ring_stands_scores_that_are_far_apart():
    q, k, v = 40 * normal(1, 12, D), 40 * normal(1, 12, D, seed=1), normal(1, 12, DV, seed=2)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        parts = by_rank(4, *(t.to(dtype) for t in (q, k, v)))
        out, _ = around(parts, True)
        assert out.dtype == dtype
        assert out.isfinite().all()


def test_a_rank_never_makes_more_than_a_block():
    parts = by_rank(4, *(normal(1, 256, 4, seed=s) for s in range(3)))
    with Largest() as seen:
        around(parts, True)
    assert seen.found == 64**2


def test_parts_of_a_ring_that_do_not_fit_are_refused():
    q, k, v = normal(4, D), normal(4, D), normal(4, DV)
    for rank in (3, -1):
        with pytest.raises(ValueError, match=f"from 0 to 2, got {rank}"):
            RingAttention(q, k, v, rank, 3, True)
    with pytest.raises(ValueError, match=r"\(4, 7\), \(3, 7\)"):
        RingAttention(q, k[:3], v[:3], 0, 3, True)
    for part in ((q[:3], k, v), (q, k, v[:3]), (q[:, :5], k, v)):
        with pytest.raises(ValueError, match="of one part are needed"):
            RingAttention(*part, 0, 3, True)
    one = RingAttention(q, k, v, 0, 3, True)
    with pytest.raises(ValueError, match=r"\(4, 7\), \(4, 11\) here, \(3, 7\), \(3, 11\) came"):
        one.receive(k[:3], v[:3])
    for keys, values in ((k[:3], v), (k, v[:3]), (k, k), (v, v)):
        with pytest.raises(ValueError, match="all parts are of one size"):
            one.receive(keys, values)
    one.receive(k, v)


# The ring, of real processes


@pytest.mark.parametrize("causal", [True, False])
def test_four_processes_are_one_attention_forward_and_backward(causal):
    time, ranks = 20, 4
    inputs = [normal(B, time, w, seed=s, dtype=torch.float32) for s, w in enumerate((D, D, DV))]
    grad = normal(B, time, DV, seed=9, dtype=torch.float32)
    leaves = [t.clone().requires_grad_() for t in inputs]
    keep = causal_mask(time, time) if causal else None
    want = scaled_dot_product_attention(*leaves, keep)
    want.backward(grad)

    given = [
        dict(zip("qkv", part[:3], strict=True)) | {"grad": part[3], "causal": causal}
        for part in by_rank(ranks, *inputs, grad)
    ]
    found = run_ring(attend, given)
    out = torch.cat([f["out"] for f in found], -2)
    torch.testing.assert_close(out, want.detach(), rtol=0, atol=1e-5)
    for n, leaf in enumerate(leaves):
        got = torch.cat([f["grads"][n] for f in found], -2)
        torch.testing.assert_close(got, leaf.grad, rtol=0, atol=1e-5)
    part = time // ranks
    sent = ring_bytes((B, part, D), (B, part, DV), ranks, 4, backward=True)
    assert [f["sent"] for f in found] == [sent] * ranks


def test_a_class_of_the_readers_own_runs_in_processes():
    q, k, v = (normal(8, w, seed=s) for s, w in enumerate((D, D, DV)))
    given = [dict(zip("qkv", part, strict=True)) | {"causal": True} for part in by_rank(2, q, k, v)]
    found = run_ring(own_class(RingAttention), given, method="fork")
    want = scaled_dot_product_attention(q, k, v, causal_mask(8, 8))
    torch.testing.assert_close(torch.cat([f["out"] for f in found], -2), want)


def test_a_killed_process_is_named_within_seconds():
    killed = {}

    def kill(pids):
        time.sleep(0.2)  # in the middle of it
        os.kill(pids[2], signal.SIGKILL)
        killed["at"] = time.monotonic()

    with pytest.raises(RuntimeError, match="rank 2 of 4 has ended with exit code -9"):
        run_ring(ring_tasks.without_end, [{}] * 4, started=kill)
    assert time.monotonic() - killed["at"] < 30


def test_a_silent_neighbour_is_named():
    with pytest.raises(RuntimeError, match=r"rank 1 of 3 has ended|(for|to) rank 1"):
        run_ring(ring_tasks.rank_1_leaves, [{}] * 3)
