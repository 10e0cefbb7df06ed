"""Wrong answers to ``head_ablation``: a third trial, by others who had not seen the traps."""

import math

import numpy as np
import torch
from fresh import answer


# flags ignored: all heads speak
@answer("nobody silenced")
def head_ablation__u01(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    return merge_heads(heads) @ w_out


# flags inverted: True taken for silent
@answer("inverted")
def head_ablation__u02(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = heads.masked_fill(gate, 0.0)
    return merge_heads(spoken) @ w_out


# the others made louder, as in dropout
@answer("the rest scaled up")
def head_ablation__u03(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = heads * gate * (keep_heads.numel() / keep_heads.sum().clamp(min=1)).to(heads.dtype)
    return merge_heads(spoken) @ w_out


# flags lined up with the features
@answer("flags along the features")
def head_ablation__u04(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads
    spoken = heads * gate
    return merge_heads(spoken) @ w_out


# flags lined up with the tokens
@answer("flags along time")
def head_ablation__u05(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None]
    spoken = heads * gate
    return merge_heads(spoken) @ w_out


# flags repeated in the wrong order
@answer("every H-th feature silenced")
def head_ablation__u06(heads, w_out, keep_heads):
    H, T, D = heads.shape[-3:]
    merged = heads.transpose(-3, -2).reshape(*heads.shape[:-3], T, H * D)
    flags = keep_heads.repeat(D)
    merged = torch.where(flags, merged, torch.zeros_like(merged))
    return merged @ w_out


# merged without moving the heads
@answer("merged without transposing back")
def head_ablation__u07(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.reshape(*heads.shape[:-3], heads.shape[-2], -1)

    gate = keep_heads[:, None, None]
    spoken = heads * gate
    return merge_heads(spoken) @ w_out


# heads interleaved when merged
@answer("heads merged interleaved")
def head_ablation__u08(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.movedim(-3, -1).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = heads * gate
    return merge_heads(spoken) @ w_out


# writes into heads
@answer("the caller's heads overwritten")
def head_ablation__u09(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    heads[..., ~keep_heads, :, :] = 0
    return merge_heads(heads) @ w_out


# writes into w_out
@answer("w_out overwritten")
def head_ablation__u10(heads, w_out, keep_heads):
    D = heads.shape[-1]
    with torch.no_grad():
        w_out[(~keep_heads).repeat_interleave(D)] = 0
    return heads.transpose(-3, -2).flatten(-2) @ w_out


# rows of w_out belong to the wrong heads
@answer("the wrong rows of w_out")
def head_ablation__u11(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    spoken = heads[..., keep_heads, :, :]
    merged = merge_heads(spoken)
    return merged @ w_out[: merged.shape[-1]]


# silent heads removed, but not their rows of w_out
@answer("silent heads taken out, their rows of w_out left in")
def head_ablation__u12(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    return merge_heads(heads[..., keep_heads, :, :]) @ w_out


# silenced after the last projection
@answer("features of the answer silenced")
def head_ablation__u13(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    answer = merge_heads(heads) @ w_out
    flags = keep_heads.repeat_interleave(math.ceil(answer.shape[-1] / keep_heads.numel()))
    return answer * flags[: answer.shape[-1]]


# silent head replaced by its mean, not by zero
@answer("a mean instead of silence")
def head_ablation__u14(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = torch.where(gate, heads, heads.mean(dim=-2, keepdim=True))
    return merge_heads(spoken) @ w_out


# last projection transposed
@answer("w_out on its side")
def head_ablation__u15(heads, w_out, keep_heads):
    H, T, D = heads.shape[-3:]
    merged = heads.transpose(-3, -2).reshape(*heads.shape[:-3], T, H * D)
    flags = keep_heads.repeat_interleave(D)
    merged = torch.where(flags, merged, torch.zeros_like(merged))
    return merged @ w_out.T


# numpy: the gradient is lost
@answer("detached heads")
def head_ablation__u16(heads, w_out, keep_heads):
    flags = keep_heads.cpu().numpy()[:, None, None]
    spoken = np.where(flags, heads.detach().double().cpu().numpy(), 0.0)
    spoken = torch.from_numpy(spoken).to(heads)
    return spoken.transpose(-3, -2).flatten(-2) @ w_out


# gradient to the heads cut
@answer("detached heads")
def head_ablation__u17(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    spoken = heads.detach().clone()
    spoken[..., ~keep_heads, :, :] = 0
    return merge_heads(spoken) @ w_out


# gradient to w_out cut
@answer("w_out detached")
def head_ablation__u18(heads, w_out, keep_heads):
    H, T, D = heads.shape[-3:]
    merged = heads.transpose(-3, -2).reshape(*heads.shape[:-3], T, H * D)
    flags = keep_heads.repeat_interleave(D)
    merged = torch.where(flags, merged, torch.zeros_like(merged))
    return merged @ w_out.data


# computed in single precision
@answer()
def head_ablation__u19(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = heads.float() * gate
    return (merge_heads(spoken) @ w_out.float()).to(heads.dtype)


# flags turned into float32: half precision is promoted
@answer()
def head_ablation__u20(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads.float()[:, None, None]
    spoken = heads * gate
    return merge_heads(spoken) @ w_out


# exactly one batch dimension expected
@answer("exactly one batch dimension")
def head_ablation__u21(heads, w_out, keep_heads):
    B, H, T, D = heads.shape
    spoken = heads * keep_heads.reshape(1, H, 1, 1)
    return spoken.permute(0, 2, 1, 3).reshape(B, T, H * D) @ w_out


# a batch dimension added where there was none
@answer("a dimension in front")
def head_ablation__u22(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[None, :, None, None]
    spoken = heads * gate
    return merge_heads(spoken) @ w_out


# silent heads set to minus infinity, as scores are
@answer("silenced with -inf")
def head_ablation__u23(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = heads.masked_fill(~gate, -math.inf)
    return merge_heads(spoken) @ w_out


# no head speaks: a number comes back instead of zeros
@answer("a number where nobody speaks")
def head_ablation__u24(heads, w_out, keep_heads):
    D = heads.shape[-1]
    return sum(
        heads[..., h, :, :] @ w_out[h * D : (h + 1) * D]
        for h in range(heads.shape[-3])
        if keep_heads[h]
    )


# heads averaged instead of put side by side
@answer("divided by the number of heads")
def head_ablation__u25(heads, w_out, keep_heads):
    D = heads.shape[-1]
    answer = heads.new_zeros(*heads.shape[:-3], heads.shape[-2], w_out.shape[-1])
    for h in range(heads.shape[-3]):
        block = w_out[h * D : (h + 1) * D]
        answer = answer + heads[..., h, :, :] * keep_heads[h] @ block
    return answer / heads.shape[-3]


# needless products: everything, minus what the silent heads say
@answer()
def head_ablation__u26(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    everything = merge_heads(heads) @ w_out
    silent = merge_heads(heads * ~keep_heads[:, None, None]) @ w_out
    return everything - silent


# flags counted: the first heads speak
@answer("flags counted")
def head_ablation__u27(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    count = keep_heads.sum()
    gate = (torch.arange(heads.shape[-3], device=heads.device) < count)[:, None, None]
    spoken = heads * gate
    return merge_heads(spoken) @ w_out


# flags used as indices
@answer("flags as indices")
def head_ablation__u28(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    return merge_heads(heads[..., keep_heads.long(), :, :]) @ w_out


# last projection forgotten
@answer("no output projection")
def head_ablation__u29(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = heads * gate
    return merge_heads(spoken)


# a head's rows begin at h instead of h times D
@answer("a head's rows of w_out in the wrong place")
def head_ablation__u30(heads, w_out, keep_heads):
    D = heads.shape[-1]
    answer = heads.new_zeros(*heads.shape[:-3], heads.shape[-2], w_out.shape[-1])
    for h in range(heads.shape[-3]):
        block = w_out[h : h + D]
        answer = answer + heads[..., h, :, :] * keep_heads[h] @ block
    return answer


# last head forgotten
@answer("a head forgotten")
def head_ablation__u31(heads, w_out, keep_heads):
    D = heads.shape[-1]
    answer = heads.new_zeros(*heads.shape[:-3], heads.shape[-2], w_out.shape[-1])
    for h in range(heads.shape[-3] - 1):
        block = w_out[h * D : (h + 1) * D]
        answer = answer + heads[..., h, :, :] * keep_heads[h] @ block
    return answer


# width of a head taken from w_out's columns
@answer("the width of a head taken from another size")
def head_ablation__u32(heads, w_out, keep_heads):
    H, T, D = heads.shape[-3:]
    merged = heads.transpose(-3, -2).reshape(*heads.shape[:-3], T, H * D)
    flags = keep_heads.repeat_interleave(w_out.shape[1] // H)
    merged = torch.where(flags, merged, torch.zeros_like(merged))
    return merged @ w_out


# flags inverted: True taken for silent; the others made louder, as in dropout
@answer("inverted", "the rest scaled up")
def head_ablation__u33(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    gate = keep_heads[:, None, None]
    share = (~keep_heads).sum().clamp(min=1).to(heads.dtype) / keep_heads.numel()
    spoken = heads * ~gate / share
    return merge_heads(spoken) @ w_out


# flags repeated in the wrong order; gradient to w_out cut
@answer("every H-th feature silenced", "w_out detached")
def head_ablation__u34(heads, w_out, keep_heads):
    H, T, D = heads.shape[-3:]
    merged = heads.transpose(-3, -2).reshape(*heads.shape[:-3], T, H * D)
    flags = keep_heads.repeat(D)
    merged = torch.where(flags, merged, torch.zeros_like(merged))
    return merged @ w_out.detach()


# writes into heads; last projection transposed
@answer("w_out on its side", "the caller's heads overwritten")
def head_ablation__u35(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.transpose(-3, -2).flatten(-2)

    heads.mul_(keep_heads[:, None, None])
    return merge_heads(heads) @ w_out.T


# last head forgotten; a head's rows begin at h instead of h times D
@answer("a head forgotten", "a head's rows of w_out in the wrong place")
def head_ablation__u36(heads, w_out, keep_heads):
    D = heads.shape[-1]
    answer = heads.new_zeros(*heads.shape[:-3], heads.shape[-2], w_out.shape[-1])
    for h in range(heads.shape[-3] - 1):
        block = w_out[h : h + D]
        answer = answer + heads[..., h, :, :] * keep_heads[h] @ block
    return answer


# heads interleaved when merged; silent head replaced by its mean, not by zero
@answer("a mean instead of silence", "heads merged interleaved")
def head_ablation__u37(heads, w_out, keep_heads):

    def merge_heads(heads):
        return heads.movedim(-3, -1).flatten(-2)

    gate = keep_heads[:, None, None]
    spoken = torch.where(gate, heads, heads.mean(dim=-2, keepdim=True))
    return merge_heads(spoken) @ w_out
