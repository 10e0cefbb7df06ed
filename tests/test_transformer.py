"""Chapter 7's reference, held to torch, sacrebleu, exhaustive search and values by hand."""

import itertools
import math
import re
from dataclasses import replace

import pytest
import sacrebleu
import torch
from torch import nn
from torch.nn import functional as F

from tutor.attention import causal_mask, padding_mask
from tutor.materials.numbers import Pairs
from tutor.materials.translator import parameter_count, steps_of_waiting
from tutor.multihead import cross_attention, multi_head_attention
from tutor.position import sinusoidal_encoding
from tutor.transformer import (
    DecoderLayer,
    DropoutAttention,
    Encoder,
    EncoderLayer,
    Transformer,
    TransformerConfig,
    TransformerSeq2Seq,
    beam_search,
    bleu,
    decoder_layer,
    encoder_layer,
    feed_forward,
    greedy_decode,
    label_smoothing_loss,
    layer_norm,
    length_penalty,
    residual,
    warmup_rate,
)

B, S, T, H, C, FF, V = 2, 5, 7, 3, 12, 17, 11
DOUBLE = {"atol": 1e-10, "rtol": 1e-10}
SINGLE = {"atol": 1e-5, "rtol": 1e-5}
HALF = [torch.float16, torch.bfloat16]

CONFIG = TransformerConfig(C, H, FF, num_encoder_layers=2, num_decoder_layers=3, dropout=0.0)
both_norms = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
# Torch says at every construction which of its fast paths it does not take.
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def shape(*sizes):
    """A shape as an error message shows it, for ``match``."""
    return re.escape(str(sizes))


def same_gradients(ours, theirs, leaves, cotangent, **tolerance):
    torch.testing.assert_close(
        torch.autograd.grad(ours, leaves, cotangent),
        torch.autograd.grad(theirs, leaves, cotangent),
        **tolerance,
    )


# Layer norm


def test_layer_norm_by_hand():
    # Mean 2, variance ((1 - 2)² + (3 - 2)²) / 2 = 1: divided by n - 1 it would be 2.
    x, weight, bias = numbers(1.0, 3.0), numbers(2.0, 5.0), numbers(10.0, 20.0)
    torch.testing.assert_close(layer_norm(x, weight, bias, eps=0.0), numbers(8.0, 25.0), **DOUBLE)


def test_epsilon_stands_within_the_root():
    # Variance 9, so √(9 + 16) = 5; beside the root it would be 3 + 16.
    got = layer_norm(numbers(-3.0, 3.0), torch.ones(2), torch.zeros(2), eps=16.0)
    torch.testing.assert_close(got, numbers(-0.6, 0.6), **DOUBLE)


def test_token_of_equal_features_becomes_the_bias():
    bias = numbers(1.0, 2.0, 3.0)
    assert torch.equal(layer_norm(numbers(4.0, 4.0, 4.0), numbers(5.0, 6.0, 7.0), bias), bias)


@pytest.mark.parametrize("eps", [1e-5, 1e-12, 0.3])
@pytest.mark.parametrize("batch", [(), (T,), (B, T), (0, T)])
def test_layer_norm_and_its_gradients_agree_with_torch(draw, batch, eps):
    leaves = [t.requires_grad_() for t in (3 + 2 * draw(*batch, C), draw(C), draw(C))]
    ours, theirs = layer_norm(*leaves, eps), F.layer_norm(leaves[0], (C,), *leaves[1:], eps)
    torch.testing.assert_close(ours, theirs, **DOUBLE)
    same_gradients(ours, theirs, leaves, draw(*batch, C), **DOUBLE)


def test_layer_norm_agrees_with_torch_in_single_precision(draw):
    x, weight, bias = (t.float() for t in (draw(B, T, C), draw(C), draw(C)))
    torch.testing.assert_close(
        layer_norm(x, weight, bias), F.layer_norm(x, (C,), weight, bias), **SINGLE
    )


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_layer_norm_of_half_precision_is_that_of_single_precision_rounded(draw, dtype, size):
    # Squares of 1,000 are beyond what float16 holds.
    x, weight, bias = (t.to(dtype) for t in (size * draw(B, T, C), draw(C), draw(C)))
    expected = F.layer_norm(x.float(), (C,), weight.float(), bias.float()).to(dtype)
    torch.testing.assert_close(
        layer_norm(x, weight, bias), expected, atol=0, rtol=torch.finfo(dtype).eps
    )


def test_each_token_is_normalised_alone(draw):
    x, parameters = draw(B, T, C), (draw(C), draw(C))
    other = x.clone()
    other[1, 2] = draw(C)
    before, after = layer_norm(x, *parameters), layer_norm(other, *parameters)
    changed = (before != after).any(-1)
    assert changed.nonzero().tolist() == [[1, 2]]


# Feed-forward


def test_feed_forward_by_hand():
    # Hidden: max(0, 1·2 + 1) = 3 and max(0, -1·2 + 1) = 0; out: 3·10 + 0·100 + 5.
    w_in, b_in = numbers([1.0, -1.0]), numbers(1.0, 1.0)
    w_out, b_out = numbers([10.0], [100.0]), numbers(5.0)
    assert feed_forward(numbers(2.0), w_in, b_in, w_out, b_out).tolist() == [35.0]


@pytest.mark.parametrize(("activation", "name"), [(torch.relu, "relu"), (F.gelu, "gelu")])
def test_feed_forward_agrees_with_torchs_layers(draw, activation, name):
    leaves = [draw(B, T, C), draw(C, FF), draw(FF), draw(FF, 2), draw(2)]
    leaves = [t.requires_grad_() for t in leaves]
    x, w_in, b_in, w_out, b_out = leaves
    theirs = F.linear(getattr(F, name)(F.linear(x, w_in.mT, b_in)), w_out.mT, b_out)
    ours = feed_forward(*leaves, activation)
    torch.testing.assert_close(ours, theirs, **DOUBLE)
    same_gradients(ours, theirs, leaves, draw(B, T, 2), **DOUBLE)


def test_relu_is_what_feed_forward_has_without_an_activation(draw):
    given = draw(B, T, C), draw(C, FF), draw(FF), draw(FF, C), draw(C)
    assert torch.equal(feed_forward(*given), feed_forward(*given, torch.relu))


# The residual


def test_residual_by_hand():
    # The sublayer adds 10, the norm halves: (1 + 11) / 2, and 1 + (1/2 + 10).
    x = numbers([1.0])
    assert residual(x, lambda h: h + 10, lambda h: h / 2).item() == 6.0
    assert residual(x, lambda h: h + 10, lambda h: h / 2, norm_first=True).item() == 11.5


def test_silent_sublayer_leaves_x_where_the_norm_comes_first(draw):
    x = draw(B, T, C)
    norm = nn.LayerNorm(C).double()
    assert torch.equal(residual(x, torch.zeros_like, norm, norm_first=True), x)
    assert torch.equal(residual(x, torch.zeros_like, norm), norm(x))


# The layers as functions


@pytest.fixture
def parts(draw):
    """The attentions' weights, the feed-forward's and the norms' parameters of a layer."""

    def make(norms):
        attentions = [[draw(C, C) / 3 for _ in range(4)] for _ in range(norms - 1)]
        feed = (draw(C, FF), draw(FF), draw(FF, C), draw(C))
        return attentions, feed, [(draw(C), draw(C)) for _ in range(norms)]

    return make


def torchs_layer(kind, attentions, feed, norms, norm_first):
    """Torch's layer with these parameters, which stand on the other side there, and no biases
    beside its attention."""
    layer = kind(C, H, FF, 0.0, batch_first=True, norm_first=norm_first, dtype=torch.float64)
    names = ("self_attn", "multihead_attn")
    state = {}
    for name, (w_q, w_k, w_v, w_out) in zip(names, attentions, strict=False):
        state[f"{name}.in_proj_weight"] = torch.cat((w_q.mT, w_k.mT, w_v.mT))
        state[f"{name}.in_proj_bias"] = torch.zeros(3 * C)
        state[f"{name}.out_proj.weight"] = w_out.mT
        state[f"{name}.out_proj.bias"] = torch.zeros(C)
    w_in, b_in, w_out, b_out = feed
    state |= {"linear1.weight": w_in.mT, "linear1.bias": b_in}
    state |= {"linear2.weight": w_out.mT, "linear2.bias": b_out}
    for number, (weight, bias) in enumerate(norms, 1):
        state |= {f"norm{number}.weight": weight, f"norm{number}.bias": bias}
    layer.load_state_dict(state)
    return layer


@both_norms
@pytest.mark.parametrize("masked", [False, True])
def test_encoder_layer_agrees_with_torchs(draw, parts, norm_first, masked):
    attentions, feed, norms = parts(2)
    layer = torchs_layer(nn.TransformerEncoderLayer, attentions, feed, norms, norm_first)
    x = draw(B, S, C).requires_grad_()
    keep = padding_mask(torch.tensor([3, S]), S) if masked else None
    hides = None if keep is None else ~keep[:, 0]
    ours = encoder_layer(x, attentions[0], feed, norms, H, keep, norm_first)
    theirs = layer(x, src_key_padding_mask=hides)
    torch.testing.assert_close(ours, theirs, **DOUBLE)
    same_gradients(ours, theirs, [x], draw(B, S, C), **DOUBLE)


@both_norms
@pytest.mark.parametrize("masked", [False, True])
def test_decoder_layer_agrees_with_torchs(draw, parts, norm_first, masked):
    attentions, feed, norms = parts(3)
    layer = torchs_layer(nn.TransformerDecoderLayer, attentions, feed, norms, norm_first)
    x, memory = (draw(B, n, C).requires_grad_() for n in (T, S))
    keep = causal_mask(T, T) if masked else None
    memory_keep = padding_mask(torch.tensor([3, S]), S) if masked else None
    hides = {"tgt_mask": ~keep, "memory_key_padding_mask": ~memory_keep[:, 0]} if masked else {}
    ours = decoder_layer(x, memory, attentions, feed, norms, H, keep, memory_keep, norm_first)
    theirs = layer(x, memory, **hides)
    torch.testing.assert_close(ours, theirs, **DOUBLE)
    same_gradients(ours, theirs, [x, memory], draw(B, T, C), **DOUBLE)


def test_layers_are_post_norm_unless_told(draw, parts):
    attentions, feed, norms = parts(3)
    x, memory = draw(B, T, C), draw(B, S, C)
    expected = decoder_layer(x, memory, attentions, feed, norms, H, norm_first=False)
    assert torch.equal(decoder_layer(x, memory, attentions, feed, norms, H), expected)
    plain = [(torch.ones(C).double(), torch.zeros(C).double())] * 2
    out = encoder_layer(x, attentions[0], feed, plain, H)
    torch.testing.assert_close(out.mean(-1), torch.zeros(B, T).double(), **DOUBLE)
    torch.testing.assert_close(
        out.var(-1, correction=0), torch.ones(B, T).double(), atol=1e-4, rtol=0
    )


@both_norms
def test_functions_of_a_layer_are_its_sublayers_in_order(draw, parts, norm_first):
    """Written out once more, without ``residual``."""
    (own, cross), feed, norms = parts(3)
    x, memory = draw(B, T, C), draw(B, S, C)
    h = x
    sublayers = (
        lambda h: multi_head_attention(h, *own, H),
        lambda h: cross_attention(h, memory, *cross, H),
        lambda h: feed_forward(h, *feed),
    )
    for sublayer, norm in zip(sublayers, norms, strict=True):
        before, after = layer_norm(h, *norm), layer_norm(h + sublayer(h), *norm)
        h = h + sublayer(before) if norm_first else after
    got = decoder_layer(x, memory, (own, cross), feed, norms, H, norm_first=norm_first)
    torch.testing.assert_close(got, h, **DOUBLE)


@both_norms
def test_future_edit_leaves_the_past_of_a_decoder_layer_unchanged(draw, parts, norm_first):
    attentions, feed, norms = parts(3)
    x, memory, keep = draw(B, T, C), draw(B, S, C), causal_mask(T, T)

    def layer(x):
        return decoder_layer(x, memory, attentions, feed, norms, H, keep, norm_first=norm_first)

    edited = x.clone()
    edited[:, 4:] = draw(B, T - 4, C)
    assert torch.equal(layer(edited)[:, :4], layer(x)[:, :4])
    assert (layer(edited)[:, 4:] != layer(x)[:, 4:]).all()


def test_memory_of_another_width_is_read(draw, parts):
    (own, _), feed, norms = parts(3)
    memory = draw(B, S, 9)
    cross = (draw(C, C), draw(9, C), draw(9, C), draw(C, C))
    out = decoder_layer(draw(B, T, C), memory, (own, cross), feed, norms, H)
    assert out.shape == (B, T, C)


# The modules


def pair(norm_first=False, dropout=0.0, dtype=torch.float64, activation="relu"):
    """Torch's model with random biases and norms, and ours with its state_dict."""
    torch.manual_seed(1)
    theirs = nn.Transformer(
        C, H, 2, 3, FF, dropout, activation, norm_first=norm_first, batch_first=True, dtype=dtype
    )
    for parameter in theirs.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter)
    functions = {"relu": torch.relu, "gelu": F.gelu}
    config = replace(
        CONFIG, norm_first=norm_first, dropout=dropout, activation=functions[activation]
    )
    ours = Transformer(config).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def masks(draw):
    """Ours, and torch's arguments that mean the same. No query is left with nothing to read."""
    source_lengths, target_lengths = torch.tensor([3, S]), torch.tensor([T, 4])
    source, target = padding_mask(source_lengths, S), padding_mask(target_lengths, T)
    causal = causal_mask(T, T)
    some = {n: draw(*n) > 0 for n in ((S, S), (T, T), (T, S))}
    for mask in some.values():
        mask[:, 0] = True
    hides = {
        "src_key_padding_mask": ~source[:, 0],
        "tgt_key_padding_mask": ~target[:, 0],
        "memory_key_padding_mask": ~source[:, 0],
    }
    return {
        "none": ((), {}),
        "causal": ((None, causal), {"tgt_mask": ~causal}),
        "source padding": ((source,), {"src_key_padding_mask": hides["src_key_padding_mask"]}),
        "target padding": (
            (None, target),
            {"tgt_key_padding_mask": hides["tgt_key_padding_mask"]},
        ),
        "memory padding": (
            (None, None, source),
            {"memory_key_padding_mask": hides["memory_key_padding_mask"]},
        ),
        "all that a translator has": (
            (source, target & causal, source),
            {**hides, "tgt_mask": ~causal},
        ),
        "any": (
            (some[S, S], some[T, T], some[T, S]),
            {"src_mask": ~some[S, S], "tgt_mask": ~some[T, T], "memory_mask": ~some[T, S]},
        ),
        "any and padding": (
            (source & some[S, S], target & some[T, T], source & some[T, S]),
            {
                **hides,
                "src_mask": ~some[S, S],
                "tgt_mask": ~some[T, T],
                "memory_mask": ~some[T, S],
            },
        ),
    }


MASKS = [
    "none",
    "causal",
    "source padding",
    "target padding",
    "memory padding",
    "all that a translator has",
    "any",
    "any and padding",
]
every_mask = pytest.mark.parametrize("mask", MASKS)
modes = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


@both_norms
@every_mask
@modes
def test_transformer_and_its_gradients_agree_with_torchs(draw, norm_first, mask, training):
    ours, theirs = (m.train(training) for m in pair(norm_first))
    keep, torchs = masks(draw)[mask]
    inputs = [draw(B, S, C).requires_grad_(), draw(B, T, C).requires_grad_()]
    actual, expected = ours(*inputs, *keep), theirs(*inputs, **torchs)
    torch.testing.assert_close(actual, expected, **DOUBLE)
    cotangent = draw(B, T, C)
    leaves = [*inputs, *ours.parameters()]
    got = torch.autograd.grad(actual, leaves, cotangent)
    leaves = [*inputs, *theirs.parameters()]
    torch.testing.assert_close(got, torch.autograd.grad(expected, leaves, cotangent), **DOUBLE)


@both_norms
@every_mask
@modes
def test_transformer_agrees_with_torchs_in_single_precision(draw, norm_first, mask, training):
    ours, theirs = (m.train(training) for m in pair(norm_first, dtype=torch.float32))
    keep, torchs = masks(draw)[mask]
    source, target = draw(B, S, C, dtype=torch.float32), draw(B, T, C, dtype=torch.float32)
    torch.testing.assert_close(
        ours(source, target, *keep), theirs(source, target, **torchs), **SINGLE
    )


@both_norms
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dropout_falls_where_torchs_does(draw, norm_first, seed):
    # One sentence: of several, torch lays the batch in the second dimension, so that the same
    # numbers fall on other places.
    ours, theirs = pair(norm_first, dropout=0.3)
    source, target, keep = draw(S, C), draw(T, C), causal_mask(T, T)
    torch.manual_seed(seed)
    actual = ours(source, target, target_keep=keep)
    torch.manual_seed(seed)
    expected = theirs(source, target, tgt_mask=~keep)
    torch.testing.assert_close(actual, expected, **DOUBLE)
    assert not torch.allclose(ours.eval()(source, target, target_keep=keep), actual)


@both_norms
def test_nothing_is_dropped_in_evaluation(draw, norm_first):
    ours, theirs = (m.eval() for m in pair(norm_first, dropout=0.3))
    source, target = draw(B, S, C), draw(B, T, C)
    torch.testing.assert_close(ours(source, target), theirs(source, target), **DOUBLE)


def test_other_activation_and_epsilon_agree_with_torchs(draw):
    ours, theirs = pair(activation="gelu")
    for module in (*ours.modules(), *theirs.modules()):
        if isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-5
    source, target = draw(B, S, C), draw(B, T, C)
    torch.testing.assert_close(ours(source, target), theirs(source, target), **DOUBLE)
    other = Transformer(replace(CONFIG, norm_eps=0.3, activation=F.gelu)).double()
    other.load_state_dict(theirs.state_dict())
    for module in theirs.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 0.3
    torch.testing.assert_close(other(source, target), theirs(source, target), **DOUBLE)


@both_norms
def test_state_dict_goes_both_ways_and_in_torchs_order(norm_first):
    ours, theirs = pair(norm_first)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]


@both_norms
def test_single_layers_agree_with_torchs(draw, norm_first):
    config = replace(CONFIG, norm_first=norm_first)
    x, memory, keep = draw(B, T, C), draw(B, S, C), causal_mask(T, T)
    memory_keep = padding_mask(torch.tensor([3, S]), S)
    options = {"norm_first": norm_first, "batch_first": True, "dtype": torch.float64}
    theirs = nn.TransformerEncoderLayer(C, H, FF, 0.0, **options)
    ours = EncoderLayer(config).double()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x, keep), theirs(x, ~keep), **DOUBLE)
    theirs = nn.TransformerDecoderLayer(C, H, FF, 0.0, **options)
    ours = DecoderLayer(config).double()
    ours.load_state_dict(theirs.state_dict())
    expected = theirs(x, memory, ~keep, memory_key_padding_mask=~memory_keep[:, 0])
    torch.testing.assert_close(ours(x, memory, keep, memory_keep), expected, **DOUBLE)


@both_norms
def test_modules_are_the_functions_of_their_transposed_parameters(draw, norm_first):
    layer = DecoderLayer(replace(CONFIG, norm_first=norm_first)).double()
    for module in (layer.self_attn, layer.multihead_attn):
        nn.init.zeros_(module.in_proj_bias)
        nn.init.zeros_(module.out_proj.bias)
    attentions = [
        (*(w.mT for w in m.in_proj_weight.chunk(3)), m.out_proj.weight.mT)
        for m in (layer.self_attn, layer.multihead_attn)
    ]
    first, second = layer.linear1, layer.linear2
    feed = (first.weight.mT, first.bias, second.weight.mT, second.bias)
    norms = [(n.weight, n.bias) for n in (layer.norm1, layer.norm2, layer.norm3)]
    x, memory, keep = draw(B, T, C), draw(B, S, C), causal_mask(T, T)
    memory_keep = padding_mask(torch.tensor([3, S]), S)
    expected = decoder_layer(x, memory, attentions, feed, norms, H, keep, memory_keep, norm_first)
    torch.testing.assert_close(layer(x, memory, keep, memory_keep), expected, **DOUBLE)


def test_stack_of_pre_norm_layers_ends_in_a_norm(draw):
    encoder = Encoder(replace(CONFIG, norm_first=True)).double()
    x = draw(B, S, C)
    bare = encoder.layers[1](encoder.layers[0](x))
    torch.testing.assert_close(encoder(x), F.layer_norm(bare, (C,)), **DOUBLE)


def test_torchs_attention_can_be_plugged_in(draw):
    ours, _ = pair()
    other = Transformer(replace(CONFIG, attention=F.scaled_dot_product_attention)).double()
    other.load_state_dict(ours.state_dict())
    keep, _ = masks(draw)["all that a translator has"]
    source, target = draw(B, S, C), draw(B, T, C)
    torch.testing.assert_close(other(source, target, *keep), ours(source, target, *keep), **DOUBLE)


def test_every_attention_of_the_model_is_the_one_that_is_plugged_in(draw):
    asked = []

    def attention(q, k, v, keep):
        asked.append((q.shape[-2], k.shape[-2]))
        return F.scaled_dot_product_attention(q, k, v, keep)

    model = Transformer(replace(CONFIG, attention=attention)).double()
    model(draw(B, S, C), draw(B, T, C))
    assert asked == [(S, S)] * 2 + [(T, T), (T, S)] * 3


def test_matrices_begin_as_torchs_do():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(dropout=0.0, num_encoder_layers=1, num_decoder_layers=1))
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            bound = math.sqrt(6 / sum(parameter.shape))
            assert 0.99 * bound < parameter.abs().max() <= bound, name
    first, second = model.encoder.layers[0].norm1, model.decoder.layers[0].self_attn
    assert first.weight.eq(1).all() and not first.bias.any() and not second.in_proj_bias.any()


@both_norms
def test_source_of_which_nothing_may_be_read_gives_numbers(draw, norm_first):
    ours, theirs = pair(norm_first)
    source, target, keep = draw(B, S, C), draw(B, T, C), padding_mask(torch.tensor([0, S]), S)
    out = ours(source, target, keep, None, keep)
    out.sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in ours.parameters())
    hides = {"src_key_padding_mask": ~keep[:, 0], "memory_key_padding_mask": ~keep[:, 0]}
    torch.testing.assert_close(out, theirs(source, target, **hides), **DOUBLE)
    empty = ours(source[:, :0], target)
    torch.testing.assert_close(empty[0], out[0], **DOUBLE)


def test_dropped_attention_is_right_on_average(draw):
    layer = DropoutAttention(0.25)
    q, k, v = draw(1, T, 4), draw(1, S, 4), draw(1, S, 3)
    torch.manual_seed(0)
    many = layer(q.expand(20_000, -1, -1), k.expand(20_000, -1, -1), v.expand(20_000, -1, -1))
    exact = layer.eval()(q, k, v)
    torch.testing.assert_close(many.mean(0), exact[0], atol=0.05, rtol=0)
    assert many.std(0).min() > 0.01


# From symbols to symbols


def seq2seq(**changes):
    torch.manual_seed(2)
    config = replace(CONFIG, **changes)
    return TransformerSeq2Seq(V, config).double().eval()


@pytest.fixture
def sentences():
    generator = torch.Generator().manual_seed(4)
    source = torch.randint(1, V, (B, S), generator=generator)
    target = torch.randint(1, V, (B, T), generator=generator)
    return source, torch.tensor([3, S]), target


@both_norms
def test_seq2seq_is_torchs_model_between_one_embedding_and_its_transpose(sentences, norm_first):
    model = seq2seq(norm_first=norm_first)
    source, lengths, target = sentences
    theirs = nn.Transformer(C, H, 2, 3, FF, 0.0, norm_first=norm_first, batch_first=True).double()
    theirs.load_state_dict(model.transformer.state_dict())
    table = model.embedding.weight
    x, y = (
        table[s] * math.sqrt(C) + sinusoidal_encoding(torch.arange(s.shape[1]).double(), C)
        for s in (source, target)
    )
    hides = torch.arange(S) >= lengths[:, None]
    hidden = theirs(
        x,
        y,
        tgt_mask=~torch.ones(T, T, dtype=torch.bool).tril(),
        src_key_padding_mask=hides,
        memory_key_padding_mask=hides,
    )
    torch.testing.assert_close(model(*sentences), hidden @ table.mT, **DOUBLE)


def test_padding_of_the_source_has_no_influence(sentences):
    model, (source, lengths, target) = seq2seq(), sentences
    expected = model(source, lengths, target)
    other = source.clone()
    other[0, 3:] = 7
    assert torch.equal(model(other, lengths, target), expected)
    other[1, 3:] = 7  # words of the second sentence
    assert not torch.equal(model(other, lengths, target)[1], expected[1])


def test_future_edit_of_the_target_leaves_the_past_unchanged(sentences):
    model, (source, lengths, target) = seq2seq(), sentences
    edited = target.clone()
    edited[:, 4:] = 1 + edited[:, 4:] % (V - 1)
    before, after = model(source, lengths, target), model(source, lengths, edited)
    assert torch.equal(before[:, :4], after[:, :4]) and (before[:, 4:] != after[:, 4:]).any()


def test_order_of_the_source_counts(sentences):
    model, (source, lengths, target) = seq2seq(), sentences
    assert not torch.allclose(
        model(source, lengths, target)[1], model(source.flip(1), lengths, target)[1]
    )


def test_sum_of_embedding_and_position_is_dropped_out(sentences):
    model, (source, _, _) = seq2seq(dropout=0.25), sentences
    whole = model.embed(source)
    torch.manual_seed(0)
    many = torch.stack([model.train().embed(source) for _ in range(200)])
    dropped = many == 0
    torch.testing.assert_close(many, (whole / 0.75).expand_as(many).masked_fill(dropped, 0))
    assert dropped.double().mean().item() == pytest.approx(0.25, abs=0.02)


def test_next_logits_are_the_last_of_forward(sentences):
    model, (source, lengths, target) = seq2seq(), sentences
    rows = torch.tensor([1, 0, 1])
    got = model.next_logits(source, lengths)(target[rows, :4], rows)
    expected = model(source[rows], lengths[rows], target[rows])[:, 3]
    torch.testing.assert_close(got, expected, **DOUBLE)


def test_source_is_read_in_one_step(sentences):
    assert steps_of_waiting(seq2seq(), Pairs((0,) * B, *sentences)) == 1


def test_base_model_has_its_63_million_parameters():
    with torch.device("meta"):
        model = TransformerSeq2Seq(37_000, TransformerConfig())
    width, hidden, layers = 512, 2048, 6
    attention = 4 * (width * width + width)
    feed = width * hidden + hidden + hidden * width + width
    norm = 2 * width
    encoder, decoder = attention + feed + 2 * norm, 2 * attention + feed + 3 * norm
    assert (encoder, decoder) == (3_152_384, 4_204_032)
    # One embedding for source, target and readout; positions have no parameters.
    expected = 37_000 * width + layers * (encoder + decoder) + 2 * norm
    assert parameter_count(model) == expected == 63_084_544


# Of Vaswani et al. 2017, table 3: what differs from the base model, and its millions of parameters.
TABLE_3 = [
    ({}, 65),
    ({"num_encoder_layers": 2, "num_decoder_layers": 2}, 36),
    ({"num_encoder_layers": 4, "num_decoder_layers": 4}, 50),
    ({"num_encoder_layers": 8, "num_decoder_layers": 8}, 80),
    ({"width": 256}, 28),
    ({"width": 1024}, 168),
    ({"hidden_width": 1024}, 53),
    ({"hidden_width": 4096}, 90),
]
NARROW = [(16, 58), (32, 60)]
"""The width of the keys of a head, 64 elsewhere, and the millions of parameters."""
BIG = {"width": 1024, "hidden_width": 4096, "num_heads": 16}


def without_embedding(changes):
    with torch.device("meta"):
        return parameter_count(Transformer(TransformerConfig(**changes)))


def test_one_size_of_vocabulary_explains_the_papers_parameters():
    rows = [(without_embedding(c), c.get("width", 512), millions) for c, millions in TABLE_3]
    for key_width, millions in NARROW:
        # 18 attentions, whose queries and keys are projected to as many features fewer, each.
        saved = 18 * 2 * (512 + 1) * 8 * (64 - key_width)
        rows.append((without_embedding({}) - saved, 512, millions))
    for count, width, millions in rows:
        assert round((count + 41_000 * width) / 1e6) == millions
    assert round((rows[0][0] + 37_000 * 512) / 1e6) == 63
    big = without_embedding(BIG)
    assert round((big + 36_000 * 1024) / 1e6) == 213 < round((big + 37_000 * 1024) / 1e6)


# Label smoothing


def test_label_smoothing_by_hand():
    # p = 1/2, 1/4, 1/4: 0.9 ln 2 + 0.1/3 (ln 2 + ln 4 + ln 4) = 0.9 ln 2 + 0.5/3 ln 2.
    logits = numbers([0.5, 0.25, 0.25]).log()
    loss = label_smoothing_loss(logits, torch.tensor([0]), 0.1, ignore_index=-1)
    torch.testing.assert_close(loss.item(), (0.9 + 0.5 / 3) * math.log(2), atol=1e-12, rtol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4, 1.0])
@pytest.mark.parametrize("ignored", [0, 3, -100, 255])
def test_label_smoothing_and_its_gradient_agree_with_torch(draw, smoothing, ignored):
    logits = draw(B, T, V).requires_grad_()
    target = torch.arange(B * T).reshape(B, T) % V
    target[1, 4:] = ignored
    ours = label_smoothing_loss(logits, target, smoothing, ignored)
    theirs = F.cross_entropy(
        logits.flatten(0, 1),
        target.flatten(),
        ignore_index=ignored,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(ours, theirs, **DOUBLE)
    same_gradients(ours, theirs, [logits], numbers(1.0)[0], **DOUBLE)


def test_padding_has_none_of_the_mass(draw):
    logits, target = draw(B, T, V).requires_grad_(), torch.ones(B, T, dtype=torch.long)
    target[1, 4:] = 0
    loss = label_smoothing_loss(logits, target)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[1, 4:].any() and gradient[target != 0].all()
    other = logits.detach().clone()
    other[1, 4:] = 100 * draw(T - 4, V)
    assert torch.equal(label_smoothing_loss(other, target), loss)


def test_more_padding_changes_no_loss(draw):
    logits, target = draw(B, T, V), torch.ones(B, T, dtype=torch.long)
    longer = torch.cat((logits, draw(B, 3, V)), 1), F.pad(target, (0, 3))
    torch.testing.assert_close(
        label_smoothing_loss(*longer), label_smoothing_loss(logits, target), **DOUBLE
    )


def test_smoothed_loss_is_least_where_the_target_has_its_share():
    smoothing, target = 0.1, torch.tensor([2])
    share = torch.full((1, V), smoothing / V, dtype=torch.float64)
    share[0, 2] += 1 - smoothing
    logits = share.log().requires_grad_()
    label_smoothing_loss(logits, target, smoothing).backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(share), **DOUBLE)


@pytest.mark.parametrize("batch", [(0,), (3,)])
def test_batch_of_padding_alone_costs_nothing(draw, batch):
    logits = draw(*batch, V).requires_grad_()
    loss = label_smoothing_loss(logits, torch.zeros(batch, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_symbol_that_cannot_be_costs_nothing_without_smoothing():
    logits = numbers([0.0, -math.inf, 0.0])
    loss = label_smoothing_loss(logits, torch.tensor([2]), 0.0)
    torch.testing.assert_close(loss.item(), math.log(2), atol=1e-12, rtol=0)


# Warm-up


def test_warmup_rate_by_hand():
    # 64^-0.5 = 1/8; 16^-1.5 = 1/64; at step 16 both are 1/4.
    assert warmup_rate(1, 64, 16) == pytest.approx(1 / 8 / 64, abs=1e-15)
    assert warmup_rate(8, 64, 16) == pytest.approx(1 / 64, abs=1e-15)
    assert warmup_rate(16, 64, 16) == pytest.approx(1 / 32, abs=1e-15)
    assert warmup_rate(64, 64, 16) == pytest.approx(1 / 64, abs=1e-15)


def test_rate_grows_to_the_end_of_the_warmup_and_falls_from_there():
    rates = [warmup_rate(step, 512) for step in range(1, 12_001)]
    assert max(rates) == rates[3999] == pytest.approx((512 * 4000) ** -0.5, rel=1e-12)
    steps = [b - a for a, b in itertools.pairwise(rates)]
    assert all(d > 0 for d in steps[:3999]) and all(d < 0 for d in steps[3999:])
    assert steps[0] == pytest.approx(rates[0], rel=1e-12)  # linear, from nothing at step 0


# Decoding


class Chain:
    """``next_logits`` of a model that forgets nothing: the scores are drawn anew for every row and
    every beginning."""

    def __init__(self, vocabulary, seed=0, sharp=1.0):
        self.vocabulary, self.seed, self.sharp = vocabulary, seed, sharp
        self.calls = []

    def __call__(self, written, rows):
        self.calls.append(tuple(written.shape))
        return torch.stack(
            [self.logits(row, w) for row, w in zip(rows.tolist(), written.tolist(), strict=True)]
        )

    def logits(self, row, written):
        number = hash((self.seed, row, *written)) % 2**31  # of integers alone: always the same
        generator = torch.Generator().manual_seed(number)
        drawn = torch.randn(self.vocabulary, generator=generator, dtype=torch.float64)
        return self.sharp * drawn


def every_translation(vocabulary, end, longest):
    """All that ends with ``end``, and all that is ``longest`` and does not."""
    for length in range(1, longest + 1):
        for symbols in itertools.product(range(vocabulary), repeat=length):
            early = end in symbols[:-1]
            if not early and (symbols[-1] == end or length == longest):
                yield symbols


def score(model, row, start, symbols, alpha):
    written, total = [start], 0.0
    for symbol in symbols:
        total += model.logits(row, written).log_softmax(-1)[symbol].item()
        written.append(symbol)
    return total / ((5 + len(symbols)) / 6) ** alpha


def exhaustive(model, row, start, end, longest, alpha):
    """All translations with their scores, the best first."""
    every = every_translation(model.vocabulary, end, longest)
    found = [(score(model, row, start, symbols, alpha), symbols) for symbols in every]
    return sorted(found, reverse=True)


def filled(symbols, end, length):
    return [*symbols, *[end] * (length - len(symbols))]


class Table:
    """The next symbol depends on the last one alone."""

    def __init__(self, *probabilities):
        self.logits = numbers(*probabilities).log()

    def __call__(self, written, rows):
        return self.logits[written[:, -1]]


# 0 begins, 3 ends. The likeliest first symbol, 1, leads to nothing likely.
GARDEN_PATH = Table(
    [0.0, 0.6, 0.4, 0.0],
    [0.3, 0.3, 0.1, 0.3],
    [0.0, 0.05, 0.05, 0.9],
    [0.25, 0.25, 0.25, 0.25],
)


def test_greedy_by_hand():
    table = Table([0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.4, 0.3, 0.3])
    assert greedy_decode(table, torch.tensor([0, 1]), 2, 5).tolist() == [[1, 2], [2, 2]]


def test_beam_search_by_hand():
    written, scores = beam_search(GARDEN_PATH, torch.tensor([0]), 3, 4, beam_size=2, alpha=0.0)
    assert written[0, 0].tolist()[:2] == [2, 3]
    assert scores[0, 0].item() == pytest.approx(math.log(0.4 * 0.9), abs=1e-6)
    greedy = greedy_decode(GARDEN_PATH, torch.tensor([0]), 3, 4)
    assert greedy[0, 0] == 1


def test_length_penalty_by_hand():
    assert length_penalty(1, 0.6) == length_penalty(7, 0.0) == 1
    assert length_penalty(7, 1.0) == 2 and length_penalty(19, 0.5) == 2
    assert length_penalty(torch.tensor([1, 7]), 2.0).tolist() == [1, 4]


def test_length_penalty_lets_the_longer_translation_win():
    # *End* at once has p = 0.4; 1, 1, 1 has 0.6 · 0.8² = 0.384, and is longer.
    table = Table([0.0, 0.6, 0.4], [0.0, 0.8, 0.2], [0.4, 0.3, 0.3])
    short, long = math.log(0.4), math.log(0.6 * 0.8 * 0.8)
    for alpha, wanted, best in ((0.0, [2, 2, 2], short), (2.0, [1, 1, 1], long / (8 / 6) ** 2)):
        written, scores = beam_search(table, torch.tensor([0]), 2, 3, 3, alpha)
        assert written[0, 0].tolist() == wanted
        assert scores[0, 0].item() == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("nearer", [1e-9, -1e-9])
def test_order_of_a_beam_is_that_of_its_scores_in_double_precision(nearer):
    # *End* at once, and 1 and then end: the same score but for a billionth.
    short = math.log(0.4)
    long = short * (7 / 6) ** 0.6 * (1 - nearer)
    table = Table([0.6 - math.exp(long), math.exp(long), 0.4], [0.0, 0.0, 1.0], [0.4, 0.3, 0.3])
    written, scores = beam_search(table, torch.tensor([0]), 2, 2, 2, 0.6)
    assert written[0].tolist() == ([[1, 2], [2, 2]] if nearer > 0 else [[2, 2], [1, 2]])
    assert scores[0, 0] > scores[0, 1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_wide_beam_finds_what_an_exhaustive_search_finds_in_its_order(seed, alpha):
    model, vocabulary, end, longest = Chain(3, seed), 3, 2, 4
    count = len(list(every_translation(vocabulary, end, longest)))
    start = torch.tensor([0, 1])
    written, scores = beam_search(model, start, end, longest, count, alpha)
    for row in range(2):
        best = exhaustive(model, row, int(start[row]), end, longest, alpha)
        assert written[row].tolist() == [filled(s, end, longest) for _, s in best]
        expected = numbers(*[value for value, _ in best])
        torch.testing.assert_close(scores[row], expected, **DOUBLE)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_beam_of_one_is_greedy(seed, alpha):
    model, start = Chain(5, seed), torch.tensor([0, 1, 2])
    written, scores = beam_search(model, start, 4, 9, 1, alpha)
    greedy = greedy_decode(model, start, 4, 9)
    assert written[:, 0].tolist() == greedy.tolist()
    for row, said in enumerate(greedy.tolist()):
        said = said[: said.index(4) + 1] if 4 in said else said
        expected = score(model, row, int(start[row]), said, alpha)
        assert scores[row, 0].item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_takes_the_likeliest_symbol_each_time(seed):
    model, start = Chain(5, seed), torch.tensor([0, 1, 2])
    for row, said in enumerate(greedy_decode(model, start, 4, 9).tolist()):
        written = [int(start[row])]
        for symbol in said:
            wanted = 4 if 4 in written[1:] else int(model.logits(row, written).argmax())
            assert symbol == wanted
            written.append(symbol)


def test_of_equally_likely_symbols_the_first_is_taken():
    table, start = Table(*[[1 / 64] * 64] * 64), torch.tensor([5])
    assert greedy_decode(table, start, 63, 3).tolist() == [[0, 0, 0]]
    written, _ = beam_search(table, start, 63, 2, 3, 0.0)
    assert written[0].tolist() == [[0, 0], [0, 1], [0, 2]]


class One:
    """One row of a batch, asked for by itself."""

    def __init__(self, model, row):
        self.model, self.row = model, row

    def __call__(self, written, rows):
        assert not rows.any()
        return self.model(written, torch.full_like(rows, self.row))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beam_size", [2, 3, 4])
def test_batched_search_is_one_at_a_time(seed, beam_size):
    model, start = Chain(5, seed), torch.tensor([0, 1, 2, 0])
    written, scores = beam_search(model, start, 4, 8, beam_size)
    greedy = greedy_decode(model, start, 4, 8)
    for row in range(len(start)):
        one = One(model, row)
        alone, value = beam_search(one, start[row : row + 1], 4, 8, beam_size)
        padded = [filled(s, 4, written.shape[-1]) for s in alone[0].tolist()]
        assert written[row].tolist() == padded
        torch.testing.assert_close(scores[row], value[0], **DOUBLE)
        (said,) = greedy_decode(one, start[row : row + 1], 4, 8).tolist()
        assert greedy[row].tolist() == filled(said, 4, greedy.shape[1])


def test_scores_of_a_beam_are_those_of_its_translations():
    model, start = Chain(6, 7), torch.tensor([0, 1])
    written, scores = beam_search(model, start, 5, 6, 4, 0.6)
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    for row, beams in enumerate(written.tolist()):
        assert len({tuple(s) for s in beams}) == 4
        for said, value in zip(beams, scores[row].tolist(), strict=True):
            said = said[: said.index(5) + 1] if 5 in said else said
            expected = score(model, row, int(start[row]), said, 0.6)
            assert value == pytest.approx(expected, abs=1e-10)


def test_beam_follows_a_search_written_with_lists():
    """The same rule, without tensors: the best of all continuations, finished ones beside them."""
    for seed in range(10):
        model, end, longest, beam_size, alpha = Chain(5, seed), 4, 7, 3, 0.6
        beams = [(0.0, ())]
        for _ in range(longest):
            ways = []
            for _, said in beams:
                if said[-1:] == (end,):
                    ways.append((score(model, 0, 0, said, alpha), said))
                else:
                    more = [(*said, symbol) for symbol in range(5)]
                    ways += [(score(model, 0, 0, m, alpha), m) for m in more]
            beams = sorted(ways, reverse=True)[:beam_size]
        written, scores = beam_search(model, torch.tensor([0]), end, longest, beam_size, alpha)
        assert written[0].tolist() == [filled(s, end, written.shape[-1]) for _, s in beams]
        torch.testing.assert_close(scores[0], numbers(*[v for v, _ in beams]), **DOUBLE)


def test_places_that_nothing_fills_score_minus_infinity():
    table = Table([0.5, 0.5], [0.5, 0.5])
    written, scores = beam_search(table, torch.tensor([0]), 1, 1, 4, 0.0)
    assert scores[0, :2].tolist() == pytest.approx([math.log(0.5)] * 2, abs=1e-6)
    assert sorted(written[0, :2, 0].tolist()) == [0, 1]
    assert scores[0, 2:].isneginf().all()


def test_search_does_not_wait_for_what_cannot_be():
    certain = Table([0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    written, scores = beam_search(certain, torch.tensor([0]), 2, 50, 2)
    assert written.tolist() == [[[2], [2]]]
    assert scores.tolist() == [[0.0, -math.inf]]


def test_search_ends_when_all_is_said():
    model = Chain(3, 1, sharp=5.0)
    said = greedy_decode(model, torch.tensor([0, 1]), 2, 50)
    assert len(model.calls) == said.shape[1] < 50 and (said == 2).any(1).all()
    ends = Table([0.01, 0.99], [0.5, 0.5])
    written, _ = beam_search(ends, torch.tensor([0]), 1, 50, 2)
    assert written.shape[-1] < 50


@pytest.mark.parametrize("batch", [0, 3])
def test_nothing_is_written_where_nothing_may_be(batch):
    start, model = torch.zeros(batch, dtype=torch.long), Chain(4)
    assert greedy_decode(model, start, 3, 0).shape == (batch, 0)
    written, scores = beam_search(model, start, 3, 0, 2)
    assert written.shape == (batch, 2, 0) and not model.calls
    assert scores[:, 0].tolist() == [0.0] * batch


def test_translator_decodes_in_beams_as_one_at_a_time(sentences):
    model, (source, lengths, _) = seq2seq(), sentences
    start = torch.tensor([2, 3])
    written, scores = beam_search(model.next_logits(source, lengths), start, 1, 6, 3)
    for row in range(B):
        one = model.next_logits(source[row : row + 1, : lengths[row]], lengths[row : row + 1])
        alone, value = beam_search(one, start[row : row + 1], 1, 6, 3)
        assert written[row].tolist() == [filled(s, 1, written.shape[-1]) for s in alone[0].tolist()]
        torch.testing.assert_close(scores[row], value[0], **DOUBLE)


def test_decoding_keeps_no_graph(sentences):
    model, (source, lengths, _) = seq2seq(), sentences
    start, graphs = torch.tensor([2, 3]), []

    def asked(written, rows):
        logits = model.next_logits(source, lengths)(written, rows)
        graphs.append(logits.requires_grad)
        return logits

    greedy_decode(asked, start, 1, 2)
    assert graphs == [False, False]
    _, scores = beam_search(asked, start, 1, 2)
    assert not any(graphs) and not scores.requires_grad


# BLEU


def sacrebleus(hypotheses, references):
    """Its corpus BLEU of tokens; it takes the first references of all, then the second, ..."""
    most = max(map(len, references))
    streams = [[" ".join(r[i]) if i < len(r) else None for r in references] for i in range(most)]
    joined = [" ".join(h) for h in hypotheses]
    return sacrebleu.corpus_bleu(joined, streams, tokenize="none").score


def test_bleu_by_hand():
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples, as long as the reference.
    said, wanted = list("abcdxf"), list("abcdef")
    assert bleu([said], [[wanted]]) == pytest.approx(
        100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25, abs=1e-9
    )


def test_brevity_costs_and_words_of_other_sentences_count_for_nothing():
    said, other = list("abcd"), list("efgh")
    assert bleu([said], [[[*said, "e"]]]) == pytest.approx(100 * math.exp(1 - 5 / 4), abs=1e-9)
    assert bleu([said], [[said]]) == pytest.approx(100, abs=1e-9)
    assert bleu([said, other], [[other], [said]]) == 0


def test_repeated_word_counts_as_often_as_in_the_reference():
    # Papineni's own example: of seven times *the* two count. So 2/7, and no pair: 1 / (2 · 6), ...
    said, wanted = ["the"] * 7, ["the", "cat", "is", "on", "the", "mat"]
    by_hand = (2 / 7 * 1 / 12 * 1 / 20 * 1 / 32) ** 0.25
    assert bleu([said], [[wanted]]) == pytest.approx(100 * by_hand, abs=1e-9)


def corpora():
    generator = torch.Generator().manual_seed(6)

    def draw(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    for number in range(60):
        words, size = draw(2, 9), draw(1, 8)
        many = 1 if number % 2 else 3

        def text(low=0, words=words):
            return [f"w{draw(0, words)}" for _ in range(draw(low, 12))]

        references = [[text(1) for _ in range(draw(1, many + 1))] for _ in range(size)]
        yield [text() for _ in range(size)], references


def test_bleu_is_sacrebleus():
    scores = []
    for hypotheses, references in corpora():
        scores.append(bleu(hypotheses, references))
        assert scores[-1] == pytest.approx(sacrebleus(hypotheses, references), abs=1e-9)
    assert len({round(s, 3) for s in scores}) > 40  # and not 0 all the time


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("a b c", ["a b c"]),
        ("", ["a b"]),
        ("a b c d e", ["a b c d e f g", "a b c"]),
        ("a b c d", ["a b c d e", "a b c"]),
        ("x y z w v", ["a b c d e"]),
        ("a b x c d y e", ["a b c d e"]),
    ],
)
def test_bleu_at_the_edges_is_sacrebleus(said, wanted):
    hypotheses, references = [said.split()], [[w.split() for w in wanted]]
    assert bleu(hypotheses, references) == pytest.approx(
        sacrebleus(hypotheses, references), abs=1e-9
    )


def test_bleu_of_nothing_is_zero():
    assert bleu([], []) == 0


# Types and devices


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF])
@both_norms
def test_dtype_is_kept(draw, parts, dtype, norm_first):
    attentions, feed, norms = parts(3)
    attentions = [[w.to(dtype) for w in a] for a in attentions]
    feed, norms = [w.to(dtype) for w in feed], [[w.to(dtype) for w in n] for n in norms]
    x, memory = draw(B, T, C).to(dtype), draw(B, S, C).to(dtype)
    encoded = encoder_layer(x, attentions[0], feed, norms[:2], H, norm_first=norm_first)
    out = decoder_layer(x, memory, attentions, feed, norms, H, norm_first=norm_first)
    assert encoded.dtype == out.dtype == dtype and out.isfinite().all()
    model = seq2seq(norm_first=norm_first).to(dtype)
    logits = model(torch.ones(B, S).long(), torch.tensor([3, S]), torch.ones(B, T).long())
    loss = label_smoothing_loss(logits, torch.ones(B, T).long())
    assert logits.dtype == loss.dtype == dtype


def test_every_device_gives_the_same_answers(sentences, device):
    model = seq2seq()
    here = model(*sentences)
    source, lengths, target = (t.to(device) for t in sentences)
    loss = label_smoothing_loss(here, sentences[2])
    start = torch.tensor([2, 3])
    best, scores = beam_search(model.next_logits(*sentences[:2]), start, 1, 4)
    greedy = greedy_decode(model.next_logits(*sentences[:2]), start, 1, 4)
    model = model.to(device)
    there = model(source, lengths, target)
    assert there.device.type == device
    torch.testing.assert_close(there.cpu(), here, **DOUBLE)
    torch.testing.assert_close(label_smoothing_loss(there, target).cpu(), loss, **DOUBLE)
    start = start.to(device)
    moved, values = beam_search(model.next_logits(source, lengths), start, 1, 4)
    assert torch.equal(moved.cpu(), best)
    torch.testing.assert_close(values.cpu(), scores, **DOUBLE)
    again = greedy_decode(model.next_logits(source, lengths), start, 1, 4)
    assert torch.equal(again.cpu(), greedy)


# Bad input: a call that must raise stands beside one that must not. `tests.mutants` relies on the
# word "refused" in these names.


@pytest.mark.parametrize("wrong", [(C - 1,), (1,), (C, 1), ()])
def test_parameters_of_another_width_are_refused_by_layer_norm(draw, wrong):
    x, right = draw(B, T, C), draw(C)
    layer_norm(x, right, right)
    with pytest.raises(ValueError, match=f"weight {shape(*wrong)}, bias {shape(C)}"):
        layer_norm(x, draw(*wrong), right)
    with pytest.raises(ValueError, match=f"weight {shape(C)}, bias {shape(*wrong)}"):
        layer_norm(x, right, draw(*wrong))


@pytest.mark.parametrize("place", range(4))
def test_parameters_that_do_not_fit_are_refused_by_feed_forward(draw, place):
    x, sizes = draw(B, T, C), [(C, FF), (FF,), (FF, 2), (2,)]
    feed_forward(x, *(draw(*s) for s in sizes))
    wrong = tuple(n + 1 for n in sizes[place])
    given = [draw(*(wrong if i == place else s)) for i, s in enumerate(sizes)]
    with pytest.raises(ValueError, match=f"w_in \\(C, F\\).*{shape(*wrong)}"):
        feed_forward(x, *given)
    with pytest.raises(ValueError, match=f"x {shape(B, T, C - 1)}"):
        feed_forward(x[..., 1:], *(draw(*s) for s in sizes))


@pytest.mark.parametrize("count", [0, 1, 4])
def test_wrong_number_of_norms_is_refused(draw, parts, count):
    attentions, feed, norms = parts(3)
    x, memory, wrong = draw(B, T, C), draw(B, S, C), (norms + norms)[:count]
    encoder_layer(x, attentions[0], feed, norms[:2], H)
    decoder_layer(x, memory, attentions, feed, norms, H)
    with pytest.raises(ValueError, match=f"2 sublayers has 2 norms, got {count}"):
        encoder_layer(x, attentions[0], feed, wrong, H)
    with pytest.raises(ValueError, match=f"3 sublayers has 3 norms, got {count}"):
        decoder_layer(x, memory, attentions, feed, wrong, H)


@pytest.mark.parametrize("num_heads", [5, 0, -1])
def test_number_of_heads_that_does_not_divide_the_width_is_refused(num_heads):
    TransformerConfig(C, H)
    with pytest.raises(ValueError, match=rf"num_heads \({num_heads}\) must divide width \({C}\)"):
        TransformerConfig(C, num_heads)


def test_mask_that_is_not_bool_is_refused(draw):
    model = Transformer(CONFIG).double()
    source, target, keep = draw(B, S, C), draw(B, T, C), causal_mask(T, T)
    model(source, target, target_keep=keep)
    with pytest.raises(TypeError, match="keep must be bool"):
        model(source, target, target_keep=keep.double())
    with pytest.raises(ValueError, match=f"keep {shape(T, T)} does not broadcast"):
        model(source, target, memory_keep=keep)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan])
def test_smoothing_that_is_no_share_is_refused(draw, smoothing):
    logits, target = draw(B, V), torch.ones(B, dtype=torch.long)
    label_smoothing_loss(logits, target, 1.0)
    with pytest.raises(ValueError, match=f"smoothing must be from 0 to 1, got {smoothing}"):
        label_smoothing_loss(logits, target, smoothing)


@pytest.mark.parametrize("wrong", [(B, T - 1), (T, B), (B, T, 1), (B,)])
def test_targets_of_other_places_are_refused(draw, wrong):
    logits = draw(B, T, V)
    label_smoothing_loss(logits, torch.ones(B, T, dtype=torch.long))
    with pytest.raises(ValueError, match=f"logits {shape(B, T, V)}, target {shape(*wrong)}"):
        label_smoothing_loss(logits, torch.ones(wrong, dtype=torch.long))


@pytest.mark.parametrize("name", ["step", "width", "warmup_steps"])
@pytest.mark.parametrize("wrong", [0, -3])
def test_step_before_the_first_is_refused(name, wrong):
    right = {"step": 1, "width": 1, "warmup_steps": 1}
    assert warmup_rate(**right) == 1
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {wrong}"):
        warmup_rate(**right | {name: wrong})


def test_negative_length_and_empty_beam_are_refused():
    start, model = torch.tensor([0]), Chain(3)
    beam_search(model, start, 2, 0, 1)
    for search in (greedy_decode, beam_search):
        with pytest.raises(ValueError, match="longest must not be negative, got -1"):
            search(model, start, 2, -1)
    for wrong in (0, -2):
        with pytest.raises(ValueError, match=f"beam_size must be at least 1, got {wrong}"):
            beam_search(model, start, 2, 3, wrong)


def test_hypothesis_without_a_reference_is_refused():
    bleu([["a"]], [[["a"]]])
    for references in ([], [[]], [[["a"]], [["b"]]]):
        with pytest.raises(ValueError, match="every hypothesis needs a reference: 1 hyp"):
            bleu([["a"]], references)


def test_text_that_is_not_cut_into_tokens_is_refused():
    bleu([["a", "b"]], [[["a", "b"]]])
    with pytest.raises(TypeError, match="must be cut into tokens, got one string: 'a b'"):
        bleu(["a b"], [[["a", "b"]]])
    with pytest.raises(TypeError, match="must be cut into tokens, got one string: 'a b'"):
        bleu([["a", "b"]], [["a b"]])
