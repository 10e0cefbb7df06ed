"""What the mutants call: faults that take more than an expression to write.

Each leaves None alone, as an optional mask may be None.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: F401  (the library's own operators, as mutants)


def _tensors(function):
    return functools.wraps(function)(lambda x, *rest: None if x is None else function(x, *rest))


# Faults in one tensor


@_tensors
def first_batch(x):
    """Every element of the batch gets the first one's numbers."""
    return x[:1].expand_as(x)


@_tensors
def batch_reversed(x):
    return x.flip(0)


@_tensors
def first_row(x):
    """Every query gets the first one's row."""
    return x[..., :1, :].expand_as(x)


@_tensors
def rolled(x):
    return x.roll(1, -1)


@_tensors
def inverted(x):
    return ~x


@_tensors
def everything(x):
    return torch.ones_like(x)


@_tensors
def nothing(x):
    return torch.zeros_like(x)


@_tensors
def swapped_axes(x):
    return x.mT


@_tensors
def cast(x, dtype):
    return x.to(dtype)


@_tensors
def rounded(x):
    """Through single precision and back."""
    return x.float().to(x.dtype)


@_tensors
def viewed(x):
    """Refuses what is not contiguous."""
    return x.view(x.numel()).view(x.shape)


@_tensors
def through_numpy(x):
    plain = x.detach().float() if x.dtype == torch.bfloat16 else x.detach()
    return torch.from_numpy(plain.numpy()).to(x.dtype)


@_tensors
def through_list(x):
    return torch.tensor(x.tolist(), dtype=x.dtype, device=x.device).reshape(x.shape)


# Faults in a product


def broadcast_product(a, b):
    """Every term of every sum at once."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def product_twice(a, b):
    return (a @ b + a @ b) / 2


# Faults of a whole function, as decorators


def _shape(a):
    """What stands for an argument whose contents are not looked at; a number is itself."""
    if isinstance(a, Tensor):
        return a.shape, a.dtype
    if isinstance(a, (str, bytes, list, dict)):
        return type(a), len(a)
    return tuple(map(_shape, a)) if isinstance(a, tuple) else a


def _key(args):
    return tuple(map(_shape, args))


def _cached(key):
    def decorate(function):
        answers = {}

        @functools.wraps(function)
        def cached(*args):
            k = key(args)
            if k not in answers:
                # The arguments are kept too, so that no address is used again.
                answers[k] = function(*args), args
            return answers[k][0]

        return cached

    return decorate


cached_by_shape = _cached(_key)
cached_by_identity = _cached(lambda args: tuple(map(id, args)))
cached_by_address = _cached(
    lambda args: tuple(a.data_ptr() if isinstance(a, Tensor) else a for a in args)
)


def first_answer(function):
    """The answer to the first call of each number of dimensions, cut or grown to size."""
    answers = {}

    @functools.wraps(function)
    def first(*args):
        out = function(*args)
        if isinstance(out, (list, bytes)):  # grown by its own end; the first that is not empty
            kept = answers[type(out)] = answers.get(type(out)) or out[:]
            return kept[: len(out)] + out[len(kept) :]
        outs = out if isinstance(out, tuple) else (out,)
        kept = answers.setdefault(tuple(o.ndim for o in outs), outs)
        given = []
        for o, k in zip(outs, kept, strict=True):
            result = torch.zeros_like(o)
            corner = tuple(slice(min(a, b)) for a, b in zip(o.shape, k.shape, strict=True))
            result[corner] = k[corner].to(o.dtype)
            given.append(result)
        return tuple(given) if isinstance(out, tuple) else given[0]

    return first


def one_buffer(function):
    """Answers of one shape share their memory, and so do all lists and equal bytes."""
    buffers = {}

    @functools.wraps(function)
    def buffered(*args):
        out = function(*args)
        if isinstance(out, bytes):
            return buffers.setdefault(out, out)
        if isinstance(out, list):
            buffer = buffers.setdefault(list, [])
            buffer[:] = out
            return buffer
        outs = out if isinstance(out, tuple) else (out,)
        given = []
        for i, o in enumerate(outs):
            buffer = buffers.setdefault((i, o.shape, o.dtype, o.device), torch.empty_like(o))
            buffer.data.copy_(o)
            given.append(buffer if not o.requires_grad else _Through.apply(o, buffer))
        return tuple(given) if isinstance(out, tuple) else given[0]

    return buffered


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx, out, buffer):
        return buffer.detach()

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def _zeros_like(out):
    """Zeros in place of an answer: a tensor, or a tuple of them."""
    if isinstance(out, tuple):
        return tuple(torch.zeros_like(o) for o in out)
    return torch.zeros_like(out)


def one_batch_shape(function):
    """Right for tensors of three dimensions (lengths: one) and zeros for all others."""

    @functools.wraps(function)
    def only(*args):
        out = function(*args)
        first = next((a for a in args if isinstance(a, Tensor)), None)
        if first is None or first.ndim == (3 if first.is_floating_point() else 1):
            return out
        return _zeros_like(out)

    return only


def one_batch_size(function):
    """Right for batches of two and zeros for all others."""

    @functools.wraps(function)
    def only(*args):
        out = function(*args)
        first = next((a for a in args if isinstance(a, Tensor)), None)
        if first is None or (first.ndim and first.shape[0] == 2):
            return out
        return _zeros_like(out)

    return only


def overwrites(i):
    """Argument ``i``, if it is a tensor, is 0 after the call."""

    def decorate(function):
        @functools.wraps(function)
        def overwriting(*args):
            out = function(*args)
            if i < len(args) and isinstance(args[i], Tensor):
                args[i].data.zero_()
            return out

        return overwriting

    return decorate


def without_graph(function):
    return torch.no_grad()(function)


def autograd_backward(attention, grad_out, q, k, v, keep):
    """Autograd does the work."""
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (q, k, v)]
        return torch.autograd.grad(attention(*leaves, keep), leaves, grad_out)


def vjp_backward(attention, grad_out, q, k, v, keep):
    """torch.func does the work."""
    return torch.func.vjp(lambda *leaves: attention(*leaves, keep), q, k, v)[1](grad_out)
