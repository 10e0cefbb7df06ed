"""What goes wrong in a loop that writes, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.kv_cache import feeds as feed
from tutor.checks.kv_cache import generations as part
from tutor.checks.kv_cache.generations import with_
from tutor.checks.kv_cache.shared import WRITING

TRAPS = (
    Trap(
        "everything is read again",
        with_(fed=feed.all_again),
        "the model remembers what it has read: give it the newest token, and nothing else. Given "
        "the whole text again, it reads it *behind* what it has, and every step costs what all "
        "cost together.",
        WRITING,
        (with_(fed=feed.all_written), with_(fed=feed.prompts_again)),
    ),
    Trap(
        "the last two tokens",
        with_(fed=feed.the_last_two),
        "each token is given once. The one before the newest is in the cache already, and would "
        "be there twice.",
        WRITING,
        (with_(fed=feed.twice),),
    ),
    Trap(
        "one step behind",
        with_(fed=feed.the_prompts_end),
        "the prompt is read to its end before the first token is drawn. What is to be given next "
        "is the token that was drawn, and not the prompt's last one again.",
        WRITING,
        (with_(fed=feed.the_first_written),),
    ),
    Trap(
        "the end of the prompt alone",
        with_(first=feed.last_token_of_each),
        "the first token is drawn from the scores of the call that reads the whole prompt. The "
        "prompt's last token, given by itself or once more, says nothing of those before it.",
        WRITING,
        (
            with_(first=feed.first_token_of_each),
            with_(first=feed.but_the_last),
            with_(first=feed.token_by_token),
        ),
    ),
    Trap(
        "the prompt backwards",
        with_(first=feed.backwards),
        "a prompt is read in its order: its last token is the newest.",
        WRITING,
    ),
    Trap(
        "padding read as content",
        with_(first=feed.padded),
        "put into one tensor, shorter prompts are padded, and the model reads padding like words. "
        "Let it read each prompt by itself: `prompt[None]`, with its row.",
        WRITING,
        (with_(first=feed.padded_left), with_(first=feed.padded_with_the_last)),
    ),
    Trap(
        "prompts cut to the shortest",
        with_(first=feed.up_to_the_shortest),
        "each prompt is read to its own end.",
        WRITING,
        (with_(first=feed.last_of_the_shortest),),
    ),
    Trap(
        "all read into one row",
        with_(first=feed.into_the_first_row),
        "each text has a row of its own, and the model's memory with it: `rows[b : b + 1]`.",
        WRITING,
        (with_(numbers=part.all_first),),
    ),
    Trap(
        "rows exchanged",
        with_(numbers=part.turned_round),
        "row b is the b-th prompt: 0, 1, 2, ...",
        WRITING,
        (with_(numbers=part.from_one),),
    ),
    Trap(
        "the first text's token for all",
        with_(first=feed.the_first_for_all),
        "each prompt has scores of its own, also for the first token that is drawn.",
        WRITING,
        (with_(fed=feed.first_rows_token),),
    ),
    Trap(
        "the same chance in every step",
        with_(chance=part.the_first_step),
        "step s is drawn with chances[:, s]. A number that is used again draws what is alike, and "
        "the text goes in circles.",
        WRITING,
        (with_(chance=part.one_step_late), with_(chance=part.from_the_end)),
    ),
    Trap(
        "one chance for all rows",
        with_(chance=part.the_first_row),
        "each row has chances of its own: chances[b, s].",
        WRITING,
        (with_(chance=part.rows_turned_round), with_(chance=part.the_other_way)),
    ),
    Trap(
        "no temperature",
        with_(cuts=part.no_temperature),
        "the temperature is accepted and never used: hand it on to `sample`.",
        WRITING,
        (with_(cuts=part.no_temperature_but_zero),),
    ),
    Trap(
        "no top_k",
        with_(cuts=part.no_top_k),
        "top_k is accepted and never used.",
        WRITING,
    ),
    Trap(
        "no top_p",
        with_(cuts=part.no_top_p),
        "top_p is accepted and never used.",
        WRITING,
    ),
    Trap(
        "neither top_k nor top_p",
        with_(cuts=part.no_cut),
        "both cuts are accepted and never used: hand them on to `sample`.",
        WRITING,
    ),
    Trap(
        "always the likeliest",
        with_(cuts=part.greedy),
        "that is what a temperature of 0 asks for. Otherwise `sample` draws, with the chance of "
        "the row and step.",
        WRITING,
    ),
    Trap(
        "the first stop token alone",
        with_(ends=part.the_first_of_them),
        "any token of `stop` ends a row: a chat ends a turn with one, and a text with another. "
        "`torch.isin`.",
        WRITING,
        (with_(ends=part.the_last_of_them),),
    ),
    Trap(
        "nothing ends a row",
        with_(ends=part.never_one),
        "a row ends with the first token that is in `stop`.",
        WRITING,
        (with_(ends=part.all_of_them),),
    ),
    Trap(
        "another end",
        with_(ends=part.token_zero),
        "which tokens end a row, the argument `stop` says.",
        WRITING,
    ),
    Trap(
        "an end in the prompt",
        with_(begins=part.prompts_that_end_in_one),
        "a prompt may hold stop tokens: in a chat each turn ends with one. Only what is written "
        "ends a row.",
        WRITING,
        (
            with_(begins=part.prompts_that_hold_one),
            with_(begins=part.prompts_that_end_in_one, filled=part.with_the_prompts_end_at_first),
        ),
    ),
    Trap(
        "it goes on after the end",
        with_(filled=part.as_it_comes),
        "a row that has ended repeats its stop token while others write, and what is drawn for it "
        "is dropped.",
        WRITING,
        (with_(filled=part.as_it_comes, stops=part.never),),
    ),
    Trap(
        "filled with something else",
        with_(filled=part.with_the_first_stop),
        "after its end a row repeats the very token that ended it.",
        WRITING,
        (
            with_(filled=part.with_zeros),
            with_(filled=part.with_minus_one),
            with_(filled=part.with_the_prompts_end),
        ),
    ),
    Trap(
        "the end is forgotten",
        with_(ended=part.just_now, filled=part.as_it_comes),
        "whether a row has ended must be remembered: it is not enough that all draw a stop token "
        "in the same step.",
        WRITING,
    ),
    Trap(
        "one end ends all",
        with_(stops=part.any),
        "the others have not finished when one row has. Stop when *all* have.",
        WRITING,
        (with_(stops=part.first_row),),
    ),
    Trap(
        "it never stops",
        with_(stops=part.never),
        "when every row has ended nothing is left to be written: stop, and do not fill up.",
        WRITING,
    ),
    Trap(
        "one token too few",
        with_(number=part.one_less),
        "there is a chance for each token that may be written: chances.shape[1] of them.",
        WRITING,
    ),
    Trap(
        "one token too many",
        with_(number=part.one_more),
        "no row is longer than chances.shape[1].",
        WRITING,
    ),
    Trap(
        "the end not written",
        with_(returned=part.without_the_end),
        "the stop token belongs to the row: it is the last that is written.",
        WRITING,
    ),
    Trap(
        "a length without its end",
        with_(returned=part.lengths_without_end),
        "the length counts the tokens of a row's own, its stop token among them; of a row that "
        "nothing has ended it counts all.",
        WRITING,
        (
            with_(counted=part.unless_it_ends),
            with_(returned=part.all_as_long),
            with_(returned=part.lengths_with_prompts),
        ),
    ),
    Trap(
        "the prompts returned",
        with_(returned=part.with_prompts),
        "the answer holds what was written, and not what was given.",
        WRITING,
    ),
    Trap(
        "the tokens alone",
        with_(returned=part.written_alone),
        "returned are two tensors: the tokens (B, T), and how many of each row are its own, (B).",
        WRITING,
        (with_(returned=part.as_a_list),),
    ),
    Trap(
        "steps before rows",
        with_(returned=part.turned),
        "the tokens are (B, T): a row for each prompt.",
        WRITING,
        (with_(returned=part.the_newest),),
    ),
    Trap(
        "prompts that cannot be read",
        with_(refuses=False),
        "another number of prompts than of rows of chances, or an empty prompt, after which "
        "nothing can be drawn: raise a ValueError.",
        WRITING,
    ),
)
