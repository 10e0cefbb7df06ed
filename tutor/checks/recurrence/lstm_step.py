"""What ``lstm_step`` must satisfy, and the wrong answers that people give."""

import torch
from torch.nn import functional as F

from tutor import recurrence as reference
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.recurrence.shared import CHAPTER, cell_cases, cell_contract


def _sums(x, h, w_ih, w_hh, b_ih, b_hh):
    return F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)


def _rows(sums):
    return sums.chunk(4, -1)


def _cell(c, gate):
    return torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])


def _shown(gate, new, old):
    return torch.sigmoid(gate["o"]) * torch.tanh(new)


def _step(
    x, h, c, w_ih, w_hh, b_ih, b_hh, order="ifgo", sums=_sums, rows=_rows, cell=_cell, shown=_shown
):
    """The right step, but for the order of its gates or for one of its parts."""
    gate = dict(zip(order, rows(sums(x, h, w_ih, w_hh, b_ih, b_hh)), strict=True))
    new = cell(c, gate)
    return shown(gate, new, c), new


def _with(**parts):
    def wrong(x, h, c, w_ih, w_hh, b_ih, b_hh):
        return _step(x, h, c, w_ih, w_hh, b_ih, b_hh, **parts)

    return wrong


# Of other libraries and papers first; all 23 would take a check too long.
_WRONG_ORDERS = tuple(
    _with(order=order) for order in ("ifog", "igfo", "iofg", "figo", "fiog", "gifo", "fgio", "ofig")
)


def _interleaved(s):
    return s.unflatten(-1, (-1, 4)).unbind(-1)


def _forget_inverted(c, gate):
    kept = (1 - torch.sigmoid(gate["f"])) * c
    return kept + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])


def _coupled(c, gate):
    f = torch.sigmoid(gate["f"])
    return f * c + (1 - f) * torch.tanh(gate["g"])


def _coupled_to_input(c, gate):
    i = torch.sigmoid(gate["i"])
    return (1 - i) * c + i * torch.tanh(gate["g"])


def _no_forgetting(c, gate):
    return c + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])


def _forget_bias(c, gate):
    return _cell(c, {**gate, "f": gate["f"] + 1})


def _returned_swapped(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _step(x, h, c, w_ih, w_hh, b_ih, b_hh)[::-1]


def _shown_twice(x, h, c, w_ih, w_hh, b_ih, b_hh):
    new, _ = _step(x, h, c, w_ih, w_hh, b_ih, b_hh)
    return new, new


def _no_tanh_of_cell(gate, new, old):
    return torch.sigmoid(gate["o"]) * new


def _squashed_cell(c, gate):
    return torch.tanh(_cell(c, gate))


def _old_cell_shown(gate, new, old):
    return torch.sigmoid(gate["o"]) * torch.tanh(old)


def _sigmoid_for_g(c, gate):
    return torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * torch.sigmoid(gate["g"])


def _g_not_squashed(c, gate):
    return torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * gate["g"]


def _tanh_gates(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = (s.tanh() for s in _sums(x, h, w_ih, w_hh, b_ih, b_hh).chunk(4, -1))
    c = f * c + i * g
    return o * c.tanh(), c


def _one_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + b_ih + h @ w_hh.mT


def _other_bias(x, h, w_ih, w_hh, b_ih, b_hh):
    return x @ w_ih.mT + h @ w_hh.mT + b_hh


def _gates_read_the_cell(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _step(x, c, c, w_ih, w_hh, b_ih, b_hh)


def _keeps_the_state(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _step(x, h, h, w_ih, w_hh, b_ih, b_hh)


def _detached(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _step(x, h, c.detach(), w_ih, w_hh, b_ih, b_hh)


def _both_detached(x, h, c, w_ih, w_hh, b_ih, b_hh):
    return _step(x, h.detach(), c.detach(), w_ih, w_hh, b_ih, b_hh)


def _in_place(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = _sums(x, h, w_ih, w_hh, b_ih, b_hh).chunk(4, -1)
    c *= torch.sigmoid(f)
    c += torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _raw_gates(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = _sums(x, h, w_ih, w_hh, b_ih, b_hh).chunk(4, -1)
    c = f * c + i * torch.tanh(g)
    return o * torch.tanh(c), c


def _raw_output_gate(gate, new, old):
    return gate["o"] * torch.tanh(new)


def _no_output_gate(gate, new, old):
    return torch.tanh(new)


def _cell_dropped(c, gate):
    return torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])


_SECTION = "The LSTM: add, do not overwrite"

LSTM_STEP = Exercise(
    reference=reference.lstm_step,
    chapter=CHAPTER,
    outputs=("new_h", "new_c"),
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=cell_cases(4, states=2),
    contract=cell_contract(4, states=2),
    traps=(
        Trap(
            "the gates in another order",
            _WRONG_ORDERS[0],
            "the four blocks of rows are i, f, g, o in torch: input, forget, candidate, output. "
            "Other libraries and papers have other orders (ONNX i, o, f, g; the early TensorFlow "
            "cell i, g, f, o). Trained from scratch any order learns; loaded weights are scrambled "
            "without an error.",
            _SECTION,
            _WRONG_ORDERS[1:],
        ),
        Trap(
            "gates interleaved",
            _with(rows=_interleaved),
            "the rows of one gate stand together: the first C rows are i, the next C are f. "
            "Splitting every four neighbouring rows among the four gates gives the right shapes "
            "and another cell.",
            _SECTION,
        ),
        Trap(
            "the forget gate inverted",
            _with(cell=_forget_inverted),
            "despite its name the forget gate says how much is *kept*: f = 1 keeps the cell as it "
            "is. With (1 - f) the bias that should make it remember makes it forget.",
            _SECTION,
        ),
        Trap(
            "input and forget gate coupled",
            _with(cell=_coupled),
            "1 - f in the place of i (or 1 - i in the place of f) makes the cell an average of old "
            "and new, as in the GRU. The LSTM's two gates are free: it can keep all and still add.",
            _SECTION,
            (_with(cell=_coupled_to_input),),
        ),
        Trap(
            "nothing is forgotten",
            _with(cell=_no_forgetting),
            "the cell of 1997 had no forget gate, and its state grew along with the text. The gate "
            "came in 2000; torch has it.",
            _SECTION,
        ),
        Trap(
            "1 added to the forget gate",
            _with(cell=_forget_bias),
            "a forget bias of 1 is a good initialisation, and that is where it belongs: in b_ih, "
            "once. Some libraries added it in every step; torch does not.",
            _SECTION,
        ),
        Trap(
            "returned in another order",
            _returned_swapped,
            "(new_h, new_c): what is shown first, what is kept second. Swapped, the next step "
            "reads the unbounded cell as its state.",
            _SECTION,
        ),
        Trap(
            "the cell not returned",
            _shown_twice,
            "h is what the cell shows, c is what it keeps. A step that hands on h twice has lost "
            "what its output gate did not show.",
            _SECTION,
        ),
        Trap(
            "tanh of the cell missing",
            _with(shown=_no_tanh_of_cell),
            "the cell is a sum and may become large; what it shows is bounded by tanh(c) before "
            "the output gate.",
            _SECTION,
        ),
        Trap(
            "the cell itself squashed",
            _with(cell=_squashed_cell, shown=_no_tanh_of_cell),
            "tanh stands on the way out, not on the way on. A tanh in every step of the cell is "
            "the plain recurrent network's product again, and its gradient vanishes the same way.",
            _SECTION,
        ),
        Trap(
            "the old cell shown",
            _with(shown=_old_cell_shown),
            "the output reads the *new* cell: update c first, then show it. With the old one every "
            "answer comes a step late.",
            _SECTION,
        ),
        Trap(
            "the candidate is no gate",
            _with(cell=_sigmoid_for_g),
            "i, f and o are gates between 0 and 1. g is what is written: tanh, between -1 and 1. "
            "With a sigmoid the cell could only ever be increased.",
            _SECTION,
            (_with(cell=_g_not_squashed),),
        ),
        Trap(
            "tanh for the gates",
            _tanh_gates,
            "a gate says which share passes, so it lies between 0 and 1: the sigmoid. A gate of -1 "
            "would turn the sign of the memory at every step.",
            _SECTION,
        ),
        Trap(
            "a gate without its sigmoid",
            _raw_gates,
            "a gate is a share, σ of its sum, between 0 and 1. The sum itself may be -3 or 7, and "
            "at every step the cell would be multiplied by it.",
            _SECTION,
            (_with(shown=_raw_output_gate),),
        ),
        Trap(
            "no output gate",
            _with(shown=_no_output_gate),
            "what is shown is the share o of tanh(c). Without it the cell can keep nothing to "
            "itself until it is needed.",
            _SECTION,
        ),
        Trap(
            "the old cell dropped",
            _with(cell=_cell_dropped),
            "the new cell is what the forget gate keeps of the old one *plus* what is written. "
            "With the second part alone nothing lasts longer than a step.",
            _SECTION,
        ),
        Trap(
            "a bias missing",
            _with(sums=_one_bias),
            "both biases are added, b_ih and b_hh. A forget bias that sits in the one that is left "
            "out is lost.",
            _SECTION,
            (_with(sums=_other_bias),),
        ),
        Trap(
            "h and c mixed up",
            _gates_read_the_cell,
            "the gates read x and h; c is multiplied by the forget gate and never meets a weight. "
            "That is its point: nothing but the gate stands in its way.",
            _SECTION,
            (_keeps_the_state,),
        ),
        Trap(
            "a detached cell",
            _detached,
            "the numbers are right, but the cell is the road that the gradient takes into the "
            "past. detach() closes it.",
            "A product of Jacobians",
            (_both_detached,),
        ),
        Trap(
            "the caller's cell overwritten",
            _in_place,
            "c *= ... writes into the caller's tensor, which somebody else may still read: a beam "
            "search that goes on from it twice, or the backward pass.",
            _SECTION,
        ),
    ),
)
