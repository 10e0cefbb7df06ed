"""The causal mask, in steps: the right ones, and the wrong ones that people make."""

import torch

from tutor.checks.changes import changeable


def each_with_each(num_queries, num_keys):
    return num_queries, num_keys


def past(num_queries, num_keys):
    return num_keys - num_queries


def lower(ones, diagonal):
    return ones.tril(diagonal)


def as_it_is(mask):
    return mask


def causal(
    num_queries,
    num_keys,
    device=None,
    sizes=each_with_each,
    corner=past,
    shift=0,
    triangle=lower,
    cut=as_it_is,
    turn=as_it_is,
    kind=as_it_is,
    form=as_it_is,
):
    """The right mask, but for the parts that are given."""
    ones = torch.ones(sizes(num_queries, num_keys), dtype=torch.bool, device=device)
    past_and_present = triangle(ones, corner(num_queries, num_keys) + shift)
    return form(kind(turn(cut(past_and_present))))


with_ = changeable(causal)


def square_of_queries(num_queries, num_keys):
    return num_queries, num_queries


def square_of_keys(num_queries, num_keys):
    return num_keys, num_keys


def keys_first(num_queries, num_keys):
    return num_keys, num_queries


def upper_left(num_queries, num_keys):
    return 0


def upper_left_but_for_one(num_queries, num_keys):
    return num_keys - 1 if num_queries == 1 else 0


def wrong_way(num_queries, num_keys):
    return num_queries - num_keys


def inverted(ones, diagonal):
    return ones.triu(diagonal + 1)


def upper(ones, diagonal):
    return ones.triu(diagonal)


def everything(ones, diagonal):
    return ones


def itself(ones, diagonal):
    return ones.tril(diagonal).triu(diagonal)


def row_of_the_first(ones, diagonal):
    return ones & (columns(ones) <= diagonal)


def row_before_the_first(ones, diagonal):
    return ones & (columns(ones) < diagonal)


def of_squares(ones, diagonal):
    return ones.tril(diagonal) if ones.shape[0] == ones.shape[1] else ones


def as_wide_as_the_past(ones, diagonal):
    return ones.tril(diagonal).triu(0)


def as_wide_as_the_queries(ones, diagonal):
    return ones.tril(diagonal).triu(diagonal - ones.shape[0] + 1)


def of_width(width):
    return lambda ones, diagonal: ones.tril(diagonal).triu(diagonal - width + 1)


def columns(mask):
    return torch.arange(mask.shape[1], device=mask.device)


def own_stretch(ones, diagonal):
    return ones.tril(diagonal) & (columns(ones) >= ones.shape[1] - ones.shape[0])


def past_behind(ones, diagonal):
    behind = ones.shape[1] - ones.shape[0]
    return ones.tril(diagonal - behind) | (columns(ones) >= ones.shape[0])


def counted_in(dtype):
    def triangle(ones, diagonal):
        queries = torch.arange(diagonal, diagonal + ones.shape[0], device=ones.device)
        return columns(ones).to(dtype) <= queries.to(dtype)[:, None]

    return triangle


def rows_and_columns_up_to(longest):
    def cut(mask):
        past = mask.shape[1] - mask.shape[0]
        return mask[: max(longest - past, 0), :longest]

    return cut


def columns_up_to(longest):
    return lambda mask: mask[:, :longest]


def on_its_side(mask):
    return mask.mT


def reversed(dim):
    return lambda mask: mask.flip(dim)


def of_dtype(dtype):
    return lambda mask: mask.to(dtype)


def with_dimensions(count):
    return lambda mask: mask[(None,) * count]


def first_squeezed(mask):
    return mask.squeeze(0)


def squeezed(mask):
    return mask.squeeze()


def to_be_added(lowest):
    return lambda mask: torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, lowest)


LONGEST = (1024, 512, 256, 128, 64, 2048)
WIDTHS = (2, 3, *(n + more for n in (64, 128, 256, 512, 1024) for more in (0, 1)))
"""Of windows, the query itself counted or not."""
