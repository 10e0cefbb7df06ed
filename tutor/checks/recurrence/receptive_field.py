"""What ``receptive_field`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import recurrence as reference
from tutor.checks.changes import changeable
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


def _in_order(kernel_sizes, dilations, strides):
    return kernel_sizes, dilations, strides


def _reach(k, d):
    return (k - 1) * d


def _apart(s):
    """Inputs between neighbours in a layer's input."""
    return s.cumprod(0) // s


def _together(reaches, apart):
    return (reaches * apart).cumsum(0)


def _field(
    kernel_sizes,
    dilations,
    strides,
    layers=_in_order,
    reach=_reach,
    apart=_apart,
    together=_together,
    plus=1,
):
    """The right answer, but for the parts that are given."""
    k, d, s = layers(kernel_sizes, dilations, strides)
    return plus + together(reach(k, d), apart(s))


_with = changeable(_field)


def _exchanged(kernel_sizes, dilations, strides):
    return kernel_sizes, strides, dilations


def _last_first(kernel_sizes, dilations, strides):
    return kernel_sizes.flip(0), dilations.flip(0), strides.flip(0)


def _dilations_multiplied(kernel_sizes, dilations, strides):
    return kernel_sizes, dilations.cumprod(0), strides


def _undilated(k, d):
    return k - 1


def _whole_kernel(k, d):
    return k * d


def _width(k, d):
    return (k - 1) * d + 1


def _dilated_kernel(k, d):
    return k * d - 1


def _kernel(k, d):
    return k


def _own_too(s):
    return s.cumprod(0)


def _own_alone(s):
    return s


def _one_before_alone(s):
    return torch.cat((torch.ones_like(s[:1]), s[:-1]))


def _after(s):
    return s.flip(0).cumprod(0).flip(0) // s


def _summed(s):
    return s.cumsum(0)


def _one_and_sum_before(s):
    return 1 + s.cumsum(0) - s


def _sum_before(s):
    return (s.cumsum(0) - s).clamp(min=1)


def _product(widths, apart):
    return widths.cumprod(0)


def _largest(widths, apart):
    return widths.cummax(0).values if len(widths) else widths


def _each(widths, apart):
    return widths


def _last_only(reaches, apart):
    return (reaches * apart).sum()


def _from_the_input(reaches, apart):
    return torch.cat((torch.zeros_like(reaches[:1]), (reaches * apart).cumsum(0)))


def _divided(reaches, apart):
    return (reaches // apart).cumsum(0)


def _reversed(reaches, apart):
    return _together(reaches, apart).flip(0)


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
            _with(reach=_undilated),
            "a dilated kernel has gaps: its k taps reach over (k - 1) · d + 1 positions. Without "
            "the dilation, stacks that double it look no better than plain ones.",
            _SECTION,
            (_with(reach=_undilated, apart=torch.ones_like),),
        ),
        Trap(
            "the strides forgotten",
            _with(apart=torch.ones_like),
            "after a layer of stride 2, neighbours stand two inputs apart, and every later kernel "
            "reaches twice as far.",
            _SECTION,
        ),
        Trap(
            "divided by the stride",
            _with(apart=_own_alone, together=_divided),
            "a stride makes the output shorter, and what one output sees *wider*: its neighbours "
            "stand further apart in the input. The strides before a layer multiply its reach.",
            _SECTION,
            (_with(together=_divided),),
        ),
        Trap(
            "k instead of k - 1",
            _with(reach=_whole_kernel),
            "a kernel of k sees k - 1 positions *beside* the one it stands on, and that one is "
            "counted once, not in every layer. Kernel 1 adds nothing.",
            _SECTION,
            (_with(reach=_whole_kernel, plus=0), _with(reach=_width, plus=0)),
        ),
        Trap(
            "a dilated kernel of k · d",
            _with(reach=_dilated_kernel),
            "k taps have k - 1 gaps between them. The dilated kernel is (k - 1) · d + 1 wide, not "
            "k · d.",
            _SECTION,
        ),
        Trap(
            "the position itself not counted",
            _with(plus=0),
            "the sum of all reaches says how far back the output sees. The position it stands on "
            "is one more.",
            _SECTION,
        ),
        Trap(
            "multiplied instead of added",
            _with(plus=0, reach=_width, together=_product),
            "each layer *adds* what its kernel reaches. Receptive fields multiply only if every "
            "layer strides by its kernel's whole width.",
            _SECTION,
            (_with(plus=0, reach=_kernel, together=_product),),
        ),
        Trap(
            "the layer's own stride",
            _with(apart=_own_too),
            "a layer's kernel reads the layer's *input*, before its own stride: the product runs "
            "over the strides of the layers before it.",
            _SECTION,
            (_with(apart=_own_alone),),
        ),
        Trap(
            "strides do not add up, they multiply",
            _with(apart=_one_before_alone),
            "the gap between neighbours is the product of all strides before the layer: not the "
            "last one alone, nor their sum, nor those that come after.",
            _SECTION,
            tuple(
                _with(apart=apart) for apart in (_one_and_sum_before, _summed, _sum_before, _after)
            ),
        ),
        Trap(
            "strides and dilations exchanged",
            _with(layers=_exchanged),
            "a dilation spreads the taps of its own kernel; a stride spreads what comes after its "
            "layer. The arguments are kernel sizes, dilations, strides, in this order.",
            _SECTION,
        ),
        Trap(
            "the layers in reverse",
            _with(layers=_last_first),
            "the first layer reads the input, and its field is the first number. From the last "
            "layer on, other strides stand before each layer.",
            _SECTION,
            (_with(together=_reversed),),
        ),
        Trap(
            "dilations multiplied up",
            _with(layers=_dilations_multiplied),
            "a dilation is counted in positions of the layer's own input, and every layer has its "
            "own. Only strides are handed on to the layers above.",
            _SECTION,
        ),
        Trap(
            "each layer by itself",
            _with(plus=0, reach=_width, together=_each),
            "layers stand on top of each other: the second sees what the first one saw at each of "
            "its taps. The largest kernel alone does not say how far the network sees.",
            _SECTION,
            (_with(plus=0, reach=_width, together=_largest),),
        ),
        Trap(
            "one number, or one too many",
            _with(together=_last_only),
            "asked for is the field after *each* layer, the first one's first: as many numbers as "
            "there are layers.",
            _SECTION,
            (_with(together=_from_the_input),),
        ),
    ),
)
