"""What is known of torch's operations: how much work each is, and how torch takes it apart."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch._decomp import decomposition_table

# torch's counter knows matrix-matrix products only.
EXTRA_FLOPS = {
    torch.ops.aten.mv: lambda a, x, **_: 2 * a.numel(),
    torch.ops.aten.addmv: lambda y, a, x, **_: 2 * a.numel(),
    torch.ops.aten.dot: lambda x, y, **_: 2 * x.numel(),
    torch.ops.aten.vdot: lambda x, y, **_: 2 * x.numel(),
    torch.ops.aten.addbmm: lambda y, a, b, **_: 2 * a.numel() * b.shape[-1],
    # A distance is as much as a product: |q - k|² holds q k.
    torch.ops.aten._cdist_forward: lambda a, b, *_, **__: 2 * a.numel() * b.shape[-2],
    torch.ops.aten._pdist_forward: lambda a, *_, **__: a.numel() * (a.shape[0] - 1),
}

# Their writing forms have no formula of their own in torch's counter.
SAME_FLOPS = {
    torch.ops.aten.addbmm_: torch.ops.aten.addbmm,
    torch.ops.aten.addmm_: torch.ops.aten.addmm,
    torch.ops.aten.addmv_: torch.ops.aten.addmv,
    torch.ops.aten.baddbmm_: torch.ops.aten.baddbmm,
}

# Operations whose work is what it seems: products with a formula, and those that do a fixed amount
# of work for each element. Elementwise ones are known by torch's own tag, and many others torch
# itself takes apart into those. Not here: products without a formula, library layers, and what
# trusts its arguments (sparse, quantized, *_backward, _reshape_alias).
_COUNTABLE = """
alias as_strided detach diagonal expand lift_fresh permute select slice split split_with_sizes
squeeze t transpose unbind unfold unsqueeze view view_as_complex view_as_real _conj _neg_view
_unsafe_view

_to_copy arange bernoulli cauchy clone copy empty empty_like empty_permuted empty_strided
exponential eye fill full full_like geometric linspace log_normal logspace multinomial new_empty
new_empty_strided new_full new_ones new_zeros normal ones ones_like rand rand_like randint
randint_like randn randn_like randperm scalar_tensor tril_indices triu_indices uniform zero zeros
zeros_like

_adaptive_avg_pool2d avg_pool2d all amax aminmax any amin argmax argmin count_nonzero cummax cummin
cumprod cumsum linalg_vector_norm logcumsumexp logsumexp max mean median min mode nanmedian nansum
norm prod std std_mean sum var var_mean

_cdist_forward _pdist_forward addbmm addmm addmv baddbmm bmm convolution dot mm mv vdot

__lshift__ __rshift__ complex floor_divide polar

_prelu_kernel _unique2 argsort bincount bucketize cat constant_pad_nd diag_embed embedding flip
gather histc index index_add index_copy index_fill index_put index_select isin kthvalue masked_fill
masked_scatter masked_select native_dropout native_group_norm native_layer_norm nonzero repeat
repeat_interleave roll scatter scatter_add scatter_reduce searchsorted select_scatter slice_scatter
sort stack take topk tril triu trace unique_consecutive where _log_softmax _softmax

_local_scalar_dense allclose equal
"""
_COUNTABLE_NAMES = frozenset(_COUNTABLE.split())

# How much work these do is not known; but it is no softmax, attention, recurrent step or backward
# pass, and they check what they are given.
_HARMLESS = """
_linalg_check_errors _linalg_det _linalg_eigh _linalg_slogdet _linalg_solve_ex _linalg_svd cholesky
cholesky_inverse cholesky_solve linalg_cholesky_ex linalg_eig linalg_inv_ex linalg_matrix_exp
linalg_pinv linalg_qr linalg_solve_triangular triangular_solve
"""
_HARMLESS_NAMES = frozenset(_HARMLESS.split())

# torch says how to take them apart, too; but where they are forbidden it matters what they are.
_LAYERS = re.compile("attention|scaled_dot_product|softmax|_backward")


def countable(func) -> bool:
    """Whether the work of an operation (an overload) is known."""
    return _countable(_name(func))


def _countable(name: str) -> bool:
    return name in _COUNTABLE_NAMES or _elementwise(name)


def harmless(func) -> bool:
    """Whether it may be done, though its work is not known: what it is cannot be forbidden."""
    return _name(func) in _HARMLESS_NAMES


def known_by_name(name: str) -> bool:
    name = name.removesuffix("_")
    return _countable(name) or name in _HARMLESS_NAMES


def _name(func) -> str:
    """Of one of torch's own operations; other libraries' have none that is known."""
    library, name = func._schema.name.split("::")
    return name.removesuffix("_") if library == "aten" else ""


@cache
def taken_apart(func) -> Callable[..., Any] | None:
    """What does the same as an operation whose work is not known by others, as torch itself takes
    it apart; None where torch does not say how, and of library layers."""
    library, name = func._schema.name.split("::")
    if library == "prims":
        return func.impl_aten
    if library != "aten" or countable(func) or _LAYERS.search(name):
        return None
    if func._can_decompose():
        return func.decompose
    if not func._schema.is_mutable:
        return decomposition_table.get(func)
    plain = getattr(getattr(torch.ops.aten, name.removesuffix("_"), None), func._overloadname, None)
    if not name.endswith("_") or plain is None or taken_apart(plain) is None:
        return None
    return lambda *args, **kwargs: args[0].copy_(plain(*args, **kwargs))


@cache
def _elementwise(name: str) -> bool:
    packet = getattr(torch.ops.aten, name, None)
    overloads = packet.overloads() if packet else []
    return any(torch.Tag.pointwise in getattr(packet, o).tags for o in overloads)


@cache
def tells(packet) -> tuple[bool, bool]:
    """Whether Python learns a number from an operation, or a shape that hangs on one."""
    # torch's tags are missing from some of the forms that write into ``out``.
    tags = {tag for o in packet.overloads() for tag in getattr(packet, o).tags}
    return torch.Tag.data_dependent_output in tags, torch.Tag.dynamic_output_shape in tags
