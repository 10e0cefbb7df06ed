"""Wrong answers to scaled_dot_product_attention of a fourth trial, by others who had not seen the
traps."""

import math

import torch
import torch.nn.functional as F
from fresh import answer


def _guard(keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")


def _low(t):
    return torch.finfo(t.dtype).min


def _finish(s, v, keep):
    if keep is None:
        return s.softmax(-1) @ v
    return s.masked_fill(~keep, _low(s)).softmax(-1) * keep @ v


def _guard_2(keep):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")


# softmax(dim=1): hard-coded dimension
@answer("a dimension counted from the front")
def scaled_dot_product_attention__dim1(q, k, v, keep=None):
    _guard(keep)
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if keep is None:
        return s.softmax(1) @ v
    return s.masked_fill(~keep, _low(s)).softmax(1) * keep @ v


# k and q swapped: k qT
@answer("keys ask, queries answer")
def scaled_dot_product_attention__swapped(q, k, v, keep=None):
    _guard(keep)
    return _finish(k @ q.mT / math.sqrt(q.shape[-1]), v, keep)


# k.T reverses all dimensions / reshape instead of transpose
@answer("reshaped instead of transposed")
def scaled_dot_product_attention__reshape_t(q, k, v, keep=None):
    _guard(keep)
    return _finish(
        q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2]) / math.sqrt(q.shape[-1]), v, keep
    )


# queries and keys normalised (cosine)
@answer("cosine similarity")
def scaled_dot_product_attention__cosine(q, k, v, keep=None):
    _guard(keep)
    return _finish(
        F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT / math.sqrt(q.shape[-1]), v, keep
    )


# scale: divided by D ** 0.25 (only q scaled by the fourth root)
@answer("the fourth root")
def scaled_dot_product_attention__fourth_root(q, k, v, keep=None):
    _guard_2(keep)
    return _finish(q / q.shape[-1] ** 0.25 @ k.mT, v, keep)


# divided by sqrt of the batch/first dimension (q.shape[0])
@answer("scaled by another size")
def scaled_dot_product_attention__shape0(q, k, v, keep=None):
    _guard_2(keep)
    return _finish(q @ k.mT / math.sqrt(q.shape[0]), v, keep)


# scaled by sqrt(D) inside, but integer square root (int(sqrt D))
@answer("a root cut to an integer")
def scaled_dot_product_attention__int_sqrt(q, k, v, keep=None):
    _guard_2(keep)
    return _finish(q @ k.mT / int(math.sqrt(q.shape[-1])), v, keep)


# weights returned instead of the mixture
@answer("the weights themselves")
def scaled_dot_product_attention__weights(q, k, v, keep=None):
    _guard_2(keep)
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return s.softmax(-1) if keep is None else s.masked_fill(~keep, _low(s)).softmax(-1) * keep


# the keys are mixed instead of the values
@answer("the keys handed over")
def scaled_dot_product_attention__mixes_keys(q, k, v, keep=None):
    _guard_2(keep)
    return _finish(q @ k.mT / math.sqrt(q.shape[-1]), k, keep)


# negative distance instead of the dot product
@answer("distances instead of products")
def scaled_dot_product_attention__distance(q, k, v, keep=None):
    _guard_2(keep)
    return _finish(
        -(q[..., :, None, :] - k[..., None, :, :]).pow(2).sum(-1) / math.sqrt(q.shape[-1]), v, keep
    )
