"""Which tiles are visible, in steps: the right ones, and the wrong ones that people make."""

from tutor.checks.changes import changeable


def up(n, size):
    return -(-n // size)


def down(n, size):
    return n // size


def refused(query_tile, key_tile):
    if min(query_tile, key_tile) < 1:
        raise ValueError(f"tiles of {query_tile} and {key_tile} rows")


def lower_right(query, num_queries, num_keys):
    """How many keys it may read."""
    return query + 1 + num_keys - num_queries


def at_least_none(count):
    return max(count, 0)


def first(start, stop):
    return start


def last(start, stop):
    return stop - 1


def there(start, query_tile, num_queries):
    return min(start + query_tile, num_queries)


def counted(fewest, most, num_keys, key_tile, high, low):
    end = high(most, key_tile)
    return (end if fewest == num_keys else low(fewest, key_tile)), end


def both(whole, end):
    return whole, end


def visible(
    num_queries,
    num_keys,
    query_tile,
    key_tile,
    refuse=refused,
    rows=up,
    ends=there,
    count=lower_right,
    bound=at_least_none,
    of_whole=first,
    of_end=last,
    tiles=counted,
    high=up,
    low=down,
    told=both,
    of_all=list,
):
    """The right list, but for the parts that are given."""
    refuse(query_tile, key_tile)
    found = []
    for i in range(rows(num_queries, query_tile)):
        start = i * query_tile
        stop = ends(start, query_tile, num_queries)
        fewest, most = (
            bound(count(query(start, stop), num_queries, num_keys)) for query in (of_whole, of_end)
        )
        found.append(told(*tiles(fewest, most, num_keys, key_tile, high, low)))
    return of_all(found)


with_ = changeable(visible)


def nothing_refused(query_tile, key_tile):
    pass


def keys_unlooked_at(query_tile, key_tile):
    if query_tile < 1:
        raise ValueError("no rows")


def upper_left(query, num_queries, num_keys):
    return min(query + 1, num_keys)


def upper_left_unbound(query, num_queries, num_keys):
    return query + 1


def turned(query, num_queries, num_keys):
    return query + 1 + num_queries - num_keys


def turned_bound(query, num_queries, num_keys):
    return min(query + 1 + num_queries - num_keys, num_keys)


def without_oneself(query, num_queries, num_keys):
    return query + num_keys - num_queries


def one_more(query, num_queries, num_keys):
    return min(query + 2 + num_keys - num_queries, num_keys)


def one_more_unbound(query, num_queries, num_keys):
    return query + 2 + num_keys - num_queries


def any_number(count):
    return count


def beyond(start, query_tile, num_queries):
    return start + query_tile


def middle(start, stop):
    return (start + stop - 1) // 2


def behind(start, stop):
    return stop


def never_ragged(fewest, most, num_keys, key_tile, high, low):
    return low(fewest, key_tile), high(most, key_tile)


def of_the_diagonal(fewest, most, num_keys, key_tile, high, low):
    end = high(most, key_tile)
    return max(end - 1, 0), end


def all_of_them(fewest, most, num_keys, key_tile, high, low):
    whole, _ = counted(fewest, most, num_keys, key_tile, high, low)
    return whole, up(num_keys, key_tile)


def one_further(n, size):
    return n // size + 1


def in_keys(fewest, most, num_keys, key_tile, high, low):
    return fewest, most


def at_the_end(fewest, most, num_keys, key_tile, high, low):
    whole, end = counted(fewest, most, num_keys, key_tile, high, low)
    return min(whole, down(num_keys, key_tile)), min(end, down(num_keys, key_tile))


def exchanged(whole, end):
    return end, whole


def how_many(whole, end):
    return whole, end - whole


def end_alone(whole, end):
    return end


def from_the_end(whole, end):
    return whole, end - 1


def pairs(found):
    return [(i, j) for i, (_, end) in enumerate(found) for j in range(end)]


def as_lists(found):
    return [list(pair) for pair in found]


def of_each_query(num_queries, num_keys, query_tile, key_tile):
    """Row by row, and not tile by tile."""
    refused(query_tile, key_tile)
    return [visible(num_queries, num_keys, 1, key_tile)[i] for i in range(num_queries)]


def tiles_exchanged(num_queries, num_keys, query_tile, key_tile):
    return visible(num_queries, num_keys, key_tile, query_tile)


def of_one_size(num_queries, num_keys, query_tile, key_tile):
    refused(query_tile, key_tile)
    return [(i, i + 1) for i in range(up(num_queries, query_tile))]
