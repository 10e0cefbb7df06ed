"""Chapter 6's wrong answers, written by one who had not seen the traps."""

from collections import Counter
from itertools import pairwise

import regex
import torch
from fresh import answer
from torch.nn import functional as F

from tutor.tokens import split_pieces


def merge(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


# ---- train_bpe (naive trainer with variations; contract lost besides)
# recount each merge: contract only
@answer()
def train_bpe__w01(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    merges = []
    for k in range(num_merges):
        c = Counter()
        for w, n in words:
            for q in pairwise(w):
                c[q] += n
        if not c:
            break
        best = min(c, key=lambda q: (-c[q], q))
        merges.append(best)
        words = [(merge(w, best, 256 + k), n) for w, n in words]
    return merges


# Counter.most_common: first met
@answer("ties by the order of the text")
def train_bpe__w02(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    merges = []
    for k in range(num_merges):
        c = Counter()
        for w, n in words:
            for q in pairwise(w):
                c[q] += n
        if not c:
            break
        best = c.most_common(1)[0][0]
        merges.append(best)
        words = [(merge(w, best, 256 + k), n) for w, n in words]
    return merges


# stops at count 1
@answer("pairs that occur once are left")
def train_bpe__w03(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    merges = []
    for k in range(num_merges):
        c = Counter()
        for w, n in words:
            for q in pairwise(w):
                c[q] += n
        if not c or max(c.values()) < 2:
            break
        best = min(c, key=lambda q: (-c[q], q))
        merges.append(best)
        words = [(merge(w, best, 256 + k), n) for w, n in words]
    return merges


# ignores the counts: weight 1
@answer("each piece counted once")
def train_bpe__w04(pieces, num_merges):
    words = [list(p) for p in pieces]
    merges = []
    for k in range(num_merges):
        c = Counter(q for w in words for q in pairwise(w))
        if not c:
            break
        best = min(c, key=lambda q: (-c[q], q))
        merges.append(best)
        words = [merge(w, best, 256 + k) for w in words]
    return merges


# new pairs not counted: counts of removed ones fall, new pairs never come
@answer("new pairs not counted")
def train_bpe__w05(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    c = Counter()
    for w, n in words:
        for q in pairwise(w):
            c[q] += n
    merges = []
    for k in range(num_merges):
        live = {q: n for q, n in c.items() if n > 0}
        if not live:
            break
        best = min(live, key=lambda q: (-live[q], q))
        merges.append(best)
        new = []
        for w, n in words:
            for q in pairwise(w):
                c[q] -= n
            w = merge(w, best, 256 + k)
            for q in pairwise(w):
                if q in c:
                    c[q] += n
            new.append((w, n))
        words = new
    return merges


# old neighbours not taken out: only the merged pair is removed
@answer("the neighbours still counted")
def train_bpe__w06(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    c = Counter()
    for w, n in words:
        for q in pairwise(w):
            c[q] += n
    merges = []
    for k in range(num_merges):
        if not c:
            break
        best = min(c, key=lambda q: (-c[q], q))
        merges.append(best)
        del c[best]
        new = []
        for w, n in words:
            m = merge(w, best, 256 + k)
            if m != w:
                for q in pairwise(m):
                    if 256 + k in q:
                        c[q] += n
            new.append((m, n))
        words = new
    return merges


# pairs with a count of 0 stay in the counts
@answer("pairs merged that are used up")
def train_bpe__w07(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    c = Counter()
    for w, n in words:
        for q in pairwise(w):
            c[q] += n
    merges = []
    for k in range(num_merges):
        if not c:
            break
        best = min(c, key=lambda q: (-c[q], q))
        merges.append(best)
        new = []
        for w, n in words:
            for q in pairwise(w):
                c[q] -= n
            m = merge(w, best, 256 + k)
            for q in pairwise(m):
                c[q] += n
            new.append((m, n))
        words = new
    return merges


# returns bytes pairs
@answer("pairs of bytes instead of ids")
def train_bpe__w08(pieces, num_merges):
    words = [([bytes([b]) for b in p], n) for p, n in pieces.items()]
    merges = []
    for _ in range(num_merges):
        c = Counter()
        for w, n in words:
            for q in pairwise(w):
                c[q] += n
        if not c:
            break
        best = min(c, key=lambda q: (-c[q], q))
        merges.append(best)
        words = [(merge(w, best, best[0] + best[1]), n) for w, n in words]
    return merges


# ids in a string with spaces, and replaced there
@answer("ids replaced as text")
def train_bpe__w09(pieces, num_merges):
    words = {" ".join(map(str, p)): n for p, n in pieces.items()}
    merges = []
    for k in range(num_merges):
        c = Counter()
        for w, n in words.items():
            ids = list(map(int, w.split()))
            for q in pairwise(ids):
                c[q] += n
        if not c:
            break
        best = min(c, key=lambda q: (-c[q], q))
        merges.append(best)
        words = {w.replace(f"{best[0]} {best[1]}", str(256 + k)): n for w, n in words.items()}
    return merges


# break ties: by smallest right id first
@answer("the right ids compared first")
def train_bpe__w10(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    merges = []
    for k in range(num_merges):
        c = Counter()
        for w, n in words:
            for q in pairwise(w):
                c[q] += n
        if not c:
            break
        best = min(c, key=lambda q: (-c[q], q[::-1]))
        merges.append(best)
        words = [(merge(w, best, 256 + k), n) for w, n in words]
    return merges


# best by the bytes of the token, ties by bytes
@answer("the largest of equally frequent pairs")
def train_bpe__w11(pieces, num_merges):
    words = [(list(p), n) for p, n in pieces.items()]
    tok = [bytes([b]) for b in range(256)]
    merges = []
    for k in range(num_merges):
        c = Counter()
        for w, n in words:
            for q in pairwise(w):
                c[q] += n
        if not c:
            break
        best = max(c, key=lambda q: (c[q], tok[q[0]], tok[q[1]]))
        merges.append(best)
        tok.append(tok[best[0]] + tok[best[1]])
        words = [(merge(w, best, 256 + k), n) for w, n in words]
    return merges


# ---- encode
def cut(text, special):
    b = text.encode() if isinstance(text, str) else text
    if not special:
        return [b]
    return regex.split(
        b"("
        + b"|".join(regex.escape(s.encode()) for s in sorted(special, key=len, reverse=True))
        + b")",
        b,
    )


# merges in order over the whole part, pieces ignored
@answer("across the borders of pieces")
def bpe_encode__w01(text, merges, special=()):
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(sp[part])
            continue
        w = list(part)
        for k, p in enumerate(merges):
            w = merge(w, tuple(p), 256 + k)
        out += w
    return out


# special ids by sorted order
@answer("the ids of special tokens")
def bpe_encode__w02(text, merges, special=()):
    special = sorted(special, key=len, reverse=True)
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                w = merge(w, tuple(p), 256 + k)
            out += w
    return out


# regex not escaped
@answer("a special token read as a pattern")
def bpe_encode__w03(text, merges, special=()):
    b = text.encode() if isinstance(text, str) else text
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    parts = (
        regex.split(b"(" + b"|".join(sorted(sp, key=len, reverse=True)) + b")", b)
        if special
        else [b]
    )
    out = []
    for part in parts:
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                w = merge(w, tuple(p), 256 + k)
            out += w
    return out


# the longest token from the left, over all pieces
@answer("the longest token")
def bpe_encode__w04(text, merges, special=()):
    tok = [bytes([i]) for i in range(256)]
    for a, b in merges:
        tok.append(tok[a] + tok[b])
    tok += [s.encode() for s in special]
    ids = {t: i for i, t in enumerate(tok)}
    raw = text.encode() if isinstance(text, str) else text
    out, i = [], 0
    L = max(map(len, tok))
    while i < len(raw):
        for n in range(min(L, len(raw) - i), 0, -1):
            if raw[i : i + n] in ids:
                out.append(ids[raw[i : i + n]])
                i += n
                break
    return out


# text decode strict
@answer("bytes that have to be text")
def bpe_encode__w05(text, merges, special=()):
    if isinstance(text, bytes):
        text = text.decode()
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                w = merge(w, tuple(p), 256 + k)
            out += w
    return out


# latin-1 for bytes
@answer("bytes by way of text")
def bpe_encode__w06(text, merges, special=()):
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                w = merge(w, tuple(p), 256 + k)
            out += w
    return out


# each merge at its first place alone
@answer("only the first pair of a piece")
def bpe_encode__w07(text, merges, special=()):
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                for i in range(len(w) - 1):
                    if (w[i], w[i + 1]) == tuple(p):
                        w[i : i + 2] = [256 + k]
                        break
            out += w
    return out


# the bytes of the tokens instead of their ids
@answer("tokens instead of their ids")
def bpe_encode__w08(text, merges, special=()):
    tok = [bytes([i]) for i in range(256)]
    for a, b in merges:
        tok.append(tok[a] + tok[b])
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(part)
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                w = merge(w, tuple(p), 256 + k)
            out += [tok[i] for i in w]
    return out


# special only where the whole text is one
@answer("special tokens merged like text")
def bpe_encode__w09(text, merges, special=()):
    raw = text.encode() if isinstance(text, str) else text
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for piece in split_pieces(raw):
        if piece in sp:
            out.append(sp[piece])
            continue
        w = list(piece)
        for k, p in enumerate(merges):
            w = merge(w, tuple(p), 256 + k)
        out += w
    return out


# merges in reverse order
@answer("the highest rank first")
def bpe_encode__w10(text, merges, special=()):
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in reversed(list(enumerate(merges))):
                w = merge(w, tuple(p), 256 + k)
            out += w
    return out


# special cut out shortest first
@answer("special tokens in the order given")
def bpe_encode__w11(text, merges, special=()):
    raw = text.encode() if isinstance(text, str) else text
    sp = {s.encode(): 256 + len(merges) + j for j, s in enumerate(special)}
    parts = (
        regex.split(b"(" + b"|".join(regex.escape(s) for s in sorted(sp, key=len)) + b")", raw)
        if special
        else [raw]
    )
    out = []
    for part in parts:
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                w = merge(w, tuple(p), 256 + k)
            out += w
    return out


# specials ids after bytes and before merges shift merges up
@answer("the ids of special tokens")
def bpe_encode__w12(text, merges, special=()):
    sp = {s.encode(): 256 + j for j, s in enumerate(special)}
    out = []
    for part in cut(text, special):
        if part in sp:
            out.append(sp[part])
            continue
        for piece in split_pieces(part):
            w = list(piece)
            for k, p in enumerate(merges):
                w = merge(w, tuple(p), 256 + k)
            out += [i if i < 256 else i + len(special) for i in w]
    return out


# ---- decode
def toks(merges, special):
    t = [bytes([i]) for i in range(256)]
    for a, b in merges:
        t.append(t[a] + t[b])
    return t + [s.encode() for s in special]


# returns str with replacement
@answer("text instead of bytes")
def bpe_decode__w01(ids, merges, special=()):
    t = toks(merges, special)
    if any(i < 0 or i >= len(t) for i in ids):
        raise ValueError
    return b"".join(t[i] for i in ids).decode("utf-8", errors="replace")


# each token decoded with replace and encoded again
@answer("each token decoded by itself")
def bpe_decode__w02(ids, merges, special=()):
    t = toks(merges, special)
    if any(i < 0 or i >= len(t) for i in ids):
        raise ValueError
    return "".join(t[i].decode("utf-8", errors="replace") for i in ids).encode()


# negative ids accepted
@answer("negative ids from the end")
def bpe_decode__w03(ids, merges, special=()):
    t = toks(merges, special)
    try:
        return b"".join(t[i] for i in ids)
    except IndexError:
        raise ValueError("unknown") from None


# unknown ids skipped
@answer("unknown ids skipped")
def bpe_decode__w04(ids, merges, special=()):
    t = dict(enumerate(toks(merges, special)))
    return b"".join(t.get(i, b"") for i in ids)


# KeyError for unknown
@answer()
def bpe_decode__w05(ids, merges, special=()):
    t = dict(enumerate(toks(merges, special)))
    return b"".join(t[i] for i in ids)


# special dropped
@answer("special tokens left out")
def bpe_decode__w06(ids, merges, special=()):
    t = toks(merges, special)
    if any(i < 0 or i >= len(t) for i in ids):
        raise ValueError
    return b"".join(t[i] for i in ids if i < 256 + len(merges))


# chr(i).encode() for bytes
@answer("bytes taken for characters")
def bpe_decode__w07(ids, merges, special=()):
    t = [chr(i).encode() for i in range(256)]
    for a, b in merges:
        t.append(t[a] + t[b])
    t += [s.encode() for s in special]
    if any(i < 0 or i >= len(t) for i in ids):
        raise ValueError
    return b"".join(t[i] for i in ids)


# > for >=: the first unknown id gets an IndexError
@answer()
def bpe_decode__w08(ids, merges, special=()):
    t = toks(merges, special)
    for i in ids:
        if i < 0 or i > len(t):
            raise ValueError
    return b"".join(t[i] for i in ids)


# merges expanded one level
@answer("one level deep")
def bpe_decode__w09(ids, merges, special=()):
    n = 256 + len(merges)
    out = []
    for i in ids:
        if not 0 <= i < n + len(special):
            raise ValueError
        if i < 256:
            out.append(bytes([i]))
        elif i < n:
            out.append(bytes(x for x in merges[i - 256] if x < 256))
        else:
            out.append(special[i - n].encode())
    return b"".join(out)


# joined with spaces
@answer("a space between tokens")
def bpe_decode__w10(ids, merges, special=()):
    t = toks(merges, special)
    if any(i < 0 or i >= len(t) for i in ids):
        raise ValueError
    return b" ".join(t[i] for i in ids)


# ---- unigram
def fuse(ps, lp):
    out, last = [], False
    for p in ps:
        u = p not in lp
        if u and last:
            out[-1] += p
        else:
            out.append(p)
        last = u
    return out


def viterbi(text, lp, unk, longest=10**9, strict=True):
    best, back = [0.0], [0]
    for e in range(1, len(text) + 1):
        b = None
        for s in range(max(0, e - longest), e):
            p = text[s:e]
            v = lp[p] if p in lp else unk if e - s == 1 else None
            if v is None:
                continue
            v += best[s]
            if b is None or (v > b[0] if strict else v >= b[0]):
                b = (v, s)
        best.append(b[0])
        back.append(b[1])
    out, e = [], len(text)
    while e:
        out.append(text[back[e] : e])
        e = back[e]
    return out[::-1]


# unknown 10 (positive): min + 10
@answer("unknown too likely")
def unigram_segment__w01(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(viterbi(text, log_probs, min(log_probs.values()) + 10), log_probs)


# unknown is -10 flat
@answer("unknown too likely")
def unigram_segment__w02(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(viterbi(text, log_probs, -10.0), log_probs)


# unknown = max - 10
@answer("unknown too likely")
def unigram_segment__w03(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(viterbi(text, log_probs, max(log_probs.values()) - 10), log_probs)


# unk replaced by <unk>
@answer("unknown characters replaced")
def unigram_segment__w04(text, log_probs):
    if not log_probs:
        raise ValueError
    return [
        p if p in log_probs else "<unk>"
        for p in fuse(viterbi(text, log_probs, min(log_probs.values()) - 10), log_probs)
    ]


# ties to the shortest last piece
@answer("the shorter of equally likely ones")
def unigram_segment__w05(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(viterbi(text, log_probs, min(log_probs.values()) - 10, strict=False), log_probs)


# pieces at most 4 long
@answer()
def unigram_segment__w06(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(viterbi(text, log_probs, min(log_probs.values()) - 10, longest=4), log_probs)


# fewest pieces
@answer("the fewest pieces")
def unigram_segment__w07(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(viterbi(text, {p: -1.0 for p in log_probs}, -11.0), log_probs)


# mean log-prob instead of the sum: divided by length of piece
@answer("divided by the piece's length")
def unigram_segment__w08(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(
        viterbi(
            text,
            {p: v / max(1, len(p)) for p, v in log_probs.items()},
            min(log_probs.values()) - 10,
        ),
        log_probs,
    )


# no ValueError for empty; default unknown
@answer()
def unigram_segment__w09(text, log_probs):
    low = min(log_probs.values(), default=0.0) - 10
    return fuse(viterbi(text, log_probs, low), log_probs)


# unknown run as one piece at -10 once
@answer("unknown characters for the price of one")
def unigram_segment__w10(text, log_probs):
    if not log_probs:
        raise ValueError
    low = min(log_probs.values()) - 10
    best, back = [0.0], [0]
    for e in range(1, len(text) + 1):
        b = None
        for s in range(e):
            p = text[s:e]
            if p in log_probs:
                v = log_probs[p]
            elif all(ch not in log_probs for ch in p):
                v = low
            else:
                continue
            if b is None or best[s] + v > b[0]:
                b = (best[s] + v, s)
        if b is None:
            b = (best[e - 1] + low, e - 1)
        best.append(b[0])
        back.append(b[1])
    out, e = [], len(text)
    while e:
        out.append(text[back[e] : e])
        e = back[e]
    return fuse(out[::-1], log_probs)


# characters alone
@answer("characters alone")
def unigram_segment__w11(text, log_probs):
    if not log_probs:
        raise ValueError
    return fuse(list(text), log_probs)


# ---- tied


# scaled by sqrt C
@answer("divided by √C")
def tied_logits__w01(hidden, embedding):
    return hidden @ embedding.mT / embedding.shape[-1] ** 0.5


# scaled up by sqrt C
@answer("multiplied by √C")
def tied_logits__w02(hidden, embedding):
    return hidden @ embedding.mT * embedding.shape[-1] ** 0.5


# softmax
@answer("probabilities instead of logits")
def tied_logits__w03(hidden, embedding):
    return (hidden @ embedding.mT).softmax(-1)


# log softmax
@answer("probabilities instead of logits")
def tied_logits__w04(hidden, embedding):
    return (hidden @ embedding.mT).log_softmax(-1)


# cosine
@answer("cosines")
def tied_logits__w05(hidden, embedding):
    return F.normalize(hidden, dim=-1) @ F.normalize(embedding, dim=-1).mT


# no transposition
@answer("not transposed")
def tied_logits__w06(hidden, embedding):
    return hidden @ embedding


# detached embedding
@answer("tied by its numbers alone")
def tied_logits__w07(hidden, embedding):
    return hidden @ embedding.detach().mT


# V first
@answer()
def tied_logits__w08(hidden, embedding):
    return embedding @ hidden.mT


# argmax
@answer()
def tied_logits__w09(hidden, embedding):
    return (hidden @ embedding.mT).argmax(-1)


# reshape instead of transpose
@answer("not transposed")
def tied_logits__w10(hidden, embedding):
    return hidden @ embedding.reshape(embedding.shape[1], -1)


# ---- adaptive


# no cluster log prob added
@answer("the cluster's probability forgotten")
def adaptive_log_prob__w01(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat([s[..., :n]] + [(hidden @ d.mT @ u.mT).log_softmax(-1) for d, u in tails], -1)


# cluster entries left in the output
@answer("the cluster's token counted twice")
def adaptive_log_prob__w02(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s]
        + [
            s[..., n + i, None] + (hidden @ d.mT @ u.mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# log softmax over frequent only
@answer("the head normalised without its clusters")
def adaptive_log_prob__w03(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    raw = hidden @ head.mT
    s = raw.log_softmax(-1)
    return torch.cat(
        [raw[..., :n].log_softmax(-1)]
        + [
            s[..., n + i, None] + (hidden @ d.mT @ u.mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# clusters from the wrong end
@answer("clusters from the wrong end")
def adaptive_log_prob__w04(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s[..., :n]]
        + [
            s[..., -1 - i, None] + (hidden @ d.mT @ u.mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# clusters first in head
@answer("clusters before the frequent tokens")
def adaptive_log_prob__w05(hidden, head, tails):
    k = len(tails)
    if len(head) <= k:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s[..., k:]]
        + [
            s[..., i, None] + (hidden @ d.mT @ u.mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# softmax then log
@answer()
def adaptive_log_prob__w06(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).softmax(-1).log()
    return torch.cat(
        [s[..., :n]]
        + [
            s[..., n + i, None] + (hidden @ d.mT @ u.mT).softmax(-1).log()
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# up @ down combined first (contract)
@answer()
def adaptive_log_prob__w07(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s[..., :n]]
        + [
            s[..., n + i, None] + (hidden @ (u @ d).mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# probabilities
@answer("probabilities without logarithms")
def adaptive_log_prob__w08(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).softmax(-1)
    return torch.cat(
        [s[..., :n]]
        + [
            s[..., n + i, None] * (hidden @ d.mT @ u.mT).softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# raw logits of cluster added (no log softmax within)
@answer("scores added as they are")
def adaptive_log_prob__w09(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s[..., :n]]
        + [s[..., n + i, None] + hidden @ d.mT @ u.mT for i, (d, u) in enumerate(tails)],
        -1,
    )


# log softmax over everything at the end
@answer("one softmax for all tokens")
def adaptive_log_prob__w10(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = hidden @ head.mT
    return torch.cat(
        [s[..., :n]]
        + [s[..., n + i, None] + hidden @ d.mT @ u.mT for i, (d, u) in enumerate(tails)],
        -1,
    ).log_softmax(-1)


# no error
@answer()
def adaptive_log_prob__w11(hidden, head, tails):
    n = len(head) - len(tails)
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s[..., :n]]
        + [
            s[..., n + i, None] + (hidden @ d.mT @ u.mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# always the first cluster's row
@answer("one cluster for all")
def adaptive_log_prob__w12(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s[..., :n]]
        + [
            s[..., n, None] + (hidden @ d.mT @ u.mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# relu between
@answer("something between down and up")
def adaptive_log_prob__w13(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    return torch.cat(
        [s[..., :n]]
        + [
            s[..., n + i, None] + ((hidden @ d.mT).relu() @ u.mT).log_softmax(-1)
            for i, (d, u) in enumerate(tails)
        ],
        -1,
    )


# most rare cluster first in the output
@answer("rare tokens first")
def adaptive_log_prob__w14(hidden, head, tails):
    n = len(head) - len(tails)
    if n < 1:
        raise ValueError
    s = (hidden @ head.mT).log_softmax(-1)
    parts = [
        s[..., n + i, None] + (hidden @ d.mT @ u.mT).log_softmax(-1)
        for i, (d, u) in enumerate(tails)
    ]
    return torch.cat([s[..., :n], *parts[::-1]], -1)
