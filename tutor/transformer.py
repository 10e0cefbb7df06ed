"""Chapter 7, the Transformer: how the parts become a translator.

Masks are chapter 3's: boolean, ``keep``, True = may be read. Attention is chapter 4's, embeddings
are chapter 6's. Functions have their weights on the right, (in, out), and no biases beside
attention, as in the paper; modules bear torch's names and shapes, so that torch's weights load.

B batch, T time (S symbols of a source, T symbols of a target), C model width, F width of the hidden
layer, H heads, V vocabulary, K beams; N rows in any order.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from tutor.attention import (
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)
from tutor.multihead import MultiHeadAttention, cross_attention, multi_head_attention
from tutor.position import sinusoidal_encoding
from tutor.tokens import TiedEmbedding

__all__ = [
    "Decoder",
    "DecoderLayer",
    "DropoutAttention",
    "Encoder",
    "EncoderLayer",
    "Transformer",
    "TransformerConfig",
    "TransformerSeq2Seq",
    "beam_search",
    "bleu",
    "decoder_layer",
    "encoder_layer",
    "feed_forward",
    "greedy_decode",
    "label_smoothing_loss",
    "layer_norm",
    "length_penalty",
    "residual",
    "warmup_rate",
]

NextLogits = Callable[[Tensor, Tensor], Tensor]
"""``next_logits(written, rows)``: scores (N, V) of the symbol that follows each of N beginnings.

written (N, T) begins with the start symbol; rows (N,) says which sentence of the batch each
beginning belongs to.
"""


# The parts


def layer_norm(
    x: Float[Tensor, "*batch C"],
    weight: Float[Tensor, " C"],
    bias: Float[Tensor, " C"],
    eps: float = 1e-5,
) -> Float[Tensor, "*batch C"]:
    """weight · (x - mean) / √(variance + eps) + bias, over the features of each token alone.

    Ba et al. 2016, section 3, arXiv:1607.06450. The variance divides by C, not by C - 1. Half
    precision is normalised in single, where squares do not overflow.
    ValueError, with the shapes, if weight and bias do not fit the width of x.
    """
    _require_norm(x, weight, bias)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - wide.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    return (centred * (variance + eps).rsqrt() * weight + bias).to(x.dtype)


def feed_forward(
    x: Float[Tensor, "*batch C"],
    w_in: Float[Tensor, "C F"],
    b_in: Float[Tensor, " F"],
    w_out: Float[Tensor, "F Cout"],
    b_out: Float[Tensor, " Cout"],
    activation: Callable[[Tensor], Tensor] = torch.relu,
) -> Float[Tensor, "*batch Cout"]:
    """max(0, x w_in + b_in) w_out + b_out, each token alone: Vaswani et al. 2017, eq. (2).

    arXiv:1706.03762. ValueError, with the shapes, if the parameters do not fit together.
    """
    _require_feed_forward(x, w_in, b_in, w_out, b_out)
    return activation(x @ w_in + b_in) @ w_out + b_out


def residual(
    x: Float[Tensor, "*batch T C"],
    sublayer: Callable[[Tensor], Tensor],
    norm: Callable[[Tensor], Tensor],
    norm_first: bool = False,
) -> Float[Tensor, "*batch T C"]:
    """norm(x + sublayer(x)), or x + sublayer(norm(x)) if norm_first.

    After the sum (post-norm): Vaswani et al. 2017, section 3.1. Before the sublayer (pre-norm):
    Xiong et al. 2020, arXiv:2002.04745; then x itself passes all layers untouched.
    """
    return x + sublayer(norm(x)) if norm_first else norm(x + sublayer(x))


def encoder_layer(
    x: Float[Tensor, "*batch T C"],
    attention: Sequence[Float[Tensor, "_ _"]],
    feed: Sequence[Float[Tensor, "..."]],
    norms: Sequence[Sequence[Float[Tensor, " C"]]],
    num_heads: int,
    keep: Bool[Tensor, "*#batch #T #T"] | None = None,
    norm_first: bool = False,
) -> Float[Tensor, "*batch T C"]:
    """Self-attention, then ``feed_forward``, each in a ``residual``: Vaswani et al. 2017, 3.1.

    attention = (w_q, w_k, w_v, w_out) as in ``multi_head_attention``; feed = (w_in, b_in, w_out,
    b_out) as in ``feed_forward``; norms = two pairs (weight, bias) as in ``layer_norm``, that of
    the attention first.
    Errors as in these functions; ValueError if there are not two norms.
    """
    _require_norms(norms, 2)

    def attend(h: Tensor) -> Tensor:
        return multi_head_attention(h, *attention, num_heads, keep)

    x = residual(x, attend, _norm(norms[0]), norm_first)
    return residual(x, lambda h: feed_forward(h, *feed), _norm(norms[1]), norm_first)


def decoder_layer(
    x: Float[Tensor, "*batch T C"],
    memory: Float[Tensor, "*batch S Cm"],
    attentions: Sequence[Sequence[Float[Tensor, "_ _"]]],
    feed: Sequence[Float[Tensor, "..."]],
    norms: Sequence[Sequence[Float[Tensor, " C"]]],
    num_heads: int,
    keep: Bool[Tensor, "*#batch #T #T"] | None = None,
    memory_keep: Bool[Tensor, "*#batch #T #S"] | None = None,
    norm_first: bool = False,
) -> Float[Tensor, "*batch T C"]:
    """Self-attention, attention to memory, then ``feed_forward``, each in a ``residual``.

    Vaswani et al. 2017, section 3.1. attentions = (that to x itself, that to memory), each
    (w_q, w_k, w_v, w_out); feed and norms as in ``encoder_layer``, with three norms. No norm
    touches memory: its own stack is done with it.
    keep hides tokens of x, a causal mask as a rule; memory_keep those of memory.
    Errors as in these functions; ValueError if there are not three norms.
    """
    _require_norms(norms, 3)
    to_itself, to_memory = attentions

    def attend(h: Tensor) -> Tensor:
        return multi_head_attention(h, *to_itself, num_heads, keep)

    def look_back(h: Tensor) -> Tensor:
        return cross_attention(h, memory, *to_memory, num_heads, memory_keep)

    x = residual(x, attend, _norm(norms[0]), norm_first)
    x = residual(x, look_back, _norm(norms[1]), norm_first)
    return residual(x, lambda h: feed_forward(h, *feed), _norm(norms[2]), norm_first)


# The model


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a Transformer; by default the base model of Vaswani et al. 2017, table 3.

    dropout is applied where ``nn.Transformer`` applies it: to what each sublayer gives, to the
    hidden layer of the feed-forward, and to the attention weights. ``attention``, if given, takes
    the place of all that: (q, k, v, keep) as in ``MultiHeadAttention``; then the attention weights
    are dropped if it drops them; ``memory_attention`` that of the attention to memory.
    norm(width, eps=...) makes a norm. gated: the hidden layer is activation(x w_gate) · (x w_in).
    bias: of the projections and of the feed-forward. num_kv_heads: as in ``MultiHeadAttention``.
    final_norm: whether a stack ends in a norm.
    ValueError if num_heads does not divide width.
    """

    width: int = 512
    num_heads: int = 8
    hidden_width: int = 2048
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    dropout: float = 0.1
    norm_first: bool = False
    norm_eps: float = 1e-5
    activation: Callable[[Tensor], Tensor] = torch.relu
    attention: Callable[..., Tensor] | None = None
    memory_attention: Callable[..., Tensor] | None = None
    norm: Callable[..., nn.Module] = nn.LayerNorm
    gated: bool = False
    bias: bool = True
    num_kv_heads: int | None = None
    final_norm: bool = True

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.width % self.num_heads:
            raise ValueError(f"num_heads ({self.num_heads}) must divide width ({self.width})")


class DropoutAttention(nn.Module):
    """``scaled_dot_product_attention`` whose weights are dropped in training, each with chance p.

    The weights that stay are divided by 1 - p, so a row sums to 1 on average.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(
        self,
        q: Float[Tensor, "*batch Tq D"],
        k: Float[Tensor, "*batch Tk D"],
        v: Float[Tensor, "*batch Tk Dv"],
        keep: Bool[Tensor, "*#batch #Tq #Tk"] | None = None,
    ) -> Float[Tensor, "*batch Tq Dv"]:
        if not self.training or self.p == 0:
            return scaled_dot_product_attention(q, k, v, keep)
        return F.dropout(attention_weights(q, k, keep), self.p) @ v


class _Layer(nn.Module):
    """What both kinds of layers have, in the order in which torch has it."""

    def __init__(self, config: TransformerConfig, reads_memory: bool) -> None:
        super().__init__()
        self.norm_first, self.activation = config.norm_first, config.activation
        self.gated = config.gated
        self.self_attn = _attention(config, config.attention)
        if reads_memory:
            self.multihead_attn = _attention(config, config.memory_attention or config.attention)
        self.linear1 = nn.Linear(config.width, config.hidden_width, bias=config.bias)
        if config.gated:
            self.gate = nn.Linear(config.width, config.hidden_width, bias=config.bias)
        self.linear2 = nn.Linear(config.hidden_width, config.width, bias=config.bias)
        self.norm1, self.norm2 = _norm_of(config), _norm_of(config)
        if reads_memory:
            self.norm3 = _norm_of(config)
        self.dropout = nn.Dropout(config.dropout)

    def _residual(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: nn.Module) -> Tensor:
        return residual(x, lambda h: self.dropout(sublayer(h)), norm, self.norm_first)

    def _feed(self, x: Tensor) -> Tensor:
        if self.gated:
            return self.linear2(self.dropout(self.activation(self.gate(x)) * self.linear1(x)))
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class EncoderLayer(_Layer):
    """``encoder_layer`` with parameters of its own; loads ``nn.TransformerEncoderLayer``'s."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, reads_memory=False)

    def forward(
        self,
        x: Float[Tensor, "*batch T C"],
        keep: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch T C"]:
        """keep as in ``MultiHeadAttention``: broadcasts to (*batch, T, T) or (*batch, H, T, T)."""
        x = self._residual(x, lambda h: self.self_attn(h, keep=keep), self.norm1)
        return self._residual(x, self._feed, self.norm2)


class DecoderLayer(_Layer):
    """``decoder_layer`` with parameters of its own; loads ``nn.TransformerDecoderLayer``'s."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, reads_memory=True)

    def forward(
        self,
        x: Float[Tensor, "*batch T C"],
        memory: Float[Tensor, "*batch S C"],
        keep: Bool[Tensor, "..."] | None = None,
        memory_keep: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch T C"]:
        """Masks broadcast to (*batch, T, T) and (*batch, T, S), or to these with H before T."""
        x = self._residual(x, lambda h: self.self_attn(h, keep=keep), self.norm1)
        x = self._residual(x, lambda h: self.multihead_attn(h, memory, memory_keep), self.norm2)
        return self._residual(x, self._feed, self.norm3)


class Encoder(nn.Module):
    """Layers one after another, and a norm at the end, which pre-norm layers need."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        layers = (EncoderLayer(config) for _ in range(config.num_encoder_layers))
        self.layers, self.norm = nn.ModuleList(layers), _last_norm(config)

    def forward(
        self, x: Float[Tensor, "*batch T C"], keep: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "*batch T C"]:
        for layer in self.layers:
            x = layer(x, keep)
        return self.norm(x)


class Decoder(nn.Module):
    """As ``Encoder``, each layer of which reads the same memory."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        layers = (DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.layers, self.norm = nn.ModuleList(layers), _last_norm(config)

    def forward(
        self,
        x: Float[Tensor, "*batch T C"],
        memory: Float[Tensor, "*batch S C"],
        keep: Bool[Tensor, "..."] | None = None,
        memory_keep: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch T C"]:
        for layer in self.layers:
            x = layer(x, memory, keep, memory_keep)
        return self.norm(x)


class Transformer(nn.Module):
    """Encoder and decoder, from vectors to vectors: Vaswani et al. 2017, figure 1.

    Its state_dict is that of ``nn.Transformer`` of the same sizes, pre- and post-norm. As there,
    both stacks end in a norm, which the paper, post-norm, does not have, and matrices begin as
    Glorot's uniform.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        source: Float[Tensor, "*batch S C"],
        target: Float[Tensor, "*batch T C"],
        source_keep: Bool[Tensor, "..."] | None = None,
        target_keep: Bool[Tensor, "..."] | None = None,
        memory_keep: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch T C"]:
        """Masks of source to source (*batch, S, S), target to target (*batch, T, T), and target to
        source (*batch, T, S), or what broadcasts to them. None of them is made here.
        """
        memory = self.encoder(source, source_keep)
        return self.decoder(target, memory, target_keep, memory_keep)


class TransformerSeq2Seq(nn.Module):
    """Symbols to scores of symbols: embeddings, positions, ``Transformer``, and a readout.

    Vaswani et al. 2017. One embedding, times √C, reads source and target and scores the output
    (section 3.4); positions are sinusoids (section 3.5), no parameters; their sum is dropped out
    (section 5.4).

    The base configuration with 37,000 symbols has 63,084,544 parameters: 37,000 · 512 in the one
    embedding, 6 · 3,152,384 in encoder layers, 6 · 4,204,032 in decoder layers, and 2 · 1,024 in
    the last norms. The paper says 65 million and "about 37,000". The base model and the nine
    near it (table 3, B and C) have these layers beside an embedding of 41,000 rows, to the last
    digit printed: the 1.9 million are rows of the vocabulary. Its big model fits 36,000.
    """

    def __init__(self, vocabulary: int, config: TransformerConfig) -> None:
        super().__init__()
        self.embedding = TiedEmbedding(vocabulary, config.width)
        self.transformer = Transformer(config)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def encoder(self) -> Encoder:
        return self.transformer.encoder

    def forward(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T V"]:
        """Scores of the symbol that follows each symbol of the target."""
        keep = padding_mask(lengths, source.shape[1])
        return self._scores(target, self.encoder(self.embed(source), keep), keep)

    def next_logits(
        self, source: Int[Tensor, "B S"], lengths: Int[Tensor, " B"]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """What ``greedy_decode`` and ``beam_search`` ask; the source is read once, here."""
        keep = padding_mask(lengths, source.shape[1])
        memory = self.encoder(self.embed(source), keep)

        def ask(written: Tensor, rows: Tensor) -> Tensor:
            return self._scores(written, memory[rows], keep[rows])[:, -1]

        return ask

    def embed(self, symbols: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        """√C · embedding + position: the two have entries of about the same size."""
        x = self.embedding(symbols)
        positions = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)
        return self.dropout(x * x.shape[-1] ** 0.5 + sinusoidal_encoding(positions, x.shape[-1]))

    def _scores(self, target: Tensor, memory: Tensor, memory_keep: Tensor) -> Tensor:
        # Padding stands at the end of a target, so what is causal does not read it either.
        keep = causal_mask(target.shape[1], target.shape[1], device=target.device)
        hidden = self.transformer.decoder(self.embed(target), memory, keep, memory_keep)
        return self.embedding.logits(hidden)


# Learning


def label_smoothing_loss(
    logits: Float[Tensor, "*batch V"],
    target: Int[Tensor, "*batch"],
    smoothing: float = 0.1,
    ignore_index: int = 0,
) -> Float[Tensor, ""]:
    """-(1 - ε) log p(target) - ε / V Σ_j log p(j), the mean in nats of all that is not padding.

    Szegedy et al. 2016, section 7, arXiv:1512.00567: the target is right with a share of
    1 - ε + ε / V, and each of the other symbols, padding among them, with ε / V. As
    ``F.cross_entropy`` with its ``label_smoothing``; but padding alone costs 0 and not nan.
    A place whose target is ignore_index counts for nothing, in neither term.
    ValueError if smoothing is not from 0 to 1, or logits and target differ in their places.
    """
    _require_loss(logits, target, smoothing)
    real = target != ignore_index
    log_probs = logits.log_softmax(dim=-1)
    # ignore_index may be no symbol at all, as torch's own -100: what is looked up there is dropped.
    right = log_probs.gather(-1, target.where(real, 0)[..., None])[..., 0]
    loss = -(1 - smoothing) * right
    if smoothing:  # 0 times the infinite loss of a symbol that cannot be would be nan
        loss = loss - smoothing * log_probs.mean(dim=-1)
    return loss.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)


def warmup_rate(step: int, width: int, warmup_steps: int = 4000) -> float:
    """C^-0.5 · min(step^-0.5, step · warmup_steps^-1.5): Vaswani et al. 2017, eq. (3).

    The learning rate of step 1, 2, 3, ...: it grows linearly to its largest, C^-0.5
    warmup_steps^-0.5 at warmup_steps, and falls with the root from there.
    ValueError unless all three are at least 1: there is no step 0.
    """
    given = {"step": step, "width": width, "warmup_steps": warmup_steps}
    for name, number in given.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    return width**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


# Writing


@torch.no_grad()
def greedy_decode(
    next_logits: NextLogits, start: Int[Tensor, " B"], end: int, longest: int
) -> Int[Tensor, "B T"]:
    """The likeliest symbol, again and again, until every row has said ``end``, or is ``longest``.

    next_logits(written, rows) -> (N, V): written (N, t) begins with the start of its row, and
    rows (N,) are the numbers of the rows, here 0 to B - 1. Of equally likely symbols the first.
    Without the start; after its end a row is filled with ``end``.
    ValueError for a negative longest.
    """
    _require_longest(longest)
    written, rows = start[:, None], torch.arange(len(start), device=start.device)
    done = torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        following = next_logits(written, rows).argmax(dim=-1)
        following = following.masked_fill(done, end)
        written, done = torch.cat((written, following[:, None]), dim=1), done | (following == end)
        if done.all():
            break
    return written[:, 1:]


def length_penalty(
    length: int | float | Int[Tensor, "*shape"] | Float[Tensor, "*shape"], alpha: float
) -> float | Float[Tensor, "*shape"]:
    """((5 + length) / 6)^alpha: Wu et al. 2016, eq. (14), arXiv:1609.08144.

    What the log-probability of a translation is divided by. alpha 0 is no penalty; 1 is nearly
    the mean of a symbol.
    """
    return ((5 + length) / 6) ** alpha


@torch.no_grad()
def beam_search(
    next_logits: NextLogits,
    start: Int[Tensor, " B"],
    end: int,
    longest: int,
    beam_size: int = 4,
    alpha: float = 0.6,
) -> tuple[Int[Tensor, "B K T"], Float[Tensor, "B K"]]:
    """The K = beam_size best translations that are found, and their scores, the best first.

    score = log p(translation) / ``length_penalty``(its length with its end, alpha): Wu et al. 2016,
    eq. (14), without their coverage. In each step every unfinished beginning is continued with
    every symbol, and the K best of all stay, finished ones beside them, each with the penalty of
    its own length. It ends when all K are finished, or after ``longest`` symbols; what is
    unfinished then counts as it is.
    next_logits as in ``greedy_decode``, with K rows for each start, one after another; a beam of
    one is ``greedy_decode``. Where there are fewer than K translations the others score -inf.
    ValueError for a negative longest, or less than one beam.
    """
    _require_longest(longest)
    _require_beam(beam_size)
    batch = len(start)
    written = start[:, None, None].expand(-1, beam_size, -1)  # (B, K, 1)
    rows = torch.arange(batch, device=start.device).repeat_interleave(beam_size)
    # One beginning and not K equal ones: the others may not be continued.
    done = torch.arange(beam_size, device=start.device).expand(batch, -1) > 0  # (B, K)
    total = torch.zeros(done.shape, device=start.device).masked_fill(done, -math.inf)
    lengths = torch.zeros_like(written[..., 0])
    for step in range(1, longest + 1):
        log_probs = next_logits(written.flatten(0, 1), rows).log_softmax(dim=-1)
        log_probs = log_probs.unflatten(0, (batch, beam_size))  # (B, K, V)
        # What is finished goes on with its end, for nothing, and so keeps its place.
        finished = torch.full_like(log_probs, -math.inf)
        finished[..., end] = 0
        ways = total[..., None] + torch.where(done[..., None], finished, log_probs)
        lengths = torch.where(done, lengths, step)
        # Of integers the penalty would be in single precision, whatever the scores are in.
        penalty = length_penalty(lengths.to(ways.dtype), alpha)
        scores = (ways / penalty[..., None]).flatten(1)  # (B, KV)
        best = scores.sort(dim=-1, descending=True, stable=True).indices[:, :beam_size]
        origin, symbol = best // log_probs.shape[-1], best % log_probs.shape[-1]
        total, lengths = ways.flatten(1).gather(1, best), lengths.gather(1, origin)
        was_done = done.gather(1, origin) | total.isneginf()
        symbol = symbol.masked_fill(was_done, end)
        done = was_done | (symbol == end)
        before = written.gather(1, origin[..., None].expand(-1, -1, written.shape[-1]))
        written = torch.cat((before, symbol[..., None]), dim=-1)
        if done.all():
            break
    return written[..., 1:], total / length_penalty(lengths.to(total.dtype), alpha)


# Judging


def bleu(
    hypotheses: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    max_order: int = 4,
) -> float:
    """100 · brevity penalty · exp(mean of log p_n, n = 1 ... 4), of a whole corpus.

    Papineni et al. 2002, section 2.3, doi:10.3115/1073083.1073135. hypotheses[i] and each of
    references[i] are tokens. p_n is the share of all n-grams of the hypotheses that stand in a
    reference of theirs, each counted at most as often as in the reference that has it most. The
    brevity penalty is min(1, exp(1 - r / h)), with h tokens in all hypotheses and r in the
    references nearest to them in length, the shorter of two.
    Where nothing of an order matches, p_n is 1 / (2^k · its n-grams) for the k-th such order, as
    in mteval-v13a and sacrebleu; 0 if nothing matches at all, or there is no n-gram of an order.
    ValueError if a hypothesis has no reference; TypeError for text that is not cut into tokens.
    """
    _require_references(hypotheses, references)
    matches, totals = [0] * max_order, [0] * max_order
    length = nearest = 0
    for said, wanted in zip(hypotheses, references, strict=True):
        length += len(said)
        nearest += min((len(r) for r in wanted), key=lambda n: (abs(n - len(said)), n))
        for n in range(1, max_order + 1):
            found, most = _ngrams(said, n), Counter()
            for reference in wanted:
                most |= _ngrams(reference, n)  # the larger of the two counts
            matches[n - 1] += (found & most).total()  # the smaller
            totals[n - 1] += found.total()
    if not any(matches) or not all(totals):
        return 0.0
    logs, share = 0.0, 1.0
    for right, total in zip(matches, totals, strict=True):
        if not right:
            share /= 2
        logs += math.log((right or share) / total)
    return 100 * min(1.0, math.exp(1 - nearest / length)) * math.exp(logs / max_order)


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _norm(parameters: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: layer_norm(x, *parameters)


def _attention(
    config: TransformerConfig, attention: Callable[..., Tensor] | None
) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.width,
        config.num_heads,
        num_kv_heads=config.num_kv_heads,
        bias=config.bias,
        attention=attention or DropoutAttention(config.dropout),
    )


def _norm_of(config: TransformerConfig) -> nn.Module:
    """By default torch's own, which does in one step what ``layer_norm`` does in six."""
    return config.norm(config.width, eps=config.norm_eps)


def _last_norm(config: TransformerConfig) -> nn.Module:
    return _norm_of(config) if config.final_norm else nn.Identity()


def _require_norm(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    if x.ndim < 1 or not weight.shape == bias.shape == x.shape[-1:]:
        raise ValueError(
            "weight and bias need one entry for each feature: "
            f"x {tuple(x.shape)}, weight {tuple(weight.shape)}, bias {tuple(bias.shape)}"
        )


def _require_feed_forward(
    x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor
) -> None:
    matrices = x.ndim >= 1 and w_in.ndim == w_out.ndim == 2
    fits = matrices and (
        x.shape[-1:] == w_in.shape[:1]
        and w_in.shape[1:] == b_in.shape == w_out.shape[:1]
        and w_out.shape[1:] == b_out.shape
    )
    if not fits:
        given = {"x": x, "w_in": w_in, "b_in": b_in, "w_out": w_out, "b_out": b_out}
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in given.items())
        raise ValueError(
            f"x (*, C), w_in (C, F), b_in (F), w_out (F, Cout), b_out (Cout): {shapes}"
        )


def _require_norms(norms: Sequence, count: int) -> None:
    if len(norms) != count:
        raise ValueError(f"a layer of {count} sublayers has {count} norms, got {len(norms)}")


def _require_loss(logits: Tensor, target: Tensor, smoothing: float) -> None:
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must be from 0 to 1, got {smoothing}")
    if logits.shape[:-1] != target.shape:
        raise ValueError(
            "every place needs the scores of all symbols and one target: "
            f"logits {tuple(logits.shape)}, target {tuple(target.shape)}"
        )


def _require_longest(longest: int) -> None:
    if longest < 0:
        raise ValueError(f"longest must not be negative, got {longest}")


def _require_beam(beam_size: int) -> None:
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1, got {beam_size}")


def _require_references(hypotheses: Sequence, references: Sequence) -> None:
    if len(hypotheses) != len(references) or not all(references):
        raise ValueError(
            "every hypothesis needs a reference: "
            f"{len(hypotheses)} hypotheses, references {[len(r) for r in references]}"
        )
    for tokens in (*hypotheses, *(r for some in references for r in some)):
        if isinstance(tokens, str):
            raise TypeError(f"a text must be cut into tokens, got one string: {tokens!r}")
