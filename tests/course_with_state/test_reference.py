"""``RunningSoftmax`` against torch's softmax, and against values derived by hand."""

import math

import pytest
import torch

from tests.course_with_state.reference import RunningSoftmax

B, H, T, W = 2, 3, 13, 11


def running(scores, values, *lengths):
    made = RunningSoftmax(scores.shape[:-1], values.shape[-1], scores.dtype)
    for s, v in zip(scores.split(lengths, -1), values.split(lengths, -2), strict=True):
        made.update(s, v)
    return made


@pytest.mark.parametrize("lengths", [(13,), (5, 8), (1, 0, 12), (1,) * 13])
def test_result_is_torchs_softmax_wherever_the_keys_are_cut(draw, lengths):
    scores, values = 3 * draw(B, H, T), draw(B, H, T, W)
    expected = (scores.softmax(-1)[..., None, :] @ values).squeeze(-2)
    torch.testing.assert_close(running(scores, values, *lengths).result(), expected)


def test_state_by_hand():
    made = RunningSoftmax((), 1, torch.float64)
    assert (made.maximum, made.normaliser, made.weighted.tolist()) == (-math.inf, 0, [0])
    made.update(torch.tensor([0.0, 0.0]).double(), torch.tensor([[1.0], [3.0]]).double())
    assert (made.maximum, made.normaliser, made.weighted.tolist()) == (0, 2, [4])
    # ln 2 is the new maximum: what was there before counts half.
    made.update(torch.tensor([2.0]).double().log(), torch.tensor([[5.0]]).double())
    assert made.maximum == math.log(2)
    torch.testing.assert_close(made.normaliser, torch.tensor(2.0).double())
    torch.testing.assert_close(made.result(), torch.tensor([3.5]).double())


def test_scores_beyond_what_exp_can_take_lose_nothing(draw):
    scores, values = draw(B, H, T), draw(B, H, T, W)
    low = running(scores, values, 5, 8).result()
    torch.testing.assert_close(running(scores + 2000, values, 5, 8).result(), low)
    torch.testing.assert_close(running(scores - 2000, values, 5, 8).result(), low)


def test_row_that_has_seen_no_key_is_zero(draw):
    scores, values = draw(B, H, T), draw(B, H, T, W)
    scores[0, 1] = -torch.inf
    result = running(scores, values, 5, 8).result()
    assert not result[0, 1].any() and result.isfinite().all() and result[1].all()


def test_state_stays_in_its_memory(draw):
    made = RunningSoftmax((B, H), W, torch.float64)
    places = [t.data_ptr() for t in (made.maximum, made.normaliser, made.weighted)]
    made.update(draw(B, H, T), draw(B, H, T, W))
    assert [t.data_ptr() for t in (made.maximum, made.normaliser, made.weighted)] == places


def test_shapes_that_do_not_fit_are_refused(draw):
    made = RunningSoftmax((B, H), W, torch.float64)
    made.update(draw(B, H, T), draw(B, H, T, W))
    for scores, values in (
        (draw(H, B, T), draw(H, B, T, W)),
        (draw(B, H, T), draw(B, H, T, W + 1)),
        (draw(B, H, T), draw(B, H, T + 1, W)),
    ):
        with pytest.raises(ValueError, match=r"do not fit a batch of \(2, 3\)"):
            made.update(scores, values)
