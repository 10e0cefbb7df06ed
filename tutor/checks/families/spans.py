"""Taking spans out of a text in steps: the right way, and the wrong ones."""

from itertools import pairwise

from tutor.checks.changes import changeable


def refused(spans, length):
    done = -1
    for start, end in spans:
        if not done < start < end <= length:
            return True
        done = end
    return False


def as_given(start, end):
    return start, end


def downwards(first, i):
    return first - i


def one(sentinel, span):
    return [sentinel]


def sentinel_first(sentinel, span):
    return [sentinel, *span]


def the_next(sentinel, first, number):
    return [sentinel(first, number)]


def what_is_left(tokens, done):
    return tokens[done:]


def both(source, target):
    return source, target


def corrupt(
    tokens,
    spans,
    first_sentinel,
    refused=refused,
    ordered=list,
    reach=as_given,
    following=downwards,
    put=one,
    told=sentinel_first,
    last=the_next,
    rest=what_is_left,
    returned=both,
):
    """The right lists, but for the parts that are given."""
    if refused(spans, len(tokens)):
        raise ValueError("spans that are empty, overlap, touch or leave the text")
    source, target, done = [], [], 0
    for i, (start, end) in enumerate(ordered(spans)):
        start, end = reach(start, end)
        sentinel, span = following(first_sentinel, i), tokens[start:end]
        source += [*tokens[done:start], *put(sentinel, span)]
        target += told(sentinel, span)
        done = end
    source += rest(tokens, done)
    return returned(source, [*target, *last(following, first_sentinel, len(spans))])


with_ = changeable(corrupt)


def none(spans, length):
    return False


def overlapping_alone(spans, length):
    done = 0
    for start, end in spans:
        if not done <= start < end <= length:
            return True
        done = end
    return False


def beyond_alone(spans, length):
    return any(not 0 <= start <= end <= length for start, end in spans)


def order_alone(spans, length):
    return any(one[1] > other[0] for one, other in pairwise(spans))


def with_the_end(start, end):
    return start, end + 1


def as_a_length(start, end):
    return start, start + end


def upwards(first, i):
    return first + i


def always_the_first(first, i):
    return first


def nothing_put(sentinel, span):
    return []


def one_for_each(sentinel, span):
    return [sentinel] * len(span)


def sentinel_and_span(sentinel, span):
    return [sentinel, *span]


def tokens_alone(sentinel, span):
    return [*span]


def sentinel_behind(sentinel, span):
    return [*span, sentinel]


def nothing(sentinel, first, number):
    return []


def the_one_before(sentinel, first, number):
    return [sentinel(first, max(number - 1, 0))]


def the_first(sentinel, first, number):
    return [first]


def no_rest(tokens, done):
    return []


def exchanged(source, target):
    return target, source


def answer_alone(source, target):
    return target


def replaced_in_place(tokens, spans, first_sentinel):
    if refused(spans, len(tokens)):
        raise ValueError("spans that are empty, overlap, touch or leave the text")
    source, target = list(tokens), []
    for i, (start, end) in enumerate(spans):
        target += [first_sentinel - i, *source[start:end]]
        source[start:end] = [first_sentinel - i]
    return source, [*target, first_sentinel - len(spans)]


def each_by_itself(tokens, spans, first_sentinel):
    """A sentinel of its own for every token that is taken out."""
    alone = [place for start, end in spans for place in range(start, end)]
    if refused(spans, len(tokens)):
        raise ValueError("spans that are empty, overlap, touch or leave the text")
    return corrupt(tokens, [(p, p + 1) for p in alone], first_sentinel, refused=none)


def without_spans_as_it_was(tokens, spans, first_sentinel):
    if not spans:
        return corrupt(tokens, spans, first_sentinel)
    return corrupt(tokens, spans, first_sentinel, rest=no_rest)


def nothing_without_spans(sentinel, first, number):
    return the_next(sentinel, first, number) if number else []


def cut_out_of_the_callers(tokens, spans, first_sentinel):
    found = corrupt(tokens, spans, first_sentinel)
    tokens[:] = found[0]
    return found


def at_the_beginning_too(spans, length):
    return refused(spans, length) or (bool(spans) and spans[0][0] == 0)


def but(start_below=False, end_beyond=False, empty=False, disordered=False):
    """All but one kind of wrong span is refused."""

    def check(spans, length):
        spans = sorted(spans) if disordered else spans
        done = -1
        for number, (start, end) in enumerate(spans):
            first = start_below and not number
            if not (first or done < start) or (end > length and not end_beyond):
                return True
            if end < start or (end == start and not empty):
                return True
            done = end
        return False

    return check


def at_the_end_too(spans, length):
    return refused(spans, length) or any(end == length for _, end in spans)


def of_one_token_too(spans, length):
    return refused(spans, length) or any(end - start == 1 for start, end in spans)


def each_alone(spans, length):
    return any(not 0 <= start < end <= length for start, end in spans)


def starts_alone(spans, length):
    begun = -1
    for start, end in spans:
        if not begun < start < end <= length:
            return True
        begun = start
    return False


def touching_or_empty(spans, length):
    done = 0
    for start, end in spans:
        if not done <= start <= end <= length:
            return True
        done = end
    return False


def touching_made_one(tokens, spans, first_sentinel):
    made = []
    for start, end in spans:
        if made and start == made[-1][1] < end:
            made[-1] = made[-1][0], end
        else:
            made.append((start, end))
    return corrupt(tokens, made, first_sentinel)


def marked_at_the_end(tokens, spans, first_sentinel):
    source, target = corrupt(tokens, spans, first_sentinel)
    return [*source, first_sentinel - len(spans)], target


def as_number(constant):
    def last(sentinel, first, number):
        return [constant]

    return last


def one_further(first, i):
    return first - 1 - i


def from_the_last(tokens, spans, first_sentinel):
    def following(first, i):
        return first - (len(spans) - 1 - i) if i < len(spans) else first - i

    return corrupt(tokens, spans, first_sentinel, following=following)
