"""What goes wrong in a warm-up, and the misconceptions behind it."""

import math

from tutor.checks.changes import changeable
from tutor.checks.exercise import Trap

USUAL = 4000
"""Steps of the warm-up where they are left out."""


def _as_it_is(number):
    return number


def _root_of_the_width(width):
    return width**-0.5


def _line(step, top):
    return step * top**-1.5


def _root(step, top):
    return step**-0.5


def _times(scale, chosen, falling, rising):
    return scale * chosen(falling, rising)


def _rate(
    step,
    width,
    warmup_steps=USUAL,
    number=_as_it_is,
    top=_as_it_is,
    scaled=_root_of_the_width,
    rising=_line,
    falling=_root,
    chosen=min,
    joined=_times,
):
    """The right rate, but for the parts that are given."""
    if min(step, width, warmup_steps) < 1:
        raise ValueError("all three are at least 1")
    step, warmup_steps = number(step), top(warmup_steps)
    both = falling(step, warmup_steps), rising(step, warmup_steps)
    return joined(scaled(width), chosen, *both)


with_ = changeable(_rate)


def _one_more(step):
    return step + 1


def _one_less(step):
    return max(step - 1, 1e-9)


def _usual(top):
    return USUAL


def _root_growing(width):
    return width**0.5


def _inverse(width):
    return 1 / width


def _half_of_inverse(width):
    """width ** -1 / 2"""
    return 1 / width / 2


def _one(width):
    return 1.0


def _base(width):
    return 512**-0.5


def _level(step, top):
    return top**-0.5


def _never(step, top):
    return math.inf


def _hyperbola(step, top):
    return top**0.5 / step


def _bare_hyperbola(step, top):
    return 1 / step


def _share(step, top):
    return step / top


def _half_power(step, top):
    return step * top**-0.5


def _half_of_hyperbola(step, top):
    return 1 / step / 2


def _half_of_cube(step, top):
    """step * top ** -3 / 2"""
    return step * top**-3 / 2


def _root_rising(step, top):
    return step**0.5 / top


def _root_growing_steps(step, top):
    return step**0.5


def _width_inside(scale, chosen, falling, rising):
    return chosen(scale * falling, rising)


def _width_of_the_line(scale, chosen, falling, rising):
    return chosen(falling, scale * rising)


def _without_width(scale, chosen, falling, rising):
    return chosen(falling, rising)


def _of_the_peak(step, width, warmup_steps=USUAL):
    return _rate(step, width, warmup_steps, scaled=_one) * warmup_steps**0.5


def _sum(falling, rising):
    return falling + rising


def _jump(step, width, warmup_steps=USUAL):
    if step <= warmup_steps:
        return _rate(step, width, warmup_steps)
    return _rate(step - warmup_steps, width, warmup_steps, rising=_never)


def _late(step, width, warmup_steps=USUAL):
    chosen = {"falling": _never} if step <= warmup_steps + 1 else {"rising": _never}
    return _rate(step, width, warmup_steps, **chosen)


def _early(step, width, warmup_steps=USUAL):
    chosen = {"falling": _never} if step < warmup_steps - 1 else {"rising": _never}
    return _rate(step, width, warmup_steps, **chosen)


_SECTION = "Warm-up"

TRAPS = (
    Trap(
        "one step off",
        with_(number=_one_more),
        "steps are counted from 1, and the first one has the rate of step 1. Adding 1 mends a "
        "count that begins at 0, and this one does not; taking 1 away makes the first rate 0.",
        _SECTION,
        (with_(number=_one_less),),
    ),
    Trap(
        "the larger of the two",
        with_(chosen=max),
        "of the two curves the lower one counts: the line while it is below the root, and the "
        "root from there. Their maximum begins enormous and then grows for ever.",
        _SECTION,
    ),
    Trap(
        "both added",
        with_(chosen=_sum),
        "one of the two counts at a time: the smaller.",
        _SECTION,
    ),
    Trap(
        "a rate that grows with the width",
        with_(scaled=_root_growing),
        "the exponent is -1/2: a wider model takes smaller steps.",
        _SECTION,
    ),
    Trap(
        "divided by the whole width",
        with_(scaled=_inverse),
        "the rate is divided by the root of the width, and not by the width.",
        _SECTION,
    ),
    Trap(
        "-1/2 without its brackets",
        with_(scaled=_half_of_inverse),
        "`**` comes before `/`: `width ** -1/2` is half of 1 / width. Write `** -0.5`.",
        _SECTION,
        (
            with_(falling=_half_of_hyperbola),
            with_(scaled=_half_of_inverse, falling=_half_of_hyperbola),
            with_(rising=_half_of_cube),
            with_(scaled=_half_of_inverse, falling=_half_of_hyperbola, rising=_half_of_cube),
        ),
    ),
    Trap(
        "the two change places a step off",
        _late,
        "the line counts up to step `warmup_steps`, where both curves have the same rate, and "
        "the root from there. `min` finds the place by itself.",
        _SECTION,
        (_early,),
    ),
    Trap(
        "the width left out",
        with_(scaled=_one),
        "the rate is divided by the root of the width: a wider model takes smaller steps.",
        _SECTION,
        (with_(joined=_without_width),),
    ),
    Trap(
        "the width on one side only",
        with_(joined=_width_inside),
        "the root of the width divides both curves: `width**-0.5 * min(...)`. Inside of the "
        "minimum it moves the place where the two meet.",
        _SECTION,
        (with_(joined=_width_of_the_line),),
    ),
    Trap(
        "the base model's width for all",
        with_(scaled=_base),
        "the width is an argument: 512 is that of one model.",
        _SECTION,
    ),
    Trap(
        "the paper's warm-up for all",
        with_(top=_usual),
        "4,000 steps are what is used where `warmup_steps` is left out.",
        _SECTION,
    ),
    Trap(
        "no decay",
        with_(falling=_level),
        "after the warm-up the rate falls with the root of the step. What stays at its largest "
        "value never lets the weights settle.",
        _SECTION,
    ),
    Trap(
        "no warm-up",
        with_(rising=_never),
        "the root alone is largest at the very first step, when nothing is known: that is what "
        "the line is there to prevent.",
        _SECTION,
    ),
    Trap(
        "the decay begins anew",
        _jump,
        "the root counts all steps, those of the warm-up too: so the two curves meet, and the "
        "rate does not jump.",
        _SECTION,
    ),
    Trap(
        "a decay that is too fast",
        with_(falling=_hyperbola),
        "the rate falls with the *root* of the step, `step**-0.5`, and not with the step.",
        _SECTION,
        (with_(falling=_bare_hyperbola),),
    ),
    Trap(
        "a decay that grows",
        with_(falling=_root_growing_steps),
        "the exponent of the step is -1/2.",
        _SECTION,
    ),
    Trap(
        "another slope",
        with_(rising=_share),
        "the line is `step * warmup_steps**-1.5`: with this power it meets the root at the end "
        "of the warm-up.",
        _SECTION,
        (with_(rising=_half_power),),
    ),
    Trap(
        "a warm-up along a root",
        with_(rising=_root_rising),
        "in the warm-up the rate grows in proportion to the step.",
        _SECTION,
    ),
    Trap(
        "a share of the largest rate",
        _of_the_peak,
        "this is 1 at the end of the warm-up: what a scheduler multiplies a rate by. Asked for "
        "is the rate itself.",
        _SECTION,
    ),
)
