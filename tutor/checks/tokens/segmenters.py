"""Segmenters in parts: the right one, and the wrong ones that people write."""

import math

from tutor.checks.changes import changeable

_PENALTY = 10.0


def as_they_are(log_probs):
    return dict(log_probs)


def ten_below(log_probs):
    return min(log_probs.values()) - _PENALTY


def added_up(best, score):
    return best + score


def first_of_best(ways):
    return max(ways, key=lambda way: way[0])


def fused(pieces, log_probs):
    out, joins = [], False
    for piece in pieces:
        if piece not in log_probs and joins:
            out[-1] += piece
        else:
            out.append(piece)
        joins = piece not in log_probs
    return out


def forward(pieces):
    return pieces[::-1]


def segment(
    text,
    log_probs,
    scores=as_they_are,
    unknown=ten_below,
    added=added_up,
    choose=first_of_best,
    joined=fused,
    order=forward,
    start_at=0.0,
):
    """The right pieces, but for the parts that are given."""
    if not log_probs:
        raise ValueError("log_probs is empty")
    table, rare = scores(log_probs), unknown(log_probs)
    best, begins = [start_at], [0]
    for end in range(1, len(text) + 1):
        ways = []
        for start in range(end):
            score = table.get(text[start:end], rare if start == end - 1 else None)
            if score is not None:
                ways.append((added(best[start], score), start))
        score, start = choose(ways)
        best.append(score)
        begins.append(start)
    pieces, end = [], len(text)
    while end:
        pieces.append(text[begins[end] : end])
        end = begins[end]
    return joined(order(pieces), log_probs)


with_ = changeable(segment)


def probabilities(log_probs):
    return {piece: math.exp(score) for piece, score in log_probs.items()}


def no_penalty(log_probs):
    return min(log_probs.values())


def ten_above(log_probs):
    return min(log_probs.values()) + _PENALTY


def below_the_likeliest(log_probs):
    return max(log_probs.values()) - _PENALTY


def minus_ten(log_probs):
    return -_PENALTY


def one_each(log_probs):
    return dict.fromkeys(log_probs, -1.0)


def a_character(log_probs):
    return {piece: score / max(1, len(piece)) for piece, score in log_probs.items()}


def dear(log_probs):
    return -1.0 - _PENALTY


def nothing(log_probs):
    return 0.0


def never(log_probs):
    return -math.inf


def alone(best, score):
    return score


def times(best, score):
    return best * score


def last_of_best(ways):
    return max(ways)


def worst(ways):
    return min(ways, key=lambda way: way[0])


def longest(ways):
    return min(ways, key=lambda way: way[1])


def shortest(ways):
    return max(ways, key=lambda way: way[1])


def apart(pieces, log_probs):
    return pieces


def left_out(pieces, log_probs):
    return [p for p in pieces if p in log_probs]


def named_unknown(pieces, log_probs):
    return [p if p in log_probs else "<unk>" for p in fused(pieces, log_probs)]


def backward(pieces):
    return pieces


def run_for_one(text, log_probs):
    if not log_probs:
        raise ValueError("log_probs is empty")
    rare, whole = ten_below(log_probs), dict(log_probs)
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            if text[end - 1] in log_probs:
                break
            whole.setdefault(text[start:end], rare)
    return fused(segment(text, whole, unknown=lambda _: rare, joined=apart), log_probs)


def greedy(text, log_probs):
    if not log_probs:
        raise ValueError("log_probs is empty")
    pieces, start = [], 0
    while start < len(text):
        ends = range(len(text), start, -1)
        end = next((e for e in ends if text[start:e] in log_probs), start + 1)
        pieces.append(text[start:end])
        start = end
    return fused(pieces, log_probs)


def most_likely_first(text, log_probs):
    if not log_probs:
        raise ValueError("log_probs is empty")
    pieces, start = [], 0
    while start < len(text):
        known = [e for e in range(start + 1, len(text) + 1) if text[start:e] in log_probs]
        end = max(known, key=lambda e: log_probs[text[start:e]], default=start + 1)
        pieces.append(text[start:end])
        start = end
    return fused(pieces, log_probs)
