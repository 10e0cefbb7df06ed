"""Reading a file's tensors in parts: the right ways, and those that people get wrong."""

import torch

from tutor.assembly import BLOCK
from tutor.checks.changes import changeable
from tutor.efficiency import dequantize_blocks
from tutor.position import convert_rope_layout


def layers_of(names):
    return 1 + max((int(n.split(".")[1]) for n in names if n.startswith("blk.")), default=0)


def counted(names):
    return range(layers_of(names))


def read(kind, data):
    if kind == "F32":
        return data.clone()
    if kind not in ("Q4_1", "Q8_0"):
        raise ValueError(f"{kind} is not known")
    return dequantize_blocks(data, kind)


def to_half(weight, heads):
    return convert_rope_layout(weight, heads, to="half")


def as_many(part, h, g):
    return {"attn_q": h, "attn_k": g}.get(part)


def turned(weight):
    return weight.mT


def as_stored(weight):
    return weight


def flat(weight):
    return weight.flatten()


def row_by_row(blocks):
    return torch.stack([torch.cat(block) for block in blocks])


def embedding_first(embedding, blocks, norm):
    return embedding, blocks, norm


def load(
    names,
    kinds,
    data,
    num_heads,
    num_kv_heads,
    numbers=counted,
    parts=BLOCK,
    decoded=read,
    converted=to_half,
    heads=as_many,
    matrix=turned,
    flattened=flat,
    embedding=as_stored,
    rows=row_by_row,
    out=embedding_first,
    missing=True,
    unknown=True,
):
    """The right weights, but for the parts that are given."""
    found = dict(zip(names, zip(kinds, data, strict=True), strict=True))
    wanted = ["token_embd.weight", "output_norm.weight"]
    wanted += [f"blk.{i}.{part}.weight" for i in range(layers_of(names)) for part in BLOCK]
    if missing and set(wanted) - set(found):
        raise ValueError("a tensor is missing")
    if unknown and set(found) - set(wanted):
        raise ValueError("a tensor that nothing asks for")

    def weight(name, part=""):
        tensor = decoded(*found[name])
        if (its := heads(part, num_heads, num_kv_heads)) is not None:
            tensor = converted(tensor, its)
        return matrix(tensor) if part and tensor.ndim == 2 else tensor

    blocks = [
        [
            flattened(weight(f"blk.{i}.{part}.weight", part))
            for part in (parts(names, i) if callable(parts) else parts)
            if f"blk.{i}.{part}.weight" in found
        ]
        for i in numbers(names)
    ]
    ends = (weight(name) if name in found else None for name in wanted[:2])
    first, last = ends
    return out(embedding(first), rows(blocks), last)


with_ = changeable(load)


def as_text(names):
    """blk.10 comes before blk.2."""
    return sorted(range(layers_of(names)), key=str)


def in_the_files_order(names):
    found = [int(n.split(".")[1]) for n in names if n.startswith("blk.")]
    return list(dict.fromkeys(found))


def not_converted(weight, heads):
    return weight


def the_other_way(weight, heads):
    return convert_rope_layout(weight, heads, to="interleaved")


def one_head(weight, heads):
    return convert_rope_layout(weight, 1, to="half")


def query_heads_for_both(part, h, g):
    return h if part in ("attn_q", "attn_k") else None


def key_heads_for_both(part, h, g):
    return g if part in ("attn_q", "attn_k") else None


def exchanged_heads(part, h, g):
    return {"attn_q": g, "attn_k": h}.get(part)


def queries_alone(part, h, g):
    return h if part == "attn_q" else None


def keys_alone(part, h, g):
    return g if part == "attn_k" else None


def values_too(part, h, g):
    return {"attn_q": h, "attn_k": g, "attn_v": g}.get(part)


def turned_then_converted(names, kinds, data, num_heads, num_kv_heads):
    """The columns of (in, out) are what the rows were; its rows are mixed here."""
    return load(
        names,
        kinds,
        data,
        num_heads,
        num_kv_heads,
        converted=lambda w, heads: convert_rope_layout(w.mT, heads, to="half").mT,
    )


def always_q4(kind, data):
    if kind == "F32":
        return data.clone()
    if kind not in ("Q4_1", "Q8_0"):
        raise ValueError(f"{kind} is not known")
    size = {"Q4_1": 20, "Q8_0": 34}[kind]
    if kind == "Q8_0":
        data = data.unflatten(-1, (-1, size))[..., :20].flatten(-2)
    return dequantize_blocks(data, "Q4_1")


def unknown_as_numbers(kind, data):
    return read(kind, data) if kind in ("Q4_1", "Q8_0") else data.clone()


def bytes_as_numbers(kind, data):
    if kind not in ("F32", "Q4_1", "Q8_0"):
        raise ValueError(f"{kind} is not known")
    return data.float() if kind != "F32" else data.clone()


def in_half(kind, data):
    return read(kind, data).half().float()


def in_bfloat16(kind, data):
    return read(kind, data).bfloat16().float()


def norm_second(embedding, blocks, norm):
    return embedding, norm, blocks


def norm_first(embedding, blocks, norm):
    return norm, blocks, embedding


def without_norm(embedding, blocks, norm):
    return embedding, blocks


def by_kind(blocks):
    """All first norms, then all w_q, and so on, cut into as many rows as there are blocks."""
    return torch.cat([part for kind in zip(*blocks, strict=True) for part in kind]).view(
        len(blocks), -1
    )


def one_long_row(blocks):
    return torch.cat([part for block in blocks for part in block])


def in_columns(blocks):
    return row_by_row(blocks).mT


def as_they_are(blocks):
    return blocks


def each_by_itself(embedding, blocks, norm):
    """As ``language_model`` takes them."""
    return (embedding, *(weight for block in blocks for weight in block), norm)


def as_the_file_has_them(names, i):
    """A block's parts in the order in which they come."""
    return [n.split(".")[2] for n in names if n.startswith(f"blk.{i}.")]


def backwards(names):
    return reversed(counted(names))


NORMS_EXCHANGED = ("ffn_norm", *BLOCK[1:5], "attn_norm", *BLOCK[6:])
NORMS_FIRST = ("attn_norm", "ffn_norm", *BLOCK[1:5], *BLOCK[6:])
GATE_AND_UP = (*BLOCK[:6], "ffn_up", "ffn_gate", "ffn_down")
LLAMAS = (*BLOCK[:6], "ffn_gate", "ffn_down", "ffn_up")
"""w1, w2, w3, as in Meta's code."""
ALPHABET = tuple(sorted(BLOCK))
