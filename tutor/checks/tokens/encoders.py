"""Encoders in parts: the right one, and the wrong ones that people write."""

import re

from tutor import tokens as reference
from tutor.checks.changes import changeable
from tutor.checks.tokens.shared import BYTES, first_place, left_to_right, neighbours

# The right answer in steps


def as_bytes(text):
    return text.encode() if isinstance(text, str) else text


def longest_first(text, special):
    """Parts, each with the number of its special token or None."""
    if not special:
        return [(text, None)]
    tokens = [s.encode() for s in sorted(special, key=len, reverse=True)]
    numbers = {s.encode(): j for j, s in enumerate(special)}
    parts = re.split(b"(" + b"|".join(map(re.escape, tokens)) + b")", text)
    return [(part, numbers.get(part) if i % 2 else None) for i, part in enumerate(parts)]


def own_pieces(part):
    return reference.split_pieces(part)


def lowest(ids, ranks):
    return min((p for p in neighbours(ids) if p in ranks), key=ranks.get, default=None)


def by_rank(ids, ranks, chosen, merged, numbered):
    while (pair := chosen(ids, ranks)) is not None:
        ids = merged(ids, pair, numbered(ranks[pair]))
    return ids


def behind_the_bytes(rank):
    return BYTES + rank


def last_ids(j, merges):
    return BYTES + len(merges) + j


def plain(ids):
    return ids


def encode(
    text,
    merges,
    special=(),
    taken=as_bytes,
    cut=longest_first,
    split=own_pieces,
    loop=by_rank,
    chosen=lowest,
    merged=left_to_right,
    numbered=behind_the_bytes,
    last=last_ids,
    returned=plain,
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


with_ = changeable(encode)


def replaced(text):
    return text.encode() if isinstance(text, str) else text.decode(errors="replace").encode()


def dropped(text):
    return text.encode() if isinstance(text, str) else text.decode(errors="ignore").encode()


def latin(text):
    return text.encode() if isinstance(text, str) else text.decode("latin-1").encode()


def strict(text):
    return text.encode() if isinstance(text, str) else text.decode().encode()


def always_text(text):
    return text.encode()


def no_cut(text, special):
    return [(text, None)]


def in_the_order_given(text, special):
    if not special:
        return [(text, None)]
    tokens = [s.encode() for s in special]
    parts = re.split(b"(" + b"|".join(map(re.escape, tokens)) + b")", text)
    return [(p, tokens.index(p) if i % 2 else None) for i, p in enumerate(parts)]


def as_a_pattern(text, special):
    if not special:
        return [(text, None)]
    numbers = {s.encode(): j for j, s in enumerate(special)}
    parts = re.split(b"(" + b"|".join(sorted(numbers, key=len, reverse=True)) + b")", text)
    return [(part, numbers.get(part)) for part in parts]


def numbered_by_length(text, special):
    return longest_first(text, sorted(special, key=len, reverse=True))


def left_out(text, special):
    return [(part, j) for part, j in longest_first(text, special) if j is None]


def by_split(part):
    return part.split()


def by_spaces(part):
    return part.split(b" ")


def space_behind(part):
    return re.findall(rb"\S+\s*|\s+", part)


def whole(part):
    return [part] if part else []


def reading_order(ids, ranks):
    return next((p for p in neighbours(ids) if p in ranks), None)


def highest(ids, ranks):
    return max((p for p in neighbours(ids) if p in ranks), key=ranks.get, default=None)


def one_pass(ids, ranks, chosen, merged, numbered):
    out, i = [], 0
    while i < len(ids):
        pair = tuple(ids[i : i + 2])
        out.append(numbered(ranks[pair]) if pair in ranks else ids[i])
        i += 2 if pair in ranks else 1
    return out


def longest_match(ids, ranks, chosen, merged, numbered):
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


def one_merge(ids, ranks, chosen, merged, numbered):
    pair = chosen(ids, ranks)
    return ids if pair is None else merged(ids, pair, numbered(ranks[pair]))


def last_rank_once(ids, ranks, chosen, merged, numbered):
    for pair, rank in reversed(ranks.items()):
        ids = merged(ids, pair, numbered(rank))
    return ids


def first_place_alone(ids, ranks, chosen, merged, numbered):
    for pair, rank in ranks.items():
        ids = first_place(ids, pair, numbered(rank))
    return ids


def bytes_alone(ids, ranks, chosen, merged, numbered):
    return ids


def the_rank(rank):
    return rank


def one_later(rank):
    return BYTES + 1 + rank


def before_the_merges(j, merges):
    return BYTES + j


def from_zero(j, merges):
    return j


def one_more(j, merges):
    return BYTES + len(merges) + j + 1


def specials_behind_the_bytes(text, merges, special=()):
    first, last = BYTES, BYTES + len(merges)
    later, earlier = len(special), len(merges)
    ids = encode(text, merges, special)
    return [i if i < first else i + later if i < last else i - earlier for i in ids]


def specials_among_pieces(text, merges, special=()):
    numbers, ids = {s.encode(): last_ids(j, merges) for j, s in enumerate(special)}, []
    for piece in own_pieces(as_bytes(text)):
        ids += [numbers[piece]] if piece in numbers else encode(piece, merges)
    return ids


def a_list_a_piece(text, merges, special=()):
    pieces = own_pieces(as_bytes(text))
    return [encode(piece, merges) for piece in pieces]


def tokens_themselves(text, merges, special=()):
    tokens = reference.bpe_tokens(merges, special)
    return [tokens[i] for i in encode(text, merges, special)]


def longest_of_all(text, merges, special=()):
    """The special tokens are among those that may fit."""
    tokens = reference.bpe_tokens(merges, special)
    numbers, widest = {t: i for i, t in enumerate(tokens)}, max(map(len, tokens))
    text, ids = as_bytes(text), []
    while text:
        fit = (text[:n] for n in range(min(widest, len(text)), 0, -1))
        token = next(t for t in fit if t in numbers)
        ids.append(numbers[token])
        text = text[len(token) :]
    return ids


def code_points(text, merges, special=()):
    if isinstance(text, bytes):
        return encode(text, merges, special)
    ranks, ids = {tuple(p): r for r, p in enumerate(merges)}, []
    for part, j in longest_first(text.encode(), special):
        if j is not None:
            ids.append(last_ids(j, merges))
            continue
        for piece in own_pieces(part):
            found = [ord(c) for c in piece.decode()]
            ids += by_rank(found, ranks, lowest, left_to_right, behind_the_bytes)
    return ids
