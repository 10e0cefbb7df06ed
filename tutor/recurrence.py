"""Chapter 1: recurrent networks, and a translator that remembers a sentence in one vector.

Weights lie as torch lays them, (out, in), and the gates of a cell stand in torch's order.

B batch, T time (S symbols of a source, T symbols of a target), E width of an input, C width of the
state.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Seq2Seq",
    "encode_both_ways",
    "gradient_norm_by_lag",
    "gru_step",
    "last_hidden",
    "lstm_step",
    "receptive_field",
    "rnn_step",
    "step_jacobians",
]


def rnn_step(
    x: Float[Tensor, "*batch E"],
    h: Float[Tensor, "*batch C"],
    w_ih: Float[Tensor, "C E"],
    w_hh: Float[Tensor, "C C"],
    b_ih: Float[Tensor, " C"],
    b_hh: Float[Tensor, " C"],
) -> Float[Tensor, "*batch C"]:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh): Elman 1990.

    ValueError, with the shapes, if input, state and parameters do not fit together.
    """
    _require_cell(1, x, (h,), w_ih, w_hh, b_ih, b_hh)
    return torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def lstm_step(
    x: Float[Tensor, "*batch E"],
    h: Float[Tensor, "*batch C"],
    c: Float[Tensor, "*batch C"],
    w_ih: Float[Tensor, "C4 E"],
    w_hh: Float[Tensor, "C4 C"],
    b_ih: Float[Tensor, " C4"],
    b_hh: Float[Tensor, " C4"],
) -> tuple[Float[Tensor, "*batch C"], Float[Tensor, "*batch C"]]:
    """c' = σ(f) ∘ c + σ(i) ∘ tanh(g), h' = σ(o) ∘ tanh(c'): Hochreiter and Schmidhuber 1997, with
    the forget gate of Gers et al. 2000. Returns (h', c').

    (i, f, g, o) = W_ih x + b_ih + W_hh h + b_hh, four blocks of C rows in that order, torch's.
    ValueError, with the shapes, if input, state and parameters do not fit together.
    """
    _require_cell(4, x, (h, c), w_ih, w_hh, b_ih, b_hh)
    i, f, g, o = (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(
    x: Float[Tensor, "*batch E"],
    h: Float[Tensor, "*batch C"],
    w_ih: Float[Tensor, "C3 E"],
    w_hh: Float[Tensor, "C3 C"],
    b_ih: Float[Tensor, " C3"],
    b_hh: Float[Tensor, " C3"],
) -> Float[Tensor, "*batch C"]:
    """h' = (1 - z) ∘ n + z ∘ h, n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn)): Cho et al. 2014,
    arXiv:1406.1078, with the reset after the product, as in torch.

    r and z are σ(W_ih x + b_ih + W_hh h + b_hh); the rows stand in the order r, z, n.
    ValueError, with the shapes, if input, state and parameters do not fit together.
    """
    _require_cell(3, x, (h,), w_ih, w_hh, b_ih, b_hh)
    x_r, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def gradient_norm_by_lag(
    jacobians: Float[Tensor, "*batch T C C"],
) -> Float[Tensor, "*batch lags"]:
    """‖∂h_T/∂h_{T-lag}‖ = ‖J_T J_{T-1} … J_{T-lag+1}‖, Frobenius, for lag 0, 1, …, T: the quantity
    of Bengio et al. 1994 and Pascanu et al. 2013, arXiv:1211.5063.

    jacobians[..., t, i, j] = ∂h_{t+1}[i] / ∂h_t[j], oldest first. Lag 0 is the identity's norm, √C.
    ValueError if a Jacobian is not square.
    """
    _require_square(jacobians)
    identity = torch.eye(jacobians.shape[-1], dtype=jacobians.dtype, device=jacobians.device)
    products = [identity.expand(jacobians.shape[:-3] + jacobians.shape[-2:])]
    for jacobian in jacobians.flip(-3).unbind(-3):
        products.append(products[-1] @ jacobian)
    return torch.stack(products, -3).norm(dim=(-2, -1))


def receptive_field(
    kernel_sizes: Int[Tensor, " layers"],
    dilations: Int[Tensor, " layers"],
    strides: Int[Tensor, " layers"],
) -> Int[Tensor, " layers"]:
    """1 + Σ_l (k_l - 1) d_l Π_{m<l} s_m: how many inputs one output sees, after each layer
    (Araujo et al. 2019, doi:10.23915/distill.00021).

    The first layer reads the input. TypeError if they are not integers, ValueError if there is
    not one of each for every layer.
    """
    _require_layers(kernel_sizes, dilations, strides)
    # Neighbours of a layer's input lie as far apart as all strides before it have pulled them. The
    # last stride pulls nothing: with it the product may be too long for an integer.
    apart = torch.cat([torch.ones_like(strides[:1]), strides[:-1].cumprod(0)])
    return 1 + ((kernel_sizes - 1) * dilations * apart).cumsum(0)


def last_hidden(states: Float[Tensor, "B T C"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B C"]:
    """states[b, lengths[b] - 1]: the state after the last real step of each padded sequence.

    A sequence of length 0 gives zeros. What stands in the padding is not read, not even nan.
    TypeError if lengths are not integers, ValueError if there is not one for each sequence.
    """
    _require_lengths(states, lengths)
    position = torch.arange(states.shape[1], device=states.device)
    is_last = position == lengths[:, None] - 1
    return states.masked_fill(~is_last[:, :, None], 0.0).sum(1)


class _Recurrent(nn.Module):
    """One layer of a cell over time, one way or both, with the parameters of torch.nn's own.

    ``forward(x, lengths)`` returns all states, and the state after the last real step. The states
    of the way back stand behind those of the way there, each C wide; at the padding they are 0.
    """

    gates: int
    """Blocks of C rows in each parameter."""

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.directions = ("", "_reverse") if bidirectional else ("",)
        rows, bound = self.gates * hidden_size, hidden_size**-0.5
        for direction in self.directions:
            for name, shape in (
                ("weight_ih", (rows, input_size)),
                ("weight_hh", (rows, hidden_size)),
                ("bias_ih", (rows,)),
                ("bias_hh", (rows,)),
            ):
                values = torch.empty(shape).uniform_(-bound, bound)
                self.register_parameter(f"{name}_l0{direction}", nn.Parameter(values))

    def parameters_of(self, direction: str = "") -> tuple[Tensor, ...]:
        """w_ih, w_hh, b_ih, b_hh of the way there, or of the one back, ``"_reverse"``."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tuple(getattr(self, f"{name}_l0{direction}") for name in names)

    def step(
        self, x: Float[Tensor, "*batch E"], state: tuple[Tensor, ...], *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        """The state after x, as a tuple whose first is what the layer shows."""
        raise NotImplementedError

    def start(self, x: Float[Tensor, "B T E"]) -> tuple[Tensor, ...]:
        """The state before the first step: zeros."""
        return (x.new_zeros(x.shape[0], self.hidden_size),)

    def forward(
        self, x: Float[Tensor, "B T E"], lengths: Int[Tensor, " B"] | None = None
    ) -> tuple[Float[Tensor, "B T states"], Float[Tensor, "B states"]]:
        if lengths is None:
            lengths = torch.full(x.shape[:1], x.shape[1], device=x.device)
        _require_lengths(x, lengths)
        real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        every, last = [], []
        for direction in self.directions:
            order = _turned(lengths, x.shape[1]) if direction else None
            states = self._scan(_in_order(x, order), self.parameters_of(direction))
            last.append(last_hidden(states, lengths))
            every.append(_in_order(states, order).masked_fill(~real[..., None], 0.0))
        return torch.cat(every, -1), torch.cat(last, -1)

    def _scan(self, x: Tensor, parameters: tuple[Tensor, ...]) -> Tensor:
        state, shown = self.start(x), []
        for now in x.unbind(1):
            state = self.step(now, state, *parameters)
            shown.append(state[0])
        return torch.stack(shown, 1) if shown else x.new_zeros(*x.shape[:2], self.hidden_size)


def _turned(lengths: Tensor, num_steps: int) -> Tensor:
    """Where each step of the way back reads: the real steps from the last to the first."""
    position = torch.arange(num_steps, device=lengths.device)
    from_the_end = lengths[:, None] - 1 - position
    return torch.where(from_the_end >= 0, from_the_end, position)


def _in_order(x: Tensor, order: Tensor | None) -> Tensor:
    return x if order is None else x.take_along_dim(order[..., None], 1)


class RNN(_Recurrent):
    """``rnn_step`` over time; loads the state dict of a one-layer ``torch.nn.RNN``."""

    gates = 1

    def step(self, x, state, *parameters):
        return (rnn_step(x, *state, *parameters),)


class LSTM(_Recurrent):
    """``lstm_step`` over time; loads the state dict of a one-layer ``torch.nn.LSTM``."""

    gates = 4

    def step(self, x, state, *parameters):
        return lstm_step(x, *state, *parameters)

    def start(self, x):
        return super().start(x) * 2


class GRU(_Recurrent):
    """``gru_step`` over time; loads the state dict of a one-layer ``torch.nn.GRU``."""

    gates = 3

    def step(self, x, state, *parameters):
        return (gru_step(x, *state, *parameters),)


@torch.no_grad()
def step_jacobians(
    model: _Recurrent, x: Float[Tensor, "B T E"]
) -> Float[Tensor, "B T state state"]:
    """J[b, t, i, j] = ∂s_{t+1}[i] / ∂s_t[j] along the way of the model through x.

    s is the whole state: h, or h and c side by side for an LSTM. One way only.
    """
    parameters = model.parameters_of()

    def step(state: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        parts = state.split(model.hidden_size, -1)
        after = torch.cat(model.step(now, parts, *parameters), -1)
        return after, after

    derive = torch.func.vmap(torch.func.jacrev(step, has_aux=True))
    state, jacobians = torch.cat(model.start(x), -1), []
    for now in x.unbind(1):
        jacobian, state = derive(state, now)
        jacobians.append(jacobian)
    return torch.stack(jacobians, 1)


def encode_both_ways(
    gru: nn.GRU, embedded: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"]
) -> tuple[Float[Tensor, "B S C"], Float[Tensor, "B C"]]:
    """What a bidirectional GRU makes of padded sources: its states, and its last real one.

    The states of the two directions stand side by side, each C/2 wide; at the padding they are 0.
    The last state of the way back is the one at the first symbol. The same as ``GRU`` above with
    these weights (a test holds them together); torch's own is several times faster.
    """
    packed = nn.utils.rnn.pack_padded_sequence(
        embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    states, last = gru(packed)
    states, _ = nn.utils.rnn.pad_packed_sequence(
        states, batch_first=True, total_length=embedded.shape[1]
    )
    return states, torch.cat((last[0], last[1]), dim=-1)


class Seq2Seq(nn.Module):
    """The source into one vector, the target out of it: Sutskever et al. 2014, arXiv:1409.3215,
    with the gated units of Cho et al. 2014, arXiv:1406.1078, and an encoder that reads both ways.

    ValueError for an odd width: half of it belongs to each direction.
    """

    def __init__(self, vocabulary: int, width: int, embedding_width: int = 32) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width must be even, for two directions, got {width}")
        self.source_embedding = nn.Embedding(vocabulary, embedding_width)
        self.target_embedding = nn.Embedding(vocabulary, embedding_width)
        self.encoder = nn.GRU(embedding_width, width // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(embedding_width, width, batch_first=True)
        self.readout = nn.Linear(width, vocabulary)

    def forward(
        self,
        source: Int[Tensor, "B S"],
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T V"]:
        """Scores of the symbol that follows each symbol of the target."""
        _, last = encode_both_ways(self.encoder, self.source_embedding(source), lengths)
        states, _ = self.decoder(self.target_embedding(target), last[None])
        return self.readout(states)


def _require_cell(
    gates: int,
    x: Tensor,
    state: tuple[Tensor, ...],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor,
    b_hh: Tensor,
) -> None:
    """Raise, naming the shapes, unless these are one step of a cell with so many blocks of rows."""
    h = state[0]
    shapes = f"x {tuple(x.shape)}, state " + ", ".join(str(tuple(s.shape)) for s in state)
    if min(x.ndim, h.ndim) < 1:
        raise ValueError(f"x and the state need a width dimension: {shapes}")
    if any(s.shape[:-1] != x.shape[:-1] or s.shape != h.shape for s in state):
        raise ValueError(f"x and the state differ in their batch dimensions: {shapes}")
    rows, (width_in, width) = gates * h.shape[-1], (x.shape[-1], h.shape[-1])
    wanted = {
        "w_ih": (w_ih, (rows, width_in)),
        "w_hh": (w_hh, (rows, width)),
        "b_ih": (b_ih, (rows,)),
        "b_hh": (b_hh, (rows,)),
    }
    for name, (parameter, shape) in wanted.items():
        if tuple(parameter.shape) != shape:
            raise ValueError(f"{name} must be {shape}, got {tuple(parameter.shape)}: {shapes}")


def _require_square(jacobians: Tensor) -> None:
    if jacobians.ndim < 3 or jacobians.shape[-1] != jacobians.shape[-2]:
        raise ValueError(f"jacobians must be (*batch, T, C, C), got {tuple(jacobians.shape)}")


def _require_layers(kernel_sizes: Tensor, dilations: Tensor, strides: Tensor) -> None:
    given = {"kernel_sizes": kernel_sizes, "dilations": dilations, "strides": strides}
    for name, numbers in given.items():
        _require_integers(name, numbers)
        if numbers.shape != kernel_sizes.shape or numbers.ndim != 1:
            shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in given.items())
            raise ValueError(f"there must be one of each for every layer: {shapes}")


def _require_lengths(states: Tensor, lengths: Tensor) -> None:
    _require_integers("lengths", lengths)
    if states.ndim != 3 or lengths.shape != states.shape[:1]:
        raise ValueError(
            "there must be one length for each sequence (B, T, C): "
            f"states {tuple(states.shape)}, lengths {tuple(lengths.shape)}"
        )


def _require_integers(name: str, numbers: Tensor) -> None:
    if numbers.is_floating_point() or numbers.dtype == torch.bool:
        raise TypeError(f"{name} must be integers, got {numbers.dtype}")
