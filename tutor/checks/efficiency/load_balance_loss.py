"""What ``load_balance_loss`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import efficiency as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import DOUBLE, Draw, laid
from tutor.checks.efficiency import balances as part
from tutor.checks.efficiency.balances import with_
from tutor.checks.efficiency.shared import BALANCE, CHAPTER
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

_SIZES = Factor(
    "sizes",
    (
        Condition("two of six", value=(5, 6, 2)),
        Condition("one of five", "one expert a token", (7, 5, 1), alone=True),
        Condition("three chosen", "three experts of seven", (5, 7, 3), alone=True),
        Condition("all", "all experts", (5, 4, 4), edge=True, alone=True),
        Condition("as many tokens", "as many tokens as experts", (6, 6, 2)),
        Condition("one token", "a single token", (1, 6, 2), edge=True),
    ),
)
FAMILY = Family((DTYPE, LAYOUT, BATCH, _SIZES))


def chosen(draw: Draw, *shape: int, number: int) -> Tensor:
    """Different experts for each token, the first ones more often than the last."""
    liking = torch.rand((*shape[:-1], number), generator=draw.generator)
    liking = liking - 0.5 * torch.arange(number) / number
    return liking.argsort(-1, descending=True)[..., : shape[-1]].to(draw.device)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, ...]:
    tokens, number, k = row["sizes"]
    shape = (*row["batch"], tokens)
    logits = draw.normal(*shape, number, dtype=row["dtype"], scale=1.5)
    logits = logits + torch.linspace(1, -1, number, device=draw.device).to(row["dtype"])
    experts = chosen(draw, *shape, k, number=number)
    return laid(logits, row["layout"]), laid(experts, row["layout"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    def tensor(rows: list, dtype: torch.dtype) -> Tensor:
        return torch.tensor(rows, dtype=dtype, device=draw.device)

    logits = tensor([[3.0, 1.0], [1.0, 1.0]], DOUBLE).log()
    yield Case("the example of the text", (logits, tensor([[0], [0]], torch.int64)))
    tokens, number = draw.integer(3, 9), draw.integer(4, 8)
    drawn = draw.normal(tokens, number), chosen(draw, tokens, 3, number=number)
    yield Case("sizes drawn by lot", drawn)
    every = torch.arange(12, device=draw.device).view(6, 2) % 4
    yield Case("all experts alike", (torch.zeros(6, 4, dtype=DOUBLE, device=draw.device), every))
    first = torch.zeros(5, 1, dtype=torch.int64, device=draw.device)
    yield Case("one expert has everything", (draw.normal(5, 6), first), "edges")
    far = draw.normal(5, 6) + 900, chosen(draw, 5, 2, number=6)
    yield Case("all logits near 900", far, "edges")
    wrong = draw.normal(5, 6), chosen(draw, 4, 2, number=6)
    yield Case("other tokens must raise ValueError", wrong, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="two experts of six")


def _one_where_even(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    for number, k in ((4, 1), (6, 2), (6, 3)):
        experts = torch.arange(number * k, device=device).view(number, k) % number
        off = abs(float(call(0 * draw.normal(number, number), experts)) - 1)
        if not off < 1e-12:
            return f"with {number} experts of equal work, {k} a token, it is 1 but for {off:.2g}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    return Contract(calls=((draw.normal(5, 6), chosen(draw, 5, 2, number=6)),))


LOAD_BALANCE_LOSS = Exercise(
    reference=reference.load_balance_loss,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("loss",),
    properties=(Property("1 where all is even", _one_where_even, "values"),),
    traps=(
        Trap(
            "softmax twice",
            with_(probability=part.twice),
            "the softmax of a softmax is nearly even, whatever the router says, and so is the "
            "loss: it balances nothing. `logits` are what the router gives, before any softmax.",
            BALANCE,
        ),
        Trap(
            "no softmax",
            with_(probability=part.not_at_all),
            "p is a probability: the softmax of the logits over all experts.",
            BALANCE,
            (with_(probability=part.logarithms), with_(probability=part.sigmoids)),
        ),
        Trap(
            "fractions that sum to k",
            with_(counted=part.summed_to_k),
            "f is the share of all *choices*, of which each token has k. Divided by the number of "
            "tokens alone, f sums to k, and even work costs k instead of 1.",
            BALANCE,
            (with_(scaled=part.times_k), with_(scaled=part.over_k)),
        ),
        Trap(
            "probabilities over the chosen only",
            with_(probability=part.of_chosen_alone),
            "p is over all experts. Over the chosen alone, an expert that nobody asks has no "
            "probability, no gradient, and no way back.",
            BALANCE,
            (with_(probability=part.of_chosen_not_scaled),),
        ),
        Trap(
            "a constant loss",
            with_(joined=part.outer),
            "f of each expert is multiplied by p of the same expert. Each with each sums to 1, "
            "whatever the router does.",
            BALANCE,
            (with_(counted=part.constant), with_(averaged=part.of_everything)),
        ),
        Trap(
            "token by token",
            part.token_by_token,
            "first the mean over the tokens, then the product. The product of each token by "
            "itself says how sure the router is, and not how even it is.",
            BALANCE,
        ),
        Trap(
            "sentence by sentence",
            part.sentence_by_sentence,
            "f and p are means over all tokens of all sentences: a sentence may well keep to some "
            "experts, if others keep to others.",
            BALANCE,
            (with_(averaged=part.of_the_first_dimension),),
        ),
        Trap(
            "the first choices alone",
            with_(chosen=part.first_choices, counted=part.summed_to_k),
            "a second choice is work as the first is: all k of a token count.",
            BALANCE,
            (
                with_(chosen=part.first_choices),
                with_(chosen=part.last_choices),
                with_(counted=part.of_likeliest),
            ),
        ),
        Trap(
            "no counts",
            with_(counted=part.probabilities),
            "p times p is even if the probabilities are; but whom the tokens ask is the choice, "
            "and the choice may be uneven by a hair's breadth. f counts it.",
            BALANCE,
            (with_(joined=part.probabilities_squared),),
        ),
        Trap(
            "counts alone",
            with_(joined=part.counts_squared),
            "a count has no gradient: f times f teaches nothing. p carries the gradient, and f "
            "says whose is to shrink.",
            BALANCE,
        ),
        Trap(
            "the number of experts forgotten",
            with_(scaled=part.without_experts),
            "even work gives the sum of E times 1/E · 1/E, which is 1/E. Times E it is 1, for any "
            "number of experts.",
            BALANCE,
            (
                with_(joined=part.means),
                with_(scaled=part.squared_experts),
                with_(counted=part.of_number_of_experts),
            ),
        ),
        Trap(
            "sums for means",
            with_(averaged=part.sums),
            "p is the mean over the tokens, or the loss grows with the batch.",
            BALANCE,
            (with_(counted=part.numbers),),
        ),
        Trap(
            "another loss",
            with_(joined=part.variation),
            "there are others that balance: the variation of p, its entropy, the distance of f "
            "and p. Asked for is E Σ f p.",
            BALANCE,
            (with_(joined=part.difference), with_(joined=part.entropy)),
        ),
        Trap(
            "ever asked at all",
            with_(counted=part.ever_chosen),
            "f says how often an expert is asked, and not whether.",
            BALANCE,
        ),
        Trap(
            "another choice than the one that was made",
            part.its_own_choice,
            "`experts` says whom the tokens have asked: a bias, or chance, may have chosen others "
            "than those with the largest logits.",
            BALANCE,
        ),
        Trap(
            "counted up to the last one asked",
            part.up_to_the_last_asked,
            "the number of experts is that of the logits. Those whom nobody asks count, too: they "
            "are what the loss is against.",
            BALANCE,
        ),
        Trap(
            "softmax over the tokens",
            with_(probability=part.over_tokens),
            "each token has probabilities over the experts: the last dimension.",
            BALANCE,
            (with_(probability=part.over_all_tokens),),
        ),
        Trap(
            "an exponential that overflows",
            with_(probability=part.by_hand),
            "exp(900) is infinite. `softmax` subtracts the largest first.",
            BALANCE,
        ),
        Trap(
            "one taken off",
            with_(scaled=part.less_one),
            "even work costs 1 here. Less 1 has the same gradient, and is another number.",
            BALANCE,
        ),
        Trap(
            "its weight included",
            with_(scaled=part.a_hundredth),
            "how much it counts beside the model's own loss is for the caller to say.",
            BALANCE,
            (with_(scaled=part.negative),),
        ),
        Trap(
            "cut off from learning",
            with_(probability=part.detached),
            "the gradient flows through p, or the loss is a number that nobody follows.",
            BALANCE,
        ),
        Trap(
            "single precision whatever comes in",
            with_(told=part.always_single),
            "the loss has the dtype of the logits.",
            BALANCE,
            precision=True,
        ),
        Trap(
            "a dimension too many",
            with_(told=part.with_a_dimension),
            "a loss is one number: a tensor without dimensions.",
            BALANCE,
        ),
        Trap(
            "tokens are not compared",
            with_(refused=part.never),
            "logits and experts of different tokens say nothing about each other: raise a "
            "ValueError.",
            BALANCE,
        ),
    ),
)
