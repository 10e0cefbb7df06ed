"""What ``gradient_norm_by_lag`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import recurrence as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between
from tutor.checks.recurrence.shared import BATCH, CHAPTER, C, T


class _Draw(Draw):
    def jacobians(self, *batch, t=T, c=C, dtype=DOUBLE, scale=1.0):
        return self.normal(*batch, t, c, c, dtype=dtype, scale=scale * c**-0.5)


_SIZE = Factor(
    "size",
    (
        Condition("around 1", value=1.0),
        Condition("vanishing", "vanishing", 0.1, edge=True, alone=True),
        Condition("exploding", "exploding", 1e2, edge=True, alone=True),
    ),
)
_STEPS = Factor(
    "steps",
    (
        Condition("six", value=T),
        Condition("one step", "one step", 1, edge=True, alone=True),
        Condition("no step", "no step", 0, edge=True, alone=True),
    ),
)
_WIDTH = Factor(
    "width",
    (
        Condition("three units", value=C),
        Condition("eight units", "wider states", 8),
        Condition("width 1", "width 1", 1, edge=True),
    ),
)

FAMILY = Family(
    (DTYPE, _SIZE, LAYOUT, BATCH, _STEPS, _WIDTH),
    apart={
        pair("half", "exploding"): "half precision ends at 65,504",
        pair("turned", "width 1"): "matrices of one number lie one after the other",
        **{
            pair("no step", name): "without a step there is nothing of it"
            for name in ("turned", "views", "vanishing", "exploding")
        },
    },
).but(without={"behind": "a matrix has no heads behind time"})


def _arguments(draw: _Draw, row: Row) -> tuple[Tensor]:
    sizes = {"t": row["steps"], "c": row["width"], "scale": row["size"]}
    jacobians = draw.jacobians(*row["batch"], dtype=row["dtype"], **sizes)
    if row["size"] > 1:  # nothing cancels: rounding stays small beside what has grown
        jacobians = jacobians.abs()
    return (laid(jacobians, row["layout"]),)


def _by_hand(draw: _Draw) -> Iterator[Case]:
    t, c = draw.integer(7, 10), draw.integer(4, 7)
    yield Case("sizes drawn by lot", (draw.jacobians(draw.integer(2, 5), t=t, c=c),))
    # Each of these alone has norm 1; one order of the product has, too, and the other is 0.
    shift = torch.zeros(4, 2, 2, device=draw.device, dtype=DOUBLE)
    shift[0::2, 0, 0] = 1.0
    shift[1::2, 0, 1] = 1.0
    yield Case("what one step forgets stays forgotten", (shift,), "edges")
    angle = draw.uniform(T, low=0.0, high=6.0)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
    yield Case("rotations", (turn,), "edges")


CASES = Crossed(FAMILY, _arguments, _by_hand, draw=_Draw)


def _contract(generator: Generator, device: torch.device) -> Contract:
    b, t, c = 2, 6, 24
    product = 2 * b * c**3
    return Contract(
        calls=((_Draw(generator, device).jacobians(b, t=t, c=c),),),
        max_flops=between(product * t, 2 * product * t),
        # All products of two numbers at once, before they are added up.
        max_intermediate=between(b * (t + 1) * c**2, b * c**3),
    )


def _all_lags(norms):
    return norms


def _norms(jacobians, product_of=None, norm=None, oldest_first=False, lags=_all_lags):
    """The right answer but for one of its parts."""
    width = jacobians.shape[-1]
    product = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = product.expand(*jacobians.shape[:-3], width, width)
    products = [product]
    steps = jacobians.unbind(-3)
    for jacobian in steps if oldest_first else steps[::-1]:
        product = (product_of or torch.matmul)(product, jacobian)
        products.append(product)
    norm = norm or torch.linalg.matrix_norm
    return lags(torch.stack([norm(p) for p in products], -1))


_with = changeable(_norms)


def _norm_of_each(jacobians):
    return torch.linalg.matrix_norm(jacobians).flip(-1)


def _product_after_the_first(jacobians):
    first = _norms(jacobians)[..., :1]
    return torch.cat((first, _norm_of_each(jacobians).cumprod(-1)), -1)


def _product_of_norms(jacobians):
    each = torch.cat((_norms(jacobians)[..., :1], _norm_of_each(jacobians)), -1)
    return each.cumprod(-1)


def _product_of_norms_from_one(jacobians):
    each = _norm_of_each(jacobians)
    return torch.cat((torch.ones_like(_norms(jacobians)[..., :1]), each), -1).cumprod(-1)


def _product_of_norms_by(norm):
    def wrong(jacobians):
        each = norm(jacobians).flip(-1)
        return torch.cat((_norms(jacobians)[..., :1], each), -1).cumprod(-1)

    return wrong


def _single(jacobians):
    return torch.cat((_norms(jacobians)[..., :1], _norm_of_each(jacobians)), -1)


def _left(product, jacobian):
    return jacobian @ product


def _lag_0_missing(norms):
    return norms[..., 1:]


def _last_lag_missing(norms):
    return norms[..., :-1]


def _reversed(norms):
    return norms.flip(-1)


def _squared(p):
    return p.square().sum((-2, -1))


def _largest_stretch(p):
    return torch.linalg.matrix_norm(p, 2)


def _root_of_mean(p):
    return torch.linalg.matrix_norm(p) / p.shape[-1]


def _of_a_unit(p):
    return torch.linalg.matrix_norm(p) / p.shape[-1] ** 0.5


def _largest_stretch_but_at_lag_0(jacobians):
    if jacobians.shape[-3] == 0:  # nothing is stretched
        return _norms(jacobians)
    stretches = _norms(jacobians, norm=_largest_stretch)[..., 1:]
    return torch.cat((_norms(jacobians)[..., :1], stretches), -1)


def _elementwise_from_ones(jacobians):
    ones = torch.ones_like(_norms(jacobians)[..., None, None][..., :1, :, :])
    ones = ones.expand(*jacobians.shape[:-3], 1, *jacobians.shape[-2:])
    return torch.linalg.matrix_norm(torch.cat((ones, jacobians.flip(-3)), -3).cumprod(-3))


def _one_at_lag_0(norms):
    return torch.cat((torch.ones_like(norms[..., :1]), norms[..., 1:]), -1)


_SECTION = "A product of Jacobians"

GRADIENT_NORM_BY_LAG = Exercise(
    reference=reference.gradient_norm_by_lag,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "types": 1, "contracts": 2},
    cases=CASES,
    contract=_contract,
    traps=(
        Trap(
            "a product of norms",
            _product_of_norms,
            "the norm of a product is at most the product of the norms, and mostly far below it: "
            "one step stretches along directions that the next one shrinks. Multiply the matrices, "
            "then take the norm.",
            _SECTION,
            (
                _product_of_norms_from_one,
                _product_after_the_first,
                _product_of_norms_by(_largest_stretch),
            ),
        ),
        Trap(
            "multiplied in the wrong order",
            _with(product_of=_left),
            "∂h_T/∂h_{T-2} = J_T J_{T-1}: the newest Jacobian stands on the left, and every older "
            "one is multiplied from the *right*. Matrices do not commute, and no shape gives it "
            "away. (Jacobians that are transposed give the same numbers.)",
            _SECTION,
        ),
        Trap(
            "counted from the start",
            _with(product_of=_left, oldest_first=True),
            "that is ∂h_t/∂h_0, forward from the first step. Asked for is ∂h_T/∂h_{T-lag}: from "
            "the last state backwards, as the gradient travels.",
            _SECTION,
            (_with(oldest_first=True),),
        ),
        Trap(
            "a lag missing",
            _with(lags=_lag_0_missing),
            "T Jacobians make T + 1 lags: lag 0 is ∂h_T/∂h_T, the identity, whose norm is √C, and "
            "lag T is the product of all.",
            _SECTION,
            (_with(lags=_last_lag_missing),),
        ),
        Trap(
            "1 at lag 0",
            _with(lags=_one_at_lag_0),
            "lag 0 is the identity, and its Frobenius norm is √C: C ones on the diagonal, squared, "
            "added, and the root taken. All later lags are to be compared with that.",
            _SECTION,
        ),
        Trap(
            "the lags backwards",
            _with(lags=_reversed),
            "lag 0 comes first. The Jacobians are stored oldest first, the lags are counted from "
            "the newest.",
            _SECTION,
        ),
        Trap(
            "each Jacobian by itself",
            _single,
            "the norm of one step says what is lost in that step. What is left after many is the "
            "norm of the product of them all.",
            _SECTION,
        ),
        Trap(
            "the root forgotten",
            _with(norm=_squared),
            "the Frobenius norm is the *square root* of the sum of squares.",
            _SECTION,
        ),
        Trap(
            "divided by the width",
            _with(norm=_root_of_mean),
            "a sum of squares, not their mean: the norm of the identity is √C, not 1.",
            _SECTION,
            (_with(norm=_of_a_unit),),
        ),
        Trap(
            "multiplied entry by entry",
            _with(product_of=torch.mul),
            "* multiplies entries, @ multiplies matrices. The chain rule needs the second: an "
            "entry of the product is a sum over all ways from one unit to another.",
            _SECTION,
            (_elementwise_from_ones,),
        ),
        Trap(
            "another norm",
            _with(norm=_largest_stretch),
            "the largest singular value, the sum of all, the largest column, the largest entry, "
            "the trace, the determinant: each measures something else. Asked for is the Frobenius "
            "norm, the root of the sum of all squared entries, torch.linalg.matrix_norm's default.",
            _SECTION,
            (
                _largest_stretch_but_at_lag_0,
                _with(norm=lambda p: torch.linalg.matrix_norm(p, "nuc")),
                _with(norm=lambda p: torch.linalg.matrix_norm(p, 1)),
                _with(norm=lambda p: p.abs().sum((-2, -1))),
                _with(norm=lambda p: p.abs().amax((-2, -1))),
                _with(norm=lambda p: p.diagonal(0, -2, -1).sum(-1)),
                _with(norm=lambda p: torch.linalg.det(p.double()).abs().to(p.dtype)),
            ),
        ),
    ),
)
