"""What ``top_k_route`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.efficiency import routes as part
from tutor.checks.efficiency.routes import with_
from tutor.checks.efficiency.shared import BALANCE, CHAPTER, ROUTER
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

_SIZES = Factor(
    "sizes",
    (
        Condition("two of six", value=(4, 6, 2)),
        Condition("one of five", "one expert a token", (4, 5, 1), edge=True, alone=True),
        Condition("all", "all experts", (5, 4, 4), edge=True, alone=True),
        Condition("three chosen", "three experts of seven", (5, 7, 3), alone=True),
        Condition("as many tokens", "as many tokens as experts", (6, 6, 2)),
        Condition("one token", "a single token", (1, 6, 2), edge=True),
    ),
)
_BIAS = Factor(
    "bias",
    (
        Condition("left out", value=None),
        Condition("given", "with a bias", True, alone=True),
    ),
)
FAMILY = Family((DTYPE, LAYOUT, BATCH, _SIZES, _BIAS))


def scores(draw: Draw, *shape: int) -> Tensor:
    """Far enough from each other in a row that no rounding changes their order."""
    number = shape[-1]
    order = torch.rand(shape, generator=draw.generator).argsort(-1)
    levels = 0.5 * (order - number / 2) + draw.uniform(*shape, low=-0.1, high=0.1).cpu()
    return levels.to(draw.device)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | int, ...]:
    tokens, number, k = row["sizes"]
    preferred = scores(draw, *row["batch"], tokens, number)
    if not row["bias"]:
        return laid(preferred.to(row["dtype"]), row["layout"]), k
    # Large enough to change the choice for most tokens.
    bias = draw.integers(number, low=-12, high=13).to(DOUBLE) / 8
    bias[0], bias[-1] = 2.0, -1.5
    logits = (preferred - bias).to(row["dtype"])
    return laid(logits, row["layout"]), k, bias.to(row["dtype"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    example = torch.tensor([1.0, 3.0, 2.0], dtype=DOUBLE, device=draw.device).log()
    bias = torch.tensor([10.0, 0.0, 0.0], dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (example, 2))
    yield Case("the example with a bias", (example, 2, bias))
    tokens, number = draw.integer(3, 7), draw.integer(4, 9)
    yield Case("sizes drawn by lot", (scores(draw, tokens, number), 3))
    yield Case("all logits near 900", (scores(draw, 5, 6) + 900, 2), "edges")
    yield Case("all logits near -900", (scores(draw, 5, 6) - 900, 2), "edges")
    yield Case("one expert far ahead", (scores(draw, 5, 6) * 40, 2), "edges")
    for label, k in (("none", 0), ("more than there are", 7), ("fewer than none", -1)):
        yield Case(f"{label} must raise ValueError", (scores(draw, 4, 6), k), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="two experts of six")


def _sum_to_one(call, generator: Generator, device: torch.device) -> str | None:
    shares, _ = call(scores(Draw(generator, device), 7, 8), 3)
    off = (shares.sum(-1) - 1).abs().max()
    return None if off < 1e-12 else f"a token's shares sum to 1 but for {float(off):.2g}"


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    return Contract(calls=((scores(draw, 4, 6), 2, draw.normal(6)),))


TOP_K_ROUTE = Exercise(
    reference=reference.top_k_route,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("shares", "experts"),
    properties=(Property("shares sum to 1", _sum_to_one, "values"),),
    traps=(
        Trap(
            "softmax before the choice",
            with_(shared=part.softmax_of_all),
            "a softmax over all experts, of which k are then taken, gives shares that sum to less "
            "than 1: the answer is too small by what the others would have had. Divided by their "
            "sum they are right; or choose first, and take the softmax of the chosen.",
            ROUTER,
        ),
        Trap(
            "two softmaxes",
            with_(shared=part.softmax_twice),
            "shares between 0 and 1, taken for logits again, are nearly all alike. One softmax is "
            "enough.",
            ROUTER,
        ),
        Trap(
            "the bias in the shares",
            with_(weighed=part.added),
            "the bias says who is asked, so that all experts get work. How much an answer counts "
            "is for the logits alone, or the balance would change what the model says.",
            BALANCE,
        ),
        Trap(
            "the bias added to probabilities",
            with_(preferred=part.probabilities_and_bias),
            "probabilities are between 0 and 1, and there a bias weighs more. It is added to the "
            "logits.",
            ROUTER,
        ),
        Trap(
            "the bias forgotten",
            with_(preferred=part.without_bias),
            "the k largest of logits + bias are chosen.",
            BALANCE,
            (with_(preferred=part.taken_off), with_(preferred=part.multiplied)),
        ),
        Trap(
            "shares and experts exchanged",
            with_(returned=part.exchanged),
            "first the shares, then the numbers of the experts: as `topk` gives values and "
            "indices.",
            ROUTER,
            (with_(returned=part.experts_alone), with_(returned=part.shares_alone)),
        ),
        Trap(
            "not the best first",
            with_(chosen=part.in_order_of_number),
            "the experts stand in the order of preference: `topk` sorts them, unless it is told "
            "`sorted=False`.",
            ROUTER,
            (with_(chosen=part.worst_first), with_(returned=part.by_shares)),
        ),
        Trap(
            "the worst experts",
            with_(chosen=part.smallest),
            "the largest logits are chosen.",
            ROUTER,
            (with_(chosen=part.by_size),),
        ),
        Trap(
            "one expert k times",
            with_(chosen=part.the_best_again),
            "k *different* experts are asked.",
            ROUTER,
        ),
        Trap(
            "the same experts for all",
            with_(chosen=part.the_same_for_all),
            "each token chooses for itself.",
            ROUTER,
        ),
        Trap(
            "ranks for numbers",
            with_(chosen=part.places_of_order),
            "argsort of argsort says which place each expert has. Asked for is which expert has "
            "the first place.",
            ROUTER,
        ),
        Trap(
            "sigmoids for a softmax",
            with_(shared=part.sigmoids),
            "there are such routers (DeepSeek-V3's); here shares are a softmax of the chosen "
            "logits, and sum to 1.",
            ROUTER,
            (with_(shared=part.sigmoids_to_one),),
        ),
        Trap(
            "logits for shares",
            with_(shared=part.logits_to_one),
            "logits may be negative, and their sum 0. A softmax makes shares of them.",
            ROUTER,
            (with_(shared=part.logits_alone), with_(shared=part.logarithms)),
        ),
        Trap(
            "all chosen alike",
            with_(shared=part.all_alike),
            "how much an expert's answer counts is what the router learns by: with equal shares no "
            "gradient reaches it.",
            ROUTER,
        ),
        Trap(
            "the others as zeros",
            with_(shared=part.the_rest_as_zeros),
            "0 is a logit like others, and exp(0) is 1. What is not chosen gets -inf, or is not "
            "there at all.",
            ROUTER,
        ),
        Trap(
            "softmax over the tokens",
            with_(shared=part.over_the_tokens),
            "a token shares itself out among experts: the last dimension, dim=-1.",
            ROUTER,
            (with_(shared=part.over_the_next_to_last),),
        ),
        Trap(
            "an exponential that overflows",
            with_(shared=part.by_hand),
            "exp(900) is infinite. `softmax` subtracts the largest first.",
            ROUTER,
        ),
        Trap(
            "logits of other experts",
            with_(shared=part.first_k),
            "the chosen experts' logits are found by their numbers: `logits.gather(-1, experts)`.",
            ROUTER,
        ),
        Trap(
            "the best gets 1",
            with_(shared=part.to_one_by_the_largest),
            "shares are divided by their sum, and not by the largest.",
            ROUTER,
        ),
        Trap(
            "a share for every expert",
            part.over_all_experts,
            "k shares for each token, in the order of its experts.",
            ROUTER,
        ),
        Trap(
            "cut off from learning",
            with_(told=part.detached),
            "the choice itself has no gradient. The router learns by the shares, or not at all.",
            ROUTER,
        ),
        Trap(
            "single precision whatever comes in",
            with_(told=part.always_single),
            "shares have the dtype of the logits.",
            ROUTER,
            precision=True,
        ),
        Trap(
            "short numbers",
            with_(returned=part.short_numbers),
            "what looks up rows of a tensor is int64 in torch.",
            ROUTER,
        ),
        Trap(
            "k is not looked at",
            with_(refused=part.never),
            "a token asks at least one expert, and no more than there are. Raise a ValueError.",
            ROUTER,
            (with_(refused=part.above_alone), with_(refused=part.below_alone)),
        ),
    ),
)
