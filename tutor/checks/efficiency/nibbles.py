"""Two numbers in a byte in steps: the right way, and the wrong ones."""

import torch

from tutor.checks.changes import changeable


def is_odd(n):
    return bool(n.shape[-1] % 2)


def beyond(n):
    return bool(((n < 0) | (n > 15)).any())


def as_they_are(n):
    return n


def halves(n):
    return n.chunk(2, -1)


def low_first(first, second):
    return first, second


def shifted(low, high):
    return low | (high << 4)


def as_bytes(packed):
    return packed.to(torch.uint8)


def pack(
    n,
    odd=is_odd,
    refused=beyond,
    before=as_they_are,
    parted=halves,
    order=low_first,
    joined=shifted,
    told=as_bytes,
):
    """The right bytes, but for the parts that are given."""
    if odd(n) or refused(n):
        raise ValueError("numbers from 0 to 15, an even number of them")
    first, second = parted(before(n.long()))
    return told(joined(*order(first, second)))


with_ = changeable(pack)


def never(n):
    return False


def below_alone(n):
    return bool((n < 0).any())


def above_alone(n):
    return bool((n > 15).any())


def beyond_signed(n):
    return bool(((n < -8) | (n > 7)).any())


def beyond_sixteen(n):
    return bool(((n < 0) | (n > 16)).any())


def clipped(n):
    return n.clamp(0, 15)


def last_four_bits(n):
    return n & 15


def eight_more(n):
    return n + 8


def filled_up(n):
    """With a zero where the row is odd."""
    return torch.cat((n, n[..., :1] * 0), -1) if n.shape[-1] % 2 else n


def cut_off(n):
    return n[..., : n.shape[-1] // 2 * 2]


def high_first(first, second):
    return second, first


def neighbours(n):
    return n[..., ::2], n[..., 1::2]


def halves_from_the_end(n):
    first, second = n.chunk(2, -1)
    return first, second.flip(-1)


def halves_of_all(n):
    """The first half of the tensor, and not of each row."""
    first, second = n.flatten().chunk(2)
    shape = (*n.shape[:-1], n.shape[-1] // 2)
    return first.reshape(shape), second.reshape(shape)


def halves_of_rows(n):
    """The upper half of the rows, and the lower."""
    first, second = n.chunk(2, 0)
    return first, second


def by_five(low, high):
    return low | (high << 5)


def by_three(low, high):
    return low | (high << 3)


def in_decimals(low, high):
    return low + 10 * high


def by_fifteen(low, high):
    return low + 15 * high


def anded(low, high):
    return low & (high << 4)


def added(low, high):
    return low + high


def low_alone(low, high):
    return low


def high_alone(low, high):
    return high << 4


def precedence(low, high):
    """low | high << 4 is right; (low | high) << 4 is what was meant to be the same."""
    return ((low | high) << 4) & 255


def as_int8(packed):
    return packed.to(torch.uint8).view(torch.int8)


def as_int64(packed):
    return packed


def as_int32(packed):
    return packed.int()


def not_packed(n):
    if is_odd(n) or beyond(n):
        raise ValueError("numbers from 0 to 15, an even number of them")
    return n.to(torch.uint8)


def written_into_the_callers(n):
    found = pack(n)
    n[..., : n.shape[-1] // 2] = found.to(n.dtype)
    return found
