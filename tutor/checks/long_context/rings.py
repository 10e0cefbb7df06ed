"""One rank of a ring, in steps: the right one, and the wrong ones that people make."""

import torch

from tutor.checks.changes import changeable


def required(q, k, v, rank, ranks):
    if not 0 <= rank < ranks or q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
        raise ValueError(f"rank {rank} of {ranks}: {q.shape}, {k.shape}, {v.shape}")


def same(k, v, new_k, new_v):
    if new_k.shape != k.shape or new_v.shape != v.shape:
        raise ValueError(f"{k.shape}, {v.shape}: {new_k.shape}, {new_v.shape} came")


def one_back(source, ranks):
    return (source - 1) % ranks


def by_root(q):
    return q.shape[-1] ** -0.5


def in_the_text(rank, source, time, device):
    """How far the key of each column lies behind the query of each row."""
    at = torch.arange(time, device=device)
    return rank * time + at[:, None] - source * time - at


def not_after(distance):
    return distance >= 0


def safe(scores, keep):
    """The answer to one block and the log of its sum; of nothing that may be read, -inf."""
    scores = scores.masked_fill(~keep, -torch.inf)
    lse = scores.logsumexp(-1)
    shift = lse.masked_fill(lse == -torch.inf, 0.0)
    return (scores - shift[..., None]).exp(), lse


def by_shares(out, lse, block, block_lse, count):
    both = torch.logaddexp(lse, block_lse)
    shift = both.masked_fill(both == -torch.inf, 0.0)
    mine, its = (lse - shift).exp()[..., None], (block_lse - shift).exp()[..., None]
    return mine * out + its * block, both


def what_came(own, came):
    return came


def as_it_is(out, count, lse):
    return out


def kept(before, after):
    return after


class Rank:
    """The right one, but for the parts that are given."""

    def __init__(
        self,
        q,
        k,
        v,
        rank,
        ranks,
        causal,
        refuse=required,
        fits=same,
        step=one_back,
        scale=by_root,
        far=in_the_text,
        keep=not_after,
        block=safe,
        merge=by_shares,
        hand_on=what_came,
        first=True,
        own=lambda t: t,
        read=lambda weights, v: weights @ v,
        end=as_it_is,
        future=True,
    ):
        refuse(q, k, v, rank, ranks)
        self.fits, self.step, self.scale, self.far, self.keep = fits, step, scale, far, keep
        self.block, self.merge, self.hand_on, self.read, self.end = (
            block,
            merge,
            hand_on,
            read,
            end,
        )
        self.q, self.own, self.came = q, (own(k), own(v)), (own(k), own(v))
        self.rank, self.ranks, self.causal, self.source = rank, ranks, causal, rank
        self.left_out, self.count = future, 0
        self.out = q.new_zeros(*q.shape[:-1], v.shape[-1])
        self.lse = q.new_full(q.shape[:-1], -torch.inf)
        if first:
            self._read()

    def outgoing(self):
        return self.hand_on(self.own, self.came)

    def receive(self, k, v):
        self.fits(*self.own, k, v)
        self.came, self.source = (k, v), self.step(self.source, self.ranks)
        self._read()

    def result(self):
        return self.end(self.out, self.count, self.lse)

    def _read(self):
        k, v = self.came
        scores = self.q @ k.mT * self.scale(self.q)
        distance = self.far(self.rank, self.source, k.shape[-2], k.device)
        keep = self.keep(distance) if self.causal else torch.ones_like(distance, dtype=torch.bool)
        if self.left_out and not keep.any():  # all of it lies in the future
            return
        weights, lse = self.block(scores, keep)
        block = self.read(weights, v)
        self.count += 1
        self.out, self.lse = self.merge(self.out, self.lse, block, lse, self.count)


with_ = changeable(Rank)


# Other merges


def sum_of_answers(out, lse, block, block_lse, count):
    return out + block, lse


def mean_of_answers(out, lse, block, block_lse, count):
    return out + (block - out) / count, lse


def newest(out, lse, block, block_lse, count):
    return block, block_lse


def lse_kept(out, lse, block, block_lse, count):
    """The shares are right, and the sum that they are of is never the new one."""
    merged, _ = by_shares(out, lse, block, block_lse, count)
    return merged, torch.where(lse == -torch.inf, block_lse, lse)


def lse_of_the_last(out, lse, block, block_lse, count):
    merged, _ = by_shares(out, lse, block, block_lse, count)
    return merged, block_lse


def largest_lse(out, lse, block, block_lse, count):
    merged, _ = by_shares(out, lse, block, block_lse, count)
    return merged, torch.maximum(lse, block_lse)


def by_exponentials(out, lse, block, block_lse, count):
    """e^lse itself: beyond 709 it is infinite in double precision, beyond 88 in single."""
    mine, its = lse.exp(), block_lse.exp()
    total = mine + its
    merged = (mine[..., None] * out + its[..., None] * block) / total[..., None]
    return merged, total.log()


def later_by_exponentials(out, lse, block, block_lse, count):
    """The first block as it is, and only then merged."""
    if count == 1:
        return block, block_lse
    return by_exponentials(out, lse, block, block_lse, count)


def log_of_one_more(out, lse, block, block_lse, count):
    """lse + log(1 + e^(block - lse)), which overflows where the new block is far above."""
    both = torch.where(lse == -torch.inf, block_lse, lse + torch.log(1 + (block_lse - lse).exp()))
    shift = both.masked_fill(both == -torch.inf, 0.0)
    mine, its = (lse - shift).exp()[..., None], (block_lse - shift).exp()[..., None]
    return mine * out + its * block, both


def exchanged(out, lse, block, block_lse, count):
    both = torch.logaddexp(lse, block_lse)
    shift = both.masked_fill(both == -torch.inf, 0.0)
    mine, its = (lse - shift).exp()[..., None], (block_lse - shift).exp()[..., None]
    if count == 1:
        return block, block_lse
    return its * out + mine * block, both


def half_detached(out, lse, block, block_lse, count):
    return by_shares(out, lse.detach(), block, block_lse.detach(), count)


def unshifted(scores, keep):
    """Exponentials without a maximum: the sum is infinite, or 0."""
    weights = scores.exp() * keep
    total = weights.sum(-1, keepdim=True)
    shares = torch.where(total > 0, weights / total, 0.0)
    return shares, total.squeeze(-1).log()


def not_normalised(scores, keep):
    """Weights by the block's own maximum, and their log-sum-exp beside them."""
    scores = scores.masked_fill(~keep, -torch.inf)
    top = scores.amax(-1, keepdim=True)
    top = top.masked_fill(top == -torch.inf, 0.0)
    return (scores - top).exp(), scores.logsumexp(-1)


def nan_of_nothing(scores, keep):
    """Of a block that may not be read: softmax of a row of -inf."""
    scores = scores.masked_fill(~keep, -torch.inf)
    return scores.softmax(-1), scores.logsumexp(-1)


def in_base_two(scores, keep):
    weights, lse = safe(scores, keep)
    return weights, lse * 1.4426950408889634


def mean_as_sum(scores, keep):
    weights, _ = safe(scores, keep)
    return weights, scores.masked_fill(~keep, -torch.inf).amax(-1)


# Other places


def local(rank, source, time, device):
    at = torch.arange(time, device=device)
    return at[:, None] - at + 0 * source


def exact(distance):
    return distance > 0


def after(distance):
    return distance <= 0


def everything(distance):
    return torch.ones_like(distance, dtype=torch.bool)


def whole_blocks(rank, source, time, device):
    """By ranks alone: of its own block a query reads all."""
    return torch.full((time, time), rank - source, device=device)


def earlier_blocks(rank, source, time, device):
    return torch.full((time, time), rank - source - 1, device=device)


def own_again(own, came):
    return own


def without_end(source, ranks):
    return source - 1


def forwards(source, ranks):
    return (source + 1) % ranks


def the_same(source, ranks):
    return source


def values_first(own, came):
    return came[::-1]
