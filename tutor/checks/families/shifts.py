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


def tokens_there(tokens, lengths):
    return tokens.shape[1] > 0


def as_many(tokens, lengths):
    return lengths.shape == tokens.shape[:1]


def tokens_and_lengths(tokens, lengths):
    return tokens_there(tokens, lengths) and as_many(tokens, lengths)


def shift(
    tokens,
    lengths,
    read=but_the_last,
    said=but_the_first,
    real=inside,
    fill=ignored,
    returned=both,
    fitting=tokens_and_lengths,
):
    """The right ones, but for the parts that are given."""
    if not fitting(tokens, lengths):
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


def without_padding(tokens, lengths):
    """What is read has -100 in its padding, too."""
    read, said = shift(tokens, lengths)
    places = torch.arange(read.shape[1], device=tokens.device)
    return read.masked_fill(places >= lengths[:, None], IGNORED), said


def overwritten(tokens, lengths):
    """tokens[:, 1:] is a view: what is written into it stands in the text."""
    _, said = shift(tokens, lengths)
    tokens[:, 1:] = said
    return tokens[:, :-1].clone(), tokens[:, 1:].clone()


def overwritten_behind(tokens, lengths):
    read, said = shift(tokens, lengths)
    read = read.clone()
    tokens[:, 1:] = said
    return read, said


def two_tokens_at_least(tokens, lengths):
    if tokens.shape[1] < 2:
        raise ValueError("a token and one that follows it")
    return shift(tokens, lengths)


def in_their_own_type(tokens, lengths):
    """0 - 1 is 255 in a byte."""
    read, said = shift(tokens, torch.full_like(lengths, tokens.shape[1], dtype=torch.int64))
    there = torch.arange(read.shape[1], device=tokens.device) < (lengths - 1)[:, None]
    return read, said.masked_fill(~there, IGNORED)


def places_in_their_type(tokens, lengths):
    read, said = shift(tokens, torch.full_like(lengths, tokens.shape[1], dtype=torch.int64))
    places = torch.arange(1, tokens.shape[1], device=tokens.device).to(lengths.dtype)
    return read, said.masked_fill(places >= lengths[:, None], IGNORED)


def anything(tokens, lengths):
    return True


def one_token_each(tokens, lengths):
    if (lengths < 1).any():
        raise ValueError("texts of one token and more")
    return shift(tokens, lengths)


def at_the_end(places, lengths):
    return places + 1 >= places.shape[0] + 1 - lengths


def backwards(tokens, lengths):
    """What is read is what follows, and what is to be said came before."""
    read, _ = shift(tokens, lengths)
    there = torch.arange(read.shape[1], device=tokens.device) < lengths[:, None]
    return tokens[:, 1:], read.masked_fill(~there, IGNORED)


def zeros_in_padding(tokens, lengths):
    read, said = shift(tokens, lengths)
    return read * (torch.arange(read.shape[1], device=tokens.device) < lengths[:, None]), said


def sliced(tokens, lengths):
    read, _ = shift(tokens, lengths)
    said = tokens[:, 1:].clone()
    for row, length in zip(said, lengths.tolist(), strict=True):
        row[length - 1 :] = IGNORED
    return read, said
