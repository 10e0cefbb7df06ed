"""Chapter 14, assembly: a language model of the functions of the course, from a file to a chat.

Norm, gate and sampling are chapter 8's, rotation is chapter 5's, attention is chapter 11's over the
groups of chapter 10, the cache is chapter 9's, blocks are chapter 13's, tokens are chapter 6's.

B batch, t new tokens behind P that have been read, L layers, C model width, F width of the hidden
layer, H heads, G heads of keys and values, D width of a head, V vocabulary.
"""

import codecs
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutor.efficiency import BLOCKS, dequantize_blocks
from tutor.families import rms_norm, sample, swiglu
from tutor.flash import flash_forward
from tutor.kv_cache import KVCache
from tutor.multihead import merge_heads, split_heads
from tutor.position import apply_rope, convert_rope_layout
from tutor.tokens import bpe_encode, split_pieces, tied_logits

__all__ = [
    "BLOCK",
    "ROLES",
    "SYSTEM",
    "Assembled",
    "chat_prompt",
    "decoder_block",
    "language_model",
    "load_checkpoint",
    "nine_of",
    "pieces",
    "stream",
]

BLOCK = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)
"""What a GGUF file calls the nine tensors of a block, in the order in which ours takes them."""
START, END = "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant")
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""What a conversation begins with where nothing else is said, as in SmolLM2's template."""

Model = Callable[[Tensor, Tensor], Tensor]
"""Chapter 9's: ``model(tokens, rows)`` remembers, and is given every token once."""


# The model


def decoder_block(
    x: Float[Tensor, "B t C"],
    weights: Sequence[Tensor],
    keys: Float[Tensor, "B G P D"],
    values: Float[Tensor, "B G P D"],
    num_heads: int,
    theta: float = 10_000.0,
    eps: float = 1e-5,
) -> tuple[Float[Tensor, "B t C"], Float[Tensor, "B G t D"], Float[Tensor, "B G t D"]]:
    """h = x + attention(norm x), h + swiglu(norm h): Touvron et al. 2023, arXiv:2302.13971.

    t tokens at positions P, P + 1, ... behind P others, whose keys (turned already) and values are
    given and not copied; P may be 0. Token i reads those and the new ones up to itself. Returned
    with the answer: the new keys, turned by ``apply_rope``, and values, for a cache to keep.
    weights: norm (C), w_q (C, HD), w_k and w_v (C, GD), w_out (HD, C), norm (C), w_gate and w_in
    (C, F), w_feed (F, C), in this order, which is that of ``BLOCK``. Query head h reads key head
    h // (H / G). ValueError for another number of weights, or if G does not divide H.
    """
    _require_block(weights, keys, num_heads)
    norm, w_q, w_k, w_v, w_out, feed_norm, *feed = weights
    past, groups = keys.shape[2], keys.shape[1]
    places = torch.arange(past, past + x.shape[1], device=x.device)
    h = rms_norm(x, norm, eps)
    q = apply_rope(split_heads(h @ w_q, num_heads), places, theta)
    k = apply_rope(split_heads(h @ w_k, groups), places, theta)
    v = split_heads(h @ w_v, groups)
    x = x + merge_heads(_attention(q, keys, values, k, v)) @ w_out
    return x + swiglu(rms_norm(x, feed_norm, eps), *feed), k, v


def _attention(q: Tensor, keys: Tensor, values: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention to the past and to the new tokens, each in tiles, put together by what the softmax
    of each has divided by: a = e^l / (e^l + e^l'), l and l' the logarithms of their sums."""
    new, new_sum = flash_forward(q, k, v, causal=True)
    if not keys.shape[2]:
        return new
    old, old_sum = flash_forward(q, keys, values)
    share = torch.sigmoid(old_sum - new_sum)[..., None].to(new.dtype)  # of the past
    return share * old + (1 - share) * new


def language_model(
    ids: Int[Tensor, "B t"],
    weights: Sequence[Tensor],
    keys: Float[Tensor, "L B G P D"],
    values: Float[Tensor, "L B G P D"],
    num_heads: int,
    theta: float = 10_000.0,
    eps: float = 1e-5,
) -> tuple[Float[Tensor, "B V"], Float[Tensor, "L B G t D"], Float[Tensor, "L B G t D"]]:
    """Scores of what follows the last of t tokens that come behind P others; the new keys and
    values of every layer.

    weights: embedding (V, C), nine of each block as in ``decoder_block``, norm (C). The scores are
    those of ``tied_logits``, of the last token alone. ValueError unless there are 2 + 9 L weights.
    """
    embedding, *blocks, norm = weights
    _require_layers(blocks, keys)
    x, kept = embedding[ids], []
    for i, past in enumerate(zip(keys, values, strict=True)):
        x, *new = decoder_block(x, blocks[9 * i : 9 * i + 9], *past, num_heads, theta, eps)
        kept.append(new)
    k, v = (torch.stack(each) for each in zip(*kept, strict=True))
    return tied_logits(rms_norm(x[:, -1], norm, eps), embedding), k, v


class Assembled:
    """``model(tokens, rows)`` as ``stream`` asks it: one text, with chapter 9's cache, in memory
    that is made once. ``run`` is ``language_model``, or another one like it."""

    def __init__(
        self,
        weights: Sequence[Tensor],
        num_heads: int,
        num_kv_heads: int,
        capacity: int,
        theta: float = 10_000.0,
        eps: float = 1e-5,
        run: Callable[..., tuple[Tensor, Tensor, Tensor]] = language_model,
        cache: Callable[..., KVCache] = KVCache,
    ) -> None:
        self.weights, self.run, self.sizes = weights, run, (num_heads, theta, eps)
        layers, width = (len(weights) - 2) // 9, weights[2].shape[1] // num_heads
        # There is one text: the layers take the place of the batch.
        about = weights[0].dtype, weights[0].device
        self.cache = cache(layers, num_kv_heads, capacity, width, *about)

    @torch.inference_mode()
    def __call__(self, tokens: Int[Tensor, "1 t"], rows: Int[Tensor, " 1"]) -> Tensor:
        n = self.cache.length
        past = (t[:, None, :, :n] for t in (self.cache.keys, self.cache.values))
        logits, k, v = self.run(tokens, self.weights, *past, *self.sizes)
        self.cache.update(k[:, 0], v[:, 0])
        return logits

    def reset(self) -> None:
        """For another conversation."""
        self.cache.reset()


# From a file


def load_checkpoint(
    names: Sequence[str],
    kinds: Sequence[str],
    data: Sequence[Tensor],
    num_heads: int,
    num_kv_heads: int,
) -> tuple[Float[Tensor, "V C"], Float[Tensor, "L N"], Float[Tensor, " C"]]:
    """The embedding, a row of numbers for each block, and the last norm, out of the tensors of a
    GGUF file, which come in any order.

    names: ``token_embd.weight``, ``output_norm.weight`` and, of block i from 0 on,
    ``blk.i.attn_q.weight`` and its like (``BLOCK``). kinds: "F32", numbers as they are, or one of
    ``BLOCKS``, of which data has the bytes. A row has the nine weights of its block behind each
    other, in the order of ``BLOCK``, each read row by row; ``nine_of`` cuts it up again. Matrices
    stand in the file as (out, in) and in the row as (in, out); the embedding stays as it is. The
    rows of attn_q and attn_k are converted from the layout "interleaved" to "half", with as many
    heads as they have. One block after another is decoded.
    ValueError for another kind, a tensor that is missing, or one that nothing asks for.
    """
    found = dict(zip(names, zip(kinds, data, strict=True), strict=True))
    layers = 1 + max((int(n.split(".")[1]) for n in names if n.startswith("blk.")), default=0)
    wanted = [f"blk.{i}.{part}.weight" for i in range(layers) for part in BLOCK]
    _require_names({"token_embd.weight", *wanted, "output_norm.weight"}, set(names))
    heads = {"attn_q": num_heads, "attn_k": num_kv_heads}

    def weight(i: int, part: str) -> Tensor:
        name = f"blk.{i}.{part}.weight"
        w = _decoded(name, *found[name])
        if part in heads:
            w = convert_rope_layout(w, heads[part], to="half")
        return w.mT if w.ndim == 2 else w

    blocks = None
    for i in range(layers):
        row = torch.cat([weight(i, part).flatten() for part in BLOCK])
        if blocks is None:
            blocks = row.new_empty(layers, len(row))  # the only memory of that size
        blocks[i] = row
    ends = ("token_embd.weight", "output_norm.weight")
    embedding, norm = (_decoded(name, *found[name]) for name in ends)
    return embedding, blocks, norm


def nine_of(
    row: Float[Tensor, " N"], width: int, num_heads: int, num_kv_heads: int
) -> list[Tensor]:
    """A block's weights, as ``decoder_block`` takes them: views of its row, nothing is copied.

    N = 2C + 2C (H + G) D + 3CF, with D = C / H, as LLaMA has it: so F is known.
    """
    c, h, g = width, width, width // num_heads * num_kv_heads
    f = (len(row) - 2 * c - 2 * c * (h + g)) // (3 * c)
    shapes = ((c,), (c, h), (c, g), (c, g), (h, c), (c,), (c, f), (c, f), (f, c))
    parts = row.split([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _decoded(name: str, kind: str, data: Tensor) -> Tensor:
    if kind == "F32":
        return data.clone()
    if kind not in BLOCKS:
        raise ValueError(f"{name} is of the kind {kind!r}; known are F32, {', '.join(BLOCKS)}")
    return dequantize_blocks(data, kind)


# From text to tokens, and back


def chat_prompt(
    messages: Sequence[tuple[str, str]],
    merges: Sequence[tuple[int, int]],
    special: Sequence[str],
) -> list[int]:
    """The ids of a conversation that asks for an answer, as SmolLM2's template has it.

    For each (role, text): <|im_start|>, the ids of "role\\ntext", <|im_end|>, those of "\\n"; in
    the end <|im_start|> and those of "assistant\\n". If the first is not of the system, ``SYSTEM``
    comes before it. Ids are those of ``bpe_encode``: special[j] is 256 + len(merges) + j. What
    stands in a text is text, also where it reads like a special token. A digit is a piece of its
    own.
    ValueError for no message, or a role that is not in ``ROLES``.
    """
    _require_messages(messages)
    encode = partial(bpe_encode, merges=merges, split=partial(split_pieces, digits_apart=True))
    start, end = (256 + len(merges) + special.index(token) for token in (START, END))
    if messages[0][0] != "system":
        messages = [("system", SYSTEM), *messages]
    ids = []
    for role, text in messages:
        ids += [start, *encode(f"{role}\n{text}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


def pieces(
    model: Model,
    prompt: Int[Tensor, " T"],
    tokens: Sequence[bytes],
    stop: Sequence[int],
    chances: Float[Tensor, " longest"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Iterator[str]:
    """What ``stream`` returns, each piece as soon as it is known."""
    _require_prompt(prompt)
    rows = torch.zeros(1, dtype=torch.int64, device=prompt.device)
    waiting = codecs.getincrementaldecoder("utf-8")("replace")  # a character that is half there
    given = prompt
    for chance in chances:
        token = sample(model(given[None], rows), chance[None], temperature, top_k, top_p)
        if int(token) in stop:
            break
        if piece := waiting.decode(tokens[int(token)]):
            yield piece
        given = token
    if piece := waiting.decode(b"", final=True):
        yield piece


@torch.no_grad()
def stream(
    model: Model,
    prompt: Int[Tensor, " T"],
    tokens: Sequence[bytes],
    stop: Sequence[int],
    chances: Float[Tensor, " longest"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    tell: Callable[[str], object] | None = None,
) -> list[str]:
    """The text that the model writes behind a prompt, in pieces; each is given to ``tell``, too, as
    soon as it is known.

    The model reads the prompt, and then each new token, once. Token s is drawn by ``sample`` with
    chances[s]; ``tokens`` has the bytes of every id. A token of ``stop`` ends the text, and is not
    in it; so does the last chance. A piece is all that a token makes certain: it has no part of a
    character, and is not empty. Bytes that can be no character become U+FFFD as soon as that is
    certain, as in ``bytes.decode(errors="replace")``, which the pieces together are equal to; what
    waits at the end is the last piece. ValueError for an empty prompt.
    """
    written = []
    for piece in pieces(model, prompt, tokens, stop, chances, temperature, top_k, top_p):
        written.append(piece)
        if tell is not None:
            tell(piece)
    return written


def _require_block(weights: Sequence[Tensor], keys: Tensor, num_heads: int) -> None:
    if len(weights) != len(BLOCK):
        raise ValueError(f"a block has {len(BLOCK)} weights, got {len(weights)}")
    if num_heads < 1 or num_heads % keys.shape[1]:
        raise ValueError(f"{keys.shape[1]} key heads must divide num_heads ({num_heads})")


def _require_layers(blocks: Sequence[Tensor], keys: Tensor) -> None:
    if len(blocks) != len(BLOCK) * len(keys):
        raise ValueError(
            f"{len(keys)} layers have {2 + len(BLOCK) * len(keys)} weights, got {len(blocks) + 2}"
        )


def _require_names(wanted: set[str], found: set[str]) -> None:
    if missing := sorted(wanted - found):
        raise ValueError(f"{len(missing)} tensors are missing: {', '.join(missing[:3])}")
    if unknown := sorted(found - wanted):
        raise ValueError(f"no part of the model asks for {', '.join(unknown[:3])}")


def _require_messages(messages: Sequence[tuple[str, str]]) -> None:
    if not messages:
        raise ValueError("a conversation has at least one message")
    for role, _ in messages:
        if role not in ROLES:
            raise ValueError(f"a role is one of {', '.join(ROLES)}; got {role!r}")


def _require_prompt(prompt: Tensor) -> None:
    if not len(prompt):
        raise ValueError("an empty prompt has nothing to be followed")
