"""A loop that writes, in parts: the right ones, and those that people get wrong."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.kv_cache.feeds import each_by_itself, newest_alone
from tutor.families import sample


def numbered(count, device):
    return torch.arange(count, device=device)


def of_the_step(chances, step):
    return chances[:, step]


def as_given(temperature, top_k, top_p):
    return temperature, top_k, top_p


def any_of_them(newest, stop):
    return torch.isin(newest, stop)


def none_yet(prompts, stop, device):
    return torch.zeros(len(prompts), dtype=torch.bool, device=device)


def repeats(drawn, done, before, stop, prompts):
    return torch.where(done, before, drawn)


def once_for_all(done, ends):
    return done | ends


def every(done):
    return done.all()


def as_asked(longest):
    return longest


def with_the_end(before, done):
    """Which rows have a token more of their own."""
    return ~before


def both(written, lengths, prompts):
    return written, lengths


def generate(
    model,
    prompts,
    chances,
    stop,
    temperature=1.0,
    top_k=None,
    top_p=None,
    first=each_by_itself,
    fed=newest_alone,
    numbers=numbered,
    chance=of_the_step,
    cuts=as_given,
    ends=any_of_them,
    begins=none_yet,
    filled=repeats,
    ended=once_for_all,
    stops=every,
    number=as_asked,
    counted=with_the_end,
    returned=both,
    refuses=True,
):
    """The right tokens, but for the parts that are given."""
    if refuses and (len(prompts) != len(chances) or not all(len(p) for p in prompts)):
        raise ValueError("a prompt of one token and more for each row")
    device, (batch, longest) = chances.device, chances.shape
    rows, written = numbers(batch, device), []
    done = begins(prompts, stop, device)
    lengths = torch.zeros(batch, dtype=torch.int64, device=device)
    for step in range(number(longest)):
        read = (fed, (model, prompts, written, rows)) if step else (first, (model, prompts, rows))
        logits = read[0](*read[1])
        drawn = sample(
            logits, chance(chances, min(step, longest - 1)), *cuts(temperature, top_k, top_p)
        )
        before = written[-1] if written else drawn
        newest = filled(drawn, done, before, stop, prompts)
        written.append(newest)
        before, done = done, ended(done, ends(newest, stop))
        lengths = lengths + counted(before, done).long()
        if stops(done):
            break
    empty = torch.zeros(batch, 0, dtype=torch.int64, device=device)
    return returned(torch.stack(written, 1) if written else empty, lengths, prompts)


with_ = changeable(generate)


# Rows and chances


def all_first(count, device):
    return torch.zeros(count, dtype=torch.int64, device=device)


def from_one(count, device):
    return (torch.arange(count, device=device) + 1) % count


def turned_round(count, device):
    return torch.arange(count - 1, -1, -1, device=device)


def the_first_step(chances, step):
    return chances[:, 0]


def the_first_row(chances, step):
    return chances[:1, step].expand(len(chances))


def one_step_late(chances, step):
    return chances[:, max(step - 1, 0)]


def from_the_end(chances, step):
    return chances[:, chances.shape[1] - 1 - step]


def rows_turned_round(chances, step):
    return chances[:, step].flip(0)


def the_other_way(chances, step):
    """Read as if it were (longest, B)."""
    return chances.reshape(chances.shape[1], -1)[step]


# Cuts


def no_temperature(temperature, top_k, top_p):
    return 1.0, top_k, top_p


def no_temperature_but_zero(temperature, top_k, top_p):
    return (1.0 if temperature else 0.0), top_k, top_p


def no_top_k(temperature, top_k, top_p):
    return temperature, None, top_p


def no_top_p(temperature, top_k, top_p):
    return temperature, top_k, None


def no_cut(temperature, top_k, top_p):
    return temperature, None, None


def greedy(temperature, top_k, top_p):
    return 0.0, None, None


# Ends


def the_first_of_them(newest, stop):
    return newest == stop[0] if len(stop) else torch.zeros_like(newest, dtype=torch.bool)


def the_last_of_them(newest, stop):
    return newest == stop[-1] if len(stop) else torch.zeros_like(newest, dtype=torch.bool)


def never_one(newest, stop):
    return torch.zeros_like(newest, dtype=torch.bool)


def token_zero(newest, stop):
    return newest == 0


def all_of_them(newest, stop):
    return (newest[:, None] == stop).all(-1)


def prompts_that_hold_one(prompts, stop, device):
    return torch.stack([torch.isin(p, stop).any() for p in prompts])


def prompts_that_end_in_one(prompts, stop, device):
    return torch.stack([torch.isin(p[-1], stop) for p in prompts])


def as_it_comes(drawn, done, before, stop, prompts):
    return drawn


def with_zeros(drawn, done, before, stop, prompts):
    return drawn.masked_fill(done, 0)


def with_minus_one(drawn, done, before, stop, prompts):
    return drawn.masked_fill(done, -1)


def with_the_first_stop(drawn, done, before, stop, prompts):
    return torch.where(done, stop[:1].expand_as(drawn), drawn) if len(stop) else drawn


def with_the_prompts_end(drawn, done, before, stop, prompts):
    return torch.where(done, torch.stack([p[-1] for p in prompts]), drawn)


def with_the_prompts_end_at_first(drawn, done, before, stop, prompts):
    """A row that its prompt has ended repeats the prompt's last token."""
    if before is drawn:
        before = torch.stack([p[-1] for p in prompts])
    return torch.where(done, before, drawn)


def just_now(done, ends):
    return ends


def any(done):
    return done.any()


def never(done):
    return False


def first_row(done):
    return done[0]


def one_less(longest):
    return max(longest - 1, 0)


def one_more(longest):
    return longest + 1


# What is returned


def without_the_end(written, lengths, prompts):
    return written[:, :-1], lengths


def lengths_without_end(written, lengths, prompts):
    return written, (lengths - 1).clamp(min=0)


def unless_it_ends(before, done):
    return ~done


def all_as_long(written, lengths, prompts):
    return written, torch.full_like(lengths, written.shape[1])


def with_prompts(written, lengths, prompts):
    same = len({len(p) for p in prompts}) == 1
    if not same:
        longest = max(map(len, prompts))
        prompts = [torch.cat((p.new_zeros(longest - len(p)), p)) for p in prompts]
    return torch.cat((torch.stack(list(prompts)), written), 1), lengths


def lengths_with_prompts(written, lengths, prompts):
    return written, lengths + torch.tensor([len(p) for p in prompts], device=lengths.device)


def written_alone(written, lengths, prompts):
    return written


def the_newest(written, lengths, prompts):
    return written[:, -1], lengths


def turned(written, lengths, prompts):
    return written.mT.contiguous(), lengths


def as_a_list(written, lengths, prompts):
    return [row[:n] for row, n in zip(written, lengths.tolist(), strict=True)]
