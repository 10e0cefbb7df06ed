"""What ``receptive_field`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import recurrence as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.recurrence.shared import CHAPTER

# Not the same from either end, or a second call with reversed numbers would be the first again.
_KERNELS = Factor(
    "kernels",
    (
        Condition("all differ", value=(3, 5, 2, 4)),
        Condition("threes", "kernels of three", (3, 3, 3, 3)),
        Condition("ones", "kernels of one", (1, 1, 1, 1), edge=True),
        Condition("wide", "wide kernels", (300, 200, 400, 500), edge=True),
    ),
)
_DILATIONS = Factor(
    "dilations",
    (
        Condition("dilated", value=(2, 1, 3, 5)),
        Condition("not dilated", "no dilation", (1, 1, 1, 1)),
        Condition("doubled", "dilations doubled", (1, 2, 4, 8)),
    ),
)
_STRIDES = Factor(
    "strides",
    (
        Condition("strided", value=(1, 3, 2, 5)),
        Condition("not strided", "strides of one", (1, 1, 1, 1)),
        Condition("from the first", "strided from the first layer on", (2, 2, 1, 3)),
        Condition("large", "larger steps than kernels", (7, 200, 9, 30), edge=True),
    ),
)
_LAYERS = Factor(
    "layers",
    (
        Condition("four", value=4),
        Condition("one", "one layer", 1, edge=True, alone=True),
        Condition("none", "no layer", 0, edge=True, alone=True),
    ),
)

_NOTHING = "without a layer there is nothing of it"
FAMILY = Family(
    (_KERNELS, _DILATIONS, _STRIDES, _LAYERS),
    apart={
        pair("none", c.name): _NOTHING
        for factor in (_KERNELS, _DILATIONS, _STRIDES)
        for c in factor.conditions[1:]
    },
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, ...]:
    n = row["layers"]
    rows = (row[name][:n] for name in ("kernels", "dilations", "strides"))
    return tuple(torch.tensor(r, device=draw.device, dtype=torch.int64) for r in rows)


def _by_hand(draw: Draw) -> Iterator[Case]:
    n = draw.integer(5, 8)
    drawn = tuple(draw.integers(n, low=low, high=6) for low in (2, 1, 1))
    yield Case("drawn by lot", drawn)

    # Small integers end at 127, half precision counts to 2,048, single to 16,777,216, and integers
    # of 32 bits end at 2,147,483,647.
    ones, powers = torch.ones(41, dtype=torch.int64), 2 ** torch.arange(41)
    doubled = (2 * ones, powers, ones)
    yield Case(
        "kernel 2, dilation doubled 40 times", tuple(t.to(draw.device) for t in doubled), "edges"
    )
    strided = (3 * ones, ones, 2 * ones)
    yield Case("stride 2 in 41 layers", tuple(t.to(draw.device) for t in strided), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="dilated and strided")


def _contract(generator: Generator, device: torch.device) -> Contract:
    """Only the call that is made on another device: a few integers cost nothing however added."""
    n = 40
    draw = Draw(generator, device)
    kernel_sizes, dilations = (draw.integers(n, low=1, high=9) for _ in range(2))
    strides = draw.integers(n, low=1, high=3)
    return Contract(
        calls=((kernel_sizes, dilations, strides),),
    )


def _field(kernel_sizes, dilations, strides, reach=None, apart=None, plus=1):
    """The right answer but for one of its parts."""
    reach = (reach or _reach)(kernel_sizes, dilations)
    return plus + (reach * (apart or _apart)(strides)).cumsum(0)


def _reach(kernel_sizes, dilations):
    return (kernel_sizes - 1) * dilations


def _apart(strides):
    return strides.cumprod(0) // strides


def _dilation_forgotten(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k - 1)


def _stride_forgotten(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=torch.ones_like)


def _plain(kernel_sizes, dilations, strides):
    return _dilation_forgotten(kernel_sizes, dilations, torch.ones_like(strides))


def _whole_kernels(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d)


def _sum_of_kernels(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d, plus=0)


def _sum_of_widths(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: (k - 1) * d + 1, plus=0)


def _dilated_kernel(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d - 1)


def _no_one(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, plus=0)


def _product(kernel_sizes, dilations, strides):
    return ((kernel_sizes - 1) * dilations + 1).cumprod(0)


def _product_of_kernels(kernel_sizes, dilations, strides):
    return kernel_sizes.cumprod(0)


def _own_stride(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: s.cumprod(0))


def _stride_of_the_layer(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: s)


def _stride_before_only(kernel_sizes, dilations, strides):
    return _field(
        kernel_sizes,
        dilations,
        strides,
        apart=lambda s: torch.cat((torch.ones_like(s[:1]), s[:-1])),
    )


def _strides_after(kernel_sizes, dilations, strides):
    return _field(
        kernel_sizes,
        dilations,
        strides,
        apart=lambda s: s.flip(0).cumprod(0).flip(0) // s,
    )


def _strides_added(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: 1 + s.cumsum(0) - s)


def _dilations_multiplied(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations.cumprod(0), strides)


def _largest(kernel_sizes, dilations, strides):
    if not len(kernel_sizes):
        return torch.zeros_like(kernel_sizes)
    return ((kernel_sizes - 1) * dilations + 1).cummax(0).values


def _each(kernel_sizes, dilations, strides):
    return (kernel_sizes - 1) * dilations + 1


def _last_only(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations * _apart(strides)).sum()


def _from_the_input(kernel_sizes, dilations, strides):
    right = _field(kernel_sizes, dilations, strides)
    return torch.cat((torch.ones_like(right[:1]), right)) if len(right) else right + 1


def _divided(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations // strides).cumsum(0)


def _divided_by_those_before(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations // _apart(strides)).cumsum(0)


def _exchanged(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, strides, dilations)


def _last_layer_first(kernel_sizes, dilations, strides):
    return _field(kernel_sizes.flip(0), dilations.flip(0), strides.flip(0))


def _reversed(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides).flip(0)


def _strides_summed(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: s.cumsum(0))


def _strides_before_summed(kernel_sizes, dilations, strides):
    return _field(
        kernel_sizes,
        dilations,
        strides,
        apart=lambda s: (s.cumsum(0) - s).clamp(min=1),
    )


_SECTION = "How far a convolution sees"

RECEPTIVE_FIELD = Exercise(
    reference=reference.receptive_field,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "types": 1},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "the dilation forgotten",
            _dilation_forgotten,
            "a dilated kernel has gaps: its k taps reach over (k - 1) · d + 1 positions. Without "
            "the dilation, stacks that double it look no better than plain ones.",
            _SECTION,
            (_plain,),
        ),
        Trap(
            "the strides forgotten",
            _stride_forgotten,
            "after a layer of stride 2, neighbours stand two inputs apart, and every later kernel "
            "reaches twice as far.",
            _SECTION,
        ),
        Trap(
            "divided by the stride",
            _divided,
            "a stride makes the output shorter, and what one output sees *wider*: its neighbours "
            "stand further apart in the input. The strides before a layer multiply its reach.",
            _SECTION,
            (_divided_by_those_before,),
        ),
        Trap(
            "k instead of k - 1",
            _whole_kernels,
            "a kernel of k sees k - 1 positions *beside* the one it stands on, and that one is "
            "counted once, not in every layer. Kernel 1 adds nothing.",
            _SECTION,
            (_sum_of_kernels, _sum_of_widths),
        ),
        Trap(
            "a dilated kernel of k · d",
            _dilated_kernel,
            "k taps have k - 1 gaps between them. The dilated kernel is (k - 1) · d + 1 wide, not "
            "k · d.",
            _SECTION,
        ),
        Trap(
            "the position itself not counted",
            _no_one,
            "the sum of all reaches says how far back the output sees. The position it stands on "
            "is one more.",
            _SECTION,
        ),
        Trap(
            "multiplied instead of added",
            _product,
            "each layer *adds* what its kernel reaches. Receptive fields multiply only if every "
            "layer strides by its kernel's whole width.",
            _SECTION,
            (_product_of_kernels,),
        ),
        Trap(
            "the layer's own stride",
            _own_stride,
            "a layer's kernel reads the layer's *input*, before its own stride: the product runs "
            "over the strides of the layers before it.",
            _SECTION,
            (_stride_of_the_layer,),
        ),
        Trap(
            "strides do not add up, they multiply",
            _stride_before_only,
            "the gap between neighbours is the product of all strides before the layer: not the "
            "last one alone, nor their sum, nor those that come after.",
            _SECTION,
            (_strides_added, _strides_summed, _strides_before_summed, _strides_after),
        ),
        Trap(
            "strides and dilations exchanged",
            _exchanged,
            "a dilation spreads the taps of its own kernel; a stride spreads what comes after its "
            "layer. The arguments are kernel sizes, dilations, strides, in this order.",
            _SECTION,
        ),
        Trap(
            "the layers in reverse",
            _last_layer_first,
            "the first layer reads the input, and its field is the first number. From the last "
            "layer on, other strides stand before each layer.",
            _SECTION,
            (_reversed,),
        ),
        Trap(
            "dilations multiplied up",
            _dilations_multiplied,
            "a dilation is counted in positions of the layer's own input, and every layer has its "
            "own. Only strides are handed on to the layers above.",
            _SECTION,
        ),
        Trap(
            "each layer by itself",
            _each,
            "layers stand on top of each other: the second sees what the first one saw at each of "
            "its taps. The largest kernel alone does not say how far the network sees.",
            _SECTION,
            (_largest,),
        ),
        Trap(
            "one number, or one too many",
            _last_only,
            "asked for is the field after *each* layer, the first one's first: as many numbers as "
            "there are layers.",
            _SECTION,
            (_from_the_input,),
        ),
    ),
)
