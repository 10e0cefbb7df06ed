"""The counting process does what a student's process asks of it: no request shows it more than the
inputs, or writes beside its tensors."""

import pytest
import torch

from tutor.checks.cost import countable
from tutor.sandbox.inside.counter import Guarded


def guarded(inputs):
    mode = Guarded()
    mode.begin(inputs)
    return mode


@pytest.fixture
def inputs():
    return [torch.randn(40, 50, dtype=torch.float64)]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.empty(2000, dtype=torch.float64),
        lambda x: torch.empty_like(x),
        lambda x: x.new_empty(2000),
        lambda x: torch.empty_strided((2, 3), (500, 7), dtype=torch.float64),
        lambda x: x.new_empty_strided((2, 3), (500, 7)),
        lambda x: torch.empty_permuted((40, 50), (1, 0), dtype=torch.float64),
    ],
    ids=["empty", "empty_like", "new_empty", "strided", "new strided", "permuted"],
)
def test_fresh_memory_holds_nothing_of_what_was_freed(inputs, make):
    for _ in range(20):
        freed = [torch.full((2000,), 7.0, dtype=torch.float64) for _ in range(3)]
        del freed
        with guarded(inputs):
            made = make(inputs[0])
        whole = torch.empty(0, dtype=made.dtype).set_(made.untyped_storage())
        assert whole.numel() >= made.numel() and not whole.any()


@pytest.mark.parametrize(
    "repeat",
    [
        lambda r: torch.ops.aten.repeat_interleave.Tensor(r, output_size=4),
        lambda r: torch.repeat_interleave(torch.ones(2), r, output_size=4),
        lambda r: torch.ops.aten.repeat_interleave.Tensor_out(
            r, output_size=4, out=torch.empty(0, dtype=torch.long)
        ),
    ],
    ids=["indices", "values", "out"],
)
def test_negative_repeats_are_refused_before_anything_is_written(inputs, repeat):
    with guarded(inputs), pytest.raises(RuntimeError, match="negative"):
        repeat(torch.tensor([3_000_000, -2_999_996]))


def test_what_looks_beyond_its_tensor_cannot_be_counted():
    assert not countable(torch.ops.aten._reshape_alias.default)
    with pytest.raises(RuntimeError, match="out of bounds"):
        torch.ops.aten.as_strided(torch.zeros(4), [500], [1])
