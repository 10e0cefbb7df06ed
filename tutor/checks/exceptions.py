"""What an exception of torch's means in an exercise: one sentence, in the exercise's own sizes."""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from torch import Tensor

from tutor.checks.exercise import Case, Exercise
from tutor.checks.response import LONGEST_MESSAGE, Crash
from tutor.checks.trace import inputs_of

Sizes = Mapping[int, list[str]]
"""Of a number, what has that size in the call: Tq, num_heads."""

_NUMBER = r"(\d{1,15})"
_WIDTH = 92


def meaning(exercise: Exercise, case: Case, step: int, crash: Crash) -> list[str]:
    """The lines of a sentence on the exception; none if it is none of those below."""
    sizes = sizes_of(exercise, case, step)
    message = crash.message[:LONGEST_MESSAGE]

    def told(number: str) -> str:
        names = sizes.get(int(number)) if number.isdecimal() else None
        return f"{number} ({' or '.join(names[:2])})" if names else number

    for pattern, sentence in _MEANINGS:
        if found := re.search(pattern, message):
            if not isinstance(sentence, str):
                sentence = sentence(*map(told, found.groups()))
            return textwrap.wrap(sentence, _WIDTH, break_on_hyphens=False)
    return []


def sizes_of(exercise: Exercise, case: Case, step: int) -> dict[int, list[str]]:
    """By the annotations of the reference, which name every dimension, and its integers."""
    function = exercise.reference
    if exercise.is_class:
        method = case.calls[step - 1].method if 0 < step <= len(case.calls) else "__init__"
        function = getattr(function, method)
    found: dict[int, list[str]] = {}
    for name, value in inputs_of(exercise, case, step).items():
        if isinstance(value, Tensor):
            named = _dimensions(function.__annotations__.get(name), value)
        elif type(value) is int:
            named = ((value, name),)
        else:
            named = ()
        for size, symbol in named:
            if size > 1 and symbol not in found.setdefault(size, []):
                found[size].append(symbol)
    return {size: names for size, names in found.items() if names}


def _dimensions(annotation: Any, value: Tensor) -> Iterator[tuple[int, str]]:
    """Sizes and names of the last dimensions; those before them, ``*batch``, have no name."""
    for kind in (annotation, *get_args(annotation)):
        names = getattr(kind, "dim_str", "").replace("#", "").split()
        for size, name in zip(reversed(value.shape), reversed(names), strict=False):
            if not name.isidentifier():
                break
            yield size, name


def _product(left: str, right: str) -> str:
    return (
        f"in a matrix product the last dimension of the left one, {left}, must equal the last but "
        f"one of the right one, {right}. Are they in this order, and is one to be turned, .mT?"
    )


def _batched(batch: str, inner: str, other_batch: str, other_inner: str) -> str:
    if batch != other_batch:
        return f"the two have different batches, {batch} and {other_batch}"
    return _product(inner, other_inner)


def _met(a: str, b: str, dimension: str) -> str:
    return (
        f"sizes {a} and {b} stand in the same place of two tensors that are to meet entry by "
        "entry. Dimensions are matched from the right, and a 1 fits every size: is one missing, "
        "from unsqueeze, [..., None, :] or keepdim=True?"
    )


def _flags(flags: str, first: str) -> str:
    return (
        f"flags in square brackets choose along the first dimension: there are {flags} of them, "
        f"and {first} entries there"
    )


_FROM_THE_END = (
    "there may be any number of batch dimensions, none included: count dimensions from the end, "
    "-1, -2, and do not take x.shape apart into a fixed number of names"
)
_DTYPES = (
    "single and double precision, or another two dtypes, meet in one operation: make new tensors "
    "with the dtype of the inputs (torch.zeros(..., dtype=x.dtype), x.new_zeros)"
)
_IN_PLACE = (
    "something is overwritten that the backward pass, or the caller, still needs: x = x + 1 makes "
    "a new tensor, x += 1 and methods that end in _ write into the old one"
)

_MEANINGS: tuple[tuple[str, str | Callable[..., str]], ...] = (
    (rf"shapes cannot be multiplied \(\d+x{_NUMBER} and {_NUMBER}x", _product),
    (
        rf"of batch2 tensor to be: \[{_NUMBER}, {_NUMBER}\] but got: \[{_NUMBER}, {_NUMBER}\]",
        _batched,
    ),
    (
        rf"of tensor a \({_NUMBER}\) must match the size of tensor b \({_NUMBER}\) at "
        rf"non-singleton dimension {_NUMBER}",
        _met,
    ),
    (rf"shape of the mask \[{_NUMBER}[^]]*\] at index 0 .*tensor \[{_NUMBER}", _flags),
    (
        "Dimension out of range|not enough values to unpack|too many values to unpack|"
        "too many indices for tensor|number of subscripts in the equation|"
        "number of sizes provided|does not match the length of the desired ordering|"
        "must be a 3D tensor|must be a matrix|expects a tensor with <= 2 dimensions|"
        "tuple index out of range",
        _FROM_THE_END,
    ),
    (
        "view size is not compatible|must have a last dimension with stride",
        "view needs numbers that lie in memory in this order, and transposed or expanded ones do "
        "not: reshape copies where it must",
    ),
    (
        rf"shape '\[.*\]' is invalid for input of size {_NUMBER}",
        lambda n: f"the sizes that are asked for do not multiply to the {n} numbers that there are",
    ),
    (
        "stack expects each tensor to be equal size",
        "stack makes a new dimension, and all that it takes must have one shape; cat joins along "
        "one that is there",
    ),
    (
        rf"don't multiply up to the size of dim \d+ \({_NUMBER}\)",
        lambda n: f"the sizes that are asked for do not multiply to {n}",
    ),
    (
        "cannot be converted to type .*(Half|half).* without overflow",
        "half precision ends at 65,504: take torch.finfo(scores.dtype).min, which every dtype has",
    ),
    ("expected (scalar type|m1 and m2|mat1 and mat2)|should have the same dtype", _DTYPES),
    (
        rf"index {_NUMBER} is out of bounds for dimension \d+ with size {_NUMBER}",
        lambda i, n: f"of {n} entries the first is number 0, and there is no number {i.split()[0]}",
    ),
    (
        "value of Tensor with more than one value is ambiguous",
        "if asks for one answer, and the tensor has many: write `is not None` to ask whether there "
        "is a tensor, and torch.where or masked_fill to choose entry by entry",
    ),
    (
        "Subtraction, the `-` operator, with a bool tensor",
        "1 - keep is for numbers: a mask of True and False is turned round with ~keep",
    ),
    (
        "only supports boolean masks|only implemented on integer and Boolean|"
        "must be long, int, byte or bool",
        "a mask must hold True and False, and an index integers: a comparison such as i <= j makes "
        "the first, .long() the second",
    ),
    ("NoneType", "an argument that may be left out is None then: ask `is not None` first"),
    (
        "missing \\d+ required positional argument: '(device|keep|theta|layout)'",
        lambda name: f"{name} may be left out: give it the default of the exercise's signature",
    ),
    ("in-place operation|inplace operation", _IN_PLACE),
    (
        "not compiled with CUDA|no NVIDIA driver|No CUDA GPUs",
        "a GPU is asked for where there is none: make tensors on the device that the call names "
        "(device=device, and left out it is None), or on that of the inputs",
    ),
    (
        r"must be (?:Tensor|tuple of Tensors), not (?:bool|int|float|list|tuple)",
        "torch's functions take tensors, and neither Python's numbers nor its lists: torch.tensor "
        "makes one of them, and for numbers there is math",
    ),
    (
        r"(\w+)\(\) takes from \d+ to 0 positional arguments",
        lambda name: (
            f"in this form torch's {name} is given its arguments by name, the dimension with them: "
            "dim=-1"
        ),
    ),
    (
        r"(\w+)\(\) received an invalid combination of arguments - got \(([\w=., ]*)\)",
        lambda name, given: (
            f"torch's {name} is given ({given.rstrip(', ')}) and takes other arguments: compare "
            "their order and their names with its documentation"
        ),
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        "numpy knows no gradients: stay in torch from the arguments to the answer",
    ),
)
