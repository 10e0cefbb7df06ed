"""MiniLM's real weights in our own encoder, held to torch and to the figures that chapter 3 tells.

The encoder is compared with ``nn.TransformerEncoder`` on the same weights. Cosines and attention
weights were first computed with Hugging Face's ``BertModel``; here they are told to 0.01.
"""

import hashlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutor.attention import scaled_dot_product_attention
from tutor.materials import minilm as module
from tutor.materials.minilm import (
    WEIGHTS_SHA256,
    load_minilm,
    model_folder,
    read_weights,
    word_index,
)
from tutor.multihead import merge_heads, split_heads

TIRED = "The animal didn't cross the street because it was too tired"
WIDE = "The animal didn't cross the street because it was too wide"
JUICY = "Apple was juicy"
STOCK = "Apple stock crashed"


@pytest.fixture(scope="module")
def minilm():
    return load_minilm()


@pytest.fixture(scope="module")
def weights():
    """The published file's tensors, by its names."""
    return read_weights(model_folder() / "model.safetensors")


def token_vector(model, sentence, word):
    """The vector of ``word`` after the last layer."""
    index = word_index(model.tokenize([sentence]).tokens[0], word)
    return model.hidden_states([sentence])[-1, 0, index]


def cosine(model, sentence, word, other_sentence, other_word):
    a = token_vector(model, sentence, word)
    b = token_vector(model, other_sentence, other_word)
    return F.cosine_similarity(a, b, dim=0).item()


# The weights


def test_tampered_weights_are_refused(tmp_path, monkeypatch):
    published = model_folder() / "model.safetensors"
    content = bytearray(published.read_bytes())
    content[-1] ^= 1
    tampered = tmp_path / "model.safetensors"
    tampered.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(module, "model_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=f"{found}.*{WEIGHTS_SHA256}"):
        load_minilm()
    tampered.unlink()  # 90 MB, which pytest would keep
    assert len(read_weights(published)) == 104


def test_missing_package_names_the_command(monkeypatch):
    assert model_folder().is_dir()
    monkeypatch.setattr(module, "PACKAGE", "gt_no_such_package")
    with pytest.raises(ModuleNotFoundError, match=r"gt_no_such_package.*make course"):
        model_folder()


def test_every_tensor_of_the_file_is_used_and_no_other(minilm, weights):
    """A layer's are held to torch's layer below: here, that none is left over."""
    state = minilm.state_dict()
    read_by_nothing = {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}
    assert read_by_nothing < weights.keys()
    used = [tensor for name, tensor in weights.items() if name not in read_by_nothing]
    assert sum(t.numel() for t in used) == sum(t.numel() for t in state.values())
    assert sum(t.double().sum() for t in used) == pytest.approx(
        sum(t.double().sum().item() for t in state.values()), abs=1e-6
    )
    for theirs, ours in (("word", "token"), ("position", "position"), ("token_type", "segment")):
        kept = state[f"bert.encoder_embedding.{ours}.weight"]
        assert torch.equal(kept, weights[f"embeddings.{theirs}_embeddings.weight"])


def test_loaded_model_is_float32_and_in_eval_mode(minilm):
    assert not minilm.training
    assert {parameter.dtype for parameter in minilm.parameters()} == {torch.float32}
    assert not any(parameter.is_meta for parameter in minilm.parameters())


# Tokens


def test_tokens_are_lower_case_pieces_between_cls_and_sep(minilm):
    tokens, ids, lengths = minilm.tokenize(["The tokenization, Apple", "Apple"])
    assert tokens[0] == ["[CLS]", "the", "token", "##ization", ",", "apple", "[SEP]"]
    assert tokens[1] == ["[CLS]", "apple", "[SEP]"]
    assert lengths.tolist() == [7, 3]
    # 101 and 102 are [CLS] and [SEP] in every uncased BERT; 0 is [PAD].
    assert ids[1].tolist() == [101, ids[0, 5], 102, 0, 0, 0, 0]


def test_nothing_is_cut_off_up_to_512_tokens(minilm):
    batch = minilm.tokenize(["apple " * 510])
    assert batch.lengths.tolist() == [512]  # the tokenizer's own file would cut at 128
    with pytest.raises(ValueError, match=r"513 tokens.*512 positions"):
        minilm.tokenize([JUICY, "apple " * 511])


@pytest.mark.parametrize("sentences", [[""], [JUICY, "  "]])
def test_sentence_without_a_word_is_refused(minilm, sentences):
    with pytest.raises(ValueError, match="without a word"):
        minilm.tokenize(sentences)


def test_no_sentence_and_a_bare_string_are_refused(minilm):
    with pytest.raises(ValueError, match="no sentences"):
        minilm.embed([])
    with pytest.raises(TypeError, match=r"\['Apple was juicy'\]"):
        minilm.embed(JUICY)
    assert minilm.embed([JUICY]).shape == (1, 384)


def test_word_index_finds_the_only_one(minilm):
    tokens = minilm.tokenize([TIRED]).tokens[0]
    assert tokens[word_index(tokens, "it")] == "it"
    assert word_index(tokens, "Animal") == 2


def test_word_index_lists_the_tokens_when_absent():
    with pytest.raises(ValueError, match=r"no token 'pear' in: \[CLS\] apple \[SEP\]"):
        word_index(["[CLS]", "apple", "[SEP]"], "pear")


def test_word_index_asks_for_a_choice_between_two(minilm):
    tokens = minilm.tokenize([TIRED]).tokens[0]
    with pytest.raises(ValueError, match=r"'the' stands at \[1, 7\].*because it was too tired"):
        word_index(tokens, "the")
    assert word_index(tokens, "the", occurrence=0) == 1
    assert word_index(tokens, "the", occurrence=1) == 7
    with pytest.raises(ValueError, match=r"no occurrence 2 in: \[CLS\] the animal"):
        word_index(tokens, "the", occurrence=2)


# The encoder


def test_first_state_is_the_norm_of_word_position_and_segment(minilm, weights):
    batch = minilm.tokenize([JUICY])
    total = (
        weights["embeddings.word_embeddings.weight"][batch.ids[0]]
        + weights["embeddings.position_embeddings.weight"][:5]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    centred = total - total.mean(-1, keepdim=True)
    scaled = centred / centred.var(-1, correction=0, keepdim=True).sqrt()
    norm = "embeddings.LayerNorm"
    expected = scaled * weights[f"{norm}.weight"] + weights[f"{norm}.bias"]
    torch.testing.assert_close(minilm.hidden_states([JUICY])[0, 0], expected, rtol=0, atol=1e-5)


def test_layers_equal_torchs_transformer_encoder_layers(minilm, weights):
    states = minilm.hidden_states([TIRED, WIDE])
    for number in range(6):
        layer = torch_layer(weights, f"encoder.layer.{number}.")
        expected = layer(states[number]).detach()
        torch.testing.assert_close(states[number + 1], expected, rtol=0, atol=1e-5)


def torch_layer(weights, prefix):
    """Layer ``prefix`` of the file as ``nn.TransformerEncoderLayer``, by torch's names."""
    layer = nn.TransformerEncoderLayer(
        384, 12, 1536, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    )
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    state = {}
    for kind in ("weight", "bias"):
        parts = [weights[f"{prefix}attention.self.{n}.{kind}"] for n in ("query", "key", "value")]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
        state |= {f"{ours}.{kind}": weights[f"{prefix}{hf}.{kind}"] for ours, hf in names.items()}
    layer.load_state_dict(state, strict=True)
    return layer


def test_torchs_attention_gives_the_same(minilm):
    other = load_minilm(F.scaled_dot_product_attention)
    torch.testing.assert_close(
        real_states(other, [TIRED, JUICY]), real_states(minilm, [TIRED, JUICY]), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        other.attention_weights([TIRED]), minilm.attention_weights([TIRED]), rtol=0, atol=1e-5
    )


def real_states(model, sentences):
    """The states of all sentences' tokens in one row; a padded position means nothing."""
    states, lengths = model.hidden_states(sentences), model.tokenize(sentences).lengths
    return torch.cat([states[:, b, :length] for b, length in enumerate(lengths)], dim=1)


def test_every_layer_reads_through_the_attention_it_is_given():
    shapes = []

    def recording(q, k, v, keep=None):
        shapes.append((tuple(q.shape), tuple(v.shape), tuple(keep.shape)))
        return scaled_dot_product_attention(q, k, v, keep)

    load_minilm(recording).hidden_states([JUICY, TIRED])
    assert shapes == [((2, 12, 15, 32), (2, 12, 15, 32), (2, 1, 1, 15))] * 6


def test_padding_does_not_change_a_sentence(minilm):
    alone = minilm.hidden_states([JUICY])[:, 0]
    padded = minilm.hidden_states([TIRED, JUICY])[:, 1, :5]
    torch.testing.assert_close(padded, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        minilm.embed([TIRED, JUICY])[1], minilm.embed([JUICY])[0], rtol=0, atol=1e-5
    )


# The attention weights


def test_weights_are_shares_of_the_real_tokens(minilm):
    weights = minilm.attention_weights([TIRED, JUICY])
    assert weights.shape == (6, 2, 12, 15, 15)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(6, 2, 12, 15), rtol=0, atol=1e-5)
    assert (weights[:, 1, :, :, 5:] == 0).all()


def test_weights_times_values_are_what_attention_returns(minilm):
    weights = minilm.attention_weights([JUICY])
    states = minilm.hidden_states([JUICY])
    keep = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    for number, layer in enumerate(minilm.layers):
        attention, x = layer.self_attn, states[number]
        with torch.no_grad():
            projections = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
            v = split_heads(projections.chunk(3, dim=-1)[2], 12)
            expected = attention(x, keep=keep)
            got = attention.out_proj(merge_heads(weights[number] @ v))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_weights_are_told_only_to_whoever_asks(minilm):
    minilm.attention_weights([JUICY])
    minilm.embed([TIRED])
    assert minilm.attention_weights([JUICY]).shape == (6, 1, 12, 5, 5)
    with pytest.raises(ValueError, match="without a word"):
        minilm.attention_weights([""])
    assert minilm.reading.weights is None


# The figures of chapter 3


def test_apple_is_one_vector_before_the_first_layer(minilm):
    states = minilm.hidden_states([JUICY, STOCK])
    assert torch.equal(states[0, 0, 1], states[0, 1, 1])  # it is token 1 of both sentences
    assert F.cosine_similarity(states[-1, 0, 1], states[-1, 1, 1], dim=0) < 0.85


def test_after_the_last_layer_apple_is_a_fruit_or_a_company(minilm):
    """Each word in a sentence of its own kind: *pear* was juicy, *Microsoft* stock crashed."""
    pear, microsoft = ("Pear was juicy", "pear"), ("Microsoft stock crashed", "microsoft")
    assert cosine(minilm, JUICY, "apple", *pear) == pytest.approx(0.40, abs=0.01)
    assert cosine(minilm, JUICY, "apple", *microsoft) == pytest.approx(0.24, abs=0.01)
    assert cosine(minilm, STOCK, "apple", *pear) == pytest.approx(0.27, abs=0.01)
    assert cosine(minilm, STOCK, "apple", *microsoft) == pytest.approx(0.37, abs=0.01)


def test_apple_stays_nearer_to_pear_where_the_other_word_stands_alone(minilm):
    """Without words in common, stock moves *apple* towards *microsoft*, and not past *pear*."""
    assert cosine(minilm, JUICY, "apple", "pear", "pear") == pytest.approx(0.38, abs=0.01)
    assert cosine(minilm, JUICY, "apple", "microsoft", "microsoft") == pytest.approx(0.26, abs=0.01)
    assert cosine(minilm, STOCK, "apple", "pear", "pear") == pytest.approx(0.25, abs=0.01)
    assert cosine(minilm, STOCK, "apple", "microsoft", "microsoft") == pytest.approx(0.21, abs=0.01)


@pytest.mark.parametrize(("sentence", "weight"), [(TIRED, 0.65), (WIDE, 0.50)])
def test_head_11_of_layer_5_reads_animal_whichever_was_meant(minilm, sentence, weight):
    tokens = minilm.tokenize([sentence]).tokens[0]
    it, animal = word_index(tokens, "it"), word_index(tokens, "animal")
    to_animal = minilm.attention_weights([sentence])[:, 0, :, it, animal]
    assert divmod(to_animal.argmax().item(), 12) == (5, 11)  # of all 72 heads
    assert to_animal[5, 11].item() == pytest.approx(weight, abs=0.01)


def test_no_head_reads_street_from_it_where_the_street_was_meant(minilm):
    tokens = minilm.tokenize([WIDE]).tokens[0]
    it, street = word_index(tokens, "it"), word_index(tokens, "street")
    to_street = minilm.attention_weights([WIDE])[:, 0, :, it, street]
    assert to_street.shape == (6, 12)
    assert to_street.max().item() == pytest.approx(0.21, abs=0.01)


# Sentences


def test_sentence_vectors_have_length_one_and_average_the_real_tokens(minilm):
    states = minilm.hidden_states([TIRED, JUICY])[-1]
    vectors = minilm.embed([TIRED, JUICY])
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2), rtol=0, atol=1e-6)
    mean = states[1, :5].mean(0)
    torch.testing.assert_close(vectors[1], mean / mean.norm(), rtol=0, atol=1e-6)


def test_paraphrases_are_nearer_than_strangers(minilm):
    cat, kitten, bonds = minilm.embed(
        [
            "A cat is sleeping on the sofa.",
            "The kitten naps on the couch.",
            "The central bank raised interest rates.",
        ]
    )
    assert cat @ kitten > 0.5
    assert max(cat @ bonds, kitten @ bonds) < 0.1
