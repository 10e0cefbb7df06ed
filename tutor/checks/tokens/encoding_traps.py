"""The wrong encoders that people write, as changes of one in parts."""

import re

from tutor import tokens as reference
from tutor.checks.changes import changeable
from tutor.checks.exercise import Trap
from tutor.checks.tokens.shared import (
    BYTES,
    left_to_right,
    neighbours,
    overlaps,
)

# The right answer in steps


def _bytes(text):
    return text.encode() if isinstance(text, str) else text


def _longest_first(text, special):
    """Parts, each with the number of its special token or None."""
    if not special:
        return [(text, None)]
    tokens = [s.encode() for s in sorted(special, key=len, reverse=True)]
    numbers = {s.encode(): j for j, s in enumerate(special)}
    parts = re.split(b"(" + b"|".join(map(re.escape, tokens)) + b")", text)
    return [(part, numbers.get(part) if i % 2 else None) for i, part in enumerate(parts)]


def _own_pieces(part):
    return reference.split_pieces(part)


def _lowest(ids, ranks):
    return min((p for p in neighbours(ids) if p in ranks), key=ranks.get, default=None)


def _by_rank(ids, ranks, chosen, merged, numbered):
    while (pair := chosen(ids, ranks)) is not None:
        ids = merged(ids, pair, numbered(ranks[pair]))
    return ids


def _behind_the_bytes(rank):
    return BYTES + rank


def _last_ids(j, merges):
    return BYTES + len(merges) + j


def _plain(ids):
    return ids


def _encode(
    text,
    merges,
    special=(),
    taken=_bytes,
    cut=_longest_first,
    split=_own_pieces,
    loop=_by_rank,
    chosen=_lowest,
    merged=left_to_right,
    numbered=_behind_the_bytes,
    last=_last_ids,
    returned=_plain,
):
    """The right ids, but for the parts that are given."""
    ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
    ids = []
    for part, j in cut(taken(text), special):
        if j is not None:
            ids.append(last(j, merges))
            continue
        for piece in split(part):
            ids += loop(list(piece), ranks, chosen, merged, numbered)
    return returned(ids)


with_ = changeable(_encode)


def _replaced(text):
    return text.encode() if isinstance(text, str) else text.decode(errors="replace").encode()


def _dropped(text):
    return text.encode() if isinstance(text, str) else text.decode(errors="ignore").encode()


def _always_text(text):
    return text.encode()


def _no_cut(text, special):
    return [(text, None)]


def _in_the_order_given(text, special):
    if not special:
        return [(text, None)]
    tokens = [s.encode() for s in special]
    parts = re.split(b"(" + b"|".join(map(re.escape, tokens)) + b")", text)
    return [(p, tokens.index(p) if i % 2 else None) for i, p in enumerate(parts)]


def _left_out(text, special):
    return [(part, j) for part, j in _longest_first(text, special) if j is None]


def _by_split(part):
    return part.split()


def _by_spaces(part):
    return part.split(b" ")


def _space_behind(part):
    return re.findall(rb"\S+\s*|\s+", part)


def _whole(part):
    return [part] if part else []


def _reading_order(ids, ranks):
    return next((p for p in neighbours(ids) if p in ranks), None)


def _highest(ids, ranks):
    return max((p for p in neighbours(ids) if p in ranks), key=ranks.get, default=None)


def _one_pass(ids, ranks, chosen, merged, numbered):
    out, i = [], 0
    while i < len(ids):
        pair = tuple(ids[i : i + 2])
        out.append(numbered(ranks[pair]) if pair in ranks else ids[i])
        i += 2 if pair in ranks else 1
    return out


def _longest_match(ids, ranks, chosen, merged, numbered):
    tokens = [bytes([b]) for b in range(BYTES)]
    for left, right in ranks:
        tokens.append(tokens[left] + tokens[right])
    text, out = bytes(ids), []
    while text:
        fit = (n for n, t in enumerate(tokens) if text.startswith(t))
        n = max(fit, key=lambda n: len(tokens[n]))
        out.append(n if n < BYTES else numbered(n - BYTES))
        text = text[len(tokens[n]) :]
    return out


def _one_merge(ids, ranks, chosen, merged, numbered):
    pair = chosen(ids, ranks)
    return ids if pair is None else merged(ids, pair, numbered(ranks[pair]))


def _bytes_alone(ids, ranks, chosen, merged, numbered):
    return ids


def _the_rank(rank):
    return rank


def _one_later(rank):
    return BYTES + 1 + rank


def _before_the_merges(j, merges):
    return BYTES + j


def _from_zero(j, merges):
    return j


def _one_more(j, merges):
    return BYTES + len(merges) + j + 1


def _a_list_a_piece(text, merges, special=()):
    pieces = _own_pieces(_bytes(text))
    return [_encode(piece, merges) for piece in pieces]


def _code_points(text, merges, special=()):
    if isinstance(text, bytes):
        return _encode(text, merges, special)
    ranks, ids = {tuple(p): r for r, p in enumerate(merges)}, []
    for part, j in _longest_first(text.encode(), special):
        if j is not None:
            ids.append(_last_ids(j, merges))
            continue
        for piece in _own_pieces(part):
            found = [ord(c) for c in piece.decode()]
            ids += _by_rank(found, ranks, _lowest, left_to_right, _behind_the_bytes)
    return ids


_BYTES, _WITHIN, _RANK = "Bytes, characters, words", "Within pieces", "Encoding by rank"


TRAPS = (
    Trap(
        "in reading order",
        with_(chosen=_reading_order),
        "the first pair from the left that is a merge is taken, whatever its rank. Training "
        "made the early merges first, so encoding must: in `abcd` with the merges bc, ab the "
        "pair bc goes first, and then no ab is left.",
        _RANK,
        (with_(loop=_one_pass),),
    ),
    Trap(
        "the longest token",
        with_(loop=_longest_match),
        "the longest token that fits is WordPiece's rule. Byte-pair encoding repeats the "
        "training: it merges the pair of lowest rank, and may never make the longest token.",
        _RANK,
    ),
    Trap(
        "the highest rank first",
        with_(chosen=_highest),
        "the merge of the lowest rank was learned first and goes first: `min`, not `max`.",
        _RANK,
    ),
    Trap(
        "one merge a piece",
        with_(loop=_one_merge),
        "after one merge there are new pairs. Go on until no pair of the piece is a merge.",
        _RANK,
    ),
    Trap(
        "nothing merged",
        with_(loop=_bytes_alone),
        "these are the bytes. The pairs are looked for among the keys, and must be tuples: a "
        "list of two is not the tuple of them.",
        _RANK,
    ),
    *overlaps(with_),
    Trap(
        "the spaces are lost",
        with_(split=_by_split),
        "`split()` throws white space away, and no decoder can bring it back. `split_pieces` "
        "keeps every byte: the space stands before the word that it belongs to.",
        _WITHIN,
        (with_(split=_by_spaces),),
    ),
    Trap(
        "the space behind the word",
        with_(split=_space_behind),
        "the space belongs to the word behind it, not before it: the merges were learned from "
        "such pieces. Take `split_pieces`.",
        _WITHIN,
    ),
    Trap(
        "across the borders of pieces",
        with_(split=_whole),
        "the text is cut into pieces first, and no merge reaches over a cut: training has "
        "never seen such pairs.",
        _WITHIN,
    ),
    Trap(
        "characters instead of bytes",
        _code_points,
        "`ord` gives a character's number in Unicode, which may be 128,512, and ids below 256 "
        "are bytes. `text.encode()` gives the bytes.",
        _BYTES,
    ),
    Trap(
        "bytes by way of text",
        with_(taken=_replaced),
        "bytes that are no text become replacement characters of three bytes each when they "
        "are decoded. Bytes that come as bytes are taken as they are.",
        _BYTES,
        (with_(taken=_dropped),),
    ),
    Trap(
        "bytes not asked for",
        with_(taken=_always_text),
        "the text may come as bytes, which cannot be encoded once more.",
        _BYTES,
    ),
    Trap(
        "the rank for the id",
        with_(numbered=_the_rank),
        "merge k makes the id 256 + k: the ids below are the bytes.",
        _RANK,
    ),
    Trap(
        "ids begin at 257",
        with_(numbered=_one_later),
        "the bytes have the ids 0 to 255, so the first merge makes 256.",
        _RANK,
    ),
    Trap(
        "special tokens merged like text",
        with_(cut=_no_cut),
        "special tokens are cut out of the text before anything else: spelled in bytes, they "
        "tell the model nothing.",
        _RANK,
    ),
    Trap(
        "special tokens in the order given",
        with_(cut=_in_the_order_given),
        "where two special tokens begin at one place, the longest is meant: sort them by "
        "length before they become a pattern.",
        _RANK,
    ),
    Trap(
        "special tokens thrown away",
        with_(cut=_left_out),
        "each special token is an id of its own, at the place where it stood.",
        _RANK,
    ),
    Trap(
        "the ids of special tokens",
        with_(last=_before_the_merges),
        "bytes, merges, special tokens: number j of the last has 256 + len(merges) + j.",
        _RANK,
        (with_(last=_from_zero), with_(last=_one_more)),
    ),
    Trap(
        "a list for each piece",
        _a_list_a_piece,
        "the answer is one list of ids: `ids += ...` or `extend` joins them, `append` makes a "
        "list of lists.",
        _WITHIN,
    ),
)
