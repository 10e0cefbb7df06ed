"""Chapter 14's answers, in other styles."""

import codecs
import re
from itertools import chain

import torch
from torch.nn import functional as F

from tutor.assembly import BLOCK, ROLES, SYSTEM
from tutor.efficiency import dequantize_blocks
from tutor.families import rms_norm, sample
from tutor.position import apply_rope, convert_rope_layout
from tutor.tokens import bpe_encode, split_pieces


def block_in_two_halves(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    """One row of scores for past and new tokens, two products with values."""
    if len(weights) != 9 or num_heads % keys.shape[1]:
        raise ValueError("nine weights, and key heads that divide the heads")
    n, t, _ = x.shape
    g, past = keys.shape[1:3]
    norm, w_q, w_k, w_v, w_out, other, gate, into, out = weights
    at = torch.arange(past, past + t, device=x.device)
    h = rms_norm(x, norm, eps)
    q = apply_rope((h @ w_q).unflatten(-1, (num_heads, -1)).transpose(1, 2), at, theta)
    k = apply_rope((h @ w_k).unflatten(-1, (g, -1)).transpose(1, 2), at, theta)
    v = (h @ w_v).unflatten(-1, (g, -1)).transpose(1, 2)
    # Heads of a group are more queries of its keys: broadcast over them, the keys are copied.
    q = q.unflatten(1, (g, -1)).flatten(2, 3) * q.shape[-1] ** -0.5
    hidden = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1).repeat(num_heads // g, 1)
    new = (q @ k.mT).masked_fill(hidden, float("-inf"))
    shares = torch.cat((q @ keys.mT, new), -1).softmax(-1)
    heads = shares[..., :past] @ values + shares[..., past:] @ v
    heads = heads.unflatten(2, (-1, t))
    x = x + heads.flatten(1, 2).transpose(1, 2).reshape(n, t, -1) @ w_out
    h = rms_norm(x, other, eps)
    return x + (F.silu(h @ gate) * (h @ into)) @ out, k, v


def block_by_einsum(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    """Groups as a dimension of their own; sums of exponentials by hand."""
    groups, past = keys.shape[1], keys.shape[2]
    if len(weights) != 9 or num_heads % groups:
        raise ValueError(f"{len(weights)} weights, {groups} groups, {num_heads} heads")
    t = x.shape[1]
    h = rms_norm(x, weights[0], eps)
    at = torch.arange(t, device=x.device) + past
    q = apply_rope((h @ weights[1]).unflatten(-1, (num_heads, -1)).transpose(1, 2), at, theta)
    k = apply_rope((h @ weights[2]).unflatten(-1, (groups, -1)).transpose(1, 2), at, theta)
    v = (h @ weights[3]).unflatten(-1, (groups, -1)).transpose(1, 2)
    q = q.unflatten(1, (groups, -1)) / q.shape[-1] ** 0.5
    old = torch.einsum("bgrtd,bgpd->bgrtp", q, keys)
    new = torch.einsum("bgrtd,bgsd->bgrts", q, k)
    later = torch.arange(t, device=x.device)[:, None] < torch.arange(t, device=x.device)
    new = new.masked_fill(later, float("-inf"))
    top = new.amax(-1, keepdim=True)
    if past:
        top = torch.maximum(top, old.amax(-1, keepdim=True))
    old, new = (old - top).exp(), (new - top).exp()
    said = torch.einsum("bgrtp,bgpd->bgrtd", old, values)
    said = said + torch.einsum("bgrts,bgsd->bgrtd", new, v)
    said = said / (old.sum(-1, keepdim=True) + new.sum(-1, keepdim=True))
    said = said.flatten(1, 2).transpose(1, 2).flatten(2)
    y = x + said @ weights[4]
    h = rms_norm(y, weights[5], eps)
    return y + (F.silu(h @ weights[6]) * (h @ weights[7])) @ weights[8], k, v


def block_head_by_head(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    norm, *rest = list(weights)
    if len(rest) != 8 or num_heads % keys.shape[1] != 0:
        raise ValueError("weights or heads")
    w_q, w_k, w_v, w_out, feed_norm, gate, into, out = rest
    (_, t, _), (_, groups, past, _) = x.shape, keys.shape
    at = torch.arange(past, past + t, device=x.device)
    h = rms_norm(x, norm, eps)
    new_k = [apply_rope(w, at, theta) for w in (h @ w_k).chunk(groups, -1)]
    new_v = (h @ w_v).chunk(groups, -1)
    hidden = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
    heads = []
    for i, q in enumerate((h @ w_q).chunk(num_heads, -1)):
        g = i // (num_heads // groups)
        q = apply_rope(q, at, theta) * q.shape[-1] ** -0.5
        own = (q @ new_k[g].mT).masked_fill(hidden, float("-inf"))
        shares = torch.cat((q @ keys[:, g].mT, own), -1).softmax(-1)
        before, now = shares.split((past, t), -1)
        heads.append(before @ values[:, g] + now @ new_v[g])
    y = x + torch.cat(heads, -1) @ w_out
    h = rms_norm(y, feed_norm, eps)
    answer = y + (F.silu(h @ gate) * (h @ into)) @ out
    return answer, torch.stack(new_k, 1), torch.stack(new_v, 1)


def model_into_memory(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    """Keys and values written into memory that is made once."""
    layers, n, g, _, d = keys.shape
    if len(weights) != 9 * layers + 2:
        raise ValueError(f"{len(weights)} weights for {layers} layers")
    new = keys.new_empty(2, layers, n, g, ids.shape[1], d)
    x = weights[0].index_select(0, ids.flatten()).view(*ids.shape, -1)
    for i in range(layers):
        nine = weights[9 * i + 1 : 9 * i + 10]
        x, new[0, i], new[1, i] = block_by_einsum(
            x, nine, keys[i], values[i], num_heads, theta=theta, eps=eps
        )
    last = rms_norm(x, weights[-1], eps)[:, -1]
    return (weights[0] @ last.mT).mT, new[0], new[1]


def model_layer_after_layer(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    def after(x, blocks, past):
        if not past:
            return x, [], []
        x, k, v = block_head_by_head(x, blocks[:9], *past[0], num_heads, theta, eps)
        x, ks, vs = after(x, blocks[9:], past[1:])
        return x, [k, *ks], [v, *vs]

    if (len(weights) - 2) / 9 != keys.shape[0]:
        raise ValueError("nine weights for each layer, and two")
    past = list(zip(keys, values, strict=True))
    x, ks, vs = after(weights[0][ids.long()], list(weights[1:-1]), past)
    scores = F.linear(rms_norm(x.select(1, -1), weights[-1], eps), weights[0])
    return scores, torch.stack(ks), torch.stack(vs)


def model_in_a_loop(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    table, *blocks, norm = weights
    if len(blocks) != 9 * len(keys):
        raise ValueError("nine weights for each layer")
    x = F.embedding(ids, table)
    k, v = [None] * len(keys), [None] * len(keys)
    for i in range(len(keys)):
        mine = [blocks.pop(0) for _ in range(9)]
        x, k[i], v[i] = block_in_two_halves(x, mine, keys[i], values[i], num_heads, theta, eps)
    return F.linear(rms_norm(x[:, -1], norm, eps), table), torch.stack(k), torch.stack(v)


def loaded_by_place(names, kinds, data, num_heads, num_kv_heads):
    """Each tensor put where it belongs, as it comes."""
    places, most = {}, -1
    for name, kind, stored in zip(names, kinds, data, strict=True):
        if kind == "F32":
            w = stored
        elif kind in ("Q4_1", "Q8_0"):
            w = dequantize_blocks(stored, kind)
        else:
            raise ValueError(f"kind {kind}")
        if name in ("token_embd.weight", "output_norm.weight"):
            places[name] = w.clone()
            continue
        head, number, part, *rest = [*name.split("."), "", ""][:5]
        if head != "blk" or part not in BLOCK or rest[0] != "weight":
            raise ValueError(f"nobody asks for {name}")
        heads = {"attn_q": num_heads, "attn_k": num_kv_heads}.get(part)
        if heads:
            w = convert_rope_layout(w, heads, "half")
        places[int(number), part] = w.T.reshape(-1) if w.ndim == 2 else w
        most = max(most, int(number))
    try:
        rows = [torch.cat([places[i, part] for part in BLOCK]) for i in range(max(1, most + 1))]
        return places["token_embd.weight"], torch.stack(rows), places["output_norm.weight"]
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None


_NAMED = re.compile(r"blk\.(\d+)\.(\w+)\.weight")


def loaded_into_rows(names, kinds, data, num_heads, num_kv_heads):
    """Sizes first, then each tensor written where it belongs."""
    found = {}
    for name, kind, stored in zip(names, kinds, data, strict=True):
        if kind not in ("F32", "Q4_1", "Q8_0"):
            raise ValueError(f"{name}: {kind}")
        found[name] = stored if kind == "F32" else dequantize_blocks(stored, kind)
    ends = [found.pop(name, None) for name in ("token_embd.weight", "output_norm.weight")]
    places = {}
    for name in found:
        match = _NAMED.fullmatch(name)
        if match is None or match[2] not in BLOCK:
            raise ValueError(name)
        places[int(match[1]), BLOCK.index(match[2])] = name
    layers = 1 + max((i for i, _ in places), default=0)
    if any(e is None for e in ends) or len(places) != 9 * layers:
        raise ValueError("something is missing")
    starts = [0]
    for j in range(9):
        starts.append(starts[-1] + found[places[0, j]].numel())
    rows = found[places[0, 1]].new_zeros(layers, starts[-1])
    for (i, j), name in places.items():
        w = found[name]
        if j in (1, 2):
            w = convert_rope_layout(w, (num_heads, num_kv_heads)[j - 1], "half")
        rows[i, starts[j] : starts[j + 1]] = w.T.flatten() if w.dim() == 2 else w
    return ends[0].clone(), rows, ends[1].clone()


def loaded_one_by_one(names, kinds, data, num_heads, num_kv_heads):
    left = list(names)

    def take(name):
        if name not in left:
            raise ValueError(f"{name} is missing")
        left.remove(name)
        at = list(names).index(name)
        if kinds[at] == "F32":
            return 1 * data[at]
        if kinds[at][:1] != "Q" or kinds[at] not in ("Q8_0", "Q4_1"):
            raise ValueError(kinds[at])
        return dequantize_blocks(data[at], kinds[at])

    rows, i = [], 0
    while i == 0 or any(n.startswith(f"blk.{i}.") for n in left):
        row = []
        for part in BLOCK:
            w = take(f"blk.{i}.{part}.weight")
            if part in ("attn_q", "attn_k"):
                w = convert_rope_layout(w, num_kv_heads if part == "attn_k" else num_heads, "half")
            row.append(w.permute(*reversed(range(w.ndim))).reshape(-1))
        rows.append(torch.hstack(row))
        i += 1
    embedding, norm = take("token_embd.weight"), take("output_norm.weight")
    if left:
        raise ValueError(f"what is {left}?")
    return embedding, torch.vstack(rows), norm


def prompt_by_parts(messages, merges, special):
    roles = [role for role, _ in messages]
    if not roles or set(roles) - set(ROLES):
        raise ValueError("roles")
    known = {token: 256 + len(merges) + j for j, token in enumerate(special)}

    def ids(text):
        return bpe_encode(text, merges, split=lambda part: split_pieces(part, True))

    parts = [] if roles[0] == "system" else [("system", SYSTEM)]
    found = []
    for role, text in parts + list(messages):
        found.append(known["<|im_start|>"])
        found.extend(ids(role + "\n" + text))
        found.append(known["<|im_end|>"])
        found.extend(ids("\n"))
    found.append(known["<|im_start|>"])
    found.extend(ids("assistant\n"))
    return found


def prompt_as_a_chain(messages, merges, special):
    if len(messages) == 0:
        raise ValueError("nobody said anything")
    for role, _ in messages:
        if role not in ("user", "assistant", "system"):
            raise ValueError(f"who is {role}?")

    def ids(text):
        return bpe_encode(text, merges, (), lambda part: split_pieces(part, digits_apart=True))

    def turn(role, text):
        return chain([number["<|im_start|>"]], ids(role + "\n" + text), [number["<|im_end|>"]])

    number = dict(zip(special, range(256 + len(merges), 256 + len(merges) + 10**6), strict=False))
    line = ids("\n")
    first = [] if messages[0][0] == "system" else [("system", SYSTEM)]
    turns = chain.from_iterable(chain(turn(*m), line) for m in [*first, *messages])
    return [*turns, number["<|im_start|>"], *ids("assistant\n")]


def prompt_cut_from_a_text(messages, merges, special):
    """The template's text with a mark where a control token stands, cut at the marks."""
    if not messages or not all(role in ROLES for role, _ in messages):
        raise ValueError("messages")
    mark = object()
    parts = []
    for role, text in ([] if messages[0][0] == "system" else [("system", SYSTEM)]) + [*messages]:
        parts += [(mark, "<|im_start|>"), (None, f"{role}\n{text}")]
        parts += [(mark, "<|im_end|>"), (None, "\n")]
    parts += [(mark, "<|im_start|>"), (None, "assistant\n")]
    found = []
    for kind, text in parts:
        if kind is mark:
            found.append(256 + len(merges) + list(special).index(text))
        else:
            found.extend(bpe_encode(text, merges, split=lambda p: split_pieces(p, True)))
    return found


def stream_by_lengths(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    """A decoder that says how many bytes it has used."""
    if prompt.shape[0] == 0:
        raise ValueError("nothing to be followed")

    def written():
        given = prompt.view(1, -1)
        for s in range(chances.shape[0]):
            logits = model(given, torch.zeros(1, dtype=torch.int64, device=prompt.device))
            token = sample(logits[0], chances[s], temperature, top_k, top_p)
            if token.item() in [*stop]:
                return
            yield tokens[token.item()]
            given = token.view(1, 1)

    told, waiting = [], b""
    for data in written():
        waiting += data
        piece, used = codecs.utf_8_decode(waiting, "replace", False)
        waiting = waiting[used:]
        if piece:
            told.append(piece)
    if waiting:
        told.append(codecs.utf_8_decode(waiting, "replace", True)[0])
    return told


def stream_by_bytes(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    """Bytes wait while Python says that their end is unexpected."""
    if not len(prompt):
        raise ValueError("nothing to be followed")
    row, waiting, found = torch.zeros(1, dtype=torch.long, device=prompt.device), b"", []
    ids = prompt
    for chance in chances:
        ids = sample(model(ids[None], row), chance[None], temperature, top_k, top_p)
        if int(ids) in set(stop):
            break
        waiting += tokens[int(ids)]
        piece, waiting = _certain(waiting)
        found += [piece] if piece else []
    rest = waiting.decode(errors="replace")
    return found + ([rest] if rest else [])


def _certain(data):
    said = ""
    while data:
        try:
            return said + data.decode(), b""
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data":
                return said + data[: error.start].decode(), data[error.start :]
            said += data[: error.start].decode() + "\N{REPLACEMENT CHARACTER}"
            data = data[error.end :]
    return said, b""


def stream_by_decoder(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None
):
    if prompt.numel() == 0:
        raise ValueError("nothing to be followed")
    decoder, pieces, step = codecs.getincrementaldecoder("utf-8")(errors="replace"), [], 0
    row = torch.zeros(1, dtype=torch.int64, device=prompt.device)
    ids = prompt.unsqueeze(0)
    while step < len(chances):
        scores = model(ids, row)
        ids = sample(scores, chances[step].reshape(1), temperature, top_k, top_p).unsqueeze(0)
        if ids.item() in stop:
            break
        pieces.append(decoder.decode(tokens[ids.item()]))
        step += 1
    pieces.append(decoder.decode(b"", True))
    return list(filter(None, pieces))


def block_copies_the_past(x, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    from tutor.checks.assembly.blocks import block

    return block(x, weights, keys, values, num_heads, theta, eps)


def scores_of_all(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    from tutor.checks.assembly.models import model

    def asked(x):
        return x

    scores, k, v = model(ids, weights, keys, values, num_heads, theta, eps, asked=asked)
    return scores[:, -1], k, v


RIGHT = {
    "decoder_block": [block_in_two_halves, block_by_einsum, block_head_by_head],
    "language_model": [model_in_a_loop, model_into_memory, model_layer_after_layer],
    "load_checkpoint": [loaded_by_place, loaded_into_rows, loaded_one_by_one],
    "chat_prompt": [prompt_by_parts, prompt_as_a_chain, prompt_cut_from_a_text],
    "stream": [stream_by_bytes, stream_by_decoder, stream_by_lengths],
}
NUMPY = {}
LIBRARY = {}
WRONG = {name: [] for name in RIGHT}
DEAR = {"decoder_block": [block_copies_the_past], "language_model": [scores_of_all]}
