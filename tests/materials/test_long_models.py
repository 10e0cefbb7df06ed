"""Chapter 12's small models and their tasks."""

import pytest
import torch

from tutor.attention import scaled_dot_product_attention
from tutor.long_context import layers_to_reach, window_mask, windowed_attention
from tutor.materials.long_models import (
    KIND_NAMES,
    KINDS,
    TIME,
    Reader,
    by_distance,
    pattern,
    remembering,
    softmax,
    trained_to_remember,
    with_sinks,
)


def test_rows_say_which_symbol_was_marked():
    rows = remembering(50, torch.Generator().manual_seed(0))
    symbols, marks = rows.tokens.unbind(-1)
    assert (marks.sum(1) == 1).all()
    for row in range(50):
        at = int(marks[row].argmax())
        assert (rows.said[row, :at] == -100).all()
        assert (rows.said[row, at:] == symbols[row, at]).all()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_pattern_has_its_window_and_no_future(kind):
    keep = pattern(kind, 4)
    assert (keep & window_mask(TIME, TIME, 4)).sum() == window_mask(TIME, TIME, 4).sum()
    assert not keep.triu(1).any()
    assert layers_to_reach(keep).tril().min() == 0


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match="got 'a spiral'"):
        pattern("a spiral", 4)


def test_what_is_out_of_reach_is_guessed():
    keep = pattern("a window", 3)
    model = trained_to_remember(keep, steps=3, num_layers=1)
    tokens = torch.zeros(2, TIME, 2, dtype=torch.long)
    tokens[1, 0] = torch.tensor([5, 1])  # another symbol, marked, at the beginning
    with torch.no_grad():
        one, other = model(tokens)
    assert torch.equal(one[3:], other[3:])
    assert not torch.equal(one[:3], other[:3])


def test_shares_by_distance_are_of_what_was_asked():
    class Right(torch.nn.Module):
        def forward(self, tokens):
            at = tokens[..., 1].argmax(-1, keepdim=True)
            return (
                torch.nn.functional.one_hot(tokens[..., 0].gather(1, at), KINDS)
                .float()
                .expand(-1, tokens.shape[1], -1)
            )

    found = by_distance(Right(), 200)
    assert found.shape == (TIME,)
    assert (found == 1).all()


@pytest.mark.parametrize("window", [1, 3, 7, 40])
@pytest.mark.parametrize("sinks", [0, 1, 4])
def test_sinks_are_a_window_and_the_first_tokens(window, sinks):
    q, k, v = torch.randn(3, 2, 23, 5, dtype=torch.float64).unbind(0)
    at = torch.arange(23)
    keep = window_mask(23, 23, window) | ((at < sinks) & (at <= at[:, None]))
    want = scaled_dot_product_attention(q, k, v, keep)
    torch.testing.assert_close(with_sinks(q, k, v, window, sinks), want, rtol=0, atol=1e-12)
    if sinks == 0:
        torch.testing.assert_close(windowed_attention(q, k, v, window), want, rtol=0, atol=1e-12)


def test_a_reader_is_causal():
    model = Reader((KINDS, 2), KINDS, softmax())
    tokens = torch.randint(2, (1, 9, 2))
    changed = tokens.clone()
    changed[:, 5:] = 1 - changed[:, 5:]
    with torch.no_grad():
        same = (model(tokens) - model(changed)).abs().amax(-1)[0]
    assert (same[:5] == 0).all()
    assert (same[5:] > 0).all()
