"""A model in parts: the right ones, and those that people get wrong."""

import torch

from tutor.assembly import decoder_block
from tutor.checks.assembly.blocks import block
from tutor.checks.changes import changeable
from tutor.families import rms_norm


def rows_of(embedding, ids):
    return embedding[ids]


def in_order(weights):
    embedding, *blocks, norm = weights
    return embedding, blocks, norm


def from_the_file(layers):
    return range(layers)


def its_own(keys, values, i):
    return keys[i], values[i]


def all_of(kept):
    return kept


def last(x):
    return x[:, -1]


def tied(h, embedding):
    return h @ embedding.mT


def model(
    ids,
    weights,
    keys,
    values,
    num_heads,
    theta=10_000.0,
    eps=1e-5,
    look=rows_of,
    parts=in_order,
    order=from_the_file,
    past=its_own,
    normed=rms_norm,
    asked=last,
    scored=tied,
    kept=all_of,
    joined=torch.stack,
    out=lambda scores, k, v: (scores, k, v),
    nine=lambda blocks, i: blocks[9 * i : 9 * i + 9],
    run=block,
    refuses=True,
    thetas=None,
    epsilon=None,
):
    """The right answer, but for the parts that are given."""
    if refuses and len(weights) != 2 + 9 * len(keys):
        raise ValueError("two weights and nine of each layer")
    theta, eps = thetas or theta, epsilon or eps
    embedding, blocks, norm = parts(list(weights))
    x, new = look(embedding, ids), []
    for i in order(len(keys)):
        x, *mine = run(x, nine(blocks, i), *past(keys, values, i), num_heads, theta, eps)
        new.append(mine)
    new = kept(new)
    k, v = (joined(each) for each in zip(*new, strict=True))
    return out(scored(normed(asked(x), norm, eps), embedding), k, v)


with_ = changeable(model)


def scaled(embedding, ids):
    """Gemma's, and that of 2017."""
    return embedding[ids] * embedding.shape[1] ** 0.5


def norm_first(weights):
    embedding, norm, *blocks = weights
    return embedding, blocks, norm


def backwards(layers):
    return range(layers - 1, -1, -1)


def all_but_one(layers):
    return range(layers)


def first_blocks_weights(blocks, i):
    return blocks[:9]


def first_layers(keys, values, i):
    return keys[0], values[0]


def none_of_it(keys, values, i):
    return keys[i][..., :0, :], values[i][..., :0, :]


def no_norm(x, weight, eps):
    return x


def first(x):
    return x[:, 0]


def each(x):
    return x


def mean(x):
    return x.mean(1)


def without_weight(x, weight, eps):
    return rms_norm(x, torch.ones_like(weight), eps)


def untied(h, embedding):
    """Weights of its own, random: what is left of a readout that nobody has loaded."""
    generator = torch.Generator().manual_seed(1)
    own = torch.randn(embedding.shape, generator=generator, dtype=torch.float64)
    return h @ own.to(embedding).mT


def unscored(h, embedding):
    return h


def softmaxed(h, embedding):
    return (h @ embedding.mT).softmax(-1)


def log_softmaxed(h, embedding):
    return (h @ embedding.mT).log_softmax(-1)


def divided(h, embedding):
    return h @ embedding.mT * embedding.shape[1] ** -0.5


def last_layer_alone(kept):
    return kept[-1:] * len(kept)


def first_layer_alone(kept):
    return kept[:1] * len(kept)


def turned_round(kept):
    return kept[::-1]


def behind_the_batch(each):
    return torch.stack(each, 1)


def values_first(scores, k, v):
    return scores, v, k


def keys_first(scores, k, v):
    return k, v, scores


def last_eps(x, weight, eps):
    return rms_norm(x, weight, 1e-5)


def norms_own_eps(x, weight, eps):
    return rms_norm(x, weight)


def last_block_left_out(ids, weights, keys, values, num_heads, theta=10_000.0, eps=1e-5):
    """What goes into it is scored, and not what comes out."""
    scores, k, v = model(ids, weights, keys, values, num_heads, theta, eps)
    if len(keys) == 1:
        x = weights[0][ids[:, -1]]
        return rms_norm(x, weights[-1], eps) @ weights[0].mT, k, v
    fewer = [*weights[:-10], weights[-1]]
    scores, *_ = model(ids, fewer, keys[:-1], values[:-1], num_heads, theta, eps)
    return scores, k, v


def in_tiles(*given):
    """The same as ``block``, rounded as the reference rounds: what bad input gets is compared to
    the last bit."""
    return decoder_block(*given)


def new_alone(x, weights, keys, values, *rest):
    return block(x, weights, keys[..., :0, :], values[..., :0, :], *rest)


def from_zero(x, weights, keys, values, *rest):
    return block(
        x,
        weights,
        keys,
        values,
        *rest,
        places=lambda past, t, device: torch.arange(t, device=device),
    )


def norms_exchanged(x, weights, *rest):
    return block(x, [weights[5], *weights[1:5], weights[0], *weights[6:]], *rest)


def with_the_past(x, weights, keys, values, *rest):
    answer, k, v = block(x, weights, keys, values, *rest)
    return answer, torch.cat((keys, k), 2), torch.cat((values, v), 2)


def by_default(x, weights, keys, values, num_heads, *rest):
    """theta and eps forgotten where a block is called."""
    return block(x, weights, keys, values, num_heads)
