"""Models in few bits and with experts: they are the models that they say they are."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tutor.families import FamilyModel, gpt2, llama
from tutor.materials import experts, smaller
from tutor.materials.help_models import WRITER

SIZES = {
    "vocabulary": 40,
    "max_length": 20,
    "width": 64,
    "num_heads": 4,
    "hidden_width": 96,
    "num_decoder_layers": 2,
}
FAMILIES = {"GPT-2": gpt2(**SIZES), "LLaMA": llama(**SIZES, num_kv_heads=2, tied=True)}


@pytest.fixture(params=FAMILIES)
def model(request):
    torch.manual_seed(0)
    return FamilyModel(FAMILIES[request.param]).eval().requires_grad_(False)


@pytest.mark.parametrize("name", smaller.KERNELS)
def test_decoding_token_by_token_is_the_model_as_far_as_the_kernel_is_the_product(model, name):
    tokens = torch.randint(40, (12,), generator=torch.Generator().manual_seed(1))
    machine = smaller.Decoding(model, smaller.KERNELS[name], 12)
    got = torch.stack([machine.step(int(t)) for t in tokens])
    wanted = model(tokens[None])[0]
    off = (got - wanted).norm() / wanted.norm()
    assert off < {"s": 1e-5, "b": 0.02, "8": 0.03, "4": 0.35}[name[0]], name


@pytest.mark.parametrize("way", smaller.WAYS)
def test_model_in_few_bits_is_another_one_and_the_first_stays(model, way):
    before = [p.clone() for p in model.parameters()]
    off = [
        max(
            float((p - q).abs().max())
            for p, q in zip(smaller.in_few_bits(model, bits, way).parameters(), before, strict=True)
        )
        for bits in (8, 4, 2)
    ]
    assert 0 < off[0] < off[1] < off[2]
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    norms = [(n, p) for n, p in smaller.in_few_bits(model, 2, way).named_parameters() if p.ndim < 2]
    assert norms and all(torch.equal(p, model.get_parameter(n)) for n, p in norms)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_packed_numbers_come_back_and_leave_no_gap(bits):
    n = torch.randint(2**bits, (3, 5, 48), generator=torch.Generator().manual_seed(bits))
    data = smaller.packed(n.to(torch.uint8), bits)
    assert data.dtype == torch.uint8 and data.shape == (3, 5, 48 * bits // 8)
    assert torch.equal(smaller.unpacked(data, bits).long(), n)
    one = torch.tensor([1, 0, 0, 0, 0, 0, 0, 2**bits - 1], dtype=torch.uint8)
    number = sum(int(byte) << 8 * i for i, byte in enumerate(smaller.packed(one, bits)))
    assert number == 1 + (2**bits - 1 << 7 * bits)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(("way", "minimum"), [(w, False) for w in smaller.WAYS] + [("group", True)])
def test_stored_product_is_the_product_with_rounded_weights(bits, way, minimum):
    weight, x = torch.randn(10, 64), torch.randn(3, 64)
    got = smaller.stored(bits, way, minimum)(weight)(x)
    wanted = F.linear(x, smaller.rounded(weight, bits, way, minimum))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4)
    assert torch.equal(smaller.stored(32, way)(weight)(x), F.linear(x, weight))


def test_bytes_of_a_model_count_what_is_tied_once(model):
    number = sum(p.numel() for p in model.parameters())
    assert smaller.bytes_in(model, 32, "tensor") == 4 * number
    sizes = [smaller.bytes_in(model, 4, way) for way in smaller.WAYS]
    assert sizes == sorted(sizes) and sizes[0] < sizes[1] < sizes[2] < 4 * number / 4


def test_rounded_cache_is_the_attention_of_rounded_keys_and_values():
    q, k, v = torch.randn(3, 2, 4, 6, 32)
    exact = F.scaled_dot_product_attention(q, k, v)
    off = [(smaller.rounded_cache(b)(q, k, v) - exact).abs().max().item() for b in (8, 4, 2)]
    assert 0 < off[0] < 0.05 and off[0] < off[1] < off[2]
    assert smaller.cache_bytes(30, 3, 64, 16) == 23_040
    assert smaller.cache_bytes(30, 3, 64, 8) == 2 * 30 * 3 * (64 + 2)


def test_mixture_does_the_work_of_the_dense_model_and_holds_more():
    tokens, flops = torch.randint(700, (4, 64)), {}
    small, mixed = experts.dense(0), experts.mixture(0, capacity_factor=1.0)
    for name, made in {"dense": small, "mixture": mixed}.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made(tokens)
        flops[name] = counter.get_total_flops()
    routers = 2 * tokens.numel() * WRITER.width * experts.NUM_EXPERTS * WRITER.num_decoder_layers
    assert flops["mixture"] - routers == flops["dense"]
    held = [sum(p.numel() for p in m.parameters()) for m in (small, mixed, experts.dense(0, 4))]
    assert held[0] < held[1] and abs(held[1] / held[2] - 1) < 0.01


def test_bias_moves_toward_those_that_have_nothing_to_do():
    model = experts.mixture(0, biased=True)
    (layer, _) = experts.experts_of(model)
    with torch.no_grad():
        layer.moe.router[:, 0] = 0.0
        layer.moe.router[:, 1:] *= 0.01
        layer.moe.bias[0] = 5.0
        model(torch.randint(700, (4, 64)))
        experts.move(layer)
    assert layer.moe.bias[0] < 5.0 and layer.moe.bias[1:].max() > 0
