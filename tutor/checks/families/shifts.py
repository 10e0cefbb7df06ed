"""What follows each token, in steps: the right way, and the wrong ones."""

import torch

from tutor.checks.changes import changeable

IGNORED = -100


def but_the_last(tokens):
    return tokens[:, :-1]


def but_the_first(tokens):
    return tokens[:, 1:]


def inside(places, lengths):
    """Of what is to be said at these places, which is a token that is there."""
    return places + 1 < lengths


def ignored(following, real):
    return following.masked_fill(~real, IGNORED)


def both(read, said):
    return read, said


def shift(
    tokens,
    lengths,
    read=but_the_last,
    said=but_the_first,
    real=inside,
    fill=ignored,
    returned=both,
):
    """The right ones, but for the parts that are given."""
    if tokens.ndim != 2 or tokens.shape[1] < 1 or lengths.shape != tokens.shape[:1]:
        raise ValueError("tokens (B, T) and lengths (B)")
    following = said(tokens)
    places = torch.arange(following.shape[1], device=tokens.device)
    return returned(read(tokens), fill(following, real(places, lengths[:, None])))


with_ = changeable(shift)


def all_of_it(tokens):
    return tokens


def itself(tokens):
    return tokens[:, :-1]


def one_before(tokens):
    """[t0, t0, t1, ...]: the one before."""
    return torch.cat((tokens[:, :1], tokens[:, :-2]), 1)


def two_later(tokens):
    return torch.cat((tokens[:, 2:], tokens[:, -1:]), 1)[:, : tokens.shape[1] - 1]


def rolled(tokens):
    return tokens.roll(-1, 1)


def everything(places, lengths):
    return (places >= 0).expand(*lengths.shape[:1], -1)


def one_more(places, lengths):
    return places < lengths


def one_less(places, lengths):
    return places + 2 < lengths


def longest(places, lengths):
    top = lengths.max() if lengths.numel() else 0
    return (places + 1 < top).expand(*lengths.shape[:1], -1)


def padding_alone(places, lengths):
    return places + 1 >= lengths


def as_number(constant):
    def fill(following, real):
        return following.masked_fill(~real, constant)

    return fill


def zeros_ignored(following, real):
    return following.masked_fill(following == 0, IGNORED)


def zeros_ignored_too(following, real):
    return following.masked_fill(~real | (following == 0), IGNORED)


def exchanged(read, said):
    return said, read


def of_both(read, said):
    return read.masked_fill(said == IGNORED, IGNORED), said


def said_alone(read, said):
    return said


def flat(read, said):
    return read[said != IGNORED], said[said != IGNORED]
