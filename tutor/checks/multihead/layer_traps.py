"""What can go wrong in every layer of several heads, by name."""

from collections.abc import Callable, Mapping

import tutor.checks.multihead.layer as layer
import tutor.checks.scoring as scoring
import tutor.checks.softmax as softmax
from tutor.attention import scaled_dot_product_attention
from tutor.checks.exercise import Trap
from tutor.checks.shares import completed


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

    swapped, *swapped_too = both(split=layer.split_swapped)
    counted, *counted_too = both(split=layer.split_counted, merge=layer.merge_counted)
    behind, *behind_too = both(
        split=layer.split_behind, for_heads=layer.no_mask, merge=layer.merge_behind
    )
    on_its_side, *on_its_side_too = both(for_heads=layer.mask_on_its_side)
    of_layers = (
        Trap(
            "nn.Linear's orientation",
            with_(project=layer.turned),
            "nn.Linear stores its weight as (out, in) and multiplies by the transpose. Here the "
            "weights are (in, out): x @ w_q, and merged @ w_out.",
            "Project",
            (
                with_(project=layer.turned, out=layer.out_turned),
                with_(out=layer.out_turned),
            ),
        ),
        Trap(
            "no output projection",
            with_(out=layer.no_output),
            "the heads stand side by side and nothing joins them: feature 0 of the answer would "
            "only ever know what head 0 has read. w_out lets every feature of the answer draw on "
            "all heads.",
            "Project",
        ),
        Trap(
            "scaled by the width of the model",
            with_(scale=scoring.one, sized=layer.model_scale),
            "the sum in q·k runs over the D features of one head, after projection and split, so "
            "its standard deviation is √D. The width of the model, or of all heads together, has "
            "nothing to do with it.",
            "Attend",
            (
                with_(scale=scoring.one, sized=layer.projection_scale),
                with_(scale=scoring.one, sized=layer.memory_scale),
            ),
        ),
        Trap(
            "no scale",
            with_(scale=scoring.one),
            "each head divides its scores by √D, the width of one head. Chapter 3's function does "
            "it by itself.",
            "Attend",
        ),
        Trap(
            "divided by D instead of √D",
            with_(scale=scoring.by_width),
            "the variance of q·k is D, its standard deviation √D, and it is the standard deviation "
            "that should become 1. (Chapter 3's function scales by itself: queries that were "
            "divided by √D before it are divided twice.)",
            "Attend",
        ),
        Trap(
            "view instead of transpose",
            with_(split=layer.split_by_view),
            "q.view(B, H, T, D) has the right shape and deals out whole tokens to the heads: each "
            "head reads a few tokens as if they were the sentence. First (T, H, D), then swap.",
            "Split",
            tuple(with_(cut=layer.one_of_three(n, layer.split_by_view)) for n in range(3)),
        ),
        Trap(
            "every H-th feature",
            with_(split=layer.split_interleaved, merge=layer.merge_interleaved),
            "the columns of w_q, w_k and w_v belong to the heads in blocks: head h owns the "
            "columns from h·D to (h + 1)·D. Taking every H-th one gives other heads.",
            "Split",
            (
                with_(split=layer.split_interleaved),
                *(with_(cut=layer.one_of_three(n, layer.split_interleaved)) for n in range(3)),
            ),
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
            (*counted_too, *both(split=layer.split_counted), with_(merge=layer.merge_counted)),
        ),
        Trap(
            "merged without transposing back",
            with_(merge=layer.merge_by_reshape),
            "a reshape of (H, T, D) to (T, H·D) mixes the tokens: row 0 gets the answers of "
            "several tokens from one head. Swap heads and time back first.",
            "Merge",
        ),
        Trap(
            "view of what is not contiguous",
            with_(merge=layer.merge_by_view),
            "view only renames what lies in memory in order, and after transpose nothing does: it "
            "raises. reshape and flatten copy where they must.",
            "Merge",
            (with_(merge=layer.merge_by_view, attend=scaled_dot_product_attention),),
        ),
        Trap(
            "divided by the number of heads",
            with_(merge=layer.merge_divided),
            "the heads are no votes to be averaged. They stand side by side, and w_out says what "
            "each of them counts.",
            "Merge",
        ),
        Trap(
            "heads averaged",
            with_(merge=layer.merge_averaged),
            "the heads were made one by a mean or a sum, which forgets who has read what. They "
            "stand side by side, H·Dv wide, and each has rows of its own in w_out.",
            "Merge",
            (with_(merge=layer.merge_average_alone), with_(merge=layer.merge_sum_alone)),
        ),
        Trap(
            "the first rows of w_out for every head",
            with_(merge=layer.merge_none, out=layer.out_of_each_by_the_first_rows),
            "a sum over the heads of what each becomes by w_out is right, if each is multiplied "
            "with rows of its own: head h with those from h·Dv to (h + 1)·Dv.",
            "Project",
        ),
        Trap(
            "heads merged interleaved",
            with_(merge=layer.merge_interleaved),
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
            (*behind_too, *both(split=layer.split_behind, merge=layer.merge_behind)),
        ),
        Trap(
            "one wide head",
            with_(split=layer.split_into_one),
            "num_heads changes nothing: one softmax over all features is one mixture. Split "
            "queries, keys and values before the attention.",
            "One softmax, one mixture",
        ),
        Trap(
            "the first head for all",
            with_(cut=layer.first_head_of(0)),
            "each head has queries, keys and values of its own. With one set of keys and values "
            "for all of them this is multi-query attention, which chapter 11 comes to; here every "
            "head has its columns of w_q, w_k and w_v.",
            "Split",
            (with_(cut=layer.first_head_of(1, 2)), with_(cut=layer.first_head_of(0, 1, 2))),
        ),
        Trap(
            "heads in reverse",
            with_(merge=layer.merge_reversed),
            "head 0 comes first: rows h·Dv to (h + 1)·Dv of w_out belong to head h. In another "
            "order each head meets the rows of another.",
            "Merge",
        ),
        Trap(
            "one set of weights for all heads",
            with_(read=layer.one_set_of_weights),
            "the weights were averaged over the heads and all of them read with the average. Each "
            "head reads with its own softmax; averaging is for pictures.",
            "One softmax, one mixture",
        ),
        Trap(
            "the mask on the wrong axis",
            with_(for_heads=layer.mask_as_it_is),
            "keep has no dimension for the heads and the scores have one, third from the end. "
            "Broadcasting starts from the right, so the sentences land on the heads: it raises, "
            "or, with as many sentences as heads, hides the wrong words in silence. Put a 1 where "
            "the heads stand: keep.unsqueeze(-3).",
            "One mask for all heads",
            (
                with_(for_heads=layer.mask_as_it_is, attend=scaled_dot_product_attention),
                *both(for_heads=layer.mask_second_axis),
                with_(for_heads=layer.mask_behind),
            ),
        ),
        Trap(
            "the mask on its side",
            on_its_side,
            "keep[..., i, j] says whether query i may read key j: queries are rows, and the "
            "padding of what is read runs along the last dimension.",
            "One mask for all heads",
            tuple(on_its_side_too),
        ),
        Trap(
            "the mask forgotten",
            with_(for_heads=layer.no_mask),
            "keep is accepted and never passed on: every head reads what it was to be kept from.",
            "One mask for all heads",
        ),
        Trap(
            "mask inverted",
            with_(**softmax.INVERTED),
            "keep is True where a token may be read, here as in scaled_dot_product_attention. "
            "(nn.MultiheadAttention has it the other way round.)",
            "One mask for all heads",
            (with_(for_heads=layer.mask_inverted),),
        ),
        Trap(
            "scaled after the softmax",
            with_(scale=scoring.one, after=layer.by_root_at_last),
            "the division by √D stands inside the softmax, where it decides how sharp the choice "
            "is. After it, the weights of a token no longer sum to 1.",
            "Attend",
            (with_(after=layer.by_root_at_last),),
        ),
        Trap(
            "scaled by another size",
            with_(scale=scoring.one, sized=layer.scale_of_heads),
            "q·k is a sum over the D features of one head, and its standard deviation is √D: the "
            "number of heads, the number of tokens, or 8, have no part in that sum.",
            "Attend",
            (
                with_(scale=scoring.by_keys),
                with_(scale=scoring.always(1 / 8)),
                with_(cut=layer.scaled_for_values),
            ),
        ),
        *scoring.score_traps(with_, "Attend", "Attend"),
        Trap(
            "multiplied by √D",
            with_(scale=scoring.times_root),
            "√D is what the scores are too large by: they are divided by it. Multiplied, the "
            "softmax is a choice of one.",
            "Attend",
        ),
        Trap(
            "features that read each other",
            with_(product=scoring.of_features, read=layer.read_by_features),
            "qᵀ k compares features, (D, D), and says nothing of which token reads which. Each "
            "query meets each key: rows of q with rows of k, q @ k.mT.",
            "Attend",
        ),
        Trap(
            "exactly one batch dimension",
            with_(split=layer.split_of_one_batch),
            "the shape is taken apart into three names, so a single sentence fails and so does a "
            "batch of batches. Count the axes from the end, and let *batch be what it is.",
            "Split",
            (with_(split=layer.split_of_one_batch, merge=layer.merge_counted),),
        ),
        Trap(
            "one width for all",
            with_(cut=layer.width_of_keys),
            "queries and keys are H·D wide, values H·Dv, x is C wide and the answer as w_out has "
            "it. In the paper they are all the same. Let each tensor say its own: "
            "unflatten(-1, (num_heads, -1)).",
            "Split",
            (
                with_(cut=layer.width_of_keys_unflattened),
                with_(cut=layer.width_of_model),
                with_(cut=layer.width_of_model_unflattened),
                with_(join=layer.joined_to_x),
                with_(cut=layer.width_of_model, join=layer.joined_to_x),
            ),
        ),
        Trap(
            "a residual connection",
            with_(besides=layer.besides_x),
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
