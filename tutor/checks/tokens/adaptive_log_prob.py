"""What ``adaptive_log_prob`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import tokens as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between
from tutor.checks.tokens.shared import CHAPTER, C, T

_TAILS = Factor(
    "tails",
    (
        Condition("two tails", value=((3, 6), (2, 9))),
        Condition("one tail", "a single cluster", ((2, 7),), alone=True),
        Condition("three tails", "three clusters", ((4, 2), (3, 8), (1, 5)), alone=True),
        Condition("no tail", "no cluster", (), edge=True, alone=True),
    ),
)
_HEAD = Factor(
    "head",
    (
        Condition("four", value=4),
        Condition("one frequent", "one frequent token", 1, edge=True),
    ),
)
_SCALE = Factor(
    "scale",
    (
        Condition("around 1", value=1.0),
        Condition("large", "logits in the hundreds", 60.0, edge=True, alone=True),
    ),
)
FAMILY = Family((DTYPE, LAYOUT, BATCH, _TAILS, _HEAD, _SCALE)).but(
    without={
        "behind": "no dimension is for heads",
        "half": "bfloat16 is as coarse",
    },
)


def _inputs(draw, batch, rows, tails, dtype, layout=None, scale=1.0) -> tuple:
    def matrix(*shape: int) -> Tensor:
        return laid(draw.normal(*shape, dtype=dtype), layout)

    hidden = laid(draw.normal(*batch, T, C, dtype=dtype, scale=scale), layout)
    pairs = tuple((matrix(width, C), matrix(size, width)) for width, size in tails)
    return hidden, matrix(rows + len(tails), C), pairs


def _arguments(draw: Draw, row: Row) -> tuple:
    sizes = row["batch"], row["head"], row["tails"], row["dtype"]
    return _inputs(draw, *sizes, row["layout"], row["scale"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    _, head, tails = _inputs(draw, (), 3, ((2, 4), (3, 5)), torch.float64)
    yield Case("a single vector", (draw.normal(C), head, tails))
    yield Case("more clusters than rows", (draw.normal(T, C), head[:1], tails), "edges", ValueError)
    yield Case(
        "as many clusters as rows", (draw.normal(T, C), head[:2], tails), "edges", ValueError
    )


def _contract(generator: Generator, device: torch.device) -> Contract:
    rows, width, frequent = 16, 32, 20
    draw, tails = Draw(generator, device), ((8, 120), (4, 200))
    flops = 2 * rows * (width * (frequent + len(tails)) + sum(d * (width + n) for d, n in tails))
    again = sum(2 * rows * width * d for d, _ in tails)  # up down is dearer than one product twice
    head = draw.normal(frequent + len(tails), width)
    pairs = tuple((draw.normal(d, width), draw.normal(n, d)) for d, n in tails)
    return Contract(
        calls=((draw.normal(rows, width), head, pairs),), max_flops=between(flops, flops + again)
    )


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _normalised(scores):
    return scores.log_softmax(-1)


def _behind_the_frequent(i, frequent, count):
    return frequent + i


def _down_and_up(hidden, down, up):
    return hidden @ down.mT @ up.mT


def _its_cluster(cluster, within):
    return cluster + within


def _frequent_alone(scores, frequent):
    return scores[..., :frequent]


def _in_order(first, others):
    return torch.cat((first, *others), -1)


def _as_it_is(answer):
    return answer


def _adaptive(
    hidden,
    head,
    tails,
    normalised=_normalised,
    row=_behind_the_frequent,
    project=_down_and_up,
    within=_normalised,
    together=_its_cluster,
    first=_frequent_alone,
    order=_in_order,
):
    """The right log-probabilities, but for the parts that are given."""
    frequent = head.shape[0] - len(tails)
    if frequent < 1:
        raise ValueError("more clusters than rows")
    scores = normalised(hidden @ head.mT)
    others = [
        together(scores[..., row(i, frequent, len(tails)), None], within(project(hidden, *tail)))
        for i, tail in enumerate(tails)
    ]
    return order(first(scores, frequent), others)


with_ = changeable(_adaptive)


def _softmax(scores):
    return scores.softmax(-1)


def _twice(scores):
    return scores.softmax(-1).log_softmax(-1)


def _from_the_end(i, frequent, count):
    return frequent + count - 1 - i


def _at_the_beginning(i, frequent, count):
    return i


def _always_the_first(i, frequent, count):
    return frequent


def _within_alone(cluster, within):
    return within


def _times(cluster, within):
    return cluster * within


def _minus(cluster, within):
    return within - cluster


def _all_of_the_head(scores, frequent):
    return scores


def _clusters_first(first, others):
    return torch.cat((*others, first), -1)


def _behind_the_clusters(scores, frequent):
    return scores[..., scores.shape[-1] - frequent :]


def _last_cluster_first(first, others):
    return torch.cat((first, *others[::-1]), -1)


def _normalised_together(first, others):
    return _normalised(torch.cat((first, *others), -1))


def _down_relu_up(hidden, down, up):
    return (hidden @ down.mT).relu() @ up.mT


def _without_clusters(hidden, head, tails):
    frequent = head.shape[0] - len(tails)
    scores = hidden @ head.mT
    parts = [scores[..., :frequent].log_softmax(-1)]
    clusters = scores.log_softmax(-1)[..., frequent:]
    for i, tail in enumerate(tails):
        parts.append(clusters[..., i, None] + _down_and_up(hidden, *tail).log_softmax(-1))
    return torch.cat(parts, -1)


_SECTION = "Adaptive softmax"

ADAPTIVE_LOG_PROB = Exercise(
    reference=reference.adaptive_log_prob,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "gradients": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("log_prob",),
    traps=(
        Trap(
            "softmax taken twice",
            with_(normalised=_twice, within=_twice),
            "`log_softmax` takes scores and gives logarithms of probabilities, in one step. Given "
            "probabilities, it takes them for scores, and flattens them.",
            _SECTION,
            (with_(normalised=_twice), with_(within=_twice)),
        ),
        Trap(
            "the cluster's token counted twice",
            with_(first=_all_of_the_head),
            "the head's last rows are clusters and no tokens. Their probability is shared out "
            "among the tokens of the clusters, and they are not in the answer themselves.",
            _SECTION,
        ),
        Trap(
            "clusters from the wrong end",
            with_(row=_from_the_end),
            "cluster i stands at row `frequent + i` of the head. Counted from the end as `-1 - i`, "
            "only the middle one is right.",
            _SECTION,
        ),
        Trap(
            "clusters before the frequent tokens",
            with_(row=_at_the_beginning),
            "the head's first rows are the frequent tokens, and the clusters stand behind them.",
            _SECTION,
            (with_(row=_at_the_beginning, first=_behind_the_clusters),),
        ),
        Trap(
            "one cluster for all",
            with_(row=_always_the_first),
            "each cluster has a row of its own in the head.",
            _SECTION,
        ),
        Trap(
            "the cluster's probability forgotten",
            with_(together=_within_alone),
            "within a cluster the probabilities sum to 1. How likely the cluster itself is comes "
            "from the head and is added, in logarithms.",
            _SECTION,
        ),
        Trap(
            "logarithms multiplied",
            with_(together=_times),
            "probabilities are multiplied, so their logarithms are added.",
            _SECTION,
        ),
        Trap(
            "subtracted instead of added",
            with_(together=_minus),
            "log (p q) is log p + log q.",
            _SECTION,
        ),
        Trap(
            "scores added as they are",
            with_(within=_as_it_is),
            "the scores within a cluster need a log-softmax of their own.",
            _SECTION,
        ),
        Trap(
            "the head not normalised",
            with_(normalised=_as_it_is),
            "the head's scores, of tokens and clusters together, need a log-softmax.",
            _SECTION,
        ),
        Trap(
            "probabilities without logarithms",
            with_(normalised=_softmax, within=_softmax, together=_times),
            "these are the probabilities: the logarithm is asked for.",
            _SECTION,
        ),
        Trap(
            "the head normalised without its clusters",
            _without_clusters,
            "frequent tokens and clusters share one softmax: all of them together sum to 1.",
            _SECTION,
        ),
        Trap(
            "rare tokens first",
            with_(order=_clusters_first),
            "tokens are numbered by how frequent they are: those of the head come first, and then "
            "cluster after cluster.",
            _SECTION,
            (with_(order=_last_cluster_first),),
        ),
        Trap(
            "one softmax for all tokens",
            with_(normalised=_as_it_is, within=_as_it_is, order=_normalised_together),
            "the head has a softmax, and each cluster has one of its own. One for all has to "
            "compute every score, which is what the clusters spare.",
            _SECTION,
        ),
        Trap(
            "something between down and up",
            with_(project=_down_relu_up),
            "`down` and `up` are one product in two steps, with nothing in between.",
            _SECTION,
        ),
    ),
)
