"""What ``corrupt_spans`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import families as reference
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.families import spans as part
from tutor.checks.families.shared import CHAPTER, SPANS
from tutor.checks.families.spans import with_

_NUMBER = Factor(
    "number",
    (
        Condition("two", value=2),
        Condition("one span", "one span", 1),
        Condition("many spans", "many spans", 6),
        Condition("no span", "no span", 0, edge=True, alone=True),
    ),
)
_SIZES = Factor(
    "sizes",
    (
        Condition("several tokens", value=(2, 5)),
        Condition("one token each", "spans of one token", (1, 2)),
        Condition("long spans", "long spans", (6, 9)),
    ),
)
_BETWEEN = Factor(
    "between",
    (
        Condition("apart", value=(2, 5)),
        Condition("one between", "one token between two spans", (1, 2)),
    ),
)
_ENDS = Factor(
    "ends",
    (
        Condition("inside", value=(True, True)),
        Condition("at the beginning", "a span at the beginning", (False, True), edge=True),
        Condition("at the end", "a span at the end", (True, False), edge=True),
        Condition("at both", "spans at both ends", (False, False), edge=True, alone=True),
    ),
)
FAMILY = Family((_NUMBER, _SIZES, _BETWEEN, _ENDS))

_FIRST = 900


def _arguments(draw: Draw, row: Row) -> tuple:
    (low, high), (least, most), (before, behind) = row["sizes"], row["between"], row["ends"]
    place, spans = draw.integer(least, most) if before else 0, []
    for _ in range(row["number"]):
        end = place + draw.integer(low, high)
        spans.append((place, end))
        place = end + draw.integer(least, most)
    length = place if behind or not spans else spans[-1][1]
    # No two are equal, so that it is seen which have gone where.
    order = torch.randperm(200, generator=draw.generator)[: max(length, 3)]
    return order.tolist(), spans, _FIRST


def _by_hand(draw: Draw) -> Iterator[Case]:
    text = [11, 12, 13, 14, 15, 16]
    yield Case("the example of the text", (text, [(1, 3), (4, 5)], 99))
    yield Case("a text that repeats itself", ([5, 5, 5, 5, 5, 5], [(1, 2), (3, 5)], 99))
    yield Case("the whole text", (text, [(0, 6)], 99), "edges")
    yield Case("no text", ([], [], 99), "edges")
    yield Case("as many sentinels as there are ids", (text, [(0, 1), (2, 3), (4, 5)], 3), "edges")
    for name, spans in {
        "an empty span": [(2, 2)],
        "spans that overlap": [(1, 4), (3, 5)],
        "spans that touch": [(1, 3), (3, 5)],
        "spans out of order": [(4, 5), (1, 2)],
        "a span that ends before it begins": [(4, 2)],
        "a span beyond the text": [(4, 7)],
        "a span before the text": [(-2, 2)],
        "a span from one before the text": [(-1, 2)],
    }.items():
        yield Case(f"{name} must raise ValueError", (text, spans, 99), "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="two spans")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


CORRUPT_SPANS = Exercise(
    reference=reference.corrupt_spans,
    chapter=CHAPTER,
    points={"values": 3, "edges": 2, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("list",),
    traps=(
        Trap(
            "sentinels that count upwards",
            with_(following=part.upwards),
            "T5's sentinels are the last ids of the vocabulary, and the first of them is the "
            "largest: the i-th is first_sentinel - i.",
            SPANS,
        ),
        Trap(
            "one sentinel for all spans",
            with_(following=part.always_the_first),
            "with the same sentinel for each, nobody can tell which span stands where. The i-th "
            "span has first_sentinel - i, in the text and in the answer.",
            SPANS,
        ),
        Trap(
            "no sentinel at the end",
            with_(last=part.nothing),
            "the answer ends with one sentinel more, the next one: so the decoder knows when it "
            "has said everything.",
            SPANS,
        ),
        Trap(
            "nothing to be said without a span",
            with_(last=part.nothing_without_spans),
            "with no span, the answer is the one sentinel that says that this was all.",
            SPANS,
        ),
        Trap(
            "the last sentinel again",
            with_(last=part.the_one_before),
            "the sentinel at the end is a new one, the next: the one before it belongs to a span.",
            SPANS,
            (with_(last=part.the_first),),
        ),
        Trap(
            "a sentinel at the end of the text",
            part.marked_at_the_end,
            "the sentinel more stands at the end of the answer alone, where it says that this was "
            "all. At the end of the text it would say that something is missing there.",
            SPANS,
        ),
        Trap(
            "another mark at the end",
            with_(last=part.as_number(1)),
            "the answer ends with the next sentinel. A mark for the end of a text, such as T5's 1, "
            "is put behind it later, by whoever makes the batch.",
            SPANS,
            (with_(last=part.as_number(0)), with_(last=part.as_number(-1))),
        ),
        Trap(
            "numbered from the last span",
            part.from_the_last,
            "going from the last span to the first keeps the places right; the sentinels are "
            "numbered from the first all the same.",
            SPANS,
        ),
        Trap(
            "the first sentinel skipped",
            with_(following=part.one_further),
            "the first span has first_sentinel itself, and the next one first_sentinel - 1.",
            SPANS,
        ),
        Trap(
            "no sentinels in the answer",
            with_(told=part.tokens_alone),
            "each missing span is told behind its sentinel, or nobody knows where one ends.",
            SPANS,
            (with_(told=part.tokens_alone, last=part.nothing),),
        ),
        Trap(
            "sentinels behind what they stand for",
            with_(told=part.sentinel_behind),
            "first the sentinel, and then what it stands for.",
            SPANS,
        ),
        Trap(
            "no sentinels in the text",
            with_(put=part.nothing_put),
            "where a span has been taken out stands its sentinel: the model has to know where "
            "something is missing.",
            SPANS,
        ),
        Trap(
            "a sentinel for each token",
            with_(put=part.one_for_each),
            "a span is *one* sentinel, however long it is: how many tokens are missing is for the "
            "model to find out. That is what makes it more than masked words.",
            SPANS,
            (part.each_by_itself,),
        ),
        Trap(
            "the span is still there",
            with_(put=part.sentinel_and_span),
            "the sentinel takes the span's place, or there is nothing to be found out.",
            SPANS,
        ),
        Trap(
            "the end included",
            with_(reach=part.with_the_end),
            "a span is (start, end) as in Python: the token at `end` is not in it.",
            SPANS,
        ),
        Trap(
            "start and length",
            with_(reach=part.as_a_length),
            "the second number says where a span ends, and not how long it is.",
            SPANS,
        ),
        Trap(
            "the rest forgotten",
            with_(rest=part.no_rest),
            "behind the last span the text goes on.",
            SPANS,
            (part.without_spans_as_it_was,),
        ),
        Trap(
            "places that have moved",
            part.replaced_in_place,
            "a span that is replaced makes the text shorter, and all that follows moves. Copy what "
            "stands between the spans into a new list, or begin with the last span.",
            SPANS,
        ),
        Trap(
            "the caller's list cut",
            part.cut_out_of_the_callers,
            "`del` and an assignment to a slice change the caller's text, whom nobody has asked: "
            "the next time it is drawn, its spans are gone. Build a new list.",
            SPANS,
            overwrites="tokens",
        ),
        Trap(
            "a span at the beginning refused",
            with_(refused=part.at_the_beginning_too),
            "a span may begin at 0, where no token stands before it. Whoever remembers the end of "
            "the last span begins with -1.",
            SPANS,
        ),
        Trap(
            "a span at the end refused",
            with_(refused=part.at_the_end_too),
            "`end` is not in the span: where it is the text's length, the span takes the last "
            "token, and nothing more.",
            SPANS,
        ),
        Trap(
            "a span of one token refused",
            with_(refused=part.of_one_token_too),
            "a span has one token or more: it is empty only where its end is its start.",
            SPANS,
        ),
        Trap(
            "one kind of wrong span let through",
            with_(refused=part.but(empty=True)),
            "a span may be wrong in six ways: empty, beyond the end, before the beginning, out of "
            "order, overlapping, touching. Python's slices keep silent about all of them: raise a "
            "ValueError for each.",
            SPANS,
            (
                with_(refused=part.but(end_beyond=True)),
                with_(refused=part.but(start_below=True)),
                with_(refused=part.but(disordered=True), ordered=sorted),
                with_(refused=part.each_alone),
                with_(refused=part.starts_alone),
                with_(refused=part.touching_or_empty),
            ),
        ),
        Trap(
            "text and answer exchanged",
            with_(returned=part.exchanged),
            "first the text with its sentinels, then what was taken out.",
            SPANS,
        ),
        Trap(
            "only the answer",
            with_(returned=part.answer_alone),
            "two lists are returned: the encoder reads the one, and the decoder writes the other.",
            SPANS,
        ),
        Trap(
            "spans that touch",
            with_(refused=part.overlapping_alone),
            "two spans that touch are one span with two sentinels: the model could not see where "
            "one ends. Between two spans stands at least one token; raise a ValueError if not.",
            SPANS,
            (part.touching_made_one,),
        ),
        Trap(
            "spans are not looked at",
            with_(refused=part.none),
            "a span that is empty, overlaps another, is out of order or leaves the text is a fault "
            "of whoever drew it. Python's slices keep silent about all of that: raise a "
            "ValueError.",
            SPANS,
            (with_(refused=part.beyond_alone), with_(refused=part.order_alone)),
        ),
    ),
)
