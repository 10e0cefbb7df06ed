"""Numbers in few bits, held to gguf's and torch's own, and mixtures, held to a loop and by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # registers quantized_decomposed
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize as library_dequantize
from gguf.quants import quantize as library_quantize
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from tutor.efficiency import (
    BLOCKS,
    MixtureOfExperts,
    QuantizedLinear,
    dequantize,
    dequantize_blocks,
    load_balance_loss,
    model_bytes,
    pack_int4,
    quantize_absmax,
    quantize_groups,
    top_k_route,
    unpack_int4,
)
from tutor.families import swiglu

BITS = range(2, 9)


def _draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# Numbers in few bits


def test_absmax_by_hand():
    w = torch.tensor([[2.0, -0.9, 0.2], [0.1, 0.4, -0.7]], dtype=torch.float64)
    n, scale = quantize_absmax(w, bits=3, dim=-1)  # three steps to either side
    assert n.dtype == torch.int8
    assert n.tolist() == [[3, -1, 0], [0, 2, -3]]
    torch.testing.assert_close(scale[:, 0], torch.tensor([2 / 3, 0.7 / 3], dtype=torch.float64))
    n, scale = quantize_absmax(w, bits=3)
    assert scale.shape == ()
    assert n.tolist() == [[3, -1, 0], [0, 1, -1]]


def test_groups_by_hand():
    w = torch.tensor([[1.0, 4.0, 2.2, -1.0, 0.0, -3.0]])
    n, scale, minimum = quantize_groups(w, bits=2, group_size=3)
    assert n.dtype == torch.uint8
    assert n.tolist() == [[0, 3, 1, 2, 3, 0]]
    torch.testing.assert_close(scale, torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(minimum, torch.tensor([[1.0, -3.0]]))
    torch.testing.assert_close(
        dequantize(n, scale, minimum), torch.tensor([[1.0, 4.0, 2.0, -1.0, 0.0, -3.0]])
    )


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", [None, -1, -2, 0])
def test_absmax_error_is_at_most_half_a_step(bits, dim):
    for seed, size in itertools.product(range(5), (1e-3, 1.0, 1e4)):
        w = size * _draw(3, 6, 10, seed=seed)
        n, scale = quantize_absmax(w, bits, dim)
        assert int(n.abs().max()) == 2 ** (bits - 1) - 1
        assert ((w - n * scale).abs() <= scale / 2 * (1 + 1e-12)).all()


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_groups_error_is_at_most_half_a_step(data):
    bits, size = data.draw(st.sampled_from(BITS)), data.draw(st.sampled_from((1, 2, 5, 10)))
    numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
    w = torch.tensor(data.draw(st.lists(numbers, min_size=20, max_size=20)), dtype=torch.float64)
    w = w.view(2, 10)
    n, scale, minimum = quantize_groups(w, bits, size)
    assert int(n.min()) >= 0 and int(n.max()) <= 2**bits - 1
    back = dequantize(n, scale, minimum)
    step = scale.repeat_interleave(size, -1)
    assert ((w - back).abs() <= step / 2 * (1 + 1e-9) + 1e-9).all()


def test_absmax_of_rows_is_torchs_symmetric_quantization():
    """torch's own operators, of which torchao's are made, with the scale that ours finds."""
    w = _draw(7, 12, dtype=torch.float32)
    n, scale = quantize_absmax(w, 8, dim=-1)
    zeros = torch.zeros(7, dtype=torch.int64)
    theirs = torch.ops.quantized_decomposed.quantize_per_channel(
        w, scale[:, 0], zeros, 0, -127, 127, torch.int8
    )
    assert torch.equal(n, theirs)
    faked = torch.fake_quantize_per_channel_affine(w, scale[:, 0], zeros.int(), 0, -127, 127)
    torch.testing.assert_close(dequantize(n, scale), faked, rtol=0, atol=0)
    n, scale = quantize_absmax(w, 4)
    faked = torch.fake_quantize_per_tensor_affine(w, float(scale), 0, -7, 7)
    torch.testing.assert_close(dequantize(n, scale), faked, rtol=0, atol=0)


def _quantized(w, kind):
    """The bytes that the library makes of w."""
    return torch.from_numpy(library_quantize(w.numpy(), GGMLQuantizationType[kind]))


def test_blocks_hold_what_our_own_functions_make():
    """gguf writes Q8_0 and Q4_1 as quantize_absmax, quantize_groups and pack_int4 do."""
    w = _draw(3, 96, dtype=torch.float32)
    blocks = _quantized(w, "Q8_0").unflatten(1, (3, -1))
    n, scale = quantize_absmax(w.unflatten(1, (3, 32)), 8, dim=-1)
    assert torch.equal(blocks[..., 2:].contiguous().view(torch.int8), n)
    assert torch.equal(blocks[..., :2].contiguous().view(torch.float16), scale.half())
    blocks = _quantized(w, "Q4_1").unflatten(1, (3, -1))
    n, scale, minimum = quantize_groups(w)
    assert torch.equal(blocks[..., 4:], pack_int4(n.unflatten(1, (3, 32))))
    stored = blocks[..., :4].contiguous().view(torch.float16)
    assert torch.equal(stored, torch.stack((scale, minimum), -1).half())


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_are_read_as_the_library_reads_them_bit_for_bit(kind):
    draw = torch.Generator().manual_seed(1)
    data = torch.randint(0, 256, (40, 3 * BLOCKS[kind]), generator=draw, dtype=torch.uint8)
    # Any bytes at all but for scales and minima that are infinite or no number.
    high = data.unflatten(1, (3, -1))[..., 1 : 4 if kind == "Q4_1" else 2 : 2]
    high[(high & 0x7C) == 0x7C] ^= 0x40
    wanted = library_dequantize(data.numpy(), GGMLQuantizationType[kind])
    got = dequantize_blocks(data, kind)
    assert got.dtype == torch.float32
    assert np.array_equal(got.numpy().view(np.uint32), wanted.view(np.uint32))
    strided = torch.stack((data, data), -1)[..., 0]
    assert torch.equal(dequantize_blocks(strided, kind), got)
    assert torch.equal(dequantize_blocks(data[0], kind), got[0])


def test_half_a_byte_survives_packing_whatever_it_is():
    every = torch.cartesian_prod(torch.arange(16), torch.arange(16))  # (256, 2): each byte once
    packed = pack_int4(every)
    assert packed.dtype == torch.uint8
    assert packed.flatten().sort().values.tolist() == list(range(256))
    assert torch.equal(unpack_int4(packed), every.to(torch.uint8))
    assert pack_int4(torch.tensor([1, 2, 3, 4])).tolist() == [0x31, 0x42]
    wide = torch.randint(0, 16, (2, 3, 34), dtype=torch.int64)
    assert torch.equal(unpack_int4(pack_int4(wide)).long(), wide)


@pytest.mark.parametrize("wrong", [[-1, 0], [16, 0], [-8, 7]])
def test_numbers_beyond_four_bits_are_refused_and_not_clipped(wrong):
    with pytest.raises(ValueError, match="four bits hold 0 to 15, got"):
        pack_int4(torch.tensor(wrong))
    with pytest.raises(ValueError, match="a row of 3 is odd"):
        pack_int4(torch.tensor([1, 2, 3]))


def test_dequantize_gives_each_scale_to_its_columns():
    n = torch.arange(12).view(2, 6)
    scale = torch.tensor([[1.0, 10.0], [100.0, 1000.0]])
    wanted = [[0, 1, 2, 30, 40, 50], [600, 700, 800, 9000, 10000, 11000]]
    assert dequantize(n, scale).tolist() == wanted
    assert dequantize(n, scale, -scale)[0].tolist() == [-1, 0, 1, 20, 30, 40]
    assert dequantize(n, scale[:1]).tolist()[1] == [6, 7, 8, 90, 100, 110]  # one row for all
    assert dequantize(n, torch.tensor(0.5)).tolist()[1] == [3, 3.5, 4, 4.5, 5, 5.5]


def test_groups_that_do_not_divide_a_row_are_refused():
    n, w = torch.arange(12).view(2, 6), torch.ones(2, 32)
    for groups in (4, 5, 7):
        with pytest.raises(ValueError, match=f"{groups} does not divide a row of 6 numbers"):
            dequantize(n, torch.ones(2, groups))
    for size in (5, 64, 0, -1):
        with pytest.raises(ValueError, match=f"{size} does not divide a row of 32 numbers"):
            quantize_groups(w, 4, size)
    dequantize(n, torch.ones(2, 3))
    quantize_groups(w, 4, 8)


def test_scale_of_a_group_is_one_number_for_a_row_of_equal_ones():
    n, scale, minimum = quantize_groups(torch.full((2, 8), 3.5), 4, 4)
    assert not n.any() and not scale.any()
    assert torch.equal(dequantize(n, scale, minimum), torch.full((2, 8), 3.5))
    n, scale = quantize_absmax(torch.zeros(3, 4), dim=-1)
    assert not n.any() and not scale.any()


def test_half_precision_is_quantized_in_single():
    w = _draw(5, 64).half()
    for found in (quantize_absmax(w, dim=-1), quantize_groups(w)):
        wanted = (
            quantize_absmax(w.float(), dim=-1) if len(found) == 2 else quantize_groups(w.float())
        )
        for a, b in zip(found, wanted, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("bits", [0, 1, 9, 16])
def test_bits_that_need_other_numbers_are_refused(bits):
    with pytest.raises(ValueError, match=f"bits must be from 2 to 8, got {bits}"):
        quantize_absmax(torch.ones(2, 4), bits)
    with pytest.raises(ValueError, match=f"bits must be from 2 to 8, got {bits}"):
        quantize_groups(torch.ones(2, 4), bits, 4)


def test_bad_blocks_are_refused():
    with pytest.raises(ValueError, match=r"kinds are Q4_1, Q8_0, got 'Q6_K'"):
        dequantize_blocks(torch.zeros(2, 20, dtype=torch.uint8), "Q6_K")
    with pytest.raises(ValueError, match=r"33 bytes are no whole number of blocks of 34"):
        dequantize_blocks(torch.zeros(2, 33, dtype=torch.uint8), "Q8_0")
    assert dequantize_blocks(torch.zeros(2, 34, dtype=torch.uint8), "Q8_0").shape == (2, 32)


def test_smollm2s_file_has_as_many_bytes_as_the_formula_says():
    from tutor.materials.smollm2 import model_file

    tensors = GGUFReader(model_file()).tensors
    kinds = {"F32": (32, None, 0), "Q8_0": (8, 32, 1), "Q4_1": (4, 32, 2)}
    for kind, (bits, size, per_group) in kinds.items():
        some = [t for t in tensors if t.tensor_type.name == kind]
        shapes = [tuple(int(n) for n in reversed(t.shape)) for t in some]
        assert some
        assert model_bytes(shapes, bits, size, per_group) == sum(int(t.n_bytes) for t in some)


def test_model_bytes_by_hand():
    shapes = [(3, 10), (10,), ()]
    assert model_bytes(shapes, 32) == 4 * 41
    assert model_bytes(shapes, 16) == 2 * 30 + 4 * 11
    assert model_bytes(shapes, 8) == 3 * (10 + 2) + 44
    assert model_bytes(shapes, 4, 4, 2) == 3 * (5 + 3 * 4) + 44  # groups of 4, 4 and 2
    assert model_bytes(shapes, 3, 5) == 3 * (4 + 2 * 2) + 44  # 30 bits are four bytes
    assert model_bytes([(8, 3, 10)], 4) == 8 * model_bytes([(3, 10)], 4)
    assert model_bytes([], 4) == 0


def test_bits_and_groups_that_no_file_has_are_refused():
    shapes = [(3, 10), (10,), ()]
    for wrong in (0, 1, 9, 24):
        with pytest.raises(ValueError, match=f"bits must be .*got {wrong}"):
            model_bytes(shapes, wrong)
    with pytest.raises(ValueError, match="group_size must be at least 1, got 0"):
        model_bytes(shapes, 4, 0)
    assert model_bytes(shapes, 2, 1) == 3 * (3 + 2 * 10) + 44


def test_packed_layer_has_as_many_bytes_as_the_formula_says():
    linear = nn.Linear(96, 40, bias=False)
    for bits, size, per_group in ((8, None, 1), (4, 32, 2), (4, 48, 2)):
        layer = QuantizedLinear(linear, bits, size or 32)
        held = sum(b.numel() * b.element_size() for b in layer.buffers())
        assert held == model_bytes([(40, 96)], bits, size, per_group)


@pytest.mark.parametrize(("bits", "largest"), [(8, 0.01), (4, 0.12)])
@pytest.mark.parametrize("bias", [True, False])
def test_quantized_layer_answers_nearly_as_the_layer_that_it_was(bits, largest, bias):
    torch.manual_seed(0)
    linear = nn.Linear(128, 40, bias=bias)
    layer, x = QuantizedLinear(linear, bits), torch.randn(2, 5, 128)
    with torch.no_grad():
        off = (layer(x) - linear(x)).norm() / linear(x).norm()
        assert 1e-5 < off < largest
        wanted = F.linear(x, layer.weight, linear.bias)
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-5)


def test_layer_of_other_bits_is_refused():
    linear = nn.Linear(64, 40)
    with pytest.raises(ValueError, match="bits must be 4 or 8, got 3"):
        QuantizedLinear(linear, 3)
    QuantizedLinear(linear, 4)


# Experts


def test_route_by_hand():
    logits = torch.tensor([1.0, 3.0, 2.0]).log()
    shares, experts = top_k_route(logits, 2)
    assert experts.tolist() == [1, 2]
    torch.testing.assert_close(shares, torch.tensor([0.6, 0.4]))
    shares, experts = top_k_route(logits, 2, bias=torch.tensor([10.0, 0.0, 0.0]))
    assert experts.tolist() == [0, 1]
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.75]))  # the bias is in no share


@pytest.mark.parametrize("k", [1, 2, 5])
def test_route_is_softmax_then_choice_then_renormalised(k):
    logits = 30 * _draw(2, 7, 5)
    shares, experts = top_k_route(logits, k)
    p, wanted = logits.softmax(-1).topk(k, -1)
    assert torch.equal(experts, wanted)
    torch.testing.assert_close(shares, p / p.sum(-1, keepdim=True), rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [0, 6])
def test_more_experts_than_there_are_is_refused(k):
    with pytest.raises(ValueError, match=f"k must be from 1 to 5, .*got {k}"):
        top_k_route(torch.zeros(3, 5), k)
    with pytest.raises(ValueError, match=f"k must be from 1 to 5, .*got {k}"):
        MixtureOfExperts(4, 8, 5, k)


def test_balance_by_hand():
    logits = torch.tensor([[3.0, 1.0], [1.0, 1.0]]).log()  # p of expert 0: 3/4 and 1/2
    both_to_0 = torch.tensor([[0], [0]])
    assert load_balance_loss(logits, both_to_0).item() == pytest.approx(2 * 5 / 8)
    one_each = torch.tensor([[0], [1]])
    assert load_balance_loss(logits, one_each).item() == pytest.approx(1)
    for number, k in ((4, 1), (6, 2), (7, 3)):
        even = torch.arange(number * k).view(number, k) % number
        loss = load_balance_loss(torch.zeros(number, number, dtype=torch.float64), even)
        assert loss.item() == pytest.approx(1, abs=1e-14)


def test_balance_of_other_tokens_is_refused():
    logits = torch.zeros(3, 6, 4)
    for batch in ((3, 5), (2, 6), (18,), (6,), (1, 6)):
        with pytest.raises(ValueError, match=r"every token needs .*logits \(3, 6, 4\), experts"):
            load_balance_loss(logits, torch.zeros(*batch, 2, dtype=torch.int64))
    load_balance_loss(logits, torch.zeros(3, 6, 2, dtype=torch.int64))


def test_balance_is_mixtrals_but_for_their_k():
    """transformers sums the k choices of a token where the paper, of one choice, has a share."""
    logits = _draw(11, 6)
    for k in (1, 2, 3):
        _, experts = top_k_route(logits, k)
        theirs = load_balancing_loss_func((logits,), num_experts=6, top_k=k)
        got = load_balance_loss(logits, experts).float()
        torch.testing.assert_close(got, theirs / k)


def test_balance_moves_probability_from_the_expert_that_has_most():
    logits = _draw(40, 4).requires_grad_()
    experts = torch.zeros(40, 1, dtype=torch.int64)
    (gradient,) = torch.autograd.grad(load_balance_loss(logits, experts), logits)
    assert (gradient[:, 0] > 0).all() and (gradient[:, 1:] < 0).all()


def _one_by_one(moe, x):
    """Each token by itself, in order, with a queue for each expert."""
    tokens = x.reshape(-1, x.shape[-1])
    e = moe.router.shape[1]
    capacity = math.ceil(moe.capacity_factor * moe.k * len(tokens) / e)
    used, out, lost = [0] * e, [], []
    for token in tokens:
        shares, experts = top_k_route(token @ moe.router, moe.k)
        answer, missed = torch.zeros_like(token), 0
        for share, i in zip(shares, experts.tolist(), strict=True):
            if used[i] < capacity:
                used[i] += 1
                answer = answer + share * swiglu(token, moe.w_gate[i], moe.w_in[i], moe.w_out[i])
            else:
                missed += 1
        out.append(answer)
        lost.append(missed)
    return torch.stack(out).view(x.shape), torch.tensor(lost).view(x.shape[:-1])


@pytest.mark.parametrize("factor", [0.25, 0.75, 1.0, 1.25, 4.0])
@pytest.mark.parametrize(("e", "k"), [(4, 2), (5, 3), (3, 1), (2, 2)])
def test_mixture_is_what_a_loop_over_tokens_gives(e, k, factor):
    torch.manual_seed(e)
    moe = MixtureOfExperts(7, 11, e, k, factor, dtype=torch.float64)
    x = _draw(2, 9, 7)
    out, logits, lost = moe(x)
    wanted, missed = _one_by_one(moe, x)
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(logits, x @ moe.router)
    assert torch.equal(lost, missed)
    assert (factor < 1) <= bool(lost.any()) and bool(lost.any()) <= (factor < 4)


def test_mixture_is_mixtrals_block_where_there_is_room():
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    config = MixtralConfig(
        hidden_size=8, intermediate_size=12, num_local_experts=4, num_experts_per_tok=2
    )
    theirs = MixtralSparseMoeBlock(config).double()
    moe = MixtureOfExperts(8, 12, 4, 2, capacity_factor=2.0, dtype=torch.float64)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(_draw(*parameter.shape, seed=parameter.ndim) / 3)
        gate, up = theirs.experts.gate_up_proj.chunk(2, dim=1)
        moe.router.copy_(theirs.gate.weight.mT)
        moe.w_gate.copy_(gate.mT)
        moe.w_in.copy_(up.mT)
        moe.w_out.copy_(theirs.experts.down_proj.mT)
        x = _draw(3, 5, 8)
        wanted = theirs(x)
        out, _, lost = moe(x)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-6)
    assert not lost.any()


def test_gradients_reach_every_part_of_the_mixture():
    torch.manual_seed(0)
    moe = MixtureOfExperts(5, 6, 3, 2, 2.0, dtype=torch.float64)
    x = _draw(4, 5).requires_grad_()
    inputs = (x, *moe.parameters())
    names = [name for name, _ in moe.named_parameters()]

    def answer(x, *parameters):
        return torch.func.functional_call(moe, dict(zip(names, parameters, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(answer, inputs)


def test_work_of_the_mixture_grows_with_k_and_not_with_the_number_of_experts():
    from torch.utils.flop_counter import FlopCounterMode

    x, flops = _draw(48, 16), {}
    for e, k in ((4, 2), (8, 2), (16, 2), (16, 4)):
        moe = MixtureOfExperts(16, 32, e, k, 1.0, dtype=torch.float64)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            moe(x)
        flops[e, k] = counter.get_total_flops() - 2 * 48 * 16 * e  # without the router
    assert flops[4, 2] == flops[8, 2] == flops[16, 2] == flops[16, 4] / 2
    assert flops[8, 2] == 48 * 2 * 3 * 2 * 16 * 32
