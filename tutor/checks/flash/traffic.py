"""Bytes between two memories, in steps: the right ones, and the wrong ones that people make."""

import math

from tutor.checks.changes import changeable


def up(n, size):
    return -(-n // size)


def down(n, size):
    return n // size


def numbers_in(sram_bytes, element_bytes):
    return sram_bytes // element_bytes


def four_and_scores(room, width):
    return math.isqrt(4 * width * width + room) - 2 * width


def at_most_all(rows, num_tokens):
    return min(rows, num_tokens)


def refused(rows):
    if rows < 1:
        raise ValueError("no row fits")


def written_and_read(num_tokens):
    return 4 * num_tokens * num_tokens


def twice_two(num_tokens, width):
    return 4 * num_tokens * width


def each_tile(num_tokens, width, tiles):
    return 2 * num_tokens * width * (1 + tiles)


def both(plain, tiled):
    return plain, tiled


def times(numbers, element_bytes):
    return numbers * element_bytes


def moved(
    num_tokens,
    width,
    sram_bytes,
    element_bytes=2,
    room=numbers_in,
    fit=four_and_scores,
    bound=at_most_all,
    refuse=refused,
    rounded=up,
    of_scores=written_and_read,
    of_rows=twice_two,
    of_tiles=each_tile,
    told=both,
    scale=times,
):
    """The right bytes, but for the parts that are given."""
    rows = bound(fit(room(sram_bytes, element_bytes), width), num_tokens)
    refuse(rows)
    plain = of_scores(num_tokens) + of_rows(num_tokens, width)
    tiled = of_tiles(num_tokens, width, rounded(num_tokens, rows))
    return told(scale(plain, element_bytes), scale(tiled, element_bytes))


with_ = changeable(moved)


def bytes_as_numbers(sram_bytes, element_bytes):
    return sram_bytes


def kibibytes(sram_bytes, element_bytes):
    return sram_bytes * 1024 // element_bytes


def four_alone(room, width):
    return room // (4 * width)


def three_alone(room, width):
    return room // (3 * width)


def three_and_scores(room, width):
    return math.isqrt(9 * width * width + 4 * room) // 2 - 3 * width // 2


def scores_alone(room, width):
    return math.isqrt(room)


def rounded_up(room, width):
    return four_and_scores(room - 1, width) + 1


def at_most_width(rows, num_tokens):
    return rows


def unrefused(rows):
    pass


def one_at_least(rows, num_tokens):
    return max(min(rows, num_tokens), 1)


def never(sign):
    pass


def once(num_tokens):
    return num_tokens * num_tokens


def twice(num_tokens):
    return 2 * num_tokens * num_tokens


def thrice(num_tokens):
    return 3 * num_tokens * num_tokens


def no_scores(num_tokens):
    return 0


def three_rows(num_tokens, width):
    return 3 * num_tokens * width


def no_rows(num_tokens, width):
    return 0


def read_once(num_tokens, width, tiles):
    return 4 * num_tokens * width


def keys_alone(num_tokens, width, tiles):
    return num_tokens * width * (2 + tiles)


def answer_forgotten(num_tokens, width, tiles):
    return num_tokens * width * (1 + 2 * tiles)


def rows_of_q_forgotten(num_tokens, width, tiles):
    return 2 * num_tokens * width * tiles


def all_each_time(num_tokens, width, tiles):
    return 4 * num_tokens * width * tiles


def keys_outside(num_tokens, width, tiles):
    return num_tokens * width * (2 + 3 * tiles)


def scores_too(num_tokens, width, tiles):
    return each_tile(num_tokens, width, tiles) + num_tokens * num_tokens


def halved(num_tokens, width, tiles):
    return num_tokens * width * (2 + tiles + 1)


def exactly(n, size):
    return n / size


def as_integers(plain, tiled):
    return int(plain), int(tiled)


def exchanged(plain, tiled):
    return tiled, plain


def ratio(plain, tiled):
    return plain / tiled


def tiled_alone(plain, tiled):
    return tiled


def numbers(count, element_bytes):
    return count


def as_half(count, element_bytes):
    return count * 2


def whole_times(count, element_bytes):
    return int(count) * element_bytes
