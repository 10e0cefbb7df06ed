"""Wrong answers to ``alibi_bias`` of a third trial: their writers had seen no trap."""

import math

import torch
from fresh import answer


def _alibi_slopes(num_heads, device=None):
    n = 2 ** (num_heads.bit_length() - 1)

    def power(count):
        h = torch.arange(1, count + 1, dtype=torch.float32, device=device)
        return 2.0 ** (-8.0 * h / count)

    return torch.cat((power(n), power(2 * n)[::2][: num_heads - n]))


def _alibi_slopes_2(num_heads, device=None):
    n = 2 ** (num_heads.bit_length() - 1)

    def power(count):
        h = torch.arange(1, count + 1, dtype=torch.float32, device=device)
        return 2.0 ** (-8.0 * h / count)

    return torch.cat((power(n), power(2 * n)[: num_heads - n]))


def _alibi_slopes_3(num_heads, device=None):
    n = 2 ** (num_heads.bit_length() - 1)

    def power(count):
        h = torch.arange(count, dtype=torch.float32, device=device)
        return 2.0 ** (-8.0 * h / count)

    return torch.cat((power(n), power(2 * n)[::2][: num_heads - n]))


def _alibi_slopes_4(num_heads, device=None):
    n = 2 ** (num_heads.bit_length() - 1)

    def power(count):
        h = torch.arange(1, count + 1, dtype=torch.float32, device=device)
        return 2.0 ** (-8.0 * h / count)

    return power(n if n == num_heads else 2 * n)[:num_heads]


def _alibi_slopes_5(num_heads, device=None):
    n = 1
    while 2 * n <= num_heads:
        n *= 2
    h = torch.arange(1, num_heads + 1, dtype=torch.float64, device=device)
    exponents = torch.where(h <= n, 8 * h / n, 4 * (2 * (h - n) - 1) / n)
    return torch.exp2(-exponents).float()


# sign forgotten: distance is rewarded
@answer("far is rewarded")
def alibi_bias__u01(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return _alibi_slopes(num_heads, device)[:, None, None] * distance


# distance with its sign
@answer("the future is rewarded")
def alibi_bias__u02(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = queries[:, None] - keys
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# queries counted from the first key
@answer("aligned to the wrong corner")
def alibi_bias__u03(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# queries lag the wrong way
@answer("shifted the wrong way")
def alibi_bias__u04(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) - (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# lag off by one
@answer("shifted by one")
def alibi_bias__u05(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries + 1)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# later keys hidden: the mask's business
@answer("the mask included")
def alibi_bias__u06(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    bias = -_alibi_slopes(num_heads, device)[:, None, None] * distance
    return bias.masked_fill(keys > queries[:, None], -math.inf)


# later keys cost nothing
@answer("the future is free")
def alibi_bias__u07(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).clamp(min=0)
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# formula for powers of two used for any number of heads
@answer("the formula for powers of two, for all")
def alibi_bias__u08(num_heads, num_queries, num_keys, device=None):
    h = torch.arange(1, num_heads + 1, dtype=torch.float32, device=device)
    slopes = 2.0 ** (-8.0 * h / num_heads)
    queries = torch.arange(num_keys - num_queries, num_keys, device=device)
    keys = torch.arange(num_keys, device=device)
    return -slopes[:, None, None] * (queries[:, None] - keys).abs()


# missing slopes: the first ones of 2n heads, not every other
@answer("all slopes of twice the power")
def alibi_bias__u09(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes_2(num_heads, device)[:, None, None] * distance


# missing slopes: every other, from the second
@answer("the even slopes instead of the odd")
def alibi_bias__u10(num_heads, num_queries, num_keys, device=None):

    def alibi_slopes(num_heads, device=None):
        n = 2 ** (num_heads.bit_length() - 1)

        def power(count):
            h = torch.arange(1, count + 1, dtype=torch.float32, device=device)
            return 2.0 ** (-8.0 * h / count)

        return torch.cat((power(n), power(2 * n)[1::2][: num_heads - n]))

    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -alibi_slopes(num_heads, device)[:, None, None] * distance


# heads numbered from 0
@answer("the first slope is 1")
def alibi_bias__u11(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes_3(num_heads, device)[:, None, None] * distance


# slopes sorted
@answer("slopes sorted")
def alibi_bias__u12(num_heads, num_queries, num_keys, device=None):

    def alibi_slopes(num_heads, device=None):
        n = 2 ** (num_heads.bit_length() - 1)

        def power(count):
            h = torch.arange(1, count + 1, dtype=torch.float32, device=device)
            return 2.0 ** (-8.0 * h / count)

        return (
            torch.cat((power(n), power(2 * n)[::2][: num_heads - n])).sort(descending=True).values
        )

    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -alibi_slopes(num_heads, device)[:, None, None] * distance


# next larger power of two, cut off
@answer("the first of the power above")
def alibi_bias__u13(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes_4(num_heads, device)[:, None, None] * distance


# filled up from n instead of 2n heads
@answer("every other slope of the power itself")
def alibi_bias__u14(num_heads, num_queries, num_keys, device=None):

    def alibi_slopes(num_heads, device=None):
        n = 2 ** (num_heads.bit_length() - 1)

        def power(count):
            h = torch.arange(1, count + 1, dtype=torch.float32, device=device)
            return 2.0 ** (-8.0 * h / count)

        return torch.cat((power(n), power(n)[::2][: num_heads - n].repeat(2)[: num_heads - n]))

    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -alibi_slopes(num_heads, device)[:, None, None] * distance


# slopes lined up with the queries
@answer("slopes that meet the words")
def alibi_bias__u15(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device)[:, None] * distance[None]


# slopes lined up with the keys
@answer("slopes that meet the words")
def alibi_bias__u16(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device) * distance[None]


# heads last
@answer("heads last")
def alibi_bias__u17(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device) * distance[..., None]


# queries and keys transposed
@answer()
def alibi_bias__u18(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries - keys[:, None]).abs()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# a batch dimension in front
@answer()
def alibi_bias__u19(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device)[None, :, None, None] * distance


# double precision
@answer("the bias in double")
def alibi_bias__u20(num_heads, num_queries, num_keys, device=None):
    slopes = _alibi_slopes_5(num_heads, device)
    bias = torch.empty(num_heads, num_queries, num_keys, dtype=torch.float64, device=device)
    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_keys - num_queries, num_keys, device=device)
    distance = torch.abs(queries.unsqueeze(1) - keys.unsqueeze(0))
    for h in range(num_heads):
        bias[h] = -slopes[h] * distance
    return bias


# answer in whole numbers, the dtype of the distances
@answer("the bias in whole numbers")
def alibi_bias__u21(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return (-_alibi_slopes(num_heads, device)[:, None, None] * distance).to(distance.dtype)


# device ignored
@answer()
def alibi_bias__u22(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_keys - num_queries, num_keys)
    keys = torch.arange(num_keys)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads)[:, None, None] * distance


# device only for the slopes
@answer()
def alibi_bias__u23(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_keys - num_queries, num_keys)
    keys = torch.arange(num_keys)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# distance squared
@answer("the distance squared")
def alibi_bias__u31(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).square()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# bias of the key's position only, for the last query
@answer("the key's position instead of the distance")
def alibi_bias__u32(num_heads, num_queries, num_keys, device=None):
    keys = torch.arange(num_keys, dtype=torch.float32, device=device)
    row = keys - (num_keys - 1)
    return (_alibi_slopes(num_heads, device)[:, None, None] * row).expand(
        num_heads, num_queries, num_keys
    )


# positions in half precision
@answer("distances in a short dtype")
def alibi_bias__u33(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_keys - num_queries, num_keys, device=device).half()
    keys = torch.arange(num_keys, device=device).half()
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# unsigned positions wrap around
@answer("distances in a short dtype")
def alibi_bias__u34(num_heads, num_queries, num_keys, device=None):
    slopes = _alibi_slopes_5(num_heads, device)
    bias = torch.empty(num_heads, num_queries, num_keys, dtype=torch.float32, device=device)
    keys = torch.arange(num_keys, device=device).to(torch.uint8)
    queries = torch.arange(num_keys - num_queries, num_keys, device=device).to(torch.uint8)
    distance = torch.abs(queries.unsqueeze(1) - keys.unsqueeze(0))
    for h in range(num_heads):
        bias[h] = -slopes[h] * distance
    return bias


# as many queries as keys assumed
@answer()
def alibi_bias__u35(num_heads, num_queries, num_keys, device=None):
    slopes = _alibi_slopes_5(num_heads, device)
    bias = torch.empty(num_heads, num_queries, num_keys, dtype=torch.float32, device=device)
    keys = torch.arange(num_keys, device=device)
    queries = torch.arange(num_keys, device=device)
    distance = torch.abs(queries.unsqueeze(1) - keys.unsqueeze(0))
    for h in range(num_heads):
        bias[h] = -slopes[h] * distance
    return bias


# one query treated as the first key
@answer("aligned to the wrong corner")
def alibi_bias__u36(num_heads, num_queries, num_keys, device=None):
    lag = 0 if num_queries == 1 else num_keys - num_queries
    queries = torch.arange(num_queries, device=device) + lag
    distance = (queries[:, None] - torch.arange(num_keys, device=device)).abs()
    return -_alibi_slopes(num_heads, device)[:, None, None] * distance


# sign forgotten: distance is rewarded; queries counted from the first key
@answer("aligned to the wrong corner", "far is rewarded")
def alibi_bias__u46(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return _alibi_slopes(num_heads, device)[:, None, None] * distance


# distance with its sign; next larger power of two, cut off
@answer("the first of the power above", "the future is rewarded")
def alibi_bias__u47(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = queries[:, None] - keys
    return -_alibi_slopes_4(num_heads, device)[:, None, None] * distance


# heads numbered from 0; later keys hidden: the mask's business
@answer("the first slope is 1", "the mask included")
def alibi_bias__u48(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    bias = -_alibi_slopes_3(num_heads, device)[:, None, None] * distance
    return bias.masked_fill(keys > queries[:, None], -math.inf)


# missing slopes: the first ones of 2n heads, not every other; lag off by one
@answer("all slopes of twice the power", "shifted by one")
def alibi_bias__u49(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries - 1)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).abs()
    return -_alibi_slopes_2(num_heads, device)[:, None, None] * distance


# heads last; device ignored
@answer("heads last")
def alibi_bias__u50(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_keys - num_queries, num_keys)
    distance = (queries[:, None] - torch.arange(num_keys)).abs()
    return -_alibi_slopes(num_heads) * distance.unsqueeze(-1)


# later keys cost nothing; double precision
@answer("the bias in double", "the future is free")
def alibi_bias__u51(num_heads, num_queries, num_keys, device=None):
    queries = torch.arange(num_queries, device=device) + (num_keys - num_queries)
    keys = torch.arange(num_keys, device=device)
    distance = (queries[:, None] - keys).clamp(min=0)
    return -_alibi_slopes(num_heads, device).double()[:, None, None] * distance
