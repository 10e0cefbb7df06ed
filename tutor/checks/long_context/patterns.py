"""Masks by distance, in steps: the right ones, and the wrong ones that people make."""

import torch

from tutor.checks.exercise import Trap


def past(num_queries, num_keys):
    return num_keys - num_queries


def as_it_is(x):
    return x


def required(size):
    if size < 1:
        raise ValueError(f"at least 1 is needed, got {size}")


def unasked(size):
    pass


def mask(
    num_queries,
    num_keys,
    size,
    device,
    inside,
    refuse=required,
    corner=past,
    count=as_it_is,
    turn=as_it_is,
    kind=as_it_is,
    form=as_it_is,
):
    """keep by the pattern ``inside(distance, keys, size)``, but for the parts that are given."""
    refuse(size)
    keys = count(torch.arange(num_keys, device=device))
    queries = count(torch.arange(num_queries, device=device) + corner(num_queries, num_keys))
    return form(kind(turn(inside(queries[:, None] - keys, keys, size))))


# Other corners


def upper_left(num_queries, num_keys):
    return 0


def wrong_way(num_queries, num_keys):
    return num_queries - num_keys


def counted_in(dtype):
    return lambda places: places.to(dtype)


# Other forms


def inverted(keep):
    return ~keep


def on_its_side(keep):
    return keep.mT


def time_backwards(keep):
    return keep.flip(0)


def of_dtype(dtype):
    return lambda keep: keep.to(dtype)


def to_be_added(lowest):
    return lambda keep: torch.zeros_like(keep, dtype=torch.float32).masked_fill(~keep, lowest)


def first_squeezed(keep):
    return keep.squeeze(0)


def squeezed(keep):
    return keep.squeeze()


def with_dimensions(count):
    return lambda keep: keep[(None,) * count]


def form_traps(with_, section: str) -> tuple[Trap, ...]:
    """What goes wrong in any mask, whatever its pattern."""
    return (
        Trap(
            "inverted",
            with_(turn=inverted),
            "True means may be read, in this course and in F.scaled_dot_product_attention. "
            "nn.MultiheadAttention uses True for hidden.",
            section,
        ),
        Trap(
            "aligned to the wrong corner",
            with_(corner=upper_left),
            "with fewer queries than keys the queries are the newest positions: query i stands at "
            "i + Tk - Tq. Counted from 0, a model that writes token by token with a cache believes "
            "that its newest token is the first one.",
            section,
        ),
        Trap(
            "shifted the wrong way",
            with_(corner=wrong_way),
            "the first query stands at Tk - Tq, after the past. At Tq - Tk it stands before the "
            "text begins.",
            section,
        ),
        Trap(
            "rows of keys",
            with_(turn=on_its_side),
            "mask[i, j] says whether query i may read key j: rows are queries, columns are keys.",
            section,
        ),
        Trap(
            "time counted backwards",
            with_(turn=time_backwards),
            "row 0 is the oldest query, the last row the newest. Rows stand in order of time.",
            section,
        ),
        Trap(
            "positions in a short dtype",
            with_(count=counted_in(torch.bfloat16)),
            "bfloat16 counts to 256 and half precision to 2,048; then neighbours become the same "
            "number, and integers of 8 bits begin again. torch.arange counts in int64 by itself.",
            section,
            tuple(
                with_(count=counted_in(dtype)) for dtype in (torch.float16, torch.int8, torch.uint8)
            ),
        ),
        Trap(
            "a dimension squeezed away",
            with_(form=first_squeezed),
            "squeeze() drops a dimension of length 1, and a single query is one. Asked for are "
            "always two dimensions.",
            section,
            (with_(form=squeezed),),
        ),
        Trap(
            "dimensions in front",
            with_(form=with_dimensions(2)),
            "(Tq, Tk) broadcasts over the batch and the heads by itself: asked for are two "
            "dimensions.",
            section,
            (with_(form=with_dimensions(1)),),
        ),
        Trap(
            "ones and zeros instead of True and False",
            with_(kind=of_dtype(torch.float32)),
            "a float mask is *added* to the scores by torch's attention: the same numbers, another "
            "meaning. Comparisons give bool by themselves.",
            section,
            tuple(with_(kind=of_dtype(dtype)) for dtype in (torch.int64, torch.int32, torch.uint8)),
        ),
        Trap(
            "a mask to be added",
            with_(kind=to_be_added(-torch.inf)),
            "0 and -inf, or a very low number, are the additive form. Here a mask says keep or "
            "not: True and False.",
            section,
            (
                with_(kind=to_be_added(torch.finfo(torch.float32).min)),
                with_(kind=to_be_added(-1e9)),
            ),
        ),
    )
