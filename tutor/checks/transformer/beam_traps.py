"""What goes wrong in a beam search, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.transformer import searches as part
from tutor.checks.transformer.searches import with_

SECTION = "Beam search"

TRAPS = (
    Trap(
        "the same beginning K times",
        with_(beginnings=part.all_equal),
        "at first there is one beginning and not K equal ones: they would choose the same symbols, "
        "and all beams would be one sentence. Give the others a score of -infinity.",
        SECTION,
    ),
    Trap(
        "each beam for itself",
        with_(best=part.one_each),
        "the K best of *all* continuations of a row stay, which may all continue one beam. One "
        "continuation of each beam is K times greedy decoding.",
        SECTION,
        (with_(best=part.one_each_of_the_first),),
    ),
    Trap(
        "sentences share their beams",
        with_(best=part.of_all_rows),
        "each sentence of the batch has K beams of its own: continuations compete within a row.",
        SECTION,
    ),
    Trap(
        "the beams of different sentences mixed",
        with_(rows=part.tiled),
        "the K beams of a sentence stand one after another, so its number is repeated K times "
        "before the next one comes: `repeat_interleave`, not `repeat`.",
        SECTION,
        (with_(rows=part.first_row), with_(rows=part.each_beam)),
    ),
    Trap(
        "the history stays behind",
        with_(history=part.history_left),
        "a continuation may come from a different beam than stood in its place. Take its beginning "
        "along: `written.gather`, by the beam it comes from.",
        SECTION,
    ),
    Trap(
        "who has finished stays behind",
        with_(done_moved=part.left),
        "beams change their places. Whether one has ended, and how long it is, moves with it.",
        SECTION,
        (
            with_(lengths_moved=part.left),
            with_(length=part.one_more, lengths_moved=part.left),
            with_(done_moved=part.left, lengths_moved=part.left),
        ),
    ),
    Trap(
        "the latest symbol alone is scored",
        with_(joined=part.latest_alone),
        "the score of a sentence is the sum of the log-probabilities of all its symbols: add to "
        "what the beam has already.",
        SECTION,
        (with_(total_moved=False),),
    ),
    Trap(
        "probabilities added",
        with_(normalised=part.softmax),
        "probabilities are multiplied, so their *logarithms* are added: `log_softmax`.",
        SECTION,
    ),
    Trap(
        "scores without a softmax",
        with_(normalised=part.as_scores),
        "logits of different steps do not compare: a step with large logits would decide for all. "
        "`log_softmax` makes each step's symbols share one probability.",
        SECTION,
    ),
    Trap(
        "a softmax too many",
        with_(normalised=part.twice),
        "`log_softmax` takes scores, and probabilities taken for scores are nearly even.",
        SECTION,
    ),
    Trap(
        "probabilities instead of logarithms",
        with_(normalised=part.softmax, joined=part.times, first_total=1.0),
        "a product of probabilities soon rounds to 0, and a penalty that divides it prefers short "
        "sentences. Scores are logarithms.",
        SECTION,
        (with_(returned=part.exponentials),),
    ),
    Trap(
        "finished sentences go on",
        with_(finished=part.as_before, over=part.just_now),
        "a sentence that has said `end` is finished. It keeps its place among the beams with the "
        "score that it has, and nothing is added to it.",
        SECTION,
        (with_(finished=part.as_before),),
    ),
    Trap(
        "finished sentences pay again",
        with_(finished=part.at_its_price),
        "a finished sentence waits, filled with `end`, and that costs nothing: what the model says "
        "after the end is no part of it.",
        SECTION,
    ),
    Trap(
        "finished sentences dropped",
        with_(finished=part.nothing_more),
        "a sentence that has ended stays among the K best until others are better.",
        SECTION,
    ),
    Trap(
        "the length ignored",
        with_(penalty=part.none_at_all),
        "each symbol makes a sentence less likely, so the shortest would win. Divide by the length "
        "penalty.",
        SECTION,
    ),
    Trap(
        "sums returned",
        with_(told=part.as_it_is),
        "the search divided by the length penalty, and what it returned is the sums. The scores "
        "asked for are those that decide: the sum by the penalty.",
        SECTION,
    ),
    Trap(
        "the penalty at the end alone",
        part.at_the_end_alone,
        "the penalty is part of the score by which the K best are chosen in *every* step. Finished "
        "sentences of different lengths compete with unfinished ones.",
        SECTION,
        (with_(ranked=part.as_it_is),),
    ),
    Trap(
        "multiplied by the penalty",
        with_(ranked=part.multiplied, told=part.multiplied),
        "log-probabilities are negative: dividing by a number above 1 brings them nearer to 0, and "
        "so helps long sentences. Multiplied, they suffer twice.",
        SECTION,
        (with_(ranked=part.multiplied), with_(told=part.multiplied)),
    ),
    Trap(
        "all of one length",
        with_(length=part.all_alike),
        "a finished sentence has the length with which it ended, and not that of the others.",
        SECTION,
    ),
    Trap(
        "the end not counted",
        with_(length=part.without_the_end),
        "the length is that of all symbols that are written, and the end is one of them.",
        SECTION,
    ),
    Trap(
        "the start counted",
        with_(length=part.with_the_start),
        "the length is that of the symbols that are written, and the start is none of them.",
        SECTION,
        (with_(penalty=part.six),),
    ),
    Trap(
        "a different penalty",
        with_(penalty=part.the_length),
        "the penalty is ((5 + length) / 6)^alpha.",
        SECTION,
        (with_(penalty=part.no_constant),),
    ),
    Trap(
        "always the same exponent",
        with_(exponent=0.6),
        "alpha is what the call says, and 0.6 where it says nothing; a penalty without any power "
        "is that of alpha 1.",
        SECTION,
        (with_(exponent=1.0),),
    ),
    Trap(
        "the worst kept",
        with_(best=part.worst),
        "the largest scores are the best: those nearest to 0.",
        SECTION,
    ),
    Trap(
        "the best not first",
        with_(returned=part.worst_first),
        "beams are sorted by their scores, the best first.",
        SECTION,
        (with_(best=part.unsorted),),
    ),
    Trap(
        "divided by the number of beams",
        with_(parted=part.by_beams),
        "flattened, beam k's symbol j has the number k V + j. So `// V` is the beam, and `% V` the "
        "symbol.",
        SECTION,
        (with_(parted=part.exchanged),),
    ),
    Trap(
        "what was written is not fed back",
        with_(asked=part.start_alone),
        "each beam is continued after all that it has written so far.",
        SECTION,
    ),
    Trap(
        "the latest symbol fed alone",
        with_(asked=part.last_alone),
        "the model reads the whole beginning each time: it remembers nothing between two calls.",
        SECTION,
        (with_(asked=part.without_the_start),),
    ),
    Trap(
        "it stops at the first end",
        with_(stops=part.one_of_all),
        "the others may become better than the first that ends. Stop when *all* K of every row "
        "have finished.",
        SECTION,
        (with_(stops=part.the_best),),
    ),
    Trap(
        "it never stops",
        with_(stops=part.never),
        "when all beams have finished nothing is left to be written: stop.",
        SECTION,
    ),
    Trap(
        "unfinished sentences worth nothing",
        with_(counted=part.unfinished_nothing),
        "what is unfinished after `longest` symbols counts as it is, with the score that it has.",
        SECTION,
    ),
    Trap(
        "the start returned",
        with_(cut=part.with_start),
        "the answer holds what was written: without the start.",
        SECTION,
    ),
    Trap(
        "the best beam alone",
        with_(returned=part.best_alone),
        "all K beams of each sentence are asked for, and a score for each.",
        SECTION,
        (with_(returned=part.written_alone),),
    ),
    Trap(
        "scores before sentences",
        with_(returned=part.scores_first),
        "the answer is `written, scores`, in this order.",
        SECTION,
    ),
)
