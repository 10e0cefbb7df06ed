"""Receptive fields, in parts: the right ones, and the wrong ones that people make of them."""

import torch


def in_order(kernel_sizes, dilations, strides):
    return kernel_sizes, dilations, strides


def as_it_is(t):
    return t


def reach(k, d):
    return (k - 1) * d


def apart(s):
    """Inputs between neighbours in a layer's input."""
    return s.cumprod(0) // s


def together(reaches, apart):
    return (reaches * apart).cumsum(0)


def field(
    kernel_sizes,
    dilations,
    strides,
    layers=in_order,
    taps=as_it_is,
    spread=as_it_is,
    reach=reach,
    apart=apart,
    together=together,
    plus=1,
    form=as_it_is,
):
    """The right answer, but for the parts that are given."""
    k, d, s = layers(kernel_sizes, dilations, strides)
    return form(plus + together(reach(taps(k), spread(d)), apart(s)))


# Other layers


def exchanged(kernel_sizes, dilations, strides):
    return kernel_sizes, strides, dilations


def last_first(kernel_sizes, dilations, strides):
    return kernel_sizes.flip(0), dilations.flip(0), strides.flip(0)


def dilations_multiplied(kernel_sizes, dilations, strides):
    return kernel_sizes, dilations.cumprod(0), strides


# Another reach


def one_more(k):
    return k + 1


def width(k, d):
    return (k - 1) * d + 1


def dilated_kernel(k, d):
    return k * d - 1


def kernel(k, d):
    return k


# Other gaps


def own_too(s):
    return s.cumprod(0)


def own_alone(s):
    return s


def one_before_alone(s):
    return torch.cat((torch.ones_like(s[:1]), s[:-1]))


def after(s):
    return s.flip(0).cumprod(0).flip(0) // s


def quotients(s):
    return s.cumprod(0) / s


def summed(s):
    return s.cumsum(0)


def one_and_sum_before(s):
    return 1 + s.cumsum(0) - s


def sum_before(s):
    return (s.cumsum(0) - s).clamp(min=1)


# Put together otherwise


def product(widths, apart):
    return widths.cumprod(0)


def largest(widths, apart):
    return widths.cummax(0).values if len(widths) else widths


def each(widths, apart):
    return widths


def not_added(reaches, apart):
    return reaches * apart


def last_only(reaches, apart):
    return (reaches * apart).sum()


def last_of_many(reaches, apart):
    return (reaches * apart).sum(0, keepdim=True)


def from_the_input(reaches, apart):
    return torch.cat((torch.zeros_like(reaches[:1]), (reaches * apart).cumsum(0)))


def divided(reaches, apart):
    return (reaches // apart).cumsum(0)


def reversed(reaches, apart):
    return together(reaches, apart).flip(0)


# Other numbers


def floats(field):
    return field.float()


def doubles(field):
    return field.double()


def counted_in(dtype):
    """A floating-point dtype, or a short one of integers."""

    def wrong(kernel_sizes, dilations, strides):
        k, d, s = (t.to(dtype) for t in (kernel_sizes, dilations, strides))
        steps = s.cumprod(0, dtype=dtype)
        apart = steps / s if dtype.is_floating_point else steps // s
        return (1 + ((k - 1) * d * apart).cumsum(0, dtype=dtype)).long()

    return wrong


def in_place(kernel_sizes, dilations, strides):
    strides[1:] = strides[:-1].clone()
    strides[:1] = 1
    return field(kernel_sizes, dilations, strides, apart=_steps)


def _steps(s):
    return s.cumprod(0)
