"""What ``MixtureOfExperts`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.efficiency.mixture_traps import TRAPS
from tutor.checks.efficiency.shared import CHAPTER
from tutor.checks.efficiency.top_k_route import scores
from tutor.checks.exercise import Call, Case, Contract, Exercise, Property
from tutor.checks.limits import between

_SIZES = Factor(
    "sizes",
    (
        Condition("two of four", value=(6, 7, 5, 4, 2)),
        Condition("one of three", "one expert a token", (6, 7, 5, 3, 1)),
        Condition("all", "all experts", (5, 6, 4, 3, 3), edge=True),
    ),
)
"""T, C, F, E and k."""
_ROOM = Factor(
    "room",
    (
        Condition("plenty", value=(8.0,)),
        Condition("just enough", "as many places as choices", (1.0,), alone=True),
        Condition("too few", "half as many places as choices", (0.5,), alone=True),
    ),
)
_LAYOUT, _BATCH = (
    replace(factor, conditions=tuple(replace(c, alone=False) for c in factor.conditions[:number]))
    for factor, number in ((LAYOUT, 2), (BATCH, 3))
)
"""A layer is a hundred operations: fewer conditions have a case of their own."""
FAMILY = Family((DTYPE, _LAYOUT, _BATCH, _SIZES, _ROOM))


def weights(draw: Draw, c: int, f: int, e: int, dtype: torch.dtype = DOUBLE) -> dict[str, Tensor]:
    """A router that reads the logits of each expert from one feature, so that rounding chooses
    nothing, and experts."""
    router = torch.zeros(c, e, dtype=DOUBLE)
    where = torch.randperm(c, generator=draw.generator)[:e]
    router[where, torch.arange(e)] = 1.0
    given = {"dtype": dtype}
    return {
        "router": router.to(draw.device, dtype),
        "w_gate": draw.normal(e, c, f, scale=c**-0.5, **given),
        "w_in": draw.normal(e, c, f, scale=c**-0.5, **given),
        "w_out": draw.normal(e, f, c, scale=f**-0.5, **given),
    }


def tokens(draw: Draw, router: Tensor, *shape: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Whose logits are far enough from each other; the first experts are liked a little more."""
    c, e = router.shape
    x = draw.normal(*shape, c)
    where = router.double().argmax(0)
    x[..., where] = scores(draw, *shape, e)
    return x.to(dtype)


def _case(
    draw: Draw,
    label: str,
    sizes: tuple[int, ...],
    room: tuple[float, ...] = (1.0,),
    batch: tuple[int, ...] = (2,),
    group: str = "values",
    dtype: torch.dtype = DOUBLE,
    layout: str | None = None,
    times: tuple[int, ...] = (),
) -> Case:
    t, c, f, e, k = sizes
    state = weights(draw, c, f, e, dtype)
    given = (tokens(draw, state["router"], *batch, n, dtype=dtype) for n in times or (t, t + 2))
    return Case(
        label,
        (c, f, e, k, *room),
        group,
        kwargs={"dtype": dtype, "device": draw.device},
        state_dict=state,
        calls=tuple(Call("forward", (laid(x, layout),)) for x in given),
    )


class _Cases(Crossed):
    """Of a class: each row is a construction and a call."""

    def __call__(self, generator: Generator, device: torch.device) -> Iterator[Case]:
        draw = self.draw(generator, device)
        simple = [row for row in self.family.rows if len(row.special) <= 1]
        yield from (self.build(draw, row) for row in simple)
        yield from self.by_hand(draw)
        yield from (self.build(draw, row) for row in self.family.rows[len(simple) :])


_USUAL = "two experts of four"


def _of_a_row(draw: Draw, row: Row) -> Case:
    return _case(
        draw,
        row.label or _USUAL,
        row["sizes"],
        row["room"],
        row["batch"],
        "edges" if row.edge else "values",
        row["dtype"],
        row["layout"],
        row["sizes"][:1],
    )


def _by_hand(draw: Draw) -> Iterator[Case]:
    def tensor(*rows: object) -> Tensor:
        return torch.tensor(rows, dtype=DOUBLE, device=draw.device)

    # Two experts of one feature; the second makes ten times as much of it.
    state = {
        "router": tensor([1.0, -1.0]),
        "w_gate": tensor([[1.0]], [[1.0]]),
        "w_in": tensor([[1.0]], [[1.0]]),
        "w_out": tensor([[1.0]], [[10.0]]),
    }
    yield Case(
        "the example of the text",
        (1, 1, 2, 1, 1.0),
        kwargs={"dtype": DOUBLE, "device": draw.device},
        state_dict=state,
        calls=(Call("forward", (tensor([1.0], [2.0], [3.0], [-1.0]),)),),
    )
    t, c, f, e = draw.integer(5, 9), draw.integer(6, 9), draw.integer(3, 7), draw.integer(3, 6)
    yield _case(draw, "sizes drawn by lot", (t, c, f, e, 2))
    sizes = (5, 6, 6, 4, 2)  # as wide as its hidden layer
    yield _case(draw, "the capacity factor left out", sizes, (), times=(5,))
    yield _case(draw, "three experts of five", (7, 8, 6, 5, 3), (0.75,), times=(7,))
    yield _case(draw, "one token", (1, 7, 5, 4, 2), (1.0,), (), "edges", times=(1,))
    sizes = (16, 7, 5, 4, 2)
    yield _case(draw, "one text of many tokens", sizes, (1.0,), (), "values", times=(16, 9))
    sizes = (8, 7, 5, 4, 2)
    liked = _case(draw, "one expert is asked by all", sizes, (0.5,), (2,), "edges", times=(8,))
    for call in liked.calls:
        where = int(liked.state_dict["router"][:, 1].argmax())
        call.args[0][..., where] = 6.0
    yield liked
    for label, k in (("no expert", 0), ("more experts than there are", 5)):
        yield Case(
            f"{label} must raise ValueError",
            (7, 5, 4, k),
            "edges",
            ValueError,
            kwargs={"dtype": DOUBLE, "device": draw.device},
        )


CASES = _Cases(FAMILY, _of_a_row, _by_hand, usual=_USUAL)


def _later_ones(make, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    moe = make(7, 5, 4, 2, 0.75, dtype=DOUBLE, device=device)
    x = draw.normal(12, 7)
    other = torch.cat((x[:6], draw.normal(6, 7)))
    (one, _, lost), (two, _, lost_too) = (moe.call("forward", t) for t in (x, other))
    if not torch.allclose(one[:6], two[:6], rtol=0, atol=1e-12):
        return "other tokens behind it have changed what a token gets: places go in their order"
    if not torch.equal(lost[:6].long(), lost_too[:6].long()):
        return "other tokens behind it have taken a token's place"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    t, c, f, e, k = 48, 8, 64, 8, 2
    router, experts = 2 * t * c * e, 6 * t * k * c * f
    # To and fro by products with a matrix of zeros and ones, as GShard does it.
    by_products = 2 * 2 * t * (t * k) * c
    everybody = 6 * t * e * c * f
    return Contract(
        calls=(_case(draw, "counted", (t, c, f, e, k), (1.0,), (), times=(t,)),),
        method="forward",
        max_flops=between(router + experts + by_products, router + everybody),
    )


MIXTURE_OF_EXPERTS = Exercise(
    reference=reference.MixtureOfExperts,
    chapter=CHAPTER,
    points={"values": 4, "edges": 2, "gradients": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs={"forward": ("out", "logits", "lost")},
    state=("router", "w_gate", "w_in", "w_out"),
    properties=(Property("later tokens", _later_ones, "values"),),
    traps=TRAPS,
)
