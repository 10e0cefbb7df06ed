"""The cache: what it gives is held to the model without it, what it costs to torch's counter."""

import functools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tutor.attention import causal_mask, scaled_dot_product_attention
from tutor.families import FamilyModel, bart, gpt2, llama, renamed, sample, t5
from tutor.kv_cache import (
    CachedModel,
    KVCache,
    RollingCache,
    chunked_prefill,
    decode_flops,
    decode_step,
    generate,
    kv_cache_bytes,
    stored_for_decoding,
    stream,
)
from tutor.multihead import MultiHeadAttention
from tutor.position import apply_rope

V, LENGTH = 41, 40
LENGTHS = torch.tensor([9, 5, 1])
SIZES = {"vocabulary": V, "max_length": LENGTH, "hidden_width": 20}
STACKS = {"num_encoder_layers": 2, "num_decoder_layers": 3}
CONFIGS = {
    "GPT-2": gpt2(num_decoder_layers=3, width=18, num_heads=3, **SIZES),
    "LLaMA": llama(num_decoder_layers=3, width=18, num_heads=3, **SIZES),
    "LLaMA, grouped": llama(num_decoder_layers=3, width=36, num_heads=6, num_kv_heads=2, **SIZES),
    "LLaMA, one key head": llama(
        num_decoder_layers=2, width=18, num_heads=3, num_kv_heads=1, **SIZES
    ),
    "T5": t5(width=18, num_heads=3, num_buckets=8, max_distance=20, **STACKS, **SIZES),
    "BART": bart(width=18, num_heads=3, **STACKS, **SIZES),
}
BOTH = ("T5", "BART")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@functools.cache
def _model(name):
    """Random weights, far from those that a model begins with."""
    draw = torch.Generator().manual_seed(len(name))
    model = FamilyModel(CONFIGS[name]).double().eval().requires_grad_(False)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
        parameter += (0.15 if parameter.ndim > 1 else 0.1) * noise
    return model


def _tokens(*shape, seed=0):
    return torch.randint(3, V, shape, generator=torch.Generator().manual_seed(seed))


def _source(name):
    """What a model with an encoder reads: three texts of unequal lengths, with padding."""
    if name not in BOTH:
        return {}
    return {"source": _tokens(3, 9, seed=7), "lengths": LENGTHS}


def _uncached(name, written):
    model = _model(name)
    if name not in BOTH:
        return model(written)
    source = _source(name)
    return model(source["source"], source["lengths"], written)


@pytest.fixture(params=[torch.float64, torch.float32], ids=["double", "single"])
def dtype(request):
    yield request.param
    for name in CONFIGS:
        _model(name).double()


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


def test_layer_refuses_what_it_cannot_read():
    weights = _layer()
    x, keys = torch.zeros(2, 1, 10).double(), torch.zeros(2, 2, 5, 4).double()
    lengths = torch.tensor([0, 5])
    assert decode_step(x, keys, keys, lengths, *weights, 6)[0].shape == (2, 1, 10)
    with pytest.raises(ValueError, match=r"one token a row, \(B, 1, C\), got \(2, 3, 10\)"):
        decode_step(x.expand(2, 3, 10), keys, keys, lengths, *weights, 6)
    with pytest.raises(ValueError, match=r"2 key heads must divide num_heads \(3\)"):
        decode_step(x, keys, keys, lengths, *weights, 3)
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
    with pytest.raises(ValueError, match="2 tokens behind 9 are more than the 10 that fit"):
        cache.update(k[:, :, :2], v[:, :, :2])
    assert cache.length == 9
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
    with pytest.raises(ValueError, match=r"B, G, D = 1, 1, 2, got \(1, 2, 2, 2\)"):
        cache.update(k.expand(1, 2, 2, 2), k.expand(1, 2, 2, 2))


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


# The models


@pytest.mark.parametrize("name", CONFIGS)
def test_cached_logits_are_those_without_a_cache_at_every_step(name, dtype):
    written = _tokens(3, 14)
    model, rows = _model(name).to(dtype), torch.arange(3)
    wanted = _uncached(name, written)
    cached = CachedModel(model, LENGTH, **_source(name))
    got = [cached.read(written[:, :5], rows)]
    got += [cached.read(token, rows) for token in written[:, 5:].split(1, 1)]
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(torch.cat(got, 1), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_logits_do_not_depend_on_the_chunks(name, chunks):
    written = _tokens(3, sum(chunks))
    cached = CachedModel(_model(name), LENGTH, **_source(name))
    got = [cached.read(piece, torch.arange(3)) for piece in written.split(chunks, 1)]
    wanted = _uncached(name, written)
    torch.testing.assert_close(torch.cat(got, 1), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CONFIGS)
def test_prompts_of_unequal_lengths_are_written_on_as_each_alone(name, dtype):
    """Read one by one, and then together; the empty places that this leaves are not read."""
    model, lengths = _model(name).to(dtype), (7, 2, 4)
    texts = [_tokens(n + 5, seed=n) for n in lengths]
    cached = CachedModel(model, LENGTH, **_source(name))
    for b, (text, n) in enumerate(zip(texts, lengths, strict=True)):
        for piece in text[:n].split(3):
            cached.read(piece[None], torch.tensor([b]))
    newest = torch.stack([t[n:] for t, n in zip(texts, lengths, strict=True)])
    got = torch.cat(
        [cached.read(token, torch.arange(3)) for token in newest.split([1, 3, 1], 1)], 1
    )
    tolerance = TOLERANCE[dtype]
    for b, (text, n) in enumerate(zip(texts, lengths, strict=True)):
        wanted = _uncached(name, text.expand(3, -1))[b, n:]
        torch.testing.assert_close(got[b], wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("theirs", ["GPT-2", "LLaMA"])
def test_padded_prompts_give_the_logits_of_hugging_faces_class(side, theirs):
    """There padding is hidden by a mask, and here it never comes in."""
    model, config = _hugging_faces(theirs)
    ours = FamilyModel(config).double().eval()
    ours.load_state_dict(renamed(model.state_dict(), config))
    lengths = (6, 2, 4)
    prompts = [_tokens(n, seed=n) for n in lengths]
    real = torch.stack([torch.arange(6) < n for n in lengths])
    real = real.flip(1) if side == "left" else real
    padded = torch.zeros(3, 6, dtype=torch.int64)
    padded[real] = torch.cat(prompts)
    places = (real.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = model(padded, attention_mask=real.long(), position_ids=places).logits
    cached = CachedModel(ours, LENGTH)
    for b, (text, keep) in enumerate(zip(padded, real, strict=True)):
        got = cached.read(text[keep][None], torch.tensor([b]))[0]
        torch.testing.assert_close(got, logits[b, keep], rtol=1e-5, atol=1e-5)


def _hugging_faces(name):
    torch.manual_seed(5)
    if name == "GPT-2":
        sizes = {"n_positions": LENGTH, "n_embd": 18, "n_layer": 2, "n_head": 3, "n_inner": 20}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=V, **sizes, bos_token_id=0, eos_token_id=2))
        return model.double().eval(), gpt2(num_decoder_layers=2, width=18, num_heads=3, **SIZES)
    sizes = {"hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 6}
    more = {"num_key_value_heads": 2, "intermediate_size": 20, "max_position_embeddings": LENGTH}
    config = LlamaConfig(vocab_size=V, **sizes, **more, bos_token_id=0, eos_token_id=2)
    ours = llama(num_decoder_layers=2, width=36, num_heads=6, num_kv_heads=2, **SIZES)
    return LlamaForCausalLM(config).double().eval(), ours


@pytest.mark.parametrize("theirs", ["GPT-2", "LLaMA"])
def test_greedy_tokens_are_those_that_transformers_generates(theirs):
    model, config = _hugging_faces(theirs)
    for parameter in model.parameters():
        parameter.data *= 3
    ours = FamilyModel(config).double().eval()
    ours.load_state_dict(renamed(model.state_dict(), config))
    prompts = _tokens(3, 6)
    wanted = model.generate(
        prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=20, min_new_tokens=20,
        do_sample=False, pad_token_id=0, eos_token_id=None,
    )[:, 6:]  # fmt: skip
    never = torch.tensor([], dtype=torch.int64)
    got, lengths = generate(
        CachedModel(ours, LENGTH), list(prompts), torch.zeros(3, 20), never, temperature=0
    )
    assert torch.equal(got, wanted)
    assert lengths.tolist() == [20, 20, 20]
    assert len(wanted.unique()) > 3


def test_source_is_read_once():
    model = _model("BART")
    calls = []
    cached = CachedModel(model, LENGTH, **_source("BART"))
    hook = cached.model.encoder.register_forward_hook(lambda *_: calls.append(1))
    for token in _tokens(3, 4).split(1, 1):
        cached.read(token, torch.arange(3))
    hook.remove()
    assert not calls
    with pytest.raises(ValueError, match="BART has an encoder"):
        CachedModel(model, LENGTH)


def _windowed(window):
    def attend(q, k, v, keep=None):
        behind = torch.arange(k.shape[-2] - q.shape[-2], k.shape[-2])[:, None]
        behind = behind - torch.arange(k.shape[-2])
        return scaled_dot_product_attention(q, k, v, keep & (behind < window))

    return attend


@pytest.mark.parametrize("window", [1, 3, 8, 30])
@pytest.mark.parametrize("name", ["GPT-2", "LLaMA, grouped"])
def test_rolling_cache_reads_the_window_and_nothing_else(name, window):
    model, written, rows = _model(name), _tokens(3, 20), torch.arange(3)
    config = replace(CONFIGS[name], attention=_windowed(window))
    whole = FamilyModel(config).double().eval()
    whole.load_state_dict(model.state_dict())
    for chunks in ([1] * 20, [7, 1, 1, 5, 6]):
        cached = CachedModel(model, LENGTH, window=window)
        got = torch.cat([cached.read(p, rows) for p in written.split(chunks, 1)], 1)
        torch.testing.assert_close(got, whole(written), rtol=1e-10, atol=1e-10)
    sizes = 3, model.config.width, model.config.num_heads, model.config.num_kv_heads or 3
    assert cached.nbytes == kv_cache_bytes(*sizes, window, 3, torch.float64)


def test_weights_are_shared_and_the_model_stays_as_it_was():
    model, written = _model("LLaMA, grouped"), _tokens(2, 6)
    before = model(written)
    cached = CachedModel(model, LENGTH)
    cached.read(written, torch.arange(2))
    assert torch.equal(model(written), before)
    mine = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in cached.model.parameters()} == mine


def test_stored_for_decoding_changes_the_memory_and_no_number():
    model = FamilyModel(CONFIGS["GPT-2"])
    before = {name: p.clone() for name, p in model.state_dict().items()}
    assert stored_for_decoding(model) is model
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert model.decoder.layers[0].linear1.weight.mT.is_contiguous()
    assert model.readout.weight is model.decoder_embedding.token.weight


def test_reset_forgets_what_the_rows_have_read():
    cached, written = CachedModel(_model("GPT-2"), LENGTH), _tokens(2, 6)
    first = cached.read(written, torch.arange(2))
    cached.reset()
    torch.testing.assert_close(cached.read(written, torch.arange(2)), first)


# What it costs


def test_bytes_of_published_models():
    """SmolLM2: 2 · 30 · 3 · 64 · 2 = 23,040 a token; Llama 3 70B, 80 layers of 8 key heads of 128:
    327,680 a token, 2.5 GiB at 8,192, 40 GiB at 131,072."""
    assert kv_cache_bytes(30, 576, 9, 3, 1) == 23_040
    assert kv_cache_bytes(80, 8192, 64, 8, 1) == 327_680
    assert kv_cache_bytes(80, 8192, 64, 8, 8192) == 2.5 * 2**30
    assert kv_cache_bytes(80, 8192, 64, 8, 131_072) == 40 * 2**30
    assert kv_cache_bytes(3, 42, 6, 2, 11, 5, torch.float32) == 2 * 3 * 2 * 7 * 11 * 5 * 4
    with pytest.raises(ValueError, match="no size may be negative"):
        kv_cache_bytes(3, 42, 6, 2, -1)
    with pytest.raises(ValueError, match=r"num_heads \(5\) must divide width \(42\)"):
        kv_cache_bytes(3, 42, 5, 2, 1)


def test_bytes_are_those_that_the_cache_takes():
    cached = CachedModel(_model("LLaMA, grouped"), 17)
    cached.read(_tokens(2, 5), torch.arange(2))
    assert cached.nbytes == kv_cache_bytes(3, 36, 6, 2, 17, 2, torch.float64)


@pytest.mark.parametrize("name", ["GPT-2", "LLaMA", "LLaMA, grouped"])
@pytest.mark.parametrize("past", [1, 8, 25])
def test_flops_are_those_that_torch_counts(name, past):
    model, written, rows = _model(name), _tokens(1, past + 1), torch.tensor([0])
    cached = CachedModel(model, LENGTH)
    cached.read(written[:, :past], rows)
    assert _flops(cached, written[:, past:], rows) == decode_flops(model.config, past)
    whole = _flops(lambda: model.scores(model.hidden(written)[:, -1]))
    assert whole == decode_flops(model.config, past, cached=False)


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
    with pytest.raises(ValueError, match=r"2 rows of chances .* got lengths \[1\]"):
        generate(Counting(), [one], torch.zeros(2, 3), one)
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
