"""What ``global_random_mask`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from tutor import long_context as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row, pair
from tutor.checks.crossings import LAYOUT
from tutor.checks.draw import DOUBLE, SINGLE, Draw, laid
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap
from tutor.checks.limits import between
from tutor.checks.long_context import patterns
from tutor.checks.long_context.shared import CHAPTER, GLOBAL, SIZES

_NUMBERS = Factor(
    "numbers",
    (
        Condition("both", value=(2, 3)),
        Condition("no global", "no global token", (0, 2), alone=True),
        Condition("no random", "no random token", (3, 0), alone=True),
        Condition("more", "more than there are", (2, 3000), edge=True, alone=True),
        Condition("all global", "more global tokens than keys", (3000, 2), edge=True, alone=True),
        Condition("neither", "no token at all", (0, 0), edge=True, alone=True),
    ),
)
_CHANCES = Factor(
    "chance",
    (
        Condition("double", value=DOUBLE),
        Condition("single", "single precision", SINGLE, alone=True),
    ),
)
FAMILY = Family(
    (SIZES, _NUMBERS, _CHANCES, LAYOUT),
    apart={
        pair("one token", layout): "one number lies nowhere else" for layout in ("turned", "views")
    },
).but(without={"behind": "a mask has no heads"})


def _chance(draw: Draw, *shape: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """In each row other numbers, no two alike, that single precision tells apart."""
    count = shape[-1]
    rows = [torch.randperm(count, generator=draw.generator) for _ in range(shape[0])]
    return ((torch.stack(rows) + 0.5) / count).to(draw.device, dtype)


def _arguments(draw: Draw, row: Row) -> tuple[Tensor | int, ...]:
    chance = _chance(draw, *row["sizes"], dtype=row["chance"])
    return laid(chance, row["layout"]), *row["numbers"]


def _by_hand(draw: Draw) -> Iterator[Case]:
    example = torch.tensor([[0.1, 0.5, 0.2, 0.05, 0.0]], dtype=DOUBLE, device=draw.device)
    yield Case("the example of the text", (example, 1, 2))
    n = draw.integer(9, 15)
    numbers = draw.integer(1, 4), draw.integer(2, 5)
    yield Case("square, of a size drawn by lot", (_chance(draw, n, n), *numbers))
    tq = draw.integer(2, 6)
    wide = _chance(draw, tq, tq + draw.integer(4, 9))
    yield Case("rectangular, by lot", (wide, draw.integer(1, 4), draw.integer(2, 5)), "edges")
    low = _chance(draw, 6, 6)
    low[:, 3:] -= 1  # the smallest chances are those of the future
    yield Case("the smallest chances in the future", (low + 1, 1, 2))
    first = _chance(draw, 8, 8)
    first[:, :2] /= 100
    yield Case("the smallest chances among the first", (first, 2, 3))
    for numbers in ((-1, 2), (2, -1)):
        label = f"numbers {numbers} must raise ValueError"
        yield Case(label, (_chance(draw, 4, 4), *numbers), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="nine tokens, two global, three random")


def _so_many(call, generator: Generator, device: torch.device) -> str | None:
    chance = _chance(Draw(generator, device), 12, 12)
    found = call(chance, 2, 3).sum(-1).tolist()
    wanted = [min(i + 1, 5) for i in range(12)]
    if found != wanted:
        return f"of 12 tokens, with 2 global and 3 random, the rows have {found} keys, not {wanted}"
    return None


def _contract(generator: Generator, device: torch.device) -> Contract:
    n = 24
    return Contract(
        calls=((_chance(Draw(generator, device), n, n), 2, 3),),
        # All pairs of keys of a query, to count how many have a smaller chance, are dearer.
        max_intermediate=between(n**2, n**3),
    )


def _of_past(keep, first, past):
    return keep & past


def _others_of_the_past(past, first):
    return past & ~first


def _places(drawn):
    return drawn.argsort(dim=-1, stable=True).argsort(dim=-1)


def _first_keys(past, count):
    return torch.arange(past.shape[1], device=past.device) < count


def _rows_of_their_own(chance):
    return chance


def _below(place, count, chance, candidates):
    return place < count


def _joined(first, drawn):
    return first | drawn


def _required(num_global, num_random):
    if num_global < 0 or num_random < 0:
        raise ValueError(f"numbers must not be negative, got {num_global} and {num_random}")


def _mask(
    chance,
    num_global,
    num_random,
    refuse=_required,
    rows=_rows_of_their_own,
    corner=patterns.past,
    globally=_first_keys,
    candidates=_others_of_the_past,
    places=_places,
    chosen=_below,
    join=_joined,
    end=_of_past,
    turn=patterns.as_it_is,
    count=patterns.as_it_is,
    kind=patterns.as_it_is,
    form=patterns.as_it_is,
):
    """The right one, but for the parts that are given."""
    refuse(num_global, num_random)
    tq, tk = chance.shape
    ones = torch.ones(tq, tk, dtype=torch.bool, device=chance.device)
    queries = count(torch.arange(tq, device=chance.device) + corner(tq, tk))
    past = ones & (count(torch.arange(tk, device=chance.device)) <= queries[:, None])
    first = ones & globally(past, num_global)
    eligible = candidates(past, first)
    place = places(rows(chance).expand(tq, tk).masked_fill(~eligible, torch.inf))
    keep = join(first, chosen(place, num_random, chance, eligible))
    return form(kind(turn(end(keep, first, past))))


_with = changeable(_mask)


def _by_topk(chance, num_global, num_random):
    """The smallest by topk, which has to find so many."""
    _required(num_global, num_random)
    tq, tk = chance.shape
    past = torch.ones(tq, tk, dtype=torch.bool, device=chance.device).tril(tk - tq)
    first = torch.arange(tk, device=chance.device) < num_global
    drawn = chance.masked_fill(~past | first, torch.inf)
    index = drawn.topk(num_random, dim=-1, largest=False).indices
    return past & (first | torch.zeros_like(past).scatter(-1, index, True))


def _largest(drawn):
    lowest = drawn.masked_fill(drawn.isinf(), -torch.inf)
    return lowest.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)


def _diagonal(past):
    return past.tril(past.shape[1] - past.shape[0]).triu(past.shape[1] - past.shape[0])


def _in_all(chance, num_global, num_random):
    return _mask(chance, num_global, max(num_random - num_global, 0))


GLOBAL_RANDOM_MASK = Exercise(
    reference=reference.global_random_mask,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    properties=(Property("so many keys", _so_many, "values"),),
    traps=(
        Trap(
            "the order instead of the place",
            _with(places=lambda drawn: drawn.argsort(dim=-1, stable=True)),
            "argsort says which key comes first, second, third. Asked for is the reverse: at which "
            "place each key comes. A second argsort of the first gives that; or write True at the "
            "first indices with scatter.",
            GLOBAL,
        ),
        Trap(
            "drawn from the future as well",
            _with(candidates=lambda past, first: ~first),
            "keys after the query took part in the draw and were hidden afterwards, so the query "
            "reads fewer keys than it should. Hide them first: give them a chance of infinity.",
            GLOBAL,
        ),
        Trap(
            "the future is read",
            _with(candidates=lambda past, first: ~first, end=lambda keep, first, past: keep),
            "random or not, a key after the query must not be read.",
            GLOBAL,
            (
                _with(end=lambda keep, first, past: keep),
                _with(end=lambda keep, first, past: (keep & past) | first),
            ),
        ),
        Trap(
            "global tokens drawn again",
            _with(candidates=lambda past, first: past),
            "the first keys took part in the draw, though they may be read anyway. Then the "
            "query gets fewer random ones than num_random.",
            GLOBAL,
            (_with(candidates=lambda past, first: torch.ones_like(past)),),
        ),
        Trap(
            "the largest chances",
            _with(places=_largest),
            "the random keys are those with the *smallest* chance. Largest would do as well, but "
            "the check has to know which.",
            GLOBAL,
        ),
        Trap(
            "a threshold instead of a number",
            _with(chosen=lambda place, n, chance, ok: ok & (chance < n / chance.shape[1])),
            "a chance below num_random / Tk gives that many keys on average, and of a short past "
            "fewer. Asked for are exactly num_random, or all where there are fewer.",
            GLOBAL,
        ),
        Trap(
            "one draw for all queries",
            _with(rows=lambda chance: chance[:1]),
            "each query has a row of chances of its own. If all draw the same keys, two tokens "
            "that neither reads stay out of reach for many layers: variety is the point.",
            GLOBAL,
            (
                _with(rows=lambda chance: chance[-1:]),
                _with(rows=lambda chance: chance.mean(0, keepdim=True)),
            ),
        ),
        Trap(
            "global tokens at the end",
            _with(globally=lambda past, n: _first_keys(past, n).flip(0)),
            "the global tokens are the first of the text: the last ones lie in the future of "
            "nearly everybody.",
            GLOBAL,
        ),
        Trap(
            "global tokens that read instead of being read",
            _with(
                globally=lambda past, n: (
                    past & (torch.arange(len(past), device=past.device) < n)[:, None]
                )
            ),
            "the first queries were allowed everything; asked for is that the first *keys* may be "
            "read by all. Rows are queries, columns are keys.",
            GLOBAL,
        ),
        Trap(
            "rows and columns of the global tokens",
            _with(
                globally=lambda past, n: (
                    _first_keys(past, n)
                    | (past & (torch.arange(len(past), device=past.device) < n)[:, None])
                )
            ),
            "BigBird's global tokens also read everything. In a text that is read from left to "
            "right they stand first and have nearly nothing to read; here only their columns are "
            "asked for, and with a cache the first rows are not the first tokens.",
            GLOBAL,
        ),
        Trap(
            "itself as well",
            _with(end=lambda keep, first, past: (keep & past) | _diagonal(past)),
            "a token's own key is one among the others here: it may be drawn or not. window_mask "
            "gives it to every query, and | joins the two.",
            GLOBAL,
        ),
        Trap(
            "no random tokens",
            _with(join=lambda first, drawn: first),
            "the first keys alone are read. num_random further ones belong to each query.",
            GLOBAL,
        ),
        Trap(
            "no global tokens",
            _with(join=lambda first, drawn: drawn),
            "the drawn keys alone are read. The first num_global belong to every query that comes "
            "after them.",
            GLOBAL,
        ),
        Trap(
            "both instead of either",
            _with(join=lambda first, drawn: first & drawn),
            "a key is read if it is global *or* drawn: |, not &.",
            GLOBAL,
        ),
        Trap(
            "so many in all",
            _in_all,
            "num_random does not count the global ones: they come besides.",
            GLOBAL,
        ),
        Trap(
            "one too many",
            _with(chosen=lambda place, n, chance, ok: place <= n),
            "places count from 0: those below num_random are num_random many.",
            GLOBAL,
        ),
        Trap(
            "more than there are",
            _by_topk,
            "topk raises where it is asked for more than there are. A query may have fewer keys "
            "than num_random, or the whole text: then it reads all of them. The place of each key "
            "in the order needs no such care.",
            GLOBAL,
        ),
        Trap(
            "negative numbers accepted",
            _with(refuse=lambda num_global, num_random: None),
            "fewer than none is a mistake of the caller's: raise a ValueError that tells the "
            "number.",
            GLOBAL,
        ),
        *patterns.form_traps(_with, GLOBAL),
    ),
)
