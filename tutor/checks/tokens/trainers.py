"""Trainers in parts: the right one, and the wrong ones that people write."""

from collections import Counter

from tutor.checks.changes import changeable
from tutor.checks.tokens.shared import BYTES, left_to_right, neighbours

# The right answer in steps, and the wrong ones that people make of them


def each(pieces):
    return [(list(piece), n) for piece, n in pieces.items()]


def pairs(pieces):
    counts = Counter()
    for ids, n in pieces:
        for pair in neighbours(ids):
            counts[pair] += n
    return counts


def smallest(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def numbered(pieces):
    return BYTES


def as_asked(num_merges):
    return num_merges


def until_none(counts):
    return not counts


def again(pieces, first):
    return pairs(pieces)


def as_it_is(merges):
    return merges


def bpe(
    pieces,
    num_merges,
    taken=each,
    counted=pairs,
    best=smallest,
    merged=left_to_right,
    first_id=numbered,
    number=as_asked,
    ended=until_none,
    returned=as_it_is,
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


with_ = changeable(bpe)


def one_text(pieces):
    return [(list(b"".join(piece * min(n, 50) for piece, n in pieces.items())), 1)]


def types_alone(pieces):
    return [(list(piece), 1) for piece in pieces]


def without_overlaps(pieces):
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


def once_a_piece(pieces):
    counts = Counter()
    for ids, n in pieces:
        for pair in set(neighbours(ids)):
            counts[pair] += n
    return counts


def first_met(counts):
    return max(counts, key=counts.get)


def last_met(counts):
    return max(reversed(counts), key=counts.get)


def largest(counts):
    return max(counts, key=lambda pair: (counts[pair], pair))


def rarest(counts):
    return min(counts, key=lambda pair: (counts[pair], pair))


def right_first(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair[::-1]))


def one_late(pieces):
    return BYTES + 1


def one_early(pieces):
    return BYTES - 1


def after_the_seen(pieces):
    return len(set(b"".join(pieces)))


def size(num_merges):
    return max(0, num_merges - BYTES)


def one_more(num_merges):
    return num_merges + 1


def one_less(num_merges):
    return num_merges - 1


def rare(counts):
    return not counts or max(counts.values()) < 2


def never(counts):
    return False


def of_empty(counts):
    return max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]))


def ids_made(merges):
    return [(*pair, BYTES + k) for k, pair in enumerate(merges)]


def their_bytes(merges):
    tokens = [bytes([b]) for b in range(BYTES)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return [(tokens[left], tokens[right]) for left, right in merges]


def from_the_first_count(pieces, num_merges):
    counts = pairs(each(pieces))
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:num_merges]


def largest_bytes(pieces, num_merges):
    tokens = [bytes([b]) for b in range(BYTES)]

    def best(counts):
        pair = max(counts, key=lambda pair: (counts[pair], tokens[pair[0]], tokens[pair[1]]))
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        return pair

    return bpe(pieces, num_merges, best=best)


def those_there(counts, merged):
    return Counter({pair: n for pair, n in counts.items() if n > 0})


def all_but_the_merged(counts, merged):
    return Counter({pair: n for pair, n in counts.items() if pair != merged})


def everything(counts, merged):
    return counts


def kept_up(pieces, num_merges, old, new, left=those_there):
    """Counted once, and then changed: the counts of ``old`` pairs of a piece fall, those of its
    ``new`` ones rise, and what is ``left`` may be merged."""
    words, merges = each(pieces), []
    counts = pairs(words)
    while counts and len(merges) < num_merges:
        pair, made = smallest(counts), BYTES + len(merges)
        merges.append(pair)
        for w, (ids, n) in enumerate(words):
            out = left_to_right(ids, pair, made)
            if out == ids:
                continue
            for p in old(ids):
                counts[p] -= n
            for p in new(out, made, counts):
                counts[p] += n
            words[w] = out, n
        counts = left(counts, pair)
    return merges


def all_of_it(ids, *_):
    return neighbours(ids)


def none(ids):
    return []


def with_the_new_id(ids, made, counts):
    return [p for p in neighbours(ids) if made in p]


def those_known(ids, made, counts):
    return [p for p in neighbours(ids) if p in counts]


def neighbours_left(pieces, num_merges):
    return kept_up(pieces, num_merges, none, with_the_new_id, all_but_the_merged)


def none_new(pieces, num_merges):
    return kept_up(pieces, num_merges, all_of_it, those_known)


def used_up(pieces, num_merges):
    return kept_up(pieces, num_merges, all_of_it, all_of_it, everything)


def as_text(pieces, num_merges):
    words, merges = [(" ".join(map(str, piece)), n) for piece, n in pieces.items()], []
    while len(merges) < num_merges:
        counts = pairs([(list(map(int, word.split())), n) for word, n in words])
        if not counts:
            break
        pair, made = smallest(counts), str(BYTES + len(merges))
        merges.append(pair)
        words = [(word.replace("{} {}".format(*pair), made), n) for word, n in words]
    return merges
