"""The wrong trainers and their misconceptions."""

from tutor.checks.exercise import Trap
from tutor.checks.tokens import trainers
from tutor.checks.tokens.shared import MERGING, first_place, overlaps
from tutor.checks.tokens.trainers import with_

_WITHIN = "Within pieces"


TRAPS = (
    Trap(
        "ties by the order of the text",
        with_(best=trainers.first_met),
        "of equally frequent pairs `max` takes the one that it meets first, so the vocabulary "
        "hangs on the order of the text. The rule is: the smallest pair, as tuples compare.",
        MERGING,
        (with_(best=trainers.last_met),),
    ),
    Trap(
        "the largest of equally frequent pairs",
        with_(best=trainers.largest),
        "`max` over `(count, pair)` takes the largest pair where counts are equal, and the "
        "rule asks for the smallest: `min` over `(-count, pair)`.",
        MERGING,
        (trainers.largest_bytes,),
    ),
    Trap(
        "the right ids compared first",
        with_(best=trainers.right_first),
        "of equally frequent pairs the smallest goes first, as tuples compare: by the left ids, "
        "and by the right ones only where those are equal.",
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
        with_(counted=trainers.without_overlaps),
        "a pair is counted at each place where it begins, so `aaa` has (a, a) twice. That only "
        "one of the two can be merged is the merge's business.",
        MERGING,
    ),
    Trap(
        "counted once a piece",
        with_(counted=trainers.once_a_piece),
        "a pair that stands twice in a piece counts twice, times the piece's count.",
        MERGING,
    ),
    Trap(
        "across the borders of pieces",
        with_(taken=trainers.one_text),
        "joined into one text, the last byte of a piece and the first of the next become a "
        "pair. No encoder ever finds it: it looks within pieces.",
        _WITHIN,
    ),
    Trap(
        "each piece counted once",
        with_(taken=trainers.types_alone),
        "the mapping's values say how often a piece occurs. Each pair in it counts that often: "
        "`counts[pair] += n`, not `+= 1`.",
        MERGING,
    ),
    Trap(
        "ids begin at 257",
        with_(first_id=trainers.one_late),
        "the bytes have the ids 0 to 255, so the first merge makes 256: `256 + len(merges)` "
        "before the pair is appended, not after it.",
        MERGING,
    ),
    Trap(
        "ids begin at 255",
        with_(first_id=trainers.one_early),
        "255 is a byte's id. The first one that is free, and that the first merge makes, is 256.",
        MERGING,
    ),
    Trap(
        "ids begin behind the bytes that occur",
        with_(first_id=trainers.after_the_seen),
        "all 256 bytes have an id, whether they occur or not: that is why no text is ever "
        "outside of the vocabulary.",
        "Bytes, characters, words",
    ),
    Trap(
        "the number of merges taken for the size of the vocabulary",
        with_(number=trainers.size),
        "`num_merges` counts the merges alone: the vocabulary is 256 larger.",
        MERGING,
    ),
    Trap(
        "one merge too many",
        with_(number=trainers.one_more),
        "the loop runs once more than it is asked to.",
        MERGING,
    ),
    Trap(
        "one merge too few",
        with_(number=trainers.one_less),
        "the loop ends one merge before it is asked to.",
        MERGING,
    ),
    Trap(
        "pairs that occur once are left",
        with_(ended=trainers.rare),
        "a pair that occurs once is merged as well, if no other is left: here only the number "
        "of merges, or a text without a pair, ends it.",
        MERGING,
    ),
    Trap(
        "nothing is left to merge",
        with_(ended=trainers.never),
        "every piece may be one token before all merges are made. Then no pair is left, and "
        "`min` or `max` of nothing raises. Return the merges that there are.",
        MERGING,
        (with_(ended=trainers.never, best=trainers.of_empty),),
    ),
    Trap(
        "all merges from the first count",
        trainers.from_the_first_count,
        "the most frequent pairs of the beginning are not the merges: each merge makes new "
        "pairs, with its new id, and takes others away.",
        MERGING,
    ),
    Trap(
        "the neighbours still counted",
        trainers.neighbours_left,
        "in `xaby` the merge of (a, b) ends (x, a) and (b, y) at this place as well: their counts "
        "fall, too. Take all pairs of the piece out before the merge, and all back in behind it.",
        MERGING,
    ),
    Trap(
        "new pairs not counted",
        trainers.none_new,
        "a merge makes pairs that were never there, those with the new id. They have to be "
        "counted, or no token ever becomes part of a longer one.",
        MERGING,
    ),
    Trap(
        "pairs merged that are used up",
        trainers.used_up,
        "a pair whose count has fallen to 0 is in no piece any more. Take it out of the counts.",
        MERGING,
    ),
    Trap(
        "ids replaced as text",
        trainers.as_text,
        "written as text, `1 2` stands in `11 2` and in `1 25`, too. Compare ids, not digits.",
        MERGING,
    ),
    Trap(
        "the rarest pair",
        with_(best=trainers.rarest),
        "the most frequent pair is merged: that saves the most tokens.",
        MERGING,
    ),
    Trap(
        "pairs of bytes instead of ids",
        with_(returned=trainers.their_bytes),
        "a merge is a pair of ids: a byte's is the byte itself, a number below 256, and merge k "
        "makes the id 256 + k. A piece is bytes, and `list(piece)` is its ids.",
        MERGING,
    ),
    Trap(
        "the new id returned with the pair",
        with_(returned=trainers.ids_made),
        "a merge is a pair. Which id it makes says its place: merge k makes 256 + k.",
        MERGING,
    ),
)
