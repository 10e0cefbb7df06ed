"""Answers to chapter 8's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import bisect
from itertools import count, islice, pairwise

import numpy as np
import torch
from torch.nn import functional as F

# Norms


def rms_rsqrt(x, weight, eps=1e-6):
    wide = x if x.dtype == torch.float64 else x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def rms_einsum(x, weight, eps=1e-6):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    size = torch.einsum("...c,...c->...", wide, wide)[..., None] / x.shape[-1]
    return (wide / (size + eps) ** 0.5 * weight).to(x.dtype)


def rms_hypot(x, weight, eps=1e-6):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    zeros = (wide == 0).all(-1, keepdim=True)
    length = torch.linalg.vector_norm(wide.masked_fill(zeros, 1), dim=-1, keepdim=True)
    size = (length / x.shape[-1] ** 0.5).masked_fill(zeros, 0)
    return (wide / torch.hypot(size, size.new_tensor(eps).sqrt()) * weight).to(x.dtype)


def rms_token_by_token(x, weight, eps=1e-6):
    rows = []
    for row in x.reshape(-1, x.shape[-1]).unbind(0):
        wide = row.double()
        rows.append((wide / ((wide**2).mean() + eps).sqrt() * weight).to(x.dtype))
    return torch.stack(rows).reshape(x.shape)


def rms_features_first(x, weight, eps=1e-6):
    wide = x.to(torch.promote_types(x.dtype, torch.float32)).movedim(-1, 0)
    normed = wide / (wide * wide).mean(0).add(eps).sqrt()
    return (normed.movedim(0, -1) * weight).to(x.dtype)


def rms_vmap(x, weight, eps=1e-6):
    def one(row):
        wide = row.to(torch.promote_types(row.dtype, torch.float32))
        return (wide * (wide.square().mean() + eps).rsqrt() * weight).to(row.dtype)

    return torch.func.vmap(one)(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def rms_by_variance(x, weight, eps=1e-6):
    """The mean of the squares is the variance and the square of the mean."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    size = wide.var(-1, keepdim=True, correction=0) + wide.mean(-1, keepdim=True).square()
    return (wide / (size + eps).sqrt() * weight).to(x.dtype)


def rms_by_the_largest(x, weight, eps=1e-6):
    """The largest is taken out first, so that no square is above 1."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    largest = wide.abs().amax(-1, keepdim=True).clamp(min=1).detach()
    small = wide / largest
    size = small.square().mean(-1, keepdim=True) + eps / largest.square()
    return (small / size.sqrt() * weight).to(x.dtype)


def rms_numpy(x, weight, eps=1e-6):
    a = _array(x)
    return _tensor(a / np.sqrt((a**2).mean(-1, keepdims=True) + eps) * _array(weight), x)


def rms_library(x, weight, eps=1e-6):
    return F.rms_norm(x, x.shape[-1:], weight, eps)


def rms_outer(x, weight, eps=1e-6):
    """All products of two features, and of them the diagonal."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    squares = (wide[..., :, None] * wide[..., None, :]).diagonal(dim1=-2, dim2=-1)
    return (wide * (squares.mean(-1, keepdim=True) + eps).rsqrt() * weight).to(x.dtype)


def _rms_absolute(x, weight, eps=1e-6):
    return rms_rsqrt(x, weight, eps).abs()


def _rms_of_a_batch(x, weight, eps=1e-6):
    batch, time, width = x.shape
    return rms_rsqrt(x.reshape(batch * time, width), weight, eps).reshape(x.shape)


def _rms_viewed(x, weight, eps=1e-6):
    return rms_rsqrt(x.view(-1, x.shape[-1]), weight, eps).view(x.shape)


def _rms_max(x, weight, eps=1e-6):
    return x / (x.abs().amax(-1, keepdim=True) + eps) * weight


# Gated feed-forwards


def gated_by_sigmoid(x, w_gate, w_in, w_out):
    gate = x @ w_gate
    return (gate * torch.sigmoid(gate) * (x @ w_in)) @ w_out


def gated_by_linear(x, w_gate, w_in, w_out):
    return F.linear(F.silu(F.linear(x, w_gate.mT)) * F.linear(x, w_in.mT), w_out.mT)


def gated_at_once(x, w_gate, w_in, w_out):
    """Both matrices side by side."""
    gate, hidden = (x @ torch.cat((w_gate, w_in), -1)).chunk(2, -1)
    return (F.silu(gate) * hidden) @ w_out


def gated_by_einsum(x, w_gate, w_in, w_out):
    gate, hidden = (torch.einsum("...c,cf->...f", x, w) for w in (w_gate, w_in))
    return torch.einsum("...f,fo->...o", F.silu(gate) * hidden, w_out)


def gated_flat(x, w_gate, w_in, w_out):
    rows = x.reshape(-1, x.shape[-1])
    out = torch.mm(F.silu(torch.mm(rows, w_gate)) * torch.mm(rows, w_in), w_out)
    return out.reshape(*x.shape[:-1], w_out.shape[-1])


def gated_by_glu(x, w_gate, w_in, w_out):
    """torch's own gated unit, of the gate with itself."""
    gate = x @ w_gate
    return (F.glu(torch.cat((gate, gate), -1), -1) * (x @ w_in)) @ w_out


def gated_numpy(x, w_gate, w_in, w_out):
    a, gate, hidden, out = map(_array, (x, w_gate, w_in, w_out))
    z = a @ gate
    return _tensor((z * 0.5 * (1 + np.tanh(z / 2)) * (a @ hidden)) @ out, x)


def gated_twice(x, w_gate, w_in, w_out):
    """The gate is worked out once for each of its two factors."""
    return ((x @ w_gate) * torch.sigmoid(x @ w_gate) * (x @ w_in)) @ w_out


def gated_broadcast(x, w_gate, w_in, w_out):
    gate, hidden = ((x[..., None] * w).sum(-2) for w in (w_gate, w_in))
    return (F.silu(gate) * hidden) @ w_out


def _gated_dropout(x, w_gate, w_in, w_out):
    return F.dropout(F.silu(x @ w_gate) * (x @ w_in), 0.1) @ w_out


def _gated_viewed(x, w_gate, w_in, w_out):
    rows = x.view(-1, x.shape[-1])
    return gated_by_linear(rows, w_gate, w_in, w_out).view(*x.shape[:-1], -1)


def _gated_of_a_batch(x, w_gate, w_in, w_out):
    batch, time, width = x.shape
    return gated_by_linear(x.reshape(-1, width), w_gate, w_in, w_out).reshape(batch, time, -1)


def _gated_maximum(x, w_gate, w_in, w_out):
    return torch.maximum(F.silu(x @ w_gate), x @ w_in) @ w_out


# Masked words


def mask_by_where(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _one_shape(tokens, special, chance, kind, substitute)
    chosen = torch.logical_and(chance < rate, torch.logical_not(special))
    new = torch.where(kind < 0.8, torch.full_like(tokens, mask_id), substitute)
    new = torch.where(kind < 0.9, new, tokens)
    ignored = torch.full_like(tokens, -100)
    return torch.where(chosen, new, tokens), torch.where(chosen, tokens, ignored)


def mask_in_a_copy(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _one_shape(tokens, special, chance, kind, substitute)
    read, said = tokens.clone(), tokens.clone()
    chosen = (chance < rate).masked_fill(special, False)
    said[~chosen] = -100
    read[chosen & (kind < 0.9)] = substitute[chosen & (kind < 0.9)]
    read[chosen & (kind < 0.8)] = mask_id
    return read, said


def mask_by_numbers(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    """0 nothing, 1 mask, 2 substitute, 3 stays."""
    _one_shape(tokens, special, chance, kind, substitute)
    what = (1 + (kind >= 0.8).int() + (kind >= 0.9).int()) * ((chance < rate) & ~special)
    choices = torch.stack((tokens, torch.full_like(tokens, mask_id), substitute, tokens))
    read = choices.gather(0, what[None].long())[0]
    return read, tokens.where(what > 0, -100)


def mask_one_by_one(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _one_shape(tokens, special, chance, kind, substitute)
    read, said = [], []
    rows = (t.flatten().unbind() for t in (tokens, special, chance, kind, substitute))
    ignored = tokens.new_full((), -100)
    for token, spared, c, k, other in zip(*rows, strict=True):
        chosen = (c < rate) & ~spared
        new = torch.where(k < 0.8, tokens.new_full((), mask_id), torch.where(k < 0.9, other, token))
        read.append(torch.where(chosen, new, token))
        said.append(torch.where(chosen, token, ignored))
    return torch.stack(read).reshape(tokens.shape), torch.stack(said).reshape(tokens.shape)


def mask_by_places(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _one_shape(tokens, special, chance, kind, substitute)
    flat = tokens.reshape(-1)
    at = ((chance < rate) & ~special).reshape(-1).nonzero()[:, 0]
    drawn, other = kind.reshape(-1)[at], substitute.reshape(-1)[at]
    new = torch.where(drawn < 0.9, other, flat[at]).masked_fill(drawn < 0.8, mask_id)
    read = flat.index_copy(0, at, new)
    said = torch.full_like(flat, -100).index_copy(0, at, flat[at])
    return read.reshape(tokens.shape), said.reshape(tokens.shape)


def mask_by_arithmetic(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _one_shape(tokens, special, chance, kind, substitute)
    chosen = ((chance < rate) & ~special).to(tokens.dtype)
    masked = chosen * (kind < 0.8).to(tokens.dtype)
    changed = chosen * (kind < 0.9).to(tokens.dtype)
    read = mask_id * masked + substitute * (changed - masked) + tokens * (1 - changed)
    return read, tokens * chosen - 100 * (1 - chosen)


def mask_numpy(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    _one_shape(tokens, special, chance, kind, substitute)
    t, s, c, k, o = (a.detach().cpu().numpy() for a in (tokens, special, chance, kind, substitute))
    chosen = (c < np.asarray(rate, c.dtype)) & ~s
    read = np.where(chosen & (k < np.asarray(0.8, k.dtype)), mask_id, t)
    other = chosen & (k >= np.asarray(0.8, k.dtype)) & (k < np.asarray(0.9, k.dtype))
    read, said = np.where(other, o, read), np.where(chosen, t, -100)
    return tuple(torch.from_numpy(a.astype(t.dtype)).to(tokens.device) for a in (read, said))


def _mask_pairs(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    """Of neighbours both, as whole words."""
    _one_shape(tokens, special, chance, kind, substitute)
    chosen = chance < rate
    wider = torch.cat((chosen[..., :1], chosen[..., 1:] | chosen[..., :-1]), -1) & ~special
    read = tokens.masked_fill(wider & (kind < 0.8), mask_id)
    return read, tokens.masked_fill(~wider, -100)


def _mask_viewed(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    rows = (t.view(-1) for t in (tokens, special, chance, kind, substitute))
    read, said = mask_by_where(*rows, mask_id, rate)
    return read.view(tokens.shape), said.view(tokens.shape)


def _mask_floats(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said = mask_by_where(tokens, special, chance, kind, substitute, mask_id, rate)
    return read.float(), said.float()


def _mask_substitutes_masked(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    """The mask where a substitute is the token itself."""
    read, said = mask_by_where(tokens, special, chance, kind, substitute, mask_id, rate)
    return read.masked_fill((said != -100) & (read == tokens), mask_id), said


def _one_shape(*tensors):
    if len({t.shape for t in tensors}) > 1:
        raise ValueError("shapes differ")


# The next token


def shift_where(tokens, lengths):
    _texts(tokens, lengths)
    number = tokens.shape[1]
    there = torch.arange(number - 1, device=tokens.device)[None] + 1 < lengths[:, None].long()
    return tokens[:, :-1], torch.where(there, tokens[:, 1:], tokens.new_full((), -100))


def shift_in_a_copy(tokens, lengths):
    _texts(tokens, lengths)
    said = tokens[:, 1:].clone()
    places = torch.arange(1, tokens.shape[1], device=tokens.device).expand_as(said)
    said[places >= lengths[:, None]] = -100
    return tokens[:, : tokens.shape[1] - 1].clone(), said


def shift_masked_first(tokens, lengths):
    _texts(tokens, lengths)
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return tokens[:, :-1], tokens.masked_fill(places >= lengths.unsqueeze(1), -100)[:, 1:]


def shift_rolled(tokens, lengths):
    """Round the end, and then the end off."""
    _texts(tokens, lengths)
    padded = torch.ones_like(tokens).cumsum(1) > lengths[:, None]
    return tokens.narrow(1, 0, tokens.shape[1] - 1), tokens.masked_fill(padded, -100).roll(-1, 1)[
        :, :-1
    ]


def shift_text_by_text(tokens, lengths):
    _texts(tokens, lengths)
    said = []
    for row, length in zip(tokens.unbind(), lengths.unbind(), strict=True):
        places = torch.arange(1, row.shape[0], device=row.device)
        said.append(row[1:].where(places < length, -100))
    return tokens[:, :-1], torch.stack(said)


def shift_by_pairs(tokens, lengths):
    _texts(tokens, lengths)
    if tokens.shape[1] == 1:
        return tokens[:, :0], tokens[:, :0]
    pairs = tokens.unfold(1, 2, 1)
    places = torch.arange(pairs.shape[1], device=tokens.device)
    return pairs[..., 0], pairs[..., 1].masked_fill(places > lengths[:, None].long() - 2, -100)


def shift_numpy(tokens, lengths):
    _texts(tokens, lengths)
    rows, count = tokens.cpu().numpy(), lengths.cpu().numpy()
    there = np.arange(1, rows.shape[1]) < count[:, None]
    said = np.where(there, rows[:, 1:], -100).astype(rows.dtype)
    return tokens[:, :-1], torch.from_numpy(said).to(tokens.device)


def shift_by_matrix(tokens, lengths):
    """A product with a matrix of zeros and ones."""
    _texts(tokens, lengths)
    number = tokens.shape[1]
    matrix = torch.ones(number, number, device=tokens.device, dtype=torch.bool).tril(-1).triu(-1)
    matrix = matrix & (torch.arange(number, device=tokens.device) >= 0)
    each = tokens[:, :, None] * matrix.to(tokens.dtype)
    there = torch.arange(1, number, device=tokens.device) < lengths[:, None]
    return tokens[:, :-1], each.sum(1)[:, :-1].to(tokens.dtype).masked_fill(~there, -100)


def _shift_all_but_one(tokens, lengths):
    """The shortest text decides for all."""
    _texts(tokens, lengths)
    there = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths.min()
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, -100)


def _shift_floats(tokens, lengths):
    read, said = shift_where(tokens, lengths)
    return read, said.float()


def _shift_last_row(tokens, lengths):
    """Compares with the lengths of other texts."""
    _texts(tokens, lengths)
    there = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths.flip(0)[:, None]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, -100)


def _texts(tokens, lengths):
    if tokens.ndim != 2 or tokens.shape[1] < 1 or lengths.shape != tokens.shape[:1]:
        raise ValueError("texts and their lengths")


# Missing spans


def spans_backwards(tokens, spans, first_sentinel):
    """From the last one, so that nothing moves that is still to be replaced."""
    _apart(tokens, spans)
    source, target = list(tokens), [first_sentinel - len(spans)]
    for i, (start, end) in reversed(list(enumerate(spans))):
        target = [first_sentinel - i, *source[start:end], *target]
        source[start:end] = [first_sentinel - i]
    return source, target


def spans_token_by_token(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    at = {place: i for i, (start, end) in enumerate(spans) for place in range(start, end)}
    source, target, current = [], [], None
    for place, token in enumerate(tokens):
        i = at.get(place)
        if i is None:
            source.append(token)
        else:
            if i != current:
                source.append(first_sentinel - i)
                target.append(first_sentinel - i)
            target.append(token)
        current = i
    target.append(first_sentinel - len(spans))
    return source, target


def spans_by_pieces(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    borders = [0, *(b for span in spans for b in span), len(tokens)]
    pieces = [tokens[a:b] for a, b in pairwise(borders)]
    sentinels = [first_sentinel - i for i in range(len(spans) + 1)]
    source, target = list(pieces[0]), []
    for sentinel, inside, behind in zip(sentinels, pieces[1::2], pieces[2::2], strict=False):
        source += [sentinel, *behind]
        target += [sentinel, *inside]
    return source, [*target, sentinels[-1]]


def spans_searched(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    starts = [start for start, _ in spans]
    source, target = [], []
    for place, token in enumerate(tokens):
        i = bisect.bisect(starts, place) - 1
        inside = i >= 0 and place < spans[i][1]
        if inside and place == spans[i][0]:
            source.append(first_sentinel - i)
            target.append(first_sentinel - i)
        (target if inside else source).append(token)
    return source, [*target, first_sentinel - len(spans)]


def spans_by_iterator(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    words, at, sentinels = iter(tokens), 0, count(first_sentinel, -1)
    source, target = [], []
    for (start, end), sentinel in zip(spans, sentinels, strict=False):
        source += [*islice(words, start - at), sentinel]
        target += [sentinel, *islice(words, end - start)]
        at = end
    return [*source, *words], [*target, first_sentinel - len(spans)]


def spans_by_recursion(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    if not spans:
        return list(tokens), [first_sentinel]
    (start, end), *others = spans
    moved = [(a - end, b - end) for a, b in others]
    source, target = spans_by_recursion(tokens[end:], moved, first_sentinel - 1)
    inside = tokens[start:end]
    return [*tokens[:start], first_sentinel, *source], [first_sentinel, *inside, *target]


def _spans_reversed(tokens, spans, first_sentinel):
    source, target = spans_by_pieces(tokens, spans, first_sentinel)
    return source, target[::-1]


def _spans_joined(tokens, spans, first_sentinel):
    """One list: the text, and behind it the answer."""
    source, target = spans_by_pieces(tokens, spans, first_sentinel)
    return source + target


def _spans_from_one(tokens, spans, first_sentinel):
    return spans_by_pieces(tokens, spans, first_sentinel - 1)


def _apart(tokens, spans):
    last = -1
    for start, end in spans:
        if start <= last or end <= start or end > len(tokens):
            raise ValueError("spans must be apart")
        last = end


# Sampling


def sample_by_mask(logits, chance, temperature=1.0, top_k=None, top_p=None):
    """Logits of -inf for what is cut, and a softmax after each cut."""
    _cuts(temperature, top_k, top_p)
    if temperature == 0:
        return logits.max(-1).indices
    logits = logits / temperature
    order = logits.argsort(dim=-1, descending=True, stable=True)
    rank = order.argsort(-1)
    if top_k is not None:
        logits = logits.masked_fill(rank >= top_k, -torch.inf)
    if top_p is not None:
        p = logits.softmax(-1).gather(-1, order)
        outside = (p.cumsum(-1) - p) >= top_p
        logits = logits.masked_fill(outside.gather(-1, rank), -torch.inf)
    p = logits.softmax(-1)
    left = p > 0
    # At the last that is left the sum is as large as any chance.
    last = left.flip(-1).cumsum(-1).flip(-1) == 1
    return (((p.cumsum(-1) > chance.unsqueeze(-1)) | last) & left).int().argmax(-1)


def sample_row_by_row(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _cuts(temperature, top_k, top_p)
    found = []
    for row, number in zip(
        logits.reshape(-1, logits.shape[-1]).unbind(), chance.reshape(-1).unbind(), strict=True
    ):
        found.append(_of_a_row(row, number, temperature, top_k, top_p))
    return torch.stack(found).reshape(chance.shape)


def _of_a_row(row, number, temperature, top_k, top_p):
    if temperature == 0:
        return row.argmax()
    p = torch.softmax(row / temperature, 0)
    ranked, order = torch.sort(p, descending=True, stable=True)
    places = torch.arange(len(p), device=p.device)
    keep = torch.ones_like(ranked, dtype=torch.bool)
    if top_k is not None:
        keep = keep & (places < top_k)
    kept = ranked * keep
    if top_p is not None:
        share = kept / kept.sum()
        kept = kept * (share.cumsum(0) - share < top_p)
    p = torch.zeros_like(p).index_copy(0, order, kept / kept.sum())
    place = torch.searchsorted(p.cumsum(0), number[None], right=True)[0]
    return torch.minimum(place, (places * (p > 0)).max())


def sample_unscaled(logits, chance, temperature=1.0, top_k=None, top_p=None):
    """Nothing is divided: the chance is multiplied by the sum of what is left."""
    _cuts(temperature, top_k, top_p)
    if temperature == 0:
        return torch.argmax(logits, dim=-1)
    p = (logits / temperature).softmax(-1)
    ranked, order = p.sort(dim=-1, descending=True, stable=True)
    if top_k is not None and top_k < p.shape[-1]:
        ranked = torch.cat((ranked[..., :top_k], torch.zeros_like(ranked[..., top_k:])), -1)
    if top_p is not None:
        before = ranked.cumsum(-1) - ranked
        ranked = ranked.where(before < top_p * ranked.sum(-1, keepdim=True), 0)
    p = torch.empty_like(p).scatter_(-1, order, ranked)
    sums = p.cumsum(-1)
    there = (p > 0).int()
    last = p.shape[-1] - 1 - there.flip(-1).argmax(-1)
    reached = (sums <= chance[..., None] * sums[..., -1:]).sum(-1)
    return torch.minimum(reached, last)


def sample_counted(logits, chance, temperature=1.0, top_k=None, top_p=None):
    """A number of the likeliest for each row, to which both cuts come down."""
    _cuts(temperature, top_k, top_p)
    size = logits.shape[-1]
    if temperature == 0:
        temperature, top_k, top_p = 1.0, 1, None
    ranked, order = (logits.double() / temperature).sort(dim=-1, descending=True, stable=True)
    places = torch.arange(size, device=logits.device)
    number = torch.full_like(chance, min(top_k or size, size), dtype=torch.int64)
    p = ranked.masked_fill(places >= number[..., None], -torch.inf).softmax(-1)
    if top_p is not None:
        number = torch.minimum(number, (p.cumsum(-1) < top_p).sum(-1) + 1)
        p = ranked.masked_fill(places >= number[..., None], -torch.inf).softmax(-1)
    p = torch.empty_like(p).scatter_(-1, order, p)
    last = size - 1 - (p > 0).int().flip(-1).argmax(-1)
    return torch.minimum((p.cumsum(-1) <= chance.double()[..., None]).sum(-1), last)


def sample_numpy(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _cuts(temperature, top_k, top_p)
    return sample_row_by_row(
        torch.from_numpy(_array(logits)),
        torch.from_numpy(_array(chance)),
        temperature,
        top_k,
        top_p,
    ).to(logits.device)


def sample_library(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _cuts(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p = (logits.double() / temperature).softmax(-1)
    return torch.multinomial(p.reshape(-1, p.shape[-1]), 1).reshape(p.shape[:-1])


def sample_compared(logits, chance, temperature=1.0, top_k=None, top_p=None):
    """Each token beside each other one: how many are likelier, and how likely are they?"""
    _cuts(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p = (logits / temperature).softmax(-1)
    places = torch.arange(p.shape[-1], device=p.device)
    one, other = p[..., :, None], p[..., None, :]
    likelier = (other > one) | ((other == one) & (places < places[:, None]))
    if top_k is not None:
        p = p * (likelier.sum(-1) < top_k)
        p = p / p.sum(-1, keepdim=True)
    if top_p is not None:
        p = p * ((likelier * p[..., None, :]).sum(-1) < top_p)
        p = p / p.sum(-1, keepdim=True)
    last = p.shape[-1] - 1 - (p > 0).int().flip(-1).argmax(-1)
    return torch.minimum((p.cumsum(-1) <= chance[..., None]).sum(-1), last)


def _sample_shifted(logits, chance, temperature=1.0, top_k=None, top_p=None):
    token = sample_by_mask(logits, chance, temperature, top_k, top_p)
    return (token + 1) % logits.shape[-1]


def _sample_viewed(logits, chance, temperature=1.0, top_k=None, top_p=None):
    rows = logits.view(-1, logits.shape[-1])
    return sample_by_mask(rows, chance.view(-1), temperature, top_k, top_p).view(chance.shape)


def _sample_one_hot(logits, chance, temperature=1.0, top_k=None, top_p=None):
    token = sample_by_mask(logits, chance, temperature, top_k, top_p)
    return F.one_hot(token, logits.shape[-1])


def _cuts(temperature, top_k, top_p):
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError("temperature and top_k")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError("top_p")


def _array(t):
    return t.detach().double().numpy()


def _tensor(a, like):
    return torch.from_numpy(np.ascontiguousarray(a)).to(like.device, like.dtype)


RIGHT = {
    "rms_norm": [
        rms_rsqrt,
        rms_einsum,
        rms_hypot,
        rms_token_by_token,
        rms_features_first,
        rms_vmap,
        rms_by_variance,
        rms_by_the_largest,
    ],
    "swiglu": [
        gated_by_sigmoid,
        gated_by_linear,
        gated_at_once,
        gated_by_einsum,
        gated_flat,
        gated_by_glu,
    ],
    "mask_tokens": [
        mask_by_where,
        mask_in_a_copy,
        mask_by_numbers,
        mask_one_by_one,
        mask_numpy,
        mask_by_places,
        mask_by_arithmetic,
    ],
    "shift_for_next_token": [
        shift_where,
        shift_in_a_copy,
        shift_masked_first,
        shift_rolled,
        shift_text_by_text,
        shift_by_pairs,
    ],
    "corrupt_spans": [
        spans_backwards,
        spans_token_by_token,
        spans_by_pieces,
        spans_searched,
        spans_by_iterator,
        spans_by_recursion,
    ],
    "sample": [sample_by_mask, sample_row_by_row, sample_unscaled, sample_counted],
}

NUMPY = {
    "rms_norm": rms_numpy,
    "swiglu": gated_numpy,
    "shift_for_next_token": shift_numpy,
    "sample": sample_numpy,
}
"""The right values, computed outside torch."""

LIBRARY = {"rms_norm": [rms_library], "sample": [sample_library]}
"""Answers in which the library does the work that the exercise is to do."""

WRONG = {
    "rms_norm": [_rms_absolute, _rms_of_a_batch, _rms_viewed, _rms_max],
    "swiglu": [_gated_dropout, _gated_viewed, _gated_of_a_batch, _gated_maximum],
    "mask_tokens": [_mask_pairs, _mask_viewed, _mask_floats, _mask_substitutes_masked],
    "shift_for_next_token": [_shift_all_but_one, _shift_floats, _shift_last_row],
    "corrupt_spans": [_spans_reversed, _spans_joined, _spans_from_one],
    "sample": [_sample_shifted, _sample_viewed, _sample_one_hot],
}
"""None earns full marks."""

DEAR = {
    "rms_norm": [rms_outer],
    "swiglu": [gated_twice, gated_broadcast],
    "shift_for_next_token": [shift_by_matrix],
    "sample": [sample_compared],
}
"""The right values, by more work than the contract allows."""
