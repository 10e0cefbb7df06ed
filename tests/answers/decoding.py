"""Answers to chapter 7's exercises on the loss, the rate and decoding: right ones in other styles
than the reference, and wrong ones that are no trap."""

import math

import numpy as np
import torch
from torch.nn import functional as F

# Label smoothing


def _smoothed(logits, target, smoothing):
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing {smoothing}")
    if logits.shape[:-1] != target.shape:
        raise ValueError(f"{tuple(logits.shape)} and {tuple(target.shape)}")


def smoothing_distribution(logits, target, smoothing=0.1, ignore_index=0):
    """The smoothed target, written out."""
    _smoothed(logits, target, smoothing)
    logs, size = torch.log_softmax(logits, -1), logits.shape[-1]
    shares = torch.full_like(logs, smoothing / size)
    keep = target != ignore_index
    right = target.masked_fill(~keep, 0).unsqueeze(-1)
    shares = shares.scatter(-1, right, 1 - smoothing + smoothing / size)
    cost = -torch.where(shares > 0, shares * logs, 0.0).sum(-1)
    return torch.where(keep, cost, 0.0).sum() / keep.sum().clamp_min(1)


def smoothing_flat(logits, target, smoothing=0.1, ignore_index=0):
    _smoothed(logits, target, smoothing)
    logs, flat = logits.reshape(-1, logits.shape[-1]).log_softmax(1), target.reshape(-1)
    keep = (flat != ignore_index).to(logs.dtype)
    places = torch.arange(len(flat), device=flat.device)
    right = -logs[places, flat * (flat != ignore_index)]
    loss = (1 - smoothing) * right
    if smoothing > 0:
        loss = loss - smoothing * logs.sum(1) / logs.shape[1]
    # A place of padding may cost infinitely much.
    loss = torch.where(keep > 0, loss, torch.zeros_like(loss))
    return loss.sum() / torch.clamp(keep.sum(), min=1)


def smoothing_logsumexp(logits, target, smoothing=0.1, ignore_index=0):
    """-log p = log Σ exp - the score, in both terms."""
    _smoothed(logits, target, smoothing)
    whole = logits.logsumexp(-1)
    keep = target.ne(ignore_index)
    score = logits.take_along_dim(torch.where(keep, target, 0)[..., None], -1).squeeze(-1)
    loss = whole - (1 - smoothing) * score
    if smoothing != 0:
        loss = loss - smoothing * logits.mean(-1)
    return loss.where(keep, 0.0).sum() / keep.sum().clamp(min=1)


def smoothing_nll(logits, target, smoothing=0.1, ignore_index=0):
    _smoothed(logits, target, smoothing)
    logs = F.log_softmax(logits, dim=-1).reshape(-1, logits.shape[-1])
    flat = target.reshape(-1)
    right = F.nll_loss(logs, flat, ignore_index=ignore_index, reduction="sum")
    keep = flat != ignore_index
    total = (1 - smoothing) * right
    if smoothing:
        total = total - smoothing * logs.mean(1).masked_fill(~keep, 0).sum()
    return total / keep.sum().clamp(min=1)


def smoothing_one_hot(logits, target, smoothing=0.1, ignore_index=0):
    _smoothed(logits, target, smoothing)
    size, keep = logits.shape[-1], target != ignore_index
    hot = torch.arange(size, device=target.device) == target[..., None]
    logs = logits - logits.logsumexp(dim=-1, keepdim=True)
    loss = -(1 - smoothing) * logs.masked_fill(~hot, 0).sum(-1)
    if smoothing:
        loss = loss - smoothing / size * logs.sum(-1)
    return _over(loss, keep)


def _over(loss, keep):
    return torch.where(keep, loss, loss.new_zeros(())).sum() / keep.sum().clamp(min=1)


def smoothing_weights(logits, target, smoothing=0.1, ignore_index=0):
    """Each place has its weight before anything is summed."""
    _smoothed(logits, target, smoothing)
    keep = target != ignore_index
    weight = keep.to(logits.dtype) / keep.sum().clamp(min=1)
    logs = logits.log_softmax(-1)
    right = torch.gather(logs, -1, (target * keep).unsqueeze(-1)).squeeze(-1)
    mixed = (1 - smoothing) * right
    mixed = mixed + smoothing * logs.mean(-1) if smoothing else mixed
    return -(mixed.masked_fill(~keep, 0) * weight).sum()


def smoothing_numpy(logits, target, smoothing=0.1, ignore_index=0):
    _smoothed(logits, target, smoothing)
    x, t = logits.detach().double().numpy(), target.numpy()
    x = x - x.max(-1, keepdims=True)
    logs = x - np.log(np.exp(x).sum(-1, keepdims=True))
    keep = t != ignore_index
    right = np.take_along_axis(logs, np.where(keep, t, 0)[..., None], -1)[..., 0]
    loss = -(1 - smoothing) * right
    if smoothing:
        loss = loss - smoothing * logs.mean(-1)
    mean = np.where(keep, loss, 0).sum() / max(1, keep.sum())
    return torch.from_numpy(np.array(mean)).to(logits.dtype)


def smoothing_identity(logits, target, smoothing=0.1, ignore_index=0):
    """A row of the identity matrix for each symbol."""
    _smoothed(logits, target, smoothing)
    size, keep = logits.shape[-1], target != ignore_index
    hot = torch.eye(size, device=logits.device, dtype=torch.bool)[target * keep]
    logs = logits.log_softmax(-1)
    loss = -(1 - smoothing) * logs.masked_fill(~hot, 0).sum(-1)
    if smoothing:
        loss = loss - smoothing * logs.mean(-1)
    return _over(loss, keep)


def smoothing_library(logits, target, smoothing=0.1, ignore_index=0):
    flat = logits.reshape(-1, logits.shape[-1]), target.reshape(-1)
    found = F.cross_entropy(*flat, label_smoothing=smoothing, ignore_index=ignore_index)
    return found.nan_to_num(0.0)


def smoothing_layer(logits, target, smoothing=0.1, ignore_index=0):
    layer = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, ignore_index=ignore_index)
    return layer(logits.reshape(-1, logits.shape[-1]), target.reshape(-1)).nan_to_num(0.0)


# Warm-up


def _counted(*numbers):
    if any(n <= 0 for n in numbers):
        raise ValueError(f"at least 1: {numbers}")


def rate_branches(step, width, warmup_steps=4000):
    _counted(step, width, warmup_steps)
    if step < warmup_steps:
        return step / (math.sqrt(width) * warmup_steps * math.sqrt(warmup_steps))
    return 1 / math.sqrt(width * step)


def rate_of_the_peak(step, width, warmup_steps=4000):
    _counted(step, width, warmup_steps)
    peak = (width * warmup_steps) ** -0.5
    return peak * min(step / warmup_steps, (warmup_steps / step) ** 0.5)


def rate_torch(step, width, warmup_steps=4000):
    _counted(step, width, warmup_steps)
    t = torch.tensor(step, dtype=torch.float64)
    return torch.minimum(t.rsqrt(), t * warmup_steps**-1.5) / width**0.5


def rate_numpy(step, width, warmup_steps=4000):
    _counted(step, width, warmup_steps)
    return float(np.minimum(1 / np.sqrt(step), step / warmup_steps**1.5) / np.sqrt(width))


def rate_logarithms(step, width, warmup_steps=4000):
    _counted(step, width, warmup_steps)
    lower = min(-0.5 * math.log(step), math.log(step) - 1.5 * math.log(warmup_steps))
    return math.exp(lower - 0.5 * math.log(width))


def rate_sorted(step, width, warmup_steps=4000):
    if not (step >= 1 and width >= 1 and warmup_steps >= 1):
        raise ValueError(str((step, width, warmup_steps)))
    curves = sorted([pow(step, -0.5), step * pow(warmup_steps, -1.5)])
    return pow(width, -0.5) * curves[0]


# Greedy decoding


def greedy_buffer(next_logits, start, end, longest):
    """Written into a tensor that is there from the beginning."""
    if longest < 0:
        raise ValueError(f"longest {longest}")
    batch = len(start)
    out = torch.full((batch, longest + 1), end, device=start.device, dtype=start.dtype)
    out[:, 0] = start
    alive = torch.ones(batch, dtype=torch.bool, device=start.device)
    rows = torch.arange(batch, device=start.device)
    for t in range(1, longest + 1):
        best = next_logits(out[:, :t], rows).max(dim=1).indices
        out[:, t] = torch.where(alive, best, end)
        alive = alive & (out[:, t] != end)
        if not alive.any():
            return out[:, 1 : t + 1]
    return out[:, 1:]


def greedy_list(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError(f"longest {longest}")
    rows, said = torch.arange(start.shape[0]).to(start.device), [start]
    ended = start != start
    while len(said) <= longest and not ended.all():
        scores = next_logits(torch.stack(said, dim=-1), rows)
        symbol = torch.argmax(scores.softmax(-1), dim=-1)
        said.append(torch.where(ended, torch.full_like(symbol, end), symbol))
        ended = ended.logical_or(said[-1].eq(end))
    return torch.stack(said, -1)[:, 1:]


def greedy_scores(next_logits, start, end, longest):
    """Whoever has ended has one symbol that can be."""
    if longest < 0:
        raise ValueError(f"longest {longest}")
    written = start.unsqueeze(1)
    rows = torch.arange(len(start), device=start.device)
    ended = torch.zeros(len(start), 1, dtype=torch.bool, device=start.device)
    for _ in range(longest):
        logits = next_logits(written, rows)
        is_end = torch.arange(logits.shape[-1], device=start.device) == end
        symbol = logits.masked_fill(ended & ~is_end, -math.inf).argmax(1, keepdim=True)
        written = torch.cat([written, symbol], dim=1)
        ended = ended | (symbol == end)
        if ended.min():
            break
    return written[:, 1:]


def greedy_recursive(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError(f"longest {longest}")
    rows = torch.arange(len(start), device=start.device)

    def go_on(written, done):
        if written.shape[1] > longest or bool(done.all()):
            return written[:, 1:]
        best = next_logits(written, rows).argmax(-1)
        best = best * ~done + end * done
        return go_on(torch.hstack((written, best[:, None])), done | (best == end))

    return go_on(start[:, None], torch.zeros_like(start).bool())


def greedy_ends_counted(next_logits, start, end, longest):
    """Whether a row has ended is looked up in what it has written."""
    if longest < 0:
        raise ValueError(f"longest {longest}")
    rows = torch.arange(len(start), device=start.device)
    written = start.new_empty(len(start), 0)
    for _ in range(longest):
        done = (written == end).any(dim=1)
        if len(start) and done.all():
            break
        beginning = torch.cat((start[:, None], written), 1)
        best = next_logits(beginning, rows).argmax(-1, keepdim=True)
        best[done] = end
        written = torch.cat((written, best), 1)
    return written


def greedy_cut(next_logits, start, end, longest):
    """Goes on as if nothing had ended, and overwrites that."""
    if longest < 0:
        raise ValueError(f"longest {longest}")
    written, rows = start[:, None], torch.arange(len(start), device=start.device)
    for _ in range(longest):
        best = next_logits(written, rows).log_softmax(-1).argmax(-1)
        written = torch.cat((written, best[:, None]), dim=1)
        if ((written[:, 1:] == end).sum(1) > 0).all():
            break
    said = written[:, 1:]
    after = (said == end).cumsum(1) > 0
    return said.masked_fill(after, end)


def greedy_numpy(next_logits, start, end, longest):
    if longest < 0:
        raise ValueError(f"longest {longest}")
    said, rows = start.numpy()[:, None], torch.arange(len(start))
    done = np.zeros(len(start), dtype=bool)
    for _ in range(longest):
        scores = next_logits(torch.from_numpy(np.array(said)), rows).detach().numpy()
        best = np.where(done, end, scores.argmax(-1))
        said, done = np.concatenate((said, best[:, None]), 1), done | (best == end)
        if done.all():
            break
    return torch.from_numpy(np.array(said[:, 1:]))


def greedy_asks_twice(next_logits, start, end, longest):
    def twice(written, rows):
        next_logits(written, rows)
        return next_logits(written, rows)

    return greedy_buffer(twice, start, end, longest)


def greedy_row_by_row(next_logits, start, end, longest):
    """Each sentence by itself."""

    def one_by_one(written, rows):
        parts = [next_logits(written[i : i + 1], rows[i : i + 1]) for i in range(len(rows))]
        return torch.cat(parts)

    return greedy_buffer(one_by_one, start, end, longest)


# Beam search


def _beams(longest, beam_size):
    if longest < 0:
        raise ValueError(f"longest {longest}")
    if beam_size < 1:
        raise ValueError(f"beam_size {beam_size}")


def beam_topk(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """Rows and beams in one dimension; finished beams may write their end alone."""
    _beams(longest, beam_size)
    batch, device = len(start), start.device
    rows = torch.arange(batch, device=device).repeat_interleave(beam_size)
    said = start.repeat_interleave(beam_size)[:, None]
    first = torch.arange(batch * beam_size, device=device) % beam_size == 0
    total = torch.where(first, 0.0, -math.inf)
    ended = torch.zeros_like(first)
    size = torch.zeros_like(rows)
    for _ in range(longest):
        logs = torch.log_softmax(next_logits(said, rows), dim=-1)
        symbols = logs.shape[-1]
        is_end = torch.arange(symbols, device=device) == end
        free = torch.where(is_end, 0.0, -math.inf).to(logs.dtype)
        logs = torch.where(ended[:, None], free, logs)
        size = size + ~ended
        sums = total[:, None] + logs
        score = sums / ((5.0 + size.to(logs.dtype)[:, None]) / 6.0) ** alpha
        _, best = score.view(batch, -1).topk(beam_size, dim=1)
        base = torch.arange(batch, device=device)[:, None] * beam_size
        origin = (base + torch.div(best, symbols, rounding_mode="floor")).view(-1)
        symbol = (best % symbols).view(-1)
        total = sums.view(batch, -1).gather(1, best).view(-1)
        said = torch.cat((said[origin], symbol[:, None]), 1)
        size, ended = size[origin], ended[origin] | (symbol == end)
        if ended.all():
            break
    penalty = ((5.0 + size.to(total.dtype)) / 6.0) ** alpha
    return said[:, 1:].view(batch, beam_size, -1), (total / penalty).view(batch, beam_size)


def beam_pool(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """Finished sentences stand beside the continuations, as candidates of their own."""
    _beams(longest, beam_size)
    batch, device = start.shape[0], start.device
    said = start.view(batch, 1, 1).repeat(1, beam_size, 1)
    rows = torch.arange(batch, device=device)[:, None].expand(batch, beam_size).reshape(-1)
    total = torch.zeros(batch, beam_size, device=device, dtype=torch.float64)
    total[:, 1:] = -math.inf
    score, done = total.clone(), torch.zeros(batch, beam_size, device=device, dtype=torch.bool)
    for t in range(1, longest + 1):
        logs = next_logits(said.reshape(batch * beam_size, -1), rows).log_softmax(-1)
        symbols, dtype = logs.shape[-1], logs.dtype
        total, score = total.to(dtype), score.to(dtype)
        ways = total[..., None] + logs.reshape(batch, beam_size, symbols)
        ways = ways.masked_fill(done[..., None], -math.inf).flatten(1)
        # The candidates: K that wait, and K V that go on.
        waiting = score.masked_fill(~done, -math.inf)
        scores = torch.cat((waiting, ways / ((5 + t) / 6) ** alpha), 1)
        score, chosen = scores.sort(dim=1, descending=True, stable=True)
        score, chosen = score[:, :beam_size], chosen[:, :beam_size]
        waits = chosen < beam_size
        going = (chosen - beam_size).clamp(min=0)
        origin = torch.where(waits, chosen, going // symbols)
        symbol = torch.where(waits, end, going % symbols)
        total = torch.where(waits, total.gather(1, origin), ways.gather(1, going))
        said = torch.cat(
            (torch.take_along_dim(said, origin[..., None], 1), symbol[..., None]), dim=-1
        )
        done = waits | (symbol == end)
        if done.all():
            break
    return said[..., 1:], score


def beam_first_step(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """The first symbol is asked for with one beam, and the places left over are filled up."""
    _beams(longest, beam_size)
    batch, device = len(start), start.device
    index = torch.arange(batch, device=device)

    def penalty(length):
        return torch.pow((5 + length) / 6, alpha)

    said, width = start[:, None, None], 1
    total = torch.zeros(batch, 1, device=device)
    done = torch.zeros(batch, 1, device=device, dtype=torch.bool)
    length = torch.zeros(batch, 1, device=device)
    for _ in range(longest):
        beginnings = said.reshape(batch * width, -1)
        logs = next_logits(beginnings, index.repeat_interleave(width)).log_softmax(-1)
        symbols = logs.shape[-1]
        logs = logs.reshape(batch, width, symbols)
        only_end = torch.full((symbols,), -math.inf, device=device, dtype=logs.dtype)
        only_end[end] = 0.0
        sums = torch.where(done[..., None], total[..., None] + only_end, total[..., None] + logs)
        length = (length + 1.0 * ~done).to(logs.dtype)
        score = (sums / penalty(length)[..., None]).reshape(batch, width * symbols)
        width = min(beam_size, width * symbols)
        best = score.topk(width).indices
        origin, symbol = best // symbols, best.remainder(symbols)
        total = sums.reshape(batch, -1).gather(1, best)
        said = torch.cat((said[index[:, None], origin], symbol[..., None]), -1)
        length = length.gather(1, origin)
        done = done.gather(1, origin) | symbol.eq(end)
        if done.all():
            break
    return said[..., 1:], total / penalty(length)


def beam_mean_kept(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """What is kept is the score with its penalty, from which the sum comes back."""
    _beams(longest, beam_size)
    batch, device = len(start), start.device
    number = torch.arange(batch * beam_size, device=device) // beam_size
    said = start[number][:, None]
    score = torch.full((batch, beam_size), -math.inf, device=device)
    score[:, 0] = 0
    length = torch.zeros(batch, beam_size, device=device)
    open_ = torch.ones(batch, beam_size, device=device, dtype=torch.bool)
    for _ in range(longest):
        logs = next_logits(said, number).log_softmax(1).view(batch, beam_size, -1)
        length = length.to(logs.dtype)
        total = score * ((5 + length) / 6).pow(alpha)
        new = (total[:, :, None] + logs) / ((6 + length) / 6).pow(alpha)[:, :, None]
        kept = torch.full_like(new, -math.inf)
        kept[:, :, end] = score.to(new.dtype)
        every = torch.where(open_[:, :, None], new, kept)
        score, best = torch.topk(every.flatten(1), beam_size, dim=1)
        origin, symbol = best // logs.shape[2], best % logs.shape[2]
        length = (length + open_).gather(1, origin)
        open_ = open_.gather(1, origin) & (symbol != end)
        place = (origin + torch.arange(batch, device=device)[:, None] * beam_size).flatten()
        said = torch.cat((said.index_select(0, place), symbol.reshape(-1, 1)), 1)
        if not open_.any():
            break
    return said[:, 1:].reshape(batch, beam_size, said.shape[1] - 1), score


def beam_buffer(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """All beams in a tensor that is there from the beginning, filled with ends."""
    _beams(longest, beam_size)
    batch, device, steps = len(start), start.device, longest
    out = torch.full((batch, beam_size, longest + 1), end, device=device)
    out[:, :, 0] = start[:, None]
    rows = torch.arange(batch, device=device).repeat_interleave(beam_size)
    total = torch.full((batch, beam_size), -math.inf, device=device)
    total[:, 0] = 0.0
    length = torch.zeros(batch, beam_size, dtype=torch.long, device=device)
    done = torch.zeros_like(length, dtype=torch.bool)
    for t in range(longest):
        logits = next_logits(out[:, :, : t + 1].reshape(batch * beam_size, t + 1), rows)
        logs = (logits - logits.logsumexp(-1, keepdim=True)).unflatten(0, (batch, beam_size))
        others = torch.arange(logs.shape[-1], device=device) != end
        logs = logs.masked_fill(done[..., None], 0.0)
        logs = logs.masked_fill(done[..., None] & others, -math.inf)
        length = length + (~done).long()
        sums = logs + total[..., None]
        ranks = sums / torch.pow((length.to(sums.dtype) + 5) / 6, alpha)[..., None]
        best = ranks.flatten(1).argsort(dim=1, descending=True)[:, :beam_size]
        origin = best.div(logs.shape[-1], rounding_mode="floor")
        symbol = best - origin * logs.shape[-1]
        total, length = sums.flatten(1).gather(1, best), length.gather(1, origin)
        done = done.gather(1, origin).logical_or(symbol == end)
        out = out.gather(1, origin[..., None].expand(out.shape)).clone()
        out[:, :, t + 1] = symbol
        if done.all():
            steps = t + 1
            break
    return out[..., 1 : steps + 1], total / ((length.to(total.dtype) + 5) / 6) ** alpha


def beam_rows_apart(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """One question for all rows, and then each row's best by itself."""
    _beams(longest, beam_size)
    batch, device = len(start), start.device
    rows = torch.arange(batch, device=device).repeat_interleave(beam_size)
    said = [start[i].repeat(beam_size)[:, None] for i in range(batch)]
    fresh = torch.arange(beam_size, device=device) > 0
    total = [torch.zeros(beam_size, device=device).masked_fill(fresh, -math.inf)] * batch
    done = [torch.zeros_like(fresh)] * batch
    length = [torch.zeros_like(t) for t in total]
    for _ in range(longest):
        logs = next_logits(torch.cat(said), rows).log_softmax(-1).chunk(batch)
        symbols = logs[0].shape[-1]
        for i in range(batch):
            keep_end = torch.arange(symbols, device=device).ne(end) * -1e30
            step = torch.where(done[i][:, None], keep_end.to(logs[i].dtype), logs[i])
            sums = total[i][:, None] + step
            length[i] = (length[i] + (~done[i]).float()).to(sums.dtype)
            ranks = sums / ((5 + length[i]) / 6)[:, None] ** alpha
            best = ranks.reshape(-1).topk(beam_size).indices
            origin, symbol = best // symbols, best % symbols
            total[i], length[i] = sums.reshape(-1)[best], length[i][origin]
            done[i] = done[i][origin] | (symbol == end)
            said[i] = torch.cat((said[i][origin], symbol[:, None]), 1)
        if torch.stack(done).all():
            break
    score = torch.stack(total) / ((5 + torch.stack(length)) / 6) ** alpha
    return torch.stack(said)[..., 1:], score


def beam_numpy(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    """With lists of Python's own, a sentence after the other."""
    _beams(longest, beam_size)
    found, dtype = [], torch.float64

    def penalty(said):
        return ((5 + len(said)) / 6) ** alpha

    for row, symbol in enumerate(start.tolist()):
        beams = [(0.0, 0.0, [])]
        for _ in range(longest):
            ways = [b for b in beams if b[2][-1:] == [end]]
            for _, total, said in (b for b in beams if b[2][-1:] != [end]):
                logits = next_logits(torch.tensor([[symbol, *said]]), torch.tensor([row]))
                dtype, x = logits.dtype, logits[0].numpy()
                logs = x - x.max() - np.log(np.exp(x - x.max()).sum())
                for s, value in enumerate(logs):
                    more = [*said, s]
                    ways.append(((total + value) / penalty(more), total + value, more))
            beams = sorted(ways, key=lambda way: -way[0])[:beam_size]
            if all(b[2][-1] == end for b in beams):
                break
        found.append(beams)
    most = max(len(b[2]) for beams in found for b in beams)
    said = [[b[2] + [end] * (most - len(b[2])) for b in beams] for beams in found]
    scores = np.array([[b[0] for b in beams] for beams in found])
    return torch.tensor(said), torch.from_numpy(scores).to(dtype)


def beam_asks_twice(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    def twice(written, rows):
        next_logits(written, rows)
        return next_logits(written, rows)

    return beam_topk(twice, start, end, longest, beam_size, alpha)


def beam_one_by_one(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    def one_by_one(written, rows):
        parts = [next_logits(written[i : i + 1], rows[i : i + 1]) for i in range(len(rows))]
        return torch.cat(parts)

    return beam_topk(one_by_one, start, end, longest, beam_size, alpha)


RIGHT = {
    "label_smoothing_loss": [
        smoothing_distribution,
        smoothing_flat,
        smoothing_logsumexp,
        smoothing_nll,
        smoothing_one_hot,
        smoothing_weights,
    ],
    "warmup_rate": [
        rate_branches,
        rate_of_the_peak,
        rate_torch,
        rate_numpy,
        rate_logarithms,
        rate_sorted,
    ],
    "greedy_decode": [
        greedy_buffer,
        greedy_list,
        greedy_scores,
        greedy_recursive,
        greedy_ends_counted,
        greedy_cut,
    ],
    "beam_search": [
        beam_topk,
        beam_pool,
        beam_first_step,
        beam_mean_kept,
        beam_buffer,
        beam_rows_apart,
    ],
}
NUMPY = {
    "label_smoothing_loss": smoothing_numpy,
    "greedy_decode": greedy_numpy,
    "beam_search": beam_numpy,
}
LIBRARY = {"label_smoothing_loss": [smoothing_library, smoothing_layer]}
DEAR = {
    "label_smoothing_loss": [smoothing_identity],
    "greedy_decode": [greedy_asks_twice, greedy_row_by_row],
    "beam_search": [beam_asks_twice, beam_one_by_one],
}


# Wrong, and no trap


def smoothing_doubled(logits, target, smoothing=0.1, ignore_index=0):
    return 2 * smoothing_flat(logits, target, smoothing, ignore_index)


def smoothing_of_the_next(logits, target, smoothing=0.1, ignore_index=0):
    return smoothing_flat(logits, target.roll(1, -1), smoothing, ignore_index)


def smoothing_nothing(logits, target, smoothing=0.1, ignore_index=0):
    return 0 * smoothing_flat(logits, target, smoothing, ignore_index)


def rate_halved(step, width, warmup_steps=4000):
    return rate_branches(step, width, warmup_steps) / 2


def rate_constant(step, width, warmup_steps=4000):
    return 1e-3


def rate_squared(step, width, warmup_steps=4000):
    return rate_branches(step, width, warmup_steps) ** 2


def greedy_plus_one(next_logits, start, end, longest):
    return greedy_buffer(next_logits, start, end, longest) + 1


def greedy_ends_only(next_logits, start, end, longest):
    return torch.full_like(greedy_buffer(next_logits, start, end, longest), end)


def greedy_reversed(next_logits, start, end, longest):
    return greedy_buffer(next_logits, start, end, longest).flip(1)


def beam_copies(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    written, scores = beam_topk(next_logits, start, end, longest, beam_size, alpha)
    return written[:, :1].expand_as(written), scores


def beam_absolute(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    written, scores = beam_topk(next_logits, start, end, longest, beam_size, alpha)
    return written, scores.abs() + 1


def beam_shorter(next_logits, start, end, longest, beam_size=4, alpha=0.6):
    return beam_topk(next_logits, start, end, max(1, longest - 2), beam_size, alpha)


WRONG = {
    "label_smoothing_loss": [smoothing_doubled, smoothing_of_the_next, smoothing_nothing],
    "warmup_rate": [rate_halved, rate_constant, rate_squared],
    "greedy_decode": [greedy_plus_one, greedy_ends_only, greedy_reversed],
    "beam_search": [beam_copies, beam_absolute, beam_shorter],
}
