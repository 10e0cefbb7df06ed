"""What the exercises of chapter 4 share."""

import torch

from tutor.checks.draw import DOUBLE, Draw
from tutor.checks.exercise import Contract
from tutor.checks.forbidden import LIBRARY_ATTENTION

CHAPTER = "04_multihead"

# All sizes differ, so that a swapped axis cannot pass.
B, TQ, TK, H, D, DV, C, CM, COUT = 2, 3, 5, 4, 7, 6, 13, 17, 19


def split(x, h):
    return x.unflatten(-1, (h, -1)).transpose(-3, -2)


def split_by_view(x, h):
    return x.reshape(*x.shape[:-2], h, x.shape[-2], x.shape[-1] // h)


def split_interleaved(x, h):
    return x.unflatten(-1, (-1, h)).movedim(-1, -3)


def merge(heads):
    return heads.transpose(-3, -2).flatten(-2)


def merge_by_reshape(heads):
    h, t, d = heads.shape[-3:]
    return heads.reshape(*heads.shape[:-3], t, h * d)


def merge_interleaved(heads):
    return heads.movedim(-3, -1).flatten(-2)


def for_heads(keep):
    return None if keep is None else keep.unsqueeze(-3)


def attend(q, k, v, keep, width=None):
    """Chapter 3's attention, with another width to scale by."""
    weights = (q @ k.mT * (width or q.shape[-1]) ** -0.5).softmax(-1)
    if keep is not None:
        scores = q @ k.mT * (width or q.shape[-1]) ** -0.5
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1) * keep
    return weights @ v


class LayerDraw(Draw):
    """With the weights of a layer, in this chapter's sizes."""

    def weights(self, *, h=H, d=D, dv=DV, c=C, cm=C, cout=COUT, dtype=DOUBLE):
        return (
            self.normal(c, h * d, scale=c**-0.5, dtype=dtype),
            self.normal(cm, h * d, scale=cm**-0.5, dtype=dtype),
            self.normal(cm, h * dv, scale=cm**-0.5, dtype=dtype),
            self.normal(h * dv, cout, scale=(h * dv) ** -0.5, dtype=dtype),
        )


def layer_contract(tq: int, tk: int, cm: int, arguments) -> Contract:
    """``arguments``: of each call, made of the weights."""
    b, h, d, dv, c, cout = 2, 4, 8, 4, 24, 20
    projections = tq * c * h * d + tk * cm * h * (d + dv) + tq * h * dv * cout
    largest = max(h * tq * tk, max(tq, tk) * max(c, cm, cout, 2 * h * d + h * dv))
    return Contract(
        calls=arguments({"h": h, "d": d, "dv": dv, "c": c, "cm": cm, "cout": cout}),
        max_flops=2 * b * (projections + h * tq * tk * (d + dv)),
        max_written=16 * b * h * tq * tk + 24 * b * max(tq, tk) * h * d,
        max_intermediate=b * largest,
        forbidden=LIBRARY_ATTENTION,
    )


def layer(x, memory, weights, h, keep, split=split, merge=merge, attend=attend, mask=for_heads):
    """The right layer but for one part."""
    w_q, w_k, w_v, w_out = weights
    q, k, v = split(x @ w_q, h), split(memory @ w_k, h), split(memory @ w_v, h)
    return merge(attend(q, k, v, mask(keep))) @ w_out


def mask_as_it_is(keep):
    return keep


def mask_inverted(keep):
    return for_heads(None if keep is None else ~keep)


def mask_second_axis(keep):
    return None if keep is None else keep.unsqueeze(1)


def mask_behind(keep):
    return None if keep is None else keep.unsqueeze(-2)


def no_mask(keep):
    return None


def mask_on_its_side(keep):
    return None if keep is None else keep.mT.unsqueeze(-3)
