"""What ``language_model`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import assembly as reference
from tutor.checks.assembly import models as part
from tutor.checks.assembly.models import with_
from tutor.checks.assembly.shared import BLOCK, CHAPTER, HEADS, MODEL, PAST, REST, C, D, V, block_of
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.crossings import DTYPE
from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.forbidden import LIBRARY_ATTENTION
from tutor.checks.limits import between

_LAYERS = Factor(
    "layers",
    (Condition("one layer", value=1), Condition("two layers", "two layers", 2, alone=True)),
)
_PAST = Factor("past", PAST.conditions[:3])
_HEADS = Factor("heads", (HEADS.conditions[0], HEADS.conditions[2]))
FAMILY = Family((Factor("dtype", DTYPE.conditions[:2]), _HEADS, _PAST, REST, _LAYERS))


def weights_of(draw: Draw, layers: int, h: int, g: int, dtype=DOUBLE, **sizes: int) -> list[Tensor]:
    """An embedding, nine weights of each block, a norm."""
    c = sizes.get("c", C)
    blocks = [w for _ in range(layers) for w in block_of(draw, h, g, dtype, **sizes)]
    embedding, norm = draw.normal(V, c, dtype=dtype), (1 + 0.3 * draw.normal(c)).to(dtype)
    return [embedding, *blocks, norm]


def _arguments(draw: Draw, row: Row) -> tuple:
    (h, g), (past, t, n), dtype = row["heads"], row["past"], row["dtype"]
    layers = row["layers"]
    ids = draw.integers(n, t, low=0, high=V)
    weights = weights_of(draw, layers, h, g, dtype)
    keys, values = draw.normal(2, layers, n, g, past, D).to(dtype)
    return ids, weights, keys, values, h, *row["rest"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    device = {"dtype": DOUBLE, "device": draw.device}
    embedding = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]], **device)
    one, zeros = torch.ones(2, **device), torch.zeros(2, 2, **device)
    block = [one, *[zeros] * 4, one, *[zeros] * 3]
    past = torch.zeros(2, 1, 1, 1, 0, 2, **device)
    ids = torch.tensor([[1, 0]], device=draw.device)
    yield Case("the example of the text", (ids, [embedding, *block, one], *past, 1, 10.0, 12.5))
    weights = weights_of(draw, 2, 6, 3)
    keys, values = draw.normal(2, 2, 1, 3, 4, D)
    yield Case("32-bit tokens", (ids.int(), weights, keys, values, 6))
    label = "weights of three layers for two must raise ValueError"
    more = ids, weights_of(draw, 3, 6, 3), keys, values, 6
    yield Case(label, more, "edges", ValueError)
    fewer = ids, weights[:-1], keys, values, 6
    yield Case("no last norm must raise ValueError", fewer, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="several tokens behind others")


def _in_pieces(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    ids, weights = draw.integers(1, 5, low=0, high=V), weights_of(draw, 2, 6, 3)
    keys = values = torch.zeros(2, 1, 3, 0, D, dtype=DOUBLE, device=device)
    wanted = call(ids, weights, keys, values, 6)[0]
    for piece in ids.split((2, 1, 2), 1):
        found, k, v = call(piece, weights, keys, values, 6)
        keys, values = torch.cat((keys, k), 3), torch.cat((values, v), 3)
    if torch.allclose(found, wanted, rtol=0, atol=1e-9):
        return None
    return "in pieces the scores are not those of everything at once"


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, past, t = Draw(generator, device), 60, 8
    h, g, c, d, f = 4, 2, 8, 8, 8
    weights = weights_of(draw, 1, h, g, c=c, d=d, f=f)
    weights[0] = draw.normal(400, c)
    keys, values = draw.normal(2, 1, 1, g, past, d)
    ids = draw.integers(1, t, low=0, high=400)
    matrices = 2 * c * d * (2 * h + 2 * g) + 6 * c * f
    right = t * (matrices + 4 * h * d * (past + t)) + 2 * c * 400
    return Contract(
        calls=((ids, weights, keys, values, h),),
        # Against the scores of every token, most of which nobody asks for.
        max_flops=between(right, right + 2 * c * 400 * (t - 1)),
        forbidden=LIBRARY_ATTENTION,
    )


LANGUAGE_MODEL = Exercise(
    reference=reference.language_model,
    chapter=CHAPTER,
    points={"values": 4, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("scores", "keys", "values"),
    properties=(Property("in pieces", _in_pieces, "values"),),
    traps=(
        Trap(
            "not tied",
            with_(scored=part.untied),
            "the matrix that reads the tokens scores them, too. A readout of its own that nobody "
            "has loaded is random, and so are the words.",
            MODEL,
        ),
        Trap(
            "no scores",
            with_(scored=part.unscored),
            "the last norm gives C features. Their products with the rows of the embedding are the "
            "scores of V tokens.",
            MODEL,
        ),
        Trap(
            "no last norm",
            with_(normed=part.no_norm),
            "behind the last block stands one more norm, whose weight is the last one.",
            MODEL,
            (with_(normed=part.without_weight),),
        ),
        Trap(
            "norms exchanged",
            with_(run=part.norms_exchanged),
            "the first weight of a block belongs to the norm before the attention, the sixth to "
            "the one before the feed-forward network. Both have the same shape.",
            BLOCK,
        ),
        Trap(
            "blocks in another order",
            with_(order=part.backwards),
            "the blocks' weights stand in the order in which x passes through them.",
            MODEL,
        ),
        Trap(
            "the last block left out",
            part.last_block_left_out,
            "what is scored has passed through all blocks, the last one, too.",
            MODEL,
        ),
        Trap(
            "one block for all layers",
            with_(nine=part.first_blocks_weights),
            "each layer has nine weights of its own.",
            MODEL,
        ),
        Trap(
            "one past for all layers",
            with_(past=part.first_layers),
            "each layer has read other vectors, and keeps keys and values of its own.",
            MODEL,
        ),
        Trap(
            "the past forgotten",
            with_(run=part.new_alone),
            "the new tokens stand behind what each layer has kept, and read it.",
            MODEL,
            (with_(run=part.from_zero),),
        ),
        Trap(
            "keys of one layer",
            with_(kept=part.last_layer_alone),
            "the new keys and values of every layer are returned, the first layer's first.",
            MODEL,
            (with_(kept=part.first_layer_alone), with_(kept=part.turned_round)),
        ),
        Trap(
            "layers behind the batch",
            with_(joined=part.behind_the_batch),
            "keys and values come and go as (L, B, G, ·, D): the layers stand first.",
            MODEL,
        ),
        Trap(
            "returned in another order",
            with_(out=part.values_first),
            "first the scores, then the keys, then the values.",
            MODEL,
            (with_(out=part.keys_first),),
        ),
        Trap(
            "the past returned, too",
            with_(run=part.with_the_past),
            "the keys and values of the new tokens alone are returned: a cache writes them behind "
            "what it has.",
            MODEL,
        ),
        Trap(
            "scores of another token",
            with_(asked=part.first),
            "what follows the text follows its last token.",
            MODEL,
            (with_(asked=part.mean),),
        ),
        Trap(
            "scores of every token",
            with_(asked=part.each),
            "only the last token's scores are asked for. Of a prompt of 1,000 tokens the others "
            "are 49 million numbers.",
            MODEL,
        ),
        Trap(
            "probabilities",
            with_(scored=part.softmaxed),
            "what is returned are scores, as they come out of the product: `sample` divides them "
            "by the temperature before its softmax.",
            MODEL,
            (with_(scored=part.log_softmaxed), with_(scored=part.divided)),
        ),
        Trap(
            "a scaled embedding",
            with_(look=part.scaled),
            "a token begins with its row as it is. Times √C is for models that add positions.",
            MODEL,
        ),
        Trap(
            "the norm's place",
            with_(parts=part.norm_first),
            "the embedding comes first, then nine weights of each block, and the norm is last.",
            MODEL,
        ),
        Trap(
            "theta not passed on",
            with_(thetas=10_000.0),
            "theta and eps go to every block, and eps to the last norm.",
            MODEL,
            (
                with_(epsilon=1e-5),
                with_(normed=part.last_eps),
                with_(normed=part.norms_own_eps),
                with_(run=part.by_default),
            ),
        ),
        Trap(
            "any number of weights",
            with_(refuses=False),
            "there are 2 + 9 L weights: raise a ValueError if not, or the last blocks are left out "
            "in silence.",
            MODEL,
            (with_(refuses=False, run=part.in_tiles),),
        ),
    ),
)
