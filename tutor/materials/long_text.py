"""SmolLM2 behind a long text, with its keys and values kept: one token at a time, by any attention.

What is kept are key heads as the model has them, G of them, rotated to their positions. The
attention that reads them is a parameter. (Chapter 9's cache does more than this one.)

T tokens, G heads of keys and values, D width of a head.
"""

import pydoc_data.topics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tutor.attention import scaled_dot_product_attention
from tutor.grouped_query import expand_kv_heads
from tutor.materials.smollm2 import AS_STORED, SmolLM2
from tutor.multihead import merge_heads, split_heads

__all__ = ["Behind", "ReadOn", "repeating", "text_of"]

CHUNK = 512
"""Tokens of the text that are read at once."""

Attention = Callable[..., Tensor]
"""(q, k, v, keep) with H query heads and G key heads."""


def text_of(model: SmolLM2, count: int) -> Int[Tensor, " T"]:
    """So many tokens of Python's help pages."""
    text = "\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    ids = torch.tensor(model.tokenizer.encode(text[: 8 * count]).ids)
    if len(ids) < count:
        raise ValueError(f"the help pages have no {count} tokens")
    return ids[:count]


def repeating(attention: Attention = scaled_dot_product_attention) -> Attention:
    """An attention that knows no groups, given as many key heads as there are query heads."""

    def attend(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None = None) -> Tensor:
        return attention(q, *(expand_kv_heads(t, q.shape[-3]) for t in (k, v)), keep)

    return attend


@dataclass(frozen=True)
class ReadOn:
    """What the next tokens of a text cost, read one at a time."""

    loss: float
    """Nats a token."""
    tokens_a_second: float
    """By the fastest of them."""
    bytes_written: int
    """By the attention, for one token, in all layers."""


class Behind:
    """The model behind a text that it has read, with ``room`` for more."""

    @torch.no_grad()
    def __init__(self, model: SmolLM2, ids: Int[Tensor, " T"], room: int) -> None:
        self.model, self.length = model, 0
        config = model.config
        sizes = 1, config.num_kv_heads, len(ids) + room, config.width // config.num_heads
        self.kept = [
            (torch.empty(sizes), torch.empty(sizes)) for _ in range(config.num_decoder_layers)
        ]
        for part in ids.split(CHUNK):
            self.log_p = self._read(part, _torchs)

    @property
    def bytes_kept(self) -> int:
        """Of what was read, and not of the room behind it."""
        return sum(t[:, :, : self.length].numel() * t.itemsize for pair in self.kept for t in pair)

    @torch.no_grad()
    def read_on(self, ids: Int[Tensor, " T"], attention: Attention) -> ReadOn:
        """Afterwards everything is as it was."""
        before, log_p, loss, seconds = self.length, self.log_p, 0.0, []
        for token in ids:
            loss -= self.log_p[token].item()
            start = time.perf_counter()
            self.log_p = self._read(token[None], attention)
            seconds.append(time.perf_counter() - start)
        seen = Written()

        def watched(*args: Tensor) -> Tensor:
            with seen:
                return attention(*args)

        self.length, self.log_p = before, log_p
        self._read(ids[:1], watched)
        self.length = before
        return ReadOn(loss / len(ids), 1 / min(seconds), seen.bytes)

    def _read(self, ids: Int[Tensor, " T"], attention: Attention) -> Float[Tensor, " V"]:
        """log p of what follows the next tokens, which are kept."""
        llama, config = self.model.llama, self.model.config
        end = self.length + len(ids)
        places = torch.arange(self.length, end)
        keep = torch.arange(end) <= places[:, None] if len(ids) > 1 else None
        x = llama.decoder_embedding(ids[None])
        for layer, kept in zip(llama.decoder.layers, self.kept, strict=True):
            part, h = layer.self_attn, layer.norm1(x)
            weights = part.q_proj_weight, part.k_proj_weight, part.v_proj_weight
            heads = config.num_heads, config.num_kv_heads, config.num_kv_heads
            q, k, v = (split_heads(F.linear(h, w), n) for w, n in zip(weights, heads, strict=True))
            q, k = (AS_STORED(t, places, config.theta) for t in (q, k))
            for whole, new in zip(kept, (k, v), strict=True):
                whole[:, :, self.length : end] = new
            found = attention(q, *(t[:, :, :end] for t in kept), keep)
            x = x + part.out_proj(merge_heads(found))
            h = layer.norm2(x)
            x = x + layer.linear2(layer.activation(layer.gate(h)) * layer.linear1(h))
        self.length = end
        return llama.scores(llama.decoder.norm(x)[0, -1]).log_softmax(-1)


def _torchs(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None = None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=keep, enable_gqa=True)


class Written(TorchDispatchMode):
    """Counts the bytes that operations write; a view writes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        read = {t.untyped_storage()._cdata for t in args if isinstance(t, Tensor)}
        for t in out if isinstance(out, tuple) else (out,):
            if isinstance(t, Tensor) and t.untyped_storage()._cdata not in read:
                self.bytes += t.numel() * t.itemsize
        return out
