"""What ``tied_logits`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from tutor import tokens as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import BATCH, DTYPE, LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.limits import between
from tutor.checks.tokens.shared import CHAPTER, C, T, V

_TOKENS = Factor(
    "vocabulary",
    (
        Condition("eleven", value=V),
        Condition("as many as features", "as many tokens as features", C, edge=True, alone=True),
        Condition("one token", "a vocabulary of one", 1, edge=True),
    ),
)
FAMILY = Family((DTYPE, LAYOUT, BATCH, _TOKENS)).but(
    without={"behind": "no dimension is for heads"}
)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor, Tensor]:
    hidden = draw.normal(*row["batch"], T, C, dtype=row["dtype"])
    embedding = draw.normal(row["vocabulary"], C, dtype=row["dtype"])
    return laid(hidden, row["layout"]), laid(embedding, row["layout"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("a single vector", (draw.normal(C), draw.normal(V, C)))


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    rows, width, tokens = 24, 16, 96
    product = 2 * rows * width * tokens
    return Contract(
        calls=((draw.normal(rows, width), draw.normal(tokens, width)),),
        max_flops=between(product, 2 * product),
        max_intermediate=4 * rows * tokens,
    )


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _row_of_each(e):
    return e.mT


def _same(x):
    return x


def _tied(hidden, embedding, before=_same, matrix=_row_of_each, rows=_same, after=_same):
    return after(before(hidden) @ matrix(rows(embedding)))


with_ = changeable(_tied)


def _reshaped(x):
    return x.reshape(x.shape[-1], -1)


def _times_root(x):
    return x * x.shape[-1] ** 0.5


def _by_root(x):
    return x * x.shape[-1] ** -0.5


def _softmax(x):
    return x.softmax(-1)


def _log_softmax(x):
    return x.log_softmax(-1)


def _unit(x):
    return F.normalize(x, dim=-1)


_TIED = "One matrix, twice"

TIED_LOGITS = Exercise(
    reference=reference.tied_logits,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("logits",),
    traps=(
        Trap(
            "not transposed",
            with_(matrix=_same),
            "row i of the matrix is token i, and its product with the hidden vector is token i's "
            "logit: the matrix is transposed, `embedding.mT`. Only where there are as many tokens "
            "as features does torch not notice.",
            _TIED,
            (with_(matrix=_reshaped),),
        ),
        Trap(
            "divided by √C",
            with_(before=_by_root),
            "that is the scale of attention's scores. Logits are the plain products.",
            _TIED,
        ),
        Trap(
            "multiplied by √C",
            with_(before=_times_root),
            "some models multiply the embeddings by √C on the way *in*. On the way out nothing is "
            "scaled.",
            _TIED,
        ),
        Trap(
            "probabilities instead of logits",
            with_(after=_softmax),
            "the loss takes the softmax itself; a second one flattens it.",
            _TIED,
            (with_(after=_log_softmax),),
        ),
        Trap(
            "cosines",
            with_(rows=_unit),
            "the length of a row counts: it is how frequent tokens are made likely.",
            _TIED,
            (with_(rows=_unit, before=_unit), with_(before=_unit)),
        ),
        Trap(
            "tied by its numbers alone",
            with_(rows=Tensor.detach),
            "a detached matrix gets no gradient from the output: tied means that both ends teach "
            "the one matrix.",
            _TIED,
        ),
    ),
)
