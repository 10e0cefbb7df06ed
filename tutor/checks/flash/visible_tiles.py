"""What ``visible_tiles`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import flash as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.flash import tilings as part
from tutor.checks.flash.shared import CHAPTER, SKIPPED
from tutor.checks.flash.tilings import with_

_LENGTHS = Factor(
    "lengths",
    (
        Condition("few", value=(10, 17)),
        Condition("square", "as many queries as keys", (12, 12), alone=True),
        Condition("ragged square", "as many queries as keys, and a ragged end", (13, 13)),
        Condition("more queries", "more queries than keys", (17, 6), edge=True, alone=True),
        Condition("one query", "one query, many keys", (1, 11), edge=True, alone=True),
        Condition("one key", "one key, many queries", (11, 1), edge=True),
        Condition("hundreds", "hundreds of tokens", (300, 500)),
    ),
)
_TILES = Factor(
    "tiles",
    (
        Condition("three by four", value=(3, 4)),
        Condition("square tiles", "tiles as high as wide", (4, 4), alone=True),
        Condition("taller", "more queries than keys in a tile", (6, 2), alone=True),
        Condition("wider", "many more keys than queries in a tile", (2, 9)),
        Condition("of one row", "tiles of one row", (1, 1), edge=True),
        Condition("larger", "a tile larger than everything", (512, 1024), edge=True, alone=True),
    ),
)
FAMILY = Family((_LENGTHS, _TILES))


def _arguments(draw: Draw, row: Row) -> tuple[int, ...]:
    return (*row["lengths"], *row["tiles"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case("the example of the text", (5, 8, 2, 3))
    for i in range(3):
        sizes = (draw.integer(1, 30), draw.integer(1, 30), draw.integer(1, 8), draw.integer(1, 8))
        yield Case(f"sizes drawn by lot, {i + 1}", sizes)
    yield Case("a tile without a query must raise ValueError", (6, 6, 0, 2), "edges", ValueError)
    yield Case("a tile without a key must raise ValueError", (6, 6, 2, 0), "edges", ValueError)
    yield Case("a negative tile must raise ValueError", (6, 6, -2, 2), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="more keys than queries")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(
        calls=((64, 64, 8, 8), (512, 512, 8, 8)),
        max_growth=20,
        growth="With eight times as many tiles of queries there are sixty-four times as many pairs "
        "of tiles, and a million times as many places in a mask. Each tile of queries needs two "
        "numbers, which follow from its first and its last query.",
    )


VISIBLE_TILES = Exercise(
    reference=reference.visible_tiles,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("pair",),
    traps=(
        Trap(
            "aligned at the upper left",
            with_(count=part.upper_left),
            "the queries are the newest of the keys' positions: the last query stands at the last "
            "key, and query i at key i + Tk - Tq.",
            SKIPPED,
            (with_(count=part.upper_left_unbound), part.of_one_size),
        ),
        Trap(
            "the offset turned round",
            with_(count=part.turned_bound),
            "with more keys than queries there is a past that all queries may read: the offset is "
            "Tk - Tq, and not Tq - Tk.",
            SKIPPED,
            (with_(count=part.turned),),
        ),
        Trap(
            "one's own position hidden",
            with_(count=part.without_oneself),
            "a query reads its own position, too: query i at key p may read the p + 1 keys 0 to p.",
            SKIPPED,
        ),
        Trap(
            "one key of the future",
            with_(count=part.one_more),
            "p + 1 keys stand at the places 0 to p. With one more, each query reads the answer.",
            SKIPPED,
            (with_(count=part.one_more_unbound),),
        ),
        Trap(
            "rounded down at the end",
            with_(high=part.down),
            "a tile of which some keys may be read has to be read: the end is rounded up. Rounded "
            "down, the tile on the diagonal is skipped, and with it each query's own position.",
            SKIPPED,
        ),
        Trap(
            "one tile too many",
            with_(high=part.one_further),
            "n // size + 1 is one too many wherever n is a multiple of the size: -(-n // size), or "
            "(n + size - 1) // size.",
            SKIPPED,
        ),
        Trap(
            "the end of the first query",
            with_(of_end=part.first),
            "the tile is read if any of its queries may read it, and the last one reads the most.",
            SKIPPED,
            (with_(of_end=part.middle),),
        ),
        Trap(
            "whole for the last query alone",
            with_(of_whole=part.last),
            "a tile needs no mask if *every* query may read all of it, and the first one reads the "
            "least.",
            SKIPPED,
            (with_(of_whole=part.middle),),
        ),
        Trap(
            "whole where it is not",
            with_(low=part.up),
            "whole tiles are rounded down: of one that is begun, some keys are hidden.",
            SKIPPED,
            (with_(low=part.one_further),),
        ),
        Trap(
            "the ragged tile of keys is never whole",
            with_(tiles=part.never_ragged),
            "a last tile with fewer keys is whole, too, if every query may read all that it has: "
            "there is nothing in it to be hidden.",
            SKIPPED,
        ),
        Trap(
            "the ragged tile of queries lost",
            with_(rows=part.down),
            "the last tile of queries may have fewer rows, and has to be computed all the same.",
            SKIPPED,
        ),
        Trap(
            "the ragged tile of keys lost",
            with_(tiles=part.at_the_end),
            "the last tile of keys may have fewer of them, and has to be read all the same.",
            SKIPPED,
        ),
        Trap(
            "queries that are not there",
            with_(ends=part.beyond),
            "the last tile may be shorter: its last query is the last of all. One behind it would "
            "read keys that do not exist.",
            SKIPPED,
            (with_(of_end=part.behind), with_(of_end=part.behind, ends=part.beyond)),
        ),
        Trap(
            "less than no key",
            with_(bound=part.any_number),
            "with more queries than keys, the first queries stand before the first key and may "
            "read none: 0 tiles, and not a negative number of them.",
            SKIPPED,
        ),
        Trap(
            "one masked tile for each tile of queries",
            with_(tiles=part.of_the_diagonal),
            "that is so where tiles are square and aligned. A tall tile of queries crosses several "
            "tiles of keys, and where its first query may read all of the last tile, none.",
            SKIPPED,
        ),
        Trap(
            "nothing skipped",
            with_(tiles=part.all_of_them),
            "tiles that lie wholly in the future cost as much as others and give nothing: half of "
            "the work of a square.",
            SKIPPED,
        ),
        Trap(
            "keys instead of tiles",
            with_(tiles=part.in_keys),
            "the numbers count tiles of keys: divide by the size of one.",
            SKIPPED,
        ),
        Trap(
            "the tiles exchanged",
            part.tiles_exchanged,
            "`query_tile` queries are in a tile, and `key_tile` keys: two sizes.",
            SKIPPED,
        ),
        Trap(
            "a pair of other numbers",
            with_(told=part.exchanged),
            "(whole, end): how many tiles need no mask, and how many have to be read, those "
            "included.",
            SKIPPED,
            (
                with_(told=part.how_many),
                with_(told=part.end_alone),
                with_(told=part.from_the_end),
                with_(of_all=part.pairs),
            ),
        ),
        Trap(
            "a pair for each query",
            part.of_each_query,
            "all queries of a tile are computed together: one pair for each tile of queries.",
            SKIPPED,
        ),
        Trap(
            "a tile without a row let through",
            with_(refuse=part.nothing_refused),
            "a tile of no rows is a fault of the caller: raise a ValueError, before Python divides "
            "by zero or goes round a loop for ever.",
            SKIPPED,
            (with_(refuse=part.keys_unlooked_at),),
        ),
    ),
)
