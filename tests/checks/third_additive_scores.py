"""Wrong answers to additive_scores of a third trial, by others who had not seen the traps."""

import math

import numpy as np
import torch
from fresh import answer
from torch.nn import functional as F


# answer transposed: rows are the memory's
@answer("the memory asks")
def additive_scores__u01(x, memory, w_x, w_memory, v):
    px = (x @ w_x)[..., None, :, :]
    pm = (memory @ w_memory)[..., :, None, :]
    return torch.tanh(px + pm) @ v


# no tanh
@answer("no tanh")
def additive_scores__u02(x, memory, w_x, w_memory, v):
    px = (x @ w_x).unsqueeze(-2)
    pm = (memory @ w_memory).unsqueeze(-3)
    return (px + pm) @ v


# tanh of each part before the sum
@answer("a tanh for each part")
def additive_scores__u03(x, memory, w_x, w_memory, v):
    px = torch.tanh(x @ w_x).unsqueeze(-2)
    pm = torch.tanh(memory @ w_memory).unsqueeze(-3)
    return (px + pm) @ v


# sigmoid instead of tanh
@answer("another bend")
def additive_scores__u04(x, memory, w_x, w_memory, v):
    hidden = torch.sigmoid((x @ w_x)[..., :, None, :] + (memory @ w_memory)[..., None, :, :])
    return hidden @ v


# v inside the tanh
@answer("v inside the tanh")
def additive_scores__u05(x, memory, w_x, w_memory, v):
    hidden = (x @ w_x).unsqueeze(-2) + (memory @ w_memory).unsqueeze(-3)
    return torch.tanh(v * hidden).sum(-1)


# tanh of the weighted sum, after v
@answer("the tanh around the score")
def additive_scores__u06(x, memory, w_x, w_memory, v):
    hidden = (x @ w_x).unsqueeze(-2) + (memory @ w_memory).unsqueeze(-3)
    return torch.tanh(hidden @ v)


# projections multiplied instead of added
@answer("multiplied instead of added")
def additive_scores__u07(x, memory, w_x, w_memory, v):
    px = (x @ w_x)[..., :, None, :]
    pm = (memory @ w_memory)[..., None, :, :]
    return torch.tanh(px * pm) @ v


# divided by the root of the width, as for dot products
@answer("scaled")
def additive_scores__u08(x, memory, w_x, w_memory, v):
    px = (x @ w_x)[..., :, None, :]
    pm = (memory @ w_memory)[..., None, :, :]
    return torch.tanh(px + pm) @ v / math.sqrt(v.shape[0])


# softmax applied: shares returned instead of scores
@answer("softmax already taken")
def additive_scores__u09(x, memory, w_x, w_memory, v):
    px = (x @ w_x)[..., :, None, :]
    pm = (memory @ w_memory)[..., None, :, :]
    return torch.softmax(torch.tanh(px + pm) @ v, dim=-1)


# every pair projected anew (states concatenated first)
@answer()
def additive_scores__u10(x, memory, w_x, w_memory, v):
    T, S = (x.shape[-2], memory.shape[-2])
    xs = x.unsqueeze(-2).expand(*x.shape[:-1], S, x.shape[-1])
    ms = memory.unsqueeze(-3).expand(*memory.shape[:-2], T, *memory.shape[-2:])
    pairs = torch.cat([xs, ms], dim=-1)
    w = torch.cat([w_x, w_memory], dim=0)
    return torch.tanh(pairs @ w) @ v


# position i added to position i only: no pairs
@answer("no pairs")
def additive_scores__u11(x, memory, w_x, w_memory, v):
    return torch.tanh(x @ w_x + memory @ w_memory) @ v


# assumes exactly one batch dimension
@answer("axes counted from the front")
def additive_scores__u12(x, memory, w_x, w_memory, v):
    px = (x @ w_x)[:, :, None, :]
    pm = (memory @ w_memory)[:, None, :, :]
    return torch.tanh(px + pm) @ v


# the two weights exchanged
@answer("the projections swapped")
def additive_scores__u13(x, memory, w_x, w_memory, v):
    px = (x @ w_memory).unsqueeze(-2)
    pm = (memory @ w_x).unsqueeze(-3)
    return torch.tanh(px + pm) @ v


# weights transposed, as if stored (out, in)
@answer("nn.Linear's orientation")
def additive_scores__u14(x, memory, w_x, w_memory, v):
    px = F.linear(x, w_x).unsqueeze(-2)
    pm = F.linear(memory, w_memory).unsqueeze(-3)
    return torch.tanh(px + pm) @ v


# maximum of the row subtracted, as in a softmax
@answer("the scores shifted")
def additive_scores__u15(x, memory, w_x, w_memory, v):
    px = (x @ w_x).unsqueeze(-2)
    pm = (memory @ w_memory).unsqueeze(-3)
    scores = torch.tanh(px + pm) @ v
    return scores - scores.amax(-1, keepdim=True)


# dimensions of size 1 squeezed away
@answer("dimensions of 1 squeezed away")
def additive_scores__u16(x, memory, w_x, w_memory, v):
    px = (x @ w_x).unsqueeze(-2)
    pm = (memory @ w_memory).unsqueeze(-3)
    return (torch.tanh(px + pm) @ v.unsqueeze(-1)).squeeze()


# gradient to the memory cut by detach
@answer("a detached part")
def additive_scores__u17(x, memory, w_x, w_memory, v):
    memory = memory.detach()
    px = (x @ w_x).unsqueeze(-2)
    pm = (memory @ w_memory).unsqueeze(-3)
    return torch.tanh(px + pm) @ v


# gradient to v cut by .data
@answer("a detached part")
def additive_scores__u18(x, memory, w_x, w_memory, v):
    hidden = torch.tanh((x @ w_x).unsqueeze(-2) + (memory @ w_memory).unsqueeze(-3))
    return hidden.matmul(v.data)


# computes in single precision what came in double
@answer()
def additive_scores__u19(x, memory, w_x, w_memory, v):
    px = (x.float() @ w_x.float()).unsqueeze(-2)
    pm = (memory.float() @ w_memory.float()).unsqueeze(-3)
    return (torch.tanh(px + pm) @ v.float()).to(x.dtype)


# half precision answered in single: not cast back
@answer()
def additive_scores__u20(x, memory, w_x, w_memory, v):
    dtype = torch.promote_types(x.dtype, torch.float32)
    px = (x.to(dtype) @ w_x.to(dtype)).unsqueeze(-2)
    pm = (memory.to(dtype) @ w_memory.to(dtype)).unsqueeze(-3)
    return torch.tanh(px + pm) @ v.to(dtype)


# answer written into a table of the default dtype and device
@answer()
def additive_scores__u21(x, memory, w_x, w_memory, v):
    px, pm = (x @ w_x, memory @ w_memory)
    scores = torch.zeros(*px.shape[:-1], pm.shape[-2])
    for i in range(px.shape[-2]):
        scores[..., i, :] = torch.tanh(px[..., i : i + 1, :] + pm) @ v
    return scores


# tanh by hand from exponentials: overflows
@answer("a tanh by hand")
def additive_scores__u22(x, memory, w_x, w_memory, v):
    a = (x @ w_x).unsqueeze(-2) + (memory @ w_memory).unsqueeze(-3)
    e = torch.exp(2 * a)
    return (e - 1) / (e + 1) @ v


# addition theorem of tanh: 0/0 where both are saturated
@answer("a tanh by hand")
def additive_scores__u23(x, memory, w_x, w_memory, v):
    ta = torch.tanh(x @ w_x).unsqueeze(-2)
    tb = torch.tanh(memory @ w_memory).unsqueeze(-3)
    return (ta + tb) / (1 + ta * tb) @ v


# goes through numpy
@answer()
def additive_scores__u24(x, memory, w_x, w_memory, v):
    px = np.matmul(x.detach().cpu().numpy(), w_x.detach().cpu().numpy())
    pm = np.matmul(memory.detach().cpu().numpy(), w_memory.detach().cpu().numpy())
    hidden = np.tanh(px[..., :, None, :] + pm[..., None, :, :])
    return torch.as_tensor(hidden @ v.detach().cpu().numpy(), dtype=x.dtype, device=x.device)


# numbers taken out with .item()
@answer()
def additive_scores__u25(x, memory, w_x, w_memory, v):
    px, pm = (x @ w_x, memory @ w_memory)
    scores = px.new_zeros(*px.shape[:-1], pm.shape[-2])
    flat, fx = (scores.reshape(-1, *scores.shape[-2:]), px.reshape(-1, *px.shape[-2:]))
    fm = pm.reshape(-1, *pm.shape[-2:])
    for n in range(flat.shape[0]):
        for i in range(flat.shape[1]):
            for j in range(flat.shape[2]):
                flat[n, i, j] = (torch.tanh(fx[n, i] + fm[n, j]) * v).sum().item()
    return flat.reshape(scores.shape)


# v normalised to length 1
@answer("v normalised")
def additive_scores__u26(x, memory, w_x, w_memory, v):
    hidden = torch.tanh((x @ w_x).unsqueeze(-2) + (memory @ w_memory).unsqueeze(-3))
    return hidden @ (v / v.norm())


# mean over the hidden units instead of the sum
@answer("scaled")
def additive_scores__u27(x, memory, w_x, w_memory, v):
    hidden = torch.tanh((x @ w_x).unsqueeze(-2) + (memory @ w_memory).unsqueeze(-3))
    return (hidden * v).mean(dim=-1)


# view of an input that need not be contiguous
@answer("view of what is not contiguous")
def additive_scores__u28(x, memory, w_x, w_memory, v):
    px = torch.mm(x.view(-1, x.shape[-1]), w_x).view(*x.shape[:-1], 1, -1)
    pm = torch.mm(memory.view(-1, memory.shape[-1]), w_memory)
    pm = pm.view(*memory.shape[:-2], 1, memory.shape[-2], -1)
    return torch.tanh(px + pm) @ v


# the length of x taken for both lengths
@answer("one length for both")
def additive_scores__u29(x, memory, w_x, w_memory, v):
    px, pm = (x @ w_x, memory @ w_memory)
    T = x.shape[-2]
    columns = [torch.tanh(px + pm[..., j : j + 1, :]) @ v for j in range(T)]
    return torch.stack(columns, dim=-1)


# projections subtracted instead of added
@answer("subtracted instead of added")
def additive_scores__u30(x, memory, w_x, w_memory, v):
    px = (x @ w_x)[..., :, None, :]
    pm = (memory @ w_memory)[..., None, :, :]
    return torch.tanh(px - pm) @ v


# last hidden unit left out
@answer("a hidden unit left out")
def additive_scores__u31(x, memory, w_x, w_memory, v):
    px, pm = (x @ w_x, memory @ w_memory)
    hidden = torch.tanh(px.unsqueeze(-2) + pm.unsqueeze(-3))
    score = hidden[..., 0] * v[0]
    for unit in range(1, v.shape[0] - 1):
        score = score + hidden[..., unit] * v[unit]
    return score


# relu instead of tanh
@answer("another bend")
def additive_scores__u32(x, memory, w_x, w_memory, v):
    return F.relu((x @ w_x)[..., None, :] + (memory @ w_memory)[..., None, :, :]) @ v


# the shapes of the inputs changed in place by unsqueeze_
@answer()
def additive_scores__u33(x, memory, w_x, w_memory, v):
    px = x.unsqueeze_(-2) @ w_x
    pm = memory.unsqueeze_(-3) @ w_memory
    return torch.tanh(px + pm) @ v


# a multiplicative score: dot product of the projections
@answer("multiplied instead of added")
def additive_scores__u34(x, memory, w_x, w_memory, v):
    px = torch.tanh(x @ w_x)
    pm = torch.tanh(memory @ w_memory)
    return px * v @ pm.mT


# assumes exactly one batch dimension
# answer transposed: rows are the memory's
@answer("the memory asks", "axes counted from the front")
def additive_scores__u35(x, memory, w_x, w_memory, v):
    px = (x @ w_x).unsqueeze(1)
    pm = (memory @ w_memory).unsqueeze(2)
    return torch.tanh(px + pm) @ v


# no tanh
# the two weights exchanged
@answer("no tanh", "the projections swapped")
def additive_scores__u36(x, memory, w_x, w_memory, v):
    px = x @ w_memory
    pm = memory @ w_x
    return (px[..., :, None, :] + pm[..., None, :, :]) @ v


# tanh of each part before the sum
# dimensions of size 1 squeezed away
@answer("a tanh for each part", "dimensions of 1 squeezed away")
def additive_scores__u37(x, memory, w_x, w_memory, v):
    px = torch.tanh(x @ w_x).unsqueeze(-2)
    pm = torch.tanh(memory @ w_memory).unsqueeze(-3)
    return torch.matmul(px + pm, v).squeeze()


# gradient to the memory cut by detach
# divided by the root of the width, as for dot products
@answer("scaled", "a detached part")
def additive_scores__u38(x, memory, w_x, w_memory, v):
    hidden = torch.tanh((x @ w_x).unsqueeze(-2) + (memory.detach() @ w_memory).unsqueeze(-3))
    return hidden @ v / v.shape[0] ** 0.5


# every pair projected anew
# sigmoid instead of tanh
@answer("another bend")
def additive_scores__u39(x, memory, w_x, w_memory, v):
    T, S = (x.shape[-2], memory.shape[-2])
    xs = x.unsqueeze(-2).repeat_interleave(S, dim=-2)
    ms = memory.unsqueeze(-3).repeat_interleave(T, dim=-3)
    return torch.sigmoid(xs @ w_x + ms @ w_memory) @ v
