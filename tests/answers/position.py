"""Right answers to chapter 5's exercises that are written in other ways than the reference."""

import math

import numpy as np
import torch

# Sinusoids


def _float(positions):
    return positions.dtype if positions.is_floating_point() else torch.float32


def sinusoidal_filled(positions, width, theta=10000.0):
    out = torch.empty(*positions.shape, width, dtype=torch.float64, device=positions.device)
    i = torch.arange(width // 2, device=positions.device, dtype=torch.float64)
    angles = positions.double().unsqueeze(-1) / theta ** (2 * i / width)
    out[..., 0::2] = torch.sin(angles)
    out[..., 1::2] = torch.cos(angles)
    return out.to(_float(positions))


def sinusoidal_einsum(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device).double()
    frequencies = torch.exp(-math.log(theta) * i / width)
    angles = torch.einsum("...t,i->...ti", positions.double(), frequencies)
    both = torch.stack((angles, math.pi / 2 - angles), -1)
    return both.sin().flatten(-2).to(_float(positions))


def sinusoidal_complex(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device).double()
    angles = positions.double()[..., None] * theta ** (-i / width)
    one = torch.view_as_complex(torch.stack((angles.cos(), angles.sin()), -1))
    pairs = torch.view_as_real(one).flip(-1)
    return pairs.reshape(*positions.shape, width).to(_float(positions))


def sinusoidal_loops(positions, width, theta=10000.0):
    columns = []
    for j in range(width):
        angle = positions.double() / theta ** ((j - j % 2) / width)
        columns.append(angle.cos() if j % 2 else angle.sin())
    return torch.stack(columns, -1).to(_float(positions))


def sinusoidal_vmap(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device).double()

    def one(position):
        angle = position * theta ** (-i / width)
        return torch.stack((angle.sin(), angle.cos()), -1).flatten()

    flat = positions.double().reshape(-1)
    if not len(flat):
        return torch.zeros(*positions.shape, width, device=positions.device)
    return torch.func.vmap(one)(flat).view(*positions.shape, width).to(_float(positions))


def sinusoidal_numpy(positions, width, theta=10000.0):
    p = positions.detach().double().numpy()
    angles = p[..., None] * theta ** (-np.arange(0, width, 2) / width)
    out = np.stack((np.sin(angles), np.cos(angles)), -1).reshape(*p.shape, width)
    return torch.from_numpy(out).to(_float(positions))


# RoPE


def _turns(x, positions, theta):
    i = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=torch.float64)
    angles = positions.double()[..., None] / theta ** (i / x.shape[-1])
    return angles.cos(), angles.sin()


def rope_rotate_half(x, positions, theta=10000.0, layout="half"):
    """As in the code of LLaMA, and of GPT-J for the other layout."""
    cos, sin = (t.to(x.dtype) for t in _turns(x, positions, theta))
    if layout == "half":
        cos, sin = torch.cat((cos, cos), -1), torch.cat((sin, sin), -1)
        n = x.shape[-1] // 2
        partner = torch.cat((-x[..., n:], x[..., :n]), -1)
    else:
        cos, sin = cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)
        partner = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * cos + partner * sin


def rope_complex(x, positions, theta=10000.0, layout="half"):
    cos, sin = _turns(x, positions, theta)
    y = x.double()
    parts = y.chunk(2, -1) if layout == "half" else (y[..., ::2], y[..., 1::2])
    turn = torch.view_as_complex(torch.stack((cos, sin), -1))
    product = torch.view_as_complex(torch.stack(parts, -1)) * turn
    if layout == "half":
        return torch.cat((product.real, product.imag), -1).to(x.dtype)
    return torch.view_as_real(product).reshape(x.shape).to(x.dtype)


def rope_einsum(x, positions, theta=10000.0, layout="half"):
    cos, sin = _turns(x, positions, theta)
    rotation = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
    half = x.shape[-1] // 2
    pairs = x.unflatten(-1, (2, half)).mT if layout == "half" else x.unflatten(-1, (half, 2))
    turned = torch.einsum("...ipq,...iq->...ip", rotation.to(x.dtype), pairs)
    return (turned.mT if layout == "half" else turned).reshape(x.shape)


def rope_filled(x, positions, theta=10000.0, layout="half"):
    cos, sin = (t.to(x.dtype) for t in _turns(x, positions, theta))
    n = x.shape[-1] // 2
    first, second = (
        (slice(0, n), slice(n, None))
        if layout == "half"
        else (slice(0, None, 2), slice(1, None, 2))
    )
    out = torch.empty_like(x)
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., first] * sin + x[..., second] * cos
    return out


def rope_loops(x, positions, theta=10000.0, layout="half"):
    """One pair of features at a time."""
    n, columns = x.shape[-1] // 2, [None] * x.shape[-1]
    for i in range(n):
        angle = positions.double() * theta ** (-2 * i / x.shape[-1])
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = (i, i + n) if layout == "half" else (2 * i, 2 * i + 1)
        columns[a] = x[..., a] * cos - x[..., b] * sin
        columns[b] = x[..., a] * sin + x[..., b] * cos
    return torch.stack(columns, -1)


def rope_double(x, positions, theta=10000.0, layout="half"):
    return rope_rotate_half(x.double(), positions, theta, layout).to(x.dtype)


def rope_numpy(x, positions, theta=10000.0, layout="half"):
    a, p = x.detach().double().numpy(), positions.detach().double().numpy()
    width = a.shape[-1]
    angles = p[..., None] * theta ** (-np.arange(0, width, 2) / width)
    cos, sin = np.cos(angles), np.sin(angles)
    n = width // 2
    one, two = (a[..., :n], a[..., n:]) if layout == "half" else (a[..., ::2], a[..., 1::2])
    parts = one * cos - two * sin, one * sin + two * cos
    half = layout == "half"
    out = np.concatenate(parts, -1) if half else np.stack(parts, -1).reshape(a.shape)
    return torch.from_numpy(out).to(x.dtype)


# Layouts


def convert_sliced(w, num_heads, to):
    heads = w.reshape(num_heads, w.shape[0] // num_heads, *w.shape[1:])
    if to == "half":
        return torch.cat((heads[:, ::2], heads[:, 1::2]), 1).reshape(w.shape)
    n = heads.shape[1] // 2
    return torch.stack((heads[:, :n], heads[:, n:]), 2).reshape(w.shape)


def convert_indexed(w, num_heads, to):
    width = w.shape[0] // num_heads
    rows = torch.arange(w.shape[0], device=w.device)
    place, half = rows % width, width // 2
    apart = 2 * (place % half) + (place >= half)
    beside = half * (place % 2) + place.div(2, rounding_mode="floor")
    return w[rows - place + (apart if to == "half" else beside)]


def convert_loops(w, num_heads, to):
    width = w.shape[0] // num_heads
    out = torch.empty_like(w)
    for h in range(num_heads):
        for i in range(width // 2):
            for p in range(2):
                apart, beside = h * width + p * (width // 2) + i, h * width + 2 * i + p
                if to == "half":
                    out[apart] = w[beside]
                else:
                    out[beside] = w[apart]
    return out


def convert_chunks(w, num_heads, to):
    parts = []
    for head in w.chunk(num_heads):
        if to == "half":
            parts += [head[::2], head[1::2]]
        else:
            parts.append(torch.stack(head.chunk(2), 1).flatten(0, 1))
    return torch.cat(parts)


def convert_numpy(w, num_heads, to):
    a = w.detach()
    a = (a.float() if a.dtype == torch.bfloat16 else a).numpy()
    half = a.shape[0] // num_heads // 2
    sizes = (num_heads, half, 2) if to == "half" else (num_heads, 2, half)
    out = np.swapaxes(a.reshape(*sizes, *a.shape[1:]), 1, 2).reshape(a.shape)
    return torch.from_numpy(out.copy()).to(w.dtype)


# Relative buckets


def buckets_as_published(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    buckets = torch.zeros_like(relative_position, dtype=torch.int64)
    if bidirectional:
        num_buckets //= 2
        buckets = buckets + (relative_position > 0).long() * num_buckets
        relative_position = relative_position.abs()
    else:
        relative_position = -torch.min(relative_position, torch.zeros_like(relative_position))
    exact = num_buckets // 2
    far = exact + (
        torch.log(relative_position.float() / exact)
        / math.log(max_distance / exact)
        * (num_buckets - exact)
    ).clamp(min=0).to(torch.long)
    far = far.clamp(max=num_buckets - 1)
    return buckets + torch.where(relative_position < exact, relative_position, far)


def buckets_counted(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    """How many of the buckets' beginnings are not beyond the distance."""
    size = num_buckets // 2 if bidirectional else num_buckets
    distance = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    exact = size // 2
    bucket = distance.clamp(max=exact).long()
    for n in range(1, size - exact):
        begins = exact * (max_distance / exact) ** (n / (size - exact))
        bucket = bucket + (distance.double() >= begins - 1e-9)
    return bucket + size * (relative_position > 0) if bidirectional else bucket


def buckets_double(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    size = num_buckets // 2 if bidirectional else num_buckets
    exact = size // 2
    distance = relative_position.abs() if bidirectional else -relative_position.clamp(max=0)
    share = (distance.clamp(min=exact).double() / exact).log2() / math.log2(max_distance / exact)
    bucket = torch.minimum(
        distance.clamp(max=exact) + (share * (size - exact) + 1e-12).long(),
        torch.full_like(distance, size - 1),
    ).long()
    return torch.where(relative_position > 0, bucket + size, bucket) if bidirectional else bucket


def buckets_sorted_into_thresholds(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    size = num_buckets // 2 if bidirectional else num_buckets
    exact, device = size // 2, relative_position.device
    wide = torch.arange(1, size - exact, device=device).double() / (size - exact)
    begins = torch.cat(
        (
            torch.arange(1, exact + 1, device=device).double(),
            exact * (max_distance / exact) ** wide - 1e-9,
        )
    )
    distance = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    bucket = torch.bucketize(distance.double().contiguous(), begins, right=True)
    return bucket + size * (relative_position > 0) if bidirectional else bucket


def buckets_numpy(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    r = relative_position.numpy()
    size = num_buckets // 2 if bidirectional else num_buckets
    exact = size // 2
    distance = np.abs(r) if bidirectional else np.maximum(-r, 0)
    logs = np.log(np.maximum(distance, 1) / exact) / math.log(max_distance / exact)
    wide = exact + np.trunc(logs * (size - exact) + 1e-9).astype(np.int64)
    bucket = np.where(distance < exact, distance, np.minimum(wide, size - 1))
    return torch.as_tensor(bucket + (size * (r > 0) if bidirectional else 0), dtype=torch.int64)


# ALiBi


def slopes_two_series(num_heads, device=None):
    power = 2 ** math.floor(math.log2(num_heads))
    own = 2.0 ** (-8 * torch.arange(1, power + 1, device=device) / power)
    twice = 2.0 ** (-4 * torch.arange(1, 2 * power + 1, device=device) / power)
    return torch.cat((own, twice[::2][: num_heads - power]))


def slopes_loop(num_heads, device=None):
    power = 1
    while 2 * power <= num_heads:
        power *= 2
    out = torch.empty(num_heads, device=device)
    for h in range(num_heads):
        out[h] = (
            2 ** (-8 * (h + 1) / power) if h < power else 2 ** (-4 * (2 * (h - power) + 1) / power)
        )
    return out


def slopes_products(num_heads, device=None):
    power = 1 << num_heads.bit_length() - 1
    twice = torch.full((2 * power,), 2 ** (-4 / power), device=device).cumprod(0)
    return torch.cat((twice[1::2], twice[::2][: num_heads - power]))


def slopes_double(num_heads, device=None):
    power = 2 ** (num_heads.bit_length() - 1)
    i = torch.arange(num_heads, device=device).double()
    h = torch.where(i < power, 2 * (i + 1), 2 * (i - power) + 1)
    return torch.exp(-math.log(2) * 4 * h / power).float()


def slopes_numpy(num_heads, device=None):
    power = 2 ** (num_heads.bit_length() - 1)
    own = 2.0 ** (-8 * np.arange(1, power + 1) / power)
    twice = 2.0 ** (-4 * np.arange(1, 2 * power + 1) / power)
    both = np.concatenate((own, twice[::2][: num_heads - power]))
    return torch.from_numpy(both).to(device, torch.float32)


def bias_minimum_and_maximum(num_heads, num_queries, num_keys, device=None):
    i = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    j = torch.arange(num_keys, device=device)
    nearness = torch.minimum(i, j) - torch.maximum(i, j)
    return slopes_double(num_heads, device).view(-1, 1, 1) * nearness


def bias_einsum(num_heads, num_queries, num_keys, device=None):
    i = torch.arange(num_keys - num_queries, num_keys, device=device)
    distance = (i[:, None] - torch.arange(num_keys, device=device)).abs().float()
    return -torch.einsum("h,ij->hij", slopes_two_series(num_heads, device), distance)


def bias_end_of_square(num_heads, num_queries, num_keys, device=None):
    n = max(num_queries, num_keys)
    i = torch.arange(n, device=device, dtype=torch.float32)
    square = -(i[:, None] - i).abs()[n - num_queries :, n - num_keys :]
    return torch.stack([slope * square for slope in slopes_loop(num_heads, device)])


def bias_loops(num_heads, num_queries, num_keys, device=None):
    slopes = slopes_loop(num_heads, device)
    out = torch.empty(num_heads, num_queries, num_keys, device=device)
    for i in range(num_queries):
        for j in range(num_keys):
            out[:, i, j] = -slopes * abs(i + num_keys - num_queries - j)
    return out


def bias_numpy(num_heads, num_queries, num_keys, device=None):
    i = np.arange(num_keys - num_queries, num_keys)
    distance = np.abs(i[:, None] - np.arange(num_keys))
    bias = -slopes_double(num_heads).numpy()[:, None, None] * distance
    return torch.from_numpy(bias).to(device, torch.float32)


RIGHT = {
    "sinusoidal_encoding": [
        sinusoidal_filled,
        sinusoidal_einsum,
        sinusoidal_complex,
        sinusoidal_loops,
        sinusoidal_vmap,
    ],
    "apply_rope": [
        rope_rotate_half,
        rope_complex,
        rope_einsum,
        rope_filled,
        rope_loops,
        rope_double,
    ],
    "convert_rope_layout": [convert_sliced, convert_indexed, convert_loops, convert_chunks],
    "relative_buckets": [
        buckets_as_published,
        buckets_counted,
        buckets_double,
        buckets_sorted_into_thresholds,
    ],
    "alibi_slopes": [slopes_two_series, slopes_loop, slopes_products, slopes_double],
    "alibi_bias": [bias_minimum_and_maximum, bias_einsum, bias_end_of_square, bias_loops],
}
"""Each earns full marks."""

NUMPY = {
    "sinusoidal_encoding": sinusoidal_numpy,
    "apply_rope": rope_numpy,
    "convert_rope_layout": convert_numpy,
    "relative_buckets": buckets_numpy,
    "alibi_slopes": slopes_numpy,
    "alibi_bias": bias_numpy,
}
"""The right values, computed outside torch."""

LIBRARY: dict[str, list] = {}
"""Answers in which the library does the work that the exercise is to do."""

WRONG = {}
"""None earns full marks."""

DEAR = {}
"""The right values, by more work than the contract allows."""
