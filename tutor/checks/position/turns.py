"""RoPE in steps: the right ones, and the wrong ones that people make of them."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.position.angles import given, given_theta, of_width
from tutor.checks.position.shared import angles_of, frequencies_of


def pairs_of(x, layout):
    return x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])


def joined(pairs, layout):
    return torch.cat(pairs, -1) if layout == "half" else torch.stack(pairs, -1).flatten(-2)


def _difference(a, b, cos, sin):
    return a * cos - b * sin


def _sum(a, b, cos, sin):
    return b * cos + a * sin


TURN = _difference, _sum
"""What the first of a pair becomes, and what the second."""


def at_once(turn, a, b, cos, sin):
    first, second = turn
    return first(a, b, cos[0], sin[0]), second(a, b, cos[1], sin[1])


def one_after_the_other(turn, a, b, cos, sin):
    first, second = turn
    a = first(a, b, cos[0], sin[0])
    return a, second(a, b, cos[1], sin[1])


def _as_asked(layout):
    return layout


def _all_of_it(width):
    return width


def _as_x(t, x):
    return t.to(x.dtype)


def rope(
    x,
    positions,
    theta=10000.0,
    layout="half",
    places=given,
    base=given_theta,
    angles=of_width,
    layout_read=_as_asked,
    reach=_all_of_it,
    turn=TURN,
    turned=at_once,
    joined_in=_as_asked,
    rounded=_as_x,
):
    """The right features, but for the parts that are given."""
    layout, width = layout_read(layout), reach(x.shape[-1])
    angle = angles(places(positions), width, base(theta))
    of_both = (rounded(f(angle), x) for f in (torch.cos, torch.sin))
    # Of pairs, or of features.
    of_pairs = angle.shape[-1] < width
    cos, sin = ((t, t) if of_pairs else pairs_of(t, layout) for t in of_both)
    pairs = turned(turn, *pairs_of(x[..., :width], layout), cos, sin)
    answer = joined(pairs, joined_in(layout))
    return answer if width == x.shape[-1] else torch.cat((answer, x[..., width:]), -1)


with_ = changeable(rope)


# Other turns


def _of_the_back(of_pair):
    def wrong(a, b, cos, sin):
        return of_pair(a, b, cos, -sin)

    return wrong


def _of_the_other(of_pair):
    def wrong(a, b, cos, sin):
        return of_pair(a, b, sin, cos)

    return wrong


def _first_alone(a, b, cos, sin):
    return a * cos + a * sin


def _second_alone(a, b, cos, sin):
    return b * cos + b * sin


def _plus_sine(a, b, cos, sin):
    return a + sin


def _plus_cosine(a, b, cos, sin):
    return b + cos


def _first_as_it_was(a, b, cos, sin):
    return a


def _second_as_it_was(a, b, cos, sin):
    return b


BACKWARDS = tuple(map(_of_the_back, TURN))
NO_MINUS = _of_the_back(_difference), _sum
EXCHANGED = tuple(map(_of_the_other, TURN))
TWO_MINUSES = _difference, _of_the_back(_sum)
FIRST_ALONE = _difference, _second_as_it_was
SECOND_ALONE = _first_as_it_was, _sum
NO_PARTNER = _first_alone, _second_alone
ADDED = _plus_sine, _plus_cosine


# Other layouts


def other(layout):
    return "half" if layout == "interleaved" else "interleaved"


def half(layout):
    return "half"


def interleaved(layout):
    return "interleaved"


# Other places, and another precision


def half_of_it(width):
    return width // 4 * 2


def half_of_the_pairs(x, positions, theta=10000.0, layout="half"):
    width = half_of_it(x.shape[-1])
    angles = angles_of(positions, x.shape[-1], theta)[..., : width // 2]
    cos, sin = ((t, t) for t in (angles.cos(), angles.sin()))
    pairs = at_once(TURN, *pairs_of(x[..., :width], layout), cos, sin)
    return torch.cat((joined(pairs, layout).to(x.dtype), x[..., width:]), -1)


def doubled(positions):
    return 2 * positions


def in_short(dtype):
    def rounded(t, x):
        return t.to(dtype).to(x.dtype)

    return rounded


def heads_in_front(t, x):
    return t.to(x.dtype).unsqueeze(-3)


def second_put_in(t, x):
    return t.to(x.dtype).unsqueeze(1)


def heads_behind(t, x):
    return t.to(x.dtype).unsqueeze(-2)


def heads_behind_if_any(t, x):
    return heads_behind(t, x) if x.ndim > 3 else t.to(x.dtype)


def double(t, x):
    return t


def low_precision(frequencies):
    """``frequencies``: of a width, a theta, a device and a dtype."""

    def wrong(x, positions, theta=10000.0, layout="half"):
        def angles(positions, width, theta):
            of_pairs = frequencies(width, theta, x.device, x.dtype)
            return positions.to(x.dtype)[..., None] * of_pairs

        return rope(x, positions, theta, layout, angles=angles)

    return wrong


def rounded_at_last(width, theta, device, dtype):
    return frequencies_of(width, theta, device).to(dtype)


def heads_for_time(x, positions, theta=10000.0, layout="half"):
    count = x.shape[-3] if x.ndim > 2 else x.shape[-2]
    places = torch.arange(count, device=x.device)
    return rope(x, places[:, None] if x.ndim > 2 else places, theta, layout)


def in_place(x, positions, theta=10000.0, layout="half"):
    turned = rope(x, positions, theta, layout)
    with torch.no_grad():
        x.copy_(turned)
    return turned


def added_as_sinusoids(x, positions, theta=10000.0, layout="half"):
    angles = angles_of(positions, x.shape[-1], theta)
    return x + joined((angles.sin(), angles.cos()), "interleaved").to(x.dtype)


def _by_features(x, angles, partner):
    return x * angles.cos().to(x.dtype) + partner * angles.sin().to(x.dtype)


def _halves_of_neighbours(x, positions, theta):
    angles, (a, b) = angles_of(positions, x.shape[-1], theta), x.chunk(2, -1)
    return _by_features(x, angles.repeat_interleave(2, -1), torch.cat((-b, a), -1))


def _neighbours_of_halves(x, positions, theta):
    angles = angles_of(positions, x.shape[-1], theta)
    partner = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return _by_features(x, torch.cat((angles, angles), -1), partner)


def mixed(x, positions, theta=10000.0, layout="half"):
    mix = _halves_of_neighbours if layout == "half" else _neighbours_of_halves
    return mix(x, positions, theta)


def halves_whatever_the_layout(x, positions, theta=10000.0, layout="half"):
    if layout == "half":
        return rope(x, positions, theta, layout)
    return _halves_of_neighbours(x, positions, theta)
