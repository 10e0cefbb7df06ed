"""Answers to chapter 5's exercises: right ones in other styles than the reference, and wrong ones
that are no trap."""

import functools
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


def rope_two_by_two(x, positions, theta=10000.0, layout="half"):
    """A matrix for each pair of each token, as many as there are heads."""
    cos, sin = _turns(x, positions, theta)
    rows = torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)
    rotation = torch.stack(rows, -2).to(x.dtype)  # (..., T, D / 2, 2, 2)
    half = x.shape[-1] // 2
    pairs = x.unflatten(-1, (2, half)).mT if layout == "half" else x.unflatten(-1, (half, 2))
    turned = (rotation.expand(*pairs.shape, 2).contiguous() @ pairs[..., None])[..., 0]
    return (turned.mT if layout == "half" else turned).flatten(-2)


def rope_one_matrix(x, positions, theta=10000.0, layout="half"):
    """A whole matrix for each token, as the paper draws it."""
    cos, sin = (t.to(x.dtype) for t in _turns(x, positions, theta))
    width, n = x.shape[-1], x.shape[-1] // 2
    i = torch.arange(n, device=x.device)
    one, two = (i, i + n) if layout == "half" else (2 * i, 2 * i + 1)
    matrix = torch.zeros(*cos.shape[:-1], width, width, dtype=x.dtype, device=x.device)
    matrix[..., one, one], matrix[..., one, two] = cos, -sin
    matrix[..., two, one], matrix[..., two, two] = sin, cos
    return (matrix @ x[..., None])[..., 0]


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


def rope_partners_by_index(x, positions, theta=10000.0, layout="half"):
    width = x.shape[-1]
    i = torch.arange(width, device=x.device)
    if layout == "half":
        partner, pair, first = (i + width // 2) % width, i % (width // 2), i < width // 2
    else:
        partner, pair, first = i ^ 1, i // 2, i % 2 == 0
    angles = positions.double()[..., None] * theta ** (-2.0 * pair.double() / width)
    sin = torch.where(first, -1, 1) * angles.sin()
    return x * angles.cos().to(x.dtype) + x.index_select(-1, partner) * sin.to(x.dtype)


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


def convert_one_hot(w, num_heads, to):
    """By a product with a matrix of zeros and ones."""
    width = w.shape[0] // num_heads
    order = torch.arange(width, device=w.device).view(-1, 2).mT.flatten()
    matrix = torch.eye(width, dtype=w.dtype, device=w.device)[order]
    matrix = matrix if to == "half" else matrix.mT
    heads = w.reshape(num_heads, width, -1)
    return (matrix @ heads).reshape(w.shape)


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
        bucket = bucket + (distance.double() >= begins)
    return bucket + size * (relative_position > 0) if bidirectional else bucket


def buckets_double(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    size = num_buckets // 2 if bidirectional else num_buckets
    exact = size // 2
    distance = relative_position.abs() if bidirectional else -relative_position.clamp(max=0)
    share = (distance.clamp(min=exact).double() / exact).log2() / math.log2(max_distance / exact)
    bucket = torch.minimum(
        distance.clamp(max=exact) + (share * (size - exact)).long(),
        torch.full_like(distance, size - 1),
    ).long()
    return torch.where(relative_position > 0, bucket + size, bucket) if bidirectional else bucket


def buckets_in_another_order(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    """In double precision its bucket of 64 is 13, where ln(64 / 8) / ln(128 / 8) * 8 is 6."""
    size = num_buckets // 2 if bidirectional else num_buckets
    exact = size // 2
    distance = relative_position.abs() if bidirectional else (-relative_position).clamp(min=0)
    slope = (size - exact) / math.log(max_distance / exact)
    wide = (distance.clamp(min=1).double() / exact).log() * slope
    bucket = torch.where(
        distance < exact, distance, exact + wide.long().clamp(max=size - exact - 1)
    )
    return bucket + size * (relative_position > 0) if bidirectional else bucket


def buckets_sorted_into_thresholds(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    size = num_buckets // 2 if bidirectional else num_buckets
    exact, device = size // 2, relative_position.device
    wide = torch.arange(1, size - exact, device=device).double() / (size - exact)
    begins = torch.cat(
        (
            torch.arange(1, exact + 1, device=device).double(),
            exact * (max_distance / exact) ** wide,
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
    wide = exact + np.trunc(logs * (size - exact)).astype(np.int64)
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


def bias_cdist(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_keys - num_queries, num_keys, device=device).float()
    keys = torch.arange(num_keys, device=device).float()
    distance = torch.cdist(queries[:, None], keys[:, None], p=1)
    return torch.tensordot(-slopes_two_series(num_heads, device)[:, None], distance[None], 1)


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
        rope_two_by_two,
        rope_one_matrix,
        rope_filled,
        rope_loops,
        rope_double,
        rope_partners_by_index,
    ],
    "convert_rope_layout": [
        convert_sliced,
        convert_indexed,
        convert_one_hot,
        convert_loops,
        convert_chunks,
    ],
    "relative_buckets": [
        buckets_as_published,
        buckets_counted,
        buckets_double,
        buckets_in_another_order,
        buckets_sorted_into_thresholds,
    ],
    "alibi_slopes": [slopes_two_series, slopes_loop, slopes_products, slopes_double],
    "alibi_bias": [
        bias_minimum_and_maximum,
        bias_einsum,
        bias_end_of_square,
        bias_loops,
        bias_cdist,
    ],
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

# Wrong ones


def _sinusoidal_of(angles_of):
    def wrong(positions, width, theta=10000.0):
        i = torch.arange(0, width, 2, device=positions.device)
        angles = angles_of(positions, i, width, theta)
        return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(_float(positions))

    return wrong


def _of_their_own_dtype(p, i, width, theta):
    return p[..., None].to(_float(p)) * (theta ** (-i.double() / width)).to(_float(p))


def _exponent_doubled(p, i, width, theta):
    return p.double()[..., None] * theta ** (-2 * i.double() / width)


def _frequencies_of_single(p, i, width, theta):
    return p.double()[..., None] * (theta ** (-i.float() / width)).double()


def _positions_of_32_bits(p, i, width, theta):
    return p.int().double()[..., None] * theta ** (-i.double() / width)


def _positions_within_a_table(p, i, width, theta):
    return (p.double() % 4096)[..., None] * theta ** (-i.double() / width)


def _magnitudes(p, i, width, theta):
    """No encoding of what stands before the beginning."""
    return p.abs().double()[..., None] * theta ** (-i.double() / width)


def _sinusoidal_of_a_batch(positions, width, theta=10000.0):
    i = torch.arange(0, width, 2, device=positions.device).double()
    angles = positions.double()[:, :, None] * theta ** (-i / width)
    return torch.stack((angles.sin(), angles.cos()), 3).flatten(2).to(_float(positions))


def _sinusoidal_viewed(positions, width, theta=10000.0):
    return sinusoidal_filled(positions.view(-1), width, theta).view(*positions.shape, width)


def _rope_as_published(x, positions, theta=10000.0, layout="half"):
    """Pairs as complex numbers, which have to lie side by side in memory."""
    if layout == "half":
        return rope_rotate_half(x, positions, theta, layout)
    cos, sin = _turns(x, positions, theta)
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2).to(x.dtype)


def _rope_of_single(x, positions, theta=10000.0, layout="half"):
    i = torch.arange(0, x.shape[-1], 2, device=x.device).float()
    angles = positions.float()[..., None] / theta ** (i / x.shape[-1])
    return _rope_turned(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype), layout)


def _rope_turned(x, cos, sin, layout):
    a, b = x.chunk(2, -1) if layout == "half" else (x[..., ::2], x[..., 1::2])
    pairs = a * cos - b * sin, a * sin + b * cos
    return torch.cat(pairs, -1) if layout == "half" else torch.stack(pairs, -1).flatten(-2)


def _rope_one_row_of_positions(x, positions, theta=10000.0, layout="half"):
    """The first sentence's, for all."""
    first = positions.reshape(-1, positions.shape[-1])[0]
    return rope_rotate_half(x, first, theta, layout)


def _rope_positions_for_heads(x, positions, theta=10000.0, layout="half"):
    """A dimension for the heads is put in, which is there already."""
    if positions.ndim > 1:
        positions = positions[:, None]
    return rope_rotate_half(x, positions, theta, layout)


def _rope_of_heads(x, positions, theta=10000.0, layout="half"):
    cos, sin = (t.to(x.dtype) for t in _turns(x, positions, theta))
    batch, heads, time, width = x.shape
    return _rope_turned(x, cos, sin, layout).view(batch, heads, time, width)


def _rope_whole_positions(x, positions, theta=10000.0, layout="half"):
    return rope_rotate_half(x, positions.round(), theta, layout)


def _rope_of_floats_as_they_are(x, positions, theta=10000.0, layout="half"):
    """In double precision where positions are integers, and there alone."""
    if not positions.is_floating_point():
        positions = positions.double()
    i = torch.arange(0, x.shape[-1], 2, dtype=positions.dtype, device=x.device)
    angles = positions[..., None] * theta ** -(i / x.shape[-1])
    return _rope_turned(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype), layout)


def _convert_viewed(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (num_heads, half, 2) if to == "half" else (num_heads, 2, half)
    return w.view(*sizes, -1).transpose(1, 2).reshape(w.shape)


def _convert_of_a_matrix(w, num_heads, to):
    rows, columns = w.shape
    sizes = (half, 2) if (half := rows // num_heads // 2) and to == "half" else (2, half)
    return w.reshape(num_heads, *sizes, columns).transpose(1, 2).reshape(rows, columns)


def _convert_twice_the_same(w, num_heads, to):
    """The way back is not the way there."""
    return convert_sliced(w, num_heads, "half")


_THE_HALF = "half"


def _convert_compared_by_identity(w, num_heads, to):
    return convert_sliced(w, num_heads, "half" if to is _THE_HALF else "interleaved")


def _buckets_of_a_table(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    """A table of the far distances, up to the furthest."""
    reach = 1000
    line = torch.arange(-reach, reach + 1, device=relative_position.device)
    table = buckets_counted(line, bidirectional, num_buckets, max_distance)
    return table[(relative_position.long() + reach).clamp(0, 2 * reach)]


def _buckets_by_bytes(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    buckets = buckets_counted(relative_position, bidirectional, num_buckets, max_distance)
    return buckets.to(torch.int8).long()


def _buckets_of_few_distances(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    clamped = relative_position.clamp(-128, 128)
    return buckets_counted(clamped, bidirectional, num_buckets, max_distance)


def _buckets_viewed(relative_position, bidirectional=True, num_buckets=32, max_distance=128):
    flat = relative_position.view(-1)
    found = buckets_counted(flat, bidirectional, num_buckets, max_distance)
    return found.view(relative_position.shape)


def _buckets_of_their_dtype(
    relative_position, bidirectional=True, num_buckets=32, max_distance=128
):
    found = buckets_counted(relative_position, bidirectional, num_buckets, max_distance)
    return found.to(relative_position.dtype)


def _slopes_nearest_power(num_heads, device=None):
    power = 2 ** round(math.log2(num_heads))
    own = 2.0 ** (-8 * torch.arange(1, power + 1, device=device) / power)
    twice = 2.0 ** (-4 * torch.arange(1, 2 * power + 1, device=device) / power)
    return torch.cat((own, twice[::2]))[:num_heads]


def _slopes_of_half(num_heads, device=None):
    return slopes_two_series(num_heads, device).half().float()


def _slopes_of_bytes(num_heads, device=None):
    h = torch.arange(1, num_heads + 1).to(torch.int8)
    power = 2 ** math.floor(math.log2(num_heads))
    own = 2.0 ** (-8 * h[:power] / power)
    return torch.cat((own, 2.0 ** (-4 * (2 * h[: num_heads - power] - 1) / power))).to(device)


def _slopes_of_a_device(num_heads, device):
    return slopes_two_series(num_heads, device)


def _bias_of_half(num_heads, num_queries, num_keys, device=None):
    last = torch.arange(num_queries, device=device).half() + num_keys - num_queries
    distance = (last[:, None] - torch.arange(num_keys, device=device).half()).abs()
    return -slopes_two_series(num_heads, device)[:, None, None] * distance.float()


def _bias_of_a_square(num_heads, num_queries, num_keys, device=None):
    position = torch.arange(num_keys, device=device)
    distance = (position[:, None] - position).abs()[:num_queries]
    return -slopes_two_series(num_heads, device)[:, None, None] * distance


def _bias_on_the_cpu(num_heads, num_queries, num_keys, device=None):
    last = torch.arange(num_queries) + num_keys - num_queries
    distance = (last[:, None] - torch.arange(num_keys)).abs()
    return -slopes_two_series(num_heads)[:, None, None] * distance


def _bias_squeezed(num_heads, num_queries, num_keys, device=None):
    last = torch.arange(num_queries, device=device) + num_keys - num_queries
    distance = (last[:, None] - torch.arange(num_keys, device=device)).abs()
    return (-slopes_two_series(num_heads, device)[:, None, None] * distance).squeeze(0)


WRONG = {
    "sinusoidal_encoding": [
        *(
            functools.wraps(angles)(_sinusoidal_of(angles))
            for angles in (
                _of_their_own_dtype,
                _exponent_doubled,
                _frequencies_of_single,
                _positions_of_32_bits,
                _positions_within_a_table,
                _magnitudes,
            )
        ),
        _sinusoidal_of_a_batch,
        _sinusoidal_viewed,
    ],
    "apply_rope": [
        _rope_as_published,
        _rope_of_single,
        _rope_one_row_of_positions,
        _rope_positions_for_heads,
        _rope_of_heads,
        _rope_whole_positions,
        _rope_of_floats_as_they_are,
    ],
    "convert_rope_layout": [
        _convert_viewed,
        _convert_of_a_matrix,
        _convert_twice_the_same,
        _convert_compared_by_identity,
    ],
    "relative_buckets": [
        _buckets_of_a_table,
        _buckets_by_bytes,
        _buckets_of_few_distances,
        _buckets_viewed,
        _buckets_of_their_dtype,
    ],
    "alibi_slopes": [
        _slopes_nearest_power,
        _slopes_of_half,
        _slopes_of_bytes,
        _slopes_of_a_device,
    ],
    "alibi_bias": [_bias_of_half, _bias_of_a_square, _bias_on_the_cpu, _bias_squeezed],
}
"""None earns full marks."""

DEAR: dict[str, list] = {}
"""The right values, by more work than a contract allows: none of these has a limit."""
