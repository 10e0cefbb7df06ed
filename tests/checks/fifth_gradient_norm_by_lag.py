"""Wrong answers to gradient_norm_by_lag of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# older Jacobians multiplied from the left
@answer("multiplied in the wrong order")
def gradient_norm_by_lag__older_jacobians_multiplied_from_the_left(jacobians):
    *batch, _steps, width, _ = jacobians.shape
    eye = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = eye.expand(*batch, width, width)
    norms = [torch.linalg.matrix_norm(product)]
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = jacobian @ product
        norms.append(torch.linalg.matrix_norm(product))
    return torch.stack(norms, dim=-1)


# starts at the oldest step
@answer("counted from the start")
def gradient_norm_by_lag__starts_at_the_oldest_step(jacobians):
    *batch, _steps, width, _ = jacobians.shape
    eye = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = eye.expand(*batch, width, width)
    norms = [torch.linalg.matrix_norm(product)]
    for jacobian in jacobians.unbind(-3):
        product = jacobian @ product
        norms.append(torch.linalg.matrix_norm(product))
    return torch.stack(norms, dim=-1)


# spectral norm instead of Frobenius
@answer("another norm")
def gradient_norm_by_lag__spectral_norm_instead_of_frobenius(jacobians):
    *batch, _steps, width, _ = jacobians.shape
    eye = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = eye.expand(*batch, width, width)
    norms = [torch.linalg.matrix_norm(product)]
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = product @ jacobian
        norms.append(torch.linalg.matrix_norm(product, ord=2))
    return torch.stack(norms, dim=-1)


# lag 0 missing
@answer("a lag missing")
def gradient_norm_by_lag__lag_0_missing(jacobians):
    *batch, _steps, width, _ = jacobians.shape
    eye = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = eye.expand(*batch, width, width)
    norms = []
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = product @ jacobian
        norms.append(torch.linalg.matrix_norm(product))
    if not norms:
        return jacobians.new_zeros(*batch, 0)
    return torch.stack(norms, dim=-1)


# product of the norms instead of norm of the product
@answer("a product of norms")
def gradient_norm_by_lag__product_of_the_norms_instead_of(jacobians):
    *batch, _steps, width, _ = jacobians.shape
    norms = torch.linalg.matrix_norm(jacobians.flip(-3)).cumprod(-1)
    return torch.cat((jacobians.new_full((*batch, 1), width**0.5), norms), dim=-1)


# the product begun anew for every lag
@answer()
def gradient_norm_by_lag__the_product_begun_anew_for_every(jacobians):
    *batch, steps, width, _ = jacobians.shape
    eye = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    norms = []
    for lag in range(steps + 1):
        product = eye.expand(*batch, width, width)
        for t in range(steps - 1, steps - 1 - lag, -1):
            product = product @ jacobians[..., t, :, :]
        norms.append(torch.linalg.matrix_norm(product))
    return torch.stack(norms, dim=-1)


# identity of the default dtype on the default device
@answer()
def gradient_norm_by_lag__identity_of_the_default_dtype_on(jacobians):
    *batch, _steps, width, _ = jacobians.shape
    product = torch.eye(width).expand(*batch, width, width)
    norms = [torch.linalg.matrix_norm(product)]
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = product @ jacobian
        norms.append(torch.linalg.matrix_norm(product))
    return torch.stack(norms, dim=-1)


# two: multiplied from the left, and lag 0 has norm 1
@answer("multiplied in the wrong order", "1 at lag 0")
def gradient_norm_by_lag__two_multiplied_from_the_left_and(jacobians):
    *batch, _steps, width, _ = jacobians.shape
    eye = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    product = eye.expand(*batch, width, width)
    norms = [jacobians.new_ones(batch)]
    for jacobian in jacobians.flip(-3).unbind(-3):
        product = jacobian @ product
        norms.append(torch.linalg.matrix_norm(product))
    return torch.stack(norms, dim=-1)


# two: the first dimension taken for time, squared norm
@answer()
def gradient_norm_by_lag__two_the_first_dimension_taken_for(jacobians):
    width = jacobians.shape[-1]
    product = torch.eye(width, dtype=jacobians.dtype, device=jacobians.device)
    norms = [product.square().sum((-2, -1))]
    for jacobian in jacobians.flip(0):
        product = product @ jacobian
        norms.append(product.square().sum((-2, -1)))
    return torch.stack(norms, dim=-1)
