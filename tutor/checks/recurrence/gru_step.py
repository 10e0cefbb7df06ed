"""What ``gru_step`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator
from dataclasses import replace

import torch

import tutor.checks.recurrence.gru_cell as gru
from tutor import recurrence as reference
from tutor.checks.exercise import Case, Exercise, Trap
from tutor.checks.recurrence.cells import (
    as_it_is,
    bias_traps,
    candidate,
    cut_traps,
    gate,
    product_traps,
    sigmoid_traps,
    tanh_traps,
)
from tutor.checks.recurrence.gru_cell import with_
from tutor.checks.recurrence.shared import CHAPTER, CellDraw, cell_cases, cell_contract

_CASES = cell_cases(3)


def _by_hand(draw: CellDraw) -> Iterator[Case]:
    for case in _CASES.by_hand(draw):
        yield case
        *args, b_ih, b_hh = case.args
        far = torch.zeros_like(b_ih).unflatten(0, (3, -1))
        far[2, ::2], far[2, 1::2] = 1000.0, -1000.0  # where a tanh is 1 or -1, and no gate is
        yield Case("a candidate far out", (*args, b_ih + far.flatten(), b_hh), "edges")


_SECTION = "The GRU: one gate for two jobs"

GRU_STEP = Exercise(
    reference=reference.gru_step,
    chapter=CHAPTER,
    points={"values": 3, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=replace(_CASES, by_hand=_by_hand),
    contract=cell_contract(3),
    traps=(
        Trap(
            "z on the wrong side",
            with_(share=gru.turned),
            "in torch z is the share of the *old* state: h' = (1 - z) n + z h. The paper on gated "
            "networks that most people copy from has it the other way round. Each of the two "
            "learns; loaded weights then remember what they should replace.",
            _SECTION,
        ),
        Trap(
            "tanh for the gates",
            with_(gate=candidate),
            "a gate says which share passes, so it lies between 0 and 1: the sigmoid. A share of "
            "-1 would turn the sign of what it lets through.",
            _SECTION,
        ),
        Trap(
            "the reset before the product",
            with_(past=gru.reset_first),
            "W (r ∘ h) is the cell as first published. torch has r ∘ (W h + b), the reset after "
            "the product, so that all products with h can be done at once. The two are different "
            "networks.",
            _SECTION,
        ),
        Trap(
            "the bias outside the reset",
            with_(past=gru.bias_outside),
            "the reset gate multiplies W h + b_hn, with its bias. This is why torch's GRU really "
            "needs both biases: they are not one bias written twice.",
            _SECTION,
        ),
        Trap(
            "the gates in another order",
            gru.WRONG_ORDERS[0],
            "the three blocks of rows are r, z, n in torch: reset, update, candidate. Keras and "
            "ONNX begin with z.",
            _SECTION,
            gru.WRONG_ORDERS[1:],
        ),
        *cut_traps(
            with_(cut=gru.along(0)),
            with_(cut=gru.along(1)),
            _SECTION,
            tuple(with_(cut=cut) for cut in gru.COUNTED_FROM_THE_FRONT),
        ),
        Trap(
            "view of what is not contiguous",
            with_(products=gru.of_views),
            "view only renames what lies in memory in order, and raises for a transposed state. "
            "@ and F.linear take any number of batch dimensions as they are; reshape copies where "
            "it must.",
            _SECTION,
        ),
        Trap(
            "the input's width for the state's",
            with_(cut=gru.BY_THE_INPUT[0]),
            "each block has C rows, the width of the state: C = h.shape[-1]. The width of the "
            "input is a different number, though in some models the two are equal.",
            _SECTION,
            tuple(with_(cut=cut) for cut in gru.BY_THE_INPUT[1:]),
        ),
        Trap(
            "split into pieces of 3",
            with_(cut=gru.in_threes),
            "chunk takes the number of pieces, split the size of one. split(3, dim=-1) gives three "
            "pieces only where C is 3: write chunk(3, dim=-1) or split(C, dim=-1).",
            _SECTION,
        ),
        Trap(
            "the batch without its shape",
            with_(shape=gru.flat),
            "what was flattened into one batch dimension has to be given back its shape, "
            "(*batch, C). @ and F.linear take any number of batch dimensions, none included, as "
            "they are: then there is nothing to flatten.",
            _SECTION,
            (with_(shape=gru.at_least_a_batch),),
        ),
        Trap(
            "dimensions of 1 squeezed away",
            with_(shape=gru.squeezed),
            "squeeze drops every dimension of size 1, also one of the batch or of the state. The "
            "next step then meets another shape. The sums have the right shape already.",
            _SECTION,
            (with_(shape=gru.first_squeezed), with_(shape=gru.last_squeezed)),
        ),
        Trap(
            "gates interleaved",
            with_(cut=gru.interleaved),
            "the rows of one gate stand together: the first C rows are r, the next C are z. "
            "Dealing out every three neighbouring rows to the three gives the right shapes and "
            "other gates.",
            _SECTION,
        ),
        Trap(
            "the input is reset, too",
            with_(past=gru.reset_on_all),
            "the reset gate decides how much of the *past* the candidate sees. The input is always "
            "read in full.",
            _SECTION,
            (with_(past=gru.reset_on_both_biases),),
        ),
        Trap(
            "the input is reset instead of the past",
            with_(past=gru.reset_on_input),
            "the reset gate belongs to what comes from the old state: x's part + r ∘ h's part. On "
            "the other one it hides what was just said, and the past is never forgotten.",
            _SECTION,
        ),
        Trap(
            "no reset",
            with_(past=gru.no_reset),
            "r is computed and never used, or read the wrong way round. The candidate cannot "
            "start afresh then.",
            _SECTION,
            (with_(past=gru.reset_inverted),),
        ),
        Trap(
            "the reset where the old state is kept",
            with_(past=gru.no_reset, new=gru.reset_kept),
            "r says how much of the past the *candidate* sees, and z alone how much of it is kept. "
            "Multiplied with the share that is kept, a reset erases for good what it should only "
            "hide for a moment.",
            _SECTION,
            (with_(new=gru.reset_kept),),
        ),
        Trap(
            "one gate for both jobs",
            with_(gates=gru.update_for_both),
            "r says how much of the past the candidate sees, z how much of it is kept. Each has a "
            "block of rows of its own. One gate for both makes the candidate forget exactly where "
            "the state does not keep.",
            _SECTION,
            (with_(gates=gru.reset_for_both),),
        ),
        Trap(
            "old and new do not share",
            with_(new=gru.sum_of_new),
            "z and 1 - z are shares, and they sum to 1. Without the one or the other the state is "
            "no average of old and new: it grows, or forgets.",
            _SECTION,
            tuple(
                with_(new=other)
                for other in (
                    gru.sum_of_old,
                    gru.sum_of_both,
                    gru.new_alone,
                    gru.old_alone,
                    gru.candidate_alone,
                )
            ),
        ),
        Trap(
            "the candidate is no gate",
            with_(candidate=gate),
            "r and z are gates between 0 and 1; the candidate n is a state, tanh, between -1 and "
            "1.",
            _SECTION,
        ),
        Trap(
            "the candidate without its tanh",
            with_(candidate=as_it_is),
            "the candidate is a state, and tanh keeps it between -1 and 1. The sum itself may be "
            "-3 or 7, and what is mixed into the state grows with it.",
            _SECTION,
        ),
        Trap(
            "a gate without its sigmoid",
            with_(gate=as_it_is),
            "r and z are shares, σ of their sums, between 0 and 1. The sum itself may be -3 or 7: "
            "then (1 - z) ∘ n + z ∘ h lies far outside of what it mixes.",
            _SECTION,
        ),
        *sigmoid_traps(with_, _SECTION),
        *tanh_traps(with_, _SECTION),
        Trap(
            "the mixture squashed",
            with_(new=gru.squashed),
            "old and new lie between -1 and 1, and so does their mixture. Another tanh shrinks "
            "what is kept at every step, and the gradient with it.",
            _SECTION,
            (with_(new=gru.old_squashed),),
        ),
        *product_traps(with_, _SECTION, (with_(sums=gru.of_the_input_alone),)),
        *bias_traps(
            with_,
            "both biases belong to the cell. For the candidate they are not even interchangeable: "
            "b_hh is reset, b_ih is not.",
            _SECTION,
            (with_(past=gru.no_bias_reset),),
        ),
        Trap(
            "the caller's state overwritten",
            gru.in_place,
            "h.mul_(z), or h *= z, writes into the tensor that was passed in. Every earlier state "
            "that was kept in a list is the same tensor, and becomes the last one.",
            _SECTION,
            overwrites="h",
        ),
        Trap(
            "a detached state",
            with_(state=gru.detached),
            "the numbers are right, but detach() cuts the road into the past. z ∘ h is the part "
            "that carries a gradient unchanged when z is near 1.",
            "A product of Jacobians",
            (
                with_(state=gru.detached_where_it_is_mixed_in),
                with_(state=gru.detached_where_it_is_read),
            ),
        ),
    ),
)
