"""Chapter 9's wrong answers of a second trial, by one who had not seen the traps: a step, and a
prompt in chunks."""

import math

import torch
from fresh import answer

from tutor.alignment import masked_softmax
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.multihead import merge_heads, split_heads
from tutor.position import apply_rope

# decode_step


def _ask(x, keys, lengths, num_heads):
    if x.shape[1] != 1:
        raise ValueError(f"one token a row, not {x.shape[1]}")
    if num_heads % keys.shape[1]:
        raise ValueError(f"{keys.shape[1]} key heads do not divide {num_heads}")


def _seen(keys, lengths):
    """Which places of the cache, and the new token behind them, may be read."""
    keep = torch.arange(keys.shape[2], device=keys.device) < lengths[:, None]
    return torch.cat((keep, torch.ones_like(lengths, dtype=torch.bool)[:, None]), 1)[:, None, None]


def _read(q, keys, values, keep, num_heads):
    groups = num_heads // keys.shape[1]
    keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
    return merge_heads(scaled_dot_product_attention(q, keys, values, keep))


# the token stands at the longest row's place, in each row
@answer("one position for all rows")
def decode_step__t01(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths.max().expand(len(lengths))[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# the key is kept as it is, and turned when it is read
@answer("a key that is not turned is kept")
def decode_step__t02(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = split_heads(x @ w_k, keys.shape[1])
    v = split_heads(x @ w_v, keys.shape[1])
    everything = torch.cat((keys, apply_rope(k, place, theta)), 2)
    out = _read(q, everything, torch.cat((values, v), 2), _seen(keys, lengths), num_heads)
    return out @ w_out, k, v


# values are turned too
@answer("the value turned, too")
def decode_step__t03(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k, v = (apply_rope(split_heads(x @ w, keys.shape[1]), place, theta) for w in (w_k, w_v))
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# positions count from one
@answer("one position off")
def decode_step__t04(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = (lengths + 1)[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# the place after the last is read as well: <= in the place of <
@answer("one place too many")
def decode_step__t05(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    S = keys.shape[2]
    keep = torch.arange(S + 1) <= lengths[:, None]
    keep[:, S] = True
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), keep[:, None, None], num_heads
    )
    return out @ w_out, k, v


# no mask: what is left over is read as well
@answer("what is left over is read")
def decode_step__t06(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(q, torch.cat((keys, k), 2), torch.cat((values, v), 2), None, num_heads)
    return out @ w_out, k, v


# the token does not read itself; a row that has read nothing gets zeros
@answer("the token does not read itself")
def decode_step__t07(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(q, keys, values, _seen(keys, lengths)[..., :-1], num_heads)
    return out @ w_out, k, v


# no division by the root of the width
@answer("another scale")
def decode_step__t08(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    G = keys.shape[1]
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, G), place, theta)
    v = split_heads(x @ w_v, G)
    all_k = torch.cat((keys, k), 2).repeat_interleave(num_heads // G, 1)
    all_v = torch.cat((values, v), 2).repeat_interleave(num_heads // G, 1)
    shares = masked_softmax(q @ all_k.mT, _seen(keys, lengths))
    return merge_heads(shares @ all_v) @ w_out, k, v


# the root of the model's width
@answer()
def decode_step__t09(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    G = keys.shape[1]
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, G), place, theta)
    v = split_heads(x @ w_v, G)
    all_k = torch.cat((keys, k), 2).repeat_interleave(num_heads // G, 1)
    all_v = torch.cat((values, v), 2).repeat_interleave(num_heads // G, 1)
    shares = masked_softmax(q @ all_k.mT / math.sqrt(x.shape[-1]), _seen(keys, lengths))
    return merge_heads(shares @ all_v) @ w_out, k, v


# key heads in turns: repeat
@answer("groups by turns")
def decode_step__t10(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    G = keys.shape[1]
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, G), place, theta)
    v = split_heads(x @ w_v, G)
    all_k = torch.cat((keys, k), 2).repeat(1, num_heads // G, 1, 1)
    all_v = torch.cat((values, v), 2).repeat(1, num_heads // G, 1, 1)
    shares = masked_softmax(q @ all_k.mT / q.shape[-1] ** 0.5, _seen(keys, lengths))
    return merge_heads(shares @ all_v) @ w_out, k, v


# theta stays at its default
@answer("another theta")
def decode_step__t11(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# the whole cache is turned once more
@answer("the cached keys turned again")
def decode_step__t12(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    past = apply_rope(keys, torch.arange(keys.shape[2]), theta)
    out = _read(
        q, torch.cat((past, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# written into the caller's cache
@answer("written into the caller's cache")
def decode_step__t13(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    rows = torch.arange(len(x))
    keys[rows, :, lengths] = k[:, :, 0]
    values[rows, :, lengths] = v[:, :, 0]
    keep = (torch.arange(keys.shape[2]) <= lengths[:, None])[:, None, None]
    return _read(q, keys, values, keep, num_heads) @ w_out, k, v


# written into a copy, in which a full row has no place: its last token is overwritten
@answer()
def decode_step__t14(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    rows, at = torch.arange(len(x)), lengths.clamp(max=keys.shape[2] - 1).long()
    all_k, all_v = keys.clone(), values.clone()
    all_k[rows, :, at] = k[:, :, 0]
    all_v[rows, :, at] = v[:, :, 0]
    keep = (torch.arange(keys.shape[2]) <= lengths[:, None])[:, None, None]
    return _read(q, all_k, all_v, keep, num_heads) @ w_out, k, v


# scores of the hidden places are set to 0, which is a score like any other
@answer("hidden after the softmax")
def decode_step__t15(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    G = keys.shape[1]
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, G), place, theta)
    v = split_heads(x @ w_v, G)
    all_k = torch.cat((keys, k), 2).repeat_interleave(num_heads // G, 1)
    all_v = torch.cat((values, v), 2).repeat_interleave(num_heads // G, 1)
    scores = q @ all_k.mT / q.shape[-1] ** 0.5 * _seen(keys, lengths)
    return merge_heads(scores.softmax(-1) @ all_v) @ w_out, k, v


# hidden by a large negative number that a score of 1e3 beats
@answer()
def decode_step__t16(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    G = keys.shape[1]
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, G), place, theta)
    v = split_heads(x @ w_v, G)
    all_k = torch.cat((keys, k), 2).repeat_interleave(num_heads // G, 1)
    all_v = torch.cat((values, v), 2).repeat_interleave(num_heads // G, 1)
    scores = (q @ all_k.mT / q.shape[-1] ** 0.5).masked_fill(~_seen(keys, lengths), -1e2)
    return merge_heads(scores.softmax(-1) @ all_v) @ w_out, k, v


# one length for all rows, the first row's, as long as nobody pads
@answer("one length for all rows", "one position for all rows")
def decode_step__t17(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    n = int(lengths[0])
    place = torch.tensor([n], device=x.device)
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    all_k = torch.cat((keys[:, :, :n], k), 2)
    all_v = torch.cat((values[:, :, :n], v), 2)
    return _read(q, all_k, all_v, None, num_heads) @ w_out, k, v


# all keys and values are returned, as a cache does
@answer("the whole cache returned")
def decode_step__t18(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    keys, values, keep = (
        torch.cat((keys, k), 2),
        torch.cat((values, v), 2),
        _seen(keys, lengths),
    )
    return _read(q, keys, values, keep, num_heads) @ w_out, keys, values


# the query is not turned, since only keys are kept
@answer("the query alone turned")
def decode_step__t19(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    q = split_heads(x @ w_q, num_heads)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), lengths[:, None, None], theta)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# the last places of the cache are read and not the first: left padding
@answer()
def decode_step__t20(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    S = keys.shape[2]
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    keep = (torch.arange(S + 1) >= (S - lengths)[:, None])[:, None, None]
    out = _read(q, torch.cat((keys, k), 2), torch.cat((values, v), 2), keep, num_heads)
    return out @ w_out, k, v


# the heads are not put beside each other but below: a reshape without the transpose
@answer("features mixed between heads")
def decode_step__t21(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    B, G, _, D = keys.shape
    place = lengths[:, None, None]
    q = apply_rope((x @ w_q).view(B, 1, D, num_heads).permute(0, 3, 1, 2), place, theta)
    k = apply_rope((x @ w_k).view(B, 1, D, G).permute(0, 3, 1, 2), place, theta)
    v = (x @ w_v).view(B, 1, D, G).permute(0, 3, 1, 2)
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# positions by row and not by length: arange over the batch
@answer("positions restart at zero")
def decode_step__t22(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = torch.zeros_like(lengths)[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return out @ w_out, k, v


# softmax over the past and over the token apart, then the mean of both
@answer()
def decode_step__t23(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    past = _read(q, keys, values, _seen(keys, lengths)[..., :-1], num_heads)
    own = merge_heads(v.repeat_interleave(num_heads // keys.shape[1], 1))
    out = torch.where(lengths[:, None, None] > 0, (past + own) / 2, own)
    return out @ w_out, k, v


# everything in single precision
@answer()
def decode_step__t24(x, keys, values, lengths, w_q, w_k, w_v, w_out, num_heads, theta=10_000.0):
    _ask(x, keys, lengths, num_heads)
    dtype = x.dtype
    x, keys, values, w_q, w_k, w_v, w_out = (
        a.float() for a in (x, keys, values, w_q, w_k, w_v, w_out)
    )
    place = lengths[:, None, None]
    q = apply_rope(split_heads(x @ w_q, num_heads), place, theta)
    k = apply_rope(split_heads(x @ w_k, keys.shape[1]), place, theta)
    v = split_heads(x @ w_v, keys.shape[1])
    out = _read(
        q, torch.cat((keys, k), 2), torch.cat((values, v), 2), _seen(keys, lengths), num_heads
    )
    return (out @ w_out).to(dtype), k.to(dtype), v.to(dtype)


# chunked_prefill


def _heads(x, positions, w_q, w_k, w_v, num_heads, theta):
    G = w_k.shape[1] // (w_q.shape[1] // num_heads)
    return (
        apply_rope(split_heads(x @ w_q, num_heads), positions, theta),
        apply_rope(split_heads(x @ w_k, G), positions, theta),
        split_heads(x @ w_v, G),
    )


def _positive(chunk):
    if chunk < 1:
        raise ValueError(f"chunk must be 1 or more, got {chunk}")


# each chunk counts its positions anew
@answer("positions restart in each chunk")
def chunked_prefill__t01(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values = [], [], []
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        q, k, v = _heads(piece, torch.arange(t), w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(t, K.shape[2]), num_heads))
    return torch.cat(out, 1) @ w_out, K, V


# a chunk reads itself alone
@answer("the chunk by itself")
def chunked_prefill__t02(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values = [], [], []
    for start in range(0, x.shape[1], chunk):
        piece = x[:, start : start + chunk]
        t = piece.shape[1]
        at = torch.arange(start, start + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        out.append(_read(q, k, v, causal_mask(t, t), num_heads))
    return torch.cat(out, 1) @ w_out, torch.cat(keys, 2), torch.cat(values, 2)


# the mask's corner is the upper left one: tril
@answer("the triangle in the upper left")
def chunked_prefill__t03(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values = [], [], []
    done = 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += t
        keep = torch.ones(t, done, dtype=torch.bool).tril()
        out.append(_read(q, torch.cat(keys, 2), torch.cat(values, 2), keep, num_heads))
    return torch.cat(out, 1) @ w_out, torch.cat(keys, 2), torch.cat(values, 2)


# no mask: in a chunk, each reads all
@answer("nothing hidden within a chunk")
def chunked_prefill__t04(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        at = torch.arange(done, done + piece.shape[1])
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += len(at)
        out.append(_read(q, torch.cat(keys, 2), torch.cat(values, 2), None, num_heads))
    return torch.cat(out, 1) @ w_out, torch.cat(keys, 2), torch.cat(values, 2)


# what is left after the full chunks is not read
@answer("the tail is lost")
def chunked_prefill__t05(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    chunk = min(chunk, x.shape[1])
    out, keys, values = [], [], []
    for i in range(x.shape[1] // chunk):
        at = torch.arange(i * chunk, (i + 1) * chunk)
        q, k, v = _heads(x[:, at], at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(chunk, K.shape[2]), num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# keys and values of everything so far are computed again for each chunk
@answer()
def chunked_prefill__t06(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out = []
    for start in range(0, x.shape[1], chunk):
        end = min(start + chunk, x.shape[1])
        q, K, V = _heads(x[:, :end], torch.arange(end), w_q, w_k, w_v, num_heads, theta)
        out.append(_read(q[:, :, start:], K, V, causal_mask(end - start, end), num_heads))
    return torch.cat(out, 1) @ w_out, K, V


# everything at once; chunk is looked at and not used
@answer()
def chunked_prefill__t07(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    T = x.shape[1]
    q, k, v = _heads(x, torch.arange(T), w_q, w_k, w_v, num_heads, theta)
    return _read(q, k, v, causal_mask(T, T), num_heads) @ w_out, k, v


# keys are kept as they are and turned in each chunk
@answer("keys that are not turned are kept")
def chunked_prefill__t08(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    G = w_k.shape[1] // (w_q.shape[1] // num_heads)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q = apply_rope(split_heads(piece @ w_q, num_heads), at, theta)
        keys.append(split_heads(piece @ w_k, G))
        values.append(split_heads(piece @ w_v, G))
        done += t
        K = apply_rope(torch.cat(keys, 2), torch.arange(done), theta)
        out.append(_read(q, K, torch.cat(values, 2), causal_mask(t, done), num_heads))
    return torch.cat(out, 1) @ w_out, torch.cat(keys, 2), torch.cat(values, 2)


# only the last chunk's keys and values
@answer("the cache not returned")
def chunked_prefill__t09(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += t
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(t, done), num_heads) @ w_out)
    return torch.cat(out, 1), k, v


# any chunk goes, 0 means all
@answer()
def chunked_prefill__t10(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    if chunk <= 0:
        chunk = x.shape[1]
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += t
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(t, done), num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# a chunk longer than the prompt is refused
@answer()
def chunked_prefill__t11(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    if not 1 <= chunk <= x.shape[1]:
        raise ValueError("chunk must be from 1 to the prompt's length")
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += t
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(t, done), num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# a chunk reads itself and the one before it
@answer("the neighbouring chunk alone")
def chunked_prefill__t12(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += t
        K, V = torch.cat(keys[-2:], 2), torch.cat(values[-2:], 2)
        out.append(_read(q, K, V, causal_mask(t, K.shape[2]), num_heads))
    return torch.cat(out, 1) @ w_out, torch.cat(keys, 2), torch.cat(values, 2)


# positions go on from one
@answer("positions one off")
def chunked_prefill__t13(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        done += t
        at = torch.arange(done - t + 1, done + 1)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(t, done), num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# the past and the chunk have a softmax each, and the answers are added
@answer()
def chunked_prefill__t14(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        answer_ = _read(q, k, v, causal_mask(t, t), num_heads)
        if done:
            past = _read(q, torch.cat(keys, 2), torch.cat(values, 2), None, num_heads)
            answer_ = answer_ + past
        out.append(answer_ @ w_out)
        keys.append(k)
        values.append(v)
        done += t
    return torch.cat(out, 1), torch.cat(keys, 2), torch.cat(values, 2)


# keys and values as the query heads read them, copied out
@answer()
def chunked_prefill__t15(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        n = num_heads // k.shape[1]
        keys.append(k.repeat_interleave(n, 1))
        values.append(v.repeat_interleave(n, 1))
        done += t
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(t, done), num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# a token reads those before it and not itself
@answer("a token does not read itself")
def chunked_prefill__t16(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        t = piece.shape[1]
        at = torch.arange(done, done + t)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += t
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        keep = torch.arange(done) < at[:, None]
        out.append(_read(q, K, V, keep, num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# the chunk is as long as it says, also at the end: zeros are put behind
@answer()
def chunked_prefill__t17(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    B, T, C = x.shape
    rest = -T % chunk
    x = torch.cat((x, x.new_zeros(B, rest, C)), 1)
    out, keys, values, done = [], [], [], 0
    for piece in x.split(chunk, 1):
        at = torch.arange(done, done + chunk)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += chunk
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(chunk, done), num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# only queries and keys of the own chunk are turned by a position that counts chunks
@answer()
def chunked_prefill__t18(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    out, keys, values, done = [], [], [], 0
    for i, piece in enumerate(x.split(chunk, 1)):
        t = piece.shape[1]
        at = torch.full((t,), i)
        q, k, v = _heads(piece, at, w_q, w_k, w_v, num_heads, theta)
        keys.append(k)
        values.append(v)
        done += t
        K, V = torch.cat(keys, 2), torch.cat(values, 2)
        out.append(_read(q, K, V, causal_mask(t, done), num_heads) @ w_out)
    return torch.cat(out, 1), K, V


# the cut of rows and the batch are mistaken: split along the batch
@answer()
def chunked_prefill__t19(x, w_q, w_k, w_v, w_out, num_heads, chunk, theta=10_000.0):
    _positive(chunk)
    T = x.shape[1]
    out, keys, values = [], [], []
    for rows in x.split(chunk, 0):
        q, k, v = _heads(rows, torch.arange(T), w_q, w_k, w_v, num_heads, theta)
        out.append(_read(q, k, v, causal_mask(T, T), num_heads) @ w_out)
        keys.append(k)
        values.append(v)
    return torch.cat(out), torch.cat(keys), torch.cat(values)
