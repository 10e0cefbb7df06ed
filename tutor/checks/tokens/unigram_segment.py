"""What ``unigram_segment`` must satisfy, and the wrong answers that people give."""

import math
from collections.abc import Iterator

import torch
from torch import Generator

from tutor import tokens as reference
from tutor.checks.changes import changeable
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.tokens.shared import CHAPTER, drawn

_PENALTY = 10.0

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
    yield Case("unknown behind a long text", ("ab" * 150 + "ß", abc), "edges")
    yield Case("a piece longer than the text", ("ab", {"a": -1.0, "b": -1.0, "abcd": -9.0}))
    yield Case("an empty piece", ("ab", {"": -1.0, "b": -1.0}), "edges")
    yield Case("behind an unknown character", ("ßab", {"a": -1.0, "b": -1.0, "ab": -9.0}), "edges")
    yield Case("no piece at all", ("ab", {}), "edges", raises=ValueError)


def _contract(generator: Generator, device: torch.device) -> Contract:
    draw = Draw(generator, device)
    scores = {"a" * n: -n - float(draw.uniform(1, low=0, high=0.5)) for n in range(1, 15)}
    return Contract(
        calls=(("a" * 6, scores), ("a" * 14, scores)),
        max_growth=36,
        growth="you try all segmentations, and one letter more doubles them: remember the best "
        "segmentation of each beginning, and build on that",
    )


CASES = Crossed(FAMILY, _arguments, _by_hand)


def _log(log_probs):
    return dict(log_probs)


def _ten_below(log_probs):
    return min(log_probs.values()) - _PENALTY


def _sum(best, score):
    return best + score


def _first_of_best(ways):
    return max(ways, key=lambda way: way[0])


def _fused(pieces, log_probs):
    out, joins = [], False
    for piece in pieces:
        if piece not in log_probs and joins:
            out[-1] += piece
        else:
            out.append(piece)
        joins = piece not in log_probs
    return out


def _forward(pieces):
    return pieces[::-1]


def _segment(
    text,
    log_probs,
    scores=_log,
    unknown=_ten_below,
    added=_sum,
    choose=_first_of_best,
    joined=_fused,
    order=_forward,
    start_at=0.0,
):
    """The right pieces, but for the parts that are given."""
    if not log_probs:
        raise ValueError("log_probs is empty")
    table, rare = scores(log_probs), unknown(log_probs)
    best, begins = [start_at], [0]
    for end in range(1, len(text) + 1):
        ways = []
        for start in range(end):
            score = table.get(text[start:end], rare if start == end - 1 else None)
            if score is not None:
                ways.append((added(best[start], score), start))
        score, start = choose(ways)
        best.append(score)
        begins.append(start)
    pieces, end = [], len(text)
    while end:
        pieces.append(text[begins[end] : end])
        end = begins[end]
    return joined(order(pieces), log_probs)


with_ = changeable(_segment)


def _probabilities(log_probs):
    return {piece: math.exp(score) for piece, score in log_probs.items()}


def _no_penalty(log_probs):
    return min(log_probs.values())


def _nothing(log_probs):
    return 0.0


def _never(log_probs):
    return -math.inf


def _alone(best, score):
    return score


def _times(best, score):
    return best * score


def _last_of_best(ways):
    return max(ways)


def _worst(ways):
    return min(ways, key=lambda way: way[0])


def _longest(ways):
    return min(ways, key=lambda way: way[1])


def _apart(pieces, log_probs):
    return pieces


def _left_out(pieces, log_probs):
    return [p for p in pieces if p in log_probs]


def _backward(pieces):
    return pieces


def _greedy(text, log_probs):
    if not log_probs:
        raise ValueError("log_probs is empty")
    pieces, start = [], 0
    while start < len(text):
        ends = range(len(text), start, -1)
        end = next((e for e in ends if text[start:e] in log_probs), start + 1)
        pieces.append(text[start:end])
        start = end
    return _fused(pieces, log_probs)


def _most_likely_first(text, log_probs):
    if not log_probs:
        raise ValueError("log_probs is empty")
    pieces, start = [], 0
    while start < len(text):
        known = [e for e in range(start + 1, len(text) + 1) if text[start:e] in log_probs]
        end = max(known, key=lambda e: log_probs[text[start:e]], default=start + 1)
        pieces.append(text[start:end])
        start = end
    return _fused(pieces, log_probs)


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
            _greedy,
            "the longest piece that fits at the beginning may force a bad one behind it. The best "
            "segmentation is that of the largest *sum*, which only the whole text tells.",
            _VITERBI,
            (with_(choose=_longest),),
        ),
        Trap(
            "the most likely piece first",
            _most_likely_first,
            "the most likely piece at the beginning may leave an unlikely rest. Keep the best "
            "score of every beginning of the text.",
            _VITERBI,
            (with_(added=_alone),),
        ),
        Trap(
            "probabilities added",
            with_(scores=_probabilities),
            "probabilities of pieces are multiplied, so their logarithms are added: without `exp`. "
            "A sum of probabilities grows with every piece.",
            _VITERBI,
        ),
        Trap(
            "logarithms multiplied",
            with_(added=_times, start_at=1.0),
            "probabilities are multiplied; their logarithms are added.",
            _VITERBI,
        ),
        Trap(
            "the worst segmentation",
            with_(choose=_worst),
            "log-probabilities are negative, and the largest is the one nearest to 0: `max`.",
            _VITERBI,
        ),
        Trap(
            "the shorter of equally likely ones",
            with_(choose=_last_of_best),
            "of equally likely ways the one with the longer last piece counts: a later start must "
            "be better, not as good. `max` over tuples compares the starts, too.",
            _VITERBI,
        ),
        Trap(
            "unknown as likely as the rarest",
            with_(unknown=_no_penalty),
            "an unknown character is 10 below the least likely piece, so that a known way is "
            "nearly always better.",
            _VITERBI,
        ),
        Trap(
            "unknown for nothing",
            with_(unknown=_nothing),
            "a log-probability of 0 is certainty: unknown characters would be the best of all.",
            _VITERBI,
        ),
        Trap(
            "unknown impossible",
            with_(unknown=_never),
            "with -inf every way is as bad as every other one, and `max` cannot choose.",
            _VITERBI,
        ),
        Trap(
            "each unknown character by itself",
            with_(joined=_apart),
            "neighbouring unknown characters are returned as one piece.",
            _VITERBI,
        ),
        Trap(
            "unknown characters left out",
            with_(joined=_left_out),
            "the pieces joined are the text: what is unknown is returned as it is.",
            _VITERBI,
        ),
        Trap(
            "in reverse",
            with_(order=_backward),
            "the way back begins at the end of the text: reverse the pieces at last.",
            _VITERBI,
        ),
    ),
)
