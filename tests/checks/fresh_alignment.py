"""Chapter 2's wrong answers, written by one who had not seen the traps."""

import math

import torch
from fresh import answer, bool_only


# mask after the softmax, rows do not sum to 1
@answer("masked after the softmax")
def masked_softmax__w01(scores, keep=None):
    bool_only(keep)
    w = scores.softmax(-1)
    return w if keep is None else w * keep


# empty rows get equal shares
@answer("nothing to read, so everything is read")
def masked_softmax__w02(scores, keep=None):
    bool_only(keep)
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return scores.softmax(-1)


# nan in empty rows
@answer("the row that may read nothing")
def masked_softmax__w03(scores, keep=None):
    bool_only(keep)
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-1)


# mask inverted
@answer("mask inverted")
def masked_softmax__w04(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(keep, torch.finfo(scores.dtype).min).softmax(-1) * ~keep


# softmax over the wrong dimension (-2)
@answer("softmax over those that ask")
def masked_softmax__w05(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-2)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-2) * keep


# -1e9 does not fit half precision
@answer("-1e9 as minus infinity")
def masked_softmax__w06(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, -1e9).softmax(-1) * keep


# -1e4 is not low enough
@answer("not low enough")
def masked_softmax__w07(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, -1e4).softmax(-1) * keep


# hidden scores set to 0 (still get a share)
@answer("the mask multiplies the scores")
def masked_softmax__w08(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, 0).softmax(-1) * keep


# scores times keep: hidden scores are 0
@answer("the mask multiplies the scores")
def masked_softmax__w09(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return (scores * keep).softmax(-1)


# in-place on the input
@answer("the caller's scores overwritten")
def masked_softmax__w10(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    scores.masked_fill_(~keep, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) * keep


# dim=1 hard coded
@answer("a dimension counted from the front")
def masked_softmax__w11(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(dim=1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(dim=1) * keep


# returns float32 always (dtype)
@answer("float32 whatever comes in")
def masked_softmax__w12(scores, keep=None):
    bool_only(keep)
    s = scores.float()
    if keep is None:
        return s.softmax(-1)
    return s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep


# single precision inside (double lost)
@answer()
def masked_softmax__w13(scores, keep=None):
    bool_only(keep)
    s = scores.float()
    if keep is None:
        return s.softmax(-1).to(scores.dtype)
    return (s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1) * keep).to(scores.dtype)


# None not handled
@answer()
def masked_softmax__w14(scores, keep=None):
    bool_only(keep)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep


# renormalised after: 0/0 in empty rows
@answer("renormalised after the softmax")
def masked_softmax__w15(scores, keep=None):
    bool_only(keep)
    w = scores.softmax(-1)
    if keep is not None:
        w = w * keep
        w = w / w.sum(-1, keepdim=True)
    return w


# renormalised after with a clamp: allowed shares underflow
@answer("renormalised after the softmax")
def masked_softmax__w16(scores, keep=None):
    bool_only(keep)
    w = scores.softmax(-1)
    if keep is not None:
        w = w * keep
        w = w / (w.sum(-1, keepdim=True) + 1e-9)
    return w


# added -inf: nan gradients in empty rows
@answer("a nan that comes back")
def masked_softmax__w17(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    bias = torch.zeros_like(keep, dtype=scores.dtype).masked_fill(~keep, float("-inf"))
    return (scores + bias).softmax(-1).nan_to_num(0.0)


# inverted mask; wrong dimension
@answer("softmax over those that ask", "mask inverted")
def masked_softmax__w18(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-2)
    return scores.masked_fill(keep, torch.finfo(scores.dtype).min).softmax(-2) * ~keep


# wrong dimension; nan in empty rows
@answer("softmax over those that ask", "the row that may read nothing")
def masked_softmax__w19(scores, keep=None):
    bool_only(keep)
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-2)


# mask after softmax; inverted
@answer("masked after the softmax", "mask inverted")
def masked_softmax__w20(scores, keep=None):
    bool_only(keep)
    w = scores.softmax(-1)
    return w if keep is None else w.masked_fill(keep, 0)


# -1e4 too weak; empty rows equal
@answer("nothing to read, so everything is read", "not low enough")
def masked_softmax__w21(scores, keep=None):
    bool_only(keep)
    if keep is not None:
        scores = scores.masked_fill(~keep, -1e4)
    return scores.softmax(-1)


# in-place on input; nan in empty rows
@answer("the row that may read nothing", "the caller's scores overwritten")
def masked_softmax__w22(scores, keep=None):
    bool_only(keep)
    if keep is not None:
        scores[~keep.expand_as(scores)] = float("-inf")
    return scores.softmax(-1)


# a row with any hidden key is zeroed (all for any)
@answer("nothing left where one is hidden")
def masked_softmax__w23(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    keep = keep.expand_as(scores)
    w = scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1)
    return w * keep.all(-1, keepdim=True)


# keep.float() makes halves to float32 (dtype)
@answer("a float32 mask in another precision")
def masked_softmax__w24(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep.float()


# no gradients (detached)
@answer()
def masked_softmax__w25(scores, keep=None):
    bool_only(keep)
    with torch.no_grad():
        if keep is None:
            return scores.softmax(-1)
        return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).softmax(-1) * keep


# lowest number added, not put: overflow
@answer("the lowest number added")
def masked_softmax__w26(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return (scores + ~keep * torch.finfo(scores.dtype).min).softmax(-1) * keep


# torch.finfo(torch.float32).min in every dtype
@answer()
def masked_softmax__w27(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(torch.float32).min).softmax(-1) * keep


# hides highest instead of lowest (finfo.max)
@answer("nothing left where one is hidden")
def masked_softmax__w28(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).max).softmax(-1) * keep


# hand-written exp without max: overflow
@answer("exponentials without the maximum")
def masked_softmax__w29(scores, keep=None):
    bool_only(keep)
    e = scores.exp()
    if keep is not None:
        e = e * keep
    return (e / e.sum(-1, keepdim=True)).nan_to_num(0)


# tiny constant finfo.tiny (0) as the lowest
@answer("the mask multiplies the scores")
def masked_softmax__w30(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).tiny).softmax(-1) * keep


# hidden scores 0; wrong dimension
@answer("softmax over those that ask", "the mask multiplies the scores")
def masked_softmax__w31(scores, keep=None):
    bool_only(keep)
    if keep is not None:
        scores = scores * keep
    return scores.softmax(-2)


# sigmoid instead of softmax
@answer("sigmoids instead of a softmax")
def masked_softmax__w32(scores, keep=None):
    bool_only(keep)
    w = scores.sigmoid()
    return w if keep is None else w * keep


# log_softmax returned
@answer("logarithms of shares")
def masked_softmax__w33(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.log_softmax(-1)
    return scores.masked_fill(~keep, torch.finfo(scores.dtype).min).log_softmax(-1) * keep


# float32 result; empty rows equal
@answer("float32 whatever comes in")
def masked_softmax__w34(scores, keep=None):
    bool_only(keep)
    s = scores.float()
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    return s.softmax(-1)


# keep multiplied with -1e9 added (1 - keep)
@answer("not low enough")
def masked_softmax__w35(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return (scores + (1.0 - keep.to(scores.dtype)) * -1e4).softmax(-1) * keep


# empty rows nan_to_num'd to 1/S
@answer("nothing to read, so everything is read")
def masked_softmax__w36(scores, keep=None):
    bool_only(keep)
    if keep is None:
        return scores.softmax(-1)
    return scores.masked_fill(~keep, -math.inf).softmax(-1).nan_to_num(1 / scores.shape[-1])
