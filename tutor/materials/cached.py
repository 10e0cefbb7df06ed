"""A model of chapter 8 that remembers: the decoder of any family, with chapter 9's caches in it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn import functional as F

from tutor.attention import causal_mask, padding_mask
from tutor.families import FamilyModel, RelativeAttention, RotatedAttention, unscaled_attention
from tutor.kv_cache import KVCache, RollingCache, grouped_attention
from tutor.multihead import MultiHeadAttention, merge_heads, split_heads

__all__ = ["CachedModel", "stored_for_decoding"]


def stored_for_decoding(model: nn.Module, rows: int = 1) -> nn.Module:
    """The same model, in place, whose matrices (out, in) lie in memory as a step wants them.

    One token is a product of a vector and a matrix, which takes as long as it takes to read the
    matrix: it lies as (in, out). For several ``rows`` the library would first copy a matrix, block
    by block, in each product; where torch has oneDNN, that is done once, beside the matrix.
    Shapes, names and numbers stay as they are, and who shares a matrix goes on to share it.
    """
    stored: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.ndim != 2:
                continue
            key = weight.data_ptr()
            if key not in stored:
                stored[key] = _stored(weight, rows)
            setattr(module, name, stored[key])
    return model


def _stored(weight: nn.Parameter, rows: int) -> nn.Parameter:
    here = weight.device.type == "cpu" and weight.dtype == torch.float32
    if rows == 1 or not (here and torch.backends.mkldnn.is_available()):
        turned = weight.detach().mT.contiguous().mT
        return nn.Parameter(turned, weight.requires_grad)
    found = torch.Tensor._make_subclass(_Packed, weight.detach().contiguous(), False)
    found.rows = rows
    found.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)
    return found


class _Packed(nn.Parameter):
    """A matrix that is there twice: as it is, and in the order in which oneDNN reads it for so many
    rows. A product with as many takes the second; all else takes the first."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            if func is F.linear and not kwargs and isinstance(args[1], cls):
                x, weight, bias = (*args, None)[:3]
                if x.numel() == weight.rows * x.shape[-1]:
                    one = torch.ops.mkldnn._linear_pointwise
                    return one(x, weight.packed, bias, "none", [], "")
            return func(*args, **(kwargs or {}))


@dataclass
class _Together:
    """Rows that are asked in one call, and what they have read."""

    rows: tuple[int, ...]
    caches: list[KVCache | RollingCache]
    counts: list[int]
    """Tokens that each row has read."""
    real: Bool[Tensor, "N T"] | None = None
    """Which places of the caches hold a token; None if all do."""
    memory: tuple[tuple[Tensor, Tensor], ...] = ()
    """Of each layer, keys and values of what an encoder has read."""
    memory_keep: Tensor | None = None


class CachedModel:
    """A ``FamilyModel`` that writes, with a cache in each layer of its decoder.

    ``model(tokens, rows)`` is what ``generate`` asks. capacity: tokens that a row may have. With a
    window each token reads only so many, itself included. source (B, S) and its lengths: what a
    model with an encoder reads first; the keys and values of it are computed once.
    Rows that are asked together lie together; where they have read more or less, the shorter ones
    leave places empty, which nobody reads.
    """

    def __init__(
        self,
        model: FamilyModel,
        capacity: int,
        window: int | None = None,
        source: Int[Tensor, "B S"] | None = None,
        lengths: Int[Tensor, " B"] | None = None,
    ) -> None:
        self.capacity, self.window, self.config = capacity, window, model.config
        shared = {id(p): p for p in model.parameters()}
        self.model = copy.deepcopy(model, shared)  # with weights in common
        self.layers = self.model.decoder.layers
        for i, layer in enumerate(self.layers):
            _put(layer.self_attn, _Reader(self, i, layer.self_attn.attention))
        self.known: dict[int, tuple[_Together, int]] = {}
        self.now = _Together((), [], [])
        self.memory, self.memory_keep = (), None
        if self.config.num_encoder_layers:
            self._read_source(source, lengths)

    @torch.inference_mode()
    def __call__(self, tokens: Int[Tensor, "N t"], rows: Int[Tensor, " N"]) -> Tensor:
        """Scores (N, V) of what follows the last token of each row."""
        return self.model.scores(self._hidden(tokens, rows)[:, -1])

    @torch.inference_mode()
    def read(self, tokens: Int[Tensor, "N t"], rows: Int[Tensor, " N"]) -> Tensor:
        """Scores (N, t, V) of what follows each token."""
        return self.model.scores(self._hidden(tokens, rows))

    @property
    def nbytes(self) -> int:
        """What the caches of the rows that were asked last take, all of their capacity."""
        return sum(c.keys.nbytes + c.values.nbytes for c in self.now.caches)

    def reset(self) -> None:
        """Forget all that rows have read."""
        self.known, self.now = {}, _Together((), [], [])

    def _hidden(self, tokens: Tensor, rows: Tensor) -> Tensor:
        now = self.now = self._together(tuple(rows.tolist()))
        n, t = tokens.shape
        before = torch.arange(t, device=tokens.device)
        if now.real is None:
            self.places = now.counts[0] + before  # (t,)
            self.key_places = torch.arange(now.counts[0] + t, device=tokens.device)
        else:
            now.real = torch.cat((now.real, now.real.new_ones(n, t)), dim=1)
            counts = torch.tensor(now.counts, device=tokens.device)
            self.places = counts[:, None] + before  # (N, t)
            self.key_places = (now.real.cumsum(-1) - 1).masked_fill(~now.real, self.capacity)
        self.keep = self._keep(now, t)
        now.counts = [count + t for count in now.counts]
        x = self.model.decoder_embedding(tokens, places=self.places)
        if not self.config.num_encoder_layers:
            return self.model.decoder(x)
        return self.model.decoder(x, now.memory[0][0])  # whose keys and values are there already

    def _keep(self, now: _Together, t: int) -> Tensor | None:
        """(N, 1, t, T) or (t, T); None where each token may read all that is there."""
        if now.real is None:
            return causal_mask(t, len(self.key_places), self.places.device) if t > 1 else None
        return (self.key_places[:, None] <= self.places[..., None])[:, None]

    def _together(self, rows: tuple[int, ...]) -> _Together:
        """The rows in one place, with all that they have read: brought there if they are not."""
        if rows == self.now.rows:
            return self.now
        found = [self.known.get(row) for row in rows]
        counts = [0 if f is None else f[0].counts[f[1]] for f in found]
        memory = tuple((k[list(rows)], v[list(rows)]) for k, v in self.memory)
        keep = None if self.memory_keep is None else self.memory_keep[list(rows)]
        made = _Together(rows, [self._cache(len(rows)) for _ in self.layers], counts, None, memory)
        made.memory_keep = keep
        if any(counts):
            self._bring(made, found)
        self.known |= {row: (made, i) for i, row in enumerate(rows)}
        return made

    def _bring(self, made: _Together, found: list[tuple[_Together, int] | None]) -> None:
        if self.window is not None and len(set(made.counts)) > 1:
            raise ValueError(f"rows of one window must have read as much: {made.counts}")
        filled = [0 if f is None else f[0].caches[0].length for f in found]
        longest, weight = max(filled), self.model.decoder_embedding.token.weight
        real = torch.zeros(len(found), longest, dtype=torch.bool, device=weight.device)
        for i, f in enumerate(found):
            if f is None:
                continue
            group, row = f
            real[i, : filled[i]] = True if group.real is None else group.real[row]
            for mine, theirs in zip(made.caches, group.caches, strict=True):
                mine.keys[i, :, : filled[i]] = theirs.keys[row, :, : filled[i]]
                mine.values[i, :, : filled[i]] = theirs.values[row, :, : filled[i]]
                if self.window is not None:
                    mine.positions.copy_(theirs.positions)
        for cache in made.caches:
            cache.length = longest
        made.real = None if bool(real.all()) else real

    def _cache(self, n: int) -> KVCache | RollingCache:
        config, weight = self.config, self.model.decoder_embedding.token.weight
        groups, width = config.num_kv_heads or config.num_heads, config.width // config.num_heads
        made = KVCache if self.window is None else RollingCache
        room = self.capacity if self.window is None else self.window
        return made(n, groups, room, width, weight.dtype, weight.device)

    @torch.no_grad()
    def _read_source(self, source: Tensor | None, lengths: Tensor | None) -> None:
        if source is None:
            raise ValueError(f"{self.config.name} has an encoder: it needs a source to read")
        keep = None if lengths is None else padding_mask(lengths, source.shape[1])
        self.memory_keep = None if keep is None else keep[:, None]  # (B, 1, 1, S), for all heads
        memory = self.model.encoder(self.model.encoder_embedding(source), keep)
        found = []
        for layer in self.layers:
            asks = _AsksMemory(self, len(found), layer.multihead_attn)
            found.append(asks.keys_and_values(memory))
            layer.multihead_attn = asks
        self.memory = tuple(found)


class _Reader:
    """The attention of a layer, which keeps the keys and values that it gets and reads all."""

    def __init__(self, owner: CachedModel, layer: int, attention: Callable[..., Tensor]) -> None:
        self.owner, self.layer, self.attention = owner, layer, attention
        self.turned = isinstance(attention, RotatedAttention)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, keep: None = None) -> Tensor:
        owner, attention = self.owner, self.attention
        cache, keep, places = owner.now.caches[self.layer], owner.keep, owner.places
        share = q.shape[1] // cache.keys.shape[1]
        if share > 1:  # the layer has repeated them for its query heads
            k, v = k[:, ::share], v[:, ::share]
        if self.turned:
            at = places if places.ndim == 1 else places[:, None]  # for all heads
            both = attention.turn(torch.cat((q, k), dim=1), at, attention.theta)
            q, k = both.split([q.shape[1], k.shape[1]], dim=1)
            attention = attention.reads
        if isinstance(cache, RollingCache):
            k, v, there = _within(cache, k, v)
            keep = _band(places, there, owner.window)
        else:
            k, v, there = *cache.update(k, v), owner.key_places
        if isinstance(attention, RelativeAttention):
            return unscaled_attention(q, k, v, keep, attention.between(places, there))
        return grouped_attention(q, k, v, keep, attention)


def _within(cache: RollingCache, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What new tokens may read. The first of several reads what the last of them drives out."""
    if k.shape[-2] == 1:
        return cache.update(k, v)
    places = torch.arange(cache.length, cache.length + k.shape[-2], device=k.device)
    old = cache.held()
    read = [torch.cat((o, n), dim=-2) for o, n in zip(old, (k, v), strict=False)]
    there = torch.cat((old[2], places))
    cache.update(k, v)
    return *read, there


def _band(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """keep[i, j]: key j is not later than query i, and within its window."""
    behind = queries[..., :, None] - keys[..., None, :]
    return (behind >= 0) & (behind < window)


class _AsksMemory(nn.Module):
    """The attention of a layer to what an encoder has read, whose keys and values are known."""

    def __init__(self, owner: CachedModel, layer: int, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.layer, self.of, self.reads = layer, attention, attention.attention
        self.owner = (owner,)  # no module of this one

    def keys_and_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        found = []

        def caught(q: Tensor, k: Tensor, v: Tensor, keep: None) -> Tensor:
            found.append((k, v))
            return q

        _put(self.of, caught)
        self.of(memory, memory)
        return found[0]

    def forward(self, x: Tensor, memory: Tensor, keep: None = None) -> Tensor:
        of, now = self.of, self.owner[0].now
        weight = of.in_proj_weight[: of.width] if of.packed else of.q_proj_weight
        bias = None if of.in_proj_bias is None else of.in_proj_bias[: of.width]
        q = split_heads(F.linear(x, weight, bias), of.num_heads)
        heads = self.reads(q, *now.memory[self.layer], now.memory_keep)
        return of.out_proj(merge_heads(heads))


def _put(layer: MultiHeadAttention, attention: Callable[..., Tensor]) -> None:
    """In the place of the layer's own, which may be a module or a function."""
    del layer.attention
    layer.attention = attention
