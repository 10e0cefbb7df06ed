"""The wrong answers that people give to ``pool_kv_heads``."""

import tutor.checks.grouped_query.poolings as part
from tutor.checks.exercise import Trap
from tutor.checks.grouped_query.poolings import each, with_
from tutor.checks.grouped_query.shared import POOLING


def _trap(name, forms, misconception, **more):
    first, *others = forms
    return Trap(name, first, misconception, POOLING, tuple(others), **more)


TRAPS = (
    _trap(
        "heads far apart",
        each(split=part.strided),
        "head 0 was pooled with head G, 2G, ...: the order of unflatten(0, (H / G, G, D)). Those "
        "that will share a key head are neighbours, since query head h reads key head h // (H // "
        "G): split into (G, H / G, D).",
    ),
    _trap(
        "a sum instead of a mean",
        each(mean=part.summed),
        "the sum of two keys has twice their length where they agree, and so have the scores: the "
        "softmax gets sharper than it was trained to be. It is the mean that keeps their size.",
    ),
    _trap(
        "divided by another number",
        (
            *each(mean=part.by_root),
            *each(mean=part.by_all_heads),
            *each(mean=part.by_groups),
            *each(mean=part.halves),
        ),
        "a group has H / G heads, and their mean is their sum divided by that: not by its root, "
        "nor by the number of groups or of all heads.",
    ),
    _trap(
        "one head of each group",
        each(mean=part.first),
        "the other heads of the group are dropped. The paper tried that, too, and it costs more "
        "than the mean.",
    ),
    _trap(
        "the first heads of all",
        (
            with_(key=part.first_rows, value=part.first_rows),
            with_(key=part.first_rows),
            with_(value=part.first_rows),
            *each(mean=part.last),
        ),
        "the first G heads were kept as they are, and all others dropped. Each new head is the "
        "mean of a group.",
    ),
    _trap(
        "the mean over the batch of features",
        each(mean=part.of_features),
        "the mean ran over the features of a head: one number is left of each. It runs over the "
        "heads of a group, feature by feature.",
    ),
    _trap(
        "the mean over the groups",
        each(mean=part.of_groups),
        "the mean ran over the groups: the first head of each, the second of each. It runs over "
        "the heads within one.",
    ),
    _trap(
        "neighbouring rows",
        each(split=part.neighbouring_rows),
        "neighbouring rows are features of one head. The rows of a head stand together, and the "
        "mean is of row d of one head and row d of the next.",
    ),
    _trap(
        "heads that alternate",
        (*each(split=part.rows_by_head), *each(split=part.rows_across)),
        "row r was taken to belong to head r % H. The rows of a head stand together: head h has "
        "rows h·D to (h + 1)·D.",
    ),
    _trap(
        "columns instead of rows",
        (
            with_(key=part.of_columns, value=part.of_columns),
            with_(key=part.turned, value=part.turned),
            with_(key=part.of_column_blocks, value=part.of_column_blocks),
        ),
        "w is (out, in), as nn.Linear stores it: the heads are rows. Columns are the features of "
        "the tokens, which stay as many.",
    ),
    _trap(
        "num_kv_heads for the size of a group",
        each(number=part.exchanged),
        "num_kv_heads is how many heads are left. How many become one is num_heads // "
        "num_kv_heads.",
    ),
    _trap(
        "one head for all groups",
        each(split=part.all_heads),
        "all heads were made one, and that one repeated. Each new head is the mean of its own "
        "group.",
    ),
    _trap(
        "only the keys",
        (with_(value=part.untouched),),
        "the values still have all of their heads, and no longer fit the keys. What is pooled in "
        "w_k is pooled in w_v.",
    ),
    _trap(
        "only the values",
        (with_(key=part.untouched),),
        "the keys still have all of their heads, and no longer fit the values. What is pooled in "
        "w_v is pooled in w_k.",
    ),
    _trap(
        "values made of keys",
        (with_(values=part.of_keys), with_(keys=part.of_values)),
        "one of the two was pooled twice, and returned for both.",
    ),
    _trap(
        "values first",
        (with_(returned=part.swapped),),
        "asked for are the keys' projection and then the values'. Where both have one shape nobody "
        "notices.",
    ),
    _trap(
        "one tensor",
        (with_(returned=part.together), with_(returned=part.keys_alone)),
        "asked for are two tensors, one for the keys and one for the values.",
    ),
    _trap(
        "as many rows as before",
        (*each(join=part.as_many_as_before), *each(join=part.rest_kept)),
        "each new head stands there several times, so nothing is saved. A checkpoint with G key "
        "heads has G·D rows.",
    ),
    _trap(
        "left in heads",
        each(join=part.left_in_heads),
        "the answer is still a table by heads, (G, D, C). A projection is stored as (G·D, C): "
        "flatten(0, 1) at last.",
    ),
    _trap(
        "heads interleaved",
        each(join=part.interleaved),
        "the new rows come as feature 0 of every head, then feature 1. Head g has rows g·D to "
        "(g + 1)·D: flatten (G, D), in this order.",
    ),
    _trap(
        "the largest instead of the mean",
        (*each(mean=part.largest), *each(mean=part.middle)),
        "pooling is a mean here. A maximum of weights takes each entry from another head.",
    ),
    _trap(
        "two heads of each group",
        each(mean=part.of_two),
        "the mean is that of two heads, however many a group has: H / G of them.",
    ),
    _trap(
        "scaled to its old length",
        each(mean=part.with_its_length),
        "the mean of heads that differ is shorter than they are. The paper leaves it so, and the "
        "training that follows sees to it.",
    ),
    _trap(
        "one width for both",
        (part.width_of_keys, part.width_of_keys_unflattened),
        "a head of keys is D wide and one of values Dv. Let each of the two say its own: "
        "unflatten(0, (G, H / G, -1)).",
    ),
    _trap(
        "exactly two dimensions",
        (part.of_a_table, *each(join=part.as_a_table)),
        "a bias has rows and nothing else, and other weights have further dimensions. What stands "
        "behind the rows goes along with them.",
    ),
    _trap(
        "the checkpoint overwritten",
        (part.written_over,),
        "the means were added up in the caller's tensor, and the checkpoint is another one now. "
        "Make new tensors.",
        overwrites="w_k",
    ),
    _trap(
        "no gradient comes back",
        each(mean=part.detached),
        "detach() cuts the old heads off. The gradient of a mean reaches each head of the group.",
    ),
    _trap(
        "single precision whatever comes in",
        (with_(before=part.in_single),),
        "a checkpoint keeps its dtype: float() rounds one in double, and makes one in half "
        "precision twice as large.",
        precision=True,
    ),
    _trap(
        "heads that do not divide",
        (
            with_(refused=part.never, split=part.cut_off),
            with_(refused=part.of_heads_alone, split=part.cut_off),
        ),
        "3 heads cannot be made of 4, and 10 rows are no 4 heads: raise a ValueError, before // "
        "rounds down and some are dropped.",
    ),
)
