"""Some heads silenced, in steps: the right ones, and the wrong ones that people make."""

import torch

from tutor.checks.changes import changeable
from tutor.checks.multihead.layer import merge


def as_given(given):
    return given


def silenced(heads, flags):
    return heads * flags[:, None, None]


def all_rows(w_out, heads, flags):
    return w_out


def no_more(merged, flags, heads, w_out):
    return merged


def projected(merged, w_out):
    return merged @ w_out


def whole(out, flags):
    return out


def ablation(
    heads,
    w_out,
    keep_heads,
    flags=as_given,
    speak=as_given,
    source=as_given,
    silence=silenced,
    merge=merge,
    hush=no_more,
    rows=all_rows,
    project=projected,
    end=whole,
):
    """The right ablation, but for the parts that are given."""
    flags, heads = speak(flags(keep_heads)), source(heads)
    merged = hush(merge(silence(heads, flags)), flags, heads, w_out)
    return end(project(merged, rows(w_out, heads, flags)), flags)


with_ = changeable(ablation)


# Other flags


def inverted(flags):
    return ~flags


def first_ones(flags):
    return torch.arange(len(flags), device=flags.device) < flags.sum()


def last_ones(flags):
    return first_ones(flags).flip(0)


def but_the_last(flags):
    return flags & (torch.arange(len(flags), device=flags.device) < len(flags) - 1)


def but_the_first(flags):
    return flags & (torch.arange(len(flags), device=flags.device) > 0)


# Another silence


def scaled_up(heads, flags):
    return silenced(heads, flags) / flags.to(heads.dtype).mean()


def scaled_up_with_care(heads, flags):
    return silenced(heads, flags) * (len(flags) / flags.sum().clamp(min=1)).to(heads.dtype)


def scaled_up_in_its_dtype(heads, flags):
    return silenced(heads, flags) / (flags.sum().clamp(min=1).to(heads.dtype) / len(flags))


def along_time(heads, flags):
    return heads * flags[:, None]


def along_features(heads, flags):
    return heads * flags


def in_front(heads, flags):
    return heads * flags[None, :, None, None]


def nobody(heads, flags):
    return heads


def in_place(heads, flags):
    heads.detach()[..., ~flags, :, :] = 0
    return silenced(heads, flags)


def multiplied_in_place(heads, flags):
    return heads.mul_(flags[:, None, None])


def of_the_batch(heads, flags):
    return heads[flags]


def batch_silenced(heads, flags):
    heads = heads.clone()
    heads[~flags] = 0
    return heads


def taken_out(heads, flags):
    return heads[..., flags, :, :]


def as_indices(heads, flags):
    return heads[..., flags.long(), :, :]


def filled_with(lowest):
    def silence(heads, flags):
        number = lowest or torch.finfo(heads.dtype).min
        return heads.masked_fill(~flags[:, None, None], number)

    return silence


def mean_over(*dims):
    def silence(heads, flags):
        return heads.where(flags[:, None, None], heads.mean(dims, keepdim=True))

    return silence


def mean_of_all_tokens(heads, flags):
    return mean_over(*range(heads.ndim - 3), -2)(heads, flags)


# Silence after the merge


def _times(flags_of):
    def hush(merged, flags, heads, w_out):
        return merged * flags_of(flags, heads, w_out)

    return hush


def _where(flags_of):
    def hush(merged, flags, heads, w_out):
        return torch.where(flags_of(flags, heads, w_out), merged, torch.zeros_like(merged))

    return hush


def _in_turns(flags, heads, w_out):
    return flags.repeat(heads.shape[-1])


def _of_columns(flags, heads, w_out):
    return flags.repeat_interleave(w_out.shape[1] // len(flags))


def _of_time(flags, heads, w_out):
    return flags.repeat_interleave(heads.shape[-2])


def _of_heads(flags, heads, w_out):
    return flags.repeat_interleave(len(flags))


every_hth = _times(_in_turns)
OF_ANOTHER_WIDTH = tuple(
    form(width) for width in (_of_columns, _of_time, _of_heads) for form in (_times, _where)
)


# Other rows of w_out


def detached_rows(w_out, heads, flags):
    return w_out.detach()


def first_rows(w_out, heads, flags):
    return w_out[: int(flags.sum()) * heads.shape[-1]]


def rows_taken_out(w_out, heads, flags):
    return w_out[flags.repeat_interleave(heads.shape[-1])]


def one_row_apart(w_out, heads, flags):
    return torch.cat([w_out[h : h + heads.shape[-1]] for h in range(len(flags))])


def the_same_for_all(w_out, heads, flags):
    return w_out[: heads.shape[-1]].repeat(len(flags), 1)


def overwritten(w_out, heads, flags):
    w_out.detach()[~flags.repeat_interleave(heads.shape[-1])] = 0
    return w_out


# Another merge


def added_up(heads):
    return heads.sum(-3)


def averaged(heads):
    return heads.mean(-3)


def of_one_batch(heads):
    batch, num_heads, time, width = heads.shape
    return heads.transpose(1, 2).reshape(batch, time, num_heads * width)


# Another end


def not_projected(merged, w_out):
    return merged


def on_its_side(merged, w_out):
    return merged @ w_out.mT


def features_silenced(out, flags):
    return out * flags.repeat_interleave(out.shape[-1] // len(flags))


def features_silenced_to_the_end(out, flags):
    width = out.shape[-1]
    return out * flags.repeat_interleave(-(-width // len(flags)))[:width]


def features_silenced_in_turns(out, flags):
    width = out.shape[-1]
    return out * flags.repeat(-(-width // len(flags)))[:width]


def nothing_of_nobody(out, flags):
    return out if flags.any() else 0


def mean_of_those_that_speak(out, flags):
    return out / flags.sum().to(out.dtype)


def mean_with_care(out, flags):
    return out / flags.sum().clamp(min=1).to(out.dtype)
