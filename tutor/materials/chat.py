"""SmolLM2 answers, its layers made of chapter 9's functions.

Between a token and its scores stand functions that the course has graded, and no others: norm and
feed-forward are chapter 8's, scores by the embedding chapter 6's, attention and cache chapter 9's.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutor import families, kv_cache, tokens
from tutor.materials.smollm2 import SmolLM2

__all__ = ["Talking", "answer", "pieces", "without_a_cache"]

CHUNK = 64
"""Tokens of a prompt that are read at once."""


class Talking:
    """``model(tokens, rows)`` as ``generate`` asks it, of one text: with a cache in each layer."""

    def __init__(
        self,
        smollm2: SmolLM2,
        capacity: int,
        cache: Callable[..., Any] = kv_cache.KVCache,
        step: Callable[..., tuple[Tensor, ...]] = kv_cache.decode_step,
        prefill: Callable[..., tuple[Tensor, ...]] = kv_cache.chunked_prefill,
    ) -> None:
        """``smollm2`` with its rows for the layout "half"."""
        self.llama, self.config = smollm2.llama, smollm2.config
        self.step, self.prefill = step, prefill
        config = self.config
        width = config.width // config.num_heads
        sizes = 1, config.num_kv_heads, capacity, width
        self.caches = [cache(*sizes) for _ in self.llama.decoder.layers]

    @torch.no_grad()
    def __call__(self, tokens_: Int[Tensor, "1 t"], rows: Int[Tensor, " 1"]) -> Tensor:
        x = self.llama.decoder_embedding.token(tokens_)
        for layer, cache in zip(self.llama.decoder.layers, self.caches, strict=True):
            x = self._layer(layer, cache, x)
        norm, embedding = self.llama.decoder.norm, self.llama.decoder_embedding.token.weight
        return tokens.tied_logits(families.rms_norm(x[:, -1], norm.weight, norm.eps), embedding)

    def _layer(self, layer: Any, cache: Any, x: Float[Tensor, "1 t C"]) -> Float[Tensor, "1 t C"]:
        of, config = layer.self_attn, self.config
        weights = [w.mT for w in (of.q_proj_weight, of.k_proj_weight, of.v_proj_weight)]
        weights.append(of.out_proj.weight.mT)
        h = families.rms_norm(x, layer.norm1.weight, layer.norm1.eps)
        if cache.length == 0:
            rest = config.num_heads, CHUNK, config.theta
            said, k, v = self.prefill(h, *weights, *rest)
        else:
            lengths = torch.tensor([cache.length])
            past = cache.keys, cache.values, lengths
            said, k, v = self.step(h, *past, *weights, config.num_heads, config.theta)
        cache.update(k, v)
        x = x + said
        h = families.rms_norm(x, layer.norm2.weight, layer.norm2.eps)
        feed = (part.weight.mT for part in (layer.gate, layer.linear1, layer.linear2))
        return x + families.swiglu(h, *feed)


class _Told:
    """A model that tells each token that it is given, behind the prompt."""

    def __init__(self, model: Callable[..., Tensor], tell: Callable[[int], None]) -> None:
        self.model, self.tell, self.seconds = model, tell, []
        self.nats: list[float] = []
        """-ln p of each token that was drawn, before any cut."""
        self.logits: Tensor | None = None
        self.last = time.perf_counter()

    def __call__(self, tokens_: Tensor, rows: Tensor) -> Tensor:
        if self.logits is not None:
            self.drawn(int(tokens_[0, -1]))
        self.logits = self.model(tokens_, rows)
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now
        return self.logits

    def drawn(self, token: int) -> None:
        self.nats.append(-self.logits[0].log_softmax(-1)[token].item())
        self.tell(token)


def pieces(smollm2: SmolLM2) -> Callable[[int], str]:
    """What each token adds to the text; nothing while a character is not complete."""
    written, told = [], [""]

    def add(token: int) -> str:
        if token == smollm2.tokenizer.token_to_id("<|im_end|>"):
            return ""
        written.append(token)
        text = smollm2.tokenizer.decode(written)
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        new, told[0] = text[len(told[0]) :], text
        return new

    return add


def answer(
    smollm2: SmolLM2,
    model: Callable[..., Tensor],
    question: str,
    count: int,
    tell: Callable[[str], None],
    generate: Callable[..., tuple[Tensor, Tensor]] = kv_cache.generate,
    seed: int = 9,
    **cuts: float,
) -> tuple[str, list[float], list[float]]:
    """The answer, told piece by piece; the seconds of each call of the model, the first of which
    reads the question; and -ln p of each token."""
    prompt = smollm2.tokenize(smollm2.chat(question))
    stop = torch.tensor([smollm2.tokenizer.token_to_id("<|im_end|>")])
    chances = torch.rand(1, count, generator=torch.Generator().manual_seed(seed))
    said, add = [], pieces(smollm2)

    def told(token: int) -> None:
        said.append(add(token))
        tell(said[-1])

    watched = _Told(model, told)
    written, lengths = generate(watched, [prompt], chances, stop, *cuts.values())
    watched.drawn(int(written[0, int(lengths[0]) - 1]))  # the last one is given to nobody
    return "".join(said).strip(), watched.seconds, watched.nats


def without_a_cache(smollm2: SmolLM2, question: str, count: int) -> Iterator[str]:
    """The same as chapter 8 has it: everything is read again for each token, the likeliest one."""
    return smollm2.written(smollm2.chat(question), count)
