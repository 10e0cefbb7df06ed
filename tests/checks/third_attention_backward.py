"""Wrong answers to ``attention_backward``: a third trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer


# the mean of the softmax's derivative left out
@answer("the other weights forgotten")
def attention_backward__u01(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.mT * scale
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep
    grad_v = weights.mT @ grad_out
    grad_scores = weights * (grad_out @ v.mT)
    return (grad_scores @ k * scale, grad_scores.mT @ q * scale, grad_v)


# scale 1/√D left out on the way back
@answer("the scale forgotten on the way back")
def attention_backward__u02(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.mT * scale
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep
    grad_v = weights.mT @ grad_out
    grad_weights = grad_out @ v.mT
    mean = (weights * grad_weights).sum(-1, keepdim=True)
    grad_scores = weights * (grad_weights - mean)
    return (grad_scores @ k, grad_scores.mT @ q, grad_v)


# scale 1/√D left out in the gradient of k only
@answer("the scale forgotten on the way back")
def attention_backward__u03(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q, w.mT @ grad_out)


# mask forgotten: weights of all keys
@answer("the mask forgotten on the way back")
def attention_backward__u04(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    w = torch.softmax(q @ k.mT / root, dim=-1)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# mask applied after the softmax only: weights do not sum to 1
@answer("masked after the softmax")
def attention_backward__u05(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    w = torch.softmax(q @ k.mT / root, dim=-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# mask inverted
@answer("mask inverted")
def attention_backward__u06(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        s = s.masked_fill(keep, torch.finfo(s.dtype).min)
    w = torch.softmax(s, dim=-1)
    if keep is not None:
        w = w * ~keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# a query that may read nothing keeps equal weights
@answer("the row that may read nothing")
def attention_backward__u07(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = torch.softmax(s, dim=-1)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# -inf for hidden keys: nan where a query may read nothing
@answer("the row that may read nothing")
def attention_backward__u08(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = q.shape[-1] ** (-0.5)
    s = q @ k.mT * scale
    if keep is not None:
        s = s.masked_fill(~keep, float("-inf"))
    w = s.softmax(-1)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) * scale
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# weights not transposed in the gradient of v
@answer("a product on its side")
def attention_backward__u09(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w @ grad_out)


# derivative of the scores not transposed in the gradient of k
@answer("a product on its side")
def attention_backward__u10(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds @ q / root, w.mT @ grad_out)


# answers in the wrong order: gradients of k and q exchanged
@answer("the gradients in another order")
def attention_backward__u11(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.mT * scale
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep
    grad_v = weights.mT @ grad_out
    grad_weights = grad_out @ v.mT
    mean = (weights * grad_weights).sum(-1, keepdim=True)
    grad_scores = weights * (grad_weights - mean)
    grad_q = grad_scores @ k * scale
    grad_k = grad_scores.mT @ q * scale
    return (grad_k, grad_q, grad_v)


# the mean taken over the queries instead of the keys
@answer("summed over the queries")
def attention_backward__u12(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.mT * scale
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep
    grad_v = weights.mT @ grad_out
    grad_weights = grad_out @ v.mT
    mean = (weights * grad_weights).sum(-2, keepdim=True)
    grad_scores = weights * (grad_weights - mean)
    return (grad_scores @ k * scale, grad_scores.mT @ q * scale, grad_v)


# softmax over the queries instead of the keys
@answer("softmax over the queries")
def attention_backward__u13(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = torch.softmax(s, dim=-2)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-2, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# only the diagonal of the softmax's Jacobian: w (1 - w)
@answer("the derivative of a sigmoid")
def attention_backward__u14(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    ds = w * (1 - w) * dw
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# plain mean over the keys instead of the mean under the weights
@answer("a plain mean")
def attention_backward__u15(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.mT * scale
    if keep is not None:
        scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if keep is not None:
        weights = weights * keep
    grad_weights = grad_out @ v.mT
    grad_scores = weights * (grad_weights - grad_weights.mean(-1, keepdim=True)) * scale
    return (grad_scores @ k, grad_scores.mT @ q, weights.mT @ grad_out)


# sign of the softmax's derivative turned
@answer("the sign flipped")
def attention_backward__u16(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    ds = w * ((w * dw).sum(-1, keepdim=True) - dw)
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# autograd used
@answer()
def attention_backward__u17(grad_out, q, k, v, keep=None):

    def attention_weights(q, k, keep):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = torch.einsum("...id,...jd->...ij", q, k) / q.shape[-1] ** 0.5
        if keep is None:
            return scores.softmax(dim=-1)
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~keep, lowest).softmax(dim=-1) * keep

    with torch.enable_grad():
        qq, kk, vv = (t.detach().requires_grad_() for t in (q, k, v))
        out = attention_weights(qq, kk, keep) @ vv
        return torch.autograd.grad(out, (qq, kk, vv), grad_out)


# torch.func used
@answer()
def attention_backward__u18(grad_out, q, k, v, keep=None):

    def attention_weights(q, k, keep):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = torch.einsum("...id,...jd->...ij", q, k) / q.shape[-1] ** 0.5
        if keep is None:
            return scores.softmax(dim=-1)
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~keep, lowest).softmax(dim=-1) * keep

    _, backward = torch.func.vjp(lambda q, k, v: attention_weights(q, k, keep) @ v, q, k, v)
    return backward(grad_out)


# computes in single precision what came in double
@answer()
def attention_backward__u19(grad_out, q, k, v, keep=None):
    dtype = q.dtype
    grad_out, q, k, v = (grad_out.float(), q.float(), k.float(), v.float())
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    return ((ds @ k).to(dtype), (ds.mT @ q).to(dtype), (w.mT @ grad_out).to(dtype))


# q scaled in place
@answer()
def attention_backward__u20(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = 1 / math.sqrt(q.shape[-1])
    q *= scale
    s = q @ k.mT
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k * scale, ds.mT @ q, w.mT @ grad_out)


# width of the values taken for the width of the keys in the scale
@answer("scaled by another size")
def attention_backward__u21(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    scale = 1 / math.sqrt(v.shape[-1])
    s = q @ k.mT * scale
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) * scale
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# divided by D instead of its root
@answer("divided by D instead of √D")
def attention_backward__u22(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    D = q.shape[-1]
    s = q @ k.mT / D
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / D
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# exponentials without the maximum subtracted: overflow
@answer("exponentials without the maximum")
def attention_backward__u23(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    e = torch.exp(q @ k.mT / root)
    if keep is not None:
        e = e.masked_fill(~keep, 0)
    total = e.sum(-1, keepdim=True)
    w = e / (total + (total == 0))
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# -1e9 for hidden keys: no number of half precision
@answer("a constant as minus infinity")
def attention_backward__u24(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        s = s.masked_fill(~keep, -1000000000.0)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# the whole Jacobian of the softmax built, Tk by Tk for each query
@answer()
def attention_backward__u25(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    jacobian = torch.diag_embed(w) - w.unsqueeze(-1) * w.unsqueeze(-2)
    ds = (jacobian @ dw.unsqueeze(-1)).squeeze(-1)
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# weights computed again for each of the three gradients
@answer()
def attention_backward__u26(grad_out, q, k, v, keep=None):

    def attention_weights(q, k, keep):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = torch.einsum("...id,...jd->...ij", q, k) / q.shape[-1] ** 0.5
        if keep is None:
            return scores.softmax(dim=-1)
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~keep, lowest).softmax(dim=-1) * keep

    def grad_scores():
        w = attention_weights(q, k, keep)
        dw = grad_out @ v.mT
        return w * (dw - (w * dw).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])

    grad_q = grad_scores() @ k
    grad_k = grad_scores().mT @ q
    grad_v = attention_weights(q, k, keep).mT @ grad_out
    return (grad_q, grad_k, grad_v)


# keep taken to have the full shape: no broadcasting
@answer()
def attention_backward__u27(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        s[~keep] = torch.finfo(s.dtype).min
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k / root, ds.mT @ q / root, w.mT @ grad_out)


# assumes exactly one batch dimension
@answer("exactly one batch dimension")
def attention_backward__u28(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[2])
    s = torch.bmm(q, k.transpose(1, 2)) / root
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = torch.softmax(s, dim=2)
    if keep is not None:
        w = w * keep
    dw = torch.bmm(grad_out, v.transpose(1, 2))
    ds = w * (dw - (w * dw).sum(dim=2, keepdim=True)) / root
    return (
        torch.bmm(ds, k),
        torch.bmm(ds.transpose(1, 2), q),
        torch.bmm(w.transpose(1, 2), grad_out),
    )


# all dimensions transposed by .T instead of the last two
@answer("all dimensions turned round")
def attention_backward__u29(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.T / root
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = torch.softmax(s, dim=-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.T
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    return (ds @ k, ds.T @ q, w.T @ grad_out)


# gradients of k and v added up over the batch
@answer("added up over the batch")
def attention_backward__u30(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    dk, dv = (ds.mT @ q, w.mT @ grad_out)
    if q.dim() > 2:
        first = tuple(range(q.dim() - 2))
        dk = dk.sum(first, keepdim=True).expand(k.shape)
        dv = dv.sum(first, keepdim=True).expand(v.shape)
    return (ds @ k, dk, dv)


# lowest number added to the scores: -inf in half precision, nan in empty rows
@answer("the lowest number added")
def attention_backward__u31(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        bias = torch.zeros(keep.shape, dtype=s.dtype, device=s.device)
        s = s + bias.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# √D computed in single precision
@answer()
def attention_backward__u32(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = torch.tensor(float(q.shape[-1]), dtype=torch.float32, device=q.device).sqrt()
    s = q @ k.mT / root
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# goes through numpy
@answer()
def attention_backward__u33(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    G, Q, K, V = (t.detach().cpu().double().numpy() for t in (grad_out, q, k, v))
    s = Q @ K.swapaxes(-1, -2) / Q.shape[-1] ** 0.5
    allowed = True if keep is None else keep.cpu().numpy()
    s = torch.from_numpy(s)
    if keep is not None:
        s = s.masked_fill(~keep.cpu(), torch.finfo(s.dtype).min)
    w = s.softmax(-1).numpy() * allowed
    dw = G @ V.swapaxes(-1, -2)
    ds = w * (dw - (w * dw).sum(-1, keepdims=True)) / Q.shape[-1] ** 0.5
    grads = (ds @ K, ds.swapaxes(-1, -2) @ Q, w.swapaxes(-1, -2) @ G)
    return tuple(torch.from_numpy(g).to(q) for g in grads)


# scale left out of the scores, but kept on the way back
@answer("no scale")
def attention_backward__u34(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    s = q @ k.mT
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# answers in the order of computing: v, k, q instead of q, k, v
@answer("the gradients in another order")
def attention_backward__u35(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    grads = [w.mT @ grad_out]
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    grads.append(ds.mT @ q)
    grads.append(ds @ k)
    return tuple(grads)


# the mean of the softmax's derivative left out; scale 1/√D left out on the way back
@answer("the other weights forgotten", "the scale forgotten on the way back")
def attention_backward__u36(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.size(-1))
    s = torch.matmul(q, k.transpose(-2, -1)) / root
    if keep is None:
        w = s.softmax(-1)
    else:
        w = s.masked_fill(~keep, torch.finfo(s.dtype).min).softmax(-1).masked_fill(~keep, 0.0)
    ds = w * (grad_out @ v.mT)
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# mask forgotten; plain mean over the keys instead of the mean under the weights
@answer("a plain mean", "the mask forgotten on the way back")
def attention_backward__u37(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    w = (q @ k.mT / root).softmax(-1)
    dw = grad_out @ v.mT
    ds = w * (dw - dw.mean(-1, keepdim=True)) / root
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)


# -inf for hidden keys: nan where a query may read nothing; scale 1/√D twice in the gradient of q
@answer("the scale applied twice", "the row that may read nothing")
def attention_backward__u38(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        s = s.masked_fill(~keep, -math.inf)
    w = s.softmax(-1)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    return (ds @ k / root, ds.mT @ q, w.mT @ grad_out)


# assumes exactly one batch dimension; sign of the softmax's derivative turned
@answer("the sign flipped", "exactly one batch dimension")
def attention_backward__u39(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = torch.einsum("bqd,bkd->bqk", q, k) / root
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    if keep is not None:
        w = w * keep
    dw = torch.einsum("bqe,bke->bqk", grad_out, v)
    ds = w * ((w * dw).sum(-1, keepdim=True) - dw) / root
    dq = torch.einsum("bqk,bkd->bqd", ds, k)
    dk = torch.einsum("bqk,bqd->bkd", ds, q)
    dv = torch.einsum("bqk,bqe->bke", w, grad_out)
    return (dq, dk, dv)


# gradients of k and q exchanged; a query that may read nothing keeps equal weights
@answer("the gradients in another order", "the row that may read nothing")
def attention_backward__u40(grad_out, q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
    root = math.sqrt(q.shape[-1])
    s = q @ k.mT / root
    if keep is not None:
        s = s.masked_fill(~keep, torch.finfo(s.dtype).min)
    w = s.softmax(-1)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True)) / root
    dk, dq = (ds.mT @ q, ds @ k)
    return (dk, dq, w.mT @ grad_out)


# mask inverted; scale 1/√D left out on the way back
@answer("the scale forgotten on the way back", "mask inverted")
def attention_backward__u41(grad_out, q, k, v, keep=None):

    def attention_weights(q, k, keep):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError(f"keep must be bool (True = may read), got {keep.dtype}")
        scores = torch.einsum("...id,...jd->...ij", q, k) / q.shape[-1] ** 0.5
        if keep is None:
            return scores.softmax(dim=-1)
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~keep, lowest).softmax(dim=-1) * keep

    w = attention_weights(q, k, None if keep is None else ~keep)
    dw = grad_out @ v.mT
    ds = w * (dw - (w * dw).sum(-1, keepdim=True))
    return (ds @ k, ds.mT @ q, w.mT @ grad_out)
