"""Chapter 5's reference, held to the published models' own code and to values derived by hand."""

import math
import re

import pytest
import torch
from torch.nn import functional as F
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention

from tutor.attention import causal_mask, padding_mask, scaled_dot_product_attention
from tutor.position import (
    LanguageModel,
    alibi_attention,
    alibi_bias,
    alibi_slopes,
    apply_rope,
    convert_rope_layout,
    relative_buckets,
    rope_angles,
    rotary_attention,
    rotary_cross_attention,
    sinusoidal_encoding,
)

B, H, T, D, C = 2, 3, 5, 8, 13
DOUBLE = {"atol": 1e-12, "rtol": 1e-12}
SINGLE = {"atol": 1e-5, "rtol": 1e-5}
LAYOUTS = ["half", "interleaved"]

both_layouts = pytest.mark.parametrize("layout", LAYOUTS)


def shape(*sizes):
    """A shape as an error message shows it, for ``match``."""
    return re.escape(str(sizes))


# Sinusoids


def test_sinusoids_by_hand():
    # theta^(-2i / 4) is 1 and 1/100; sine and cosine alternate.
    expected = [[0.0, 1.0, 0.0, 1.0], [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]]
    actual = sinusoidal_encoding(torch.tensor([0.0, 3.0], dtype=torch.float64), 4)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), **DOUBLE)


def test_sinusoids_are_the_papers_formula():
    positions = torch.arange(40, dtype=torch.float64)
    encoding = sinusoidal_encoding(positions, 10, theta=500.0)
    for i in range(5):
        angle = positions / 500 ** (2 * i / 10)
        torch.testing.assert_close(encoding[:, 2 * i], angle.sin(), **DOUBLE)
        torch.testing.assert_close(encoding[:, 2 * i + 1], angle.cos(), **DOUBLE)


def test_shift_of_a_sinusoid_is_a_rotation_that_does_not_depend_on_the_position():
    positions = torch.arange(50, dtype=torch.float64)
    near, far = sinusoidal_encoding(positions, D), sinusoidal_encoding(positions + 7, D)
    angle = rope_angles(torch.tensor([7]), D, 10000.0)[0]
    blocks = [torch.tensor([[a.cos(), a.sin()], [-a.sin(), a.cos()]]) for a in angle]
    rotation = torch.block_diag(*blocks).double()
    torch.testing.assert_close(near @ rotation.mT, far, atol=1e-6, rtol=1e-6)


def test_products_of_sinusoids_depend_on_the_distance_alone():
    encoding = sinusoidal_encoding(torch.arange(30, dtype=torch.float64), 32)
    products = encoding @ encoding.mT
    torch.testing.assert_close(products[:-1, :-1], products[1:, 1:], **DOUBLE)


def test_encoding_has_the_shape_and_the_dtype_of_the_positions():
    assert sinusoidal_encoding(torch.zeros(B, T, dtype=torch.int32), D).shape == (B, T, D)
    assert sinusoidal_encoding(torch.arange(T), D).dtype == torch.float32
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert sinusoidal_encoding(torch.ones(T, dtype=dtype), D).dtype == dtype


def test_large_positions_keep_their_precision_in_single():
    position = 10_000_019
    encoding = sinusoidal_encoding(torch.tensor([position]), 64)[0]
    angles = [position * 10000 ** (-2 * i / 64) for i in range(32)]
    expected = torch.tensor([f(a) for a in angles for f in (math.sin, math.cos)])
    torch.testing.assert_close(encoding, expected, atol=1e-6, rtol=1e-6)


# RoPE


def test_rope_by_hand():
    # A quarter turn takes (1, 0) to (0, 1) and (0, 1) to (-1, 0).
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    quarter = torch.tensor([math.pi / 2, math.pi / 2], dtype=torch.float64)
    expected = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    for layout in LAYOUTS:  # one pair is the same in both
        torch.testing.assert_close(apply_rope(x, quarter, layout=layout), expected, **DOUBLE)


def test_layouts_pair_other_features():
    # Position 1 turns the first pair by 1 and the second by 1/100.
    x = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    one = torch.tensor([1])
    near, far = [math.cos(1), math.sin(1)], 0.0
    assert apply_rope(x, one, layout="interleaved")[0].tolist() == pytest.approx([*near, far, far])
    assert apply_rope(x, one)[0].tolist() == pytest.approx([near[0], far, near[1], far])


@pytest.mark.parametrize("theta", [10000.0, 500000.0])
def test_half_layout_is_that_of_llama(draw, theta):
    config = LlamaConfig(
        hidden_size=H * 16,
        num_attention_heads=H,
        head_dim=16,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )
    q, k = draw(B, H, T, 16, dtype=torch.float32), draw(B, H, T, 16, dtype=torch.float32)
    positions = torch.stack((torch.arange(T), torch.arange(T) + 60))
    cos, sin = LlamaRotaryEmbedding(config)(q, positions)
    for x, expected in zip((q, k), apply_rotary_pos_emb(q, k, cos, sin), strict=True):
        torch.testing.assert_close(apply_rope(x, positions[:, None], theta), expected, **SINGLE)


def test_interleaved_layout_is_the_papers_complex_product(draw):
    x, positions = draw(B, H, T, D), torch.tensor([0, 3, 1, 1000, 7])
    frequencies = 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    turn = torch.polar(torch.ones(T, D // 2).double(), positions[:, None] * frequencies)
    product = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * turn
    expected = torch.view_as_real(product).flatten(-2)
    actual = apply_rope(x, positions, layout="interleaved")
    torch.testing.assert_close(actual, expected, **DOUBLE)


@both_layouts
def test_scores_after_rope_depend_on_the_distance_alone(draw, layout):
    q, k = draw(B, T, D), draw(B, T, D)
    positions = torch.arange(T)

    def scores(shift):
        return apply_rope(q, positions + shift, layout=layout) @ (
            apply_rope(k, positions + shift, layout=layout).mT
        )

    torch.testing.assert_close(scores(0), scores(1234), atol=1e-10, rtol=1e-10)
    moved = apply_rope(q, positions + 1, layout=layout) @ apply_rope(k, positions, layout=layout).mT
    assert (moved - scores(0)).abs().max() > 0.1


@both_layouts
def test_rope_changes_no_length_and_position_zero_nothing(draw, layout):
    x = draw(B, T, D)
    turned = apply_rope(x, torch.arange(T) * 17, layout=layout)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), **DOUBLE)
    assert torch.equal(turned[:, 0], x[:, 0])


@both_layouts
def test_rope_of_several_batches_uses_each_ones_positions(draw, layout):
    x, positions = draw(B, H, T, D), torch.randint(0, 99, (B, 1, T))
    together = apply_rope(x, positions, layout=layout)
    for b in range(B):
        alone = apply_rope(x[b, 2], positions[b, 0], layout=layout)
        torch.testing.assert_close(together[b, 2], alone, **DOUBLE)


@both_layouts
def test_rope_gradient_is_right(draw, layout):
    x = draw(B, T, D).requires_grad_()
    positions = torch.tensor([4, 0, 9, 1, 1])
    assert torch.autograd.gradcheck(lambda x: apply_rope(x, positions, layout=layout), (x,))


# Layouts


def test_conversion_by_hand():
    w = torch.arange(12.0)  # two heads of six
    assert convert_rope_layout(w, 2, "half").tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    assert convert_rope_layout(w, 2, "interleaved").tolist() == [
        *(0, 3, 1, 4, 2, 5),
        *(6, 9, 7, 10, 8, 11),
    ]


def test_conversion_and_back_changes_nothing(draw):
    w = draw(H * D, C)
    for to, back in (LAYOUTS, LAYOUTS[::-1]):
        assert torch.equal(convert_rope_layout(convert_rope_layout(w, H, to), H, back), w)


@pytest.mark.parametrize(("own", "other"), [LAYOUTS, LAYOUTS[::-1]])
def test_converted_projections_in_the_other_layout_give_the_same_scores(draw, own, other):
    x, w_q, w_k = draw(B, T, C), draw(H * D, C), draw(H * D, C)
    positions = torch.arange(T) + 3

    def scores(w_q, w_k, layout):
        q, k = (F.linear(x, w).unflatten(-1, (H, D)).transpose(1, 2) for w in (w_q, w_k))
        return apply_rope(q, positions, layout=layout) @ apply_rope(k, positions, layout=layout).mT

    before = scores(w_q, w_k, own)
    converted = (convert_rope_layout(w, H, other) for w in (w_q, w_k))
    torch.testing.assert_close(scores(*converted, other), before, **DOUBLE)
    assert (scores(w_q, w_k, other) - before).abs().max() > 0.1


# Relative buckets


def test_buckets_by_hand():
    # Four a direction, two of them exact; the third ends where (d / 2)² is 4, at distance 4.
    distances = torch.tensor([0, -1, -2, -3, -4, -7, -8, -99, 1, 2, 4, 99])
    expected = [0, 1, 2, 2, 3, 3, 3, 3, 5, 6, 7, 7]
    assert relative_buckets(distances, True, 8, 8).tolist() == expected
    causal = [0, 1, 2, 3, 4, 7, 7, 7, 0, 0, 0, 0]
    assert relative_buckets(distances, False, 8, 8).tolist() == causal


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_buckets", [4, 6, 10, 16, 32, 64])
@pytest.mark.parametrize("max_distance", [33, 64, 128, 200, 1024])
def test_buckets_are_those_of_t5(bidirectional, num_buckets, max_distance):
    distances = torch.arange(-3000, 3001)
    arguments = (distances, bidirectional, num_buckets, max_distance)
    expected = T5Attention._relative_position_bucket(*arguments)
    assert torch.equal(relative_buckets(*arguments), expected)


def test_buckets_by_default_are_those_of_t5():
    distances = torch.arange(-200, 200).view(20, 20)
    assert torch.equal(
        relative_buckets(distances), T5Attention._relative_position_bucket(distances)
    )


# ALiBi


def test_slopes_by_hand():
    assert alibi_slopes(4).tolist() == [1 / 4, 1 / 16, 1 / 64, 1 / 256]
    between = [2**-1.0, 2**-3.0]  # every other one of eight heads, from the first
    assert alibi_slopes(6).tolist() == pytest.approx([1 / 4, 1 / 16, 1 / 64, 1 / 256, *between])


@pytest.mark.parametrize("num_heads", range(1, 41))
def test_slopes_are_those_of_bloom(num_heads):
    ones = torch.ones(1, 2)
    published = build_alibi_tensor(ones, num_heads, torch.float32)[:, 0, 1]
    torch.testing.assert_close(alibi_slopes(num_heads), published, atol=1e-7, rtol=1e-6)


def test_bias_by_hand():
    assert alibi_bias(1, 2, 3).tolist() == [
        [[-1 / 256, 0, -1 / 256], [-2 / 256, -1 / 256, 0]],
    ]


def test_bias_depends_on_the_distance_alone():
    bias = alibi_bias(H, 9, 9)
    assert torch.equal(bias[:, 1:, 1:], bias[:, :-1, :-1])
    assert torch.equal(alibi_bias(H, 2, 9), bias[:, -2:])


def test_bias_behind_a_causal_mask_gives_the_weights_of_bloom(draw):
    scores = draw(4, 6, 6, dtype=torch.float32)
    hidden = torch.where(causal_mask(6, 6), 0.0, -torch.inf)
    published = build_alibi_tensor(torch.ones(1, 6), 4, torch.float32)
    ours, theirs = scores + alibi_bias(4, 6, 6) + hidden, scores + published + hidden
    torch.testing.assert_close(ours.softmax(-1), theirs.softmax(-1), **SINGLE)


# Attention


def test_rotary_attention_turns_queries_and_keys_and_not_values(draw):
    q, k, v = draw(B, H, T, D), draw(B, H, T, D), draw(B, H, T, C)
    places, keep = torch.arange(T), causal_mask(T, T)
    expected = F.scaled_dot_product_attention(apply_rope(q, places), apply_rope(k, places), v, keep)
    torch.testing.assert_close(rotary_attention(q, k, v, keep), expected, **DOUBLE)


def test_rotary_attention_across_does_not_depend_on_how_far_the_others_are_written(draw):
    q, k, v = draw(B, H, T, D), draw(B, H, T + 2, D), draw(B, H, T + 2, C)
    keep = padding_mask(torch.full((B,), T), T + 2)[:, None]  # the last two are padding
    whole = rotary_cross_attention(q, k, v, keep)
    torch.testing.assert_close(
        rotary_cross_attention(q, k[..., :T, :], v[..., :T, :]), whole, **DOUBLE
    )
    first = rotary_cross_attention(q[..., :2, :], k, v, keep)
    torch.testing.assert_close(first, whole[..., :2, :], **DOUBLE)
    asked, places = torch.arange(T), torch.arange(T + 2)
    expected = F.scaled_dot_product_attention(
        apply_rope(q, asked), apply_rope(k, places), v, keep.expand(B, H, T, T + 2)
    )
    torch.testing.assert_close(whole, expected, **DOUBLE)


@pytest.mark.parametrize("attention", [rotary_attention, alibi_attention])
def test_newest_queries_get_what_they_get_among_all(draw, attention):
    q, k, v = draw(B, H, T, D), draw(B, H, T, D), draw(B, H, T, C)
    whole = attention(q, k, v, causal_mask(T, T))
    newest = attention(q[..., -2:, :], k, v, causal_mask(2, T))
    torch.testing.assert_close(newest, whole[..., -2:, :], **DOUBLE)


@pytest.mark.parametrize("masked", [False, True])
def test_alibi_attention_is_that_of_torch_with_a_bias(draw, masked):
    q, k, v = draw(B, H, 3, D), draw(B, H, T, D), draw(B, H, T, C)
    keep = causal_mask(3, T) if masked else None
    bias = alibi_bias(H, 3, T).double()
    if masked:
        bias = bias.masked_fill(~keep, -torch.inf)
    expected = F.scaled_dot_product_attention(q, k, v, bias.expand(B, H, 3, T))
    torch.testing.assert_close(alibi_attention(q, k, v, keep), expected, **DOUBLE)


@pytest.mark.parametrize(
    "attention", [scaled_dot_product_attention, rotary_attention, alibi_attention]
)
def test_query_that_may_read_nothing_gets_zeros(draw, attention):
    q, k, v = draw(B, H, T, D), draw(B, H, T, D), draw(B, H, T, C)
    keep = causal_mask(T, T).clone()
    keep[2] = False
    assert not attention(q, k, v, keep)[..., 2, :].any()


# The language model


@pytest.mark.parametrize("encoding", ["none", "sinusoidal", "learned", "rope", "alibi"])
def test_language_model_reads_no_future_and_more_than_it_was_trained_on(encoding):
    torch.manual_seed(5)
    model = LanguageModel(11, encoding, width=16, trained_length=4)
    symbols = torch.randint(0, 11, (B, 9))
    scores = model(symbols)
    symbols[:, 6:] = (symbols[:, 6:] + 1) % 11
    assert scores.shape == (B, 9, 11)
    torch.testing.assert_close(model(symbols)[:, :6], scores[:, :6], **SINGLE)


@pytest.mark.parametrize("encoding", ["sinusoidal", "learned", "rope", "alibi"])
def test_every_encoding_tells_the_model_the_order_of_what_it_reads(encoding):
    torch.manual_seed(5)
    symbols, swapped = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 1, 3]])
    one_layer = {"width": 16, "num_layers": 1}
    without = LanguageModel(11, "none", **one_layer)
    torch.testing.assert_close(without(symbols)[:, 2], without(swapped)[:, 2], **SINGLE)
    model = LanguageModel(11, encoding, **one_layer)
    assert (model(symbols)[:, 2] - model(swapped)[:, 2]).abs().max() > 1e-4


# Types and devices


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_is_kept(draw, dtype):
    x, positions = draw(B, H, T, D, dtype=dtype), torch.arange(T)
    answers = [apply_rope(x, positions, layout=layout) for layout in LAYOUTS]
    answers += [convert_rope_layout(x[0, 0].mT, 2, layout) for layout in LAYOUTS]
    for keep in (None, causal_mask(T, T)):
        answers += [rotary_attention(x, x, x, keep), alibi_attention(x, x, x, keep)]
    assert {a.dtype for a in answers} == {dtype}
    assert all(a.isfinite().all() for a in answers)


def test_answers_are_made_where_they_are_asked_for():
    places, x = torch.arange(T, device="meta"), torch.zeros(B, T, D, device="meta")
    answers = [
        sinusoidal_encoding(places, D),
        apply_rope(x, places),
        relative_buckets(places),
        alibi_slopes(6, device="meta"),
        alibi_bias(6, 2, 3, device="meta"),
        rotary_attention(x, x, x),
    ]
    assert all(a.is_meta for a in answers)


# Bad input: a call that must raise stands beside one that must not. `tests.mutants` relies on the
# word "refused" in these names.


@pytest.mark.parametrize("width", [7, -2])
def test_width_that_makes_no_pairs_is_refused(width):
    sinusoidal_encoding(torch.arange(T), 6)
    for function in (rope_angles, sinusoidal_encoding):
        with pytest.raises(ValueError, match=f"width must be even, .*, got {width}"):
            function(torch.arange(T), width, 10000.0)


@pytest.mark.parametrize("theta", [0.0, -1.0, math.nan])
def test_theta_that_is_not_positive_is_refused(draw, theta):
    with pytest.raises(ValueError, match=f"theta must be positive, got {theta}"):
        apply_rope(draw(T, D), torch.arange(T), theta)


def test_unknown_layout_is_refused(draw):
    with pytest.raises(ValueError, match='layout must be "interleaved" or "half", got \'neox\''):
        apply_rope(draw(T, D), torch.arange(T), layout="neox")
    with pytest.raises(ValueError, match=r"layout must be .*, got 'neox'"):
        convert_rope_layout(draw(H * D, C), H, "neox")


@pytest.mark.parametrize("wrong", [(T + 1,), (1,), (), (4, B, T), (3, T)])
def test_positions_that_do_not_fit_are_refused(draw, wrong):
    apply_rope(draw(B, T, D), torch.zeros(B, T, dtype=torch.int64))
    message = f"x {shape(B, T, D)}, positions {shape(*wrong)}"
    with pytest.raises(ValueError, match=message):
        apply_rope(draw(B, T, D), torch.zeros(wrong, dtype=torch.int64))


def test_rows_that_are_no_heads_of_pairs_are_refused(draw):
    convert_rope_layout(draw(12, C), 2, "half")
    for rows, num_heads in ((12, 5), (6, 2)):
        message = rf"num_heads \({num_heads}\) times an even width: w {shape(rows, C)}"
        with pytest.raises(ValueError, match=message):
            convert_rope_layout(draw(rows, C), num_heads, "half")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((True, 7, 64), "must be even, for two directions, got 7"),
        ((True, 2, 64), "needs at least two buckets, got 1"),
        ((False, 1, 64), "needs at least two buckets, got 1"),
        ((True, 32, 8), r"max_distance \(8\) must exceed 8 exact"),
        ((False, 32, 16), r"max_distance \(16\) must exceed 16 exact"),
    ],
)
def test_buckets_that_cannot_be_are_refused(arguments, message):
    relative_buckets(torch.arange(T), False, 7, 64)
    with pytest.raises(ValueError, match=message):
        relative_buckets(torch.arange(T), *arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_distances_that_are_no_integers_are_refused(dtype):
    with pytest.raises(TypeError, match=f"distances must be integers, got {dtype}"):
        relative_buckets(torch.zeros(T, dtype=dtype))


def test_no_heads_are_refused():
    for call in (lambda: alibi_slopes(0), lambda: alibi_bias(0, 2, 3)):
        with pytest.raises(ValueError, match="num_heads must be at least 1, got 0"):
            call()
    with pytest.raises(ValueError, match="num_heads must be at least 1, got 0"):
        convert_rope_layout(torch.zeros(4, 4), 0, "half")


def test_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match=r"encoding must be one of none, .*, got 'fourier'"):
        LanguageModel(11, "fourier")
