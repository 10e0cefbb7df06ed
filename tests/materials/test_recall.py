"""The task of remembering one symbol."""

import pytest
import torch
from torch.nn import functional as F

from tutor.materials.recall import CELLS, KINDS, WIDTH, Recall, learn, share_recalled

SYMBOLS, LENGTHS = torch.tensor([[3, 1, 4, 1], [5, 2, 0, 0], [7, 0, 0, 0]]), torch.tensor([4, 2, 1])


@pytest.mark.parametrize("cell", CELLS)
def test_answers_come_from_the_last_real_symbol(cell):
    model, other = Recall(cell), SYMBOLS.clone()
    other[1, 2:], other[2, 1:] = 6, 6
    assert model(SYMBOLS, LENGTHS).shape == (3, KINDS)
    assert torch.equal(model(SYMBOLS, LENGTHS), model(other, LENGTHS))


def test_the_open_gate_is_the_forget_gate():
    closed, opened = (Recall(c).layer.state_dict() for c in ("LSTM", "LSTM, forget gate open"))
    changed = opened["bias_ih_l0"] - closed["bias_ih_l0"]
    wanted = torch.zeros(4, WIDTH)
    wanted[1] = 2  # torch's order: i, f, g, o
    torch.testing.assert_close(changed, wanted.flatten())
    assert all(torch.equal(closed[n], opened[n]) for n in closed if n != "bias_ih_l0")


def test_norms_of_a_tenth_in_each_step_fall_by_one():
    model = Recall("RNN")
    with torch.no_grad():
        for parameter in model.layer.parameters():
            parameter.zero_()
        model.layer.weight_hh_l0.copy_(0.1 * torch.eye(WIDTH))
    torch.testing.assert_close(model.norms(4), torch.tensor([0, -1, -2, -3, -4]).double())


def test_what_stood_just_before_is_soon_learned():
    share, watched = learn(Recall("RNN"), torch.tensor([1]), 150, watch=(0, 100))
    assert share > 0.9 and watched.keys() == {0, 100}
    assert not torch.equal(watched[0], watched[100])


def test_share_recalled_of_models_that_know_and_guess():
    def first(symbols, lengths):
        return F.one_hot(symbols[:, 0], KINDS)

    def last(symbols, lengths):
        return F.one_hot(symbols[:, -1], KINDS)

    assert share_recalled(first, 5) == share_recalled(last, 0) == 1
    assert 0.05 < share_recalled(last, 5) < 0.25
