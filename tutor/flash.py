"""Chapter 11, FlashAttention: the same answer without the matrix.

The softmax in one pass, attention in tiles of it, its backward pass, which computes the weights
again, and the same as a kernel in Triton. Dao et al. 2022 (arXiv:2205.14135), in the order of loops
of Dao 2023 (arXiv:2307.08691).

A causal query reads its own position and those before it; the last query stands at the last key, as
in chapter 3's ``causal_mask``. A query that may read nothing gets zeros, and the log-sum-exp -∞.

H heads of queries, G heads of keys and values (query head h reads head h // (H // G)), Tq and Tk
queries and keys in time, D and Dv widths of one head's keys and of its values.
"""

import math
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor

if not torch.cuda.device_count():  # before Triton is imported: kernels are then run as Python
    os.environ.setdefault("TRITON_INTERPRET", "1")
try:
    import triton
    import triton.language as tl
except ModuleNotFoundError:  # there is none for Windows and macOS
    triton, tl = None, SimpleNamespace(constexpr=int)

__all__ = [
    "attention_io_bytes",
    "flash_attention",
    "flash_attention_triton",
    "flash_backward",
    "flash_forward",
    "flash_kernel",
    "online_softmax",
    "visible_tiles",
]

QUERY_TILE, KEY_TILE = 128, 256
"""Of a CPU: eight heads of such tiles fit into its second cache."""


def online_softmax(
    scores: Float[Tensor, "*rows N"],
    maximum: Float[Tensor, "*rows"],
    total: Float[Tensor, "*rows"],
) -> tuple[
    Float[Tensor, "*rows"],
    Float[Tensor, "*rows"],
    Float[Tensor, "*rows N"],
    Float[Tensor, "*rows"],
]:
    """The next N scores of a stream: m' = max(m, max s), l' = l · e^(m - m') + Σ e^(s - m').

    Milakov and Gimelshein 2018, algorithm 3, arXiv:1805.02867. ``maximum`` m and ``total`` l are
    those of all scores so far, -∞ and 0 before the first. Returns m', l', the weights e^(s - m'),
    not yet divided by any sum, and the factor e^(m - m') by which every sum of earlier weights has
    to be multiplied, l included. The softmax of the stream is e^(s - m') / l' after its last piece,
    and m' + ln l' the logarithm of Σ e^s. Where all scores so far are -∞, weights and l' are 0.
    """
    largest = torch.maximum(maximum, scores.amax(-1))
    # -∞ - -∞ would be nan: what was never seen is measured from 0.
    level = largest.masked_fill(largest == -math.inf, 0.0)
    weights = (scores - level[..., None]).exp_()
    factor = (maximum - level).exp_()
    return largest, total * factor + weights.sum(-1), weights, factor


def visible_tiles(
    num_queries: int, num_keys: int, query_tile: int, key_tile: int
) -> list[tuple[int, int]]:
    """(whole, end) of each tile of queries under the causal limit j ≤ i + Tk - Tq.

    Its queries may read all keys in the key tiles below ``whole``, some keys in those from there
    below ``end``, and none from ``end`` on. The last tiles may be ragged.
    ValueError if a tile has no row.
    """
    if min(query_tile, key_tile) < 1:
        raise ValueError(f"a tile has at least one row: {query_tile} queries, {key_tile} keys")
    found = []
    for start in range(0, num_queries, query_tile):
        stop = min(start + query_tile, num_queries)
        # How many keys the first query of the tile may read, and the last.
        fewest, most = (max(i + 1 + num_keys - num_queries, 0) for i in (start, stop - 1))
        end = -(-most // key_tile)
        found.append((end if fewest == num_keys else fewest // key_tile, end))
    return found


def flash_forward(
    q: Float[Tensor, "*batch H Tq D"],
    k: Float[Tensor, "*batch G Tk D"],
    v: Float[Tensor, "*batch G Tk Dv"],
    causal: bool = False,
    query_tile: int = QUERY_TILE,
    key_tile: int = KEY_TILE,
) -> tuple[Float[Tensor, "*batch H Tq Dv"], Float[Tensor, "*batch H Tq"]]:
    """softmax(q kᵀ / √D) v, and ln Σ_j e^(q k_j / √D) of each query, a tile of scores at a time.

    Dao 2023, algorithm 1, arXiv:2307.08691. No tensor has more than a tile's scores of each head,
    but the answers. Sums are in float32 where the inputs are shorter, and so is the log-sum-exp.
    ValueError, with the shapes, if q, k and v do not fit together.
    """
    groups = _require_fit(q, k, v)
    wide = torch.promote_types(q.dtype, torch.float32)
    out = q.new_empty(*q.shape[:-1], v.shape[-1])
    lse = q.new_empty(q.shape[:-1], dtype=wide)
    for rows, columns in _tiles(q.shape[-2], k.shape[-2], causal, query_tile, key_tile):
        # (*batch, G, H/G · rows, D): the heads of a group read the same keys.
        queries = q[..., rows, :].unflatten(-3, (groups, -1)).to(wide) * q.shape[-1] ** -0.5
        shape = queries.shape[:-1]
        queries = queries.flatten(-3, -2)
        total = queries.new_zeros(queries.shape[:-1])
        maximum = torch.full_like(total, -math.inf)
        answer = queries.new_zeros(*total.shape, v.shape[-1])
        for keys, masked in columns:
            scores = queries @ k[..., keys, :].to(wide).mT
            if masked:
                hidden = _hidden(rows, keys, q.shape[-2], k.shape[-2], q.device)
                scores.unflatten(-2, shape[-2:]).masked_fill_(hidden, -math.inf)
            maximum, total, weights, factor = online_softmax(scores, maximum, total)
            answer.mul_(factor[..., None]).add_(weights @ v[..., keys, :].to(wide))
        answer /= total.masked_fill(total == 0, 1.0)[..., None]  # 0 / 1 where nothing was read
        out[..., rows, :] = answer.unflatten(-2, shape[-2:]).flatten(-4, -3)
        lse[..., rows] = (maximum + total.log()).unflatten(-1, shape[-2:]).flatten(-3, -2)
    return out, lse


def flash_backward(
    grad_out: Float[Tensor, "*batch H Tq Dv"],
    q: Float[Tensor, "*batch H Tq D"],
    k: Float[Tensor, "*batch G Tk D"],
    v: Float[Tensor, "*batch G Tk Dv"],
    out: Float[Tensor, "*batch H Tq Dv"],
    lse: Float[Tensor, "*batch H Tq"],
    causal: bool = False,
    query_tile: int = QUERY_TILE,
    key_tile: int = KEY_TILE,
) -> tuple[
    Float[Tensor, "*batch H Tq D"], Float[Tensor, "*batch G Tk D"], Float[Tensor, "*batch G Tk Dv"]
]:
    """∂L/∂q, ∂L/∂k, ∂L/∂v from ∂L/∂out and what ``flash_forward`` gave, a tile at a time.

    The weights are computed again, w = e^(s - lse): Dao 2023, algorithm 2, arXiv:2307.08691. Then
    as in chapter 3, ds = w ∘ (grad_out vᵀ - δ), where δ = Σ_c grad_out out of each query is what
    Σ_j w_j dw_j of the whole row is (Dao et al. 2022, appendix B.2), known before the first tile.
    """
    groups = _require_fit(q, k, v)
    wide = torch.promote_types(q.dtype, torch.float32)
    scale = q.shape[-1] ** -0.5
    grad_q = q.new_zeros(q.shape, dtype=wide).unflatten(-3, (groups, -1))
    grad_k, grad_v = (torch.zeros_like(t, dtype=wide) for t in (k, v))
    delta = (grad_out.to(wide) * out).sum(-1)
    lse = lse.masked_fill(lse == -math.inf, math.inf)  # e^(s - ∞) = 0: nothing was read
    for rows, columns in _tiles(q.shape[-2], k.shape[-2], causal, query_tile, key_tile):
        queries, grads = (
            t[..., rows, :].unflatten(-3, (groups, -1)).to(wide).flatten(-3, -2)
            for t in (q, grad_out)
        )
        queries = queries * scale  # the very scores of the forward pass, rounding included
        level, less = (
            t[..., rows].unflatten(-2, (groups, -1)).flatten(-2)[..., None] for t in (lse, delta)
        )
        of_queries, shape = torch.zeros_like(queries), grad_q[..., rows, :].shape[-3:-1]
        for keys, masked in columns:
            key, value = (t[..., keys, :].to(wide) for t in (k, v))
            weights = (queries @ key.mT).sub_(level).exp_()
            if masked:
                hidden = _hidden(rows, keys, q.shape[-2], k.shape[-2], q.device)
                weights.unflatten(-2, shape).masked_fill_(hidden, 0.0)
            grad_v[..., keys, :] += weights.mT @ grads
            grad_scores = (grads @ value.mT).sub_(less).mul_(weights)
            grad_k[..., keys, :] += grad_scores.mT @ queries
            of_queries += grad_scores @ key
        grad_q[..., rows, :] = of_queries.unflatten(-2, shape)
    grad_q = grad_q.flatten(-4, -3).mul_(scale)
    return tuple(g.to(q.dtype) for g in (grad_q, grad_k, grad_v))


def flash_attention(
    q: Float[Tensor, "*batch H Tq D"],
    k: Float[Tensor, "*batch G Tk D"],
    v: Float[Tensor, "*batch G Tk Dv"],
    causal: bool = False,
    query_tile: int = QUERY_TILE,
    key_tile: int = KEY_TILE,
) -> Float[Tensor, "*batch H Tq Dv"]:
    """softmax(q kᵀ / √D) v with ``flash_forward`` and ``flash_backward``.

    What is kept in between is q, k, v, the answer and one number a query, and no weights.
    """
    return _Tiled.apply(q, k, v, causal, query_tile, key_tile)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, causal, query_tile, key_tile):
        out, lse = flash_forward(q, k, v, causal, query_tile, key_tile)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.setting = causal, query_tile, key_tile
        return out

    @staticmethod
    def backward(ctx, grad_out):
        return *flash_backward(grad_out, *ctx.saved_tensors, *ctx.setting), None, None, None


def attention_io_bytes(
    num_tokens: int, width: int, sram_bytes: int, element_bytes: int = 2
) -> tuple[int, int]:
    """Bytes between a GPU's large and its small memory in one head's forward pass: (plain, tiled).

    plain, in three steps that each read and write the large memory: read q and k, write T·T scores;
    read them, write as many weights; read those and v, write the answer: 4 T² + 4 T D numbers.
    tiled: rows R of a tile, as many as fit: four tiles of R·D (q, k, v, answer) and one of R·R
    scores take at most ``sram_bytes``, and R is at most T. q is read and the answer written once,
    k and v once for each tile of queries: 2 T D + ⌈T / R⌉ · 2 T D numbers. Nothing is causal.
    ValueError if not even a tile of one row fits.
    """
    room = sram_bytes // element_bytes
    # The largest R with R² + 4 D R ≤ room.
    rows = min(math.isqrt(4 * width * width + room) - 2 * width, num_tokens)
    if rows < 1:
        raise ValueError(
            f"{sram_bytes} bytes do not hold one row of width {width}, {element_bytes} bytes each"
        )
    pass_over = 2 * num_tokens * width  # k and v, or q and the answer
    plain = 4 * num_tokens * num_tokens + 2 * pass_over
    tiled = (1 + -(-num_tokens // rows)) * pass_over
    return plain * element_bytes, tiled * element_bytes


def _tiles(
    num_queries: int, num_keys: int, causal: bool, query_tile: int, key_tile: int
) -> Iterator[tuple[slice, list[tuple[slice, bool]]]]:
    """The rows of each tile of queries, and what it reads: columns, and whether some are hidden."""
    if causal:
        ends = visible_tiles(num_queries, num_keys, query_tile, key_tile)
    else:
        ends = [(-(-num_keys // key_tile),) * 2] * -(-num_queries // query_tile)
    for i, (whole, end) in enumerate(ends):
        columns = [(slice(j * key_tile, (j + 1) * key_tile), j >= whole) for j in range(end)]
        yield slice(i * query_tile, (i + 1) * query_tile), columns


def _hidden(
    rows: slice, keys: slice, num_queries: int, num_keys: int, device: torch.device
) -> Tensor:
    """Of a tile, True where the key lies behind the query."""
    place = torch.arange(num_queries, device=device)[rows] + (num_keys - num_queries)
    return torch.arange(num_keys, device=device)[keys] > place[:, None]


def _require_fit(q: Tensor, k: Tensor, v: Tensor) -> int:
    """The number of key heads; ValueError, naming the shapes, unless they fit together."""
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if min(q.ndim, k.ndim, v.ndim) < 3:
        raise ValueError(f"q, k and v need heads, a time and a width: {shapes}")
    if q.shape[-1] != k.shape[-1] or v.shape[:-1] != k.shape[:-1] or q.shape[:-3] != k.shape[:-3]:
        raise ValueError(f"q, k and v do not fit together: {shapes}")
    heads, groups = q.shape[-3], k.shape[-3]
    if groups < 1 or heads % groups:
        raise ValueError(f"key heads ({groups}) must divide query heads ({heads}): {shapes}")
    return groups


# The same in Triton


def _jit(function: Callable) -> Callable:
    """A kernel; its annotations are Triton's, and nobody else's to check."""
    return function if triton is None else triton.jit(function)


@_jit
@no_type_check
def _scores(q, k, rows, keys, scale, num_queries, num_keys, CAUSAL: tl.constexpr):
    """Of a tile, -∞ where a key is hidden or is none."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    visible = (rows[:, None] < num_queries) & (keys[None, :] < num_keys)
    if CAUSAL:
        visible = visible & (keys[None, :] <= rows[:, None] + (num_keys - num_queries))
    return tl.where(visible, scores, float("-inf"))


@_jit
@no_type_check
def flash_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
    scale,
    num_queries,
    num_keys,
    width,
    share,
    CAUSAL: tl.constexpr,
    QUERY_TILE: tl.constexpr,
    KEY_TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """``flash_forward`` of one tile of queries of one head: program (tile, head).

    q and out are (heads, num_queries, width) in memory, k and v (heads / share, num_keys, width),
    lse (heads, num_queries). Tiles are powers of two; WIDTH is the next one from ``width`` on.
    """
    tile, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    q_ptr += head * num_queries * width
    out_ptr += head * num_queries * width
    lse_ptr += head * num_queries
    k_ptr += head // share * num_keys * width
    v_ptr += head // share * num_keys * width
    column = tl.arange(0, WIDTH)[None, :]
    rows = tile * QUERY_TILE + tl.arange(0, QUERY_TILE)
    of_rows = rows[:, None] * width + column
    in_rows = (rows[:, None] < num_queries) & (column < width)

    q = tl.load(q_ptr + of_rows, in_rows, 0.0)
    maximum = tl.full([QUERY_TILE], float("-inf"), tl.float32)
    total = tl.zeros([QUERY_TILE], tl.float32)
    answer = tl.zeros([QUERY_TILE, WIDTH], tl.float32)
    end = num_keys
    if CAUSAL:  # what the last query of the tile may read
        end = tl.minimum((tile + 1) * QUERY_TILE + (num_keys - num_queries), num_keys)
    for start in range(0, end, KEY_TILE):
        keys = start + tl.arange(0, KEY_TILE)
        of_keys = keys[:, None] * width + column
        in_keys = (keys[:, None] < num_keys) & (column < width)
        k = tl.load(k_ptr + of_keys, in_keys, 0.0)
        v = tl.load(v_ptr + of_keys, in_keys, 0.0)
        scores = _scores(q, k, rows, keys, scale, num_queries, num_keys, CAUSAL)
        largest = tl.maximum(maximum, tl.max(scores, 1))
        level = tl.where(largest == float("-inf"), 0.0, largest)
        weights = tl.exp(scores - level[:, None])
        factor = tl.exp(maximum - level)
        total = total * factor + tl.sum(weights, 1)
        read = tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        answer = answer * factor[:, None] + read
        maximum = largest
    total = tl.where(total == 0.0, 1.0, total)  # of a query that may read nothing
    answer = answer / total[:, None]
    tl.store(out_ptr + of_rows, answer.to(out_ptr.dtype.element_ty), in_rows)
    tl.store(lse_ptr + rows, maximum + tl.log(total), rows < num_queries)


@_jit
@no_type_check
def _of_queries_kernel(
    grad_out_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    lse_ptr,
    delta_ptr,
    grad_q_ptr,
    scale,
    num_queries,
    num_keys,
    width,
    share,
    CAUSAL: tl.constexpr,
    QUERY_TILE: tl.constexpr,
    KEY_TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """grad_q of one tile of queries of one head, over all keys that it reads."""
    tile, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    q_ptr += head * num_queries * width
    grad_out_ptr += head * num_queries * width
    grad_q_ptr += head * num_queries * width
    lse_ptr += head * num_queries
    delta_ptr += head * num_queries
    k_ptr += head // share * num_keys * width
    v_ptr += head // share * num_keys * width
    column = tl.arange(0, WIDTH)[None, :]
    rows = tile * QUERY_TILE + tl.arange(0, QUERY_TILE)
    of_rows = rows[:, None] * width + column
    in_rows = (rows[:, None] < num_queries) & (column < width)

    q = tl.load(q_ptr + of_rows, in_rows, 0.0)
    grad_out = tl.load(grad_out_ptr + of_rows, in_rows, 0.0)
    lse = tl.load(lse_ptr + rows, rows < num_queries, float("inf"))
    delta = tl.load(delta_ptr + rows, rows < num_queries, 0.0)
    grad_q = tl.zeros([QUERY_TILE, WIDTH], tl.float32)
    end = num_keys
    if CAUSAL:
        end = tl.minimum((tile + 1) * QUERY_TILE + (num_keys - num_queries), num_keys)
    for start in range(0, end, KEY_TILE):
        keys = start + tl.arange(0, KEY_TILE)
        of_keys = keys[:, None] * width + column
        in_keys = (keys[:, None] < num_keys) & (column < width)
        k = tl.load(k_ptr + of_keys, in_keys, 0.0)
        v = tl.load(v_ptr + of_keys, in_keys, 0.0)
        scores = _scores(q, k, rows, keys, scale, num_queries, num_keys, CAUSAL)
        weights = tl.exp(scores - lse[:, None])
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision="ieee")
        grad_scores = weights * (grad_weights - delta[:, None])
        grad_q += tl.dot(grad_scores.to(k.dtype), k, input_precision="ieee")
    tl.store(grad_q_ptr + of_rows, (grad_q * scale).to(grad_q_ptr.dtype.element_ty), in_rows)


@_jit
@no_type_check
def _of_keys_kernel(
    grad_out_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    lse_ptr,
    delta_ptr,
    grad_k_ptr,
    grad_v_ptr,
    scale,
    num_queries,
    num_keys,
    width,
    share,
    CAUSAL: tl.constexpr,
    QUERY_TILE: tl.constexpr,
    KEY_TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """grad_k and grad_v of one tile of keys, over all queries of all heads that read it."""
    tile, group = tl.program_id(0), tl.program_id(1).to(tl.int64)
    k_ptr += group * num_keys * width
    v_ptr += group * num_keys * width
    grad_k_ptr += group * num_keys * width
    grad_v_ptr += group * num_keys * width
    column = tl.arange(0, WIDTH)[None, :]
    keys = tile * KEY_TILE + tl.arange(0, KEY_TILE)
    of_keys = keys[:, None] * width + column
    in_keys = (keys[:, None] < num_keys) & (column < width)

    k = tl.load(k_ptr + of_keys, in_keys, 0.0)
    v = tl.load(v_ptr + of_keys, in_keys, 0.0)
    grad_k = tl.zeros([KEY_TILE, WIDTH], tl.float32)
    grad_v = tl.zeros([KEY_TILE, WIDTH], tl.float32)
    first = 0
    if CAUSAL:  # the first query that may read the tile's first key
        first = tl.maximum(tile * KEY_TILE - (num_keys - num_queries), 0)
        first = first // QUERY_TILE * QUERY_TILE
    for i in range(0, share):
        head = group * share + i
        for start in range(first, num_queries, QUERY_TILE):
            rows = start + tl.arange(0, QUERY_TILE)
            of_rows = head * num_queries * width + rows[:, None] * width + column
            in_rows = (rows[:, None] < num_queries) & (column < width)
            one_each = head * num_queries + rows
            q = tl.load(q_ptr + of_rows, in_rows, 0.0)
            grad_out = tl.load(grad_out_ptr + of_rows, in_rows, 0.0)
            lse = tl.load(lse_ptr + one_each, rows < num_queries, float("inf"))
            delta = tl.load(delta_ptr + one_each, rows < num_queries, 0.0)
            scores = _scores(q, k, rows, keys, scale, num_queries, num_keys, CAUSAL)
            weights = tl.exp(scores - lse[:, None])
            turned = tl.trans(weights.to(grad_out.dtype))
            grad_v += tl.dot(turned, grad_out, input_precision="ieee")
            grad_weights = tl.dot(grad_out, tl.trans(v), input_precision="ieee")
            grad_scores = weights * (grad_weights - delta[:, None])
            grad_k += tl.dot(tl.trans(grad_scores.to(q.dtype)), q, input_precision="ieee")
    tl.store(grad_k_ptr + of_keys, (grad_k * scale).to(grad_k_ptr.dtype.element_ty), in_keys)
    tl.store(grad_v_ptr + of_keys, grad_v.to(grad_v_ptr.dtype.element_ty), in_keys)


def flash_attention_triton(
    q: Float[Tensor, "*batch H Tq D"],
    k: Float[Tensor, "*batch G Tk D"],
    v: Float[Tensor, "*batch G Tk D"],
    causal: bool = False,
    query_tile: int = 64,
    key_tile: int = 64,
) -> Float[Tensor, "*batch H Tq D"]:
    """``flash_attention`` as kernels in Triton, forward and backward; sums are in float32.

    Compiled for the GPU that the tensors are on; run as Python, a thousand times as slowly, where
    the environment had ``TRITON_INTERPRET=1`` when this module was imported, as it is set by itself
    where there is no GPU. Tiles are powers of two, of 16 rows at least.
    ValueError for other tiles, and if q, k and v do not fit together or v is of another width;
    RuntimeError where there is no Triton, or a compiled kernel and tensors that are on no GPU.
    """
    _require_fit(q, k, v)
    if v.shape[-1] != q.shape[-1]:
        raise ValueError(f"the kernel needs values of width {q.shape[-1]}, got {v.shape[-1]}")
    for tile in (query_tile, key_tile):
        if tile < 16 or tile & (tile - 1):
            raise ValueError(f"tiles are powers of two from 16 on, got {query_tile} × {key_tile}")
    if triton is None:
        raise RuntimeError("Triton is not installed: there are packages for Linux alone")
    compiled = isinstance(flash_kernel, triton.JITFunction)
    if compiled and not q.is_cuda:
        raise RuntimeError(f"a compiled kernel needs tensors on a GPU, got {q.device}")
    if not compiled and q.dtype == torch.bfloat16:
        # The interpreter of Triton 3.7 multiplies the bits of bfloat16 as if they were integers.
        q, k, v = (t.float() for t in (q, k, v))
        return _Kernels.apply(q, k, v, causal, query_tile, key_tile).bfloat16()
    return _Kernels.apply(q, k, v, causal, query_tile, key_tile)


class _Kernels(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, causal, query_tile, key_tile):
        q, k, v = (t.contiguous() for t in (q, k, v))
        out, lse = torch.empty_like(q), q.new_empty(q.shape[:-1], dtype=torch.float32)
        ctx.setting = _setting(q, k, causal, query_tile, key_tile)
        tiles, heads = -(-q.shape[-2] // query_tile), q.shape[:-2].numel()
        flash_kernel[tiles, heads](q, k, v, out, lse, **ctx.setting)
        ctx.save_for_backward(q, k, v, out, lse)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        q, k, v, out, lse = ctx.saved_tensors
        grad_out = grad_out.contiguous()
        delta = (grad_out.float() * out).sum(-1)
        lse = lse.masked_fill(lse == -math.inf, math.inf)
        grads = grad_q, grad_k, grad_v = tuple(map(torch.empty_like, (q, k, v)))
        given = grad_out, q, k, v, lse, delta
        tiles = -(-q.shape[-2] // ctx.setting["QUERY_TILE"])
        _of_queries_kernel[tiles, q.shape[:-2].numel()](*given, grad_q, **ctx.setting)
        tiles = -(-k.shape[-2] // ctx.setting["KEY_TILE"])
        _of_keys_kernel[tiles, k.shape[:-2].numel()](*given, grad_k, grad_v, **ctx.setting)
        return *grads, None, None, None


def _setting(
    q: Tensor, k: Tensor, causal: bool, query_tile: int, key_tile: int
) -> dict[str, int | float | bool]:
    """What all kernels are told besides their tensors."""
    return {
        "scale": q.shape[-1] ** -0.5,
        "num_queries": q.shape[-2],
        "num_keys": k.shape[-2],
        "width": q.shape[-1],
        "share": q.shape[-3] // k.shape[-3],
        "CAUSAL": causal,
        "QUERY_TILE": query_tile,
        "KEY_TILE": key_tile,
        "WIDTH": max(16, 1 << (q.shape[-1] - 1).bit_length()),
    }


def _interpret() -> None:
    """Triton's own functions, too, are run as Python, if it was imported before this module."""
    from triton.runtime.interpreter import InterpretedFunction

    def method(function: Callable) -> Callable:
        return lambda *args, **kwargs: function(*args, **kwargs)

    for place in (tl, tl.standard, tl.math, tl.random, tl.tensor):
        for name, function in list(vars(place).items()):
            if isinstance(function, triton.JITFunction):
                function = InterpretedFunction(function.fn)
                setattr(place, name, method(function) if place is tl.tensor else function)


if triton is not None and not isinstance(flash_kernel, triton.JITFunction):
    _interpret()
