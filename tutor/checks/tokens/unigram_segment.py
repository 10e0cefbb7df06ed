"""What ``unigram_segment`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import tokens as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.tokens import segmenters
from tutor.checks.tokens.segmenters import with_
from tutor.checks.tokens.shared import CHAPTER, drawn

_TEXT = Factor(
    "text",
    (
        Condition("known", value=lambda draw: drawn(draw, 8, b"abc").decode()),
        Condition(
            "unknown",
            "unknown characters",
            lambda draw: drawn(draw, 3, b"abc").decode() + "ß字" + drawn(draw, 3, b"abc").decode(),
            edge=True,
            alone=True,
        ),
        Condition("single", "a single character", lambda draw: "a", edge=True),
        Condition("empty", "an empty text", lambda draw: "", edge=True),
    ),
)
_PIECES = Factor(
    "pieces",
    (
        Condition("many", value=3),
        Condition("characters", "characters alone", 1),
        Condition("long pieces", "long pieces", 5),
    ),
)
_SCORES = Factor(
    "scores",
    (
        Condition("spread", value=(-9.0, -1.0)),
        Condition("close", "scores that are close", (-3.1, -3.0)),
        Condition("tiny", "tiny probabilities", (-900.0, -800.0)),
    ),
)
FAMILY = Family((_TEXT, _PIECES, _SCORES))


def _arguments(draw: Draw, row: Row) -> tuple:
    text, (low, high) = row["text"](draw), row["scores"]
    known = {c for c in text if c.isascii()} | {"a", "b"}
    for n in range(2, row["pieces"] + 1):
        known |= {p for i in range(len(text)) if (p := text[i : i + n]).isascii()}
    scores = draw.uniform(len(known), low=low, high=high).tolist()
    return text, dict(zip(sorted(known), scores, strict=True))


def _by_hand(draw: Draw) -> Iterator[Case]:
    abc = {"a": -1.0, "b": -1.0, "c": -1.0, "ab": -1.5}
    yield Case("the example of the text", ("abc", abc))
    greedy = {"a": -3.0, "b": -3.0, "c": -4.0, "d": -3.0, "abc": -4.0, "ab": -1.5, "cd": -1.0}
    yield Case("the longest first is worse", ("abcd", greedy))
    yield Case("many short ones are better", ("aaaa", {"a": -0.5, "aa": -1.5, "aaaa": -3.0}))
    yield Case("one long one is better", ("abab", {"a": -2.0, "b": -2.0, "abab": -7.5}))
    word = "".join("abc"[draw.integer(0, 3)] for _ in range(61))
    yield Case("a very long piece", (f"a{word}b", {"a": -2.0, "b": -2.0, "c": -2.0, word: -60.0}))
    tied = {"a": -1.0, "aa": -2.0, "aaa": -3.0}
    yield Case("equally likely ones", ("aaaaa", tied), "edges")
    yield Case("unknown at both ends", ("ßßabß", abc), "edges")
    yield Case("nothing known", ("xyz", {"a": -1.0}), "edges")
    cut = {"b": -1.0, "ab": -40.0, "aab": -20.0}
    yield Case("an unknown character or a rare piece", ("aab", cut), "edges")
    dear = {"ab": -8.0, "c": -8.0, "bc": -1.0}
    yield Case("two rare pieces or an unknown character", ("abc", dear), "edges")
    worse = {"ab": -8.0, "c": -8.0, "bcd": -1.0, "d": -2.5}
    yield Case("just better than an unknown character", ("abcd", worse), "edges")
    yield Case("just worse than an unknown character", ("abcd", {**worse, "d": -3.5}), "edges")
    rare = {"a": -1.0, "b": -1.0, "ax": -20.0, "yb": -20.0}
    yield Case("two rare pieces or two unknown characters", ("axyb", rare), "edges")
    letters = {"a": -1.0, "b": -1.0}  # one way only, even for who tries all
    yield Case("unknown behind a long text", ("ab" * 150 + "ß", letters), "edges")
    yield Case("a piece longer than the text", ("ab", {"a": -1.0, "b": -1.0, "abcd": -9.0}))
    yield Case("an empty piece", ("ab", {"": -1.0, "b": -1.0}), "edges")
    yield Case("behind an unknown character", ("ßab", {"a": -1.0, "b": -1.0, "ab": -9.0}), "edges")
    yield Case("no piece at all", ("ab", {}), "edges", raises=ValueError)


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw, text = Draw(generator, device), "abcdefghijklmn"
    # All strings of neighbours, so that every cut is one to try, and no two are equally likely.
    pieces = [text[i:j] for j in range(1, len(text) + 1) for i in range(j)]
    more = draw.uniform(len(pieces), low=0, high=2).tolist()
    scores = {p: -len(p) - m for p, m in zip(pieces, more, strict=True)}
    return Contract(
        calls=((text[:6], scores), (text, scores)),
        max_growth=36,
        growth="you try all segmentations, and one letter more doubles them: remember the best "
        "segmentation of each beginning, and build on that",
    )


CASES = Crossed(FAMILY, _arguments, _by_hand)


_VITERBI = "Unigram by Viterbi"

UNIGRAM_SEGMENT = Exercise(
    reference=reference.unigram_segment,
    chapter=CHAPTER,
    points={"values": 4, "edges": 2, "types": 1, "contracts": 1},
    cases=CASES,
    contract=_contract,
    outputs=("piece",),
    traps=(
        Trap(
            "the longest piece first",
            segmenters.greedy,
            "the longest piece that fits at the beginning may force a bad one behind it. The best "
            "segmentation is that of the largest *sum*, which only the whole text tells.",
            _VITERBI,
            (with_(choose=segmenters.longest),),
        ),
        Trap(
            "the most likely piece first",
            segmenters.most_likely_first,
            "the most likely piece at the beginning may leave an unlikely rest. Keep the best "
            "score of every beginning of the text.",
            _VITERBI,
            (with_(added=segmenters.alone),),
        ),
        Trap(
            "probabilities added",
            with_(scores=segmenters.probabilities),
            "probabilities of pieces are multiplied, so their logarithms are added: without `exp`. "
            "A sum of probabilities grows with every piece.",
            _VITERBI,
        ),
        Trap(
            "divided by the piece's length",
            with_(scores=segmenters.a_character),
            "the log-probability is the piece's, however many characters it has: the sum over the "
            "pieces is the text's. Divided by their lengths it is no probability of anything, and "
            "long pieces win for being long.",
            _VITERBI,
        ),
        Trap(
            "logarithms multiplied",
            with_(added=segmenters.times, start_at=1.0),
            "probabilities are multiplied; their logarithms are added.",
            _VITERBI,
        ),
        Trap(
            "the worst segmentation",
            with_(choose=segmenters.worst),
            "log-probabilities are negative, and the largest is the one nearest to 0: `max`.",
            _VITERBI,
        ),
        Trap(
            "the shorter of equally likely ones",
            with_(choose=segmenters.last_of_best),
            "of equally likely ways the one with the longer last piece counts: a later start must "
            "be better, not as good. `max` over tuples compares the starts, too.",
            _VITERBI,
        ),
        Trap(
            "unknown too likely",
            with_(unknown=segmenters.no_penalty),
            "an unknown character is 10 below the *least* likely piece, so that a known way is "
            "nearly always better.",
            _VITERBI,
            (
                with_(unknown=segmenters.minus_ten),
                with_(unknown=segmenters.ten_above),
                with_(unknown=segmenters.below_the_likeliest),
            ),
        ),
        Trap(
            "unknown characters for the price of one",
            segmenters.run_for_one,
            "each unknown character costs its own 10 below the least likely piece. They are "
            "joined when the way is found, not while it is looked for.",
            _VITERBI,
        ),
        Trap(
            "unknown for nothing",
            with_(unknown=segmenters.nothing),
            "a log-probability of 0 is certainty: unknown characters would be the best of all.",
            _VITERBI,
        ),
        Trap(
            "unknown impossible",
            with_(unknown=segmenters.never),
            "with -inf every way is as bad as every other one, and `max` cannot choose.",
            _VITERBI,
        ),
        Trap(
            "each unknown character by itself",
            with_(joined=segmenters.apart),
            "neighbouring unknown characters are returned as one piece.",
            _VITERBI,
        ),
        Trap(
            "unknown characters replaced",
            with_(joined=segmenters.named_unknown),
            "the pieces joined are the text: what is unknown is returned as it is. That it gets "
            "the id of `<unk>` is the next step's business.",
            _VITERBI,
        ),
        Trap(
            "the fewest pieces",
            with_(scores=segmenters.one_each, unknown=segmenters.dear),
            "a way of few pieces may have a small sum. The log-probabilities count, not the "
            "number of pieces.",
            _VITERBI,
        ),
        Trap(
            "characters alone",
            with_(choose=segmenters.shortest),
            "a character is always one way to end, and seldom the best. Compare the sums of all "
            "pieces that end there.",
            _VITERBI,
        ),
        Trap(
            "unknown characters left out",
            with_(joined=segmenters.left_out),
            "the pieces joined are the text: what is unknown is returned as it is.",
            _VITERBI,
        ),
        Trap(
            "in reverse",
            with_(order=segmenters.backward),
            "the way back begins at the end of the text: reverse the pieces at last.",
            _VITERBI,
        ),
    ),
)
