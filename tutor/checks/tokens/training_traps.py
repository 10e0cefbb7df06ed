"""The wrong trainers that people write, as changes of one in parts."""

from collections import Counter

from tutor.checks.changes import changeable
from tutor.checks.exercise import Trap
from tutor.checks.tokens.shared import (
    BYTES,
    MERGING,
    first_place,
    left_to_right,
    neighbours,
    overlaps,
)

# The right answer in steps, and the wrong ones that people make of them


def _each(pieces):
    return [(list(piece), n) for piece, n in pieces.items()]


def _pairs(pieces):
    counts = Counter()
    for ids, n in pieces:
        for pair in neighbours(ids):
            counts[pair] += n
    return counts


def _smallest(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _numbered(pieces):
    return BYTES


def _as_asked(num_merges):
    return num_merges


def _until_none(counts):
    return not counts


def _again(pieces, first):
    return _pairs(pieces)


def _as_it_is(merges):
    return merges


def _bpe(
    pieces,
    num_merges,
    taken=_each,
    counted=_pairs,
    best=_smallest,
    merged=left_to_right,
    first_id=_numbered,
    number=_as_asked,
    ended=_until_none,
    returned=_as_it_is,
):
    """The right merges, but for the parts that are given."""
    words, merges, made = taken(pieces), [], first_id(pieces)
    for _ in range(number(num_merges)):
        counts = counted(words)
        if ended(counts):
            break
        pair = best(counts)
        merges.append(pair)
        words = [(merged(ids, pair, made), n) for ids, n in words]
        made += 1
    return returned(merges)


with_ = changeable(_bpe)


def _one_text(pieces):
    return [(list(b"".join(piece * min(n, 50) for piece, n in pieces.items())), 1)]


def _types_alone(pieces):
    return [(list(piece), 1) for piece in pieces]


def _without_overlaps(pieces):
    counts = Counter()
    for ids, n in pieces:
        last = None
        for i, pair in enumerate(neighbours(ids)):
            if last is not None and last == (pair, i - 1):
                last = None
                continue
            counts[pair] += n
            last = (pair, i)
    return counts


def _once_a_piece(pieces):
    counts = Counter()
    for ids, n in pieces:
        for pair in set(neighbours(ids)):
            counts[pair] += n
    return counts


def _first_met(counts):
    return max(counts, key=counts.get)


def _last_met(counts):
    return max(reversed(counts), key=counts.get)


def _largest(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))


def _rarest(counts):
    return min(counts, key=lambda pair: (counts[pair], pair))


def _one_late(pieces):
    return BYTES + 1


def _after_the_seen(pieces):
    return len(set(b"".join(pieces)))


def _size(num_merges):
    return max(0, num_merges - BYTES)


def _one_more(num_merges):
    return num_merges + 1


def _one_less(num_merges):
    return num_merges - 1


def _rare(counts):
    return not counts or max(counts.values()) < 2


def _never(counts):
    return False


def _of_empty(counts):
    return max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]))


def _ids_made(merges):
    return [(*pair, BYTES + k) for k, pair in enumerate(merges)]


def _from_the_first_count(pieces, num_merges):
    counts = _pairs(_each(pieces))
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:num_merges]


_WITHIN = "Within pieces"


TRAPS = (
    Trap(
        "ties by the order of the text",
        with_(best=_first_met),
        "of equally frequent pairs `max` takes the one that it meets first, so the vocabulary "
        "hangs on the order of the text. The rule is: the smallest pair, as tuples compare.",
        MERGING,
        (with_(best=_last_met),),
    ),
    Trap(
        "the largest of equally frequent pairs",
        with_(best=_largest),
        "`max` over `(count, pair)` takes the largest pair where counts are equal, and the "
        "rule asks for the smallest: `min` over `(-count, pair)`.",
        MERGING,
    ),
    *overlaps(with_),
    Trap(
        "only the first pair of a piece",
        with_(merged=first_place),
        "a pair may stand in a piece several times, and the merge replaces all of them: "
        "`index` finds the first.",
        MERGING,
    ),
    Trap(
        "overlapping pairs counted once",
        with_(counted=_without_overlaps),
        "a pair is counted at each place where it begins, so `aaa` has (a, a) twice. That only "
        "one of the two can be merged is the merge's business.",
        MERGING,
    ),
    Trap(
        "counted once a piece",
        with_(counted=_once_a_piece),
        "a pair that stands twice in a piece counts twice, times the piece's count.",
        MERGING,
    ),
    Trap(
        "across the borders of pieces",
        with_(taken=_one_text),
        "joined into one text, the last byte of a piece and the first of the next become a "
        "pair. No encoder ever finds it: it looks within pieces.",
        _WITHIN,
    ),
    Trap(
        "each piece counted once",
        with_(taken=_types_alone),
        "the mapping's values say how often a piece occurs. Each pair in it counts that often: "
        "`counts[pair] += n`, not `+= 1`.",
        MERGING,
    ),
    Trap(
        "ids begin at 257",
        with_(first_id=_one_late),
        "the bytes have the ids 0 to 255, so the first merge makes 256: `256 + len(merges)` "
        "before the pair is appended, not after it.",
        MERGING,
    ),
    Trap(
        "ids begin behind the bytes that occur",
        with_(first_id=_after_the_seen),
        "all 256 bytes have an id, whether they occur or not: that is why no text is ever "
        "outside of the vocabulary.",
        "Bytes, characters, words",
    ),
    Trap(
        "the number of merges taken for the size of the vocabulary",
        with_(number=_size),
        "`num_merges` counts the merges alone: the vocabulary is 256 larger.",
        MERGING,
    ),
    Trap(
        "one merge too many",
        with_(number=_one_more),
        "the loop runs once more than it is asked to.",
        MERGING,
    ),
    Trap(
        "one merge too few",
        with_(number=_one_less),
        "the loop ends one merge before it is asked to.",
        MERGING,
    ),
    Trap(
        "pairs that occur once are left",
        with_(ended=_rare),
        "a pair that occurs once is merged as well, if no other is left: here only the number "
        "of merges, or a text without a pair, ends it.",
        MERGING,
    ),
    Trap(
        "nothing is left to merge",
        with_(ended=_never),
        "every piece may be one token before all merges are made. Then no pair is left, and "
        "`min` or `max` of nothing raises. Return the merges that there are.",
        MERGING,
        (with_(ended=_never, best=_of_empty),),
    ),
    Trap(
        "all merges from the first count",
        _from_the_first_count,
        "the most frequent pairs of the beginning are not the merges: each merge makes new "
        "pairs, with its new id, and takes others away.",
        MERGING,
    ),
    Trap(
        "the rarest pair",
        with_(best=_rarest),
        "the most frequent pair is merged: that saves the most tokens.",
        MERGING,
    ),
    Trap(
        "the new id returned with the pair",
        with_(returned=_ids_made),
        "a merge is a pair. Which id it makes says its place: merge k makes 256 + k.",
        MERGING,
    ),
)
