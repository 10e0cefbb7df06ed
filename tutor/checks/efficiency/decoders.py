"""Reading blocks of GGUF in steps: the right way, and the wrong ones."""

import torch

from tutor.checks.changes import changeable, unflattened

_SIZES = {"Q4_1": 20, "Q8_0": 34}


def no_kind(kind):
    return kind not in _SIZES


def ragged(data, size):
    return bool(data.shape[-1] % size)


def cut(data, size):
    return unflattened(data, -1, (-1, size))


def scale_in_front(block, count):
    """So many numbers in half precision, and the rest."""
    return block[..., : 2 * count], block[..., 2 * count :]


def as_half(two):
    return two.contiguous().view(torch.float16).float()


def scale_first(numbers):
    return numbers


def halves(packed):
    return torch.cat((packed & 15, packed >> 4), -1)


def signed(data):
    return data.contiguous().view(torch.int8)


def scaled(n, d):
    return n * d


def scaled_and_moved(n, d, m):
    return n * d + m


def rows(x):
    return x.flatten(-2)


def read(
    data,
    kind,
    unknown=no_kind,
    unfit=ragged,
    blocks=cut,
    parted=scale_in_front,
    number=as_half,
    order=scale_first,
    nibbles=halves,
    eights=signed,
    eight=scaled,
    four=scaled_and_moved,
    told=rows,
):
    """The right numbers, but for the parts that are given."""
    if unknown(kind):
        raise ValueError(f"no kind {kind}")
    four_bits = kind == "Q4_1"
    size = _SIZES["Q4_1" if four_bits else "Q8_0"]
    if unfit(data, size):
        raise ValueError("no whole number of blocks")
    block = blocks(data, size)
    if four_bits:
        head, rest = parted(block, 2)
        numbers = order(number(head))
        return told(four(nibbles(rest).float(), numbers[..., :1], numbers[..., 1:]))
    head, rest = parted(block, 1)
    return told(eight(eights(rest).float(), number(head)))


with_ = changeable(read)


def never(kind):
    return False


def never_ragged(data, size):
    return False


def what_is_left_dropped(data, size):
    whole = data.shape[-1] // size * size
    return unflattened(data[..., :whole], -1, (-1, size))


def scale_behind(block, count):
    return block[..., -2 * count :], block[..., : -2 * count]


def all_scales_first(data, size):
    """All scales of a row, and then all numbers."""
    number = data.shape[-1] // size
    head = 4 if size == 20 else 2
    scales, rest = data[..., : number * head], data[..., number * head :]
    return torch.cat(
        (unflattened(scales, -1, (number, head)), unflattened(rest, -1, (number, -1))), -1
    )


def scales_before_minima(data, size):
    """All scales of a row, then all minima, and then all numbers."""
    number = data.shape[-1] // size
    head = 2 * number
    ends = (head, 2 * head) if size == 20 else (head,)
    parts = [unflattened(t, -1, (number, -1)) for t in data.tensor_split(ends, -1)]
    return torch.cat(parts, -1)


def first_scale_for_all(data, size):
    blocks = cut(data, size)
    head = 4 if size == 20 else 2
    first = blocks[..., :1, :head].expand(*blocks.shape[:-1], head)
    return torch.cat((first, blocks[..., head:]), -1)


def turned_bytes(two):
    """The high byte first."""
    pairs = unflattened(two, -1, (-1, 2)).flip(-1).flatten(-2)
    return pairs.contiguous().view(torch.float16).float()


def as_bfloat(two):
    return two.contiguous().view(torch.bfloat16).float()


def as_whole(two):
    return two.contiguous().view(torch.int16).float()


def exchanged(numbers):
    return numbers.flip(-1)


def swapped(packed):
    return torch.cat((packed >> 4, packed & 15), -1)


def neighbours(packed):
    return torch.stack((packed & 15, packed >> 4), -1).flatten(-2)


def neighbours_swapped(packed):
    return torch.stack((packed >> 4, packed & 15), -1).flatten(-2)


def high_not_shifted(packed):
    return torch.cat((packed & 15, packed & 240), -1)


def low_not_masked(packed):
    return torch.cat((packed, packed >> 4), -1)


def eight_less(packed):
    return halves(packed).float() - 8


def high_with_a_sign(packed):
    """A shift of bytes that have a sign keeps it."""
    return torch.cat((packed & 15, packed.contiguous().view(torch.int8) >> 4), -1)


def with_a_sign(packed):
    n = halves(packed).float()
    return n.where(n < 8, n - 16)


def without_a_sign(data):
    return data


def excess_128(data):
    return data.float() - 128


def moved_and_scaled(n, d, m):
    return (n + m) * d


def taken_off(n, d, m):
    return n * d - m


def minimum_forgotten(n, d, m):
    return n * d


def zero_point(n, d, m):
    return (n - m) * d


def in_half(n, d, m):
    return (n.half() * d.half() + m.half()).float()


def eight_in_half(n, d):
    return (n.half() * d.half()).float()


def divided(n, d):
    return n / d


def four_divided(n, d, m):
    return n / d + m


def over_127(n, d):
    return n / 127 * d


def over_15(n, d, m):
    return n / 15 * d + m


def left_in_blocks(x):
    return x


def in_half_precision(x):
    return x.flatten(-2).half()


def in_double(x):
    return x.flatten(-2).double()


def all_in_one_row(x):
    return x.flatten()


def turned(x):
    """Numbers of a block one below the other."""
    return x.mT.flatten(-2)
