"""A model with fewer key heads, and one that reads on behind a text."""

from dataclasses import replace

import pytest
import torch

from tutor.families import FamilyModel, gpt2, llama
from tutor.grouped_query import grouped_query_attention
from tutor.materials import pooling
from tutor.materials.long_text import Behind, repeating
from tutor.materials.smollm2 import AS_STORED, CONFIG, SmolLM2

SIZES = {"vocabulary": 31, "max_length": 40, "width": 24, "num_decoder_layers": 2}
DOUBLE = {"atol": 1e-12, "rtol": 1e-12}


@pytest.mark.parametrize("made", [gpt2, llama])
@pytest.mark.parametrize("pool", [pooling.pool_kv_heads, pooling.first_heads])
def test_heads_that_are_equal_are_pooled_without_loss(made, pool):
    torch.manual_seed(0)
    config = made(**SIZES, num_heads=6, hidden_width=40)
    model = FamilyModel(config).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("in_proj_weight", "in_proj_bias")):
                p.normal_(std=0.3)
                for part in p.chunk(3)[1:]:  # keys and values: the second of each pair is the first
                    heads = part.view(3, 2, 4, *part.shape[1:])
                    heads[:, 1] = heads[:, 0]
    tokens = torch.randint(31, (3, 9))
    fewer = pooling.pooled(model, 3, pool).double()
    with torch.no_grad():
        torch.testing.assert_close(fewer(tokens), model(tokens), **DOUBLE)
        assert not torch.allclose(pooling.pooled(model, 2, pool).double()(tokens), model(tokens))
    kept = [n for n, p in fewer.named_parameters() if n.endswith("k_proj_weight")]
    assert len(kept) == 2 and fewer.state_dict()[kept[0]].shape == (3 * 4, 24)


def test_a_grouped_model_is_pooled_further_and_left_as_it_was():
    config = llama(**SIZES, num_heads=6, num_kv_heads=3, hidden_width=40)
    model = FamilyModel(config)
    before = {n: p.clone() for n, p in model.state_dict().items()}
    one = pooling.pooled(model, 1)
    assert one.config.num_kv_heads == 1
    for layer, pooled in zip(model.decoder.layers, one.decoder.layers, strict=True):
        wanted = layer.self_attn.k_proj_weight.view(3, 4, 24).mean(0)
        torch.testing.assert_close(pooled.self_attn.k_proj_weight, wanted)
        assert torch.equal(pooled.self_attn.q_proj_weight, layer.self_attn.q_proj_weight)
    assert all(torch.equal(p, before[n]) for n, p in model.state_dict().items())


def test_first_heads_by_hand():
    w = torch.arange(8.0)[:, None]
    found = pooling.first_heads(w, 10 * w, 4, 2)
    assert found[0].flatten().tolist() == [0, 1, 4, 5]
    assert found[1].flatten().tolist() == [0, 10, 40, 50]


@pytest.fixture
def small():
    """SmolLM2's plan with few numbers in it, and random ones."""
    torch.manual_seed(0)
    config = replace(
        CONFIG, vocabulary=50, width=36, num_decoder_layers=2, hidden_width=48, max_length=900
    )
    model = SmolLM2(None, config=config)
    assert model.llama.config.rope is AS_STORED
    return model.eval()


@pytest.mark.parametrize("length", [5, 600])
@pytest.mark.parametrize("attention", [grouped_query_attention, repeating()])
def test_reading_on_is_what_the_model_says_of_the_whole(small, length, attention):
    ids = torch.randint(50, (length + 3,))
    behind = Behind(small, ids[:length], 3)
    for _ in range(2):  # afterwards all is as it was
        found = behind.read_on(ids[length:], attention)
        with torch.no_grad():
            log_p = small(ids[None])[0].log_softmax(-1)
        wanted = -log_p[length - 1 : -1].gather(1, ids[length:, None]).mean().item()
        assert found.loss == pytest.approx(wanted, abs=1e-5)
    assert behind.bytes_kept == 2 * 2 * 3 * 4 * length * 4


def test_repeated_heads_are_written_and_groups_are_not(small):
    ids = torch.randint(50, (300,))
    behind = Behind(small, ids[:298], 2)
    ours, theirs = (
        behind.read_on(ids[298:], way) for way in (grouped_query_attention, repeating())
    )
    copies = 2 * 9 * 299 * 4 * 4 * 2  # keys and values of nine heads in two layers, four bytes each
    assert ours.bytes_written < copies < theirs.bytes_written
    assert theirs.bytes_written - ours.bytes_written == pytest.approx(copies, rel=0.1)
