"""What a kernel gives that reads or writes where it should not, as a function of tensors: memory
behind the end of a tensor holds nan, and writing there raises."""

import math
from collections.abc import Callable
from typing import Any

import torch

from tutor.checks.flash.tiles import both, changed, forward

TILE = 16
"""Rows of a tile, of queries and of keys: fewer no GPU multiplies at a time."""
BEYOND = "the kernel writes beyond the end of {}"


def as_they_are(q, k, v):
    return q, k, v


def nowhere(out, lse, q, k, causal):
    return out, lse


def kernel(q, k, v, causal=False, lay=as_they_are, spoil=nowhere, told=both, **parts):
    """The right answer of a kernel, but for the parts that are given."""
    out, lse = forward(*lay(q, k, v), causal, TILE, TILE, **parts)
    return told(*spoil(out[..., : v.shape[-1]], lse, q, k, causal))


def with_(**parts: Callable[..., Any]) -> Callable[..., Any]:
    return changed(kernel, parts)


def _beyond_the_width(t, wide):
    """Rows as they are read where nobody says how wide they are: the next row follows."""
    width = t.shape[-1]
    end = t.new_full((wide,), math.nan)
    flat = torch.cat((t.flatten(), end))
    return flat.as_strided((t.numel() // width, wide), (width, 1)).unflatten(0, t.shape[:-1])


def _wide(q):
    return max(16, 1 << (q.shape[-1] - 1).bit_length())


def unmasked_width(q, k, v):
    scale = (_wide(q) / q.shape[-1]) ** 0.5  # is told to the kernel, and is right
    q, k = (_beyond_the_width(t, _wide(q)) for t in (q, k))
    return q * scale, k, v


def nan_where_keys_end(out, lse, q, k, causal):
    """Values behind the last one of all are nan, and 0 times that is nan; behind another group's
    come the next one's, which weigh nothing."""
    tq, tk = q.shape[-2], k.shape[-2]
    if tk % TILE:
        last = out.flatten(0, -4) if out.ndim > 3 else out[None]
        for start in range(0, tq, TILE):
            end = min(start + TILE + tk - tq, tk) if causal else tk
            if end > tk // TILE * TILE:  # the ragged tile is loaded
                last[-1, -(q.shape[-3] // k.shape[-3]) :, start : start + TILE] = math.nan
    return out, lse


def nan_wherever_keys_end(out, lse, q, k, causal):
    """The same where no tile is skipped."""
    return nan_where_keys_end(out, lse, q, k, False)


def _raised(name):
    def spoil(out, lse, q, k, causal):
        if q.shape[-2] % TILE:
            raise IndexError(BEYOND.format(name))
        return out, lse

    return spoil


out_beyond, lse_beyond = _raised("out"), _raised("lse")


def one_program(q, k, v, causal=False):
    """Only the first tile of queries is computed."""
    out, lse = kernel(q, k, v, causal)
    out[..., TILE:, :], lse[..., TILE:] = math.nan, math.nan
    return out, lse


def first_head_for_all(q, k, v, causal=False):
    """Nothing is added to the pointers for the head: all write to the first one's place."""
    out, lse = kernel(q, k, v, causal)
    out[..., 1:, :, :], lse[..., 1:, :] = math.nan, math.nan
    return out, lse
