"""Chapter 1's exercises: what must hold, and the wrong answers that people give."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator
from torch.nn import functional as F

from tutor import recurrence as reference
from tutor.checks.draw import BFLOAT, DOUBLE, HALF, SINGLE, Draw, strided
from tutor.checks.exercise import Case, Contract, Exercise, Property, Trap

CHAPTER = "01_recurrence"

# All sizes differ, so that a swapped axis cannot pass.
B, T, E, C = 2, 6, 5, 3


class _Draw(Draw):
    """With the sizes of this chapter."""

    def cell(self, gates, *batch, states=1, e=E, c=C, dtype=DOUBLE, scale=1.0):
        """x, as many states, and the parameters of a cell of so many blocks of rows."""
        state = tuple(self.normal(*batch, c, dtype=dtype) for _ in range(states))
        return (
            self.normal(*batch, e, dtype=dtype, scale=scale),
            *state,
            self.normal(gates * c, e, dtype=dtype, scale=max(e, 1) ** -0.5),
            self.normal(gates * c, c, dtype=dtype, scale=c**-0.5),
            self.normal(gates * c, dtype=dtype),
            self.normal(gates * c, dtype=dtype),
        )

    def jacobians(self, *batch, t=T, c=C, dtype=DOUBLE, scale=1.0):
        return self.normal(*batch, t, c, c, dtype=dtype, scale=scale * c**-0.5)


# One step of a cell

_LIBRARY_CELLS = {
    part: "it calls torch's own recurrent cell; this exercise is to write one"
    for part in ("rnn", "lstm", "gru")
}


def _cell_cases(gates: int, states: int = 1) -> Callable[[Generator, torch.device], Iterator[Case]]:
    def cases(generator: Generator, device: torch.device) -> Iterator[Case]:
        draw = _Draw(generator, device)

        def cell(*batch, **kwargs):
            return draw.cell(gates, *batch, states=states, **kwargs)

        yield Case("a batch", cell(B))
        yield Case("single precision", cell(B, dtype=SINGLE))
        yield Case("half precision", cell(B, dtype=HALF))
        yield Case("bfloat16", cell(B, dtype=BFLOAT))
        yield Case("no batch dimension", cell())
        yield Case("two batch dimensions", cell(B, 4))
        yield Case("three batch dimensions", cell(B, 4, 1, e=2))
        yield Case("a state wider than the input", cell(4, e=2, c=7))
        ordinary = cell(4)
        turned = tuple(strided(t) if t.ndim > 1 else t for t in ordinary)
        yield Case("not contiguous", turned)
        e, c = draw.integer(6, 10), draw.integer(2, 6)
        yield Case("sizes drawn by lot", cell(draw.integer(3, 7), e=e, c=c))

        yield Case("input and state of one width", cell(B, e=4, c=4), "edges")
        yield Case("width 1", cell(B, e=1, c=1), "edges")
        yield Case("a batch of one", cell(1), "edges")
        yield Case("an empty batch", cell(0), "edges")
        x, *rest = cell(B, scale=1e4)
        # Sums of both signs, whatever is drawn: some quotients overflow on one side only.
        yield Case("large inputs", (torch.cat([x[:1], -x[:1]]), *rest), "edges")
        x, *state, w_ih, w_hh, b_ih, b_hh = cell(B)
        zeros = [torch.zeros_like(s) for s in state]
        yield Case("the first step: a state of zeros", (x, *zeros, w_ih, w_hh, b_ih, b_hh), "edges")
        large = [30 * s for s in state]
        yield Case("a large state", (x, *large, w_ih, w_hh, b_ih, b_hh), "edges")

    return cases


def _cell_contract(gates: int, states: int = 1) -> Callable[[Generator, torch.device], Contract]:
    def contract(generator: Generator, device: torch.device) -> Contract:
        b, e, c = 16, 24, 32
        args = _Draw(generator, device).cell(gates, b, states=states, e=e, c=c)
        rows = gates * c
        return Contract(
            calls=(args,),
            max_flops=2 * b * rows * (e + c),
            max_written=24 * b * rows + 4 * rows * (e + c),
            max_intermediate=rows * (e + c),
            forbidden=_LIBRARY_CELLS,
        )

    return contract


# rnn_step


def _rnn_one_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh.mT)


def _rnn_other_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + h @ w_hh.mT + b_hh)


def _rnn_no_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + h @ w_hh.mT)


def _rnn_linear(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)


def _rnn_sigmoid(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.sigmoid(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _rnn_relu(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.relu(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _rnn_tanh_of_each(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(F.linear(x, w_ih, b_ih)) + torch.tanh(F.linear(h, w_hh, b_hh))


def _rnn_tanh_of_the_input(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(F.linear(x, w_ih, b_ih)) + F.linear(h, w_hh, b_hh)


def _rnn_not_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h @ w_hh + b_hh)


def _rnn_nothing_transposed(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih + b_ih + h @ w_hh + b_hh)


def _rnn_weights_first(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(w_ih @ x + b_ih + w_hh @ h + b_hh)


def _rnn_state_not_read(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + b_hh)


def _rnn_state_unweighted(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(x @ w_ih.mT + b_ih + h + b_hh)


def _rnn_state_added(x, h, w_ih, w_hh, b_ih, b_hh):
    return h + torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _rnn_detached(x, h, w_ih, w_hh, b_ih, b_hh):
    return torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h.detach(), w_hh, b_hh))


def _rnn_in_place(x, h, w_ih, w_hh, b_ih, b_hh):
    new = torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))
    h.copy_(new)
    return h


def _rnn_own_tanh(x, h, w_ih, w_hh, b_ih, b_hh):
    s = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    return (s.exp() - (-s).exp()) / (s.exp() + (-s).exp())


def _rnn_own_tanh_once(x, h, w_ih, w_hh, b_ih, b_hh):
    s = (2 * (F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))).exp()
    return (s - 1) / (s + 1)


_STEP = "One function at every step"

RNN_STEP = Exercise(
    reference=reference.rnn_step,
    chapter=CHAPTER,
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_cell_cases(1),
    contract=_cell_contract(1),
    traps=(
        Trap(
            "a bias missing",
            _rnn_one_bias,
            "torch's cell has two biases, one beside each product. On paper their sum is one bias, "
            "and one would do; but whoever loads torch's weights and adds only one of them has "
            "another network.",
            _STEP,
            (_rnn_other_bias, _rnn_no_bias),
        ),
        Trap(
            "tanh missing",
            _rnn_linear,
            "without the tanh every step is linear, and so are a thousand steps together: the "
            "state is a weighted sum of the inputs, and nothing keeps it from growing without "
            "bound.",
            _STEP,
        ),
        Trap(
            "sigmoid instead of tanh",
            _rnn_sigmoid,
            "the sigmoid is for gates, which open and close between 0 and 1. A state that can only "
            "be positive cannot say *less*; tanh is centred at 0.",
            _STEP,
        ),
        Trap(
            "relu instead of tanh",
            _rnn_relu,
            "relu lets a state grow by a factor at every step. tanh bounds it between -1 and 1.",
            _STEP,
        ),
        Trap(
            "tanh of each part",
            _rnn_tanh_of_each,
            "the input and the old state are added first and squashed together. Squashed one by "
            "one they never meet: no unit can react to this word *after that one*, which is what "
            "the state is for.",
            _STEP,
            (_rnn_tanh_of_the_input,),
        ),
        Trap(
            "weights not transposed",
            _rnn_not_transposed,
            "torch stores a weight as (out, in), and the inputs stand in rows: x @ w_ih.mT and "
            "h @ w_hh.mT. w_hh is square, and nothing complains when its transpose is forgotten.",
            _STEP,
            (_rnn_nothing_transposed, _rnn_weights_first),
        ),
        Trap(
            "the old state not read",
            _rnn_state_not_read,
            "without h the step knows one input and nothing of what came before it: a "
            "feed-forward layer, applied at each position by itself.",
            _STEP,
        ),
        Trap(
            "the old state without its weights",
            _rnn_state_unweighted,
            "h goes through w_hh before it is added, as x goes through w_ih.",
            _STEP,
        ),
        Trap(
            "the old state added to the new one",
            _rnn_state_added,
            "h + tanh(...) is a residual connection. It is a good idea, which the gated cells "
            "make use of; this cell does not have it.",
            _STEP,
        ),
        Trap(
            "a detached state",
            _rnn_detached,
            "the numbers are right, but detach() cuts the past off: no gradient reaches any step "
            "before this one, and nothing learns to remember. (Truncating on purpose is done "
            "between stretches of many steps.)",
            "A product of Jacobians",
        ),
        Trap(
            "the caller's state overwritten",
            _rnn_in_place,
            "h.copy_(...) writes into the tensor that was passed in. Every earlier state that was "
            "kept in a list is the same tensor, and becomes the last one.",
            _STEP,
        ),
        Trap(
            "tanh as on paper",
            _rnn_own_tanh,
            "the quotient of exponentials overflows: exp(710) is infinite, and infinity by "
            "infinity is nan. torch.tanh is right for every number, and allowed.",
            _STEP,
            (_rnn_own_tanh_once,),
        ),
    ),
)


# lstm_step


def _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, order="ifgo", **other):
    """The right step but for the order of its gates, or with another ``cell`` or ``shown``."""
    rows = other.get("rows", lambda s: s.chunk(4, -1))
    blocks = rows(other.get("sums", _lstm_sums)(x, h, w_ih, w_hh, b_ih, b_hh))
    gate = dict(zip(order, blocks, strict=True))
    cell = other.get("cell", _lstm_cell)(c, gate)
    shown = other.get("shown", lambda gate, new, old: torch.sigmoid(gate["o"]) * torch.tanh(new))
    return shown(gate, cell, c), cell


def _lstm_sums(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)


def _lstm_cell(c, gate):
    return torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])


def _lstm_order(order):
    def wrong(x, h, c, w_ih, w_hh, b_ih, b_hh):
        return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, order)

    return wrong


# Of other libraries and papers first; all 23 would take a check too long.
_ORDERS = ("ifog", "igfo", "iofg", "figo", "fiog", "gifo", "fgio", "ofig")
_WRONG_ORDERS = tuple(_lstm_order(order) for order in _ORDERS)


def _lstm_interleaved(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def rows(s):
        return s.unflatten(-1, (-1, 4)).unbind(-1)

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, rows=rows)


def _lstm_forget_inverted(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        kept = (1 - torch.sigmoid(gate["f"])) * c
        return kept + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


def _lstm_coupled(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        f = torch.sigmoid(gate["f"])
        return f * c + (1 - f) * torch.tanh(gate["g"])

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


def _lstm_coupled_to_input(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        i = torch.sigmoid(gate["i"])
        return (1 - i) * c + i * torch.tanh(gate["g"])

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


def _lstm_no_forgetting(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        return c + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


def _lstm_forget_bias(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        return _lstm_cell(c, {**gate, "f": gate["f"] + 1})

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


def _lstm_returned_swapped(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh)[::-1]


def _lstm_shown_twice(x, h, c, w_ih, w_hh, b_ih, b_hh):
    new, _ = _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh)
    return new, new


def _lstm_no_tanh_of_cell(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def shown(gate, new, old):
        return torch.sigmoid(gate["o"]) * new

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, shown=shown)


def _lstm_squashed_cell(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        return torch.tanh(_lstm_cell(c, gate))

    def shown(gate, new, old):
        return torch.sigmoid(gate["o"]) * new

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell, shown=shown)


def _lstm_old_cell_shown(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def shown(gate, new, old):
        return torch.sigmoid(gate["o"]) * torch.tanh(old)

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, shown=shown)


def _lstm_sigmoid_for_g(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        return torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * torch.sigmoid(gate["g"])

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


def _lstm_g_not_squashed(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        return torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * gate["g"]

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


def _lstm_tanh_gates(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (s.tanh() for s in _lstm_sums(x, h, w_ih, w_hh, b_ih, b_hh).chunk(4, -1))
    c = f * c + i * g
    return o * c.tanh(), c


def _lstm_one_bias(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def sums(x, h, w_ih, w_hh, b_ih, b_hh):
        return x @ w_ih.mT + b_ih + h @ w_hh.mT

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, sums=sums)


def _lstm_other_bias(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def sums(x, h, w_ih, w_hh, b_ih, b_hh):
        return x @ w_ih.mT + h @ w_hh.mT + b_hh

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, sums=sums)


def _lstm_gates_read_the_cell(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _lstm(x, c, c, w_ih, w_hh, b_ih, b_hh)


def _lstm_keeps_the_state(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _lstm(x, h, h, w_ih, w_hh, b_ih, b_hh)


def _lstm_detached(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _lstm(x, h, c.detach(), w_ih, w_hh, b_ih, b_hh)


def _lstm_both_detached(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _lstm(x, h.detach(), c.detach(), w_ih, w_hh, b_ih, b_hh)


def _lstm_in_place(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = _lstm_sums(x, h, w_ih, w_hh, b_ih, b_hh).chunk(4, -1)
    c *= torch.sigmoid(f)
    c += torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _lstm_raw_gates(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = _lstm_sums(x, h, w_ih, w_hh, b_ih, b_hh).chunk(4, -1)
    c = f * c + i * torch.tanh(g)
    return o * torch.tanh(c), c


def _lstm_raw_output_gate(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def shown(gate, new, old):
        return gate["o"] * torch.tanh(new)

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, shown=shown)


def _lstm_no_output_gate(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def shown(gate, new, old):
        return torch.tanh(new)

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, shown=shown)


def _lstm_cell_dropped(x, h, c, w_ih, w_hh, b_ih, b_hh):
    def cell(c, gate):
        return torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])

    return _lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, cell=cell)


_LSTM = "The LSTM: add, do not overwrite"

LSTM_STEP = Exercise(
    reference=reference.lstm_step,
    chapter=CHAPTER,
    outputs=("new_h", "new_c"),
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_cell_cases(4, states=2),
    contract=_cell_contract(4, states=2),
    traps=(
        Trap(
            "the gates in another order",
            _WRONG_ORDERS[0],
            "the four blocks of rows are i, f, g, o in torch: input, forget, candidate, output. "
            "Other libraries and papers have other orders (ONNX i, o, f, g; the early TensorFlow "
            "cell i, g, f, o). Trained from scratch any order learns; loaded weights are scrambled "
            "without an error.",
            _LSTM,
            _WRONG_ORDERS[1:],
        ),
        Trap(
            "gates interleaved",
            _lstm_interleaved,
            "the rows of one gate stand together: the first C rows are i, the next C are f. "
            "Splitting every four neighbouring rows among the four gates gives the right shapes "
            "and another cell.",
            _LSTM,
        ),
        Trap(
            "the forget gate inverted",
            _lstm_forget_inverted,
            "despite its name the forget gate says how much is *kept*: f = 1 keeps the cell as it "
            "is. With (1 - f) the bias that should make it remember makes it forget.",
            _LSTM,
        ),
        Trap(
            "input and forget gate coupled",
            _lstm_coupled,
            "1 - f in the place of i (or 1 - i in the place of f) makes the cell an average of old "
            "and new, as in the GRU. The LSTM's two gates are free: it can keep all and still add.",
            _LSTM,
            (_lstm_coupled_to_input,),
        ),
        Trap(
            "nothing is forgotten",
            _lstm_no_forgetting,
            "the cell of 1997 had no forget gate, and its state grew along with the text. The gate "
            "came in 2000; torch has it.",
            _LSTM,
        ),
        Trap(
            "1 added to the forget gate",
            _lstm_forget_bias,
            "a forget bias of 1 is a good initialisation, and that is where it belongs: in b_ih, "
            "once. Some libraries added it in every step; torch does not.",
            _LSTM,
        ),
        Trap(
            "returned in another order",
            _lstm_returned_swapped,
            "(new_h, new_c): what is shown first, what is kept second. Swapped, the next step "
            "reads the unbounded cell as its state.",
            _LSTM,
        ),
        Trap(
            "the cell not returned",
            _lstm_shown_twice,
            "h is what the cell shows, c is what it keeps. A step that hands on h twice has lost "
            "what its output gate did not show.",
            _LSTM,
        ),
        Trap(
            "tanh of the cell missing",
            _lstm_no_tanh_of_cell,
            "the cell is a sum and may become large; what it shows is bounded by tanh(c) before "
            "the output gate.",
            _LSTM,
        ),
        Trap(
            "the cell itself squashed",
            _lstm_squashed_cell,
            "tanh stands on the way out, not on the way on. A tanh in every step of the cell is "
            "the plain recurrent network's product again, and its gradient vanishes the same way.",
            _LSTM,
        ),
        Trap(
            "the old cell shown",
            _lstm_old_cell_shown,
            "the output reads the *new* cell: update c first, then show it. With the old one every "
            "answer comes a step late.",
            _LSTM,
        ),
        Trap(
            "the candidate is no gate",
            _lstm_sigmoid_for_g,
            "i, f and o are gates between 0 and 1. g is what is written: tanh, between -1 and 1. "
            "With a sigmoid the cell could only ever be increased.",
            _LSTM,
            (_lstm_g_not_squashed,),
        ),
        Trap(
            "tanh for the gates",
            _lstm_tanh_gates,
            "a gate says which share passes, so it lies between 0 and 1: the sigmoid. A gate of -1 "
            "would turn the sign of the memory at every step.",
            _LSTM,
        ),
        Trap(
            "a gate without its sigmoid",
            _lstm_raw_gates,
            "a gate is a share, σ of its sum, between 0 and 1. The sum itself may be -3 or 7, and "
            "at every step the cell would be multiplied by it.",
            _LSTM,
            (_lstm_raw_output_gate,),
        ),
        Trap(
            "no output gate",
            _lstm_no_output_gate,
            "what is shown is the share o of tanh(c). Without it the cell can keep nothing to "
            "itself until it is needed.",
            _LSTM,
        ),
        Trap(
            "the old cell dropped",
            _lstm_cell_dropped,
            "the new cell is what the forget gate keeps of the old one *plus* what is written. "
            "With the second part alone nothing lasts longer than a step.",
            _LSTM,
        ),
        Trap(
            "a bias missing",
            _lstm_one_bias,
            "both biases are added, b_ih and b_hh. A forget bias that sits in the one that is left "
            "out is lost.",
            _LSTM,
            (_lstm_other_bias,),
        ),
        Trap(
            "h and c mixed up",
            _lstm_gates_read_the_cell,
            "the gates read x and h; c is multiplied by the forget gate and never meets a weight. "
            "That is its point: nothing but the gate stands in its way.",
            _LSTM,
            (_lstm_keeps_the_state,),
        ),
        Trap(
            "a detached cell",
            _lstm_detached,
            "the numbers are right, but the cell is the road that the gradient takes into the "
            "past. detach() closes it.",
            "A product of Jacobians",
            (_lstm_both_detached,),
        ),
        Trap(
            "the caller's cell overwritten",
            _lstm_in_place,
            "c *= ... writes into the caller's tensor, which somebody else may still read: a beam "
            "search that goes on from it twice, or the backward pass.",
            _LSTM,
        ),
    ),
)


# gru_step


def _gru(x, h, w_ih, w_hh, b_ih, b_hh, order="rzn", new=None, candidate=None):
    """The right step but for the order of its gates, its candidate or its new state."""
    from_x = dict(zip(order, F.linear(x, w_ih, b_ih).chunk(3, -1), strict=True))
    from_h = dict(zip(order, F.linear(h, w_hh, b_hh).chunk(3, -1), strict=True))
    r, z = (torch.sigmoid(from_x[gate] + from_h[gate]) for gate in "rz")
    n = (candidate or _gru_candidate)(from_x["n"], from_h["n"], r)
    return (new or _gru_new)(n, h, z)


def _gru_candidate(from_x, from_h, r):
    return torch.tanh(from_x + r * from_h)


def _gru_new(n, h, z):
    return (1 - z) * n + z * h


def _gru_order(order):
    def wrong(x, h, w_ih, w_hh, b_ih, b_hh):
        return _gru(x, h, w_ih, w_hh, b_ih, b_hh, order)

    return wrong


_GRU_ORDERS = tuple(_gru_order(order) for order in ("zrn", "rnz", "nrz", "znr", "nzr"))


def _gru_swapped(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, new=lambda n, h, z: z * n + (1 - z) * h)


def _gru_sum(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, new=lambda n, h, z: n + z * h)


def _gru_sum_of_share(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, new=lambda n, h, z: (1 - z) * n + h)


def _gru_share_only(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, new=lambda n, h, z: (1 - z) * n)


def _gru_candidate_only(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, new=lambda n, h, z: n)


def _gru_reset_first(x, h, w_ih, w_hh, b_ih, b_hh):
    w_n, b_n = w_hh.chunk(3)[2], b_hh.chunk(3)[2]
    x_r, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, _ = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + F.linear(r * h, w_n, b_n))
    return (1 - z) * n + z * h


def _gru_bias_outside(x, h, w_ih, w_hh, b_ih, b_hh):
    b_n = b_hh.chunk(3)[2]

    def candidate(from_x, from_h, r):
        return torch.tanh(from_x + r * (from_h - b_n) + b_n)

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _gru_reset_on_all(x, h, w_ih, w_hh, b_ih, b_hh):
    def candidate(from_x, from_h, r):
        return torch.tanh(r * (from_x + from_h))

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _gru_reset_on_input(x, h, w_ih, w_hh, b_ih, b_hh):
    def candidate(from_x, from_h, r):
        return torch.tanh(r * from_x + from_h)

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _gru_no_reset(x, h, w_ih, w_hh, b_ih, b_hh):
    def candidate(from_x, from_h, r):
        return torch.tanh(from_x + from_h)

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _gru_reset_inverted(x, h, w_ih, w_hh, b_ih, b_hh):
    def candidate(from_x, from_h, r):
        return torch.tanh(from_x + (1 - r) * from_h)

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _gru_sigmoid_candidate(x, h, w_ih, w_hh, b_ih, b_hh):
    def candidate(from_x, from_h, r):
        return torch.sigmoid(from_x + r * from_h)

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _gru_linear_candidate(x, h, w_ih, w_hh, b_ih, b_hh):
    def candidate(from_x, from_h, r):
        return from_x + r * from_h

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, candidate=candidate)


def _gru_one_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, b_ih, torch.zeros_like(b_hh))


def _gru_other_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, torch.zeros_like(b_ih), b_hh)


def _gru_detached(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h.detach(), w_ih, w_hh, b_ih, b_hh)


def _gru_half_detached(x, h, w_ih, w_hh, b_ih, b_hh):
    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, new=lambda n, h, z: (1 - z) * n + z * h.detach())


def _gru_raw_gates(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = F.linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    return _gru_new(_gru_candidate(x_n, h_n, x_r + h_r), h, x_z + h_z)


def _gru_squashed(x, h, w_ih, w_hh, b_ih, b_hh):
    def new(n, h, z):
        return torch.tanh(_gru_new(n, h, z))

    return _gru(x, h, w_ih, w_hh, b_ih, b_hh, new=new)


_GRU = "The GRU: one gate for two jobs"

GRU_STEP = Exercise(
    reference=reference.gru_step,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=_cell_cases(3),
    contract=_cell_contract(3),
    traps=(
        Trap(
            "z on the wrong side",
            _gru_swapped,
            "in torch z is the share of the *old* state: h' = (1 - z) n + z h. The paper on gated "
            "networks that most people copy from has it the other way round. Each of the two "
            "learns; loaded weights then remember what they should replace.",
            _GRU,
        ),
        Trap(
            "the reset before the product",
            _gru_reset_first,
            "W (r ∘ h) is the cell as first published. torch has r ∘ (W h + b), the reset after "
            "the product, so that all products with h can be done at once. The two are different "
            "networks.",
            _GRU,
        ),
        Trap(
            "the bias outside the reset",
            _gru_bias_outside,
            "the reset gate multiplies W h + b_hn, with its bias. This is why torch's GRU really "
            "needs both biases: they are not one bias written twice.",
            _GRU,
        ),
        Trap(
            "the gates in another order",
            _GRU_ORDERS[0],
            "the three blocks of rows are r, z, n in torch: reset, update, candidate. Keras and "
            "ONNX begin with z.",
            _GRU,
            _GRU_ORDERS[1:],
        ),
        Trap(
            "the input is reset, too",
            _gru_reset_on_all,
            "the reset gate decides how much of the *past* the candidate sees. The input is always "
            "read in full.",
            _GRU,
            (_gru_reset_on_input,),
        ),
        Trap(
            "no reset",
            _gru_no_reset,
            "r is computed and never used, or read the wrong way round. The candidate cannot "
            "start afresh then.",
            _GRU,
            (_gru_reset_inverted,),
        ),
        Trap(
            "old and new do not share",
            _gru_sum,
            "z and 1 - z are shares, and they sum to 1. Without the one or the other the state is "
            "no average of old and new: it grows, or forgets.",
            _GRU,
            (_gru_sum_of_share, _gru_share_only, _gru_candidate_only),
        ),
        Trap(
            "the candidate is no gate",
            _gru_sigmoid_candidate,
            "r and z are gates between 0 and 1; the candidate n is a state, tanh, between -1 and "
            "1.",
            _GRU,
            (_gru_linear_candidate,),
        ),
        Trap(
            "a gate without its sigmoid",
            _gru_raw_gates,
            "r and z are shares, σ of their sums, between 0 and 1. The sum itself may be -3 or 7: "
            "then (1 - z) ∘ n + z ∘ h lies far outside of what it mixes.",
            _GRU,
        ),
        Trap(
            "the mixture squashed",
            _gru_squashed,
            "old and new lie between -1 and 1, and so does their mixture. Another tanh shrinks "
            "what is kept at every step, and the gradient with it.",
            _GRU,
        ),
        Trap(
            "a bias missing",
            _gru_one_bias,
            "both biases belong to the cell. For the candidate they are not even interchangeable: "
            "b_hh is reset, b_ih is not.",
            _GRU,
            (_gru_other_bias,),
        ),
        Trap(
            "a detached state",
            _gru_detached,
            "the numbers are right, but detach() cuts the road into the past. z ∘ h is the part "
            "that carries a gradient unchanged when z is near 1.",
            "A product of Jacobians",
            (_gru_half_detached,),
        ),
    ),
)


# last_hidden


def _last_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)

    def lengths(*values, dtype=torch.int64):
        return torch.tensor(values, device=device, dtype=dtype)

    yield Case("two sequences", (draw.normal(B, T, C), lengths(4, 6)))
    yield Case("single precision", (draw.normal(B, T, C, dtype=SINGLE), lengths(2, 6)))
    yield Case("half precision", (draw.normal(B, T, C, dtype=HALF), lengths(6, 3)))
    yield Case("bfloat16", (draw.normal(B, T, C, dtype=BFLOAT), lengths(5, 3)))
    yield Case("32-bit lengths", (draw.normal(4, T, C), lengths(3, 6, 1, 4, dtype=torch.int32)))
    yield Case("none as long as the batch is wide", (draw.normal(4, T, C), lengths(2, 1, 4, 3)))
    turned = strided(draw.normal(4, T, C))
    yield Case("not contiguous", (turned, lengths(6, 2, 2, 5)))
    b, t, c = draw.integer(5, 8), draw.integer(8, 12), draw.integer(2, 5)
    drawn = draw.integers(b, low=1, high=t)
    yield Case("sizes drawn by lot", (draw.normal(b, t, c), drawn))

    yield Case("a sequence of length 0", (draw.normal(4, T, C), lengths(3, 0, 6, 1)), "edges")
    yield Case("nothing but padding", (draw.normal(B, T, C), lengths(0, 0)), "edges")
    yield Case("no padding", (draw.normal(B, T, C), lengths(T, T)), "edges")
    yield Case("one step", (draw.normal(4, 1, C), lengths(1, 0, 1, 1)), "edges")
    yield Case("one sequence", (draw.normal(1, T, C), lengths(4)), "edges")
    yield Case("width 1", (draw.normal(4, T, 1), lengths(2, 5, 6, 4)), "edges")
    yield Case("an empty batch", (draw.normal(0, T, C), lengths()), "edges")
    dirty = draw.normal(4, T, C)
    dirty[0, 3:] = torch.nan
    dirty[1, 1:] = torch.inf
    dirty[2] = torch.nan
    yield Case("nan and inf in the padding", (dirty, lengths(3, 1, 0, T)), "edges")
    # Small integers end at 127, and half precision counts to 2,048.
    yield Case("2,051 steps", (draw.normal(B, 2051, 1), lengths(2050, 2049)), "edges")


def _last_contract(generator: Generator, device: torch.device) -> Contract:
    draw = _Draw(generator, device)
    b, t, c = 8, 16, 12
    states = draw.normal(b, t, c)
    return Contract(
        calls=((states, draw.integers(b, low=0, high=t + 1)),),
        max_flops=2 * b * t * c,
        max_written=4 * b * (t + 1) * c,
        max_intermediate=b * (t + 1) * c,  # one way puts a step of zeros in front
    )


def _padding_is_not_read(call, generator: Generator, device: torch.device) -> str | None:
    draw = _Draw(generator, device)
    states, lengths = draw.normal(3, T, C), torch.tensor([2, 5, 1], device=device)
    other = states.clone()
    for b, length in enumerate(lengths.tolist()):
        other[b, length:] = draw.normal(T - length, C)
    if not torch.equal(call(states, lengths), call(other, lengths)):
        return "other numbers in the padding change the answer"
    return None


def _rows(states):
    return torch.arange(states.shape[0], device=states.device)


def _last_padded(states, lengths):
    return states[:, -1]


def _last_of_the_longest(states, lengths):
    return states[:, lengths.max() - 1]


def _last_one_too_late(states, lengths):
    return states[_rows(states), lengths]


def _last_one_too_late_gathered(states, lengths):
    index = lengths.long()[:, None, None].expand(-1, 1, states.shape[-1])
    return states.gather(1, index)[:, 0]


def _last_one_too_late_clamped(states, lengths):
    return states[_rows(states), lengths.clamp(max=states.shape[1] - 1)]


def _last_one_too_early(states, lengths):
    return states[_rows(states), (lengths - 2).clamp(min=0)]


def _last_negative_index(states, lengths):
    return states[_rows(states), lengths - 1]


def _last_first_of_nothing(states, lengths):
    return states[_rows(states), (lengths - 1).clamp(min=0)]


def _last_from_the_end(states, lengths):
    return states[_rows(states), -lengths]


def _last_mean(states, lengths):
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    kept = states.masked_fill(~real[..., None], 0.0)
    return kept.sum(1) / lengths.clamp(min=1)[:, None]


def _last_mean_of_all(states, lengths):
    return states.mean(1)


def _last_sum(states, lengths):
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    return states.masked_fill(~real[..., None], 0.0).sum(1)


def _last_maximum(states, lengths):
    real = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
    return states.masked_fill(~real[..., None], -torch.inf).amax(1)


def _last_masked_by_product(states, lengths):
    is_last = torch.arange(states.shape[1], device=states.device) == lengths[:, None] - 1
    return (states * is_last[..., None]).sum(1)


def _last_masked_afterwards(states, lengths):
    last = states[_rows(states), (lengths - 1).clamp(min=0)]
    return last * (lengths > 0)[:, None]


def _last_sorted(states, lengths):
    order = lengths.argsort(descending=True, stable=True)
    right = _last_masked(states, lengths)
    return right[order]


def _last_masked(states, lengths):
    is_last = torch.arange(states.shape[1], device=states.device) == lengths[:, None] - 1
    return states.masked_fill(~is_last[..., None], 0.0).sum(1)


def _last_detached(states, lengths):
    return _last_masked(states.detach(), lengths)


_LAST = "The last real step"

LAST_HIDDEN = Exercise(
    reference=reference.last_hidden,
    chapter=CHAPTER,
    points={"values": 2, "edges": 2, "gradients": 1, "types": 1, "contracts": 1},
    cases=_last_cases,
    contract=_last_contract,
    properties=(Property("other padding", _padding_is_not_read),),
    traps=(
        Trap(
            "the last padded step",
            _last_padded,
            "states[:, -1] is the last column of the batch. For all but the longest sequences that "
            "is padding: the state after reading nothing, several times. It is right in every test "
            "with one sequence.",
            _LAST,
            (_last_of_the_longest,),
        ),
        Trap(
            "one step too late",
            _last_one_too_late,
            "a sequence of length n has its last step at n - 1. At n stands the first step of the "
            "padding, or nothing at all.",
            _LAST,
            (_last_one_too_late_gathered, _last_one_too_late_clamped),
        ),
        Trap(
            "one step too early",
            _last_one_too_early,
            "counted from 0 the last step of n is n - 1; once, not twice.",
            _LAST,
        ),
        Trap(
            "an index of -1",
            _last_negative_index,
            "a sequence of length 0 asks for the step -1, and Python's -1 is the last one: the "
            "empty sentence gets the state at the end of the padding.",
            _LAST,
        ),
        Trap(
            "the first step of nothing",
            _last_first_of_nothing,
            "clamped at 0, a sequence of length 0 gets the state after its first step, which is "
            "padding. It has read nothing: zeros.",
            _LAST,
        ),
        Trap(
            "counted from the end",
            _last_from_the_end,
            "-lengths counts backwards from the end of the padded row, as if the padding stood in "
            "front. Here it stands behind.",
            _LAST,
        ),
        Trap(
            "all states mixed",
            _last_mean,
            "a mean, a sum or a maximum over time is another summary (pooling), and often a good "
            "one. Asked for is the one state that has read everything.",
            _LAST,
            (_last_mean_of_all, _last_sum, _last_maximum),
        ),
        Trap(
            "nan times 0",
            _last_masked_by_product,
            "a mask that is multiplied in does not hide nan or infinity: 0 · nan is nan. Choose "
            "with masked_fill or torch.where, which do not read what they drop.",
            _LAST,
            (_last_masked_afterwards,),
        ),
        Trap(
            "in order of length",
            _last_sorted,
            "batches used to be sorted by length for torch's packing, and whoever does it has to "
            "put the rows back in their order. Otherwise every sentence gets another one's state.",
            _LAST,
        ),
        Trap(
            "detached states",
            _last_detached,
            "the numbers are right, but no gradient reaches the network that made the states.",
            "A product of Jacobians",
        ),
    ),
)


# gradient_norm_by_lag


def _norm_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)
    yield Case("a batch", (draw.jacobians(B),))
    yield Case("single precision", (draw.jacobians(B, dtype=SINGLE),))
    yield Case("half precision", (draw.jacobians(B, dtype=HALF),))
    yield Case("bfloat16", (draw.jacobians(B, dtype=BFLOAT),))
    yield Case("no batch dimension", (draw.jacobians(),))
    yield Case("two batch dimensions", (draw.jacobians(B, 4),))
    yield Case("wider states", (draw.jacobians(4, t=3, c=8),))
    yield Case("not contiguous", (strided(draw.jacobians(B)),))
    t, c = draw.integer(7, 10), draw.integer(4, 7)
    yield Case("sizes drawn by lot", (draw.jacobians(draw.integer(2, 5), t=t, c=c),))

    yield Case("one step", (draw.jacobians(B, t=1),), "edges")
    yield Case("no step", (draw.jacobians(B, t=0),), "edges")
    yield Case("width 1", (draw.jacobians(B, c=1),), "edges")
    yield Case("an empty batch", (draw.jacobians(0),), "edges")
    yield Case("vanishing", (draw.jacobians(B, scale=0.1),), "edges")
    yield Case("exploding", (draw.jacobians(B, scale=1e2),), "edges")
    # Each of these alone has norm 1; one order of the product has, too, and the other is 0.
    shift = torch.zeros(4, 2, 2, device=device, dtype=DOUBLE)
    shift[0::2, 0, 0] = 1.0
    shift[1::2, 0, 1] = 1.0
    yield Case("what one step forgets stays forgotten", (shift,), "edges")
    angle = draw.uniform(T, low=0.0, high=6.0)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
    yield Case("rotations", (turn,), "edges")


def _norm_contract(generator: Generator, device: torch.device) -> Contract:
    b, t, c = 2, 24, 8
    return Contract(
        calls=((_Draw(generator, device).jacobians(b, t=t, c=c),),),
        max_flops=2 * b * t * c**3,
        max_written=8 * b * (t + 1) * c**2,
        max_intermediate=b * (t + 1) * c**2,
    )


def _norms(jacobians, product_of=None, norm=None, oldest_first=False):
    """The right answer but for one of its parts."""
    width = jacobians.shape[-1]
    product = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = product.expand(*jacobians.shape[:-3], width, width)
    products = [product]
    steps = jacobians.unbind(-3)
    for jacobian in steps if oldest_first else steps[::-1]:
        product = (product_of or torch.matmul)(product, jacobian)
        products.append(product)
    norm = norm or torch.linalg.matrix_norm
    return torch.stack([norm(p) for p in products], -1)


def _norm_of_each(jacobians):
    return torch.linalg.matrix_norm(jacobians).flip(-1)


def _norm_product_after_the_first(jacobians):
    first = _norms(jacobians)[..., :1]
    return torch.cat((first, _norm_of_each(jacobians).cumprod(-1)), -1)


def _norm_product_of_norms(jacobians):
    each = torch.cat((_norms(jacobians)[..., :1], _norm_of_each(jacobians)), -1)
    return each.cumprod(-1)


def _norm_product_of_norms_from_one(jacobians):
    each = _norm_of_each(jacobians)
    return torch.cat((torch.ones_like(_norms(jacobians)[..., :1]), each), -1).cumprod(-1)


def _norm_product_by(order):
    def wrong(jacobians):
        each = torch.linalg.matrix_norm(jacobians, order).flip(-1)
        return torch.cat((_norms(jacobians)[..., :1], each), -1).cumprod(-1)

    return wrong


def _norm_single(jacobians):
    return torch.cat((_norms(jacobians)[..., :1], _norm_of_each(jacobians)), -1)


def _norm_wrong_order(jacobians):
    return _norms(jacobians, lambda product, jacobian: jacobian @ product)


def _norm_from_the_start(jacobians):
    return _norms(jacobians, lambda product, jacobian: jacobian @ product, oldest_first=True)


def _norm_from_the_start_wrong_order(jacobians):
    return _norms(jacobians, oldest_first=True)


def _norm_lag_0_missing(jacobians):
    return _norms(jacobians)[..., 1:]


def _norm_last_lag_missing(jacobians):
    return _norms(jacobians)[..., :-1]


def _norm_reversed(jacobians):
    return _norms(jacobians).flip(-1)


def _norm_squared(jacobians):
    return _norms(jacobians) ** 2


def _norm_root_of_mean(jacobians):
    return _norms(jacobians) / jacobians.shape[-1]


def _norm_of_a_unit(jacobians):
    return _norms(jacobians) / jacobians.shape[-1] ** 0.5


def _norm_elementwise(jacobians):
    return _norms(jacobians, torch.mul)


def _norm_elementwise_from_ones(jacobians):
    ones = torch.ones_like(_norms(jacobians)[..., None, None][..., :1, :, :])
    ones = ones.expand(*jacobians.shape[:-3], 1, *jacobians.shape[-2:])
    return torch.linalg.matrix_norm(torch.cat((ones, jacobians.flip(-3)), -3).cumprod(-3))


def _norm_by(norm):
    def wrong(jacobians):
        return _norms(jacobians, norm=norm)

    return wrong


def _norm_one_at_lag_0(jacobians):
    norms = _norms(jacobians)
    return torch.cat((torch.ones_like(norms[..., :1]), norms[..., 1:]), -1)


_PRODUCT = "A product of Jacobians"

GRADIENT_NORM_BY_LAG = Exercise(
    reference=reference.gradient_norm_by_lag,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "types": 1, "contracts": 2},
    cases=_norm_cases,
    contract=_norm_contract,
    traps=(
        Trap(
            "a product of norms",
            _norm_product_of_norms,
            "the norm of a product is at most the product of the norms, and mostly far below it: "
            "one step stretches along directions that the next one shrinks. Multiply the matrices, "
            "then take the norm.",
            _PRODUCT,
            (_norm_product_of_norms_from_one, _norm_product_after_the_first, _norm_product_by(2)),
        ),
        Trap(
            "multiplied in the wrong order",
            _norm_wrong_order,
            "∂h_T/∂h_{T-2} = J_T J_{T-1}: the newest Jacobian stands on the left, and every older "
            "one is multiplied from the *right*. Matrices do not commute, and no shape gives it "
            "away. (Jacobians that are transposed give the same numbers.)",
            _PRODUCT,
        ),
        Trap(
            "counted from the start",
            _norm_from_the_start,
            "that is ∂h_t/∂h_0, forward from the first step. Asked for is ∂h_T/∂h_{T-lag}: from "
            "the last state backwards, as the gradient travels.",
            _PRODUCT,
            (_norm_from_the_start_wrong_order,),
        ),
        Trap(
            "a lag missing",
            _norm_lag_0_missing,
            "T Jacobians make T + 1 lags: lag 0 is ∂h_T/∂h_T, the identity, whose norm is √C, and "
            "lag T is the product of all.",
            _PRODUCT,
            (_norm_last_lag_missing,),
        ),
        Trap(
            "1 at lag 0",
            _norm_one_at_lag_0,
            "lag 0 is the identity, and its Frobenius norm is √C: C ones on the diagonal, squared, "
            "added, and the root taken. All later lags are to be compared with that.",
            _PRODUCT,
        ),
        Trap(
            "the lags backwards",
            _norm_reversed,
            "lag 0 comes first. The Jacobians are stored oldest first, the lags are counted from "
            "the newest.",
            _PRODUCT,
        ),
        Trap(
            "each Jacobian by itself",
            _norm_single,
            "the norm of one step says what is lost in that step. What is left after many is the "
            "norm of the product of them all.",
            _PRODUCT,
        ),
        Trap(
            "the root forgotten",
            _norm_squared,
            "the Frobenius norm is the *square root* of the sum of squares.",
            _PRODUCT,
        ),
        Trap(
            "divided by the width",
            _norm_root_of_mean,
            "a sum of squares, not their mean: the norm of the identity is √C, not 1.",
            _PRODUCT,
            (_norm_of_a_unit,),
        ),
        Trap(
            "multiplied entry by entry",
            _norm_elementwise,
            "* multiplies entries, @ multiplies matrices. The chain rule needs the second: an "
            "entry of the product is a sum over all ways from one unit to another.",
            _PRODUCT,
            (_norm_elementwise_from_ones,),
        ),
        Trap(
            "another norm",
            _norm_by(lambda p: torch.linalg.matrix_norm(p, 2)),
            "the largest singular value, the sum of all, the largest column, the largest entry, "
            "the trace, the determinant: each measures something else. Asked for is the Frobenius "
            "norm, the root of the sum of all squared entries, torch.linalg.matrix_norm's default.",
            _PRODUCT,
            (
                _norm_by(lambda p: torch.linalg.matrix_norm(p, "nuc")),
                _norm_by(lambda p: torch.linalg.matrix_norm(p, 1)),
                _norm_by(lambda p: p.abs().sum((-2, -1))),
                _norm_by(lambda p: p.abs().amax((-2, -1))),
                _norm_by(lambda p: p.diagonal(0, -2, -1).sum(-1)),
                _norm_by(lambda p: torch.linalg.det(p.double()).abs().to(p.dtype)),
            ),
        ),
    ),
)


# receptive_field


def _field_cases(generator: Generator, device: torch.device) -> Iterator[Case]:
    draw = _Draw(generator, device)

    def layers(kernel_sizes, dilations=None, strides=None):
        ones = [1] * len(kernel_sizes)
        rows = (kernel_sizes, dilations or ones, strides or ones)
        return tuple(torch.tensor(r, device=device, dtype=torch.int64) for r in rows)

    # Not the same from either end, or a second call with reversed numbers would be the first again.
    yield Case("dilated and strided", layers([3, 5, 2, 4], [2, 1, 3, 2], [1, 3, 2, 5]))
    yield Case("three layers of kernel 3", layers([3, 3, 3]))
    yield Case("different kernels", layers([5, 2, 7, 3]))
    yield Case("dilated", layers([2, 2, 2, 2], [1, 2, 4, 8]))
    yield Case("dilated, different kernels", layers([3, 5, 2], [2, 3, 7]))
    yield Case("strided", layers([3, 3, 4], None, [2, 2, 1]))
    n = draw.integer(5, 8)
    drawn = tuple(draw.integers(n, low=low, high=6) for low in (2, 1, 1))
    yield Case("drawn by lot", drawn)

    yield Case("one layer", layers([5]), "edges")
    yield Case("one layer, dilated and strided", layers([5], [3], [2]), "edges")
    yield Case("kernels of one", layers([1, 1, 1], [4, 2, 9], [2, 1, 3]), "edges")
    yield Case("no layer", layers([]), "edges")
    yield Case("larger steps than kernels", layers([2, 2, 3], None, [5, 7, 2]), "edges")
    yield Case("wide kernels, large steps", layers([300, 200, 400], None, [200, 300, 1]), "edges")
    # Small integers end at 127, half precision counts to 2,048, and single to 16,777,216.
    yield Case(
        "kernel 2, dilation doubled 26 times", layers([2] * 27, [2**i for i in range(27)]), "edges"
    )
    yield Case("stride 2 in 26 layers", layers([3] * 26, None, [2] * 26), "edges")


def _field_contract(generator: Generator, device: torch.device) -> Contract:
    """Only the call that is made on another device: a few integers cost nothing however added."""
    n = 40
    draw = _Draw(generator, device)
    kernel_sizes, dilations = (draw.integers(n, low=1, high=9) for _ in range(2))
    strides = draw.integers(n, low=1, high=3)
    return Contract(
        calls=((kernel_sizes, dilations, strides),),
        max_flops=2 * n * n,
        max_written=8 * n * n,
        max_intermediate=n * n,
    )


def _field(kernel_sizes, dilations, strides, reach=None, apart=None, plus=1):
    """The right answer but for one of its parts."""
    reach = (reach or _reach)(kernel_sizes, dilations)
    return plus + (reach * (apart or _apart)(strides)).cumsum(0)


def _reach(kernel_sizes, dilations):
    return (kernel_sizes - 1) * dilations


def _apart(strides):
    return strides.cumprod(0) // strides


def _field_dilation_forgotten(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k - 1)


def _field_stride_forgotten(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=torch.ones_like)


def _field_plain(kernel_sizes, dilations, strides):
    return _field_dilation_forgotten(kernel_sizes, dilations, torch.ones_like(strides))


def _field_whole_kernels(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d)


def _field_sum_of_kernels(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d, plus=0)


def _field_sum_of_widths(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: (k - 1) * d + 1, plus=0)


def _field_dilated_kernel(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, lambda k, d: k * d - 1)


def _field_no_one(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, plus=0)


def _field_product(kernel_sizes, dilations, strides):
    return ((kernel_sizes - 1) * dilations + 1).cumprod(0)


def _field_product_of_kernels(kernel_sizes, dilations, strides):
    return kernel_sizes.cumprod(0)


def _field_own_stride(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: s.cumprod(0))


def _field_stride_of_the_layer(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: s)


def _field_stride_before_only(kernel_sizes, dilations, strides):
    return _field(
        kernel_sizes,
        dilations,
        strides,
        apart=lambda s: torch.cat((torch.ones_like(s[:1]), s[:-1])),
    )


def _field_strides_after(kernel_sizes, dilations, strides):
    return _field(
        kernel_sizes,
        dilations,
        strides,
        apart=lambda s: s.flip(0).cumprod(0).flip(0) // s,
    )


def _field_strides_added(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations, strides, apart=lambda s: 1 + s.cumsum(0) - s)


def _field_dilations_multiplied(kernel_sizes, dilations, strides):
    return _field(kernel_sizes, dilations.cumprod(0), strides)


def _field_largest(kernel_sizes, dilations, strides):
    if not len(kernel_sizes):
        return torch.zeros_like(kernel_sizes)
    return ((kernel_sizes - 1) * dilations + 1).cummax(0).values


def _field_each(kernel_sizes, dilations, strides):
    return (kernel_sizes - 1) * dilations + 1


def _field_last_only(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations * _apart(strides)).sum()


def _field_from_the_input(kernel_sizes, dilations, strides):
    right = _field(kernel_sizes, dilations, strides)
    return torch.cat((torch.ones_like(right[:1]), right)) if len(right) else right + 1


def _field_divided(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations // strides).cumsum(0)


def _field_divided_by_those_before(kernel_sizes, dilations, strides):
    return 1 + ((kernel_sizes - 1) * dilations // _apart(strides)).cumsum(0)


_FIELD = "How far a convolution sees"

RECEPTIVE_FIELD = Exercise(
    reference=reference.receptive_field,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "types": 1},
    cases=_field_cases,
    contract=_field_contract,
    traps=(
        Trap(
            "the dilation forgotten",
            _field_dilation_forgotten,
            "a dilated kernel has gaps: its k taps reach over (k - 1) · d + 1 positions. Without "
            "the dilation, stacks that double it look no better than plain ones.",
            _FIELD,
            (_field_plain,),
        ),
        Trap(
            "the strides forgotten",
            _field_stride_forgotten,
            "after a layer of stride 2, neighbours stand two inputs apart, and every later kernel "
            "reaches twice as far.",
            _FIELD,
        ),
        Trap(
            "divided by the stride",
            _field_divided,
            "a stride makes the output shorter, and what one output sees *wider*: its neighbours "
            "stand further apart in the input. The strides before a layer multiply its reach.",
            _FIELD,
            (_field_divided_by_those_before,),
        ),
        Trap(
            "k instead of k - 1",
            _field_whole_kernels,
            "a kernel of k sees k - 1 positions *beside* the one it stands on, and that one is "
            "counted once, not in every layer. Kernel 1 adds nothing.",
            _FIELD,
            (_field_sum_of_kernels, _field_sum_of_widths),
        ),
        Trap(
            "a dilated kernel of k · d",
            _field_dilated_kernel,
            "k taps have k - 1 gaps between them. The dilated kernel is (k - 1) · d + 1 wide, not "
            "k · d.",
            _FIELD,
        ),
        Trap(
            "the position itself not counted",
            _field_no_one,
            "the sum of all reaches says how far back the output sees. The position it stands on "
            "is one more.",
            _FIELD,
        ),
        Trap(
            "multiplied instead of added",
            _field_product,
            "each layer *adds* what its kernel reaches. Receptive fields multiply only if every "
            "layer strides by its kernel's whole width.",
            _FIELD,
            (_field_product_of_kernels,),
        ),
        Trap(
            "the layer's own stride",
            _field_own_stride,
            "a layer's kernel reads the layer's *input*, before its own stride: the product runs "
            "over the strides of the layers before it.",
            _FIELD,
            (_field_stride_of_the_layer,),
        ),
        Trap(
            "strides do not add up, they multiply",
            _field_stride_before_only,
            "the gap between neighbours is the product of all strides before the layer: not the "
            "last one alone, nor their sum, nor those that come after.",
            _FIELD,
            (_field_strides_added, _field_strides_after),
        ),
        Trap(
            "dilations multiplied up",
            _field_dilations_multiplied,
            "a dilation is counted in positions of the layer's own input, and every layer has its "
            "own. Only strides are handed on to the layers above.",
            _FIELD,
        ),
        Trap(
            "each layer by itself",
            _field_each,
            "layers stand on top of each other: the second sees what the first one saw at each of "
            "its taps. The largest kernel alone does not say how far the network sees.",
            _FIELD,
            (_field_largest,),
        ),
        Trap(
            "one number, or one too many",
            _field_last_only,
            "asked for is the field after *each* layer, the first one's first: as many numbers as "
            "there are layers.",
            _FIELD,
            (_field_from_the_input,),
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (
    RNN_STEP,
    LSTM_STEP,
    GRU_STEP,
    LAST_HIDDEN,
    RECEPTIVE_FIELD,
    GRADIENT_NORM_BY_LAG,
)
