"""Scores of queries and keys: the right ones, and the wrong ones that people make of them."""

from collections.abc import Callable

import torch

from tutor.checks.exercise import Trap


def queries_ask(q, k):
    return q @ k.mT


def by_root(q, k):
    return q.shape[-1] ** -0.5


def scores(q, k, product=queries_ask, scale=by_root):
    """The right scores, but for the parts that are given."""
    return product(q, k) * scale(q, k)


# Another scale


def one(q, k):
    return 1.0


def by_width(q, k):
    return 1 / q.shape[-1]


def by_half_of_width(q, k):
    return 2 / q.shape[-1]


def by_keys(q, k):
    return max(k.shape[-2], 1) ** -0.5


def by_queries(q, k):
    return max(q.shape[-2], 1) ** -0.5


def by_one_more(q, k):
    return (q.shape[-1] + 1) ** -0.5


def by_second_size(q, k):
    return q.shape[1] ** -0.5


def by_first_size(q, k):
    return q.shape[0] ** -0.5


def by_fourth_root(q, k):
    return q.shape[-1] ** -0.25


def by_whole_root(q, k):
    return 1 / int(q.shape[-1] ** 0.5)


def always(constant):
    def scale(q, k):
        return constant

    return scale


def times_root(q, k):
    return q.shape[-1] ** 0.5


# Another product


def of_directions(q, k):
    return torch.nn.functional.normalize(q, dim=-1) @ torch.nn.functional.normalize(k, dim=-1).mT


def distances(q, k):
    return -(q.unsqueeze(-2) - k.unsqueeze(-3)).pow(2).sum(-1)


def keys_ask(q, k):
    return k @ q.mT


def keys_detached(q, k):
    return q @ k.detach().mT


def not_transposed(q, k):
    return q @ k


def reshaped(q, k):
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])


def all_turned(q, k):
    return q @ k.permute(*reversed(range(k.ndim)))


def of_features(q, k):
    return q.mT @ k


def of_views(q, k):
    product = q.view(-1, *q.shape[-2:]) @ k.view(-1, *k.shape[-2:]).mT
    return product.view(*q.shape[:-1], -1)


def in_place(q, k):
    q *= q.shape[-1] ** -0.5
    return q @ k.mT


def score_traps(with_: Callable, products: str, scale: str) -> tuple[Trap, ...]:
    """``with_``: makes an answer of another ``product`` or ``scale``; and the headings of the
    sections that treat them."""
    return (
        Trap(
            "reshaped instead of transposed",
            with_(product=reshaped),
            "reshape takes the numbers in the order in which they lie and breaks the lines "
            "elsewhere: the shape is the transpose's, and every key is made of pieces of several. "
            "k.mT swaps the last two dimensions.",
            products,
        ),
        Trap(
            "cosine similarity",
            with_(product=of_directions, scale=one),
            "attention compares by dot product: length counts as well as direction, and says how "
            "strongly a word insists. Normalising both confines every score to [-1, 1], where "
            "softmax is nearly flat.",
            products,
            (with_(product=of_directions),),
        ),
        Trap(
            "distances instead of products",
            with_(product=distances),
            "(q - k)² is small where two vectors are alike, but it also punishes a long key. "
            "Attention compares by the dot product, q @ k.mT: the longer a key that points the "
            "right way, the higher its score.",
            products,
            (with_(product=distances, scale=one),),
        ),
        Trap(
            "the fourth root",
            with_(scale=by_fourth_root),
            "the standard deviation of q·k is √D. D ** 0.25 is right where it divides q and k "
            "both; dividing one of them, or the scores, it is half of the way.",
            scale,
        ),
        Trap(
            "a root cut to an integer",
            with_(scale=by_whole_root),
            "int(√D) is 2 for a width of 7, and should be 2.65. It is right where the width is a "
            "square, as it often is in models, and wrong everywhere else.",
            scale,
        ),
    )
