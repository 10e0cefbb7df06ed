"""Chapter 14's answers, in other styles."""

import codecs

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
        places[int(number), part] = w.T if w.ndim == 2 else w.clone()
        most = max(most, int(number))
    try:
        middle = [places[i, part] for i in range(most + 1) for part in BLOCK]
        return (places["token_embd.weight"], *middle, places["output_norm.weight"])
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None


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
    "decoder_block": [block_in_two_halves],
    "language_model": [model_in_a_loop],
    "load_checkpoint": [loaded_by_place],
    "chat_prompt": [prompt_by_parts],
    "stream": [stream_by_bytes, stream_by_decoder],
}
NUMPY = {}
LIBRARY = {}
WRONG = {name: [] for name in RIGHT}
DEAR = {"decoder_block": [block_copies_the_past], "language_model": [scores_of_all]}
