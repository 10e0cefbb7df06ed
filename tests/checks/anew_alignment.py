"""Chapter 2's wrong answers of a second trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer
from torch.nn import functional as F


# the mask is ignored
@answer("the mask forgotten")
def attend__t01(scores, memory, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    weights = torch.softmax(scores, dim=-1)
    return (weights @ memory, weights)


# mask inverted (True taken for padding)
@answer("mask inverted")
def attend__t02(scores, memory, keep=None):
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool, got {keep.dtype}")
        scores = scores.masked_fill(keep, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    if keep is not None:
        weights = weights.masked_fill(keep, 0.0)
    return (weights @ memory, weights)


# masks after the softmax, so the shares no longer sum to 1
@answer("masked after the softmax")
def attend__t03(scores, memory, keep=None):
    weights = F.softmax(scores, dim=-1)
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("bool")
        weights = weights * keep
    read = torch.einsum("...ts,...sc->...tc", weights, memory)
    return (read, weights)


# hides with -inf: a row that may read nothing becomes nan
@answer("the row that may read nothing")
def attend__t04(scores, memory, keep=None):
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        scores = scores.masked_fill(~keep, float("-inf"))
    alpha = torch.softmax(scores, -1)
    return (torch.matmul(alpha, memory), alpha)


# a row that may read nothing gets equal shares instead of zeros
@answer("the row that may read nothing")
def attend__t05(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is None:
            return scores.softmax(-1)
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        low = torch.finfo(scores.dtype).min
        return torch.where(keep, scores, low).softmax(-1)

    w = masked_softmax(scores, keep)
    return (w @ memory, w)


# softmax over those that ask instead of over the memory
@answer("softmax over those that ask")
def attend__t06(scores, memory, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-2)
    if keep is not None:
        weights = weights * keep
    return (weights @ memory, weights)


# multiplies the scores by the mask: a hidden state has score 0, not share 0
@answer("the mask multiplies the scores")
def attend__t07(scores, memory, keep=None):
    if keep is None:
        weights = scores.softmax(-1)
    else:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        empty = ~keep.any(-1, keepdim=True)
        weights = (scores * keep).softmax(-1).masked_fill(empty, 0)
    read = weights @ memory
    return (read, weights)


# fills with -1e9, which half precision cannot hold
@answer("a constant as minus infinity")
def attend__t08(scores, memory, keep=None):
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("wrong dtype of keep")
        scores = scores.masked_fill(keep == 0, -1000000000.0)
    p_attn = F.softmax(scores, dim=-1)
    if keep is not None:
        p_attn = p_attn * keep
    return (torch.matmul(p_attn, memory), p_attn)


# returns only what is read, not the shares
@answer("the weights kept back")
def attend__t09(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    return torch.matmul(masked_softmax(scores, keep), memory)


# returns (weights, read) in the wrong order
@answer("the answers in the other order")
def attend__t10(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    shares = masked_softmax(scores, keep)
    mixture = torch.einsum("...ij,...jc->...ic", shares, memory)
    return (shares, mixture)


# returns the scores as the alignment instead of the shares
@answer("scores returned for weights")
def attend__t11(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    read = masked_softmax(scores, keep) @ memory
    weights = scores if keep is None else scores.masked_fill(~keep, 0)
    return (read, weights)


# hard attention: reads only the state with the best score
@answer("the best one alone")
def attend__t12(scores, memory, keep=None):
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    best = scores.argmax(dim=-1)
    weights = F.one_hot(best, scores.shape[-1]).to(scores.dtype)
    if keep is not None:
        weights = weights * keep
    return (weights @ memory, weights)


# scales the scores by the root of the width, which nobody asked for
@answer("a scale that nobody asked for")
def attend__t13(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    C = memory.shape[-1]
    weights = masked_softmax(scores / math.sqrt(C), keep)
    return (weights @ memory, weights)


# reads with the transposed shares: sums over those that ask
@answer("read with the weights on their side")
def attend__t14(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    weights = masked_softmax(scores, keep)
    read = weights.transpose(-1, -2) @ memory
    return (read, weights)


# takes the mean over the memory in place of the sum
@answer("a mean on top of the weights")
def attend__t15(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    weights = masked_softmax(scores, keep)
    read = weights @ memory / memory.shape[-2]
    return (read, weights)


# exponential without subtracting the maximum: overflows
@answer("exponentials without the maximum")
def attend__t16(scores, memory, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    e = torch.exp(scores)
    if keep is not None:
        e = e.masked_fill(~keep, 0)
    z = e.sum(dim=-1, keepdim=True)
    z = torch.where(z > 0, z, torch.ones_like(z))
    weights = e / z
    return (weights @ memory, weights)


# renormalises with an epsilon in the denominator
@answer("a constant in the denominator")
def attend__t17(scores, memory, keep=None):
    weights = torch.softmax(scores, dim=-1)
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        low = torch.finfo(scores.dtype).min
        weights = torch.softmax(scores.masked_fill(~keep, low), dim=-1) * keep
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-06)
    return (weights @ memory, weights)


# cuts the returned shares off from the gradient (detach: only for drawing)
@answer("detached weights")
def attend__t18(scores, memory, keep=None):

    def masked_softmax(scores, keep=None):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may be read), got {keep.dtype}")
        if keep is None:
            return torch.softmax(scores, dim=-1)
        low = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return torch.softmax(low, dim=-1) * keep

    weights = masked_softmax(scores, keep)
    read = weights @ memory
    return (read, weights.detach())


# mask inverted (True taken for padding)
# softmax over those that ask instead of over the memory
@answer("softmax over those that ask", "mask inverted")
def attend__t19(scores, memory, keep=None):
    if keep is None:
        w = F.softmax(scores, dim=-2)
        return (w @ memory, w)
    if keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    w = F.softmax(scores.masked_fill(keep, torch.finfo(scores.dtype).min), dim=-2)
    w = w * ~keep
    return (w @ memory, w)


# masks after the softmax, so the shares no longer sum to 1
# returns (weights, read) in the wrong order
@answer("masked after the softmax", "the answers in the other order")
def attend__t20(scores, memory, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    alpha = scores.softmax(dim=-1)
    if keep is not None:
        alpha = torch.where(keep, alpha, torch.zeros_like(alpha))
    c = torch.matmul(alpha, memory)
    return (alpha, c)


# hides with -inf: a row that may read nothing becomes nan
# scales the scores by the root of the width, which nobody asked for
@answer("a scale that nobody asked for", "the row that may read nothing")
def attend__t21(scores, memory, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    scaled = scores * memory.size(-1) ** (-0.5)
    if keep is not None:
        scaled = torch.where(keep, scaled, -torch.inf)
    weights = scaled.softmax(-1)
    return (torch.einsum("...ts,...sd->...td", weights, memory), weights)


# exponential without subtracting the maximum: overflows
# takes the mean over the memory in place of the sum
@answer("a mean on top of the weights", "exponentials without the maximum")
def attend__t22(scores, memory, keep=None):

    def softmax(s, keep):
        e = s.exp()
        if keep is not None:
            e = e * keep
        total = e.sum(-1, keepdim=True)
        return e / total.masked_fill(total == 0, 1.0)

    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    weights = softmax(scores, keep)
    products = weights @ memory
    return (products / scores.shape[-1], weights)


# hard attention: reads only the state with the best score
# the mask is ignored
@answer("the mask forgotten", "the best one alone")
def attend__t23(scores, memory, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError("keep must be bool")
    best = scores.argmax(-1, keepdim=True)
    weights = torch.zeros_like(scores).scatter(-1, best, 1.0)
    return (weights @ memory, weights)


# multiplies the scores by the mask: a hidden state has score 0, not share 0
# returns only what is read, not the shares
@answer("the weights kept back", "the mask multiplies the scores")
def attend__t24(scores, memory, keep=None):
    if keep is not None:
        if keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
        scores = scores * keep
    weights = F.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep.any(dim=-1, keepdim=True)
    return weights @ memory
