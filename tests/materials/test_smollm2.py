"""SmolLM2's real weights in our own model, held to transformers' LLaMA on the same numbers."""

import pydoc_data.topics
import subprocess
import sys

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize
from jinja2 import Template
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from tutor.materials import smollm2 as module
from tutor.materials.smollm2 import (
    CONFIG,
    SmolLM2,
    decoded,
    load_smollm2,
    model_file,
    read_model,
)
from tutor.position import convert_rope_layout

HELP = pydoc_data.topics.topics["assignment"]
PROMPTS = ("The capital of France is", "def fibonacci(n):", "Water boils at")


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """The file is read once for all models of these tests."""
    read, found = module.read_model, []

    def again(path):
        found.append(found[0] if found else read(path))
        weights, tokenizer = found[-1]
        return dict(weights), tokenizer

    module.read_model = again
    yield
    module.read_model = read


@pytest.fixture(scope="module")
def file():
    return GGUFReader(model_file())


@pytest.fixture(scope="module")
def smollm2(read_once):
    return load_smollm2()


@pytest.fixture(scope="module")
def llama(smollm2):
    """transformers' own model, which pairs the features half-split."""
    sizes = CONFIG
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.hidden_width,
        num_hidden_layers=sizes.num_decoder_layers,
        num_attention_heads=sizes.num_heads,
        num_key_value_heads=sizes.num_kv_heads,
        max_position_embeddings=sizes.max_length,
        rms_norm_eps=sizes.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.theta},
        tie_word_embeddings=True,
        eos_token_id=2,
        pad_token_id=2,
    )
    weights, _ = module.read_model(model_file())
    for layer in range(sizes.num_decoder_layers):
        for name, heads in (("q_proj", sizes.num_heads), ("k_proj", sizes.num_kv_heads)):
            key = f"model.layers.{layer}.self_attn.{name}.weight"
            weights[key] = convert_rope_layout(weights[key], heads, to="half")
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(
        {**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}, assign=True
    )
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its buffers are in no file
    return model.eval()


@pytest.fixture(scope="module")
def ids(smollm2):
    return smollm2.tokenize(HELP)[None, :96]


def test_sizes_are_those_of_the_file(file):
    fields = {name: field.contents for name, field in file.fields.items()}
    sizes = CONFIG
    told = {
        "llama.vocab_size": sizes.vocabulary,
        "llama.context_length": sizes.max_length,
        "llama.embedding_length": sizes.width,
        "llama.attention.head_count": sizes.num_heads,
        "llama.attention.head_count_kv": sizes.num_kv_heads,
        "llama.block_count": sizes.num_decoder_layers,
        "llama.feed_forward_length": sizes.hidden_width,
        "llama.rope.freq_base": sizes.theta,
    }
    assert {name: fields[name]() for name in told} == told
    assert fields["llama.attention.layer_norm_rms_epsilon"]() == pytest.approx(sizes.norm_eps)
    assert fields["general.architecture"]() == "llama"


def test_logits_are_those_of_transformers_llama(smollm2, llama, ids):
    with torch.no_grad():
        ours, theirs = smollm2(ids), llama(ids).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_text_is_that_of_transformers_llama(smollm2, llama, prompt):
    ids = smollm2.tokenize(prompt)[None]
    with torch.no_grad():
        theirs = llama.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
    assert smollm2.complete(prompt, 12) == smollm2.tokenizer.decode(
        theirs[0, ids.shape[1] :].tolist()
    )


def test_it_knows_a_capital_and_what_to_expect_of_english(smollm2):
    assert "Paris" in smollm2.complete(smollm2.chat("What is the capital of France?"), 12)
    text = smollm2.tokenizer.decode(smollm2.tokenize(HELP)[:256].tolist())
    assert smollm2.loss(text) == pytest.approx(2.9, abs=0.4)
    assert smollm2.loss(text[::-1]) > smollm2.loss(text) + 1


def test_other_layout_is_the_same_model_once_the_rows_are_converted(smollm2, ids):
    half, wrong = load_smollm2(layout="half"), load_smollm2(layout="half", convert=False)
    with torch.no_grad():
        right, same, other = smollm2(ids), half(ids), wrong(ids)
    torch.testing.assert_close(same, right, rtol=0, atol=1e-3)
    losses = [F.cross_entropy(t[0, :-1], ids[0, 1:]) for t in (right, other)]
    assert losses[1] > losses[0] + 1


def test_attention_and_rotation_are_parameters(smollm2):
    seen = []

    def blind(q, k, v, keep):
        seen.append((q.shape, k.shape, v.shape, keep.shape))
        return torch.zeros_like(v)

    model = load_smollm2(attention=blind, rope=lambda x, positions, theta, layout: x)
    with torch.no_grad():
        model(torch.tensor([[1, 2, 3]]))
    assert seen == [((1, 9, 3, 64),) * 3 + ((1, 3, 3),)] * 30


def test_blocks_are_decoded_as_the_library_does(file):
    tensors = {t.name: t for t in file.tensors}
    for name in ("token_embd.weight", "blk.3.attn_k.weight", "blk.29.ffn_norm.weight"):
        tensor = tensors[name]
        wanted = dequantize(tensor.data[:300], tensor.tensor_type)
        assert np.array_equal(decoded(tensor)[:300].numpy(), wanted), name


def test_unknown_encoding_is_refused(file):
    other = file.tensors[0]._replace(tensor_type=GGMLQuantizationType.Q6_K)
    with pytest.raises(ValueError, match=r"token_embd\.weight is encoded as Q6_K"):
        decoded(other)


def test_changed_file_is_refused(tmp_path):
    path = tmp_path / "changed.gguf"
    content = bytearray(model_file().read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"has SHA-256 .*, the published file {module.FILE_SHA256}"
    ):
        read_model(path)


def test_missing_package_says_what_to_do(monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")
    with pytest.raises(ModuleNotFoundError, match="not installed here: run `make course`"):
        model_file()


def test_loading_takes_little_more_memory_than_the_weights():
    """Under a gigabyte with torch itself, whose size depends on the build."""
    code = (
        "import resource, torch, tutor.materials.smollm2 as m\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); m.load_smollm2(); print((peak() - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert float(done.stdout) < 760, done.stderr  # MiB, of which 513 are the weights


def test_tokens_are_bytes_pairs_and_single_digits(smollm2):
    tokens = smollm2.tokenizer.encode("In 2024 a café").tokens
    assert tokens == ["In", "Ġ", "2", "0", "2", "4", "Ġa", "ĠcafÃ©"]
    for text in ("naïve 😀 12\n\n  x", "<|im_start|>user\nHi<|im_end|>"):
        numbers = smollm2.tokenizer.encode(text).ids
        assert smollm2.tokenizer.decode(numbers, skip_special_tokens=False) == text


def test_conversation_is_as_the_files_template_has_it(file):
    template = file.fields["tokenizer.chat_template"].contents()
    for system in ([], [{"role": "system", "content": "Be brief."}]):
        messages = [*system, {"role": "user", "content": "Hello"}]
        wanted = Template(template).render(messages=messages, add_generation_prompt=True)
        given = {"system": "Be brief."} if system else {}
        assert SmolLM2.chat("Hello", **given) == wanted


@pytest.mark.parametrize("text", ["", "x " * 9000])
def test_text_that_does_not_fit_is_refused(smollm2, text):
    with pytest.raises(ValueError, match=r"a text of \d+ tokens; 1 to 8192 fit"):
        smollm2.tokenize(text)


def test_text_of_one_token_has_no_loss(smollm2):
    with pytest.raises(ValueError, match="at least two tokens"):
        smollm2.loss("the")
