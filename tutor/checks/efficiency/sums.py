"""Bytes of a model in steps: the right way, and the wrong ones."""

import math

from tutor.checks.changes import changeable


def unknown(bits, group_size):
    few = bits not in (16, 32) and not 2 <= bits <= 8
    return few or (group_size is not None and group_size < 1)


def few_dimensions(shape):
    return len(shape) < 2


def in_single(shape, bits):
    return 4 * math.prod(shape)


def rows_and_columns(shape):
    return math.prod(shape[:-1]), shape[-1]


def whole_bytes(rows, columns, bits):
    return rows * -(-columns * bits // 8)


def below_sixteen(bits):
    return bits < 16


def groups_of_rows(rows, columns, group_size):
    return rows * -(-columns // (group_size or columns))


def in_half(groups, per_group, bits):
    return 2 * groups * per_group


def as_it_is(total):
    return total


def count(
    shapes,
    bits,
    group_size=None,
    per_group=1,
    refused=unknown,
    kept=few_dimensions,
    others=in_single,
    parted=rows_and_columns,
    numbers=whole_bytes,
    scaled=below_sixteen,
    groups=groups_of_rows,
    scales=in_half,
    told=as_it_is,
):
    """The right number, but for the parts that are given."""
    if refused(bits, group_size):
        raise ValueError("bits or group size")
    total = 0
    for shape in shapes:
        if kept(shape):
            total += others(shape, bits)
            continue
        rows, columns = parted(shape)
        total += numbers(rows, columns, bits)
        if scaled(bits):
            total += scales(groups(rows, columns, group_size), per_group, bits)
    return told(total)


with_ = changeable(count)


def zero_for_none(bits, group_size):
    return unknown(bits, group_size or None)


def numbers_alone_forgotten(shape, bits):
    return 4 * sum(shape)


def whole_bytes_in_a_float(rows, columns, bits):
    return float(whole_bytes(rows, columns, bits))


def through_a_float(total):
    return int(float(total))


def never(bits, group_size):
    return False


def bits_alone(bits, group_size):
    return unknown(bits, None)


def groups_alone(bits, group_size):
    return group_size is not None and group_size < 1


def too_many_bits(bits, group_size):
    return bits > 32 or groups_alone(bits, group_size)


def no_dimensions(shape):
    return not shape


def as_the_matrices(shape, bits):
    return -(-math.prod(shape) * bits // 8)


def in_sixteen(shape, bits):
    return 2 * math.prod(shape)


def as_the_model_is(shape, bits):
    return math.prod(shape) * (max(bits, 16) // 8)


def not_counted(shape, bits):
    return 0


def in_bits(shape, bits):
    return 32 * math.prod(shape)


def turned(shape):
    return math.prod(shape[1:]), shape[0]


def turned_matrix(shape):
    """The rows are the last dimension."""
    return math.prod((*shape[:-2], shape[-1])), shape[-2]


def first_and_last(shape):
    return shape[0], shape[-1]


def last_two(shape):
    return shape[-2], shape[-1]


def first_and_rest(shape):
    return shape[0], math.prod(shape[1:])


def bits_for_bytes(rows, columns, bits):
    return rows * columns * bits


def all_in_a_row(rows, columns, bits):
    return -(-rows * columns * bits // 8)


def cut_off(rows, columns, bits):
    return rows * (columns * bits // 8)


def cut_off_at_the_end(rows, columns, bits):
    return rows * columns * bits // 8


def fractions(rows, columns, bits):
    return rows * columns * bits / 8


def a_byte_each(rows, columns, bits):
    return rows * columns * max(1, bits // 8)


def rounded_to_powers(rows, columns, bits):
    """3 bits in 4, and 5 to 7 in 8."""
    return whole_bytes(rows, columns, 1 << (bits - 1).bit_length())


def per_byte(rows, columns, bits):
    """8 // bits numbers in a byte, none over its end."""
    return rows * -(-columns // (8 // bits)) if bits <= 8 else whole_bytes(rows, columns, bits)


def always(bits):
    return True


def not_at_all(bits):
    return False


def below_eight(bits):
    return bits < 8


def with_a_group_size(rows, columns, group_size):
    return groups_of_rows(rows, columns, group_size) if group_size else 0


def one_where_nothing_is_said(rows, columns, group_size):
    return groups_of_rows(rows, columns, group_size) if group_size else 1


def of_the_matrix(rows, columns, group_size):
    return -(-rows * columns // group_size) if group_size else rows


def whole_groups(rows, columns, group_size):
    return rows * (columns // group_size) if group_size else rows


def whole_groups_of_all(rows, columns, group_size):
    return rows * columns // group_size if group_size else rows


def one_for_all(rows, columns, group_size):
    return 1


def one_a_row(rows, columns, group_size):
    return rows


def one_a_column(rows, columns, group_size):
    return columns


def size_for_number(rows, columns, group_size):
    return rows * (group_size or 1)


def in_four_bytes(groups, per_group, bits):
    return 4 * groups * per_group


def in_a_byte(groups, per_group, bits):
    return groups * per_group


def in_bits_for_bytes(groups, per_group, bits):
    return 16 * groups * per_group


def one_each(groups, per_group, bits):
    return 2 * groups


def two_each(groups, per_group, bits):
    return 4 * groups


def one_more(groups, per_group, bits):
    return 2 * groups * (per_group + 1)


def in_the_same_bits(groups, per_group, bits):
    return -(-groups * per_group * bits // 8)


def kilo(total):
    return total // 1024


def as_a_float(total):
    return float(total)


def in_megabytes(total):
    return total / 2**20


def in_millions(total):
    return total / 10**6


def in_bits_altogether(total):
    return 8 * total


def last_one_alone(shapes, bits, group_size=None, per_group=1):
    return count(shapes[-1:], bits, group_size, per_group)


def every_shape_once(shapes, bits, group_size=None, per_group=1):
    return count(list(dict.fromkeys(shapes)), bits, group_size, per_group)


def average_bits(shapes, bits, group_size=None, per_group=1):
    """bits + 16 per_group / group_size, of all numbers at once."""
    if unknown(bits, group_size):
        raise ValueError("bits")
    matrices = [s for s in shapes if len(s) > 1]
    others = count([s for s in shapes if len(s) < 2], 32)
    if not group_size or bits >= 16:
        return others + count(matrices, bits, group_size, per_group)
    number = sum(map(math.prod, matrices))
    return others + round(number * (bits + 16 * per_group / group_size) / 8)
