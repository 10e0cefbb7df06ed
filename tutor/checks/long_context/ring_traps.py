"""The wrong answers that people give to ``RingAttention``."""

from tutor.checks.exercise import Trap
from tutor.checks.long_context import rings
from tutor.checks.long_context.rings import with_
from tutor.checks.long_context.shared import RING

TRAPS = (
    Trap(
        "merged without the log-sum-exp",
        with_(merge=rings.mean_of_answers),
        "the answers to the blocks were averaged. A block with high scores has to count for more, "
        "and the softmax of a block has forgotten how high its scores were: the log-sum-exp beside "
        "it knows, and e^lse is its weight.",
        RING,
        (
            with_(merge=rings.mean_of_answers, future=False),
            with_(merge=rings.sum_of_answers),
        ),
    ),
    Trap(
        "the log-sum-exp not brought up to date",
        with_(merge=rings.lse_kept),
        "after a merge the sum of weights is that of both. With the old one, the third block is "
        "weighed against the first alone.",
        RING,
        (with_(merge=rings.lse_of_the_last), with_(merge=rings.largest_lse)),
    ),
    Trap(
        "the newest block alone",
        with_(merge=rings.newest),
        "every block takes the place of the one before. The answer is over all keys so far.",
        RING,
        (with_(merge=rings.newest, future=False),),
    ),
    Trap(
        "an overflow in the merge",
        with_(merge=rings.later_by_exponentials),
        "e^lse is infinite where a score is above 709 in double precision, above 88 in single. "
        "Only differences of log-sum-exps may stand in an exponential, and these from the larger "
        "one: torch.logaddexp, or subtract the maximum of both.",
        RING,
        (with_(merge=rings.by_exponentials), with_(merge=rings.log_of_one_more)),
    ),
    Trap(
        "the shares exchanged",
        with_(merge=rings.exchanged),
        "what was there has the share e^(lse - both), what came e^(block's lse - both).",
        RING,
    ),
    Trap(
        "the maximum for the sum",
        with_(block=rings.mean_as_sum),
        "the largest score of a block is not the logarithm of its sum of weights: of two blocks "
        "with equal maxima, the one with more keys near it counts for more.",
        RING,
    ),
    Trap(
        "a block that is not normalised",
        with_(block=rings.not_normalised),
        "the block's weights were taken off their own maximum and not divided by their sum, and "
        "then merged by the log-sum-exp as if they had been. Do one or the other: shares with the "
        "log-sum-exp, or sums with the maximum.",
        RING,
    ),
    Trap(
        "a block without its maximum",
        with_(block=rings.unshifted),
        "exp(score) is infinite from 709 on in double precision, from 88 on in single. logsumexp "
        "and softmax take off the maximum by themselves.",
        RING,
    ),
    Trap(
        "logarithms to base 2",
        with_(block=rings.in_base_two),
        "GPU kernels count in powers of 2; merged with natural exponentials their log-sum-exp has "
        "to be multiplied by log 2 first.",
        RING,
    ),
    Trap(
        "causal by numbers in the block",
        with_(far=rings.local),
        "rows and columns of every block were compared as if both began at 0. Rank r's queries "
        "stand at r · T + i, and a block's keys where its rank's do: of earlier ranks all may be "
        "read, of later ones none, and only one's own block has a triangle. (It is the same if the "
        "number of the block is never changed.)",
        RING,
        (with_(step=rings.the_same),),
    ),
    Trap(
        "its own block in full",
        with_(far=rings.whole_blocks),
        "whole blocks were compared and not tokens: within its own block a query has a future, "
        "too. There the triangle is needed.",
        RING,
    ),
    Trap(
        "only earlier blocks",
        with_(far=rings.earlier_blocks),
        "its own block was left out. A query reads itself and what stands before it on the same "
        "rank.",
        RING,
    ),
    Trap(
        "never causal",
        with_(keep=rings.everything),
        "causal changes nothing: every query reads the blocks of later ranks.",
        RING,
    ),
    Trap(
        "itself hidden",
        with_(keep=rings.exact),
        "a token may read itself: key position ≤ query position.",
        RING,
    ),
    Trap(
        "the future instead of the past",
        with_(keep=rings.after),
        "the comparison is the wrong way round: a key is read if its position is not after the "
        "query's.",
        RING,
    ),
    Trap(
        "nan from a block of the future",
        with_(block=rings.nan_of_nothing, future=False),
        "no key of a later rank may be read: a row of -inf, whose softmax is 0 / 0. Leave such a "
        "block out. It still has to be handed on.",
        RING,
    ),
    Trap(
        "counted the other way round",
        with_(step=rings.forwards),
        "what comes from the rank before is the block of the rank before: after s messages, of "
        "rank - s (modulo the ranks). Counted upwards, the causal mask hides the wrong blocks.",
        RING,
    ),
    Trap(
        "the ring has no end",
        with_(step=rings.without_end),
        "before rank 0 comes the last rank, not rank -1: its keys stand at the end of the text, "
        "in everybody's future. Take the number modulo the ranks.",
        RING,
    ),
    Trap(
        "its own block sent again",
        with_(hand_on=rings.own_again),
        "a rank hands on what it has received. If it sends its own keys every time, its neighbour "
        "reads them R - 1 times, and nobody ever sees those from two ranks away.",
        RING,
    ),
    Trap(
        "values before keys",
        with_(hand_on=rings.values_first),
        "a message is keys and then values, as receive takes them.",
        RING,
    ),
    Trap(
        "its own keys not read",
        with_(first=False),
        "R - 1 messages bring the blocks of the others. A rank's own keys are there from the "
        "beginning, and are read first.",
        RING,
    ),
    Trap(
        "no scale",
        with_(scale=lambda q: 1.0),
        "the scores are divided by √D, as in chapter 3.",
        RING,
        (with_(scale=lambda q: 1 / q.shape[-1]), with_(scale=lambda q: q.shape[-1] ** 0.5)),
    ),
    Trap(
        "detached weights of the blocks",
        with_(merge=rings.half_detached),
        "the numbers are right, and part of the gradient is missing: queries and keys also decide "
        "how much each block counts.",
        RING,
    ),
    Trap(
        "cut off from its keys",
        with_(own=lambda t: t.detach()),
        "a rank's own keys and values were detached before they were read and sent: they never "
        "learn.",
        RING,
    ),
    Trap(
        "anything accepted",
        with_(refuse=lambda q, k, v, rank, ranks: None, fits=lambda k, v, new_k, new_v: None),
        "a rank that the ring has not, or a message of another size, is somebody's mistake, and "
        "would be computed without a word. Raise a ValueError.",
        RING,
        (
            with_(fits=lambda k, v, new_k, new_v: None),
            with_(refuse=lambda q, k, v, rank, ranks: None),
        ),
    ),
)
