"""What ``linear_attention`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import long_context as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between
from tutor.checks.long_context import sums
from tutor.checks.long_context.shared import CHAPTER, DV, LINEAR, B, D
from tutor.checks.long_context.sums import with_

SCALE = Factor(
    "scale",
    (
        Condition("around 1", value=1.0),
        Condition("tiny", "small numbers", 0.01),
        Condition("large", "numbers in the tens", 20.0, edge=True),
    ),
)
_LENGTHS = Factor(
    "lengths",
    (
        Condition("six", value=(6, 6)),
        Condition("newest", "three new queries, eight keys", (3, 8), edge=True, alone=True),
        Condition("one query", "one query, many keys", (1, 7), edge=True, alone=True),
        Condition("one token", "a single token", (1, 1), edge=True, alone=True),
    ),
)
_CAUSAL = Factor(
    "causal",
    (
        Condition("causal", value=(True,)),
        Condition("all", "all keys for everybody", (False,), alone=True),
        Condition("left out", "causal left out", ()),
    ),
)
FAMILY = Family(
    (DTYPE, SCALE, LAYOUT, BATCH, _LENGTHS, _CAUSAL),
    apart={
        pair("behind", "none"): "without a batch dimension there are no heads to lie elsewhere",
        pair("half", "large"): "sums of such numbers are beyond half precision",
    },
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | bool, ...]:
    (tq, tk), batch, about = row["lengths"], row["batch"], {"dtype": row["dtype"]}
    q, k = (draw.normal(*batch, t, D, scale=row["scale"], **about) for t in (tq, tk))
    v = draw.normal(*batch, tk, DV, **about)
    return *(laid(t, row["layout"]) for t in (q, k, v)), *row["causal"]


def _qkv(draw: Draw, *batch: int, tq: int, tk: int, d: int = D, dv: int = DV):
    return draw.normal(*batch, tq, d), draw.normal(*batch, tk, d), draw.normal(*batch, tk, dv)


def _by_hand(draw: Draw) -> Iterator[Case]:
    example = torch.ones(2, 1), torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [4.0]])
    yield Case("the example of the text", tuple(t.to(draw.device).double() for t in example))
    t = draw.integer(5, 11)
    yield Case("sizes drawn by lot", (*_qkv(draw, 3, tq=t, tk=t, d=4, dv=3), True))
    yield Case("more queries than keys, all read", (*_qkv(draw, B, tq=9, tk=4), False))
    # elu(x) + 1 is 0 there, in single precision.
    q, k, v = (t.to(SINGLE) for t in _qkv(draw, B, tq=5, tk=5))
    yield Case("features far below 0, single precision", (q, k - 30, v, True), "edges")
    yield Case("queries far below 0, single precision", (q - 30, k, v, False), "edges")
    yield Case("features far above 0", (2000 * q.double().abs(), k.double(), v.double()), "edges")
    label = "more queries than keys, causal, must raise ValueError"
    yield Case(label, (*_qkv(draw, B, tq=6, tk=4), True), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _future_edit(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    q, k, v = _qkv(draw, B, tq=8, tk=8)
    before = call(q, k, v, True)
    k, v = k.clone(), v.clone()
    k[:, 5:], v[:, 5:] = draw.normal(B, 3, D), draw.normal(B, 3, DV)
    change = (call(q, k, v, True) - before)[:, :5].abs().max()
    if not change < 1e-12:
        return f"new tokens after position 4 changed the answers up to there by {float(change):.2g}"
    return None


def _shares(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    q, k, v = _qkv(draw, B, tq=6, tk=6)
    off = (call(q, k, torch.ones_like(v), True) - 1).abs().max()
    if not off < 1e-9:
        return f"if all values are 1, a mixture of them is 1: it is off by {float(off):.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, t, d, dv = Draw(generator, device), 192, 4, 3
    q, k, v = _qkv(draw, 1, tq=t, tk=t, d=d, dv=dv)
    return Contract(
        calls=((q, k, v, True), (q, k, v, False)),
        # A sum of d x dv numbers for each token, several times over, against the square.
        max_intermediate=between(2 * t * d * dv, t * t),
        forbidden=LIBRARY_ATTENTION,
    )


def feature_traps(form, section: str) -> tuple[Trap, ...]:
    """``form(of_queries=..., of_keys=...)`` makes a wrong answer."""

    def both(features):
        return form(of_queries=features, of_keys=features)

    first, *others = sums.FEATURES
    return (
        Trap(
            "other features",
            both(first),
            "φ(x) is x + 1 above 0 and eˣ below. Any φ that is never negative gives shares, but "
            "the check has to know which; with plain relu a query may find no key at all, and its "
            "answer is 0 / 0.",
            section,
            tuple(map(both, others)),
        ),
        Trap(
            "features that round to 0",
            both(sums.elu_and_one),
            "elu(x) + 1 is eˣ - 1 + 1 below 0. In single precision that is 0 from -17 on, and 0 "
            "divided by 0 is nan. Write eˣ without the detour: torch.where(x > 0, x + 1, ...).",
            section,
        ),
        Trap(
            "no features",
            both(sums.as_it_is),
            "a plain product may be negative, and shares may not: their sum can be 0 or less, and "
            "then the division gives anything.",
            section,
        ),
        Trap(
            "features of the keys alone",
            form(of_queries=sums.as_it_is),
            "the weight of a pair is φ(q)·φ(k): both have to be positive.",
            section,
            (form(of_keys=sums.as_it_is),),
        ),
    )


LINEAR_ATTENTION = Exercise(
    reference=reference.linear_attention,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 1, "types": 1, "contracts": 3},
    cases=CASES,
    contract=_contract,
    properties=(
        Property("a future edit leaves the past unchanged", _future_edit),
        Property("shares of ones", _shares, "values"),
    ),
    traps=(
        Trap(
            "the normaliser forgotten",
            with_(divide=sums.forgotten),
            "softmax divides by the sum of its weights, and so does this: by φ(q)·Σ φ(k). Without "
            "it the answers grow with the number of keys, and a model that was trained on short "
            "texts is flooded by a long one.",
            LINEAR,
        ),
        Trap(
            "normalised without the query",
            with_(total=sums.without_the_query),
            "the weights are φ(q)·φ(k), so their sum is φ(q)·Σ φ(k): the query has a part in it.",
            LINEAR,
        ),
        Trap(
            "multiplied by the normaliser",
            with_(divide=sums.multiplied),
            "the reciprocal is missing: it is divided by the sum of weights.",
            LINEAR,
        ),
        Trap(
            "divided by the number of keys",
            with_(total=sums.how_many),
            "a mean weighs all keys alike. The sum of the weights is what makes shares of them.",
            LINEAR,
        ),
        Trap(
            "the normaliser of all keys",
            with_(seen_by_total=sums.all_of_them),
            "of a causal query, the sum of weights runs over its own past, as that of the values "
            "does. With all keys in it the first tokens fade, and the future shows in how much.",
            LINEAR,
        ),
        Trap(
            "the values of all keys",
            with_(seen=sums.all_of_them, seen_by_total=sums.up_to_itself),
            "the sum over φ(k) vᵀ was taken over the whole text: a running sum gives each query "
            "its own past.",
            LINEAR,
        ),
        Trap(
            "never causal",
            with_(seen=sums.all_of_them),
            "causal changes nothing: every query reads every key. Running sums (cumsum) along the "
            "time take the place of the sums.",
            LINEAR,
        ),
        Trap(
            "always causal",
            with_(seen=sums.always_causal, refuse=lambda q, k, causal: None),
            "if not causal, every query reads all keys, also those after it.",
            LINEAR,
            (with_(seen=sums.always_causal),),
        ),
        Trap(
            "without itself",
            with_(seen=sums.before_itself),
            "the state was read before the token's own key and value were in it. A token may read "
            "itself, and the first has nothing else: 0 / 0.",
            LINEAR,
        ),
        Trap(
            "aligned to the wrong corner",
            with_(seen=sums.from_the_first),
            "fewer queries than keys are the newest: of the running sums they take the last Tq, "
            "not the first.",
            LINEAR,
        ),
        Trap(
            "what came before the queries left out",
            with_(seen=sums.own_stretch),
            "the running sums begin at the first query. The keys before it are its past, and "
            "belong to the sums from the beginning.",
            LINEAR,
        ),
        Trap(
            "the future instead of the past",
            with_(seen=sums.from_itself_on),
            "the running sum goes backwards: a token reads itself and what comes after it.",
            LINEAR,
        ),
        Trap(
            "no running sum",
            with_(seen=sums.itself),
            "each token reads itself alone, so its value is its answer. The state is the *sum* of "
            "φ(k) vᵀ so far.",
            LINEAR,
        ),
        Trap(
            "summed along another dimension",
            sums.over_the_second,
            "dimension 1 is the time only where there is one batch dimension. With heads in front "
            "of it, each head adds up the heads before it. Count from the end.",
            LINEAR,
        ),
        *feature_traps(with_, LINEAR),
        Trap(
            "scaled by √D",
            with_(given=sums.halves_scaled),
            "the scale is softmax's: it keeps an exponential from choosing too sharply. Here there "
            "is none. Before φ it changes the weights; after φ it changes nothing, since it stands "
            "in the normaliser too.",
            LINEAR,
        ),
        Trap(
            "an epsilon in the denominator",
            with_(divide=sums.plus(1e-6)),
            "φ is never 0, so the sum of weights is not either. What is added to be safe makes "
            "every answer a little too small, and a lot where the features are small.",
            LINEAR,
            (
                with_(divide=sums.plus(1e-8)),
                with_(divide=sums.plus(1e-5)),
                with_(divide=sums.plus(1e-3)),
                with_(divide=sums.at_least(1e-6)),
            ),
        ),
        Trap(
            "a detached normaliser",
            with_(divide=sums.detached),
            "the numbers are right, and half of the gradient is missing: keys and queries also act "
            "through the sum that it is divided by.",
            LINEAR,
        ),
        Trap(
            "softmax all the same",
            sums.by_softmax,
            "this is chapter 3's attention. Linear attention has φ(q)·φ(k) in the place of "
            "exp(q·k / √D): other weights, and that is what makes it linear.",
            LINEAR,
        ),
        Trap(
            "features of the values",
            with_(of_values=sums.positive),
            "φ makes weights positive. Values are what is mixed, and stay as they are.",
            LINEAR,
        ),
        Trap(
            "normalised by the root of squares",
            with_(total=sums.root_of_squares),
            "shares sum to 1; it is the sum of the weights that they are divided by, not their "
            "length.",
            LINEAR,
        ),
        Trap(
            "queries before the first key accepted",
            with_(refuse=lambda q, k, causal: None),
            "a causal query without a position among the keys has nothing to read, and 0 / 0 is "
            "nan. Raise a ValueError.",
            LINEAR,
        ),
    ),
)
