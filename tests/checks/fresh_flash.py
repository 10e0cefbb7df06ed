"""Chapter 11's wrong answers as people give them, each with the names of the traps that it should
get, by those who wrote the traps: not blind."""

import math

import torch
from fresh import answer
from torch import Tensor
from torch.nn import functional as F

INF = float("inf")


def rows_needed(room: int, width: int) -> int:
    r = 0
    while (r + 1) ** 2 + 4 * (r + 1) * width <= room:
        r += 1
    return r


# Bytes


# fills the small memory with three kinds of rows, forgetting that the answer is summed there, too
@answer("three tiles of rows")
def attention_io_bytes__w01(num_tokens, width, sram_bytes, element_bytes=2):
    room = sram_bytes // element_bytes
    rows = 0
    step = 1 << 20
    while step:
        r = rows + step
        if r * r + 3 * r * width <= room:
            rows = r
        step //= 2
    rows = min(rows, num_tokens)
    if rows == 0:
        raise ValueError("nothing fits")
    n, d = num_tokens, width
    return (
        (4 * n * n + 4 * n * d) * element_bytes,
        (2 * n * d + math.ceil(n / rows) * 2 * n * d) * element_bytes,
    )


# takes the bytes of the memory for a count of numbers
@answer("bytes for numbers in the fast memory")
def attention_io_bytes__w02(num_tokens, width, sram_bytes, element_bytes=2):
    rows = math.isqrt(sram_bytes + 4 * width**2) - 2 * width
    if rows < 1:
        raise ValueError(sram_bytes)
    rows = min(rows, num_tokens)
    tiles = (num_tokens + rows - 1) // rows
    plain = 4 * num_tokens**2 + 4 * num_tokens * width
    return plain * element_bytes, (2 + 2 * tiles) * num_tokens * width * element_bytes


# counts the last, ragged tile of queries by its share
@answer("the last tile forgotten")
def attention_io_bytes__w03(num_tokens, width, sram_bytes, element_bytes=2):
    room = sram_bytes // element_bytes
    rows = min(math.isqrt(room + 4 * width**2) - 2 * width, num_tokens)
    if rows <= 0:
        raise ValueError("no row")
    plain = 4 * num_tokens * (num_tokens + width) * element_bytes
    return plain, int(2 * num_tokens * width * (1 + num_tokens / rows)) * element_bytes


# a memory without room is served all the same
@answer("no room is no error")
def attention_io_bytes__w04(num_tokens, width, sram_bytes, element_bytes=2):
    room = sram_bytes // element_bytes
    rows = max(1, min(math.isqrt(room + 4 * width**2) - 2 * width, num_tokens))
    plain = 4 * num_tokens * (num_tokens + width) * element_bytes
    tiled = 2 * num_tokens * width * (1 + -(-num_tokens // rows)) * element_bytes
    return plain, tiled


# the softmax is done in place of the scores, in the fast memory
@answer("not all passes over the matrix")
def attention_io_bytes__w05(num_tokens, width, sram_bytes, element_bytes=2):
    room = sram_bytes // element_bytes
    rows = min(math.isqrt(room + 4 * width**2) - 2 * width, num_tokens)
    if rows < 1:
        raise ValueError("no row")
    plain = 2 * num_tokens * num_tokens + 4 * num_tokens * width
    tiled = 2 * num_tokens * width * (1 + -(-num_tokens // rows))
    return plain * element_bytes, tiled * element_bytes


# The softmax of a stream


# no care for rows that have seen nothing
@answer("nothing minus nothing")
def online_softmax__w01(scores: Tensor, maximum: Tensor, total: Tensor):
    new_max = torch.max(maximum, scores.max(dim=-1).values)
    weights = torch.exp(scores - new_max.unsqueeze(-1))
    factor = torch.exp(maximum - new_max)
    return new_max, total * factor + weights.sum(dim=-1), weights, factor


# the total of before is not brought to the new unit
@answer("rescaling forgotten")
def online_softmax__w02(scores: Tensor, maximum: Tensor, total: Tensor):
    m = torch.maximum(maximum, scores.amax(-1))
    safe = torch.where(m == -INF, torch.zeros_like(m), m)
    w = torch.exp(scores - safe[..., None])
    return m, total + w.sum(-1), w, torch.exp(maximum - safe)


# the piece's own maximum
@answer("the maximum of this piece alone")
def online_softmax__w03(scores: Tensor, maximum: Tensor, total: Tensor):
    m = scores.amax(-1)
    safe = m.masked_fill(m == -INF, 0)
    w = (scores - safe[..., None]).exp()
    f = (maximum - safe).exp()
    return m, f * total + w.sum(-1), w, f


# hides the nan afterwards
@answer("nothing minus nothing")
def online_softmax__w04(scores: Tensor, maximum: Tensor, total: Tensor):
    m = torch.maximum(maximum, scores.amax(-1))
    w = torch.nan_to_num((scores - m[..., None]).exp())
    f = (maximum - m).exp()
    return m, total * f + w.sum(-1), w, f


# a very low number instead of -inf
@answer("a finite number for nothing")
def online_softmax__w05(scores: Tensor, maximum: Tensor, total: Tensor):
    m = torch.maximum(maximum, scores.amax(-1)).clamp(min=-1e4)
    w = (scores - m[..., None]).exp()
    f = (maximum - m).exp()
    return m, total * f + w.sum(-1), w, f


# returns a softmax of the piece
@answer("normalised in every piece")
def online_softmax__w06(scores: Tensor, maximum: Tensor, total: Tensor):
    m = torch.maximum(maximum, scores.amax(-1))
    safe = m.masked_fill(m == -INF, 0)
    w = (scores - safe[..., None]).exp()
    f = (maximum - safe).exp()
    s = w.sum(-1)
    return m, total * f + s, w / s[..., None], f


# exponentials without a maximum
@answer("no running maximum")
def online_softmax__w07(scores: Tensor, maximum: Tensor, total: Tensor):
    w = scores.exp()
    return torch.maximum(maximum, scores.amax(-1)), total + w.sum(-1), w, torch.ones_like(total)


# writes the new total into the old one
@answer("the caller's state overwritten")
def online_softmax__w08(scores: Tensor, maximum: Tensor, total: Tensor):
    m = torch.maximum(maximum, scores.amax(-1))
    safe = m.masked_fill(m == -INF, 0)
    w = (scores - safe[..., None]).exp()
    f = (maximum - safe).exp()
    total *= f
    total += w.sum(-1)
    return m, total, w, f


# Visible tiles


# query i stands at key i
@answer("aligned at the upper left")
def visible_tiles__w01(num_queries, num_keys, query_tile, key_tile):
    if query_tile < 1 or key_tile < 1:
        raise ValueError("tile")
    tiles = []
    for q0 in range(0, num_queries, query_tile):
        q1 = min(q0 + query_tile, num_queries)
        few, many = min(q0 + 1, num_keys), min(q1, num_keys)
        end = math.ceil(many / key_tile)
        tiles.append((end if few == num_keys else few // key_tile, end))
    return tiles


# the limit of the last query decides about whole tiles, too
@answer("whole for the last query alone")
def visible_tiles__w02(num_queries, num_keys, query_tile, key_tile):
    if query_tile < 1 or key_tile < 1:
        raise ValueError("tile")
    tiles = []
    for q0 in range(0, num_queries, query_tile):
        q1 = min(q0 + query_tile, num_queries)
        many = max(q1 + num_keys - num_queries, 0)
        end = math.ceil(many / key_tile)
        tiles.append((end if many == num_keys else many // key_tile, end))
    return tiles


# a tile without all of its keys is never whole
@answer("the ragged tile of keys is never whole")
def visible_tiles__w03(num_queries, num_keys, query_tile, key_tile):
    if min(query_tile, key_tile) <= 0:
        raise ValueError("tile")
    off = num_keys - num_queries
    out = []
    for i in range((num_queries + query_tile - 1) // query_tile):
        a, b = i * query_tile, min((i + 1) * query_tile, num_queries) - 1
        out.append((max(0, a + off + 1) // key_tile, -(-max(0, b + off + 1) // key_tile)))
    return out


# with more queries than keys the numbers go below 0
@answer("less than no key")
def visible_tiles__w04(num_queries, num_keys, query_tile, key_tile):
    if min(query_tile, key_tile) <= 0:
        raise ValueError("tile")
    off = num_keys - num_queries
    out = []
    for a in range(0, num_queries, query_tile):
        few, many = a + off + 1, min(a + query_tile, num_queries) + off
        end = -(-many // key_tile)
        out.append((end if few == num_keys else few // key_tile, end))
    return out


# the last tile of queries is taken to be full
@answer("queries that are not there")
def visible_tiles__w05(num_queries, num_keys, query_tile, key_tile):
    if min(query_tile, key_tile) <= 0:
        raise ValueError("tile")
    off = num_keys - num_queries
    out = []
    for a in range(0, num_queries, query_tile):
        few, many = max(a + off + 1, 0), max(a + query_tile + off, 0)
        end = -(-many // key_tile)
        out.append((end if few == num_keys else few // key_tile, end))
    return out


# Forward


def checked(q, k, v):
    if q.shape[-1] != k.shape[-1] or k.shape[:-1] != v.shape[:-1] or q.shape[-3] % k.shape[-3]:
        raise ValueError("shapes")


def tiled(q, k, v, causal, bq, bk, update, end, hide=-INF, place=None, scale=None, ranges=None):
    """Loops that several of the answers have in common: ``update(state, scores, values)``."""
    checked(q, k, v)
    n = q.shape[-3] // k.shape[-3]
    k, v = k.repeat_interleave(n, dim=-3), v.repeat_interleave(n, dim=-3)
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    tq, tk, d = q.shape[-2], k.shape[-2], q.shape[-1]
    outs, lses = [], []
    for i in range(0, tq, bq):
        qi = q[..., i : i + bq, :].to(wide)
        state = (
            torch.full(qi.shape[:-1], -INF, dtype=wide),
            torch.zeros(qi.shape[:-1], dtype=wide),
            torch.zeros(*qi.shape[:-1], v.shape[-1], dtype=wide),
        )
        for j in ranges(tk, bk) if ranges else range(0, tk, bk):
            s = qi @ k[..., j : j + bk, :].to(wide).transpose(-1, -2)
            s = s * (d**-0.5 if scale is None else scale)
            if causal:
                rows = torch.arange(i, i + s.shape[-2])[:, None] + (tk - tq)
                cols = torch.arange(j, j + s.shape[-1])[None]
                ok = cols <= rows if place is None else place(i, j, s, tq, tk)
                s = s.masked_fill(~ok, hide)
            state = update(state, s, v[..., j : j + bk, :].to(wide))
        o, lse = end(state)
        outs.append(o)
        lses.append(lse)
    return torch.cat(outs, -2).to(q.dtype), torch.cat(lses, -1)


def good_update(state, s, v):
    m, tot, acc = state
    new = torch.maximum(m, s.amax(-1))
    safe = torch.where(new == -INF, 0.0, new)
    p, c = torch.exp(s - safe[..., None]), torch.exp(m - safe)
    return new, tot * c + p.sum(-1), acc * c[..., None] + p @ v


def good_end(state):
    m, tot, acc = state
    return acc / torch.where(tot == 0, 1.0, tot)[..., None], m + torch.log(tot)


# the answer is not rescaled, the total is
@answer("rescaling forgotten")
def flash_forward__w01(q, k, v, causal=False, query_tile=128, key_tile=256):
    def update(state, s, v):
        m, tot, _ = good_update(state, s, v)
        p = torch.exp(s - torch.where(m == -INF, 0.0, m)[..., None])
        return m, tot, state[2] + p @ v

    return tiled(q, k, v, causal, query_tile, key_tile, update, good_end)


# a softmax in each tile, and their mean by hand
@answer("normalised in every tile")
def flash_forward__w02(q, k, v, causal=False, query_tile=128, key_tile=256):
    def update(state, s, v):
        m, tot, _ = good_update(state, s, v)
        p = torch.exp(s - torch.where(m == -INF, 0.0, m)[..., None])
        return m, tot, state[2] + (p / p.sum(-1, keepdim=True)) @ v

    def end(state):
        return state[2], state[0] + state[1].log()

    return tiled(q, k, v, causal, query_tile, key_tile, update, end)


# exponentials as they are
@answer("no running maximum")
def flash_forward__w03(q, k, v, causal=False, query_tile=128, key_tile=256):
    def update(state, s, v):
        p = s.exp()
        return torch.zeros_like(state[0]), state[1] + p.sum(-1), state[2] + p @ v

    return tiled(q, k, v, causal, query_tile, key_tile, update, good_end)


# -inf - -inf
@answer("nothing minus nothing")
def flash_forward__w04(q, k, v, causal=False, query_tile=128, key_tile=256):
    def update(state, s, v):
        m, tot, acc = state
        new = torch.maximum(m, s.max(-1).values)
        p, c = (s - new.unsqueeze(-1)).exp(), (m - new).exp()
        return new, c * tot + p.sum(-1), c.unsqueeze(-1) * acc + p @ v

    return tiled(q, k, v, causal, query_tile, key_tile, update, good_end)


# hides with a number, as many do
@answer("a finite number for nothing")
def flash_forward__w05(q, k, v, causal=False, query_tile=128, key_tile=256):
    return tiled(q, k, v, causal, query_tile, key_tile, good_update, good_end, hide=-1e9)


# whole tiles of keys only
@answer("the ragged tail of keys dropped")
def flash_forward__w06(q, k, v, causal=False, query_tile=128, key_tile=256):
    def whole(tk, bk):
        return range(0, tk // bk * bk, bk)

    return tiled(q, k, v, causal, query_tile, key_tile, good_update, good_end, ranges=whole)


# torch's is_causal, which begins at the upper left
@answer("aligned at the upper left")
def flash_forward__w07(q, k, v, causal=False, query_tile=128, key_tile=256):
    def place(i, j, s, tq, tk):
        ones = torch.ones(tq, tk, dtype=torch.bool).tril()
        return ones[i : i + s.shape[-2], j : j + s.shape[-1]]

    return tiled(q, k, v, causal, query_tile, key_tile, good_update, good_end, place=place)


# each tile has a triangle of its own
@answer("places within the tile")
def flash_forward__w08(q, k, v, causal=False, query_tile=128, key_tile=256):
    def place(i, j, s, tq, tk):
        return torch.ones(s.shape[-2:], dtype=torch.bool).tril()

    return tiled(q, k, v, causal, query_tile, key_tile, good_update, good_end, place=place)


# the scale is forgotten
@answer("no scale")
def flash_forward__w09(q, k, v, causal=False, query_tile=128, key_tile=256):
    return tiled(q, k, v, causal, query_tile, key_tile, good_update, good_end, scale=1.0)


# divides without looking
@answer("the row that may read nothing")
def flash_forward__w10(q, k, v, causal=False, query_tile=128, key_tile=256):
    def end(state):
        return state[2] / state[1][..., None], state[0] + state[1].log()

    return tiled(q, k, v, causal, query_tile, key_tile, good_update, end)


# a logarithm of the total alone
@answer("half of the log-sum-exp")
def flash_forward__w11(q, k, v, causal=False, query_tile=128, key_tile=256):
    def end(state):
        return good_end(state)[0], state[1].log()

    return tiled(q, k, v, causal, query_tile, key_tile, good_update, end)


# heads of a group lie H / G apart
@answer("groups that alternate")
def flash_forward__w12(q, k, v, causal=False, query_tile=128, key_tile=256):
    checked(q, k, v)
    n = q.shape[-3] // k.shape[-3]
    k, v = torch.cat([k] * n, dim=-3), torch.cat([v] * n, dim=-3)
    return tiled(q, k, v, causal, query_tile, key_tile, good_update, good_end)


# never looks at causal
@answer("never causal")
def flash_forward__w13(q, k, v, causal=False, query_tile=128, key_tile=256):
    return tiled(q, k, v, False, query_tile, key_tile, good_update, good_end)


# torch's own
@answer()
def flash_forward__w14(q, k, v, causal=False, query_tile=128, key_tile=256):
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    return tiled(q, k, v, causal, query_tile, key_tile, good_update, good_end)[
        0
    ] * 0 + out, out.sum(-1)


# Backward


def back(
    grad_out,
    q,
    k,
    v,
    out,
    lse,
    causal,
    bq,
    bk,
    weigh,
    less,
    mask=True,
    share=None,
    s=None,
    ahead=False,
):
    checked(q, k, v)
    n, g = q.shape[-3] // k.shape[-3], k.shape[-3]
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    kk, vv = (t.repeat_interleave(n, dim=-3).to(wide) for t in (k, v))
    tq, tk, scale = q.shape[-2], k.shape[-2], q.shape[-1] ** -0.5
    dq, dk, dv = torch.zeros_like(q, dtype=wide), torch.zeros_like(kk), torch.zeros_like(vv)
    for i in range(0, tq, bq):
        qi, gi, oi = (t[..., i : i + bq, :].to(wide) for t in (q, grad_out, out))
        li = lse[..., i : i + bq, None].to(wide)
        for j in range(0, tk, bk):
            kj, vj = kk[..., j : j + bk, :], vv[..., j : j + bk, :]
            scores = qi @ kj.mT * scale
            rows = torch.arange(i, i + scores.shape[-2])[:, None] + (tk - tq)
            later = torch.arange(j, j + scores.shape[-1])[None] > rows
            if causal and ahead:
                scores = scores.masked_fill(later, -INF)
            p = weigh(scores, li)
            if causal and mask:
                p = p.masked_fill(later, 0.0)
            dp = gi @ vj.mT
            ds = p * (dp - less(gi, oi, p, dp))
            dv[..., j : j + bk, :] += p.mT @ gi
            dk[..., j : j + bk, :] += ds.mT @ qi * (scale if s is None else s)
            dq[..., i : i + bq, :] += ds @ kj * (scale if s is None else s)
    share = share or (lambda t: t.unflatten(-3, (g, n)).sum(-3))
    return dq.to(q.dtype), share(dk).to(q.dtype), share(dv).to(q.dtype)


def by_lse(s, lse):
    return torch.exp(s - torch.where(lse == -INF, INF, lse))


def by_answer(g, o, p, dp):
    return (g * o).sum(-1, keepdim=True)


# chapter 3's sum, in each tile
@answer("δ of the tile alone")
def flash_backward__w01(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    def less(g, o, p, dp):
        return (p * dp).sum(-1, keepdim=True)

    return back(grad_out, q, k, v, out, lse, causal, query_tile, key_tile, by_lse, less)


# a softmax of the tile
@answer("a softmax of each tile")
def flash_backward__w02(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    def weigh(s, lse):
        return torch.softmax(s, -1)

    return back(grad_out, q, k, v, out, lse, causal, query_tile, key_tile, weigh, by_answer)


# the mask is for the way ahead
@answer("unmasked on the way back")
def flash_backward__w03(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    rest = (causal, query_tile, key_tile, by_lse, by_answer)
    return back(grad_out, q, k, v, out, lse, *rest, mask=False)


# hides the scores, and does not look at rows without a key
@answer("nothing minus nothing")
def flash_backward__w04(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    def weigh(s, lse):
        return (s - lse).exp()

    rest = (causal, query_tile, key_tile, weigh, by_answer)
    return back(grad_out, q, k, v, out, lse, *rest, mask=False, ahead=True)


# the gradients of a group's first head
@answer("one head of a group")
def flash_backward__w05(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    n = q.shape[-3] // k.shape[-3]
    rest = (causal, query_tile, key_tile, by_lse, by_answer)
    return back(grad_out, q, k, v, out, lse, *rest, share=lambda t: t[..., ::n, :, :])


# the scale is in the scores, and nowhere else
@answer("the scale forgotten on the way back")
def flash_backward__w06(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    rest = (causal, query_tile, key_tile, by_lse, by_answer)
    return back(grad_out, q, k, v, out, lse, *rest, s=1.0)


# no δ at all
@answer("δ forgotten")
def flash_backward__w07(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    def less(g, o, p, dp):
        return 0.0

    return back(grad_out, q, k, v, out, lse, causal, query_tile, key_tile, by_lse, less)


# powers over a power
@answer("the log-sum-exp as a power")
def flash_backward__w08(grad_out, q, k, v, out, lse, causal=False, query_tile=128, key_tile=256):
    def weigh(s, lse):
        return torch.where(lse == -INF, 0.0, s.exp() / lse.exp())

    return back(grad_out, q, k, v, out, lse, causal, query_tile, key_tile, weigh, by_answer)
