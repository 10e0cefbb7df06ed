"""Right answers to ``RunningSoftmax``, each written in another way than the reference.

Runs as it stands in a student's process: it imports nothing of this course.
"""

import numpy as np
import torch
from torch import nn


def _lowest(x):
    return torch.finfo(x.dtype).min


def _fit(state, scores, values):
    if scores.shape[:-1] != state.maximum.shape or values.shape[:-1] != scores.shape:
        raise ValueError(f"{tuple(scores.shape)}, {tuple(values.shape)}: another batch")
    if values.shape[-1] != state.weighted.shape[-1]:
        raise ValueError(f"values {tuple(values.shape)} of another width")


class Buffers(nn.Module):
    """A module, whose state is buffers; einsum, and copy_ for every part."""

    def __init__(self, batch, width, dtype=torch.float32, device=None):
        super().__init__()
        options = {"dtype": dtype, "device": device}
        self.register_buffer("maximum", torch.full(batch, float("-inf"), **options))
        self.register_buffer("normaliser", torch.zeros(batch, **options))
        self.register_buffer("weighted", torch.zeros((*batch, width), **options))

    def update(self, scores, values):
        _fit(self, scores, values)
        if not scores.shape[-1]:
            return
        with torch.no_grad():
            top = scores.max(-1).values.maximum(self.maximum)
            finite = torch.where(top == float("-inf"), torch.zeros_like(top), top)
            old = torch.exp(self.maximum - finite)
            new = torch.exp(scores - finite.unsqueeze(-1))
            self.normaliser.copy_(self.normaliser * old + new.sum(-1))
            sums = torch.einsum("...t,...tw->...w", new, values)
            self.weighted.copy_(self.weighted * old.unsqueeze(-1) + sums)
            self.maximum.copy_(top)

    def result(self):
        seen = self.normaliser > 0
        return (
            self.weighted / self.normaliser.where(seen, torch.ones_like(self.normaliser))[..., None]
        )


class Merged:
    """The three numbers of the piece by itself, merged with those of the state."""

    def __init__(self, batch, width, dtype=torch.float32, device=None):
        self.maximum = torch.zeros(batch, dtype=dtype, device=device) - torch.inf
        self.normaliser = torch.zeros(batch, dtype=dtype, device=device)
        self.weighted = torch.zeros(*batch, width, dtype=dtype, device=device)

    def update(self, scores, values):
        _fit(self, scores, values)
        if scores.numel() == 0:
            return
        m = scores.amax(-1, keepdim=True)
        e = (scores - m.clamp_min(_lowest(m))).exp()
        n, w = e.sum(-1, keepdim=True), torch.matmul(e.unsqueeze(-2), values).squeeze(-2)
        both = torch.stack((self.maximum, m.squeeze(-1)))
        top = both.amax(0)
        mine, its = (both - top.clamp_min(_lowest(top))).exp().unbind(0)
        with torch.no_grad():
            self.normaliser.mul_(mine).add_(n.squeeze(-1) * its)
            self.weighted.mul_(mine[..., None]).add_(w * its[..., None])
            self.maximum[...] = top

    def result(self):
        return (self.weighted / self.normaliser[..., None]).nan_to_num(0.0)


class OneTensor:
    """All of the state in one tensor; its parts are views, made anew whenever they are read."""

    def __init__(self, batch, width, dtype=torch.float32, device=None):
        self._all = torch.zeros(*batch, width + 2, dtype=dtype, device=device)
        self._all[..., 0] = -torch.inf

    @property
    def maximum(self):
        return self._all[..., 0]

    @property
    def normaliser(self):
        return self._all[..., 1]

    @property
    def weighted(self):
        return self._all[..., 2:]

    @torch.no_grad()
    def update(self, scores, values):
        _fit(self, scores, values)
        if scores.shape[-1] == 0:
            return
        new = torch.maximum(self.maximum, scores.amax(-1))
        finite = new.clamp(min=_lowest(new))
        weights = (scores - finite[..., None]).exp()
        self._all[..., 1:] *= (self.maximum - finite).exp()[..., None]
        self.normaliser.add_(weights.sum(-1))
        self.weighted.add_((values.mT @ weights[..., None]).squeeze(-1))
        self.maximum.copy_(new)

    def result(self):
        total = self.normaliser[..., None]
        return torch.where(total == 0, torch.zeros_like(self.weighted), self.weighted / total)


class KeyByKey:
    """A loop over the keys, as the paper writes it."""

    def __init__(self, batch, width, dtype=torch.float32, device=None):
        self.maximum = torch.full(batch, -torch.inf).to(device, dtype)
        self.normaliser = torch.zeros(batch).to(device, dtype)
        self.weighted = torch.zeros(*batch, width).to(device, dtype)

    def update(self, scores, values):
        _fit(self, scores, values)
        with torch.no_grad():
            for score, value in zip(scores.unbind(-1), values.unbind(-2), strict=True):
                new = torch.maximum(self.maximum, score)
                finite = new.clamp(min=_lowest(new))
                old, weight = torch.exp(self.maximum - finite), torch.exp(score - finite)
                self.normaliser.mul_(old).add_(weight)
                self.weighted.mul_(old[..., None]).addcmul_(weight[..., None], value)
                self.maximum.copy_(new)

    def result(self):
        out = self.weighted / self.normaliser[..., None]
        return out.masked_fill(self.normaliser[..., None] == 0, 0.0)


class InNumpy:
    """Right, and its work is done where nobody counts it."""

    def __init__(self, batch, width, dtype=torch.float32, device=None):
        self.maximum = torch.full(batch, -torch.inf, dtype=dtype, device=device)
        self.normaliser = torch.zeros(batch, dtype=dtype, device=device)
        self.weighted = torch.zeros(*batch, width, dtype=dtype, device=device)

    def update(self, scores, values):
        _fit(self, scores, values)
        if scores.shape[-1] == 0:
            return
        s, v, old = (np.asarray(t.double()) for t in (scores, values, self.maximum))
        new = np.maximum(old, s.max(-1)) if s.size else old
        finite = np.maximum(new, np.finfo(np.float64).min)
        weights, kept = np.exp(s - finite[..., None]), np.exp(old - finite)
        self.normaliser.mul_(torch.from_numpy(np.asarray(kept)).to(scores.dtype))
        self.normaliser.add_(torch.from_numpy(np.asarray(weights.sum(-1))).to(scores.dtype))
        self.weighted.mul_(torch.from_numpy(np.asarray(kept))[..., None].to(scores.dtype))
        sums = (weights[..., None] * v).sum(-2)
        self.weighted.add_(torch.from_numpy(np.asarray(sums)).to(scores.dtype))
        self.maximum.copy_(torch.from_numpy(np.asarray(new)))

    def result(self):
        return (self.weighted / self.normaliser[..., None]).nan_to_num(0.0)


RIGHT = [Buffers, Merged, OneTensor]
COSTLY = [KeyByKey]
