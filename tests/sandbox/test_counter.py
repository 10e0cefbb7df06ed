"""The counting process does what a student's process asks of it: no request shows it more than the
inputs, or writes beside its tensors."""

import pytest
import torch
from counting import UNKNOWN, cost_of

from tutor.checks.cost import Cost
from tutor.checks.known import countable
from tutor.sandbox.inside.counted import forwarded
from tutor.sandbox.inside.counter import Counting, Guarded
from tutor.sandbox.inside.proxy import Forwarding


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


class Link:
    """The socket between the two processes, in one, of which torch's recorder sees the first."""

    def __init__(self, counting):
        self.counting = counting

    def send(self, message):
        torch._C._autograd._enable_record_function(False)
        self.reply = self.counting.answer(message)
        torch._C._autograd._enable_record_function(True)

    def recv(self, size):
        return self.reply


def counted_by_proxies(function, *inputs) -> tuple[list[torch.Tensor], Cost]:
    """The answer as the counting process holds it, and what it has counted."""
    counting = Counting(list(inputs))
    forwarding = Forwarding(Link(counting))
    proxies = [forwarding.undescribe(counting.name(t)) for t in inputs]
    response = forwarded(lambda: (function(*proxies), ()), forwarding, False)
    assert response.crash is None, response.crash
    assert counting.trail.told() == response.cost.trail
    outputs = response.outputs.get("tuple", [response.outputs])
    return [counting.tensors[o["proxy"]] for o in outputs], counting.cost


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_list_knows_is_taken_apart_in_a_graded_call_too(name):
    function, inputs = UNKNOWN[name]
    (answer,), cost = counted_by_proxies(function, *inputs)
    torch.testing.assert_close(answer, function(*inputs).resolve_conj(), rtol=1e-12, atol=1e-12)
    at_home = cost_of(function, *inputs)
    assert (cost.flops, cost.written, cost.largest) == (
        at_home.flops,
        at_home.written,
        at_home.largest,
    )
    assert cost.uncountable is None and cost.outside is None


def test_what_could_be_anything_is_not_done():
    x = torch.randn(3, 5, dtype=torch.float64)
    counting = Counting([x])
    forwarding = Forwarding(Link(counting))
    proxy = forwarding.undescribe(counting.name(x))
    for function in (
        torch.fft.rfft,
        lambda x: torch.ops.aten._safe_softmax(x, -1),
        lambda x: torch.ops.prims.fft_r2c(x, dim=[0], onesided=True),
    ):
        response = forwarded(lambda f=function: (f(proxy), ()), forwarding, False)
        assert "cannot be counted" in response.crash.message
    assert counting.cost.uncountable and counting.cost.unseen


def test_python_of_a_library_is_told_of_a_graded_call_too():
    x = torch.randn(3, 5, dtype=torch.float64)
    counting = Counting([x])
    forwarding = Forwarding(Link(counting))
    proxy = forwarding.undescribe(counting.name(x))
    for function, told in ((torch._refs.softmax, True), (torch._refs.sum, False)):
        response = forwarded(lambda f=function: (f(proxy, -1), ()), forwarding, False)
        assert response.crash is None
        assert any("softmax" in name for name in response.cost.called) is told


def test_work_of_unknown_size_that_is_harmless_is_done_and_told():
    x = torch.eye(3, dtype=torch.float64) * 2
    (answer,), cost = counted_by_proxies(torch.linalg.inv, x)
    assert torch.equal(answer, x / 4)
    assert "linalg_inv" in cost.uncountable and not cost.unseen
