"""Text, bytes and lists as answers: what comes back is looked at as tensors, with its kind kept.

A list of ids, of pairs or of strings, bytes and text are one tensor of integers each, and, where
the items are sequences themselves, one of their lengths. Nothing of the candidate's own code is in
that, it is as large as it looks, and it goes between processes as every tensor does.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from torch import Tensor

LARGEST = 2**23
"""Items of a sequence that is looked at, those of its items included."""

_FAMILIES = {"tuple": "list", "tensor": "list", "bytearray": "bytes"}
"""What has the right numbers in another kind of the same family is right but for its kind."""
_OUTER = ("list", "tuple", "tensor", "bytes", "bytearray", "str")
_INNER = ("", "int", "str", "bytes", "list", "tuple", "tensor")
_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
_SHOWN = 60
"""Characters of a sequence that is shown whole, and of one of its items."""


def refilled(held: Any, new: Any) -> Any:
    """The list or mapping that is held, with what is in the new one; of anything else the new."""
    if type(held) is type(new) is list:
        held[:] = new
    elif type(held) is type(new) is dict:
        held.clear()
        held.update(new)
    else:
        return new
    return held


def family(kind: str) -> str:
    return _FAMILIES.get(kind, kind)


@dataclass(frozen=True, eq=False)
class Listed:
    """A sequence that was returned, as numbers and nothing else."""

    kind: str
    """list, tuple, bytes, bytearray or str; a tensor of integers may stand for a list."""
    of: str
    """What its items are: int, str, bytes, list or tuple; nothing where there are none, or where
    its items are no objects of their own."""
    numbers: Tensor
    """int64; or uint8, of bytes and of text, which is in UTF-8. One dimension."""
    lengths: Tensor | None = None
    """int64, of each item, where the items are sequences."""

    def __len__(self) -> int:
        return len(self.numbers if self.lengths is None else self.lengths)

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + (0 if self.lengths is None else self.lengths.nbytes)

    @cached_property
    def ends(self) -> Tensor:
        return self.lengths.cumsum(0)

    def item(self, i: int) -> Any:
        """Number ``i``, as Python has it; of text, what the whole of it has there."""
        if self.lengths is None:
            return self.text[i] if self.kind == "str" else int(self.numbers[i])
        end = int(self.ends[i])
        return _made(self.of, self.numbers[end - int(self.lengths[i]) : end])

    @cached_property
    def text(self) -> str:
        return bytes(self.numbers.tolist()).decode()

    def value(self) -> Any:
        """As Python has it."""
        if self.lengths is None:
            return _made(self.kind, self.numbers)
        items = [self.item(i) for i in range(len(self))]
        return tuple(items) if self.kind == "tuple" else items

    def same(self, other: "Listed") -> bool:
        """Whether it is the same but for its kind, within the kind's family."""
        if family(self.kind) != family(other.kind) or len(self) != len(other):
            return False
        if not len(self):
            return True
        if family(self.of) != family(other.of):
            return False
        if self.lengths is not None and not torch.equal(self.lengths, other.lengths):
            return False
        return torch.equal(self.numbers, other.numbers)

    @property
    def words(self) -> str:
        """What it is."""
        if self.kind in ("bytes", "bytearray"):
            return f"{self.kind} of length {len(self):,}"
        if self.kind == "str":
            return f"a str of {len(self.text):,} characters"
        if self.kind == "tensor":
            return "a tensor of integers"
        items = {"": "", "int": " integers", "str": " strings"}.get(self.of, f" {self.of}s")
        if self.of == "bytes":
            items = " bytes objects"
        return f"a {self.kind} of {len(self):,}{items}"


def _made(kind: str, numbers: Tensor) -> Any:
    found = numbers.tolist()
    if kind in ("bytes", "bytearray"):
        return bytes(found)
    if kind == "str":
        return bytes(found).decode()
    return tuple(found) if kind == "tuple" else found


def listed(value: Any) -> Listed | str | None:
    """``value`` as a ``Listed``; in words why it cannot be looked at; None if it is no sequence.

    Of exactly Python's own kinds: a subclass brings code of its own.
    """
    kind = type(value).__name__
    if type(value) in (bytes, bytearray, str):
        if len(value) > LARGEST:
            return f"{kind} of length {len(value):,}"
        found = _encoded(value)
        return found if isinstance(found, str) else Listed(kind, "", _tensor("B", found))
    if type(value) not in (list, tuple) or (type(value) is tuple and not value):
        return None
    if len(value) > LARGEST:
        return f"a {kind} of {len(value):,}"
    kinds = set(map(type, value))
    if not kinds:
        return Listed(kind, "", torch.empty(0, dtype=torch.int64))
    if len(kinds) > 1 or not kinds <= {int, str, bytes, list, tuple}:
        return None
    return _of_items(kind, kinds.pop(), value)


def _of_items(kind: str, of: type, value: list | tuple) -> Listed | str | None:
    if of is int:
        numbers = _integers(value)
        return numbers if isinstance(numbers, str) else Listed(kind, "int", numbers)
    if sum(map(len, value)) > LARGEST:
        return f"a {kind} of {len(value):,} with more than {LARGEST:,} items in them"
    if of in (str, bytes):
        parts = list(map(_encoded, value))
        if halves := [p for p in parts if isinstance(p, str)]:
            return f"a {kind} with {halves[0]} in it"
        numbers = _tensor("B", b"".join(parts))
    else:
        parts = value
        inner = set(map(type, chain.from_iterable(value)))
        if not inner <= {int}:
            return None if Tensor in inner else f"a {kind} of {of.__name__}s that hold {_of(inner)}"
        numbers = _integers(list(chain.from_iterable(value)))
        if isinstance(numbers, str):
            return numbers
    return Listed(kind, of.__name__, numbers, _tensor("q", list(map(len, parts))))


def _of(kinds: set[type]) -> str:
    return " and ".join(sorted(k.__name__ for k in kinds)[:3])


def _encoded(text: str | bytes | bytearray) -> bytes | str:
    if type(text) is not str:
        return bytes(text)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "a str that is no text (half of a surrogate pair)"


def _integers(value: list | tuple) -> Tensor | str:
    try:
        return _tensor("q", value)
    except OverflowError:
        return "an integer of more than 64 bits"


def _tensor(code: str, value: Any) -> Tensor:
    dtype = torch.uint8 if code == "B" else torch.int64
    return (
        torch.frombuffer(array(code, value), dtype=dtype) if value else torch.empty(0, dtype=dtype)
    )


def as_listed(x: Any) -> Any:
    """A tensor of integers, of one dimension or of two, as a sequence that has its numbers; what
    is something else as it is."""
    if x == () and type(x) is tuple:
        return Listed("tuple", "", torch.empty(0, dtype=torch.int64))
    whole = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
    if not isinstance(x, Tensor) or x.ndim not in (1, 2) or x.dtype not in whole or x.is_meta:
        return x
    numbers = x.detach().cpu().long().flatten()
    if x.ndim == 1:
        return Listed("tensor", "int", numbers)
    return Listed("tensor", "tensor", numbers, torch.full((len(x),), x.shape[1]))


def received(kind: Any, of: Any, numbers: Any, lengths: Any) -> Listed:
    """Of what another process says it is; ValueError if nothing can be that."""
    inner = kind in ("list", "tuple") and of in ("str", "bytes", "list", "tuple")
    plain = of == "" or (kind in ("list", "tuple") and of == "int")
    if kind not in _OUTER or of not in _INNER or kind == "tensor" or not (inner or plain):
        raise ValueError("a sequence of no known kind")
    bytewise = (of if inner else kind) in ("bytes", "bytearray", "str")
    dtype = torch.uint8 if bytewise else torch.int64
    if not isinstance(numbers, Tensor) or numbers.dtype != dtype or numbers.ndim != 1:
        raise ValueError("a sequence of other numbers")
    if kind in ("list", "tuple") and (of == "") != (len(numbers) == 0 and lengths is None):
        raise ValueError("a sequence of nothing, with numbers")
    if inner != (lengths is not None):
        raise ValueError("a sequence with lengths that it cannot have")
    found = Listed(kind, of, numbers, lengths)
    if inner:
        fit = isinstance(lengths, Tensor) and lengths.dtype == torch.int64 and lengths.ndim == 1
        if not fit or not len(lengths) or ((lengths < 0) | (lengths > len(numbers))).any():
            raise ValueError("a sequence of other lengths")
        if int(lengths.sum()) != len(numbers):
            raise ValueError("a sequence of other lengths")
    if kind == "str":
        _ = found.text
    elif of == "str":
        for i in range(len(found)):
            found.item(i)
    return found


# In sentences


def form_problem(expected: Listed, got: Any, describe: Callable[[Any], str]) -> list[str]:
    """That it is no sequence of that family."""
    found, wish = as_listed(got), _wish(expected)
    if not isinstance(found, Listed):
        return [f"expected {wish}, got {describe(got)}"]
    alike = not len(found) or not len(expected) or family(found.of) == family(expected.of)
    if family(found.kind) != family(expected.kind) or not alike:
        return [f"expected {wish}, got {found.words}"]
    return []


def _wish(expected: Listed) -> str:
    if expected.kind in ("bytes", "str"):
        return f"{'a ' if expected.kind == 'str' else ''}{expected.kind}"
    items = {"int": "integers", "str": "strings", "tuple": "tuples", "": ""}.get(expected.of)
    return f"a {expected.kind}" + (f" of {items}" if items else "")


def kind_problem(expected: Listed, got: Any) -> str | None:
    """That its kind is another one."""
    found = as_listed(got)
    if not isinstance(found, Listed):
        return None
    both = len(found) and len(expected)
    if found.kind == expected.kind and (not both or found.of == expected.of):
        return None
    return f"expected {_wish(expected)}, got {found.words}: the right items in another kind"


def problem(name: str, expected: Listed, got: Any) -> list[str]:
    """Where two sequences of one family first differ. ``name``: of one item."""
    found = as_listed(got)
    if expected.same(found):
        return []
    if expected.kind in ("bytes", "str"):
        return _of_text(expected, found)
    n, m = len(expected), len(found)
    at = next((i for i in range(min(n, m)) if expected.item(i) != _like(expected, found, i)), None)
    lines = []
    if at is not None:
        wish, came = shown(expected.item(at)), shown(_like(expected, found, at))
        lines.append(f"the {ordinal(at)} {name} is {came}, expected {wish}")
    elif m < n:
        lines.append(f"the {ordinal(m)} {name} is missing: expected {shown(expected.item(m))}")
    else:
        extra = shown(_like(expected, found, n))
        lines.append(f"the {ordinal(n)} {name} is one too many: {extra}")
    if n != m:
        lines.append(f"{m:,} in all, expected {n:,}")
    whole = [repr(s.value()) for s in (expected, found) if len(s) <= _SHOWN]
    if len(whole) == 2 and all(len(w) <= _SHOWN for w in whole):
        lines.append("expected {}, got {}".format(*whole))
    return lines


def _like(expected: Listed, found: Listed, i: int) -> Any:
    """An item of the same family as the other's kind has it: a pair may be a list."""
    item = found.item(i)
    return tuple(item) if expected.of == "tuple" and isinstance(item, list) else item


def _of_text(expected: Listed, found: Listed) -> list[str]:
    want, have = expected.value(), found.value()
    n = next((i for i, (a, b) in enumerate(zip(want, have, strict=False)) if a != b), None)
    unit = "byte" if expected.kind == "bytes" else "character"
    if n is None:
        n = min(len(want), len(have))
        more = "missing from" if len(have) < len(want) else "one too many from"
        first = f"{more} {unit} number {n + 1} on"
    else:
        first = f"the first difference is at {unit} number {n + 1}"
    start = max(0, n - 8)

    def cut(x: Any) -> str:
        return (
            ("…" if start else "") + repr(x[start : start + 24]) + ("…" if x[start + 24 :] else "")
        )

    return [f"expected {cut(want)}, got {cut(have)}", f"{first}; length {len(have)} of {len(want)}"]


def shown(item: Any) -> str:
    """An item in a few characters."""
    text = repr(item[:_SHOWN] if isinstance(item, str | bytes | tuple | list) else item)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def ordinal(i: int) -> str:
    """Of the item at ``i``: first, second, ..., number 13."""
    return _ORDINALS[i] if i < len(_ORDINALS) else f"number {i + 1}"


# Of arguments


class Compound(ABC):
    """An argument that is made of tensors and is no tuple or list of them, such as a model."""

    @property
    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """What it is made of."""

    @abstractmethod
    def of(self, change: Callable[[Any], Any]) -> "Compound":
        """The same with each of its tensors changed."""

    @abstractmethod
    def __str__(self) -> str:
        """What it is, for the head of a report."""


def parts(value: Any) -> Iterator[Any]:
    """The tensors in a tuple, a list or a ``Compound``, in order; any other value itself."""
    if isinstance(value, Compound):
        yield from value.tensors
    elif holds_tensors(value):
        for item in value:
            yield from parts(item)
    else:
        yield value


def in_parts(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same with each of its ``parts`` changed."""
    if isinstance(value, Compound):
        return value.of(change)
    if not holds_tensors(value):
        return change(value)
    items = (in_parts(item, change) for item in value)
    return tuple(items) if isinstance(value, tuple) else list(items)


def holds_tensors(value: Any) -> bool:
    return type(value) in (tuple, list) and any(
        isinstance(item, Tensor | Compound) or holds_tensors(item) for item in value
    )


def flat(values: Any) -> tuple[Any, ...]:
    return tuple(part for value in values for part in parts(value))


def brief(value: Any) -> str:
    """An argument, for the head of a report."""
    if isinstance(value, str | bytes):
        told = shown(value)
        return (
            told
            if len(value) <= _SHOWN // 2
            else f"{shown(value[: _SHOWN // 2])}… ({len(value)} long)"
        )
    if isinstance(value, dict | list | tuple):
        text = repr(value) if len(value) <= _SHOWN // 2 else ""
        if text and len(text) <= _SHOWN:
            return text
        first = next(iter(value.items() if isinstance(value, dict) else value))
        held = f"{first[0]!r}: {first[1]!r}" if isinstance(value, dict) else repr(first)
        return f"{type(value).__name__} of {len(value)}, first {held[:_SHOWN]}"
    return str(value)
