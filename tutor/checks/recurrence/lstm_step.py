"""What ``lstm_step`` must satisfy, and the wrong answers that people give."""

import torch

from tutor import recurrence as reference
from tutor.checks.changes import changeable
from tutor.checks.exercise import Exercise, Trap
from tutor.checks.recurrence.cells import (
    as_it_is,
    bias_traps,
    both_biases,
    candidate,
    cut_traps,
    gate,
    product_traps,
    products,
)
from tutor.checks.recurrence.shared import CHAPTER, cell_cases, cell_contract


def _rows(sums):
    return sums.chunk(4, -1)


def _cell(c, i, f, g):
    return f * c + i * g


def _updated(new, old):
    return new


def _both(new_h, new_c):
    return new_h, new_c


def _as_they_came(h, c):
    return h, c


def _step(
    x,
    h,
    c,
    w_ih,
    w_hh,
    b_ih,
    b_hh,
    state=_as_they_came,
    order="ifgo",
    products=products,
    biases=both_biases,
    rows=_rows,
    gate=gate,
    forget=gate,
    output=gate,
    candidate=candidate,
    cell=_cell,
    look=_updated,
    squash=candidate,
    returned=_both,
):
    """The right step, but for the order of its gates or for one of its parts."""
    h, c = state(h, c)
    from_x, from_h = products(x, h, w_ih, w_hh, *biases(b_ih, b_hh))
    s = dict(zip(order, rows(from_x + from_h), strict=True))
    new = cell(c, gate(s["i"]), forget(s["f"]), candidate(s["g"]))
    return returned(output(s["o"]) * squash(look(new, c)), new)


_with = changeable(_step)


# Of other libraries and papers first; all 23 would take a check too long.
_WRONG_ORDERS = tuple(
    _with(order=order) for order in ("ifog", "igfo", "iofg", "figo", "fiog", "gifo", "fgio", "ofig")
)


def _interleaved(s):
    return s.unflatten(-1, (-1, 4)).unbind(-1)


def _along(dim):
    def cut(s):
        i, f, g, o = s.chunk(4, dim)
        return i, f, g, o

    return cut


def _inverted(s):
    return 1 - torch.sigmoid(s)


def _plus_one(s):
    return torch.sigmoid(s + 1)


def _all_kept(s):
    return torch.ones_like(s)


def _nothing_kept(s):
    return torch.zeros_like(s)


def _coupled(c, i, f, g):
    return f * c + (1 - f) * g


def _coupled_to_input(c, i, f, g):
    return (1 - i) * c + i * g


def _squashed_cell(c, i, f, g):
    return torch.tanh(f * c + i * g)


def _not_updated(new, old):
    return old


def _shown_alone(new_h, new_c):
    return new_h


def _kept_alone(new_h, new_c):
    return new_c


def _stacked(new_h, new_c):
    return torch.stack((new_h, new_c))


def _swapped(new_h, new_c):
    return new_c, new_h


def _shown_twice(new_h, new_c):
    return new_h, new_h


def _exchanged(h, c):
    return c, h


def _cell_for_both(h, c):
    return c, c


def _state_for_both(h, c):
    return h, h


def _detached(h, c):
    return h, c.detach()


def _both_detached(h, c):
    return h.detach(), c.detach()


def _in_place(x, h, c, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = sum(products(x, h, w_ih, w_hh, b_ih, b_hh)).chunk(4, -1)
    c *= torch.sigmoid(f)
    c += torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


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
        *cut_traps(_with(rows=_along(0)), _with(rows=_along(1)), _SECTION),
        Trap(
            "the forget gate inverted",
            _with(forget=_inverted),
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
            _with(forget=_all_kept),
            "the cell of 1997 had no forget gate, and its state grew along with the text. The gate "
            "came in 2000; torch has it.",
            _SECTION,
        ),
        Trap(
            "1 added to the forget gate",
            _with(forget=_plus_one),
            "a forget bias of 1 is a good initialisation, and that is where it belongs: in b_ih, "
            "once. Some libraries added it in every step; torch does not.",
            _SECTION,
        ),
        Trap(
            "returned in another order",
            _with(returned=_swapped),
            "(new_h, new_c): what is shown first, what is kept second. Swapped, the next step "
            "reads the unbounded cell as its state.",
            _SECTION,
        ),
        Trap(
            "the cell not returned",
            _with(returned=_shown_twice),
            "h is what the cell shows, c is what it keeps. A step that hands on h twice has lost "
            "what its output gate did not show.",
            _SECTION,
            tuple(_with(returned=r) for r in (_shown_alone, _kept_alone, _stacked)),
        ),
        Trap(
            "tanh of the cell missing",
            _with(squash=as_it_is),
            "the cell is a sum and may become large; what it shows is bounded by tanh(c) before "
            "the output gate.",
            _SECTION,
        ),
        Trap(
            "the cell itself squashed",
            _with(cell=_squashed_cell, squash=as_it_is),
            "tanh stands on the way out, not on the way on. A tanh in every step of the cell is "
            "the plain recurrent network's product again, and its gradient vanishes the same way.",
            _SECTION,
        ),
        Trap(
            "the old cell shown",
            _with(look=_not_updated),
            "the output reads the *new* cell: update c first, then show it. With the old one every "
            "answer comes a step late.",
            _SECTION,
        ),
        Trap(
            "the candidate is no gate",
            _with(candidate=gate),
            "i, f and o are gates between 0 and 1. g is what is written: tanh, between -1 and 1. "
            "With a sigmoid the cell could only ever be increased.",
            _SECTION,
            (_with(candidate=as_it_is),),
        ),
        Trap(
            "tanh for the gates",
            _with(gate=candidate, forget=candidate, output=candidate),
            "a gate says which share passes, so it lies between 0 and 1: the sigmoid. A gate of -1 "
            "would turn the sign of the memory at every step.",
            _SECTION,
        ),
        Trap(
            "a gate without its sigmoid",
            _with(gate=as_it_is, forget=as_it_is, output=as_it_is),
            "a gate is a share, σ of its sum, between 0 and 1. The sum itself may be -3 or 7, and "
            "at every step the cell would be multiplied by it.",
            _SECTION,
            (_with(output=as_it_is), _with(forget=as_it_is), _with(gate=as_it_is)),
        ),
        Trap(
            "no input gate",
            _with(gate=_all_kept),
            "what is written is the share i of the candidate g. Without it every input is written "
            "in full, and the cell can ignore nothing.",
            _SECTION,
        ),
        Trap(
            "no output gate",
            _with(output=_all_kept),
            "what is shown is the share o of tanh(c). Without it the cell can keep nothing to "
            "itself until it is needed.",
            _SECTION,
        ),
        Trap(
            "the old cell dropped",
            _with(forget=_nothing_kept),
            "the new cell is what the forget gate keeps of the old one *plus* what is written. "
            "With the second part alone nothing lasts longer than a step.",
            _SECTION,
        ),
        *product_traps(_with, _SECTION),
        *bias_traps(
            _with,
            "both biases are added, b_ih and b_hh. A forget bias that sits in the one that is left "
            "out is lost.",
            _SECTION,
        ),
        Trap(
            "sigmoid of the cell",
            _with(squash=gate),
            "what is shown is o ∘ tanh(c): the cell may be negative, and the sigmoid would never "
            "let that be seen.",
            _SECTION,
        ),
        Trap(
            "h and c mixed up",
            _with(state=_cell_for_both),
            "the gates read x and h; c is multiplied by the forget gate and never meets a weight. "
            "That is its point: nothing but the gate stands in its way.",
            _SECTION,
            (_with(state=_state_for_both), _with(state=_exchanged)),
        ),
        Trap(
            "a detached cell",
            _with(state=_detached),
            "the numbers are right, but the cell is the road that the gradient takes into the "
            "past. detach() closes it.",
            "A product of Jacobians",
            (_with(state=_both_detached),),
        ),
        Trap(
            "the caller's cell overwritten",
            _in_place,
            "c *= ... writes into the caller's tensor, which somebody else may still read: a beam "
            "search that goes on from it twice, or the backward pass.",
            _SECTION,
            overwrites="c",
        ),
    ),
)
