"""A beam search in parts: the right one, and the steps that people get wrong."""

import math

import torch

from tutor.checks.changes import changeable


def numbered(batch, beam_size, device):
    return torch.arange(batch, device=device).repeat_interleave(beam_size)


def one_alone(done):
    """Of the beams of a row, those that are no beginning: all but the first."""
    return torch.arange(done.shape[1], device=done.device).expand(done.shape) > 0


def all_of_it(written):
    return written


def log_softmax(logits):
    return logits.log_softmax(-1)


def added(total, log_probs):
    return total[..., None] + log_probs


def for_nothing(log_probs, end):
    """What a finished beam goes on with: its end, which costs nothing."""
    ways = torch.full_like(log_probs, -math.inf)
    ways[..., end] = 0
    return ways


def own(lengths, done, step):
    return torch.where(done, lengths, step)


def of_wu(lengths, alpha):
    return ((5 + lengths) / 6) ** alpha


def divided(total, penalty):
    return total / penalty


def of_all(scores, beam_size):
    """The best of all continuations of all beams of a row, as numbers into (K · V)."""
    return scores.flatten(1).sort(dim=-1, descending=True, stable=True).indices[:, :beam_size]


def by_symbols(best, symbols, beam_size):
    return best // symbols, best % symbols


def moved(kept, origin):
    """What belongs to the beams that are continued, in the order of their continuations."""
    return kept.gather(1, origin)


def taken_along(written, origin):
    return written.gather(1, origin[..., None].expand(-1, -1, written.shape[-1]))


def every(done):
    return done.all()


def as_they_are(scores, done):
    return scores


def without_start(written):
    return written[..., 1:]


def both(written, scores):
    return written, scores


def search(
    next_logits,
    start,
    end,
    longest,
    beam_size=4,
    alpha=0.6,
    rows=numbered,
    beginnings=one_alone,
    first_total=0.0,
    asked=all_of_it,
    normalised=log_softmax,
    joined=added,
    finished=for_nothing,
    length=own,
    penalty=of_wu,
    exponent=None,
    ranked=divided,
    told=divided,
    best=of_all,
    parted=by_symbols,
    done_moved=moved,
    lengths_moved=moved,
    total_moved=True,
    history=taken_along,
    over=torch.Tensor.__or__,
    stops=every,
    counted=as_they_are,
    cut=without_start,
    returned=both,
):
    """The right beams and scores, but for the parts that are given."""
    if longest < 0 or beam_size < 1:
        raise ValueError("longest must not be negative, and there is at least one beam")
    batch, alpha = len(start), alpha if exponent is None else exponent
    written = start[:, None, None].expand(-1, beam_size, -1)
    numbers = rows(batch, beam_size, start.device)
    done = beginnings(torch.zeros(batch, beam_size, dtype=torch.bool, device=start.device))
    total = torch.full(done.shape, first_total, device=start.device).masked_fill(done, -math.inf)
    lengths = torch.zeros_like(written[..., 0])
    for step in range(1, longest + 1):
        logits = next_logits(asked(written).flatten(0, 1), numbers)
        log_probs = normalised(logits.unflatten(0, (batch, beam_size)))
        symbols = log_probs.shape[-1]
        alive = joined(total, log_probs)
        frozen = total[..., None] + finished(log_probs, end)
        ways = torch.where(done[..., None], frozen, alive)
        lengths = length(lengths, done, step)
        here = penalty(lengths.to(ways.dtype), alpha)[..., None].expand(ways.shape)
        chosen = best(ranked(ways, here), beam_size)
        origin, symbol = parted(chosen, symbols, beam_size)
        if total_moved:
            total = ways.flatten(1).gather(1, chosen)
        else:
            total = log_probs.flatten(1).gather(1, chosen)
        lengths = lengths_moved(lengths, origin)
        was_done = done_moved(done, origin) | total.isneginf()
        symbol = symbol.masked_fill(was_done & (finished is for_nothing), end)
        done = over(was_done, symbol == end)
        written = torch.cat((history(written, origin), symbol[..., None]), -1)
        if stops(done):
            break
    scores = told(total, penalty(lengths.to(total.dtype), alpha))
    return returned(cut(written), counted(scores, done))


with_ = changeable(search)


def tiled(batch, beam_size, device):
    return torch.arange(batch, device=device).repeat(beam_size)


def each_beam(batch, beam_size, device):
    return torch.arange(batch * beam_size, device=device)


def first_row(batch, beam_size, device):
    return torch.zeros(batch * beam_size, dtype=torch.long, device=device)


def all_equal(done):
    return done


def last_alone(written):
    return written[..., -1:]


def start_alone(written):
    return written[..., :1]


def without_the_start(written):
    return written[..., 1:] if written.shape[-1] > 1 else written


def as_scores(logits):
    return logits


def softmax(logits):
    return logits.softmax(-1)


def twice(logits):
    return logits.softmax(-1).log_softmax(-1)


def latest_alone(total, log_probs):
    return log_probs.masked_fill(total[..., None].isneginf(), -math.inf)


def times(total, probabilities):
    return total.clamp(min=0)[..., None] * probabilities


def nothing_more(log_probs, end):
    return torch.full_like(log_probs, -math.inf)


def at_its_price(log_probs, end):
    return torch.where(for_nothing(log_probs, end) == 0, log_probs, -math.inf)


def as_before(log_probs, end):
    """It goes on with any symbol."""
    return log_probs


def all_alike(lengths, done, step):
    return torch.full_like(lengths, step)


def one_more(lengths, done, step):
    """As ``own``, but counted from what each had before."""
    return torch.where(done & (step > 1), lengths, lengths + 1)  # at first none has ended


def without_the_end(lengths, done, step):
    return torch.where(done, lengths, step - 1)


def with_the_start(lengths, done, step):
    return torch.where(done, lengths, step + 1)


def the_length(lengths, alpha):
    return lengths.clamp(min=1) ** alpha


def none_at_all(lengths, alpha):
    return torch.ones_like(lengths)


def no_constant(lengths, alpha):
    return (5 + lengths) ** alpha / 6


def six(lengths, alpha):
    return ((6 + lengths) / 6) ** alpha


def multiplied(total, penalty):
    return total * penalty


def as_it_is(total, penalty):
    return total


def worst(scores, beam_size):
    finite = scores.flatten(1).masked_fill(scores.flatten(1).isneginf(), math.inf)
    return finite.sort(dim=-1, stable=True).indices[:, :beam_size]


def one_each(scores, beam_size):
    symbol = scores.argmax(-1)
    return symbol + torch.arange(beam_size, device=scores.device) * scores.shape[-1]


def one_each_of_the_first(scores, beam_size):
    """The K best symbols begin, and each is continued by itself."""
    begins = bool(scores[:, 1:].isneginf().all())
    return (of_all if begins else one_each)(scores, beam_size)


def unsorted(scores, beam_size):
    return of_all(scores, beam_size).sort(-1).values


def of_all_rows(scores, beam_size):
    """The best of the whole batch, for each row."""
    best = scores.amax(0, keepdim=True).expand(scores.shape)
    return of_all(best, beam_size)


def by_beams(best, symbols, beam_size):
    return best // beam_size, best % beam_size


def exchanged(best, symbols, beam_size):
    return (best % symbols).clamp(max=beam_size - 1), best // symbols


def left(kept, origin):
    return kept


def history_left(written, origin):
    return written


def just_now(was_done, ends):
    return ends


def one_of_all(done):
    return done.any()


def the_best(done):
    return done[:, 0].all()


def never(done):
    return False


def unfinished_nothing(scores, done):
    return scores.masked_fill(~done, -math.inf)


def with_start(written):
    return written


def best_alone(written, scores):
    return written[:, 0], scores[:, 0]


def exponentials(written, scores):
    return written, scores.exp()


def worst_first(written, scores):
    return written.flip(1), scores.flip(1)


def written_alone(written, scores):
    return written


def scores_first(written, scores):
    return scores, written


def at_the_end_alone(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """The penalty orders what the search has found, and does not lead it."""
    written, total = search(next_logits, start, end, longest, beam_size, alpha, penalty=none_at_all)
    ends = (written == end).cumsum(-1)
    length = ((ends == 0).sum(-1) + (ends > 0).any(-1)).to(total.dtype)
    scores = total / of_wu(length, alpha)
    order = scores.argsort(-1, descending=True)
    return written.gather(1, order[..., None].expand(written.shape)), scores.gather(1, order)
