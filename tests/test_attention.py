"""Chapter 3's reference, held to torch, to autograd and to values derived by hand."""

import re
from math import exp, sqrt

import pytest
import torch
from torch.nn import functional as F

from tutor.attention import (
    AttentionHead,
    ParallelSeq2Seq,
    attention_backward,
    attention_scores,
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
    self_attention,
    stable_softmax,
)
from tutor.materials.numbers import VOCABULARY, pairs
from tutor.materials.translator import parameter_count

B, TQ, TK, D, DV, C = 2, 3, 5, 7, 11, 13
DOUBLE = {"atol": 1e-12, "rtol": 1e-12}
SINGLE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def qkv(draw):
    return draw(B, TQ, D), draw(B, TK, D), draw(B, TK, DV)


@pytest.fixture
def keep(draw):
    """Every query may read something, none everything."""
    mask = draw(B, TQ, TK) > 0
    mask[..., 0], mask[..., 1] = True, False
    return mask


def shape(*sizes):
    """A shape as an error message shows it, for ``match``."""
    return re.escape(str(sizes))


# stable_softmax


def test_softmax_of_logarithms_is_proportions():
    scores = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).log()
    expected = torch.tensor([1 / 8, 2 / 8, 5 / 8], dtype=torch.float64)
    torch.testing.assert_close(stable_softmax(scores), expected, **DOUBLE)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_softmax_agrees_with_torch_along_every_dimension(draw, dim):
    scores = draw(B, TQ, TK)
    torch.testing.assert_close(stable_softmax(scores, dim), F.softmax(scores, dim), **DOUBLE)


def test_softmax_survives_scores_whose_exponentials_overflow():
    scores = torch.tensor([[1000.0, 1000.0], [-1000.0, -1001.0]], dtype=torch.float64)
    lower = 1 / (1 + exp(1))
    expected = torch.tensor([[1 / 2, 1 / 2], [1 - lower, lower]], dtype=torch.float64)
    torch.testing.assert_close(stable_softmax(scores), expected, **DOUBLE)


def test_score_of_minus_infinity_gets_weight_zero():
    weights = stable_softmax(torch.tensor([0.0, -torch.inf, 0.0]))
    assert weights.tolist() == [0.5, 0.0, 0.5]


def test_softmax_gradient_is_right(draw):
    assert torch.autograd.gradcheck(stable_softmax, (draw(TQ, TK).requires_grad_(),))


# attention_scores


def test_scores_by_hand():
    q = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    k = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert attention_scores(q, k).tolist() == [[1 / 2, 10 / 2]]  # √4 = 2


def test_scores_are_scaled_dot_products(draw):
    q, k = draw(B, 4, TQ, D), draw(B, 4, TK, D)
    scores = attention_scores(q, k)
    assert scores.shape == (B, 4, TQ, TK)
    expected = (q[1, 2, 0] * k[1, 2, 3]).sum() / sqrt(D)
    torch.testing.assert_close(scores[1, 2, 0, 3], expected, **DOUBLE)


def test_unit_variance_in_gives_unit_variance_out(draw):
    scores = attention_scores(draw(200, 256), draw(300, 256))
    assert scores.std().item() == pytest.approx(1, abs=0.02)


# Masks


def test_causal_mask_by_hand():
    assert causal_mask(3, 3).tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_causal_mask_aligns_the_last_query_with_the_last_key():
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True] * 4]
    assert causal_mask(4, 2).tolist() == [[False] * 2, [False] * 2, [True, False], [True] * 2]


def test_causal_mask_of_new_queries_is_the_end_of_the_whole_mask():
    assert torch.equal(causal_mask(TQ, TK), causal_mask(TK, TK)[-TQ:])


def test_square_causal_mask_is_that_of_torch(draw):
    q, k, v = draw(B, TK, D), draw(B, TK, D), draw(B, TK, DV)
    ours = scaled_dot_product_attention(q, k, v, causal_mask(TK, TK))
    torchs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(ours, torchs, **DOUBLE)


def test_padding_mask_by_hand():
    assert padding_mask(torch.tensor([2, 0, 3]), 3).tolist() == [
        [[True, True, False]],
        [[False, False, False]],
        [[True, True, True]],
    ]


def test_padding_mask_of_two_batch_dimensions_has_them_too():
    mask = padding_mask(torch.tensor([[1, 2], [3, 4], [5, 0]]), TK)
    assert mask.shape == (3, 2, 1, TK)
    assert mask.sum(-1).flatten().tolist() == [1, 2, 3, 4, 5, 0]


# Attention


def test_attention_by_hand():
    # One query, two keys, width 1: the scores are 0 and log 3, the weights 1/4 and 3/4.
    q = torch.tensor([[1.0]], dtype=torch.float64)
    k = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    k[1] = k[1].log()
    v = torch.tensor([[4.0, 0.0], [0.0, 8.0]], dtype=torch.float64)
    weights = torch.tensor([[1 / 4, 3 / 4]], dtype=torch.float64)
    torch.testing.assert_close(attention_weights(q, k), weights, **DOUBLE)
    expected = torch.tensor([[1.0, 6.0]], dtype=torch.float64)
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v), expected, **DOUBLE)


def test_attention_agrees_with_torch(qkv):
    ours = scaled_dot_product_attention(*qkv)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(*qkv), **DOUBLE)


@pytest.mark.parametrize("mask_shape", [(B, TQ, TK), (1, TQ, TK), (B, 1, TK), (TQ, TK), (1, 1)])
def test_attention_with_a_mask_agrees_with_torch(qkv, keep, mask_shape):
    mask = keep.reshape(-1)[: torch.Size(mask_shape).numel()].view(mask_shape).clone()
    mask[..., 0] = True  # torch's answers for rows without a key differ by version
    ours = scaled_dot_product_attention(*qkv, mask)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(*qkv, mask), **DOUBLE)


def test_one_mask_serves_all_heads(draw, keep):
    q, k, v = draw(B, 4, TQ, D), draw(B, 4, TK, D), draw(B, 4, TK, DV)
    together = scaled_dot_product_attention(q, k, v, keep[:, None])
    for h in range(4):
        alone = scaled_dot_product_attention(q[:, h], k[:, h], v[:, h], keep)
        torch.testing.assert_close(together[:, h], alone, **DOUBLE)


def test_weights_of_a_row_sum_to_one_and_hidden_keys_get_none(qkv, keep):
    q, k, _ = qkv
    weights = attention_weights(q, k, keep)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, TQ, dtype=q.dtype), **DOUBLE)
    assert not weights[~keep].any()


def test_query_that_may_read_nothing_gets_zeros(qkv, keep):
    keep[0, 1] = False
    out = scaled_dot_product_attention(*qkv, keep)
    assert not out[0, 1].any()
    rest = torch.ones(B, TQ, dtype=torch.bool)
    rest[0, 1] = False
    expected = F.scaled_dot_product_attention(*qkv, keep)
    torch.testing.assert_close(out[rest], expected[rest], **DOUBLE)


def test_hidden_keys_and_values_have_no_influence(qkv, keep):
    q, k, v = qkv
    keep[:, :, 2] = False
    before = scaled_dot_product_attention(q, k, v, keep)
    k[:, 2], v[:, 2] = 1e6, -1e6
    assert torch.equal(scaled_dot_product_attention(q, k, v, keep), before)


def test_attention_gradient_is_right_even_where_nothing_may_be_read(qkv, keep):
    keep[1, 2] = False
    leaves = tuple(t.requires_grad_() for t in qkv)
    assert torch.autograd.gradcheck(lambda *t: scaled_dot_product_attention(*t, keep), leaves)


def test_self_attention_is_attention_of_three_projections(draw, keep):
    x, w_q, w_k, w_v = draw(B, TK, C), draw(C, D), draw(C, D), draw(C, DV)
    mask = causal_mask(TK, TK)
    linear = (F.linear(x, w.mT) for w in (w_q, w_k, w_v))
    expected = F.scaled_dot_product_attention(*linear, mask)
    torch.testing.assert_close(self_attention(x, w_q, w_k, w_v, mask), expected, **DOUBLE)


def test_self_attention_of_shuffled_tokens_is_shuffled(draw):
    x, weights = draw(B, TK, C), (draw(C, D), draw(C, D), draw(C, DV))
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = self_attention(x[:, order], *weights)
    torch.testing.assert_close(shuffled, self_attention(x, *weights)[:, order], **DOUBLE)


def test_head_is_attention_of_its_three_projections(draw, keep):
    torch.manual_seed(0)
    head = AttentionHead(C).double()
    x, memory = draw(B, TQ, C), draw(B, TK, C)
    q, k, v = x @ head.query.weight.mT, memory @ head.key.weight.mT, memory @ head.value.weight.mT
    expected = F.scaled_dot_product_attention(q, k, v, keep)
    torch.testing.assert_close(head(x, memory, keep), expected, **DOUBLE)
    assert sum(p.numel() for p in head.parameters()) == 3 * C * C


# The translator without recurrence


def translator(positions=None):
    torch.manual_seed(0)
    size = len(VOCABULARY)
    model = ParallelSeq2Seq(size, 6, AttentionHead(6), AttentionHead(6), positions, 4)
    return model.double()


def scores(model, numbers):
    data = pairs(numbers, ["de"])
    return model(data.source, data.lengths, data.target[:1, :2].expand(len(data), 2))


def test_memory_is_embeddings_and_what_they_read_and_the_decoder_starts_from_its_mean():
    model, data = translator(), pairs([203], ["de"])  # two hundred and three: nothing is padded
    states, memory, keep = model.states(data.source, data.lengths, data.target)
    x = model.source_embedding(data.source)
    q, k, v = (
        x @ w.weight.mT for w in (model.encoder.query, model.encoder.key, model.encoder.value)
    )
    torch.testing.assert_close(memory, x + F.scaled_dot_product_attention(q, k, v), **DOUBLE)
    assert keep.shape == (1, 1, 4) and keep.all()
    expected, _ = model.decoder(model.target_embedding(data.target), memory.mean(1)[None])
    torch.testing.assert_close(states, expected, **DOUBLE)


def test_source_without_positions_is_a_set():
    two_hundred_three, three_hundred_two, other = scores(translator(), [203, 302, 304])
    torch.testing.assert_close(two_hundred_three, three_hundred_two, **DOUBLE)
    assert (two_hundred_three - other).abs().max() > 1e-3


def test_source_with_positions_is_a_sequence():
    def places(at, width):
        return at[:, None].double().expand(-1, width) / 10

    two_hundred_three, three_hundred_two = scores(translator(places), [203, 302])
    assert (two_hundred_three - three_hundred_two).abs().max() > 1e-3


def test_translation_without_recurrence_does_not_depend_on_what_pads_it():
    model = translator()
    torch.testing.assert_close(scores(model, [7, 654_321])[:1], scores(model, [7]), **DOUBLE)


def test_future_symbols_of_the_target_change_nothing():
    model, data = translator(), pairs([654_321], ["de"])
    other = data.target.clone()
    other[:, 3:] = 5
    before, after = (model(data.source, data.lengths, t) for t in (data.target, other))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


def test_translator_without_recurrence_has_the_parameters_that_the_benchmark_allows():
    model = ParallelSeq2Seq(len(VOCABULARY), 50, AttentionHead(50), AttentionHead(50))
    assert parameter_count(model) == pytest.approx(45_000, rel=0.03)
    assert not any(isinstance(part, torch.nn.RNNBase) for part in model.encoder.modules())


# The backward pass


def test_backward_by_hand():
    # The weights are 1/4 and 3/4 as above, the width is 1, and the loss is the answer itself:
    # dv = w; dw = v = (4, 0), their mean under w is 1, ds = (1/4 · 3, 3/4 · -1).
    q = torch.tensor([[1.0]], dtype=torch.float64)
    k = torch.tensor([[1.0], [3.0]], dtype=torch.float64).log()
    v = torch.tensor([[4.0], [0.0]], dtype=torch.float64)
    grad_q, grad_k, grad_v = attention_backward(torch.ones_like(q), q, k, v)
    torch.testing.assert_close(grad_q, -3 / 4 * k[1:], **DOUBLE)
    expected = torch.tensor([[3 / 4], [-3 / 4]], dtype=torch.float64)
    torch.testing.assert_close(grad_k, expected, **DOUBLE)
    expected = torch.tensor([[1 / 4], [3 / 4]], dtype=torch.float64)
    torch.testing.assert_close(grad_v, expected, **DOUBLE)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("batch", [(), (B,), (B, 4)])
def test_backward_agrees_with_autograd(draw, masked, batch):
    q, k, v = draw(*batch, TQ, D), draw(*batch, TK, D), draw(*batch, TK, DV)
    keep = None
    if masked:
        keep = draw(*batch, TQ, TK) > 0
        keep[..., 1, :] = False  # this query may read nothing
    grad_out = draw(*batch, TQ, DV)
    leaves = [t.requires_grad_() for t in (q, k, v)]
    out = scaled_dot_product_attention(q, k, v, keep)
    expected = torch.autograd.grad(out, leaves, grad_out)
    with torch.no_grad():
        actual = attention_backward(grad_out, q, k, v, keep)
    torch.testing.assert_close(actual, expected, **DOUBLE)


def test_backward_agrees_with_torchs_own_attention(qkv, draw):
    leaves = [t.requires_grad_() for t in qkv]
    grad_out = draw(B, TQ, DV)
    expected = torch.autograd.grad(F.scaled_dot_product_attention(*leaves), leaves, grad_out)
    torch.testing.assert_close(attention_backward(grad_out, *qkv), expected, **DOUBLE)


# Types and devices


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_is_kept(draw, keep, dtype):
    q, k, v = draw(B, TQ, D, dtype=dtype), draw(B, TK, D, dtype=dtype), draw(B, TK, DV, dtype=dtype)
    grad_out = draw(B, TQ, DV, dtype=dtype)
    answers = [stable_softmax(q), attention_scores(q, k)]
    for mask in (None, keep):
        answers += [attention_weights(q, k, mask), scaled_dot_product_attention(q, k, v, mask)]
        answers += attention_backward(grad_out, q, k, v, mask)
    assert {a.dtype for a in answers} == {dtype}
    assert all(a.isfinite().all() for a in answers)


def test_single_precision_agrees_with_double(qkv, keep):
    expected = scaled_dot_product_attention(*qkv, keep).float()
    actual = scaled_dot_product_attention(*(t.float() for t in qkv), keep)
    torch.testing.assert_close(actual, expected, **SINGLE)


def test_every_device_gives_the_same_answers(qkv, keep, draw, device):
    grad_out = draw(B, TQ, DV)
    here = (scaled_dot_product_attention(*qkv, keep), *attention_backward(grad_out, *qkv, keep))
    moved, mask = [t.to(device) for t in qkv], keep.to(device)
    there = (
        scaled_dot_product_attention(*moved, mask),
        *attention_backward(grad_out.to(device), *moved, mask),
    )
    for a, b in zip(here, there, strict=True):
        assert b.device.type == device
        torch.testing.assert_close(b.cpu(), a, **DOUBLE)


def test_masks_are_made_where_they_are_asked_for(device):
    assert causal_mask(TQ, TK, device=device).device.type == device
    assert padding_mask(torch.tensor([2, 4], device=device), TK).device.type == device


def test_masks_are_made_on_a_device_without_numbers():
    assert causal_mask(TQ, TK, device="meta").is_meta
    assert padding_mask(torch.tensor([2, 4], device="meta"), TK).is_meta


# Bad input: a call that must raise stands beside one that must not. `tests.mutants` relies on the
# word "refused" in these names.


def test_queries_and_keys_of_different_widths_are_refused(draw):
    attention_scores(draw(B, TQ, D), draw(B, TK, D))
    message = f"q {shape(B, TQ, D)}, k {shape(B, TK, D + 1)}"
    with pytest.raises(ValueError, match=f"differ in width, 7 and 8: {message}"):
        attention_scores(draw(B, TQ, D), draw(B, TK, D + 1))


def test_queries_and_keys_of_different_batches_are_refused(draw):
    attention_scores(draw(B, 4, TQ, D), draw(B, 4, TK, D))
    message = f"q {shape(B, TQ, D)}, k {shape(1, TK, D)}"
    with pytest.raises(ValueError, match=f"differ in their batch dimensions: {message}"):
        attention_scores(draw(B, TQ, D), draw(1, TK, D))


def test_missing_time_dimension_is_refused(draw):
    attention_scores(draw(TQ, D), draw(TK, D))
    with pytest.raises(ValueError, match=rf"time and a width dimension: q \({D},\), k \(5, 7\)"):
        attention_scores(draw(D), draw(TK, D))
    with pytest.raises(ValueError, match=rf"time and a width dimension: q \(3, 7\), k \({D},\)"):
        attention_scores(draw(TQ, D), draw(D))


@pytest.fixture
def calls(draw, keep):
    """Each function that takes q, k and keep, on arguments that fit, and the shapes it can name."""
    q, k, v, grad_out = draw(B, TQ, D), draw(B, TK, D), draw(B, TK, DV), draw(B, TQ, DV)
    two = f"q {shape(B, TQ, D)}, k {shape(B, TK, D)}"
    three = f"{two}, v {shape(B, TK, DV)}"
    functions = {
        "weights": (lambda q=q, k=k, v=v, keep=keep: attention_weights(q, k, keep), two),
        "attention": (
            lambda q=q, k=k, v=v, keep=keep: scaled_dot_product_attention(q, k, v, keep),
            three,
        ),
        "backward": (
            lambda q=q, k=k, v=v, keep=keep: attention_backward(grad_out, q, k, v, keep),
            three,
        ),
    }
    for call, _ in functions.values():
        call()
    return functions


@pytest.mark.parametrize("name", ["weights", "attention", "backward"])
@pytest.mark.parametrize("wrong", [(TQ, TK + 1), (TQ + 1, TK), (TK,), (4, B, TQ, TK)])
def test_mask_that_does_not_fit_is_refused(calls, name, wrong):
    call, shapes = calls[name]
    wanted = f"{shape(*wrong)} does not broadcast to .* = {shape(B, TQ, TK)}: {shapes}"
    with pytest.raises(ValueError, match=f"keep {wanted}$"):
        call(keep=torch.ones(wrong, dtype=torch.bool))


@pytest.mark.parametrize("name", ["weights", "attention", "backward"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8])
def test_mask_that_is_not_bool_is_refused(calls, name, dtype):
    call, _ = calls[name]
    with pytest.raises(TypeError, match=f"keep must be bool .*, got {dtype}"):
        call(keep=torch.ones(B, TQ, TK, dtype=dtype))


@pytest.mark.parametrize("name", ["attention", "backward"])
def test_number_of_values_other_than_that_of_keys_is_refused(calls, draw, name):
    call, _ = calls[name]
    message = f"every key needs one value: .*v {shape(B, TK + 1, DV)}"
    with pytest.raises(ValueError, match=message):
        call(v=draw(B, TK + 1, DV))


@pytest.mark.parametrize("name", ["attention", "backward"])
def test_values_of_another_batch_are_refused(calls, draw, name):
    call, _ = calls[name]
    with pytest.raises(ValueError, match=f"every key needs one value: .*v {shape(TK, DV)}"):
        call(v=draw(TK, DV))


@pytest.mark.parametrize("name", ["weights", "attention", "backward"])
def test_widths_that_differ_are_refused_by_all(calls, draw, name):
    call, _ = calls[name]
    with pytest.raises(ValueError, match=f"differ in width, 7 and 6: q .*, k {shape(B, TK, 6)}"):
        call(k=draw(B, TK, 6))


def test_weights_of_different_widths_are_refused_by_self_attention(draw):
    x, w, w_v = draw(B, TK, C), draw(C, D), draw(C, DV)
    self_attention(x, w, w, w_v)
    with pytest.raises(ValueError, match=f"differ in width, 7 and 6: q {shape(B, TK, D)}"):
        self_attention(x, w, draw(C, 6), w_v)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_lengths_that_are_no_integers_are_refused(dtype):
    padding_mask(torch.tensor([1, 0], dtype=torch.int32), TK)
    with pytest.raises(TypeError, match=f"lengths must be integers, got {dtype}"):
        padding_mask(torch.tensor([1, 0], dtype=dtype), TK)
