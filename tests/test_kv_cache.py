"""The cache: what it gives is held to the model without it, what it costs to torch's counter."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.families import gpt2, sample
from tutor.kv_cache import (
    KVCache,
    RollingCache,
    chunked_prefill,
    decode_flops,
    decode_step,
    generate,
    kv_cache_bytes,
    stream,
)
from tutor.multihead import MultiHeadAttention
from tutor.position import apply_rope

V = 41


# The layer


def _layer(heads=6, groups=2, width=10, d=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shapes = (width, heads * d), (width, groups * d), (width, groups * d), (heads * d, width)
    return [torch.randn(s, generator=draw, dtype=torch.float64) / s[0] ** 0.5 for s in shapes]


def _whole(x, w_q, w_k, w_v, w_out, heads, theta=10_000.0):
    """Chapter 4's layer with chapter 5's rotation, everything at once."""
    width, d = x.shape[-1], w_q.shape[1] // heads
    groups = w_k.shape[1] // d
    places = torch.arange(x.shape[1])

    def split(t, number):
        return t.unflatten(-1, (number, d)).transpose(1, 2)

    q, k = (apply_rope(split(x @ w, n), places, theta) for w, n in ((w_q, heads), (w_k, groups)))
    v = split(x @ w_v, groups)
    k, v = (t.repeat_interleave(heads // groups, 1) for t in (k, v))
    keep = causal_mask(len(places), len(places))
    out = scaled_dot_product_attention(q, k, v, keep)
    assert width == w_out.shape[1]
    return out.transpose(1, 2).flatten(2) @ w_out


@given(st.integers(1, 15), st.integers(1, 18))
def test_any_chunk_gives_what_everything_at_once_gives(length, chunk):
    x = torch.randn(2, length, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = _layer()
    answers, keys, values = chunked_prefill(x, *weights, 6, chunk, theta=100.0)
    torch.testing.assert_close(answers, _whole(x, *weights, 6, theta=100.0), rtol=0, atol=1e-12)
    assert keys.shape == values.shape == (2, 2, length, 4)
    torch.testing.assert_close(values[:, 1], (x @ weights[2])[..., 4:], rtol=0, atol=1e-12)


def test_token_after_token_gives_what_everything_at_once_gives():
    """Rows of unequal pasts, and numbers left over behind them."""
    x = torch.randn(3, 12, 10, dtype=torch.float64)
    weights, lengths = _layer(), torch.tensor([11, 4, 0])
    wanted = _whole(x, *weights, 6)
    keys, values = (torch.full((3, 2, 15, 4), 50.0, dtype=torch.float64) for _ in range(2))
    for b, length in enumerate(lengths.tolist()):
        if length:
            past = chunked_prefill(x[b : b + 1, :length], *weights, 6, chunk=5)
            keys[b, :, :length], values[b, :, :length] = past[1][0], past[2][0]
    token = x[torch.arange(3), lengths][:, None]
    answer, k, v = decode_step(token, keys, values, lengths, *weights, 6)
    torch.testing.assert_close(answer[:, 0], wanted[torch.arange(3), lengths], rtol=0, atol=1e-12)
    longer = chunked_prefill(x[:1], *weights, 6, chunk=12)
    torch.testing.assert_close(k[0, :, 0], longer[1][0, :, 11], rtol=0, atol=1e-12)
    torch.testing.assert_close(v[0, :, 0], longer[2][0, :, 11], rtol=0, atol=1e-12)


def test_decode_step_by_hand():
    """Scores of 0 for the one that is there and of ln 3 for the token itself: shares of 1/4 and
    3/4. Query and key turn by the same angle, and so their product does not change."""
    x = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    w_k = eye * 2**0.5 * torch.tensor(3.0).double().log()
    keys = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    values = torch.tensor([[[[8.0, 4.0]]]], dtype=torch.float64)
    answer, _, v = decode_step(x, keys, values, torch.tensor([1]), eye, w_k, eye, eye, 1)
    assert torch.equal(v[0], x)
    wanted = torch.tensor([[[8 / 4 + 3 / 4, 4 / 4]]], dtype=torch.float64)
    torch.testing.assert_close(answer, wanted, rtol=0, atol=1e-12)


def test_what_a_layer_cannot_read_is_refused():
    weights = _layer()
    x, keys = torch.zeros(2, 1, 10).double(), torch.zeros(2, 2, 5, 4).double()
    lengths = torch.tensor([0, 5])
    assert decode_step(x, keys, keys, lengths, *weights, 6)[0].shape == (2, 1, 10)
    with pytest.raises(ValueError, match=r"one token a row, \(B, 1, C\), got \(2, 3, 10\)"):
        decode_step(x.expand(2, 3, 10), keys, keys, lengths, *weights, 6)
    with pytest.raises(ValueError, match=r"one token a row, \(B, 1, C\), got \(2, 10\)"):
        decode_step(x[:, 0], keys, keys, lengths, *weights, 6)
    for heads in (3, 0, -2):
        with pytest.raises(ValueError, match=rf"2 key heads must divide num_heads \({heads}\)"):
            decode_step(x, keys, keys, lengths, *weights, heads)
    for heads in (5, 0, -6):
        with pytest.raises(ValueError, match=rf"num_heads \({heads}\) must divide width \(24\)"):
            chunked_prefill(x, *weights, heads, chunk=1)
    with pytest.raises(ValueError, match="at least one token, got 0"):
        chunked_prefill(x, *weights, 6, chunk=0)


def _flops(function, *args, **kwargs):
    with FlopCounterMode(display=False) as counter:
        function(*args, **kwargs)
    return counter.get_total_flops()


def test_step_costs_a_constant_and_a_multiple_of_the_past():
    weights, x = _layer(), torch.zeros(1, 1, 10).double()

    def step(past):
        keys = torch.zeros(1, 2, past, 4).double()
        return _flops(decode_step, x, keys, keys, torch.tensor([past]), *weights, 6)

    costs = [step(past) for past in (10, 20, 40)]
    assert costs[2] - costs[1] == 2 * (costs[1] - costs[0]) == 2 * 4 * 24 * 10
    assert costs[0] == 2 * 10 * (24 + 8 + 8 + 24) + 4 * 24 * 11


# The caches


def test_cache_gives_all_that_was_written_from_memory_made_once():
    cache = KVCache(2, 3, 10, 4, torch.float64)
    places = cache.keys.data_ptr(), cache.values.data_ptr()
    k, v = torch.randn(2, 2, 3, 9, 4, dtype=torch.float64)
    for start, end in ((0, 4), (4, 5), (5, 9)):
        keys, values = cache.update(k[:, :, start:end], v[:, :, start:end])
        assert torch.equal(keys, k[:, :, :end])
        assert torch.equal(values, v[:, :, :end])
        assert (keys.data_ptr(), values.data_ptr()) == places
    cache.reset()
    assert cache.length == 0
    assert not cache.keys.any()
    assert not cache.values.any()
    assert (cache.keys.data_ptr(), cache.values.data_ptr()) == places


@pytest.mark.parametrize("kind", [KVCache, RollingCache])
def test_cache_keeps_numbers_and_not_the_callers_tensors(kind):
    cache, k = kind(1, 1, 4, 2), torch.ones(1, 1, 2, 2)
    keys = cache.update(k, k)[0]
    k.fill_(7)
    assert keys.unique().tolist() == [1]


def test_more_tokens_than_fit_are_refused_and_none_is_written():
    cache, k = KVCache(1, 1, 10, 2), torch.ones(1, 1, 9, 2)
    cache.update(k, k)
    with pytest.raises(ValueError, match="2 tokens behind 9 are more than the 10 that fit"):
        cache.update(k[:, :, :2], k[:, :, :2])
    assert cache.length == 9
    assert not cache.keys[:, :, 9:].any()
    cache.update(k[:, :, :1], k[:, :, :1])
    assert cache.length == 10


@pytest.mark.parametrize("kind", [KVCache, RollingCache])
def test_shapes_other_than_the_caches_are_refused(kind):
    cache, k = kind(2, 3, 4, 5), torch.ones(2, 3, 2, 5)
    for other in (k[:1], k[:, :1], k[:, :, :1], k[..., :1]):
        with pytest.raises(ValueError, match=r"B, G, D = 2, 3, 5, got \(2, 3, 2, 5\) and"):
            cache.update(k, other)
    for other in (k[:1], k[:, :1], k[..., :1], k[:, :, 0]):
        with pytest.raises(ValueError, match=r"B, G, D = 2, 3, 5, got"):
            cache.update(other, other)
    assert cache.length == 0
    cache.update(k, k)
    assert cache.length == 2


@given(st.integers(1, 6), st.lists(st.integers(1, 9), max_size=8))
def test_rolling_cache_holds_the_newest_each_at_its_place(window, pieces):
    cache = RollingCache(1, 2, window, 3)
    k = torch.randn(1, 2, sum(pieces), 3)
    place, end = cache.keys.data_ptr(), 0
    for piece in pieces:
        start, end = end, end + piece
        keys, values, positions = cache.update(k[:, :, start:end], -k[:, :, start:end])
        assert cache.length == end
        assert sorted(positions.tolist()) == list(range(max(0, end - window), end))
        assert torch.equal(keys, k[:, :, positions])
        assert torch.equal(values, -keys)
        assert all(p % window == i for i, p in enumerate(positions.tolist()))
        assert cache.keys.data_ptr() == place
    cache.reset()
    assert cache.positions.tolist() == [-1] * window


# What it costs


def test_bytes_of_published_models():
    """SmolLM2: 2 · 30 · 3 · 64 · 2 = 23,040 a token; Llama 3 70B, 80 layers of 8 key heads of 128:
    327,680 a token, 2.5 GiB at 8,192, 40 GiB at 131,072."""
    assert kv_cache_bytes(30, 576, 9, 3, 1) == 23_040
    assert kv_cache_bytes(80, 8192, 64, 8, 1) == 327_680
    assert kv_cache_bytes(80, 8192, 64, 8, 8192) == 2.5 * 2**30
    assert kv_cache_bytes(80, 8192, 64, 8, 131_072) == 40 * 2**30
    assert kv_cache_bytes(3, 42, 6, 2, 11, 5, torch.float32) == 2 * 3 * 2 * 7 * 11 * 5 * 4


def test_sizes_that_no_model_has_are_refused():
    assert kv_cache_bytes(3, 42, 6, 2, 0) == 0
    with pytest.raises(ValueError, match="no size may be negative"):
        kv_cache_bytes(3, 42, 6, 2, -1)
    with pytest.raises(ValueError, match=r"num_heads \(5\) must divide width \(42\)"):
        kv_cache_bytes(3, 42, 5, 2, 1)


def test_flops_by_hand():
    """112 weights in a layer, each a product and a sum; a query and four keys of width 4, and as
    much for the values; 20 weights of the readout. Without a cache four tokens go through."""
    sizes = {"width": 4, "num_heads": 2, "hidden_width": 6, "vocabulary": 5}
    config = gpt2(num_decoder_layers=1, max_length=9, **sizes)
    assert decode_flops(config, 3) == 2 * 112 + 2 * 2 * 4 * 4 + 2 * 20
    assert decode_flops(config, 3, cached=False) == 4 * (2 * 112 + 2 * 2 * 4 * 4) + 2 * 20


# Writing


class Counting(nn.Module):
    """After token n comes n + row + 1, as far as the tokens go; it keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, tokens, rows):
        self.calls.append((tokens.tolist(), rows.tolist()))
        following = (tokens[:, -1] + rows + 1).clamp(max=V - 1)
        return 50.0 * nn.functional.one_hot(following, V).double()


def test_each_token_is_given_once_and_rows_end_one_after_another():
    model = Counting()
    prompts = [torch.tensor([9, 1]), torch.tensor([2]), torch.tensor([8, 7, 3])]
    written, lengths = generate(model, prompts, torch.full((3, 6), 0.5), torch.tensor([4, 9]))
    assert written.tolist() == [[2, 3, 4], [4, 4, 4], [6, 9, 9]]
    assert lengths.tolist() == [3, 1, 2]
    assert model.calls[:3] == [([[9, 1]], [0]), ([[2]], [1]), ([[8, 7, 3]], [2])]
    together = [([[2], [4], [6]], [0, 1, 2]), ([[3], [4], [9]], [0, 1, 2])]
    assert model.calls[3:] == together


def test_nothing_is_asked_that_is_not_used():
    model, stop = Counting(), torch.tensor([40])
    written, lengths = generate(model, [torch.tensor([3])], torch.full((1, 2), 0.5), stop)
    assert written.tolist() == [[4, 5]]
    assert len(model.calls) == 2
    written, lengths = generate(model, [torch.tensor([3])], torch.zeros(1, 0), stop)
    assert written.shape == (1, 0)
    assert lengths.tolist() == [0]
    assert len(model.calls) == 2


def test_stream_tells_each_token_as_soon_as_it_is_known():
    model = Counting()
    told = stream(model, [torch.tensor([3])], torch.full((1, 9), 0.5), torch.tensor([6]))
    assert next(told)[0].tolist() == [4]
    assert len(model.calls) == 1
    assert [newest.tolist() for newest, _ in told] == [[5], [6]]


def test_tokens_are_drawn_as_sample_draws_them():
    table = torch.randn(V, V, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def model(tokens, rows):
        return table[tokens[:, -1]]

    chances = torch.rand(2, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cuts = (0.8, 10, 0.9)
    never = torch.tensor([], dtype=torch.int64)
    written, _ = generate(model, [torch.tensor([1]), torch.tensor([5])], chances, never, *cuts)
    for row, first in enumerate((1, 5)):
        for step in range(5):
            wanted = sample(table[first], chances[row, step], *cuts)
            assert written[row, step] == wanted
            first = wanted


def test_prompts_that_do_not_fit_are_refused():
    one = torch.tensor([1])
    assert generate(Counting(), [one, one], torch.zeros(2, 3), one)[0].shape == (2, 3)
    for count in (1, 3):
        with pytest.raises(ValueError, match=rf"2 rows of chances .* \[1{', 1' * (count - 1)}\]"):
            generate(Counting(), [one] * count, torch.zeros(2, 3), one)
    with pytest.raises(ValueError, match=r"got lengths \[1, 0\]"):
        generate(Counting(), [one, one[:0]], torch.zeros(2, 3), one)


def test_model_without_grouping_repeats_nothing():
    """The heads of a group ask the same keys: as chapter 4's layer, which repeats them."""
    layer = MultiHeadAttention(24, 6, num_kv_heads=2).double()
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    w_q, w_k, w_v = (w.mT for w in (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight))
    # At position 0 nothing turns: one token alone.
    w_out = layer.out_proj.weight.mT
    got, *_ = chunked_prefill(x[:, :1], w_q, w_k, w_v, w_out, 6, 1)
    torch.testing.assert_close(got, layer(x[:, :1]), rtol=0, atol=1e-12)
