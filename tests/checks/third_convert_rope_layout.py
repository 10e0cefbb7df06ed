"""Wrong answers to ``convert_rope_layout`` of a third trial: their writers had seen no trap."""

import torch
from fresh import answer


# directions swapped
@answer("the wrong way round")
def convert_rope_layout__u01(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (2, half) if to == "half" else (half, 2)
    return w.unflatten(0, (num_heads, *sizes)).transpose(1, 2).reshape(w.shape)


# direction ignored: always to half
@answer("always in one direction")
def convert_rope_layout__u02(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    return w.unflatten(0, (num_heads, half, 2)).transpose(1, 2).reshape(w.shape)


# nothing reordered
@answer("reshaped without a transpose")
def convert_rope_layout__u03(w, num_heads, to):
    return w.clone()


# heads ignored: all rows reordered at once
@answer("across the heads")
def convert_rope_layout__u04(w, num_heads, to):
    if to == "half":
        return torch.cat((w[0::2], w[1::2]), dim=0)
    return torch.stack(w.chunk(2, dim=0), dim=1).flatten(0, 1)


# columns reordered instead of rows
@answer("columns instead of rows")
def convert_rope_layout__u05(w, num_heads, to):
    sizes = (-1, 2) if to == "half" else (2, -1)
    return w.unflatten(-1, (num_heads, *sizes)).transpose(-1, -2).flatten(-3)


# heads taken as the last of the row's indices
@answer("heads that alternate")
def convert_rope_layout__u06(w, num_heads, to):
    sizes = (-1, 2) if to == "half" else (2, -1)
    return w.unflatten(0, (*sizes, num_heads)).transpose(0, 1).reshape(w.shape)


# a bias forgotten: exactly two dimensions expected
@answer("exactly two dimensions")
def convert_rope_layout__u07(w, num_heads, to):
    rows, columns = w.shape
    half = rows // num_heads // 2
    if to == "half":
        return w.reshape(num_heads, half, 2, columns).transpose(1, 2).reshape(rows, columns)
    return w.reshape(num_heads, 2, half, columns).transpose(1, 2).reshape(rows, columns)


# further dimensions forgotten
@answer("exactly two dimensions")
def convert_rope_layout__u08(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2) if to == "half" else (2, half)
    if w.dim() == 1:
        return w.view(num_heads, *sizes).transpose(1, 2).reshape(-1)
    return w.reshape(num_heads, *sizes, w.shape[1]).transpose(1, 2).reshape(-1, w.shape[1])


# view after the transposition
@answer()
def convert_rope_layout__u09(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2) if to == "half" else (2, half)
    return w.unflatten(0, (num_heads, *sizes)).transpose(1, 2).view(w.shape)


# view of an input that lies in memory in another order
@answer()
def convert_rope_layout__u10(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    t = w.view(num_heads, half, 2, -1) if to == "half" else w.view(num_heads, 2, half, -1)
    return t.transpose(1, 2).reshape(w.shape)


# w overwritten
@answer()
def convert_rope_layout__u11(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2) if to == "half" else (2, half)
    with torch.no_grad():
        w.copy_(w.unflatten(0, (num_heads, *sizes)).transpose(1, 2).reshape(w.shape))
    return w


# gradient cut
@answer()
def convert_rope_layout__u13(w, num_heads, to):
    rows = torch.arange(w.shape[0], device=w.device)
    if to == "half":
        order = rows.view(num_heads, -1, 2).transpose(1, 2).flatten()
    else:
        order = rows.view(num_heads, 2, -1).transpose(1, 2).flatten()
    return w.detach()[order]


# wrapped in a new parameter: gradient cut
@answer()
def convert_rope_layout__u14(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2) if to == "half" else (2, half)
    new = w.unflatten(0, (num_heads, *sizes)).transpose(1, 2).reshape(w.shape)
    return torch.nn.Parameter(new)


# odd rows first
@answer("the odd rows first")
def convert_rope_layout__u18(w, num_heads, to):
    D = w.shape[0] // num_heads
    rows = w.unflatten(0, (num_heads, D))
    if to == "half":
        parts = torch.cat((rows[:, 1::2], rows[:, 0::2]), dim=1)
    else:
        parts = torch.stack((rows[:, D // 2 :], rows[:, : D // 2]), dim=2).flatten(1, 2)
    return parts.flatten(0, 1)


# cast to single precision
@answer("single precision whatever comes in")
def convert_rope_layout__u19(w, num_heads, to):
    D = w.shape[0] // num_heads
    rows = w.float().unflatten(0, (num_heads, D))
    if to == "half":
        parts = torch.cat((rows[:, 0::2], rows[:, 1::2]), dim=1)
    else:
        parts = torch.stack((rows[:, : D // 2], rows[:, D // 2 :]), dim=2).flatten(1, 2)
    return parts.flatten(0, 1)


# rotated as well: second half with a minus
@answer("turned as well")
def convert_rope_layout__u20(w, num_heads, to):
    D = w.shape[0] // num_heads
    rows = w.unflatten(0, (num_heads, D))
    if to == "half":
        parts = torch.cat((rows[:, 0::2], -rows[:, 1::2]), dim=1)
    else:
        parts = torch.stack((rows[:, : D // 2], -rows[:, D // 2 :]), dim=2).flatten(1, 2)
    return parts.flatten(0, 1)


# width of a head taken from the columns
@answer("the width of a head taken from the columns")
def convert_rope_layout__u21(w, num_heads, to):
    half = w.shape[-1] // num_heads // 2
    sizes = (half, 2) if to == "half" else (2, half)
    return w.unflatten(0, (num_heads, *sizes)).transpose(1, 2).reshape(w.shape)


# num_heads read as the width of a head
@answer("num_heads for the width of a head")
def convert_rope_layout__u22(w, num_heads, to):
    rows = torch.arange(w.shape[0], device=w.device)
    if to == "half":
        order = rows.view(-1, num_heads // 2, 2).transpose(1, 2).flatten()
    else:
        order = rows.view(-1, 2, num_heads // 2).transpose(1, 2).flatten()
    return w[order]


# last head forgotten
@answer("heads left out")
def convert_rope_layout__u24(w, num_heads, to):
    D = w.shape[0] // num_heads
    out = w.clone()
    for h in range(num_heads - 1):
        head = w[h * D : (h + 1) * D]
        if to == "half":
            out[h * D : (h + 1) * D] = torch.cat((head[::2], head[1::2]))
        else:
            out[h * D : (h + 1) * D : 2] = head[: D // 2]
            out[h * D + 1 : (h + 1) * D : 2] = head[D // 2 :]
    return out


# answer left with a dimension of heads
@answer("left in heads")
def convert_rope_layout__u25(w, num_heads, to):
    D = w.shape[0] // num_heads
    rows = w.unflatten(0, (num_heads, D))
    if to == "half":
        parts = torch.cat((rows[:, 0::2], rows[:, 1::2]), dim=1)
    else:
        parts = torch.stack((rows[:, : D // 2], rows[:, D // 2 :]), dim=2).flatten(1, 2)
    return parts


# every head gets the rows of the first
@answer("one head's rows for all")
def convert_rope_layout__u26(w, num_heads, to):
    rows = torch.arange(w.shape[0] // num_heads, device=w.device).repeat(num_heads)
    if to == "half":
        order = rows.view(num_heads, -1, 2).transpose(1, 2).flatten()
    else:
        order = rows.view(num_heads, 2, -1).transpose(1, 2).flatten()
    return w[order]


# answer transposed: rows taken as inputs
@answer()
def convert_rope_layout__u27(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2) if to == "half" else (2, half)
    return w.unflatten(0, (num_heads, *sizes)).transpose(1, 2).reshape(w.shape).T.contiguous()


# device forgotten
@answer()
def convert_rope_layout__u28(w, num_heads, to):
    rows = torch.arange(w.shape[0])
    if to == "half":
        order = rows.view(num_heads, -1, 2).transpose(1, 2).flatten()
    else:
        order = rows.view(num_heads, 2, -1).transpose(1, 2).flatten()
    return w.index_select(0, order)


# reordered twice
@answer("reordered twice")
def convert_rope_layout__u29(w, num_heads, to):
    rows = torch.arange(w.shape[0], device=w.device)
    if to == "half":
        order = rows.view(num_heads, -1, 2).transpose(1, 2).flatten()
    else:
        order = rows.view(num_heads, 2, -1).transpose(1, 2).flatten()
    return w[order][order]


# heads moved in front of the halves: all first halves, then all second
@answer("across the heads")
def convert_rope_layout__u30(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    if to == "half":
        return w.unflatten(0, (num_heads, half, 2)).movedim(2, 0).reshape(w.shape)
    return w.unflatten(0, (2, num_heads, half)).movedim(0, 2).reshape(w.shape)


# heads ignored: all rows reordered at once; directions swapped
@answer("across the heads", "the wrong way round")
def convert_rope_layout__u38(w, num_heads, to):
    if to == "interleaved":
        return torch.cat((w[0::2], w[1::2]), dim=0)
    return torch.stack(w.chunk(2, dim=0), dim=1).flatten(0, 1)


# odd rows first; gradient cut
@answer("the odd rows first")
def convert_rope_layout__u39(w, num_heads, to):
    D = w.shape[0] // num_heads
    rows = w.data.unflatten(0, (num_heads, D))
    if to == "half":
        parts = torch.cat((rows[:, 1::2], rows[:, 0::2]), dim=1)
    else:
        parts = torch.stack((rows[:, D // 2 :], rows[:, : D // 2]), dim=2).flatten(1, 2)
    return parts.flatten(0, 1)


# cast to single precision; every head gets the rows of the first
@answer("one head's rows for all", "single precision whatever comes in")
def convert_rope_layout__u40(w, num_heads, to):
    rows = torch.arange(w.shape[0] // num_heads, device=w.device).repeat(num_heads)
    if to == "half":
        order = rows.view(num_heads, -1, 2).transpose(1, 2).flatten()
    else:
        order = rows.view(num_heads, 2, -1).transpose(1, 2).flatten()
    return w.float()[order]


# a bias forgotten: exactly two dimensions expected; direction ignored: always to half
@answer("always in one direction", "exactly two dimensions")
def convert_rope_layout__u41(w, num_heads, to):
    dim1, dim2 = w.shape
    return w.reshape(num_heads, dim1 // num_heads // 2, 2, dim2).transpose(1, 2).reshape(dim1, dim2)


# last head forgotten; rotated as well: second half with a minus
@answer("heads left out", "turned as well")
def convert_rope_layout__u42(w, num_heads, to):
    D = w.shape[0] // num_heads
    out = w.clone()
    for h in range(num_heads - 1):
        head = w[h * D : (h + 1) * D]
        if to == "half":
            out[h * D : (h + 1) * D] = torch.cat((head[::2], -head[1::2]))
        else:
            out[h * D : (h + 1) * D : 2] = head[: D // 2]
            out[h * D + 1 : (h + 1) * D : 2] = -head[D // 2 :]
    return out


# directions swapped; w overwritten
@answer("the wrong way round")
def convert_rope_layout__u43(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (2, half) if to == "half" else (half, 2)
    w.data = w.data.unflatten(0, (num_heads, *sizes)).transpose(1, 2).reshape(w.shape)
    return w
