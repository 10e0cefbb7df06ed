"""The counting process: holds the numbers of a counted call, does its operations, counts them.

No code of the student's ever runs here. It takes the inputs from the judge, operations from the
student's process (``inside.proxy``), and gives the cost and the outputs to the judge.
"""

import json
import re
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from tutor.checks.cost import Operations, operands, same_memory, storage
from tutor.checks.known import countable, harmless
from tutor.checks.recorder import Trail
from tutor.sandbox.inside.proxy import LARGEST_MESSAGE, describe, undescribe

MOST_OPERATIONS = 20_000
_MOST_ERRORS = 20
"""An error's text may hold numbers; nobody needs many in one call."""


_UNWRITTEN = re.compile(r"(new_)?empty(_like|_permuted|_strided)?")


class Guarded(Operations):
    """Lets no operation show what the memory of this process held before, or write beside it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        # torch looks when it has written, and not whether their sum is too large for an integer.
        if name == "repeat_interleave" and ((args[0] < 0) | (args[0] > 2**31)).any():
            raise RuntimeError("repeats can not be negative, or beyond 2**31")
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if _UNWRITTEN.fullmatch(name):
            out.untyped_storage().fill_(0)
        return out

    def look(self) -> None:
        """Only the course's own code calls here; the student's process says who calls there."""


class Counting:
    """Calls in turn, as those of an object: their tensors by number, and the cost of the last."""

    def __init__(self, inputs: list[Tensor]):
        self.mode = Guarded()
        self.tensors: dict[int, Tensor] = {}
        self.numbers: dict[int, int] = {}  # id of a tensor, which self.tensors keeps alive
        self.begin(inputs)

    def begin(self, inputs: list[Tensor]) -> None:
        """A call with these inputs, and with all that the calls before it have made."""
        self.cost = self.mode.begin(inputs)
        self.operations = self.errors = 0
        self.trail = Trail()
        """Of what was asked for in this call."""
        self.open = True
        """Whether what is asked for belongs to a call."""
        for t in inputs:
            self.name(t)

    def name(self, t: Tensor) -> dict[str, Any]:
        """What the student's process may know of a tensor."""
        number = self.numbers.get(id(t))
        if number is None:
            number = self.numbers[id(t)] = len(self.tensors)
            self.tensors[number] = t
        return {
            "proxy": number,
            "shape": list(t.shape),
            "strides": list(t.stride()),
            "offset": t.storage_offset(),
            "dtype": str(t.dtype).removeprefix("torch."),
        }

    def answer(self, message: bytes) -> bytes:
        """Do one operation of the student's process; whatever is wrong with it is the answer."""
        number = None
        try:
            number, operation, args, kwargs = json.loads(message)
            value = self.do(operation, args, kwargs)
            name = self.name if operation != "read" else lambda t: None
            answer = json.dumps({"id": number, "value": describe(value, name)}).encode()
            if len(answer) > LARGEST_MESSAGE:
                raise RuntimeError("the result is too large to be read")
        except BaseException as error:
            self.errors += 1
            text = {"id": number, "error": type(error).__name__, "message": str(error)[:2000]}
            if self.errors > _MOST_ERRORS:
                self.mode.outsider(f"more than {_MOST_ERRORS} errors were caught in one call")
                text["message"] = "too many errors"
            answer = json.dumps(text).encode()
        return answer

    def do(self, operation: str, args: Any, kwargs: Any) -> Any:
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise RuntimeError(f"more than {MOST_OPERATIONS:,} operations in one call")
        args, kwargs = undescribe(args, self.tensor), undescribe(kwargs, self.tensor)
        if operation == "read":
            return self.read(*args)
        library, name, overload = operation.split(".")
        function = getattr(getattr(torch.ops, library), name) if library == "aten" else None
        function = getattr(function, overload, None)
        # Also because others trust their arguments, and whoever gives them is not to be trusted.
        known = isinstance(function, torch._ops.OpOverload)
        if not known or not (countable(function) or harmless(function)):
            self.cost.uncountable = self.cost.uncountable or operation[:80].rpartition(".")[0]
            self.cost.unseen = True
            raise RuntimeError(f"{operation[:80]} cannot be counted")
        self.trail.add(name)
        with self.mode:
            result = function(*args, **kwargs)
            one = isinstance(result, Tensor)  # as nearly always: no time for a walk
            result = _settled(result) if one else tree_map_only(Tensor, _settled, result)
        if not all(map(_plain, operands(result))):
            raise RuntimeError(f"{operation} gives a tensor that cannot be counted")
        return result

    def read(self, t: Tensor, start: int, end: int) -> Tensor:
        if storage(t) in self.mode.computed:
            self.mode.outsider(
                "numbers were taken out of torch, where no GPU can follow", t.numel() > 1
            )
        return t.flatten()[start:end]

    def tensor(self, about: dict[str, Any]) -> Tensor:
        return self.tensors[about["proxy"]]

    def same(self, pairs: list[list[int | None]]) -> list[bool]:
        """Of each two numbers, whether they name the same memory."""
        return [
            None not in pair and same_memory(*(self.tensors[n] for n in pair)) for pair in pairs
        ]

    def write(
        self, into: list[int], new: list[Tensor], read: list[int | None]
    ) -> list[Tensor | None]:
        """Write the judge's numbers into tensors, and read others. None is what is no tensor."""
        for n, numbers in zip(into, new, strict=True):
            self.tensors[n].copy_(numbers)
        return [None if n is None else self.tensors[n] for n in read]

    def outputs(self, numbers: list[int], largest: int) -> list[Tensor]:
        """What the call returned; RuntimeError if that is more than ``largest`` bytes."""
        found = [self.tensors[n] for n in numbers]
        if sum(t.numel() * t.element_size() for t in found) > largest:
            raise RuntimeError(f"an answer of more than {largest:,} bytes")
        for t in found:
            self.mode.check_known(t)
        return found


def _settled(t: Tensor) -> Tensor:
    """The numbers that it stands for: who holds its proxy does not see that it is a conjugate."""
    return t.resolve_conj().resolve_neg()


def _plain(t: Tensor) -> bool:
    return t.layout == torch.strided and not (t.is_quantized or t.is_nested or t.is_meta)
