"""Chapter 9, the KV cache: why the second token is cheap.

A token's keys and values hang on the tokens before it, and on none that follows. So what was
computed once stays right for good, and each new token asks what is there already.

B batch (N of its rows), T and t time, S room for keys, C model width, H heads, G key and value
heads, D width of a head, V vocabulary. Positions count from 0, in each row by itself.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutor.alignment import masked_softmax
from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.families import FamilyConfig, sample
from tutor.multihead import merge_heads, split_heads
from tutor.position import apply_rope

__all__ = [
    "KVCache",
    "RollingCache",
    "chunked_prefill",
    "decode_flops",
    "decode_step",
    "generate",
    "grouped_attention",
    "kv_cache_bytes",
    "stream",
]

Model = Callable[[Tensor, Tensor], Tensor]
"""``model(tokens, rows)``: the scores (N, V) of what follows, after tokens (N, t) that come behind
what the rows (N,) have read before. A model remembers: it is given every token once."""


# What it costs


def kv_cache_bytes(
    num_layers: int,
    width: int,
    num_heads: int,
    num_kv_heads: int,
    tokens: int,
    batch: int = 1,
    dtype: torch.dtype = torch.float16,
) -> int:
    """2 · layers · G · D · tokens · batch · bytes of a number, D = width / H: each layer keeps a
    key and a value of each token, for each of its key heads.

    A window keeps min(tokens, window) of them. ValueError if num_heads does not divide the width,
    or a size is negative.
    """
    _require_sizes(num_layers, width, num_heads, num_kv_heads, tokens, batch)
    numbers = 2 * num_layers * num_kv_heads * (width // num_heads) * tokens * batch
    return numbers * dtype.itemsize


def decode_flops(config: FamilyConfig, past: int, cached: bool = True) -> int:
    """FLOPs of the matrix products that tell the token after ``past`` tokens and one.

    With a cache one token goes through the matrices, and asks past + 1 keys: linear in the past.
    Without it all of them go, and all of them ask. Of a model with decoder layers alone; the
    scores are computed for the last token in both cases.
    """
    width, heads = config.width, config.num_heads
    kv_width = width // heads * (config.num_kv_heads or heads)
    feed = (3 if config.gated else 2) * width * config.hidden_width
    matrices = 2 * width * (width + kv_width) + feed
    asked = past + 1
    through = 1 if cached else asked
    layer = 2 * through * matrices + 4 * through * asked * width
    return config.num_decoder_layers * layer + 2 * width * config.vocabulary


# The caches


class KVCache:
    """The keys and values of all that has been read, in memory that is made once.

    keys, values: (B, G, capacity, D), zeros at first, and written in place. length: how many
    tokens are there. What comes behind is zeros.
    """

    def __init__(
        self,
        batch: int,
        num_kv_heads: int,
        capacity: int,
        head_width: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        shape = batch, num_kv_heads, capacity, head_width
        self.keys, self.values = (torch.zeros(shape, dtype=dtype, device=device) for _ in range(2))
        self.length = 0

    def update(
        self, k: Float[Tensor, "B G t D"], v: Float[Tensor, "B G t D"]
    ) -> tuple[Float[Tensor, "B G T D"], Float[Tensor, "B G T D"]]:
        """Write t tokens behind what is there; views of all that are there now.

        ValueError, and nothing is written, if they do not fit in shape or in number.
        """
        _require_room(self, k, v)
        end = self.length + k.shape[-2]
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def reset(self) -> None:
        """Forget everything, in the same memory."""
        self.keys.zero_()
        self.values.zero_()
        self.length = 0


class RollingCache:
    """The keys and values of the newest tokens, up to a window: Jiang et al. 2023, section 2,
    arXiv:2310.06825.

    keys, values: (B, G, window, D), zeros at first. The token of position p stands at place
    p mod window, where it takes the place of the one that leaves the window; positions (window)
    says who stands where, -1 for nobody. length: how many tokens have been read in all.
    """

    def __init__(
        self,
        batch: int,
        num_kv_heads: int,
        window: int,
        head_width: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        shape = batch, num_kv_heads, window, head_width
        self.keys, self.values = (torch.zeros(shape, dtype=dtype, device=device) for _ in range(2))
        self.positions = torch.full((window,), -1, device=device)
        self.length = 0

    def update(
        self, k: Float[Tensor, "B G t D"], v: Float[Tensor, "B G t D"]
    ) -> tuple[Float[Tensor, "B G n D"], Float[Tensor, "B G n D"], Int[Tensor, " n"]]:
        """Write t tokens; views of the n = min(length, window) that are there now, and of their
        positions, in the order in which they stand. ValueError if shapes do not fit."""
        _require_shapes(self, k, v)
        window, end = self.keys.shape[-2], self.length + k.shape[-2]
        first = max(self.length, end - window)  # of those that are still within it
        behind = first - self.length
        while first < end:  # once, or twice where it goes on at place 0
            place = first % window
            count = min(end - first, window - place)
            self.keys[:, :, place : place + count] = k[:, :, behind : behind + count]
            self.values[:, :, place : place + count] = v[:, :, behind : behind + count]
            arrived = torch.arange(first, first + count, device=self.positions.device)
            self.positions[place : place + count] = arrived
            first, behind = first + count, behind + count
        self.length = end
        return self.held()

    def held(self) -> tuple[Tensor, Tensor, Tensor]:
        """What ``update`` returns, of what is there."""
        n = min(self.length, self.keys.shape[-2])
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]

    def reset(self) -> None:
        """Forget everything, in the same memory."""
        self.keys.zero_()
        self.values.zero_()
        self.positions.fill_(-1)
        self.length = 0


# One layer: reading a prompt, and one token more


def decode_step(
    x: Float[Tensor, "B 1 C"],
    keys: Float[Tensor, "B G S D"],
    values: Float[Tensor, "B G S D"],
    lengths: Int[Tensor, " B"],
    w_q: Float[Tensor, "C HD"],
    w_k: Float[Tensor, "C GD"],
    w_v: Float[Tensor, "C GD"],
    w_out: Float[Tensor, "HD Cout"],
    num_heads: int,
    theta: float = 10_000.0,
) -> tuple[Float[Tensor, "B 1 Cout"], Float[Tensor, "B G 1 D"], Float[Tensor, "B G 1 D"]]:
    """One token of each row through an attention layer: its answer, its key and its value.

    The token stands at position lengths[b], behind as many tokens, whose keys (turned already) and
    values stand at the first lengths[b] places of its row; what stands behind them is not read.
    Query and key are turned by ``apply_rope``; query head h reads key head h // (H / G). The key
    and the value are for the cache to keep.
    ValueError if x has not one token a row, or heads do not divide.
    """
    _require_one_token(x, keys, num_heads)
    groups, room = keys.shape[1:3]
    at = lengths[:, None, None]  # (B, 1, 1): the position of the one token, for all heads
    q = apply_rope(split_heads(x @ w_q, num_heads), at, theta)
    k = apply_rope(split_heads(x @ w_k, groups), at, theta)
    v = split_heads(x @ w_v, groups)
    q = _by_groups(q, groups) * q.shape[-1] ** -0.5  # (B, G, H/G, D)
    keep = torch.arange(room, device=x.device) < at[..., None]  # (B, 1, 1, S)
    keep = torch.cat((keep, torch.ones_like(keep[..., :1])), dim=-1)  # the token reads itself
    shares = masked_softmax(torch.cat((q @ keys.mT, q @ k.mT), dim=-1), keep)
    heads = shares[..., :room] @ values + shares[..., room:] @ v  # the past is not copied
    return merge_heads(_by_heads(heads, 1)) @ w_out, k, v


def chunked_prefill(
    x: Float[Tensor, "B T C"],
    w_q: Float[Tensor, "C HD"],
    w_k: Float[Tensor, "C GD"],
    w_v: Float[Tensor, "C GD"],
    w_out: Float[Tensor, "HD Cout"],
    num_heads: int,
    chunk: int,
    theta: float = 10_000.0,
) -> tuple[Float[Tensor, "B T Cout"], Float[Tensor, "B G T D"], Float[Tensor, "B G T D"]]:
    """Causal self-attention of a prompt, ``chunk`` tokens at a time; its answers, and the keys
    (turned) and values that ``decode_step`` goes on with.

    Agrawal et al. 2023, arXiv:2308.16369. Whatever the chunk, the result is the same; but no more
    than chunk · T scores of a head exist at once. Heads and positions as in ``decode_step``.
    ValueError for a chunk below 1, or heads that do not divide.
    """
    _require_chunk(chunk)
    _require_heads(num_heads, w_q.shape[-1])
    width = w_q.shape[-1] // num_heads
    groups = w_k.shape[-1] // width
    cache = KVCache(x.shape[0], groups, x.shape[1], width, x.dtype, x.device)
    answers = []
    for piece in x.split(chunk, dim=1):
        places = torch.arange(cache.length, cache.length + piece.shape[1], device=x.device)
        q = apply_rope(split_heads(piece @ w_q, num_heads), places, theta)
        k = apply_rope(split_heads(piece @ w_k, groups), places, theta)
        keys, values = cache.update(k, split_heads(piece @ w_v, groups))
        keep = causal_mask(len(places), keys.shape[-2], device=x.device)
        answers.append(merge_heads(grouped_attention(q, keys, values, keep)) @ w_out)
    return torch.cat(answers, dim=1), cache.keys, cache.values


def _by_groups(q: Tensor, groups: int) -> Tensor:
    """(N, H, t, D) -> (N, G, H/G · t, D): the heads of a group are more queries of its keys."""
    return q.reshape(q.shape[0], groups, -1, q.shape[-1])


def _by_heads(answers: Tensor, t: int) -> Tensor:
    """The way back."""
    return answers.reshape(answers.shape[0], -1, t, answers.shape[-1])


def grouped_attention(
    q: Float[Tensor, "N H t D"],
    keys: Float[Tensor, "N G T D"],
    values: Float[Tensor, "N G T D"],
    keep: Bool[Tensor, "..."] | None,
    attention: Callable[..., Tensor] = scaled_dot_product_attention,
) -> Float[Tensor, "N H t D"]:
    """Attention whose keys and values have fewer heads, and are not copied for the others."""
    groups = keys.shape[1]
    if keep is not None:  # as many times as there are heads in a group
        keep = torch.cat((keep,) * (q.shape[1] // groups), dim=-2)
    return _by_heads(attention(_by_groups(q, groups), keys, values, keep), q.shape[2])


# Writing


@torch.no_grad()
def stream(
    model: Model,
    prompts: Sequence[Int[Tensor, " _"]],
    chances: Float[Tensor, "B longest"],
    stop: Int[Tensor, " _"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Iterator[tuple[Int[Tensor, " B"], Bool[Tensor, " B"]]]:
    """What ``generate`` writes, as soon as it is known: a token of each row, and which rows had
    ended before it."""
    _require_prompts(prompts, chances)
    batch, longest = chances.shape
    rows = torch.arange(batch, device=chances.device)
    done = torch.zeros(batch, dtype=torch.bool, device=chances.device)
    for step in range(longest):
        if step == 0:  # each prompt by itself: there is no padding that anybody could read
            read = (model(p[None], rows[b : b + 1]) for b, p in enumerate(prompts))
            logits = torch.cat(list(read))
        else:
            logits = model(newest[:, None], rows)
        drawn = sample(logits, chances[:, step], temperature, top_k, top_p)
        newest = drawn if step == 0 else torch.where(done, newest, drawn)
        yield newest, done
        done = done | torch.isin(newest, stop)
        if done.all():
            return


def generate(
    model: Model,
    prompts: Sequence[Int[Tensor, " _"]],
    chances: Float[Tensor, "B longest"],
    stop: Int[Tensor, " _"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Tokens behind each prompt, one after another, and how many of each row are its own.

    The model reads each prompt by itself, and then the newest token of all rows in one call, each
    token once. The token of row b in step s is drawn by ``sample`` with chances[b, s]. A row ends
    with the first token that is in ``stop``, which belongs to it, and repeats it while others
    write; all end after longest tokens. What is not going to be used is not asked for.
    ValueError if there are not as many prompts as rows of chances, or a prompt is empty.
    """
    steps = list(stream(model, prompts, chances, stop, temperature, top_k, top_p))
    if not steps:
        empty = torch.zeros(chances.shape, dtype=torch.int64, device=chances.device)
        return empty, empty.sum(-1)
    written, ended = (torch.stack(parts, dim=1) for parts in zip(*steps, strict=True))
    return written, (~ended).sum(-1)


def _require_sizes(layers: int, width: int, heads: int, *others: int) -> None:
    if min(layers, width, *others) < 0:
        raise ValueError(f"no size may be negative, got {(layers, width, heads, *others)}")
    _require_heads(heads, width)


def _require_heads(heads: int, width: int) -> None:
    if heads < 1 or width % heads:
        raise ValueError(f"num_heads ({heads}) must divide width ({width})")


def _require_shapes(cache: KVCache | RollingCache, k: Tensor, v: Tensor) -> None:
    b, g, _, d = cache.keys.shape
    if k.ndim != 4 or k.shape != v.shape or (*k.shape[:2], k.shape[-1]) != (b, g, d):
        raise ValueError(
            f"k and v must be (B, G, t, D) with B, G, D = {b}, {g}, {d}, got "
            f"{tuple(k.shape)} and {tuple(v.shape)}"
        )


def _require_room(cache: KVCache, k: Tensor, v: Tensor) -> None:
    _require_shapes(cache, k, v)
    capacity = cache.keys.shape[-2]
    if cache.length + k.shape[-2] > capacity:
        raise ValueError(
            f"{k.shape[-2]} tokens behind {cache.length} are more than the {capacity} that fit"
        )


def _require_one_token(x: Tensor, keys: Tensor, num_heads: int) -> None:
    if x.shape[1:-1] != (1,):
        raise ValueError(f"x must have one token a row, (B, 1, C), got {tuple(x.shape)}")
    if num_heads < 1 or num_heads % keys.shape[1]:
        raise ValueError(f"{keys.shape[1]} key heads must divide num_heads ({num_heads})")


def _require_chunk(chunk: int) -> None:
    if chunk < 1:
        raise ValueError(f"a chunk has at least one token, got {chunk}")


def _require_prompts(prompts: Sequence[Tensor], chances: Tensor) -> None:
    lengths = [len(p) for p in prompts]
    if len(lengths) != len(chances) or not all(lengths):
        raise ValueError(
            f"{len(chances)} rows of chances need as many prompts of one token and more, "
            f"got lengths {lengths}"
        )
