"""Wrong answers to alibi_slopes of a fifth trial, by others who had not seen the traps."""

import torch
from fresh import answer


# counted from 0: the first slope is 1
@answer("the first slope is 1")
def alibi_slopes__counted_from_0(num_heads, device=None):
    def of_power(n):
        return 2 ** (-8 * torch.arange(n, device=device) / n)

    n = 2 ** (num_heads.bit_length() - 1)
    return torch.cat((of_power(n), of_power(2 * n)[::2][: num_heads - n]))


# the formula for every number of heads
@answer("the formula for powers of two, for all")
def alibi_slopes__the_formula_for_every_number_of(num_heads, device=None):
    return 2 ** (-8 * torch.arange(1, num_heads + 1, device=device) / num_heads)


# the first of 2n slopes instead of every other
@answer("all slopes of twice the power")
def alibi_slopes__the_first_of_2n_slopes_instead(num_heads, device=None):
    def of_power(n):
        return 2 ** (-8 * torch.arange(1, n + 1, device=device) / n)

    n = 2 ** (num_heads.bit_length() - 1)
    return torch.cat((of_power(n), of_power(2 * n)[: num_heads - n]))


# the slopes of the next power of two, cut off
@answer("the first of the power above")
def alibi_slopes__the_slopes_of_the_next_power(num_heads, device=None):
    n = 2 ** (num_heads - 1).bit_length()
    return (2 ** (-8 * torch.arange(1, n + 1, device=device) / n))[:num_heads]


# every other slope, but starting with the second
@answer("the even ones instead of the odd")
def alibi_slopes__every_other_slope_but_starting_with(num_heads, device=None):
    def of_power(n):
        return 2 ** (-8 * torch.arange(1, n + 1, device=device) / n)

    n = 2 ** (num_heads.bit_length() - 1)
    return torch.cat((of_power(n), of_power(2 * n)[1::2][: num_heads - n]))


# a power of two filled up from half of it (< instead of <=)
@answer("a power of two filled up")
def alibi_slopes__a_power_of_two_filled_up(num_heads, device=None):
    def of_power(n):
        return 2 ** (-8 * torch.arange(1, n + 1, device=device) / n)

    n = 1
    while 2 * n < num_heads:
        n *= 2
    return torch.cat((of_power(n), of_power(2 * n)[::2][: num_heads - n]))


# double precision returned
@answer()
def alibi_slopes__double_precision_returned(num_heads, device=None):
    def of_power(n):
        return 2 ** (-8 * torch.arange(1, n + 1, dtype=torch.float64, device=device) / n)

    n = 2 ** (num_heads.bit_length() - 1)
    return torch.cat((of_power(n), of_power(2 * n)[::2][: num_heads - n]))


# device ignored
@answer()
def alibi_slopes__device_ignored(num_heads, device=None):
    def of_power(n):
        return 2 ** (-8 * torch.arange(1, n + 1) / n)

    n = 2 ** (num_heads.bit_length() - 1)
    return torch.cat((of_power(n), of_power(2 * n)[::2][: num_heads - n]))


# two: counted from 0, device ignored
@answer("the first slope is 1")
def alibi_slopes__two_counted_from_0_device_ignored(num_heads, device=None):
    def of_power(n):
        return 2 ** (-8 * torch.arange(n) / n)

    n = 2 ** (num_heads.bit_length() - 1)
    return torch.cat((of_power(n), of_power(2 * n)[::2][: num_heads - n]))


# two: the formula for every number of heads, with e instead of 2
@answer("powers of e")
def alibi_slopes__two_the_formula_for_every_number(num_heads, device=None):
    return torch.exp(-8 * torch.arange(1, num_heads + 1, device=device) / num_heads)
