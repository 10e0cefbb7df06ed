"""Chapter 4's reference, held to torch's own modules and to values derived by hand."""

import itertools
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutor.alignment import AttentionSeq2Seq
from tutor.attention import causal_mask, padding_mask, self_attention
from tutor.multihead import (
    MultiHeadAttention,
    cross_attention,
    head_ablation,
    merge_heads,
    multi_head_attention,
    split_heads,
)

B, TQ, TK, H, D, DV, C, CM, COUT = 2, 3, 5, 4, 7, 11, 13, 17, 19
DOUBLE = {"atol": 1e-12, "rtol": 1e-12}
SINGLE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def weights(draw):
    """w_q, w_k, w_v, w_out of a layer whose keys and values are made of tokens of width CM."""
    return draw(C, H * D), draw(CM, H * D), draw(CM, H * DV), draw(H * DV, COUT)


@pytest.fixture
def keep(draw):
    """Every token may read something, none everything."""
    mask = draw(B, TQ, TK) > 0
    mask[..., 0], mask[..., 1] = True, False
    return mask


def shape(*sizes):
    """A shape as an error message shows it, for ``match``."""
    return re.escape(str(sizes))


# Splitting and merging


def test_split_by_hand():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    assert split_heads(x, 2).tolist() == [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]


def test_merge_by_hand():
    heads = torch.tensor([[[1.0, 2.0], [5.0, 6.0]], [[3.0, 4.0], [7.0, 8.0]]])
    assert merge_heads(heads).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("batch", [(), (B,), (B, 3), (0,)])
def test_merging_undoes_splitting(draw, batch):
    x = draw(*batch, TK, H * D)
    heads = split_heads(x, H)
    assert heads.shape == (*batch, H, TK, D)
    assert torch.equal(merge_heads(heads), x)
    assert torch.equal(split_heads(merge_heads(heads), H), heads)


def test_head_owns_a_block_of_features(draw):
    x = draw(B, TK, H * D)
    for h in range(H):
        assert torch.equal(split_heads(x, H)[:, h], x[..., h * D : (h + 1) * D])


def test_splitting_copies_nothing(draw):
    x = draw(B, TK, H * D)
    assert split_heads(x, H).data_ptr() == x.data_ptr()


def test_splitting_and_merging_pass_gradients(draw):
    assert torch.autograd.gradcheck(lambda x: split_heads(x, 2), (draw(3, 4).requires_grad_(),))
    assert torch.autograd.gradcheck(merge_heads, (draw(2, 3, 2).requires_grad_(),))


# Multi-head attention as a function


def test_one_head_is_chapter_3s_attention_and_a_projection(draw):
    x, w_q, w_k, w_v = draw(B, TK, C), draw(C, D), draw(C, D), draw(C, DV)
    w_out = draw(DV, COUT)
    expected = self_attention(x, w_q, w_k, w_v) @ w_out
    actual = multi_head_attention(x, w_q, w_k, w_v, w_out, 1)
    torch.testing.assert_close(actual, expected, **DOUBLE)


def test_heads_are_separate_attentions_in_their_own_features(draw):
    x, mask = draw(B, TK, C), causal_mask(TK, TK)
    w_q, w_k, w_v, w_out = draw(C, H * D), draw(C, H * D), draw(C, H * DV), draw(H * DV, COUT)
    alone = [
        self_attention(
            x,
            w_q[:, h * D : (h + 1) * D],
            w_k[:, h * D : (h + 1) * D],
            w_v[:, h * DV : (h + 1) * DV],
            mask,
        )
        for h in range(H)
    ]
    expected = torch.cat(alone, -1) @ w_out
    actual = multi_head_attention(x, w_q, w_k, w_v, w_out, H, mask)
    torch.testing.assert_close(actual, expected, **DOUBLE)


def test_multi_head_by_hand():
    # Two tokens, two heads of width 1, no scale to speak of: √1. Head 1 looks for the other token
    # with score ln 3, weights 1/4 and 3/4; head 2's scores are all 0, its weights 1/2.
    x = torch.eye(2, dtype=torch.float64)
    ln3 = torch.tensor(3.0, dtype=torch.float64).log()
    zero = torch.zeros((), dtype=torch.float64)
    w_q = torch.stack((torch.stack((-ln3, zero)), torch.stack((ln3, zero))))
    w_k = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    w_v = torch.tensor([[4.0, 4.0], [8.0, 8.0]], dtype=torch.float64)
    w_out = torch.tensor([[1.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    expected = torch.tensor([[7.0, 60.0], [5.0, 60.0]], dtype=torch.float64)
    out = multi_head_attention(x, w_q, w_k, w_v, w_out, 2)
    torch.testing.assert_close(out, expected, **DOUBLE)


def torchs_function(x, keys, values, w_q, w_k, w_v, w_out, num_heads, keep=None):
    """F.multi_head_attention_forward, whose weights are (out, in) and whose mask hides."""
    mask = None if keep is None else ~keep.repeat_interleave(num_heads, 0)
    out, _ = F.multi_head_attention_forward(
        *(t.transpose(0, 1) for t in (x, keys, values)),
        x.shape[-1],
        num_heads,
        None,
        None,
        None,
        None,
        False,
        0.0,
        w_out.mT,
        None,
        attn_mask=mask,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=w_q.mT,
        k_proj_weight=w_k.mT,
        v_proj_weight=w_v.mT,
    )
    return out.transpose(0, 1)


@pytest.mark.parametrize("masked", [False, True])
def test_functions_agree_with_torch_gradients_too(draw, keep, masked):
    mask = keep if masked else None
    width = H * D
    leaves = [draw(B, TQ, width), draw(B, TK, CM), draw(width, width), draw(CM, width)]
    leaves += [draw(CM, width), draw(width, width)]
    leaves = [t.requires_grad_() for t in leaves]
    x, memory, *w = leaves
    ours = cross_attention(x, memory, *w, H, mask)
    theirs = torchs_function(x, memory, memory, *w, H, mask)
    torch.testing.assert_close(ours, theirs, **DOUBLE)
    grad_out = draw(B, TQ, width)
    expected = torch.autograd.grad(theirs, leaves, grad_out)
    actual = torch.autograd.grad(ours, leaves, grad_out)
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-10)


def test_self_attention_is_cross_attention_to_itself(draw):
    x, w = draw(B, TK, C), (draw(C, H * D), draw(C, H * D), draw(C, H * DV), draw(H * DV, COUT))
    mask = causal_mask(TK, TK)
    expected = cross_attention(x, x, *w, H, mask)
    assert torch.equal(multi_head_attention(x, *w, H, mask), expected)


@pytest.mark.parametrize("batch", [(), (B,), (B, 3)])
def test_any_number_of_batch_dimensions(draw, weights, batch):
    x, memory = draw(*batch, TQ, C), draw(*batch, TK, CM)
    out = cross_attention(x, memory, *weights, H)
    assert out.shape == (*batch, TQ, COUT)
    last = tuple(n - 1 for n in batch)
    expected = cross_attention(x[last], memory[last], *weights, H)
    torch.testing.assert_close(out[last], expected, **DOUBLE)


def test_padding_mask_reaches_its_own_sentence(draw, weights):
    x, memory = draw(B, TQ, C), draw(B, TK, CM)
    out = cross_attention(x, memory, *weights, H, padding_mask(torch.tensor([2, 4]), TK))
    for b, length in ((0, 2), (1, 4)):
        expected = cross_attention(x[b], memory[b, :length], *weights, H)
        torch.testing.assert_close(out[b], expected, **DOUBLE)


def test_token_that_may_read_nothing_gets_zeros(draw, weights, keep):
    keep[1, 2] = False
    out = cross_attention(draw(B, TQ, C), draw(B, TK, CM), *weights, H, keep)
    assert not out[1, 2].any() and out[0].all()


# Ablation


def test_ablation_by_hand():
    heads = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])  # two heads, one token
    w_out = torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
    assert head_ablation(heads, w_out, torch.tensor([True, True])).item() == 4321
    assert head_ablation(heads, w_out, torch.tensor([True, False])).item() == 21
    assert head_ablation(heads, w_out, torch.tensor([False, True])).item() == 4300


def test_answers_of_single_heads_add_up_to_the_layers(draw):
    heads, w_out = draw(B, H, TK, D), draw(H * D, C)
    alone = [head_ablation(heads, w_out, torch.arange(H) == h) for h in range(H)]
    torch.testing.assert_close(sum(alone), merge_heads(heads) @ w_out, **DOUBLE)


def test_silent_head_has_no_influence_and_gets_no_gradient(draw):
    heads, w_out = draw(B, H, TK, D).requires_grad_(), draw(H * D, C)
    flags = torch.tensor([True, False, True, True])
    before = head_ablation(heads, w_out, flags)
    before.sum().backward()
    assert not heads.grad[:, 1].any() and heads.grad[:, [0, 2, 3]].all()
    other = heads.detach().clone()
    other[:, 1] = draw(B, TK, D)
    assert torch.equal(head_ablation(other, w_out, flags), before)


# The module


MODULES = [
    pytest.param({}, id="plain"),
    pytest.param({"bias": False}, id="no bias"),
    pytest.param({"key_width": 9}, id="other keys"),
    pytest.param({"value_width": 10}, id="other values"),
    pytest.param({"key_width": 9, "value_width": 10}, id="other both"),
    pytest.param({"key_width": 9, "value_width": 10, "bias": False}, id="other both, no bias"),
]
WIDTH = 12


def pair(options, dtype=torch.float64, num_heads=H):
    """Torch's module with random biases, and ours with its state_dict."""
    torch.manual_seed(1)
    names = {"key_width": "kdim", "value_width": "vdim", "bias": "bias"}
    theirs = nn.MultiheadAttention(
        WIDTH, num_heads, batch_first=True, dtype=dtype, **{names[k]: v for k, v in options.items()}
    )
    for name, p in theirs.named_parameters():
        if "bias" in name:
            nn.init.normal_(p)
    ours = MultiHeadAttention(WIDTH, num_heads, **options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def masks(draw, keep):
    """Ours, and torch's arguments that mean the same."""
    lengths = torch.tensor([2, 4])
    padding = padding_mask(lengths, TK)
    each = draw(B, H, TQ, TK) > 0
    each[..., 0] = True
    hides = {"key_padding_mask": ~padding[:, 0]}
    return {
        "none": (None, {}),
        "padding": (padding, hides),
        "queries": (keep[0], {"attn_mask": ~keep[0]}),
        "both": (padding & keep[0], {**hides, "attn_mask": ~keep[0]}),
        "sentences": (keep, {"attn_mask": ~keep.repeat_interleave(H, 0)}),
        "heads": (each, {"attn_mask": ~each.flatten(0, 1)}),
        "heads of one sentence": (
            each[:1],
            {"attn_mask": ~each[:1].expand(B, -1, -1, -1).flatten(0, 1)},
        ),
    }


MASKS = [
    "none",
    "padding",
    "queries",
    "both",
    "sentences",
    "heads",
    "heads of one sentence",
]


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", MODULES)
def test_module_agrees_with_torchs_gradients_too(draw, keep, options, mask, need_weights):
    ours, theirs = pair(options)
    ours_mask, torchs = masks(draw, keep)[mask]
    sources = [
        draw(B, TQ, WIDTH),
        draw(B, TK, options.get("key_width", WIDTH)),
        draw(B, TK, options.get("value_width", WIDTH)),
    ]
    sources = [s.requires_grad_() for s in sources]
    actual = ours(sources[0], (sources[1], sources[2]), ours_mask)
    expected, _ = theirs(*sources, **torchs, need_weights=need_weights)
    torch.testing.assert_close(actual, expected, **DOUBLE)
    compare_gradients(ours, theirs, actual, expected, sources, draw)


def compare_gradients(ours, theirs, actual, expected, sources, draw):
    grad_out = draw(*actual.shape)
    names = [n for n, _ in theirs.named_parameters()]
    mine = dict(ours.named_parameters())
    assert set(names) == set(mine)
    leaves = [*sources, *(mine[n] for n in names)]
    got = torch.autograd.grad(actual, leaves, grad_out)
    leaves = [*sources, *(p for _, p in theirs.named_parameters())]
    torch.testing.assert_close(got, torch.autograd.grad(expected, leaves, grad_out), **DOUBLE)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("batch", [(), (B,)])
@pytest.mark.parametrize("bias", [True, False])
def test_self_attention_of_the_module_agrees_with_torchs(draw, batch, bias, masked):
    ours, theirs = pair({"bias": bias})
    x = draw(*batch, TK, WIDTH).requires_grad_()
    keep = causal_mask(TK, TK) if masked else None
    actual = ours(x, keep=keep)
    expected, _ = theirs(x, x, x, attn_mask=None if keep is None else ~keep)
    torch.testing.assert_close(actual, expected, **DOUBLE)
    compare_gradients(ours, theirs, actual, expected, [x], draw)


@pytest.mark.parametrize("num_heads", [1, 2, 3, 12])
def test_module_agrees_with_torchs_for_every_number_of_heads(draw, num_heads):
    ours, theirs = pair({}, num_heads=num_heads)
    x, memory = draw(B, TQ, WIDTH), draw(B, TK, WIDTH)
    torch.testing.assert_close(ours(x, memory), theirs(x, memory, memory)[0], **DOUBLE)


def test_module_agrees_with_torchs_in_single_precision(draw):
    ours, theirs = pair({}, torch.float32)
    x = draw(B, TK, WIDTH, dtype=torch.float32)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0], **SINGLE)


@pytest.mark.parametrize("options", MODULES)
def test_same_seed_gives_torchs_parameters(options):
    names = {"key_width": "kdim", "value_width": "vdim", "bias": "bias"}
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(WIDTH, H, **{names[k]: v for k, v in options.items()})
    torch.manual_seed(0)
    ours = MultiHeadAttention(WIDTH, H, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_module_is_the_function_of_its_transposed_weights(draw):
    ours, _ = pair({"bias": False})
    x, mask = draw(B, TK, WIDTH), causal_mask(TK, TK)
    w_q, w_k, w_v = ours.in_proj_weight.chunk(3)
    expected = multi_head_attention(x, w_q.mT, w_k.mT, w_v.mT, ours.out_proj.weight.mT, H, mask)
    torch.testing.assert_close(ours(x, keep=mask), expected, **DOUBLE)


def test_torchs_attention_can_be_plugged_in(draw, keep):
    ours, _ = pair({})
    x, memory = draw(B, TQ, WIDTH), draw(B, TK, WIDTH)
    expected = ours(x, memory, keep)
    ours.attention = F.scaled_dot_product_attention
    torch.testing.assert_close(ours(x, memory, keep), expected, **DOUBLE)


def test_token_that_may_read_nothing_gets_the_bias_alone(draw, keep):
    ours, theirs = pair({})
    keep[0, 1] = False
    x, memory = draw(B, TQ, WIDTH), draw(B, TK, WIDTH)
    out = ours(x, memory, keep)
    torch.testing.assert_close(out[0, 1], ours.out_proj.bias, **DOUBLE)
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())
    mask = ~keep.repeat_interleave(H, 0)
    assert theirs(x, memory, memory, attn_mask=mask)[0][0, 1].isnan().all()


@pytest.mark.parametrize("num_kv_heads", [1, 2, 3, 6])
def test_groups_are_those_of_torchs_grouped_attention(draw, num_kv_heads):
    num_heads, width = 6, 24
    layer = MultiHeadAttention(width, num_heads, num_kv_heads=num_kv_heads).double()
    nn.init.normal_(layer.in_proj_bias)
    x, memory, keep = draw(B, TQ, width), draw(B, TK, width), draw(B, TQ, TK) > -1
    keep[..., 0] = True
    if num_kv_heads == num_heads:
        weights = layer.in_proj_weight.chunk(3)
    else:
        weights = layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight
    biases = layer.in_proj_bias.split([w.shape[0] for w in weights])
    heads = (num_heads, num_kv_heads, num_kv_heads)
    q, k, v = (
        F.linear(s, w, b).unflatten(-1, (h, width // num_heads)).transpose(1, 2)
        for s, w, b, h in zip((x, memory, memory), weights, biases, heads, strict=True)
    )
    grouped = F.scaled_dot_product_attention(q, k, v, keep[:, None], enable_gqa=True)
    expected = layer.out_proj(grouped.transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, memory, keep), expected, **DOUBLE)
    parameters = list(layer.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(layer(x, memory, keep).square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        atol=1e-10,
        rtol=1e-10,
    )


def test_fewer_key_heads_are_fewer_parameters():
    count = {
        g: sum(p.numel() for p in MultiHeadAttention(24, 6, num_kv_heads=g).parameters())
        for g in (1, 2, 6)
    }
    per_head = 2 * 4 * (24 + 1)  # a key and a value projection of width 4, with their biases
    assert count[6] - count[2] == 4 * per_head and count[2] - count[1] == per_head


def test_number_of_heads_changes_no_parameter():
    counts = {sum(p.numel() for p in MultiHeadAttention(24, h).parameters()) for h in (1, 2, 3, 24)}
    assert counts == {4 * 24 * 24 + 4 * 24}


def test_module_serves_chapter_2s_translator(draw):
    torch.manual_seed(2)
    model = AttentionSeq2Seq(10, 12, MultiHeadAttention(12, 3), 8)
    source, target = torch.randint(1, 10, (B, TK)), torch.randint(1, 10, (B, TQ))
    out = model(source, torch.tensor([3, 5]), target)
    other = source.clone()
    other[0, 3:] = 0  # padding of the first sentence
    assert torch.equal(model(other, torch.tensor([3, 5]), target), out)
    other[1, 3:] = 0  # words of the second
    assert not torch.equal(model(other, torch.tensor([3, 5]), target)[1], out[1])


# Types and devices


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_is_kept(draw, weights, keep, dtype):
    x, memory, *w = (t.to(dtype) for t in (draw(B, TQ, C), draw(B, TK, CM), *weights))
    out = cross_attention(x, memory, *(t / 4 for t in w), H, keep)
    heads = draw(B, H, TK, D).to(dtype)
    ablated = head_ablation(heads, draw(H * D, C).to(dtype), torch.tensor([True] * H))
    assert out.dtype == ablated.dtype == merge_heads(heads).dtype == dtype
    assert out.isfinite().all()


def test_every_device_gives_the_same_answers(draw, weights, keep, device):
    x, memory = draw(B, TQ, C), draw(B, TK, CM)
    here = cross_attention(x, memory, *weights, H, keep)
    moved = (t.to(device) for t in (x, memory, *weights))
    there = cross_attention(*moved, H, keep.to(device))
    assert there.device.type == device
    torch.testing.assert_close(there.cpu(), here, **DOUBLE)


# Bad input: a call that must raise stands beside one that must not. `tests.mutants` relies on the
# word "refused" in these names.


@pytest.mark.parametrize("num_heads", [5, 0, -1])
def test_number_of_heads_that_does_not_divide_the_width_is_refused(draw, num_heads):
    x = draw(B, TK, WIDTH)
    split_heads(x, H)
    MultiHeadAttention(WIDTH, H)
    message = rf"num_heads \({num_heads}\) must divide width \({WIDTH}\)"
    with pytest.raises(ValueError, match=message):
        split_heads(x, num_heads)
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(WIDTH, num_heads)


@pytest.mark.parametrize("num_kv_heads", [3, 0, -2, 8])
def test_number_of_key_heads_that_does_not_divide_that_of_heads_is_refused(num_kv_heads):
    MultiHeadAttention(WIDTH, H, num_kv_heads=2)
    message = rf"num_kv_heads \({num_kv_heads}\) must divide num_heads \({H}\)"
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(WIDTH, H, num_kv_heads=num_kv_heads)


@pytest.fixture
def calls(draw, weights):
    """The functions and the module, by keep, on arguments that fit."""
    x, memory = draw(B, TQ, C), draw(B, TK, CM)
    square = [draw(CM, H * D), *weights[1:]]
    layer = MultiHeadAttention(WIDTH, H).double()
    short, long = draw(B, TQ, WIDTH), draw(B, TK, WIDTH)
    functions = {
        "cross": (lambda keep: cross_attention(x, memory, *weights, H, keep), (B, TQ, TK)),
        "self": (lambda keep: multi_head_attention(memory, *square, H, keep), (B, TK, TK)),
        "module": (lambda keep: layer(short, long, keep), (B, TQ, TK)),
    }
    for call, wanted in functions.values():
        call(torch.ones(wanted, dtype=torch.bool))
    return functions


@pytest.mark.parametrize("name", ["cross", "self", "module"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_mask_that_is_not_bool_is_refused(calls, name, dtype):
    call, wanted = calls[name]
    with pytest.raises(TypeError, match=f"keep must be bool .*, got {dtype}"):
        call(torch.ones(wanted, dtype=dtype))


@pytest.mark.parametrize("name", ["cross", "self", "module"])
@pytest.mark.parametrize("wrong", [(B, 1, 1 + TK), (TK,), (B + 1, 1, TK), (TK, B)])
def test_mask_that_does_not_fit_is_refused(calls, name, wrong):
    call, wanted = calls[name]
    message = f"keep {shape(*wrong)} does not broadcast to .*Tq, Tk. = {shape(*wanted)}$"
    with pytest.raises(ValueError, match=message):
        call(torch.ones(wrong, dtype=torch.bool))


@pytest.mark.parametrize("wrong", [(B, B, TQ, TK), (B, H, TK, TK), (1, B, 1, TQ, TK)])
def test_mask_of_other_heads_is_refused(calls, wrong):
    call, _ = calls["module"]
    call(torch.ones(B, H, TQ, TK, dtype=torch.bool))
    message = f"keep {shape(*wrong)} does not broadcast to .* = {shape(B, H, TQ, TK)}$"
    with pytest.raises(ValueError, match=message):
        call(torch.ones(wrong, dtype=torch.bool))


def test_mask_of_each_head_is_refused_by_the_functions(calls):
    for name in ("cross", "self"):
        call, wanted = calls[name]
        wrong = (wanted[0], H, *wanted[1:])
        with pytest.raises(ValueError, match=f"keep {shape(*wrong)} does not broadcast to"):
            call(torch.ones(wrong, dtype=torch.bool))


def test_memory_of_another_batch_is_refused(draw, weights):
    x, memory = draw(B, TQ, C), draw(B, TK, CM)
    cross_attention(x, memory, *weights, H)
    with pytest.raises(ValueError, match="differ in their batch dimensions"):
        cross_attention(x, memory[:1], *weights, H)


@pytest.mark.parametrize("flags", [[True] * (H - 1), [True], [[True] * H]])
def test_wrong_number_of_flags_is_refused(draw, flags):
    heads, w_out = draw(B, H, TK, D), draw(H * D, C)
    head_ablation(heads, w_out, torch.tensor([True] * H))
    wrong = torch.tensor(flags)
    message = f"keep_heads {shape(*wrong.shape)} needs one flag for each head of .*"
    with pytest.raises(ValueError, match=message + shape(B, H, TK, D)):
        head_ablation(heads, w_out, wrong)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_flags_that_are_not_bool_are_refused(draw, dtype):
    with pytest.raises(TypeError, match=f"keep_heads must be bool .*, got {dtype}"):
        head_ablation(draw(B, H, TK, D), draw(H * D, C), torch.ones(H, dtype=dtype))


def test_heads_without_a_head_dimension_are_refused(draw):
    flags = torch.tensor([True] * H)
    with pytest.raises(ValueError, match=f"each head of .* = {shape(TK, D)}"):
        head_ablation(draw(TK, D), draw(H * D, C), flags)


@pytest.mark.parametrize("options", MODULES)
def test_tokens_of_another_width_are_refused(draw, options):
    layer = MultiHeadAttention(WIDTH, H, **options).double()
    widths = (WIDTH, options.get("key_width", WIDTH), options.get("value_width", WIDTH))
    layer(draw(B, TQ, widths[0]), (draw(B, TK, widths[1]), draw(B, TK, widths[2])))
    for wrong in itertools.product((0, 1), repeat=3):
        if any(wrong):
            x, keys, values = (
                draw(B, t, n + w) for t, n, w in zip((TQ, TK, TK), widths, wrong, strict=True)
            )
            message = f"tokens of widths {shape(*widths)}, got x {shape(*x.shape)}"
            with pytest.raises(ValueError, match=message):
                layer(x, (keys, values))
