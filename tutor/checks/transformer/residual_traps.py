"""What can go wrong around the sublayers of a Transformer's layer, by name."""

from collections.abc import Callable

from tutor.checks.exercise import Trap
from tutor.checks.transformer import layers
from tutor.checks.transformer.shared import NORM, ORDER, RESIDUAL


def residual_traps(with_: Callable, names: tuple[str, ...]) -> tuple[Trap, ...]:
    """``with_``: makes an answer of changes of a layer; ``names``: of its sublayers, in order."""
    last = len(names) - 1
    return (
        Trap(
            "the norm on the other side",
            with_(around=layers.on_the_other_side),
            "norm_first=True is x + f(norm(x)), pre-norm; False is norm(x + f(x)), post-norm, as "
            "in the paper. Here the two were exchanged.",
            ORDER,
        ),
        Trap(
            "always post-norm",
            with_(around=layers.always_after),
            "norm_first was not looked at: with True the norm stands before the sublayer, and x "
            "itself goes past it untouched, x + f(norm(x)).",
            ORDER,
        ),
        Trap(
            "always pre-norm",
            with_(around=layers.always_before),
            "norm_first was not looked at: with False, which is the default, the norm comes after "
            "the sum, norm(x + f(x)).",
            ORDER,
        ),
        Trap(
            "the residual taken after the norm",
            with_(around=layers.past_the_norm),
            "`x = norm(x)` and then `x + f(x)` adds to the normalised x. In pre-norm, what goes "
            "past the sublayer is x as it was: h = norm(x), and x + f(h).",
            RESIDUAL,
        ),
        Trap(
            "only what is added is normalised",
            with_(around=layers.norm_of_what_is_added),
            "post-norm is norm(x + f(x)): the norm is of the sum. x + norm(f(x)) lets x grow from "
            "layer to layer.",
            ORDER,
        ),
        Trap(
            "only x is normalised",
            with_(around=layers.norm_of_x_alone),
            "post-norm is norm(x + f(x)): first the sum, then its norm.",
            ORDER,
        ),
        Trap(
            "a norm too many",
            with_(around=layers.norm_on_both_sides),
            "each sublayer has one norm, on one side: norm(x + f(x)), or x + f(norm(x)).",
            ORDER,
            (
                with_(around=layers.norm_on_both_sides_of_what_is_added),
                with_(end=layers.norm_at_the_end),
                with_(end=layers.norm_at_every_end),
            ),
        ),
        Trap(
            "no norm",
            with_(around=layers.no_norm),
            "each sublayer has a norm of its own, on one side or the other. Without it numbers "
            "grow from layer to layer.",
            NORM,
        ),
        Trap(
            "the last norm missing",
            with_(around=layers.no_norm_of(last)),
            f"the sublayer {names[last]} has a norm, too: it is the last of norms.",
            NORM,
        ),
        Trap(
            "the first norm missing",
            with_(around=layers.no_norm_of(0)),
            f"the sublayer {names[0]} has a norm, too: it is the first of norms.",
            NORM,
        ),
        Trap(
            "no residual",
            with_(around=layers.no_way_past),
            "what a sublayer makes is added to what it was given. Without that way past, a layer "
            "has to make everything anew, and a deep stack does not learn.",
            RESIDUAL,
        ),
        *(
            Trap(
                f"no residual around the sublayer {name}",
                with_(around=layers.no_way_past_of(number)),
                f"the sublayer {name} has a way past it, too: what it makes is added to what it "
                "was given.",
                RESIDUAL,
            )
            for number, name in enumerate(names)
        ),
        Trap(
            "past the whole layer",
            with_(around=layers.past_all),
            "the second sublayer adds to what the first has left, and not to what came into the "
            "layer: otherwise what the first has read is lost on the way past.",
            RESIDUAL,
        ),
        Trap(
            "side by side",
            with_(around=layers.side_by_side),
            "every sublayer read what came into the layer. They stand one after another: the "
            "next one reads what the one before has left.",
            RESIDUAL,
        ),
        Trap(
            "x added twice",
            with_(around=layers.twice_past),
            "x + f(x): x goes past once. (A sublayer function of yours that adds x itself does it "
            "a second time.)",
            RESIDUAL,
        ),
        Trap(
            "the sum divided",
            with_(around=layers.averaged),
            "a residual is a sum, not an average: x passes in full.",
            RESIDUAL,
            (with_(around=layers.by_root_of_two),),
        ),
        Trap(
            "multiplied instead of added",
            with_(around=layers.multiplied),
            "a residual is a sum: x + f(x). Multiplied, a zero of f stops everything, and the way "
            "past is none.",
            RESIDUAL,
        ),
        Trap(
            "a detached way past",
            with_(around=layers.detached),
            "the numbers are right, but with detach() nothing goes back along the way past, and "
            "that is the way on which the first layers learn.",
            RESIDUAL,
        ),
        Trap(
            "a detached sublayer",
            with_(around=layers.cut_off),
            "the numbers are right, but what the sublayer made was detached: its weights learn "
            "nothing.",
            RESIDUAL,
        ),
        Trap(
            "added into x",
            with_(around=layers.added_in_place),
            "`x += f(x)` writes into the caller's tensor, whom nobody has asked. `x = x + f(x)` "
            "makes a new one.",
            RESIDUAL,
            overwrites="x",
        ),
        Trap(
            "one norm for all",
            with_(which=layers.first_for_all),
            "each sublayer has weights and biases of its own for its norm.",
            NORM,
            (with_(which=layers.last_for_all),),
        ),
        Trap(
            "norms in another order",
            with_(which=layers.exchanged),
            f"norms are in the order of the sublayers: {', '.join(names)}.",
            NORM,
            tuple(
                with_(which=which)
                for which in (
                    layers.one_place_on,
                    layers.last_two_exchanged,
                    layers.first_two_exchanged,
                )[: 3 * (last > 1)]
            ),
        ),
        Trap(
            "weight and bias exchanged",
            with_(which=layers.pairs_turned),
            "each of norms is a pair (weight, bias): weight multiplies, and bias is added.",
            NORM,
        ),
    )
