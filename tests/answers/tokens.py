"""Answers to chapter 6's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import functools
import itertools
import math
import re
from collections import Counter, defaultdict

import numpy as np
import regex
import torch
from torch.nn import functional as F

# As the notebook gives it: the reference is not there when an answer is graded
PIECE = regex.compile(
    r"'(?:[sdmt]|ll|ve|re)"
    r"| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+"
    r"|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+"
)


def split_pieces(text: str | bytes) -> list[bytes]:
    """GPT-2's pieces: words with the space before them, numbers, signs, white space."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="surrogateescape")
    return [piece.encode("utf-8", errors="surrogateescape") for piece in PIECE.findall(text)]


# Training


def train_dicts(pieces, num_merges):
    """Counts in one dictionary, the pieces of a pair in another; the best by ``min``."""
    words = [(tuple(piece), n) for piece, n in pieces.items()]
    counts, places = defaultdict(int), defaultdict(set)

    def put(w, sign):
        ids, n = words[w]
        for pair in itertools.pairwise(ids):
            counts[pair] += sign * n
            places[pair].add(w)

    for w in range(len(words)):
        put(w, 1)
    merges = []
    while len(merges) < num_merges:
        alive = {pair: n for pair, n in counts.items() if n > 0}
        if not alive:
            break
        best = min(alive, key=lambda pair: (-alive[pair], pair))
        made = 256 + len(merges)
        merges.append(best)
        for w in list(places[best]):
            put(w, -1)
            ids, n = words[w]
            out = []
            for i in ids:
                if out and (out[-1], i) == best:
                    out[-1] = made
                else:
                    out.append(i)
            words[w] = tuple(out), n
            put(w, 1)
    return merges


def train_sorted(pieces, num_merges):
    """The counts of each piece by themselves, and their sum changed by differences."""
    words = {piece: list(piece) for piece in pieces}
    own = {piece: Counter(itertools.pairwise(ids)) for piece, ids in words.items()}
    total = Counter()
    for piece, pairs in own.items():
        for pair, times in pairs.items():
            total[pair] += times * pieces[piece]
    merges = []
    for made in range(256, 256 + num_merges):
        total = +total
        if not total:
            return merges
        top = max(total.values())
        best = min(pair for pair, n in total.items() if n == top)
        merges.append(best)
        for piece in [p for p, pairs in own.items() if best in pairs]:
            ids, i = words[piece], 0
            for pair, times in own[piece].items():
                total[pair] -= times * pieces[piece]
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == best:
                    ids[i : i + 2] = [made]
                i += 1
            own[piece] = Counter(itertools.pairwise(ids))
            for pair, times in own[piece].items():
                total[pair] += times * pieces[piece]
    return merges


def train_positions(pieces, num_merges):
    """A linked list of all positions, and those of each pair."""
    ids, weight, after, before = [], [], {}, {}
    for piece, n in pieces.items():
        first = len(ids)
        for j, byte in enumerate(piece):
            ids.append(byte)
            weight.append(n)
            after[first + j] = first + j + 1 if j + 1 < len(piece) else None
            before[first + j] = first + j - 1 if j else None
    counts, places = Counter(), defaultdict(set)

    def put(i, sign):
        if i is None or after[i] is None:
            return
        pair = ids[i], ids[after[i]]
        counts[pair] += sign * weight[i]
        (places[pair].add if sign > 0 else places[pair].discard)(i)
        if not counts[pair]:
            del counts[pair]

    for i in range(len(ids)):
        put(i, 1)
    merges = []
    while counts and len(merges) < num_merges:
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        for i in sorted(places[best]):
            if i not in places[best]:
                continue  # it overlapped with the one before
            j = after[i]
            for k in (before[i], i, j):
                put(k, -1)
            ids[i], after[i] = 256 + len(merges), after[j]
            if after[j] is not None:
                before[after[j]] = i
            after[j] = before[j] = None
            for k in (before[i], i):
                put(k, 1)
        merges.append(best)
    return merges


def train_again(pieces, num_merges, pairs=itertools.pairwise):
    """The pairs of the whole text again for each merge."""
    words, merges = [(list(p), n) for p, n in pieces.items()], []
    for made in range(256, 256 + num_merges):
        counts = Counter()
        for ids, n in words:
            for pair in pairs(ids):
                counts[pair] += n
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for ids, _ in words:
            i = 0
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == best:
                    ids[i : i + 2] = [made]
                i += 1
    return merges


def train_again_in_c(pieces, num_merges):
    """The same with strings, whose pairs are counted and replaced by C."""
    text = "\0".join("\0".join([p.decode("latin-1")] * n) for p, n in pieces.items() if n < 9)
    if max(pieces.values(), default=0) >= 9 or any(0 in p for p in pieces):
        text = None
    words = {p.decode("latin-1"): n for p, n in pieces.items()} if text is None else {text: 1}
    merges = []
    for made in range(256, 256 + num_merges):
        counts = Counter()
        for word, n in words.items():
            for pair, times in Counter(itertools.pairwise(word)).items():
                if text is None or "\0" not in pair:
                    counts[pair] += n * times
        if not counts:
            break
        best = min(counts, key=lambda p: (-counts[p], tuple(map(ord, p))))
        merges.append(tuple(map(ord, best)))
        words = {w.replace("".join(best), chr(made)): n for w, n in words.items()}
    return merges


# Encoding and decoding


def _parts(text, special):
    text = text.encode() if isinstance(text, str) else text
    if not special:
        return [text]
    tokens = sorted((s.encode() for s in special), key=len, reverse=True)
    return re.split(b"(" + b"|".join(map(re.escape, tokens)) + b")", text)


def encode_each_merge(text, merges, special=()):
    """Each merge in its turn, over the whole piece."""
    known = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    ids = []
    for part in _parts(text, special):
        for piece in [part] if part in known else split_pieces(part):
            found = [known[part]] if part in known else list(piece)
            for rank, (a, b) in enumerate(merges):
                i = 0
                while i < len(found) - 1:
                    if found[i] == a and found[i + 1] == b:
                        found[i : i + 2] = [256 + rank]
                    i += 1
            ids.extend(found)
    return ids


def encode_first_place(text, merges, special=()):
    """One place at a time: the leftmost of the lowest rank."""
    ranks = dict(zip(map(tuple, merges), itertools.count()))
    names = [s.encode() for s in special]

    @functools.cache
    def of_piece(piece):
        ids = list(piece)
        while len(ids) > 1:
            rank, i = min(
                (ranks.get(p, math.inf), i) for i, p in enumerate(itertools.pairwise(ids))
            )
            if rank == math.inf:
                break
            ids = [*ids[:i], 256 + rank, *ids[i + 2 :]]
        return ids

    out = []
    for part in _parts(text, special):
        if part in names:
            out.append(256 + len(merges) + names.index(part))
        else:
            out += [i for piece in split_pieces(part) for i in of_piece(piece)]
    return out


def encode_recursive(text, merges, special=()):
    def merged(ids):
        best = next((k for k, p in enumerate(merges) if p in set(itertools.pairwise(ids))), None)
        if best is None:
            return ids
        out = []
        for i in ids:
            if out and (out[-1], i) == tuple(merges[best]):
                out[-1] = 256 + best
            else:
                out.append(i)
        return merged(out)

    known = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    found = []
    for part in _parts(text, special):
        found += (
            [known[part]]
            if part in known
            else [i for piece in split_pieces(part) for i in merged(list(piece))]
        )
    return found


def decode_recursive(ids, merges, special=()):
    def of(i):
        if i < 0 or i >= 256 + len(merges) + len(special):
            raise ValueError(i)
        if i < 256:
            return bytes((i,))
        if i < 256 + len(merges):
            return of(merges[i - 256][0]) + of(merges[i - 256][1])
        return special[i - 256 - len(merges)].encode()

    return b"".join(map(of, ids))


def decode_dict(ids, merges, special=()):
    names = {i: bytes([i]) for i in range(256)}
    for k, (a, b) in enumerate(merges, 256):
        names[k] = names[a] + names[b]
    names.update(enumerate((s.encode("utf-8") for s in special), len(names)))
    out = bytearray()
    for i in ids:
        if i not in names:
            raise ValueError(f"no id {i}")
        out.extend(names[i])
    return bytes(out)


def decode_stack(ids, merges, special=()):
    stack, out, size = list(ids)[::-1], [], 256 + len(merges)
    if stack and (min(stack) < 0 or max(stack) >= size + len(special)):
        raise ValueError("an id that is none")
    while stack:
        i = stack.pop()
        if i < 256:
            out.append(i)
        elif i < size:
            stack += reversed(merges[i - 256])
        else:
            out += special[i - size].encode()
    return bytes(out)


# Unigram


def unigram_recursive(text, log_probs):
    if not log_probs:
        raise ValueError("no pieces")
    low = min(log_probs.values()) - 10

    @functools.cache
    def best(end):
        if not end:
            return 0.0, ()
        found = []
        for start in range(end):
            piece = text[start:end]
            if piece in log_probs:
                found.append((best(start)[0] + log_probs[piece], -start, piece))
            elif start == end - 1:
                found.append((best(start)[0] + low, -start, None))
        score, start, piece = max(found, key=lambda f: f[:2])
        return score, (*best(-start)[1], (text[-start:end], piece is None))

    out = []
    for unknown, group in itertools.groupby(best(len(text))[1], key=lambda p: p[1]):
        pieces = [piece for piece, _ in group]
        out += ["".join(pieces)] if unknown else pieces
    return out


def unigram_forward(text, log_probs):
    """From each start to all ends behind it."""
    if not log_probs:
        raise ValueError("no pieces")
    low = min(log_probs.values()) - 10
    best = [(-math.inf, 0)] * (len(text) + 1)
    best[0] = (0.0, 0)
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            score = log_probs.get(text[start:end])
            if score is None and end == start + 1:
                score = low
            if score is not None and best[start][0] + score > best[end][0]:
                best[end] = best[start][0] + score, start
    pieces, end = [], len(text)
    while end > 0:
        start = best[end][1]
        if pieces and pieces[0] not in log_probs and text[start:end] not in log_probs:
            pieces[0] = text[start:end] + pieces[0]
        else:
            pieces.insert(0, text[start:end])
        end = start
    return pieces


def unigram_whole(text, log_probs):
    """Keeps the segmentations themselves."""
    if not log_probs:
        raise ValueError("no pieces")
    low, ways = min(log_probs.values()) - 10, {0: (0.0, [])}
    for end in range(1, len(text) + 1):
        for start in range(end):
            piece = text[start:end]
            if piece not in log_probs and len(piece) > 1:
                continue
            score = ways[start][0] + log_probs.get(piece, low)
            if end not in ways or score > ways[end][0]:
                ways[end] = score, [*ways[start][1], piece]
    out = []
    for piece in ways[len(text)][1]:
        if out and piece not in log_probs and out[-1] not in log_probs:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def unigram_everything(text, log_probs):
    """All segmentations."""
    if not log_probs:
        raise ValueError("no pieces")
    low = min(log_probs.values()) - 10

    def ways(end):
        if not end:
            return [(0.0, [])]
        found = []
        for start in range(end):
            piece = text[start:end]
            if piece in log_probs or len(piece) == 1:
                score = log_probs.get(piece, low)
                found += [(s + score, [*p, piece]) for s, p in ways(start)]
        return found

    pieces = max(ways(len(text)), key=lambda way: way[0])[1]
    groups = itertools.groupby(pieces, key=lambda p: p not in log_probs)
    return [p for unknown, g in groups for p in (["".join(g)] if unknown else g)]


# Logits


def tied_einsum(hidden, embedding):
    return torch.einsum("...c,vc->...v", hidden, embedding)


def tied_linear(hidden, embedding):
    return F.linear(hidden, embedding)


def tied_matmul(hidden, embedding):
    return torch.matmul(hidden, embedding.transpose(0, 1))


def tied_broadcast(hidden, embedding):
    return (hidden[..., None, :] * embedding).sum(-1)


def tied_twice(hidden, embedding):
    return (hidden @ embedding.mT + hidden @ embedding.mT) / 2


def tied_numpy(hidden, embedding):
    wide = torch.float32 if hidden.dtype == torch.bfloat16 else hidden.dtype
    h, e = (t.detach().to(wide).numpy() for t in (hidden, embedding))
    return torch.from_numpy(np.asarray(h @ e.T)).to(hidden.dtype)


# Adaptive softmax


def _head(hidden, head, tails):
    frequent = len(head) - len(tails)
    if frequent <= 0:
        raise ValueError("no frequent token")
    return frequent, torch.log_softmax(F.linear(hidden, head), -1)


def adaptive_filled(hidden, head, tails):
    frequent, scores = _head(hidden, head, tails)
    size = frequent + sum(len(up) for _, up in tails)
    out = hidden.new_empty(*hidden.shape[:-1], size)
    out[..., :frequent] = scores[..., :frequent]
    for i, (down, up) in enumerate(tails):
        end = frequent + sum(len(u) for _, u in tails[: i + 1])
        within = F.linear(F.linear(hidden, down), up)
        within = within - within.logsumexp(-1, keepdim=True)
        out[..., end - len(up) : end] = within + scores[..., frequent + i].unsqueeze(-1)
    return out


def adaptive_split(hidden, head, tails):
    frequent, scores = _head(hidden, head, tails)
    first, clusters = scores.split([frequent, len(tails)], dim=-1)
    parts = [first]
    for cluster, (down, up) in zip(clusters.unbind(-1), tails, strict=True):
        parts.append(F.log_softmax((hidden @ down.T) @ up.T, -1) + cluster[..., None])
    return torch.cat(parts, -1)


def adaptive_einsum(hidden, head, tails):
    frequent, scores = _head(hidden, head, tails)
    parts = list(scores[..., :frequent].split(1, -1))
    for i, (down, up) in enumerate(tails, frequent):
        within = torch.einsum("...d,vd->...v", torch.einsum("...c,dc->...d", hidden, down), up)
        parts.append(within.log_softmax(-1) + scores[..., i : i + 1])
    return torch.cat(parts, -1)


def adaptive_matrix_first(hidden, head, tails):
    """The two matrices of a cluster become one, which is as large as a full softmax's."""
    frequent, scores = _head(hidden, head, tails)
    parts = [scores[..., :frequent]]
    for i, (down, up) in enumerate(tails):
        within = (hidden @ (up @ down).mT).log_softmax(-1)
        parts.append(within + scores[..., frequent + i, None])
    return torch.cat(parts, -1)


def adaptive_down_twice(hidden, head, tails):
    """The small product of each cluster is made twice."""
    frequent, scores = _head(hidden, head, tails)
    parts = [scores[..., :frequent]]
    for i, (down, up) in enumerate(tails):
        small = (hidden @ down.mT + hidden @ down.mT) / 2
        parts.append((small @ up.mT).log_softmax(-1) + scores[..., frequent + i, None])
    return torch.cat(parts, -1)


def adaptive_numpy(hidden, head, tails):
    wide = torch.float32 if hidden.dtype == torch.bfloat16 else hidden.dtype
    h, w = (t.detach().to(wide).numpy() for t in (hidden, head))
    frequent = len(w) - len(tails)
    if frequent < 1:
        raise ValueError("no frequent token")

    def normalised(x):
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    scores = normalised(h @ w.T)
    parts = [scores[..., :frequent]]
    for i, (down, up) in enumerate(tails):
        d, u = (t.detach().to(wide).numpy() for t in (down, up))
        parts.append(normalised(h @ d.T @ u.T) + scores[..., frequent + i, None])
    return torch.from_numpy(np.concatenate(parts, -1)).to(hidden.dtype)


RIGHT = {
    "train_bpe": [train_dicts, train_sorted, train_positions],
    "bpe_encode": [encode_each_merge, encode_first_place, encode_recursive],
    "bpe_decode": [decode_recursive, decode_dict, decode_stack],
    "unigram_segment": [unigram_recursive, unigram_forward, unigram_whole],
    "tied_logits": [tied_einsum, tied_linear, tied_matmul],
    "adaptive_log_prob": [adaptive_filled, adaptive_split, adaptive_einsum],
}
NUMPY = {"tied_logits": tied_numpy, "adaptive_log_prob": adaptive_numpy}
LIBRARY = {}
DEAR = {
    "train_bpe": [train_again, train_again_in_c],
    "unigram_segment": [unigram_everything],
    "tied_logits": [tied_broadcast, tied_twice],
    "adaptive_log_prob": [adaptive_matrix_first, adaptive_down_twice],
}


# Wrong, and no trap


def train_two(pieces, num_merges):
    return train_dicts(pieces, num_merges)[:2]


def train_reversed(pieces, num_merges):
    return train_dicts(pieces, num_merges)[::-1]


def train_left_id_only(pieces, num_merges):
    return [(a, a) for a, _ in train_dicts(pieces, num_merges)]


def encode_upper(text, merges, special=()):
    return encode_each_merge(text.upper(), merges, special)


def encode_reversed(text, merges, special=()):
    return encode_each_merge(text, merges, special)[::-1]


def encode_stripped(text, merges, special=()):
    return encode_each_merge(text.strip(), merges, special)


def decode_stripped(ids, merges, special=()):
    return decode_dict(ids, merges, special).strip()


def decode_first(ids, merges, special=()):
    return decode_dict(ids[:1], merges, special)


def decode_reversed(ids, merges, special=()):
    return decode_dict(ids, merges, special)[::-1]


def unigram_characters(text, log_probs):
    return list(text)


def unigram_one(text, log_probs):
    return [text]


def unigram_pairs(text, log_probs):
    return [text[i : i + 2] for i in range(0, len(text), 2)]


def tied_halved(hidden, embedding):
    return tied_linear(hidden, embedding) / 2


def tied_sum(hidden, embedding):
    return tied_linear(hidden, embedding) + embedding.sum(-1)


def tied_zero(hidden, embedding):
    return tied_linear(hidden, embedding) * 0


def adaptive_half(hidden, head, tails):
    return adaptive_split(hidden, head, tails) / 2


def adaptive_swapped(hidden, head, tails):
    return adaptive_split(hidden, head, tails).flip(-1)


def adaptive_positive(hidden, head, tails):
    return -adaptive_split(hidden, head, tails)


WRONG = {
    "train_bpe": [train_two, train_reversed, train_left_id_only],
    "bpe_encode": [encode_upper, encode_reversed, encode_stripped],
    "bpe_decode": [decode_stripped, decode_first, decode_reversed],
    "unigram_segment": [unigram_characters, unigram_one, unigram_pairs],
    "tied_logits": [tied_halved, tied_sum, tied_zero],
    "adaptive_log_prob": [adaptive_half, adaptive_swapped, adaptive_positive],
}
