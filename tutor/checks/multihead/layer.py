"""A layer of several heads, in steps: the right ones, and the wrong ones that people make."""

from collections.abc import Callable, Mapping

import tutor.checks.softmax as softmax
from tutor.attention import scaled_dot_product_attention
from tutor.checks.changes import unflattened
from tutor.checks.exercise import Trap
from tutor.checks.shares import completed
from tutor.checks.softmax import read, weights


def project(x, memory, w_q, w_k, w_v):
    return x @ w_q, memory @ w_k, memory @ w_v


def split(x, h):
    return unflattened(x, -1, (h, -1)).transpose(-3, -2)


def merge(heads):
    return heads.transpose(-3, -2).flatten(-2)


def for_heads(keep):
    return None if keep is None else keep.unsqueeze(-3)


def score(q, k, x, memory):
    return q @ k.mT * q.shape[-1] ** -0.5


def shares_as_they_are(shares, q):
    return shares


def project_out(merged, w_out):
    return merged @ w_out


def each(split, projected, h, x):
    return tuple(split(t, h) for t in projected)


def merged(merge, heads, x):
    return merge(heads)


def alone(answer, x):
    return answer


def layer(
    x,
    memory,
    w,
    h,
    keep,
    project=project,
    cut=each,
    split=split,
    for_heads=for_heads,
    score=score,
    weigh=weights,
    after=shares_as_they_are,
    read=read,
    attend=None,
    join=merged,
    merge=merge,
    out=project_out,
    besides=alone,
    **steps,
):
    """The right layer, but for the steps that are given; ``attend`` takes the place of three."""
    *w_in, w_out = w
    q, k, v = cut(split, project(x, memory, *w_in), h, x)
    keep = for_heads(keep)
    if attend is None:
        found = read(after(weigh(score(q, k, x, memory), keep, **steps), q), v)
    else:
        found = attend(q, k, v, keep)
    return besides(out(join(merge, found, x), w_out), x)


# Another cut


def split_by_view(x, h):
    return x.reshape(*x.shape[:-2], h, x.shape[-2], x.shape[-1] // h)


def split_interleaved(x, h):
    return unflattened(x, -1, (-1, h)).movedim(-1, -3)


def split_swapped(x, h):
    return unflattened(x, -1, (-1, h)).transpose(-3, -2)


def split_counted(x, h):
    return unflattened(x, -1, (h, -1)).transpose(1, 2)


def split_behind(x, h):
    return unflattened(x, -1, (h, -1))


def split_of_one_batch(x, h):
    batch, time, width = x.shape
    return x.reshape(batch, time, h, width // h).transpose(1, 2)


def _into(width, h, *projected):
    return tuple(t.reshape(*t.shape[:-1], h, width).transpose(-3, -2) for t in projected)


def _by_torch(width, h, *projected):
    return tuple(unflattened(t, -1, (h, width)).transpose(-3, -2) for t in projected)


def width_of_keys(split, projected, h, x):
    return _into(projected[0].shape[-1] // h, h, *projected)


def width_of_keys_unflattened(split, projected, h, x):
    return _by_torch(projected[0].shape[-1] // h, h, *projected)


def width_of_model(split, projected, h, x):
    return _into(x.shape[-1] // h, h, *projected)


def width_of_model_unflattened(split, projected, h, x):
    return _by_torch(x.shape[-1] // h, h, *projected)


def split_into_one(x, h):
    return x.unsqueeze(-3)


# Another seam


def merge_by_reshape(heads):
    h, t, d = heads.shape[-3:]
    return heads.reshape(*heads.shape[:-3], t, h * d)


def merge_by_view(heads):
    swapped = heads.transpose(-3, -2)
    return swapped.view(*swapped.shape[:-2], -1)


def joined_to_x(merge, heads, x):
    return heads.transpose(-3, -2).reshape(x.shape)


def merge_divided(heads):
    return merge(heads) / heads.shape[-3]


def merge_interleaved(heads):
    return heads.movedim(-3, -1).flatten(-2)


def merge_counted(heads):
    return heads.transpose(1, 2).flatten(-2)


def merge_behind(heads):
    return heads.flatten(-2)


# Another mask


def mask_as_it_is(keep):
    return keep


def mask_second_axis(keep):
    return None if keep is None else keep.unsqueeze(1)


def mask_behind(keep):
    return None if keep is None else keep.unsqueeze(-2)


def no_mask(keep):
    return None


def mask_inverted(keep):
    return None if keep is None else ~keep.unsqueeze(-3)


def mask_on_its_side(keep):
    return None if keep is None else keep.mT.unsqueeze(-3)


# Other scores, and what is done with the weights


def no_scale(q, k, x, memory):
    return q @ k.mT


def divided_by_width(q, k, x, memory):
    return q @ k.mT / q.shape[-1]


def model_scale(q, k, x, memory):
    return q @ k.mT * x.shape[-1] ** -0.5


def memory_scale(q, k, x, memory):
    return q @ k.mT * memory.shape[-1] ** -0.5


def projection_scale(q, k, x, memory):
    return q @ k.mT * (q.shape[-3] * q.shape[-1]) ** -0.5


def times_root(q, k, x, memory):
    return q @ k.mT * q.shape[-1] ** 0.5


def scale_of_heads(q, k, x, memory):
    return q @ k.mT * q.shape[-3] ** -0.5


def scale_of_length(q, k, x, memory):
    return q @ k.mT * k.shape[-2] ** -0.5


def eighth(q, k, x, memory):
    return q @ k.mT / 8


def by_root(shares, q):
    return shares / q.shape[-1] ** 0.5


def besides_x(answer, x):
    return answer + x


def of_features(q, k, x, memory):
    return q.mT @ k * q.shape[-1] ** -0.5


def read_by_features(shares, v):
    return (shares @ v.mT).mT


def one_set_of_weights(shares, v):
    return shares.mean(-3, keepdim=True) @ v


def no_output(merged, w_out):
    return merged


def layer_traps(
    with_: Callable,
    own: tuple[Trap, ...],
    itself: bool = False,
    called: Mapping[str, str] | None = None,
) -> tuple[Trap, ...]:
    """``with_``: makes an answer of changes of ``layer``; ``own``: traps of the exercise alone;
    ``itself``: x is its own memory; ``called``: what the exercise calls some that all share."""

    def both(**changes):
        """By hand, and around chapter 3's function, which raises with words of its own."""
        return with_(**changes), with_(**changes, attend=scaled_dot_product_attention)

    swapped, *swapped_too = both(split=split_swapped)
    counted, *counted_too = both(split=split_counted, merge=merge_counted)
    behind, *behind_too = both(split=split_behind, for_heads=no_mask, merge=merge_behind)
    of_layers = (
        Trap(
            "no output projection",
            with_(out=no_output),
            "the heads stand side by side and nothing joins them: feature 0 of the answer would "
            "only ever know what head 0 has read. w_out lets every feature of the answer draw on "
            "all heads.",
            "Project",
        ),
        Trap(
            "scaled by the width of the model",
            with_(score=model_scale),
            "the sum in q·k runs over the D features of one head, after projection and split, so "
            "its standard deviation is √D. The width of the model, or of all heads together, has "
            "nothing to do with it.",
            "Attend",
            (with_(score=projection_scale), with_(score=memory_scale)),
        ),
        Trap(
            "no scale",
            with_(score=no_scale),
            "each head divides its scores by √D, the width of one head. Chapter 3's function does "
            "it by itself.",
            "Attend",
        ),
        Trap(
            "divided by D instead of √D",
            with_(score=divided_by_width),
            "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
            "that should become 1.",
            "Attend",
        ),
        Trap(
            "view instead of transpose",
            with_(split=split_by_view),
            "q.view(B, H, T, D) has the right shape and deals out whole tokens to the heads: each "
            "head reads a few tokens as if they were the sentence. First (T, H, D), then swap.",
            "Split",
        ),
        Trap(
            "every H-th feature",
            with_(split=split_interleaved, merge=merge_interleaved),
            "the columns of w_q, w_k and w_v belong to the heads in blocks: head h owns the "
            "columns from h·D to (h + 1)·D. Taking every H-th one gives other heads.",
            "Split",
            (with_(split=split_interleaved),),
        ),
        Trap(
            "H and D swapped",
            swapped,
            "num_heads is the number of heads; each is a num_heads-th of the features wide. Here "
            "it was taken for the width of one.",
            "Split",
            tuple(swapped_too),
        ),
        Trap(
            "axes counted from the front",
            counted,
            "transpose(1, 2) swaps time and heads where there is one batch dimension, and others "
            "where there is none or more. Counted from the end they are always the same: "
            "transpose(-3, -2).",
            "Split",
            (*counted_too, *both(split=split_counted), with_(merge=merge_counted)),
        ),
        Trap(
            "merged without transposing back",
            with_(merge=merge_by_reshape),
            "a reshape of (H, T, D) to (T, H·D) mixes the tokens: row 0 gets the answers of "
            "several tokens from one head. Swap heads and time back first.",
            "Merge",
        ),
        Trap(
            "view of what is not contiguous",
            with_(merge=merge_by_view),
            "view only renames what lies in memory in order, and after transpose nothing does: it "
            "raises. reshape and flatten copy where they must.",
            "Merge",
            (with_(merge=merge_by_view, attend=scaled_dot_product_attention),),
        ),
        Trap(
            "divided by the number of heads",
            with_(merge=merge_divided),
            "the heads are no votes to be averaged. They stand side by side, and w_out says what "
            "each of them counts.",
            "Merge",
        ),
        Trap(
            "heads merged interleaved",
            with_(merge=merge_interleaved),
            "the heads' features come out in turns, so that each meets another row of w_out. "
            "Rows h·D to (h + 1)·D of w_out belong to head h: flatten (T, H, D).",
            "Merge",
        ),
        Trap(
            "heads that read each other",
            behind,
            "with heads behind time, (T, H, D), attention's last two axes are heads and features: "
            "the heads of one token attend to one another, and no token sees another. Heads stand "
            "before time.",
            "Attend",
            (*behind_too, *both(split=split_behind, merge=merge_behind)),
        ),
        Trap(
            "one wide head",
            with_(split=split_into_one),
            "num_heads changes nothing: one softmax over all features is one mixture. Split "
            "queries, keys and values before the attention.",
            "One softmax, one mixture",
        ),
        Trap(
            "one set of weights for all heads",
            with_(read=one_set_of_weights),
            "the weights were averaged over the heads and all of them read with the average. Each "
            "head reads with its own softmax; averaging is for pictures.",
            "One softmax, one mixture",
        ),
        Trap(
            "the mask on the wrong axis",
            with_(for_heads=mask_as_it_is),
            "keep has no dimension for the heads and the scores have one, third from the end. "
            "Broadcasting starts from the right, so the sentences land on the heads: it raises, "
            "or, with as many sentences as heads, hides the wrong words in silence. Put a 1 where "
            "the heads stand: keep.unsqueeze(-3).",
            "One mask for all heads",
            (
                with_(for_heads=mask_as_it_is, attend=scaled_dot_product_attention),
                *both(for_heads=mask_second_axis),
                with_(for_heads=mask_behind),
            ),
        ),
        Trap(
            "the mask on its side",
            with_(for_heads=mask_on_its_side),
            "keep[..., i, j] says whether query i may read key j: queries are rows, and the "
            "padding of what is read runs along the last dimension.",
            "One mask for all heads",
        ),
        Trap(
            "the mask forgotten",
            with_(for_heads=no_mask),
            "keep is accepted and never passed on: every head reads what it was to be kept from.",
            "One mask for all heads",
        ),
        Trap(
            "mask inverted",
            with_(**softmax.INVERTED),
            "keep is True where a token may be read, here as in scaled_dot_product_attention. "
            "(nn.MultiheadAttention has it the other way round.)",
            "One mask for all heads",
            (with_(for_heads=mask_inverted),),
        ),
        Trap(
            "scaled after the softmax",
            with_(score=no_scale, after=by_root),
            "the division by √D stands inside the softmax, where it decides how sharp the choice "
            "is. After it, the weights of a token no longer sum to 1.",
            "Attend",
            (with_(after=by_root),),
        ),
        Trap(
            "scaled by another size",
            with_(score=scale_of_heads),
            "q·k is a sum over the D features of one head, and its standard deviation is √D: the "
            "number of heads, the number of tokens, or 8, have no part in that sum.",
            "Attend",
            (with_(score=scale_of_length), with_(score=eighth)),
        ),
        Trap(
            "multiplied by √D",
            with_(score=times_root),
            "√D is what the scores are too large by: they are divided by it. Multiplied, the "
            "softmax is a choice of one.",
            "Attend",
        ),
        Trap(
            "features that read each other",
            with_(score=of_features, read=read_by_features),
            "qᵀ k compares features, (D, D), and says nothing of which token reads which. Each "
            "query meets each key: rows of q with rows of k, q @ k.mT.",
            "Attend",
        ),
        Trap(
            "exactly one batch dimension",
            with_(split=split_of_one_batch),
            "the shape is taken apart into three names, so a single sentence fails and so does a "
            "batch of batches. Count the axes from the end, and let *batch be what it is.",
            "Split",
            (with_(split=split_of_one_batch, merge=merge_counted),),
        ),
        Trap(
            "one width for all",
            with_(cut=width_of_keys),
            "queries and keys are H·D wide, values H·Dv, x is C wide and the answer as w_out has "
            "it. In the paper they are all the same. Let each tensor say its own: "
            "unflatten(-1, (num_heads, -1)).",
            "Split",
            (
                with_(cut=width_of_keys_unflattened),
                with_(cut=width_of_model),
                with_(cut=width_of_model_unflattened),
                with_(join=joined_to_x),
            ),
        ),
        Trap(
            "a residual connection",
            with_(besides=besides_x),
            "x was added to the answer. A block has such a way past its attention, and adding is "
            "the block's job: here only what was read is asked for.",
            "Project",
        ),
    )
    sections = {
        "softmax": "Attend",
        "masks": "One mask for all heads",
        "nothing": "One mask for all heads",
        "reading": "Attend",
        **({"itself": "One mask for all heads"} if itself else {}),
    }
    return completed((*own, *of_layers), with_, sections, called)
