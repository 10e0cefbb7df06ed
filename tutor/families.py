"""Chapter 8, the families: six published models from one set of parts.

Attention is chapter 4's, rotation and relative positions are chapter 5's, layers and stacks are
chapter 7's. A family is a configuration: where the norms stand and what they are, how a position is
told, who may read whom. ``renamed`` gives the weights of Hugging Face's classes the names of ours.

B batch, T time (S symbols of a source, T symbols of a target), C model width, F width of the hidden
layer, H heads, D width of a head, V vocabulary.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from tutor.alignment import masked_softmax
from tutor.attention import causal_mask, padding_mask, scaled_dot_product_attention
from tutor.position import apply_rope, relative_buckets
from tutor.transformer import Decoder, Encoder, TransformerConfig

__all__ = [
    "FamilyConfig",
    "FamilyModel",
    "RelativeAttention",
    "bart",
    "bert",
    "corrupt_spans",
    "gpt2",
    "llama",
    "mask_tokens",
    "renamed",
    "rms_norm",
    "roberta",
    "sample",
    "shift_for_next_token",
    "swiglu",
    "t5",
    "unscaled_attention",
]


IGNORED = -100
"""What ``F.cross_entropy`` leaves out."""


# The parts


def rms_norm(
    x: Float[Tensor, "*batch C"], weight: Float[Tensor, " C"], eps: float = 1e-6
) -> Float[Tensor, "*batch C"]:
    """weight · x / √(mean of x² + eps), over the features of each token alone.

    Zhang and Sennrich 2019, arXiv:1910.07467: a layer norm without its mean and its bias.
    Half precision is normalised in single, where squares do not overflow.
    ValueError, with the shapes, if weight does not fit the width of x.
    """
    _require_weight(x, weight)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * (wide.square().mean(dim=-1, keepdim=True) + eps).rsqrt() * weight).to(x.dtype)


def swiglu(
    x: Float[Tensor, "*batch C"],
    w_gate: Float[Tensor, "C F"],
    w_in: Float[Tensor, "C F"],
    w_out: Float[Tensor, "F Cout"],
) -> Float[Tensor, "*batch Cout"]:
    """(silu(x w_gate) · x w_in) w_out, silu(z) = z / (1 + e⁻ᶻ): Shazeer 2020, arXiv:2002.05202.

    ValueError, with the shapes, if the parameters do not fit together.
    """
    _require_gated(x, w_gate, w_in, w_out)
    return (F.silu(x @ w_gate) * (x @ w_in)) @ w_out


def unscaled_attention(
    q: Float[Tensor, "*batch Tq D"],
    k: Float[Tensor, "*batch Tk D"],
    v: Float[Tensor, "*batch Tk Dv"],
    keep: Bool[Tensor, "*#batch #Tq #Tk"] | None = None,
    bias: Float[Tensor, "*#batch Tq Tk"] | float = 0.0,
) -> Float[Tensor, "*batch Tq Dv"]:
    """softmax(q kᵀ + bias) v, not divided by √D: Raffel et al. 2020, section 2.1.

    T5 begins with query projections that are smaller by √D instead. Mask and zeros as in chapter 3.
    """
    return masked_softmax(q @ k.mT + bias, keep) @ v


class RelativeAttention(nn.Module):
    """``unscaled_attention`` with a learned bias for each head and bucket of distances.

    Raffel et al. 2020, section 2.1, arXiv:1910.10683. All layers of a stack share one.
    """

    def __init__(
        self, num_heads: int, bidirectional: bool, num_buckets: int = 32, max_distance: int = 128
    ) -> None:
        super().__init__()
        self.bidirectional, self.max_distance = bidirectional, max_distance
        self.bias = nn.Embedding(num_buckets, num_heads)

    def forward(
        self,
        q: Float[Tensor, "*batch H Tq D"],
        k: Float[Tensor, "*batch H Tk D"],
        v: Float[Tensor, "*batch H Tk Dv"],
        keep: Bool[Tensor, "*#batch #H #Tq #Tk"] | None = None,
    ) -> Float[Tensor, "*batch H Tq Dv"]:
        """The last query stands at the last key."""
        num_queries, num_keys = q.shape[-2], k.shape[-2]
        queries = torch.arange(num_queries, device=q.device) + (num_keys - num_queries)
        distance = torch.arange(num_keys, device=q.device) - queries[:, None]  # (Tq, Tk)
        buckets = relative_buckets(
            distance, self.bidirectional, self.bias.num_embeddings, self.max_distance
        )
        return unscaled_attention(q, k, v, keep, self.bias(buckets).movedim(-1, -3))


# What they learn, and how they write


def mask_tokens(
    tokens: Int[Tensor, "*batch T"],
    special: Bool[Tensor, "*batch T"],
    chance: Float[Tensor, "*batch T"],
    kind: Float[Tensor, "*batch T"],
    substitute: Int[Tensor, "*batch T"],
    mask_id: int,
    rate: float = 0.15,
) -> tuple[Int[Tensor, "*batch T"], Int[Tensor, "*batch T"]]:
    """What the model reads, and what it has to say: Devlin et al. 2018, section 3.1.

    A token that is not special is chosen if its chance < rate. Of the chosen, kind < 0.8 becomes
    mask_id, 0.8 ≤ kind < 0.9 its substitute, and the rest stays. What is to be said is the token
    where it was chosen, and -100 elsewhere, which ``F.cross_entropy`` ignores. chance and kind are
    drawn evenly from [0, 1), substitute from the vocabulary. ValueError if shapes differ.
    """
    _require_same_shape(tokens, special, chance, kind, substitute)
    chosen = (chance < rate) & ~special
    read = tokens.masked_fill(chosen & (kind < 0.8), mask_id)
    read = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), substitute, read)
    return read, tokens.masked_fill(~chosen, IGNORED)


def shift_for_next_token(
    tokens: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
) -> tuple[Int[Tensor, "B T-1"], Int[Tensor, "B T-1"]]:
    """All tokens but the last, and for each of them the one that follows; -100 where that is
    padding, which stands at the end of a row from its length on.

    ValueError if there is no token to follow another, or lengths do not fit.
    """
    _require_lengths(tokens, lengths)
    following = tokens[:, 1:]
    real = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths[:, None]
    return tokens[:, :-1], following.masked_fill(~real, IGNORED)


def corrupt_spans(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    """A text with spans taken out, and what was taken out: Raffel et al. 2020, section 3.1.4.

    spans are (start, end), in order, end excluded. In the text the i-th span is one sentinel,
    first_sentinel - i. The answer is each sentinel with what it stands for, and one more sentinel
    at the end. ValueError if spans are empty, overlap, touch or leave the text.
    """
    _require_spans(spans, len(tokens))
    source, target, done, sentinel = [], [], 0, first_sentinel
    for start, end in spans:
        source += [*tokens[done:start], sentinel]
        target += [sentinel, *tokens[start:end]]
        done, sentinel = end, sentinel - 1
    return [*source, *tokens[done:]], [*target, sentinel]


def sample(
    logits: Float[Tensor, "*batch V"],
    chance: Float[Tensor, "*batch"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Int[Tensor, "*batch"]:
    """A token drawn from softmax(logits / temperature), cut to the likeliest.

    top_k: the k likeliest (Fan et al. 2018, arXiv:1805.04833). top_p: of what is left, the fewest
    likeliest whose probabilities sum to p or more (Holtzman et al. 2020, arXiv:1904.09751). What
    stays is scaled to sum to 1. In the order of the vocabulary the token is the first at which the
    sum of probabilities exceeds chance, drawn evenly from [0, 1). temperature 0: the likeliest.
    ValueError for a negative temperature, top_k < 1, or top_p outside of (0, 1].
    """
    _require_cuts(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    logits, order = (logits / temperature).sort(dim=-1, descending=True, stable=True)
    p = logits.softmax(-1)
    if top_k is not None:
        p = p * (torch.arange(p.shape[-1], device=p.device) < top_k)
        p = p / p.sum(-1, keepdim=True)
    if top_p is not None:
        before = p.cumsum(-1) - p
        p = p * (before < top_p)  # the one that reaches p stays
        p = p / p.sum(-1, keepdim=True)
    p = torch.zeros_like(p).scatter(-1, order, p)  # in the order of the vocabulary again
    reached = p.cumsum(-1) > chance[..., None]
    # Rounding may keep the sum below 1: then the last that has a chance.
    last = p.shape[-1] - 1 - (p > 0).flip(-1).int().argmax(-1)
    return torch.where(reached.any(-1), reached.int().argmax(-1), last)


# The models


@dataclass(frozen=True)
class FamilyConfig(TransformerConfig):
    """What tells one family from another, and the sizes of one model of it.

    positions: "learned", one row of a table for each place, from row ``first_position`` on; "rope",
    in the attention, with ``theta``, by ``rope`` if it is not ``apply_rope``; "buckets",
    ``RelativeAttention``. segments: the first and the second sentence of a pair.
    scaled_embedding: times √C. transformed: the readout has a layer of its own before the scores.
    tied: the readout's matrix is the embedding. readout: whether there is one; a model that was
    trained to give vectors has none.
    A model with encoder layers alone reads in both directions; with decoder layers alone it is
    causal; with both, the decoder reads the encoder.
    """

    name: str = ""
    vocabulary: int = 0
    max_length: int = 512
    positions: str = "learned"
    first_position: int = 0
    theta: float = 10_000.0
    num_buckets: int = 32
    max_distance: int = 128
    segments: int = 0
    embedding_norm: bool = False
    scaled_embedding: bool = False
    transformed: bool = False
    tied: bool = True
    readout_bias: bool = False
    readout_scale: float = 1.0
    readout: bool = True
    rope: Callable[..., Tensor] | None = None
    dropout: float = 0.0
    objective: str = ""
    used_for: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positions not in ("learned", "rope", "buckets"):
            raise ValueError(
                f'positions must be "learned", "rope" or "buckets", got {self.positions!r}'
            )


class _Embedding(nn.Module):
    """Token, place and segment, as far as a family has them; scaled, normed."""

    def __init__(self, config: FamilyConfig, token: nn.Embedding) -> None:
        super().__init__()
        self.config, self.token = config, token
        if config.positions == "learned":
            self.position = nn.Embedding(config.max_length + config.first_position, config.width)
        if config.segments:
            self.segment = nn.Embedding(config.segments, config.width)
        if config.embedding_norm:
            self.norm = config.norm(config.width, eps=config.norm_eps)

    def forward(self, tokens: Tensor, segments: Tensor | None = None) -> Tensor:
        x = self.token(tokens)
        if self.config.scaled_embedding:
            x = x * self.config.width**0.5
        if self.config.positions == "learned":
            _require_length(tokens, self.config)
            first = self.config.first_position
            x = x + self.position.weight[first : first + tokens.shape[-1]]
        if self.config.segments:
            x = x + (self.segment.weight[0] if segments is None else self.segment(segments))
        return self.norm(x) if self.config.embedding_norm else x


class FamilyModel(nn.Module):
    """Tokens to scores of tokens, for every family.

    Encoder alone: the score of each token at its own place. Decoder alone, or both: of the next.
    """

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__()
        self.config = config
        token = nn.Embedding(config.vocabulary, config.width)
        if config.num_encoder_layers:
            self.encoder_embedding = _Embedding(config, token)
            self.encoder = Encoder(_with_positions(config, bidirectional=True))
        if config.num_decoder_layers:
            causal = _with_positions(config, bidirectional=False)
            self.decoder_embedding = _Embedding(config, token)
            if config.num_encoder_layers:
                self.decoder: nn.Module = Decoder(causal)
            else:  # without a memory to read it is a stack of encoder layers behind a causal mask
                alone = replace(causal, num_encoder_layers=config.num_decoder_layers)
                self.decoder = Encoder(alone)
        if config.transformed:
            self.transform = nn.Sequential(
                nn.Linear(config.width, config.width),
                _Activation(config.activation),
                config.norm(config.width, eps=config.norm_eps),
            )
        if config.readout:
            self.readout = nn.Linear(config.width, config.vocabulary, bias=config.readout_bias)
            if config.tied:
                self.readout.weight = token.weight

    def forward(
        self,
        tokens: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"] | None = None,
        target: Int[Tensor, "B T"] | None = None,
        segments: Int[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B _ V"]:
        """``target`` is what the decoder of a model with both has written so far. Padding stands at
        the end; without ``lengths`` there is none."""
        return self.scores(self.hidden(tokens, lengths, target, segments))

    def hidden(
        self,
        tokens: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"] | None = None,
        target: Int[Tensor, "B T"] | None = None,
        segments: Int[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B _ C"]:
        """What the last layer gives."""
        keep = None if lengths is None else padding_mask(lengths, tokens.shape[1])
        if not self.config.num_encoder_layers:
            return self.decoder(self.decoder_embedding(tokens, segments), _causal(tokens, keep))
        memory = self.encoder(self.encoder_embedding(tokens, segments), keep)
        if not self.config.num_decoder_layers:
            return memory
        if target is None:
            raise ValueError(f"{self.config.name} has a decoder: it needs a target to go on with")
        return self.decoder(self.decoder_embedding(target), memory, _causal(target, None), keep)

    def scores(self, hidden: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch V"]:
        if self.config.transformed:
            hidden = self.transform(hidden)
        return self.readout(hidden * self.config.readout_scale)


class _Activation(nn.Module):
    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x)


def _causal(tokens: Tensor, keep: Tensor | None) -> Tensor:
    time = tokens.shape[1]
    causal = causal_mask(time, time, device=tokens.device)
    return causal if keep is None else causal & keep


def _with_positions(config: FamilyConfig, bidirectional: bool) -> FamilyConfig:
    """The configuration of a stack, whose attention tells the positions if nothing else does."""
    if config.positions == "rope":
        turn = config.rope or apply_rope

        def turned(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None = None) -> Tensor:
            places = torch.arange(k.shape[-2], device=k.device)
            asked = places[k.shape[-2] - q.shape[-2] :]
            q, k = (turn(x, at, config.theta) for x, at in ((q, asked), (k, places)))
            return (config.attention or scaled_dot_product_attention)(q, k, v, keep)

        return replace(config, attention=turned)
    if config.positions == "buckets":
        sizes = config.num_heads, bidirectional, config.num_buckets, config.max_distance
        return replace(
            config, attention=RelativeAttention(*sizes), memory_attention=unscaled_attention
        )
    return config


# The families: Hugging Face's defaults, which are the published ones


def bert(**sizes: object) -> FamilyConfig:
    """Devlin et al. 2018, arXiv:1810.04805; by default BERT base, uncased."""
    told = {
        "name": "BERT",
        "vocabulary": 30_522,
        "width": 768,
        "num_heads": 12,
        "hidden_width": 3072,
        "num_encoder_layers": 12,
        "num_decoder_layers": 0,
        "norm_eps": 1e-12,
        "activation": F.gelu,
        "final_norm": False,
        "segments": 2,
        "embedding_norm": True,
        "transformed": True,
        "readout_bias": True,
        "objective": "masked words, and whether two sentences follow each other",
        "used_for": "classifying, marking and finding",
    }
    return FamilyConfig(**(told | sizes))


def roberta(**sizes: object) -> FamilyConfig:
    """Liu et al. 2019, arXiv:1907.11692; by default RoBERTa base. Places count from 2."""
    told = {
        "name": "RoBERTa",
        "vocabulary": 50_265,
        "first_position": 2,
        "segments": 1,
        "norm_eps": 1e-5,
        "objective": "masked words, drawn anew each time",
    }
    return bert(**(told | sizes))


def gpt2(**sizes: object) -> FamilyConfig:
    """Radford et al. 2019; by default its smallest model."""
    told = {
        "name": "GPT-2",
        "vocabulary": 50_257,
        "max_length": 1024,
        "width": 768,
        "num_heads": 12,
        "hidden_width": 3072,
        "num_encoder_layers": 0,
        "num_decoder_layers": 12,
        "norm_first": True,
        "activation": lambda x: F.gelu(x, approximate="tanh"),
        "objective": "the next token",
        "used_for": "writing",
    }
    return FamilyConfig(**(told | sizes))


def llama(**sizes: object) -> FamilyConfig:
    """Touvron et al. 2023, arXiv:2302.13971; by default 7B."""
    told = {
        "name": "LLaMA",
        "vocabulary": 32_000,
        "max_length": 2048,
        "width": 4096,
        "num_heads": 32,
        "hidden_width": 11_008,
        "num_encoder_layers": 0,
        "num_decoder_layers": 32,
        "norm_first": True,
        "norm": nn.RMSNorm,
        "norm_eps": 1e-6,
        "activation": F.silu,
        "gated": True,
        "bias": False,
        "positions": "rope",
        "tied": False,
        "objective": "the next token",
        "used_for": "writing, answering",
    }
    return FamilyConfig(**(told | sizes))


def t5(**sizes: object) -> FamilyConfig:
    """Raffel et al. 2020, arXiv:1910.10683; by default T5 small."""
    told = {
        "name": "T5",
        "vocabulary": 32_128,
        "width": 512,
        "num_heads": 8,
        "hidden_width": 2048,
        "num_encoder_layers": 6,
        "num_decoder_layers": 6,
        "norm_first": True,
        "norm": nn.RMSNorm,
        "norm_eps": 1e-6,
        "bias": False,
        "positions": "buckets",
        "objective": "the spans that are missing",
        "used_for": "translating, summarising, answering",
    }
    told |= sizes
    if told.get("tied", True):
        told.setdefault("readout_scale", told["width"] ** -0.5)
    return FamilyConfig(**told)


def bart(**sizes: object) -> FamilyConfig:
    """Lewis et al. 2020, arXiv:1910.13461; by default BART large. Places count from 2."""
    told = {
        "name": "BART",
        "vocabulary": 50_265,
        "max_length": 1024,
        "width": 1024,
        "num_heads": 16,
        "hidden_width": 4096,
        "num_encoder_layers": 12,
        "num_decoder_layers": 12,
        "activation": F.gelu,
        "final_norm": False,
        "first_position": 2,
        "embedding_norm": True,
        "readout_bias": True,
        "objective": "the text from a damaged one",
        "used_for": "summarising, translating",
    }
    return FamilyConfig(**(told | sizes))


# The weights


_BERT = (
    (r"^(bert|roberta)\.", ""),
    (r"^embeddings\.LayerNorm", "encoder_embedding.norm"),
    (r"^embeddings\.(word|position|token_type)_embeddings", r"encoder_embedding.\1"),
    (r"embedding\.word", "embedding.token"),
    (r"embedding\.token_type", "embedding.segment"),
    (r"^encoder\.layer\.", "encoder.layers."),
    (r"attention\.self\.(query|key|value)\.(\w+)$", r"self_attn.\1_\2"),
    (r"attention\.output\.dense", "self_attn.out_proj"),
    (r"attention\.output\.LayerNorm", "norm1"),
    (r"intermediate\.dense", "linear1"),
    (r"output\.dense", "linear2"),
    (r"output\.LayerNorm", "norm2"),
    (r"^cls\.predictions\.transform\.dense|^lm_head\.dense", "transform.0"),
    (r"^cls\.predictions\.transform\.LayerNorm|^lm_head\.layer_norm", "transform.2"),
    (r"^(cls\.predictions|lm_head)\.decoder", "readout"),
    (r"^(cls\.predictions|lm_head)\.bias$", "readout.bias"),
)
_GPT2 = (
    (r"^transformer\.wte", "decoder_embedding.token"),
    (r"^transformer\.wpe", "decoder_embedding.position"),
    (r"^transformer\.ln_f", "decoder.norm"),
    (r"^transformer\.h\.", "decoder.layers."),
    (r"ln_([12])", r"norm\1"),
    (r"attn\.c_attn\.(\w+)", r"self_attn.in_proj_\1"),
    (r"attn\.c_proj", "self_attn.out_proj"),
    (r"mlp\.c_fc", "linear1"),
    (r"mlp\.c_proj", "linear2"),
    (r"^lm_head", "readout"),
)
_LLAMA = (
    (r"^model\.embed_tokens", "decoder_embedding.token"),
    (r"^model\.norm", "decoder.norm"),
    (r"^model\.layers", "decoder.layers"),
    (r"self_attn\.o_proj", "self_attn.out_proj"),
    (r"self_attn\.(q|k|v)_proj\.(\w+)$", r"self_attn.\1_\2"),
    (r"mlp\.gate_proj", "gate"),
    (r"mlp\.up_proj", "linear1"),
    (r"mlp\.down_proj", "linear2"),
    (r"input_layernorm", "norm1"),
    (r"post_attention_layernorm", "norm2"),
    (r"^lm_head", "readout"),
)
_T5 = (
    (r"^(encoder|decoder)\.embed_tokens", r"\1_embedding.token"),
    (r"^shared", "encoder_embedding.token"),
    (r"^(encoder|decoder)\.block", r"\1.layers"),
    (r"final_layer_norm", "norm"),
    (r"layer\.0\.SelfAttention\.o", "self_attn.out_proj"),
    (r"layer\.0\.SelfAttention\.(q|k|v)\.(\w+)$", r"self_attn.\1_\2"),
    (r"layer\.0\.SelfAttention\.relative_attention_bias", "self_attn.attention.bias"),
    (r"layer\.1\.EncDecAttention\.o", "multihead_attn.out_proj"),
    (r"layer\.1\.EncDecAttention\.(q|k|v)\.(\w+)$", r"multihead_attn.\1_\2"),
    (r"layer\.0\.layer_norm", "norm1"),
    (r"layer\.1\.layer_norm", "norm2"),
    (r"layer\.2\.layer_norm", "norm3"),
    (r"layer\.[12]\.DenseReluDense\.wi_0", "gate"),
    (r"layer\.[12]\.DenseReluDense\.wi(_1)?", "linear1"),
    (r"layer\.[12]\.DenseReluDense\.wo", "linear2"),
    (r"^lm_head", "readout"),
)
_BART = (
    (r"^model\.", ""),
    (r"^shared", "encoder_embedding.token"),
    (r"^(encoder|decoder)\.embed_tokens", r"\1_embedding.token"),
    (r"^(encoder|decoder)\.embed_positions", r"\1_embedding.position"),
    (r"^(encoder|decoder)\.layernorm_embedding", r"\1_embedding.norm"),
    (r"(self|encoder)_attn\.(q|k|v)_proj\.(\w+)$", r"\1_attn.\2_\3"),
    (r"self_attn_layer_norm", "norm1"),
    (r"encoder_attn_layer_norm", "norm2"),
    (r"encoder_attn", "multihead_attn"),
    (r"^(encoder\.layers\.\d+\.)final_layer_norm", r"\1norm2"),
    (r"^(decoder\.layers\.\d+\.)final_layer_norm", r"\1norm3"),
    (r"fc([12])", r"linear\1"),
    (r"^final_logits_bias", "readout.bias"),
    (r"^lm_head", "readout"),
)
_NAMES = {
    "BERT": _BERT,
    "RoBERTa": _BERT,
    "GPT-2": _GPT2,
    "LLaMA": _LLAMA,
    "T5": _T5,
    "BART": _BART,
}
"""What Hugging Face's class calls a part -> what ``FamilyModel`` calls it, one after another."""
_PROJECTIONS = (("query", "key", "value"), ("q", "k", "v"))


def renamed(weights: dict[str, Tensor], config: FamilyConfig) -> dict[str, Tensor]:
    """The state dict of Hugging Face's class of this family, as ``FamilyModel`` loads it.

    The three projections are put into one matrix where chapter 4's layer has them so; GPT-2's
    matrices, stored (in, out), are turned. What no language model reads (BERT's pooler and its
    judgement of two sentences, the numbers of the places) is left out.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if re.search(
            r"pooler|seq_relationship|position_ids|rotary_emb|\.attn\.(masked_)?bias$", name
        ):
            continue
        if name.endswith(".bias") and f"{name.removesuffix('bias')}decoder.bias" in weights:
            continue  # BERT's readout has its bias twice, and reads the second
        for theirs, ours in _NAMES[config.name]:
            name = re.sub(theirs, ours, name)
        if config.name == "GPT-2" and re.search(r"(in_proj_|out_proj\.|linear\d\.)weight$", name):
            tensor = tensor.mT
        found[name] = tensor.flatten() if name == "readout.bias" else tensor
    _pack(found, config)
    if config.tied and config.readout:  # a file may leave out what is there already
        found.setdefault("readout.weight", found[f"{_first_stack(config)}_embedding.token.weight"])
    if config.positions == "buckets":  # each layer of a stack names what all of them share
        for name in [name for name in found if "attention.bias" in name]:
            for layer in range(
                config.num_encoder_layers if "encoder" in name else config.num_decoder_layers
            ):
                found[re.sub(r"layers\.\d+", f"layers.{layer}", name)] = found[name]
    return found


def _first_stack(config: FamilyConfig) -> str:
    return "encoder" if config.num_encoder_layers else "decoder"


def _pack(found: dict[str, Tensor], config: FamilyConfig) -> None:
    apart = config.num_kv_heads not in (None, config.num_heads)
    for q, k, v in _PROJECTIONS:
        for name in [name for name in found if re.search(rf"_attn\.{q}_(weight|bias)$", name)]:
            start, kind = name.rsplit(".", 1)[0], name.rsplit("_", 1)[1]
            rows = [found.pop(f"{start}.{part}_{kind}") for part in (q, k, v)]
            if apart and kind == "weight":
                found |= {f"{start}.{p}_proj_weight": r for p, r in zip("qkv", rows, strict=True)}
            else:
                found[f"{start}.in_proj_{kind}"] = torch.cat(rows)


def _require_weight(x: Tensor, weight: Tensor) -> None:
    if x.ndim < 1 or weight.shape != x.shape[-1:]:
        raise ValueError(
            f"weight needs one entry for each feature: x {tuple(x.shape)}, "
            f"weight {tuple(weight.shape)}"
        )


def _require_gated(x: Tensor, w_gate: Tensor, w_in: Tensor, w_out: Tensor) -> None:
    shapes = [tuple(t.shape) for t in (x, w_gate, w_in, w_out)]
    fits = x.ndim > 0 and w_gate.ndim == w_out.ndim == 2 and w_gate.shape == w_in.shape
    if not fits or w_in.shape[0] != x.shape[-1] or w_out.shape[0] != w_in.shape[1]:
        names = zip(("x", "w_gate", "w_in", "w_out"), shapes, strict=True)
        raise ValueError(
            "the parameters do not fit together: " + ", ".join(f"{n} {s}" for n, s in names)
        )


def _require_same_shape(tokens: Tensor, *others: Tensor) -> None:
    if any(other.shape != tokens.shape for other in others):
        shapes = ", ".join(str(tuple(t.shape)) for t in (tokens, *others))
        raise ValueError(f"tokens and what is drawn for them need one shape, got {shapes}")


def _require_lengths(tokens: Tensor, lengths: Tensor) -> None:
    if tokens.ndim != 2 or tokens.shape[1] < 1 or lengths.shape != tokens.shape[:1]:
        raise ValueError(
            "tokens (B, T) with T ≥ 1 and lengths (B) are needed, got "
            f"{tuple(tokens.shape)} and {tuple(lengths.shape)}"
        )


def _require_length(tokens: Tensor, config: FamilyConfig) -> None:
    if tokens.shape[-1] > config.max_length:
        raise ValueError(
            f"{tokens.shape[-1]} tokens; {config.name} has {config.max_length} learned positions"
        )


def _require_spans(spans: Sequence[tuple[int, int]], length: int) -> None:
    done = -1
    for start, end in spans:
        if not done < start < end <= length:
            raise ValueError(
                f"spans must be in order, apart, not empty and within {length} tokens, got {spans}"
            )
        done = end


def _require_cuts(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if temperature < 0:
        raise ValueError(f"temperature must not be negative, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
