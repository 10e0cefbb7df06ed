"""Wrong answers to sinusoidal_encoding of a fourth trial, by others who had not seen the traps."""

import math

import torch
from fresh import answer


def _out_dtype(p):
    return p.dtype if p.is_floating_point() else torch.float32


def _mk(a, positions):
    return torch.stack((a.sin(), a.cos()), -1).flatten(-2).to(_out_dtype(positions))


def _fr(positions, width, theta):
    i = torch.arange(width // 2, device=positions.device, dtype=torch.float64)
    return theta ** (-2 * i / width)


def _fr_2(p, width, theta, mult=2.0, sign=-1):
    return theta ** (
        sign * mult * torch.arange(width // 2, device=p.device, dtype=torch.float64) / width
    )


def _od(p):
    return p.dtype if p.is_floating_point() else torch.float32


def _mk_2(a, p):
    return torch.stack((a.sin(), a.cos()), -1).flatten(-2).to(_od(p))


# per-feature exponent 2j/width (Medium posts)
@answer("a frequency for every feature")
def sinusoidal_encoding__per_feature_2(positions, width, theta=10000.0):
    j = torch.arange(width, device=positions.device, dtype=torch.float64)
    a = positions.double()[..., None] * theta ** (-2 * j / width)
    return torch.where(j % 2 == 0, a.sin(), a.cos()).to(_out_dtype(positions))


# degrees: pi/180
@answer("degrees for radians")
def sinusoidal_encoding__degrees(positions, width, theta=10000.0):
    return _mk(
        torch.deg2rad(positions.double())[..., None] * _fr(positions, width, theta), positions
    )


# integers of the output are float64? positions cast by default dtype (float16 for ints)
@answer("the dtype of the positions forgotten")
def sinusoidal_encoding__half_for_ints(positions, width, theta=10000.0):
    a = positions.double()[..., None] * _fr(positions, width, theta)
    return (
        torch.stack((a.sin(), a.cos()), -1)
        .flatten(-2)
        .to(positions.dtype if positions.is_floating_point() else torch.float64)
    )


# two: halves, and cosine first (diffusion models' flip_sin_to_cos)
@answer("sines and cosines side by side", "the cosine first")
def sinusoidal_encoding__two_diffusers(positions, width, theta=10000.0):
    a = positions.double()[..., None] * _fr(positions, width, theta)
    return torch.cat((a.cos(), a.sin()), -1).to(_out_dtype(positions))


# two: per-feature exponents and sine/cosine halves
@answer("sines and cosines side by side", "a frequency for every feature")
def sinusoidal_encoding__two_feature_halves(positions, width, theta=10000.0):
    j = torch.arange(width, device=positions.device, dtype=torch.float64)
    a = positions.double()[..., None] * theta ** (-j / width)
    return torch.cat((a[..., : width // 2].sin(), a[..., width // 2 :].cos()), -1).to(
        _out_dtype(positions)
    )


# cosine as a sine with + pi/2 in degrees (+ 90)
@answer("a quarter of a turn in degrees")
def sinusoidal_encoding__plus_90(positions, width, theta=10000.0):
    a = positions.double()[..., None] * _fr_2(positions, width, theta)
    return torch.stack((a.sin(), (a + 90).sin()), -1).flatten(-2).to(_od(positions))


# frequencies in reverse order
@answer("frequencies in reverse")
def sinusoidal_encoding__reversed_freqs(positions, width, theta=10000.0):
    return _mk_2(positions.double()[..., None] * _fr_2(positions, width, theta).flip(0), positions)


# exponent with integer division 2*i//width: all 0
@answer("one frequency for all pairs")
def sinusoidal_encoding__int_division(positions, width, theta=10000.0):
    i = torch.arange(width // 2, device=positions.device)
    return _mk_2(positions.double()[..., None] * theta ** (-(2 * i // width).double()), positions)


# angles returned, sine and cosine forgotten
@answer("angles alone")
def sinusoidal_encoding__angles(positions, width, theta=10000.0):
    return (
        (positions.double()[..., None] * _fr_2(positions, width, theta))
        .repeat_interleave(2, -1)
        .to(_od(positions))
    )


# log base 2 (exp2 with natural log)
@answer("two bases in one power")
def sinusoidal_encoding__exp2(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device, dtype=torch.float64)
    return _mk_2(
        positions.double()[..., None] * torch.exp2(-i / width * math.log(theta)), positions
    )


# log10(theta) in exp
@answer("two bases in one power")
def sinusoidal_encoding__log10(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device, dtype=torch.float64)
    return _mk_2(
        positions.double()[..., None] * torch.exp(-i / width * math.log10(theta)), positions
    )
