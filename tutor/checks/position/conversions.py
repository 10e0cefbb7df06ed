"""A checkpoint's rows in another order, in steps: the right ones, and the wrong ones that people
make of them."""

import torch

from tutor.checks.changes import unflattened


def as_it_is(w):
    return w


def as_asked(to):
    return to


def counted(num_heads, w):
    return num_heads


def of_its_rows(w, num_heads):
    return w.shape[0] // num_heads // 2


def split(w, *sizes):
    return unflattened(w, 0, sizes)


def kept(table, pairs):
    return table


def across(table):
    return table.transpose(1, 2)


def all_heads(rows, before):
    return rows


def one_after_the_other(rows):
    return rows.flatten(0, 1)


def conversion(
    w,
    num_heads,
    to,
    taken=as_it_is,
    way=as_asked,
    heads=counted,
    half=of_its_rows,
    split=split,
    pairs=kept,
    turn=across,
    chosen=all_heads,
    times=1,
    joined=one_after_the_other,
):
    """The right conversion, but for the parts that are given."""
    w, num_heads = taken(w), heads(num_heads, w)
    for _ in range(times):
        size = half(w, num_heads)
        sizes, dimension = ((size, 2), 2) if way(to) == "half" else ((2, size), 1)
        table = pairs(split(w, num_heads, *sizes), dimension)
        rows = turn(table).reshape(num_heads, 2 * size, *w.shape[1:])
        w = chosen(rows, w.reshape(rows.shape)).flatten(0, 1)
    return joined(unflattened(w, 0, (num_heads, -1)))


# What is taken of w


def in_single(w):
    return w.float()


def a_table(w):
    _rows, _columns = w.shape
    return w


def sizes_of_a_table(w, *sizes):
    return w.reshape(*sizes, w.shape[1])


def sizes_of_a_row_or_a_table(w, *sizes):
    return w.reshape(sizes if w.ndim == 1 else (*sizes, w.shape[1]))


# Another direction


def wrong_way(to):
    return "half" if to == "interleaved" else "interleaved"


def half(to):
    return "half"


def interleaved(to):
    return "interleaved"


# Other heads


def one_head(num_heads, w):
    return 1


def of_width(num_heads, w):
    return w.shape[0] // num_heads


def half_of_the_columns(w, num_heads):
    return w.shape[-1] // num_heads // 2


def half_of_dimension_1(w, num_heads):
    return w.shape[1] // num_heads // 2


# Other pairs: ``dimension`` is the one of each two


def odd_first(table, dimension):
    return table.flip(dimension)


def _signed(table, dimension, signs):
    ones = [1] * table.ndim
    ones[dimension] = 2
    return table * table.new_tensor(signs).view(ones)


def second_negative(table, dimension):
    return _signed(table, dimension, (1, -1))


def first_negative(table, dimension):
    return _signed(table, dimension, (-1, 1))


def turned(table, dimension):
    """As ``rotate_half``: (-b, a)."""
    return _signed(table.flip(dimension), dimension, (-1, 1))


def turned_back(table, dimension):
    return _signed(table.flip(dimension), dimension, (1, -1))


# Another order


def reshaped(table):
    heads, one, other = table.shape[:3]
    return table.reshape(heads, other, one, *table.shape[3:])


# Some heads alone


def but_the_last(rows, before):
    return torch.cat((rows[:-1], before[-1:]))


def the_first_alone(rows, before):
    return torch.cat((rows[:1], before[1:]))


def but_the_first(rows, before):
    return torch.cat((before[:1], rows[1:]))


def of_the_first(rows, before):
    return rows[:1].expand_as(rows)


def of_the_last(rows, before):
    return rows[-1:].expand_as(rows)


# Put together in other ways


def in_heads(rows):
    return rows


def in_halves(rows):
    return unflattened(rows, 1, (2, -1))


def in_pairs(rows):
    return unflattened(rows, 1, (-1, 2))


# Answers of another making


def heads_last(w, num_heads, to):
    half = w.shape[0] // num_heads // 2
    sizes = (half, 2, num_heads) if to == "half" else (2, half, num_heads)
    return unflattened(w, 0, sizes).transpose(0, 1).reshape(w.shape)


def columns(w, num_heads, to):
    if w.ndim != 2 or w.shape[1] % (2 * num_heads):
        return w.clone()
    return conversion(w.mT, num_heads, to).mT


def columns_of(known):
    """``known``: whether -1 or a number is asked for."""

    def wrong(w, num_heads, to):
        half = w.shape[-1] // num_heads // 2 if known else -1
        sizes = (half, 2) if to == "half" else (2, half)
        return unflattened(w, -1, (num_heads, *sizes)).transpose(-1, -2).flatten(-3)

    return wrong


def columns_turned(w, num_heads, to):
    return conversion(w.T, num_heads, to).T


def _width_and_half(num_heads, to, first):
    return (first, num_heads // 2, 2) if to == "half" else (first, 2, num_heads // 2)


def as_many_as_come_out(w, num_heads, to):
    sizes = _width_and_half(num_heads, to, -1)
    return unflattened(w, 0, sizes).transpose(1, 2).reshape(w.shape)


def as_many_indices_as_come_out(w, num_heads, to):
    indices = torch.arange(w.shape[0], device=w.device)
    return w[indices.view(_width_and_half(num_heads, to, -1)).transpose(1, 2).flatten()]


def as_many_reshaped_as_come_out(w, num_heads, to):
    table = w.reshape(*_width_and_half(num_heads, to, -1), *w.shape[1:])
    return table.transpose(1, 2).reshape(w.shape)


def overwritten(by_halves):
    """``by_halves``: all the rows of one half are written before those of the other."""

    def wrong(w, num_heads, to):
        out = w.clone()
        half = of_its_rows(w, num_heads)
        for h in range(num_heads):
            head = out[2 * half * h : 2 * half * (h + 1)]
            moves = [[(i, 2 * i), (half + i, 2 * i + 1)] for i in range(half)]
            if by_halves:
                moves = list(zip(*moves, strict=True))
            for here, there in (move for both in moves for move in both):
                if to == "half":
                    head[here] = head[there].clone()
                else:
                    head[there] = head[here].clone()
        return out

    return wrong
