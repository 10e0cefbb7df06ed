"""A decoder's layer in steps: the right ones, and the wrong ones that people make."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.multihead.layer import layer
from tutor.checks.transformer.feeds import feed as feed_forward
from tutor.checks.transformer.layers import as_given, attend, parted, stack, without


def both_masks(keep, memory_keep):
    return keep, memory_keep


def look_back(h, memory, w, num_heads, keep, **steps):
    if not memory.shape[-2]:  # of nothing 0 is read, whatever the steps, some of which would raise
        w_q, w_k, w_v, w_out = w
        return (h @ w_q) @ (memory @ w_k).mT @ (memory @ w_v) @ w_out
    return layer(h, memory, w, num_heads, keep, **steps)


def as_it_is(memory, norms, norm_first):
    return memory


def decoder(
    x,
    memory,
    attentions,
    feed,
    norms,
    num_heads,
    keep=None,
    memory_keep=None,
    norm_first=False,
    masks=both_masks,
    weights=as_given,
    attend=attend,
    look=look_back,
    remember=as_it_is,
    fed=feed_forward,
    **steps,
):
    """The right layer, but for the steps that are given."""
    ours, theirs = parted(steps)
    to_itself, to_memory = weights(attentions)
    own, others = masks(keep, memory_keep)
    memory = remember(memory, norms, norm_first)
    sublayers = (
        lambda h: attend(h, to_itself, num_heads, own, **theirs),
        lambda h: look(h, memory, to_memory, num_heads, others, **theirs),
        lambda h: fed(h, *feed),
    )
    return stack(x, sublayers, norms, norm_first, **ours)


with_ = changeable(decoder)


# Other masks


def own_forgotten(keep, memory_keep):
    return None, memory_keep


def memory_forgotten(keep, memory_keep):
    return keep, None


def none_at_all(keep, memory_keep):
    return None, None


def exchanged(keep, memory_keep):
    return memory_keep, keep


def _not(keep):
    return None if keep is None else ~keep


def own_inverted(keep, memory_keep):
    return _not(keep), memory_keep


def memory_inverted(keep, memory_keep):
    return keep, _not(memory_keep)


def both_inverted(keep, memory_keep):
    return _not(keep), _not(memory_keep)


def one_row(keep, memory_keep):
    return keep, None if memory_keep is None else memory_keep[..., :1, :]


def own_for_both(keep, memory_keep):
    return keep, keep


def memory_for_both(keep, memory_keep):
    return memory_keep, memory_keep


# Causal by itself


def _past(tq, tk, device):
    return torch.ones(tq, tk, dtype=torch.bool, device=device).tril(tk - tq)


def attend_causally(h, w, num_heads, keep, **steps):
    past = _past(h.shape[-2], h.shape[-2], h.device)
    return layer(h, h, w, num_heads, past if keep is None else keep & past, **steps)


def attend_causally_by_default(h, w, num_heads, keep, **steps):
    past = _past(h.shape[-2], h.shape[-2], h.device) if keep is None else keep
    return layer(h, h, w, num_heads, past, **steps)


def look_causally(h, memory, w, num_heads, keep, **steps):
    past = _past(h.shape[-2], memory.shape[-2], h.device)
    return look_back(h, memory, w, num_heads, past if keep is None else keep & past, **steps)


# Other sources


def look_at_itself(h, memory, w, num_heads, keep, **steps):
    return layer(h, h, w, num_heads, keep, **steps)


def _project(queries, keys, values):
    def project(x, memory, w_q, w_k, w_v):
        sources = {"x": x, "memory": memory}
        return sources[queries] @ w_q, sources[keys] @ w_k, sources[values] @ w_v

    def look(h, memory, w, num_heads, keep, **steps):
        return layer(h, memory, w, num_heads, keep, **{"project": project, **steps})

    return look


keys_from_x = _project("x", "x", "memory")
values_from_x = _project("x", "memory", "x")
memory_asks = _project("memory", "x", "x")
memory_asks_itself = _project("memory", "memory", "memory")


def look_at_both(h, memory, w, num_heads, keep, **steps):
    return layer(h, torch.cat((memory, h), -2), w, num_heads, None, **steps)


def detached(memory, norms, norm_first):
    return memory.detach()


def weights_exchanged(attentions):
    return attentions[1], attentions[0]


def own_weights_for_both(attentions):
    return attentions[0], attentions[0]


def memorys_weights_for_both(attentions):
    return attentions[1], attentions[1]


def remembered(norm, number, always=False, as_wide=False):
    """Memory goes through a norm of this layer; or only where it has the width for it."""

    def remember(memory, norms, norm_first):
        weight, bias = norms[number]
        fits = not as_wide or memory.shape[-1] == len(weight)
        return norm(memory, weight, bias) if fits and (norm_first or always) else memory

    return remember


def masks_exchanged_where_they_fit(x, memory, *args, **kwargs):
    masks = exchanged if x.shape[-2] == memory.shape[-2] else both_masks
    return decoder(x, memory, *args, **kwargs, masks=masks)


def passed_over_without_memory(x, memory, *args, **kwargs):
    """No second sublayer, and no second norm."""
    skipped = {} if memory.shape[-2] else {"order": without(1)}
    return decoder(x, memory, *args, **kwargs, **skipped)
