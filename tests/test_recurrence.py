"""Chapter 1's reference, held to torch, to autograd and to values derived by hand."""

import re
from math import exp, sqrt, tanh

import pytest
import torch
from torch import nn

from tutor.recurrence import (
    GRU,
    LSTM,
    RNN,
    Seq2Seq,
    encode_both_ways,
    gradient_norm_by_lag,
    gru_step,
    last_hidden,
    lstm_step,
    receptive_field,
    rnn_step,
    step_jacobians,
)

B, T, E, C = 2, 6, 5, 3
DOUBLE = {"atol": 1e-12, "rtol": 1e-12}
SINGLE = {"atol": 1e-5, "rtol": 1e-5}

STEPS = {
    "rnn": (rnn_step, 1, 1, nn.RNNCell),
    "lstm": (lstm_step, 4, 2, nn.LSTMCell),
    "gru": (gru_step, 3, 1, nn.GRUCell),
}
"""The step, its blocks of rows, how many states, and torch's cell."""
LAYERS = [(RNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)]

every_step = pytest.mark.parametrize("name", STEPS)
every_layer = pytest.mark.parametrize(("ours", "theirs"), LAYERS)
both_ways = pytest.mark.parametrize("bidirectional", [False, True])


@pytest.fixture
def cell(draw):
    """x, the states and the parameters of a cell, as its step takes them."""

    def arguments(name, *batch, dtype=torch.float64):
        _, gates, states, _ = STEPS[name]
        shapes = [(*batch, E), *[(*batch, C)] * states]
        shapes += [(gates * C, E), (gates * C, C), (gates * C,), (gates * C,)]
        return [draw(*shape, dtype=dtype) for shape in shapes]

    return arguments


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def whole(*values):
    return torch.tensor(values, dtype=torch.int64)


def shape(*sizes):
    """A shape as an error message shows it, for ``match``."""
    return re.escape(str(sizes))


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def sigmoid(x):
    return 1 / (1 + exp(-x))


# Steps


def test_rnn_step_by_hand():
    w_ih, w_hh = numbers([1.0, 2.0]), numbers([3.0])
    x, h, b_ih, b_hh = numbers(0.5, -1.0), numbers(0.5), numbers(0.25), numbers(-0.5)
    got = rnn_step(x, h, w_ih, w_hh, b_ih, b_hh)
    torch.testing.assert_close(got, numbers(tanh(0.5 - 2.0 + 1.5 + 0.25 - 0.5)), **DOUBLE)


def test_lstm_step_by_hand():
    zeros, ones = torch.zeros(4, 1, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64)
    gates = numbers(1.0, 2.0, 3.0, 4.0)  # i, f, g, o
    h, c = lstm_step(numbers(0.0), numbers(0.0), numbers(5.0), zeros, ones, gates, 0 * gates)
    expected = sigmoid(2) * 5 + sigmoid(1) * tanh(3)
    torch.testing.assert_close(c, numbers(expected), **DOUBLE)
    torch.testing.assert_close(h, numbers(sigmoid(4) * tanh(expected)), **DOUBLE)


def test_gru_step_by_hand():
    zeros = torch.zeros(3, 1, dtype=torch.float64)
    b_ih, b_hh = numbers(1.0, 2.0, 3.0), numbers(0.0, 0.0, 4.0)  # r, z, n
    got = gru_step(numbers(0.0), numbers(5.0), zeros, zeros, b_ih, b_hh)
    z, n = sigmoid(2), tanh(3 + sigmoid(1) * 4)
    torch.testing.assert_close(got, numbers((1 - z) * n + z * 5), **DOUBLE)


@every_step
def test_step_and_its_gradients_agree_with_torch(name, cell, draw, device):
    step, _, states, library = STEPS[name]
    args = [a.to(device).requires_grad_() for a in cell(name, B)]
    theirs = library(E, C, dtype=torch.float64, device=device)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    parameters = dict(zip(names, args[1 + states :], strict=True))
    state = args[1] if states == 1 else tuple(args[1:3])
    expected = as_tuple(torch.func.functional_call(theirs, parameters, (args[0], state)))
    got = as_tuple(step(*args))
    torch.testing.assert_close(got, expected, **DOUBLE)
    cotangents = [draw(B, C).to(device) for _ in got]
    torch.testing.assert_close(
        torch.autograd.grad(got, args, cotangents),
        torch.autograd.grad(expected, args, cotangents),
        **DOUBLE,
    )


@every_step
def test_step_takes_any_number_of_batch_dimensions(name, cell):
    step, _, states, _ = STEPS[name]
    args = cell(name, B, 4)
    together = as_tuple(step(*args))
    n = 1 + states
    one_by_one = as_tuple(step(*[a[1, 2] for a in args[:n]], *args[n:]))
    torch.testing.assert_close(tuple(t[1, 2] for t in together), one_by_one, **DOUBLE)


@every_step
def test_step_keeps_the_precision(name, cell):
    step = STEPS[name][0]
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert {t.dtype for t in as_tuple(step(*cell(name, B, dtype=dtype)))} == {dtype}


def test_open_forget_gate_and_closed_input_gate_keep_the_cell(cell):
    x, h, c, w_ih, w_hh, b_ih, b_hh = cell("lstm", B)
    b_ih[:C], b_ih[C : 2 * C] = -1e3, 1e3
    _, kept = lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh)
    torch.testing.assert_close(kept, c, **DOUBLE)


def test_gru_with_open_update_gate_keeps_its_state(cell):
    x, h, w_ih, w_hh, b_ih, b_hh = cell("gru", B)
    b_ih[C : 2 * C] = 1e3
    torch.testing.assert_close(gru_step(x, h, w_ih, w_hh, b_ih, b_hh), h, **DOUBLE)


@every_step
def test_parameters_of_another_cell_are_refused(name, cell):
    step = STEPS[name][0]
    *rest, w_ih, w_hh, b_ih, b_hh = cell(name, B)
    step(*rest, w_ih, w_hh, b_ih, b_hh)
    for wrong, match in (
        ((w_ih.mT, w_hh, b_ih, b_hh), r"w_ih must be .*got " + shape(*w_ih.mT.shape)),
        ((w_ih, w_hh[1:], b_ih, b_hh), r"w_hh must be .*got " + shape(*w_hh[1:].shape)),
        ((w_ih, w_hh, b_ih[1:], b_hh), r"b_ih must be .*got " + shape(len(b_ih) - 1)),
        ((w_ih, w_hh, b_ih, b_hh[1:]), r"b_hh must be .*got " + shape(len(b_hh) - 1)),
    ):
        with pytest.raises(ValueError, match=match):
            step(*rest, *wrong)


@every_step
def test_states_of_another_batch_are_refused(name, cell):
    step, _, states, _ = STEPS[name]
    args = cell(name, B)
    for i in range(1, 1 + states):
        wrong = [a[:1] if j == i else a for j, a in enumerate(args)]
        match = f"batch dimensions: x {shape(B, E)}, state .*{shape(1, C)}"
        with pytest.raises(ValueError, match=match):
            step(*wrong)
    with pytest.raises(ValueError, match="width dimension"):
        step(args[0][0, 0], *args[1:])


# Layers


@every_layer
@both_ways
def test_layer_with_torchs_weights_equals_torch(ours, theirs, bidirectional, draw, device):
    built = theirs(E, C, batch_first=True, bidirectional=bidirectional).double().to(device)
    own = ours(E, C, bidirectional).double().to(device)
    own.load_state_dict(built.state_dict())
    x = draw(B, T, E).to(device).requires_grad_()
    states, last = own(x)
    expected, hidden = built(x)
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    torch.testing.assert_close(states, expected, **DOUBLE)
    torch.testing.assert_close(last, torch.cat(tuple(hidden), -1), **DOUBLE)

    cotangent = draw(*states.shape).to(device)
    got = torch.autograd.grad(states, [x, *own.parameters()], cotangent)
    expected = torch.autograd.grad(expected, [x, *built.parameters()], cotangent)
    torch.testing.assert_close(got, expected, **DOUBLE)


@every_layer
@both_ways
def test_padded_layer_equals_torchs_packed_one(ours, theirs, bidirectional, draw):
    built = theirs(E, C, batch_first=True, bidirectional=bidirectional).double()
    own = ours(E, C, bidirectional).double()
    own.load_state_dict(built.state_dict())
    x, lengths = draw(4, T, E), whole(3, 6, 1, 4)
    states, last = own(x, lengths)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
    expected, hidden = built(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(expected, True, total_length=T)
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    torch.testing.assert_close(states, expected, **DOUBLE)
    torch.testing.assert_close(last, torch.cat(tuple(hidden), -1), **DOUBLE)


@every_layer
def test_layer_has_torchs_parameters_in_torchs_order(ours, theirs):
    for bidirectional in (False, True):
        expected = theirs(E, C, bidirectional=bidirectional).state_dict()
        got = ours(E, C, bidirectional).state_dict()
        assert list(got) == list(expected)
        assert all(got[name].shape == expected[name].shape for name in got)


def test_layer_is_made_with_torchs_numbers():
    torch.manual_seed(5)
    ours = GRU(E, C, bidirectional=True).state_dict()
    torch.manual_seed(5)
    theirs = nn.GRU(E, C, bidirectional=True).state_dict()
    torch.testing.assert_close(ours, dict(theirs), atol=0, rtol=0)


def test_sequences_of_length_0_give_zeros(draw):
    states, last = LSTM(E, C, bidirectional=True).double()(draw(B, T, E), whole(0, 2))
    assert not states[0].any() and not last[0].any() and last[1].all()


def test_no_steps_give_no_states(draw):
    states, last = RNN(E, C).double()(draw(B, 0, E))
    assert states.shape == (B, 0, C) and last.tolist() == [[0.0] * C] * B


def test_future_edit_leaves_past_unchanged_one_way_and_not_both_ways(draw):
    x = draw(B, T, E)
    edited = x.clone()
    edited[:, 4] += 1
    for bidirectional in (False, True):
        layer = GRU(E, C, bidirectional).double()
        same = torch.equal(layer(x)[0][:, :4], layer(edited)[0][:, :4])
        assert same == (not bidirectional)


@both_ways
def test_padding_is_not_read(bidirectional, draw):
    x, lengths = draw(B, T, E), whole(4, 2)
    edited = x.clone()
    edited[0, 4:], edited[1, 2:] = 9.0, -9.0
    layer = GRU(E, C, bidirectional).double()
    for got, expected in zip(layer(edited, lengths), layer(x, lengths), strict=True):
        assert torch.equal(got, expected)


# last_hidden


def test_last_hidden_by_hand():
    states = torch.arange(12.0).view(2, 3, 2)
    assert last_hidden(states, whole(2, 3)).tolist() == [[2.0, 3.0], [10.0, 11.0]]


def test_last_hidden_of_nothing_is_zero_and_reads_no_nan():
    states = torch.full((2, 3, 2), torch.nan)
    states[0, 0] = 1.0
    assert last_hidden(states, whole(1, 0)).tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_last_hidden_gradient_reaches_the_last_step_alone(draw):
    states = draw(B, T, C).requires_grad_()
    last_hidden(states, whole(4, 0)).sum().backward()
    expected = torch.zeros(B, T, C, dtype=torch.float64)
    expected[0, 3] = 1.0
    assert torch.equal(states.grad, expected)


def test_lengths_that_are_no_integers_are_refused(draw):
    states = draw(B, T, C)
    last_hidden(states, whole(1, 2))
    with pytest.raises(TypeError, match=r"lengths must be integers, got torch\.float32"):
        last_hidden(states, torch.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"lengths must be integers, got torch\.bool"):
        last_hidden(states, torch.tensor([True, False]))


def test_lengths_of_another_batch_are_refused(draw):
    match = f"states {shape(B, T, C)}, lengths {shape(3)}"
    with pytest.raises(ValueError, match=match):
        last_hidden(draw(B, T, C), whole(1, 2, 3))
    with pytest.raises(ValueError, match=f"states {shape(T, C)}"):
        last_hidden(draw(T, C), whole(1, 2, 3, 4, 5, 6))


# Jacobians


@every_layer
def test_step_jacobians_are_autograds(ours, theirs, draw):
    layer = ours(E, C).double()
    x = draw(1, 3, E)
    width = 2 * C if ours is LSTM else C
    jacobians = step_jacobians(layer, x)
    assert jacobians.shape == (1, 3, width, width)

    def after_all(start):
        state = tuple(start.split(C))
        for now in x[0]:
            state = layer.step(now, state, *layer.parameters_of())
        return torch.cat(state)

    whole_way = torch.autograd.functional.jacobian(after_all, torch.zeros(width).double())
    product = jacobians[0, 2] @ jacobians[0, 1] @ jacobians[0, 0]
    torch.testing.assert_close(product, whole_way, **DOUBLE)


def test_norms_by_hand():
    jacobians = numbers([[2.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 0.0]])
    # J_2 = [[0, 3], [0, 0]], and J_2 J_1 = [[0, 3], [0, 0]] as well; J_1 J_2 would be [[0, 6], …].
    torch.testing.assert_close(gradient_norm_by_lag(jacobians), numbers(sqrt(2), 3, 3), **DOUBLE)


def test_norms_are_those_of_autograd(draw):
    layer = RNN(E, C).double()
    x = draw(1, T, E)
    norms = gradient_norm_by_lag(step_jacobians(layer, x))[0]
    for lag in range(T + 1):
        start = layer(x[:, : T - lag])[1][0]

        def rest(state, lag=lag):
            for now in x[0, T - lag :]:
                state = layer.step(now, (state,), *layer.parameters_of())[0]
            return state

        expected = torch.autograd.functional.jacobian(rest, start.detach()).norm()
        torch.testing.assert_close(norms[lag], expected, **DOUBLE)


def test_norms_of_rotations_stay(draw):
    turn, _ = torch.linalg.qr(draw(B, 4, T, C, C))
    expected = torch.full((B, 4, T + 1), sqrt(C), dtype=torch.float64)
    torch.testing.assert_close(gradient_norm_by_lag(turn), expected, **DOUBLE)


def test_no_step_has_the_norm_of_the_identity():
    assert gradient_norm_by_lag(torch.zeros(B, 0, 4, 4)).tolist() == [[2.0]] * B


def test_jacobians_that_are_not_square_are_refused(draw):
    with pytest.raises(ValueError, match=f"got {shape(T, C, E)}"):
        gradient_norm_by_lag(draw(T, C, E))
    with pytest.raises(ValueError, match=f"got {shape(C, C)}"):
        gradient_norm_by_lag(draw(C, C))


# receptive_field


def test_receptive_field_by_hand():
    ones = whole(1, 1, 1)
    assert receptive_field(whole(3, 3, 3), ones, ones).tolist() == [3, 5, 7]
    assert receptive_field(whole(2, 2, 2), whole(1, 2, 4), ones).tolist() == [2, 4, 8]
    assert receptive_field(whole(3, 3, 3), ones, whole(2, 2, 2)).tolist() == [3, 7, 15]


def test_receptive_field_counts_the_inputs_that_have_a_gradient(draw):
    sizes, dilations, strides = whole(3, 2, 4), whole(2, 3, 1), whole(1, 2, 3)
    x = draw(1, 1, 60).requires_grad_()
    out = x
    for layer, expected in enumerate(receptive_field(sizes, dilations, strides).tolist()):
        kernel = torch.ones(1, 1, int(sizes[layer]), dtype=torch.float64)
        options = {"dilation": int(dilations[layer]), "stride": int(strides[layer])}
        out = torch.conv1d(out, kernel, **options)
        (grad,) = torch.autograd.grad(out[0, 0, 1], x, retain_graph=True)
        touched = grad[0, 0].nonzero()[:, 0]
        assert touched[-1] - touched[0] + 1 == expected


def test_a_last_stride_that_is_long_costs_the_field_nothing():
    sizes, ones, strides = whole(2, 2), whole(1, 1), whole(2**40, 2**40)
    assert receptive_field(sizes, ones, strides).tolist() == [2, 2 + 2**40]


def test_no_layer_sees_nothing_further():
    assert receptive_field(whole(), whole(), whole()).tolist() == []


def test_layers_that_are_not_described_in_integers_are_refused():
    ones = whole(1, 1)
    with pytest.raises(TypeError, match=r"kernel_sizes must be integers, got torch\.float32"):
        receptive_field(torch.ones(2), ones, ones)
    with pytest.raises(TypeError, match=r"dilations must be integers, got torch\.bool"):
        receptive_field(ones, ones > 0, ones)
    with pytest.raises(TypeError, match=r"strides must be integers, got torch\.float64"):
        receptive_field(ones, ones, ones.double())


def test_layers_of_different_number_are_refused():
    match = f"kernel_sizes {shape(2)}, dilations {shape(1)}, strides {shape(2)}"
    with pytest.raises(ValueError, match=match):
        receptive_field(whole(1, 1), whole(1), whole(1, 1))
    with pytest.raises(ValueError, match=f"strides {shape(1)}"):
        receptive_field(whole(1, 1), whole(1, 1), whole(1))
    with pytest.raises(ValueError, match=f"kernel_sizes {shape(1, 2)}"):
        receptive_field(*[whole(1, 1)[None]] * 3)


# The translator


def test_encoder_of_the_translator_is_our_bidirectional_gru(draw):
    built = nn.GRU(E, C, batch_first=True, bidirectional=True).double()
    own = GRU(E, C, bidirectional=True).double()
    own.load_state_dict(built.state_dict())
    x, lengths = draw(4, T, E), whole(3, 6, 1, 4)
    torch.testing.assert_close(encode_both_ways(built, x, lengths), own(x, lengths), **DOUBLE)


def test_translator_tells_the_decoder_nothing_but_one_vector():
    torch.manual_seed(0)
    model = Seq2Seq(11, 8, 4)
    source, lengths = torch.tensor([[3, 4, 5], [6, 7, 0]]), whole(3, 2)
    target = torch.tensor([[2, 5, 9, 1], [2, 4, 8, 1]])
    logits = model(source, lengths, target)
    assert logits.shape == (2, 4, 11)
    _, last = encode_both_ways(model.encoder, model.source_embedding(source), lengths)
    states, _ = model.decoder(model.target_embedding(target), last[None])
    torch.testing.assert_close(logits, model.readout(states), **SINGLE)


def test_translator_does_not_read_padding_nor_the_future():
    torch.manual_seed(0)
    model = Seq2Seq(11, 8, 4)
    source, lengths = torch.tensor([[3, 4, 5], [6, 7, 0]]), whole(3, 2)
    target = torch.tensor([[2, 5, 9, 1], [2, 4, 8, 1]])
    other_source, other_target = source.clone(), target.clone()
    other_source[1, 2], other_target[:, 3] = 9, 6
    got, expected = model(other_source, lengths, other_target), model(source, lengths, target)
    assert torch.equal(got[:, :3], expected[:, :3]) and not torch.equal(got, expected)


def test_odd_width_of_a_translator_is_refused():
    with pytest.raises(ValueError, match="even, for two directions, got 7"):
        Seq2Seq(11, 7)
