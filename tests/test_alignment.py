"""Chapter 2's reference, held to torch and to values derived by hand."""

import re
from math import atanh, log, tanh

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tutor.alignment import (
    AdditiveAttention,
    AttentionSeq2Seq,
    DotAttention,
    GeneralAttention,
    additive_scores,
    attend,
    dot_scores,
    general_scores,
    masked_softmax,
)
from tutor.materials.numbers import VOCABULARY, pairs
from tutor.materials.translator import parameter_count

B, T, S, CX, CM, A = 2, 3, 5, 7, 11, 13
DOUBLE = {"atol": 1e-12, "rtol": 1e-12}
SINGLE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def additive(draw):
    """x, memory, w_x, w_memory, v"""
    return draw(B, T, CX), draw(B, S, CM), draw(CX, A), draw(CM, A), draw(A)


@pytest.fixture
def keep(draw):
    """Every state may read something, none everything."""
    mask = draw(B, T, S) > 0
    mask[..., 0], mask[..., 1] = True, False
    return mask


def shape(*sizes):
    """A shape as an error message shows it, for ``match``."""
    return re.escape(str(sizes))


# Scores


def test_additive_score_by_hand():
    # Two hidden units: tanh(1/2 + 1/4) and tanh(1 - 1), weighed with 2 and 3.
    x, memory = torch.tensor([[1.0]]), torch.tensor([[2.0]])
    w_x, w_memory = torch.tensor([[0.5, 1.0]]), torch.tensor([[0.125, -0.5]])
    score = additive_scores(x, memory, w_x, w_memory, torch.tensor([2.0, 3.0]))
    assert score.item() == pytest.approx(2 * tanh(0.75))


def test_additive_score_of_known_hidden_units():
    x = torch.tensor([[atanh(0.5)], [atanh(-0.5)]], dtype=torch.float64)
    memory, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    scores = additive_scores(x, memory, one, one, 4 * one[0])
    torch.testing.assert_close(scores, torch.tensor([[2.0], [-2.0]]).double(), **DOUBLE)


def test_additive_scores_are_a_network_on_each_pair(additive):
    x, memory, w_x, w_memory, v = additive
    scores = additive_scores(*additive)
    assert scores.shape == (B, T, S)
    network = torch.nn.Sequential(
        torch.nn.Linear(CX + CM, A, bias=False), torch.nn.Tanh(), torch.nn.Linear(A, 1, bias=False)
    ).double()
    network[0].weight.data, network[2].weight.data = torch.cat((w_x, w_memory)).mT, v[None]
    for b, i, j in ((0, 0, 0), (1, 2, 4), (1, 0, 3)):
        pair = torch.cat((x[b, i], memory[b, j]))
        torch.testing.assert_close(scores[b, i, j], network(pair)[0], **DOUBLE)


def test_dot_scores_are_dot_products(draw):
    x, memory = draw(B, T, CX), draw(B, S, CX)
    scores = dot_scores(x, memory)
    assert scores.shape == (B, T, S)
    torch.testing.assert_close(scores[1, 2, 3], x[1, 2].dot(memory[1, 3]), **DOUBLE)


def test_general_scores_by_hand():
    # Feature 0 of the one is worth something with feature 1 of the other only.
    w = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    x, memory = torch.eye(2), torch.eye(2)
    assert general_scores(x, memory, w).tolist() == [[0.0, 2.0], [0.0, 0.0]]


def test_general_scores_agree_with_torchs_bilinear_form(draw):
    x, memory, w = draw(B, T, CX), draw(B, S, CM), draw(CX, CM)
    asked = x[:, :, None].expand(B, T, S, CX).contiguous()
    found = memory[:, None].expand(B, T, S, CM).contiguous()
    expected = F.bilinear(asked, found, w[None])[..., 0]
    torch.testing.assert_close(general_scores(x, memory, w), expected, **DOUBLE)


def test_general_with_the_identity_is_dot(draw):
    x, memory = draw(B, T, CX), draw(B, S, CX)
    scores = general_scores(x, memory, torch.eye(CX, dtype=torch.float64))
    torch.testing.assert_close(scores, dot_scores(x, memory), **DOUBLE)


def test_gradients_of_the_scores_are_right(additive, draw):
    leaves = tuple(t.requires_grad_() for t in additive)
    assert torch.autograd.gradcheck(additive_scores, leaves)
    w = draw(CX, CM).requires_grad_()
    assert torch.autograd.gradcheck(general_scores, (*leaves[:2], w))


# Softmax


def test_softmax_by_hand():
    # 1, 2 and 5 are in the proportion of 1/8, 2/8, 5/8; without the last, of 1/3 and 2/3.
    scores = torch.tensor([[1.0, 2.0, 5.0]] * 3, dtype=torch.float64).log()
    keep = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])
    expected = torch.tensor([[1 / 8, 2 / 8, 5 / 8], [1 / 3, 2 / 3, 0], [0, 0, 0]]).double()
    torch.testing.assert_close(masked_softmax(scores, keep), expected, atol=1e-7, rtol=1e-7)


def test_softmax_agrees_with_torch(draw, keep):
    scores = draw(B, T, S)
    torch.testing.assert_close(masked_softmax(scores), F.softmax(scores, -1), **DOUBLE)
    hidden = scores.masked_fill(~keep, -torch.inf)
    torch.testing.assert_close(masked_softmax(scores, keep), F.softmax(hidden, -1), **DOUBLE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_softmax_is_finite_at_the_ends_of_every_precision(dtype):
    large = torch.finfo(dtype).max / 4
    scores = torch.tensor([[large, 0.0, -large], [-large, -large, large]], dtype=dtype)
    keep = torch.tensor([[True, True, False], [True, True, False]])
    weights = masked_softmax(scores, keep)
    assert weights.tolist() == [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
    assert weights.dtype == dtype


def test_hidden_scores_have_no_influence(draw, keep):
    scores = draw(B, T, S)
    before = masked_softmax(scores, keep)
    assert torch.equal(masked_softmax(torch.where(keep, scores, 1e300), keep), before)


def test_softmax_gradient_is_right_even_where_nothing_may_be_read(draw, keep):
    keep[1, 2] = False
    scores = draw(B, T, S).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: masked_softmax(s, keep), (scores,))


# Attend


def test_attend_by_hand():
    scores = torch.tensor([[0.0, log(3)]], dtype=torch.float64)
    memory = torch.tensor([[4.0, 0.0], [0.0, 8.0]], dtype=torch.float64)
    read, weights = attend(scores, memory)
    torch.testing.assert_close(weights, torch.tensor([[1 / 4, 3 / 4]]).double(), **DOUBLE)
    torch.testing.assert_close(read, torch.tensor([[1.0, 6.0]]).double(), **DOUBLE)
    read, weights = attend(scores, memory, torch.tensor([[True, False]]))
    assert read.tolist() == [[4.0, 0.0]] and weights.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("mask_shape", [(B, T, S), (1, T, S), (B, 1, S), (T, S), (1, 1)])
def test_attend_agrees_with_torchs_attention(draw, keep, mask_shape):
    # Keys that are unit vectors make torch's scores our queries.
    scores, memory = draw(B, T, S), draw(B, S, CM)
    mask = keep.reshape(-1)[: torch.Size(mask_shape).numel()].view(mask_shape).clone()
    mask[..., 0] = True  # torch's answers for rows without a key differ by version
    eye = torch.eye(S, dtype=torch.float64).expand(B, S, S)
    wide = mask.expand(B, T, S)
    expected = F.scaled_dot_product_attention(scores, eye, memory, wide, scale=1.0)
    torch.testing.assert_close(attend(scores, memory, mask)[0], expected, **DOUBLE)


def test_state_that_may_read_nothing_reads_zeros(draw, keep):
    keep[0, 1] = False
    read, weights = attend(draw(B, T, S), draw(B, S, CM), keep)
    assert not read[0, 1].any() and not weights[0, 1].any()
    assert read.isfinite().all()


def test_gradient_of_attend_is_right(draw, keep):
    keep[0, 1] = False
    leaves = draw(B, T, S).requires_grad_(), draw(B, S, CM).requires_grad_()
    assert torch.autograd.gradcheck(lambda s, m: attend(s, m, keep), leaves)


def test_single_precision_agrees_with_double(additive, draw, keep):
    double = additive_scores(*additive)
    single = additive_scores(*(t.float() for t in additive))
    torch.testing.assert_close(single, double.float(), **SINGLE)
    memory = additive[1]
    for a, b in zip(
        attend(single, memory.float(), keep), attend(double, memory, keep), strict=True
    ):
        torch.testing.assert_close(a, b.float(), **SINGLE)


# Modules


@pytest.mark.parametrize(
    "attention", [AdditiveAttention(6, 4), GeneralAttention(6), DotAttention()]
)
def test_what_a_module_reads_is_its_weights_times_the_memory(draw, attention):
    attention = attention.double()
    x, memory, keep = draw(B, T, 6), draw(B, S, 6), torch.tensor([[[True] * 3 + [False] * 2]] * B)
    weights = attention.weights(x, memory, keep)
    assert weights.shape == (B, T, S) and not weights[..., 3:].any()
    torch.testing.assert_close(attention(x, memory, keep), weights @ memory, **DOUBLE)
    assert attention(x, memory).shape == (B, T, 6)


@pytest.fixture
def translator():
    torch.manual_seed(0)
    return AttentionSeq2Seq(len(VOCABULARY), 6, AdditiveAttention(6, 4)).eval()


def test_translation_does_not_depend_on_what_pads_it(translator):
    both = pairs([7, 654_321], ["de"])
    alone = pairs([7], ["de"])
    target = both.target[:, :2]
    together = translator(both.source, both.lengths, target)
    by_itself = translator(alone.source, alone.lengths, target[:1])
    torch.testing.assert_close(together[:1], by_itself, **SINGLE)


def test_alignment_is_a_share_for_each_real_symbol_of_the_source(translator):
    data = pairs([7, 654_321], ["de"])
    alignment = translator.alignment(data.source, data.lengths, data.target)
    assert alignment.shape == (2, data.target.shape[1], data.source.shape[1])
    torch.testing.assert_close(alignment.sum(-1), torch.ones(alignment.shape[:2]), **SINGLE)
    assert not alignment[0, :, data.lengths[0] :].any()


def test_future_symbols_of_the_target_change_nothing(translator):
    data = pairs([654_321], ["de"])
    other = data.target.clone()
    other[:, 3:] = 5
    before, after = (translator(data.source, data.lengths, t) for t in (data.target, other))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


def test_translators_have_the_parameters_that_the_benchmark_allows():
    for width, attention in (
        (56, AdditiveAttention(56, 24)),
        (56, GeneralAttention(56)),
        (58, DotAttention()),
    ):
        count = parameter_count(AttentionSeq2Seq(len(VOCABULARY), width, attention))
        assert count == pytest.approx(45_000, rel=0.03)


# Work


def test_each_state_is_projected_once_and_not_once_for_each_pair(additive):
    with FlopCounterMode(display=False) as counter:
        additive_scores(*additive)
    # The product with one vector v is none that this counter knows.
    assert counter.get_total_flops() == 2 * B * (T * CX * A + S * CM * A)


# Bad input: a call that must raise stands beside one that must not. `tests.mutants` relies on the
# word "refused" in these names.


def test_additive_arguments_that_do_not_fit_are_refused(additive, draw):
    x, memory, w_x, w_memory, v = additive
    additive_scores(*additive)
    message = rf"w_x must be \(7, 13\), got \(7, 12\): x {shape(B, T, CX)}"
    with pytest.raises(ValueError, match=message):
        additive_scores(x, memory, w_x[:, :-1], w_memory, v)
    with pytest.raises(ValueError, match=r"w_memory must be \(11, 13\), got \(13, 11\)"):
        additive_scores(x, memory, w_x, w_memory.mT, v)
    with pytest.raises(ValueError, match=r"v must be one vector, got \(13, 1\)"):
        additive_scores(x, memory, w_x, w_memory, v[:, None])
    with pytest.raises(ValueError, match=r"w_x must be \(7, 1\), got \(7, 13\)"):
        additive_scores(x, memory, w_x, w_memory, v[:1])
    with pytest.raises(ValueError, match=rf"batch dimensions: x {shape(T, CX)}, memory"):
        additive_scores(x[0], memory, w_x, w_memory, v)
    with pytest.raises(ValueError, match=r"time and a width dimension: x \(7,\), memory"):
        additive_scores(x[0, 0], memory[0, 0], w_x, w_memory, v)


def test_dot_of_different_widths_is_refused(draw):
    dot_scores(draw(B, T, CX), draw(B, S, CX))
    with pytest.raises(ValueError, match=f"differ in width, 7 and 11: x {shape(B, T, CX)}"):
        dot_scores(draw(B, T, CX), draw(B, S, CM))


def test_general_arguments_that_do_not_fit_are_refused(draw):
    x, memory, w = draw(B, T, CX), draw(B, S, CM), draw(CX, CM)
    general_scores(x, memory, w)
    with pytest.raises(ValueError, match=r"w must be \(Cx, Cm\) = \(7, 11\), got \(11, 7\)"):
        general_scores(x, memory, w.mT)
    with pytest.raises(ValueError, match=r"w must be \(Cx, Cm\) = \(7, 11\), got \(7,\)"):
        general_scores(x, memory, w[:, 0])
    with pytest.raises(ValueError, match=f"batch dimensions: .*, memory {shape(1, S, CM)}"):
        general_scores(x, memory[:1], w)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8])
def test_mask_that_is_not_bool_is_refused(draw, keep, dtype):
    scores, memory = draw(B, T, S), draw(B, S, CM)
    attend(scores, memory, keep)
    for call in (lambda k: masked_softmax(scores, k), lambda k: attend(scores, memory, k)):
        with pytest.raises(TypeError, match=f"keep must be bool .*, got {dtype}"):
            call(keep.to(dtype))


@pytest.mark.parametrize("wrong", [(T, S + 1), (T + 1, S), (4, B, T, S), (B, S), (S,)])
def test_mask_that_does_not_fit_is_refused(draw, keep, wrong):
    scores = draw(B, T, S)
    masked_softmax(scores, keep)
    message = f"keep {shape(*wrong)} does not broadcast to the scores {shape(B, T, S)}"
    with pytest.raises(ValueError, match=message):
        masked_softmax(scores, torch.ones(wrong, dtype=torch.bool))


def test_memory_without_a_score_for_each_state_is_refused(draw):
    scores, memory = draw(B, T, S), draw(B, S, CM)
    attend(scores, memory)
    for wrong in (draw(B, S + 1, CM), draw(S, CM), draw(1, S, CM), draw(S)):
        with pytest.raises(ValueError, match=f"one score: .*, memory {shape(*wrong.shape)}"):
            attend(scores, wrong)
    with pytest.raises(ValueError, match=f"one score: scores {shape(S)}"):
        attend(scores[0, 0], memory)


def test_odd_width_is_refused():
    AttentionSeq2Seq(9, 6, DotAttention())
    with pytest.raises(ValueError, match="width must be even, for two directions, got 7"):
        AttentionSeq2Seq(9, 7, DotAttention())
