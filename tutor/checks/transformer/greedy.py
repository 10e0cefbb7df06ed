"""A greedy decoder in parts: the right one, and the steps that people get wrong."""

import torch

from tutor.checks.changes import changeable


def all_of_it(written):
    return written


def numbered(start):
    return torch.arange(len(start), device=start.device)


def likeliest(logits):
    return logits.argmax(-1)


def none_yet(start, end):
    return torch.zeros_like(start, dtype=torch.bool)


def with_the_end(following, done, end, start):
    return following.masked_fill(done, end)


def once_for_all(done, following, end):
    return done | (following == end)


def every(done):
    return done.all()


def as_asked(longest):
    return longest


def without_start(written, end):
    return written[:, 1:]


def greedy(
    next_logits,
    start,
    end,
    longest,
    asked=all_of_it,
    rows=numbered,
    choose=likeliest,
    begins=none_yet,
    filled=with_the_end,
    ended=once_for_all,
    stops=every,
    number=as_asked,
    mark=None,
    returned=without_start,
):
    """The right symbols, but for the parts that are given."""
    if longest < 0:
        raise ValueError("longest must not be negative")
    written, numbers = start[:, None], rows(start)
    end = end if mark is None else mark
    done = begins(start, end)
    for _ in range(number(longest)):
        if not len(start):
            break
        following = choose(next_logits(asked(written), numbers))
        following = filled(following, done, end, start)
        written = torch.cat((written, following[:, None]), 1)
        done = ended(done, following, end)
        if stops(done):
            break
    return returned(written, end)


with_ = changeable(greedy)


def start_alone(written):
    return written[:, :1]


def last_alone(written):
    return written[:, -1:]


def last_two(written):
    return written[:, -2:]


def without_the_start(written):
    return written[:, 1:] if written.shape[1] > 1 else written


def backwards(written):
    return written.flip(1)


def first_row(start):
    return torch.zeros_like(start)


def reversed_rows(start):
    return torch.arange(len(start) - 1, -1, -1, device=start.device)


def over_rows(logits):
    return logits.argmax(0)


def over_everything(logits):
    return (logits.argmax() % logits.shape[-1]).expand(len(logits))


def least(logits):
    return logits.argmin(-1)


def second(logits):
    return logits.topk(2).indices[:, 1]


def last_of_equal(logits):
    return logits.shape[-1] - 1 - logits.flip(-1).argmax(-1)


def largest(logits):
    return logits.abs().argmax(-1)


def if_it_starts_with_it(start, end):
    return start == end


def as_it_comes(following, done, end, start):
    return following


def with_zero(following, done, end, start):
    return following.masked_fill(done, 0)


def with_minus_one(following, done, end, start):
    return following.masked_fill(done, -1)


def with_the_start(following, done, end, start):
    return torch.where(done, start, following)


def just_now(done, following, end):
    return following == end


def any(done):
    return done.any()


def never(done):
    return False


def first(done):
    return done[0]


def one_less(longest):
    return max(longest - 1, 0)


def one_more(longest):
    return longest + 1


def with_start(written, end):
    return written


def without_end(written, end):
    return written[:, 1:-1] if bool((written[:, -1] == end).all()) else written[:, 1:]


def last_symbol(written, end):
    return written[:, -1]


def numbered_anew(next_logits, start, end, longest):
    """The unfinished rows alone are asked for, by new numbers."""
    if longest < 0:
        raise ValueError("longest must not be negative")
    written, done = start[:, None], torch.zeros_like(start, dtype=torch.bool)
    for _ in range(longest):
        following = torch.full_like(start, end)
        left = written[~done]
        numbers = torch.arange(len(left), device=start.device)
        following[~done] = next_logits(left, numbers).argmax(-1)
        written = torch.cat((written, following[:, None]), 1)
        done = done | (following == end)
        if done.all():
            break
    return written[:, 1:]
