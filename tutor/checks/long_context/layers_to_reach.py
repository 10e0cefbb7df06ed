"""What ``layers_to_reach`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import long_context as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import LAYOUT
from tutor.checks.draw import Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.limits import between
from tutor.checks.long_context.shared import CHAPTER, REACH

_TOKENS = Factor(
    "tokens",
    (
        Condition("nine", value=9),
        Condition("fourteen", "fourteen tokens", 14),
        Condition("two", "two tokens", 2),
        Condition("one", "a single token", 1, edge=True, alone=True),
    ),
)
_PATTERN = Factor(
    "pattern",
    (
        Condition("window", value="window"),
        Condition("sparse", "a few keys at random", "sparse", alone=True),
        Condition("both ways", "keys before and after", "both ways", alone=True),
        Condition("no self", "no token reads itself", "no self", edge=True, alone=True),
        Condition("chain", "each reads the one before alone", "chain", edge=True, alone=True),
        Condition("circle", "each reads the next, the last the first", "circle", alone=True),
        Condition("everything", "everything may be read", "everything", edge=True, alone=True),
        Condition("nothing", "nothing may be read", "nothing", edge=True, alone=True),
        Condition("two parts", "two parts that know nothing of each other", "parts", edge=True),
    ),
)
FAMILY = Family(
    (_TOKENS, _PATTERN, LAYOUT),
    apart={
        **{pair("one", layout): "one number lies nowhere else" for layout in ("turned", "views")},
        **{
            pair(few, p): "so few tokens have no such pattern"
            for few in ("one", "two")
            for p in ("sparse", "both ways", "circle", "two parts", "chain", "no self")
        },
    },
).but(without={"behind": "a mask has no heads"})


def pattern(draw: Draw, kind: str, n: int) -> Tensor:
    """A mask (n, n)."""
    at = torch.arange(n)
    distance = at[:, None] - at
    drawn = torch.rand(n, n, generator=draw.generator)
    keep = {
        "window": (distance >= 0) & (distance < 3),
        "sparse": (distance == 0) | ((distance > 0) & (drawn < 0.25)),
        "both ways": (distance == 0) | (drawn < 0.15),
        "no self": (distance == 1) | ((distance > 0) & (drawn < 0.2)),
        "chain": distance == 1,
        "circle": (distance == -1) | (distance == n - 1),
        "everything": torch.ones(n, n, dtype=torch.bool),
        "nothing": torch.zeros(n, n, dtype=torch.bool),
        "parts": (distance >= 0) & (distance < 2) & ((at < n // 2) == (at < n // 2)[:, None]),
    }[kind]
    return keep.to(draw.device)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor]:
    return (laid(pattern(draw, row["pattern"], row["tokens"]), row["layout"]),)


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", (reference.window_mask(4, 4, 2, draw.device),))
    n = draw.integer(7, 13)
    drawn = torch.rand(n, n, generator=draw.generator) < 0.2
    yield Case("a size drawn by lot", (drawn.to(draw.device),))
    yield Case("a chain of 150", (pattern(draw, "chain", 150),), "edges")
    at = torch.arange(20)
    both = (at[:, None] - at).clamp(min=0)
    strided = (both < 4) & (at <= at[:, None]) | (both % 4 == 0) & (at <= at[:, None])
    yield Case("a window and a stride", (strided.to(draw.device),))
    label = "a mask that is not square must raise ValueError"
    ones = torch.ones(3, 5, dtype=torch.bool, device=draw.device)
    yield Case(label, (ones,), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="nine tokens, a window of three")


def _more_keys(call, generator: Generator, device: torch.device) -> str | None:
    draw = Draw(generator, device)
    keep = pattern(draw, "sparse", 12)
    more = keep | pattern(draw, "sparse", 12)
    few, many = (call(k).double() for k in (keep, more))
    few, many = (x.masked_fill(x < 0, torch.inf) for x in (few, many))
    if (many > few).any():
        return "with more keys to read, some token was reached later"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    n, window = 96, 12
    depth = -(-(n - 1) // (window - 1))
    return Contract(
        calls=((reference.window_mask(n, n, window, device),),),
        # One product a layer, and one to see that nothing is new, against one for each token.
        max_flops=between(2 * (depth + 1) * n**3, 2 * n * n**3),
        max_intermediate=between(2 * n**2, n**3),
    )


def _each_itself(keep):
    return torch.eye(len(keep), dtype=torch.bool, device=keep.device)


def _reads(keep, reached):
    return keep.float() @ reached.float() > 0


def _also(reached, read):
    return reached | read


def _first_time(layers, read, reached, depth):
    return torch.where(read & ~reached, depth, layers)


def _as_it_is(x):
    return x


def _until_nothing_is_new(depth, size):
    return True


def _required(keep):
    if keep.ndim != 2 or keep.shape[0] != keep.shape[1]:
        raise ValueError(f"a square mask is needed, got {tuple(keep.shape)}")


def _layers(
    keep,
    refuse=_required,
    graph=_as_it_is,
    start=_each_itself,
    step=_reads,
    add=_also,
    note=_first_time,
    going_on=_until_nothing_is_new,
    counted=_as_it_is,
    own=0,
    never=-1,
    end=_as_it_is,
):
    """The right answer, but for the parts that are given."""
    refuse(keep)
    keep = graph(keep)
    size = len(keep)
    reached = start(keep)
    layers = torch.where(reached, own, torch.full_like(keep, -1, dtype=torch.int64))
    depth = 0
    while depth <= size and going_on(depth, size):
        depth += 1
        read = step(keep, reached)
        new = add(reached, read)
        layers = note(layers, read, reached, counted(depth))
        if (new == reached).all():
            break
        reached = new
    return end(torch.where(layers < 0, never, layers))


_with = changeable(_layers)


def _no_token(keep):
    return torch.zeros_like(keep)


def _doubled(keep):
    """Each product joins all that is reached with all that is reached: one, two, four layers."""
    _required(keep)
    size = len(keep)
    reached = keep | _each_itself(keep)
    layers = torch.where(reached, 1, torch.full_like(keep, -1, dtype=torch.int64))
    layers = torch.where(_each_itself(keep), 0, layers)
    depth = 1
    while depth <= size:
        depth += 1
        new = reached.float() @ reached.float() > 0
        layers = torch.where(new & ~reached, depth, layers)
        if (new == reached).all():
            break
        reached = new
    return layers


def _powers_of_two(keep):
    layers = _doubled(keep)
    return torch.where(layers > 0, 2 ** (layers - 1).clamp(min=0), layers)


def _at_most(most):
    return _with(going_on=lambda depth, size: depth < most)


def _last_time(layers, read, reached, depth):
    return torch.where(read & (layers != 0), depth, layers)


LAYERS_TO_REACH = Exercise(
    reference=reference.layers_to_reach,
    chapter=CHAPTER,
    # No points for types: where numbers cannot be read, a loop that ends by them has no end.
    points={"values": 3, "edges": 3, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("layers",),
    properties=(Property("more keys, no more layers", _more_keys, "values"),),
    traps=(
        Trap(
            "the residual connection forgotten",
            _with(start=_no_token, step=lambda keep, reached: keep | _reads(keep, reached)),
            "a token's own vector is handed on beside the attention, whether it reads itself or "
            "not: after no layer at all it has itself, layers[i, i] = 0. Begin with the identity.",
            REACH,
            (
                _with(own=1),
                _with(start=_no_token, step=lambda keep, r: keep | _reads(keep, r), own=1),
            ),
        ),
        Trap(
            "walks of exactly so many steps",
            _with(add=lambda reached, read: read),
            "what has been reached stays reached: the residual connection keeps it. A product "
            "alone gives what is reached by exactly so many steps, and forgets what came sooner.",
            REACH,
        ),
        Trap(
            "the other way round",
            _with(end=lambda layers: layers.mT.clone()),
            "layers[i, j] is how long it takes until *j's* content is in *i's* vector: row i is "
            "the reader, as in the mask. Information goes from keys to queries.",
            REACH,
        ),
        Trap(
            "one layer only",
            _at_most(1),
            "these are the keys that can be read directly. What they have read in the layer below "
            "comes with them: go on until nothing is new.",
            REACH,
        ),
        Trap(
            "a depth built in",
            _at_most(12),
            "a chain of T tokens takes T - 1 layers. Go on until a layer brings nothing new.",
            REACH,
            tuple(_at_most(most) for most in (2, 3, 4, 6, 8, 10, 16, 24, 32, 64, 100)),
        ),
        Trap(
            "doubled in every step",
            _doubled,
            "reached @ reached joins two ways as long as all that has been found: after n of these "
            "products 2^n layers have passed, not n. One layer lets a token read its own keys "
            "once: keep @ reached.",
            REACH,
            (_powers_of_two,),
        ),
        Trap(
            "counted from zero",
            _with(counted=lambda depth: depth - 1),
            "what a token may read directly takes one layer. Only itself it has after none.",
            REACH,
        ),
        Trap(
            "one too many",
            _with(counted=lambda depth: depth + 1),
            "what a token may read directly takes one layer, what its keys have read takes two.",
            REACH,
            (_with(counted=lambda depth: depth + 1, own=1),),
        ),
        Trap(
            "the last time instead of the first",
            _with(note=_last_time),
            "the number of layers was written again wherever a token is still in reach. Asked for "
            "is the first layer that brings it: write only where nothing stood.",
            REACH,
        ),
        Trap(
            "never is no number of layers",
            _with(never=0),
            "what is never reached is -1. As 0 it looks like the token itself, as T like a long "
            "way.",
            REACH,
            (_with(end=lambda layers: torch.where(layers < 0, len(layers), layers)),),
        ),
        Trap(
            "who reads is read",
            _with(graph=lambda keep: keep | keep.mT),
            "reading goes one way: that i reads j tells j nothing of i. A causal mask would let "
            "the beginning of a text know its end.",
            REACH,
        ),
        Trap(
            "one number for all",
            _with(end=lambda layers: layers.max()),
            "asked for is a number for each pair. The largest of them is how deep a model has to "
            "be, and you can take it from the table.",
            REACH,
        ),
        Trap(
            "whether, not when",
            _with(end=lambda layers: layers >= 0),
            "a table of True and False says that a token is reached in the end. Asked for is after "
            "how many layers.",
            REACH,
            (_with(end=lambda layers: (layers >= 0).long()),),
        ),
        Trap(
            "any mask accepted",
            _with(refuse=lambda keep: None),
            "each token is a query and a key, so the mask has as many rows as columns. Raise a "
            "ValueError that tells the shape.",
            REACH,
        ),
    ),
)
