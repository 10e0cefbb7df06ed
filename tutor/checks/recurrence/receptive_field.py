"""What ``receptive_field`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

import tutor.checks.recurrence.fields as fields
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

    # Small integers end at 127, half precision counts to 2,048, single to 16,777,216, integers of
    # 32 bits end at 2,147,483,647, and double precision counts to 2^53.
    ones, powers = torch.ones(61, dtype=torch.int64), 2 ** torch.arange(61)
    doubled = (2 * ones, powers, ones)
    yield Case(
        "kernel 2, dilation doubled 60 times", tuple(t.to(draw.device) for t in doubled), "edges"
    )
    strided = (3 * ones, ones, 2 * ones)
    yield Case("stride 2 in 61 layers", tuple(t.to(draw.device) for t in strided), "edges")


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


_with = changeable(fields.field)

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
            _with(spread=torch.ones_like),
            "a dilated kernel has gaps: its k taps reach over (k - 1) · d + 1 positions. Without "
            "the dilation, stacks that double it look no better than plain ones.",
            _SECTION,
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
            _with(apart=fields.own_alone, together=fields.divided),
            "a stride makes the output shorter, and what one output sees *wider*: its neighbours "
            "stand further apart in the input. The strides before a layer multiply its reach.",
            _SECTION,
            (_with(together=fields.divided),),
        ),
        Trap(
            "k instead of k - 1",
            _with(taps=fields.one_more),
            "a kernel of k sees k - 1 positions *beside* the one it stands on, and that one is "
            "counted once, not in every layer. Kernel 1 adds nothing.",
            _SECTION,
            (_with(taps=fields.one_more, plus=0), _with(reach=fields.width, plus=0)),
        ),
        Trap(
            "a dilated kernel of k · d",
            _with(reach=fields.dilated_kernel),
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
            _with(plus=0, reach=fields.width, together=fields.product),
            "each layer *adds* what its kernel reaches. Receptive fields multiply only if every "
            "layer strides by its kernel's whole width.",
            _SECTION,
            (_with(plus=0, reach=fields.kernel, together=fields.product),),
        ),
        Trap(
            "the layer's own stride",
            _with(apart=fields.own_too),
            "a layer's kernel reads the layer's *input*, before its own stride: the product runs "
            "over the strides of the layers before it.",
            _SECTION,
            (_with(apart=fields.own_alone),),
        ),
        Trap(
            "strides do not add up, they multiply",
            _with(apart=fields.one_before_alone),
            "the gap between neighbours is the product of all strides before the layer: not the "
            "last one alone, nor their sum, nor those that come after.",
            _SECTION,
            tuple(
                _with(apart=apart)
                for apart in (
                    fields.one_and_sum_before,
                    fields.summed,
                    fields.sum_before,
                    fields.after,
                )
            ),
        ),
        Trap(
            "strides and dilations exchanged",
            _with(layers=fields.exchanged),
            "a dilation spreads the taps of its own kernel; a stride spreads what comes after its "
            "layer. The arguments are kernel sizes, dilations, strides, in this order.",
            _SECTION,
        ),
        Trap(
            "the layers in reverse",
            _with(layers=fields.last_first),
            "the first layer reads the input, and its field is the first number. From the last "
            "layer on, other strides stand before each layer.",
            _SECTION,
            (_with(together=fields.reversed),),
        ),
        Trap(
            "dilations multiplied up",
            _with(layers=fields.dilations_multiplied),
            "a dilation is counted in positions of the layer's own input, and every layer has its "
            "own. Only strides are handed on to the layers above.",
            _SECTION,
        ),
        Trap(
            "each layer by itself",
            _with(plus=0, reach=fields.width, together=fields.each),
            "layers stand on top of each other: the second sees what the first one saw at each of "
            "its taps. The largest kernel alone does not say how far the network sees.",
            _SECTION,
            (
                _with(plus=0, reach=fields.width, together=fields.largest),
                _with(together=fields.not_added),
            ),
        ),
        Trap(
            "one number, or one too many",
            _with(together=fields.last_only),
            "asked for is the field after *each* layer, the first one's first: as many numbers as "
            "there are layers.",
            _SECTION,
            (_with(together=fields.from_the_input), _with(together=fields.last_of_many)),
        ),
        Trap(
            "counted in a short dtype",
            fields.counted_in(torch.float32),
            "a field grows as fast as the strides multiply. Single precision counts to 16,777,216 "
            "and then skips, double to 2^53, and integers of 32 bits end at 2,147,483,647. The "
            "sizes come in int64: stay there, and divide with //.",
            _SECTION,
            (fields.counted_in(torch.int32), fields.counted_in(torch.float64)),
        ),
        Trap(
            "numbers with a point",
            _with(form=fields.floats),
            "a field is a count of positions, in int64 as the sizes are. The operator / makes "
            "floats of integers, and so does adding 1.0.",
            _SECTION,
            (_with(form=fields.doubles), _with(apart=fields.quotients)),
        ),
        Trap(
            "the caller's strides overwritten",
            fields.in_place,
            "an assignment to strides[...] writes into the tensor that was passed in, and the next "
            "call gets other strides. Write into a clone, or make a new tensor.",
            _SECTION,
        ),
    ),
)
