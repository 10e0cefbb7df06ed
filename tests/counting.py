"""Calls whose work is counted, and what torch has beside the operations that a list knows."""

import torch
from torch.nn import functional as F

from tutor.checks.cost import Cost, counted

DOUBLE = torch.float64


def cost_of(function, *args, **kwargs) -> Cost:
    with counted([a for a in args if isinstance(a, torch.Tensor)], **kwargs) as (cost, returned):
        returned(function(*args))
    return cost


def _x(*shape: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


UNKNOWN = {
    "logsigmoid": (F.logsigmoid, (_x(3, 4),)),
    "glu": (F.glu, (_x(3, 4),)),
    "addr": (torch.addr, (_x(3, 4), _x(3), _x(4))),
    "addr_": (lambda m, a, b: m.clone().addr_(a, b), (_x(3, 4), _x(3), _x(4))),
    "unsafe_chunk": (lambda x: torch.unsafe_chunk(x, 2, -1)[1], (_x(3, 4),)),
    "conj": (lambda x: torch.view_as_complex(x).conj() * 2, (_x(3, 4, 2),)),
    "conj read": (
        lambda x: torch.view_as_real(torch.view_as_complex(x).conj().resolve_conj()),
        (_x(3, 4, 2),),
    ),
    "addbmm": (torch.addbmm, (_x(3, 5), _x(2, 3, 4), _x(2, 4, 5))),
    "cdist": (torch.cdist, (_x(2, 3, 4), _x(2, 5, 4))),
    "baddbmm": (torch.baddbmm, (_x(2, 3, 5), _x(2, 3, 4), _x(2, 4, 5))),
    "kron": (torch.kron, (_x(2, 3), _x(4, 2))),
    "block_diag": (torch.block_diag, (_x(2, 3), _x(4, 2))),
    "cross": (torch.linalg.cross, (_x(2, 3), _x(2, 3))),
    "renorm": (lambda x: torch.renorm(x, 2, 0, 1.0), (_x(3, 4),)),
    "rot90": (torch.rot90, (_x(3, 4),)),
    "unfold": (lambda x: F.unfold(x, 2), (_x(1, 2, 3, 4),)),
    "pad": (lambda x: F.pad(x, (2, 1), mode="replicate"), (_x(1, 2, 5),)),
    "avg_pool": (lambda x: F.avg_pool1d(x, 2), (_x(1, 2, 6),)),
    "max_pool": (lambda x: F.max_pool2d(x, 2), (_x(1, 2, 6, 4),)),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), (_x(4, 3),)),
    "rms_norm": (lambda x: F.rms_norm(x, (4,)), (_x(3, 4),)),
    "hardswish": (F.hardswish, (_x(3, 4),)),
    "mse_loss": (F.mse_loss, (_x(3, 4), _x(3, 4))),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2.0), (_x(1, 2, 5),)),
    "a scatter": (lambda x: torch.diagonal_scatter(x, x[0, :3]), (_x(3, 4),)),
}
"""A function and its inputs: operations that no list knows, and whose work can be counted."""
