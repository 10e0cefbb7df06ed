"""What goes wrong when a token is drawn, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.families import draws
from tutor.checks.families.draws import with_
from tutor.checks.families.shared import SAMPLING

TRAPS = (
    Trap(
        "multiplied by the temperature",
        with_(cooled=draws.multiplied),
        "logits are *divided* by the temperature: below 1 the likeliest become likelier still, "
        "and above 1 all become alike.",
        SAMPLING,
    ),
    Trap(
        "no temperature",
        with_(cooled=draws.not_at_all),
        "the temperature is accepted and never used.",
        SAMPLING,
    ),
    Trap(
        "divided by 0",
        with_(cold=None),
        "a temperature of 0 means the likeliest token. Divided by 0 the logits are infinite, and "
        "their softmax is nan: ask for 0 first.",
        SAMPLING,
        (with_(cold=None, drawn=draws.the_first_of_nan),),
    ),
    Trap(
        "a little warmth for 0",
        draws.nearly_cold,
        "with a temperature of 0 nothing is left to chance. A very small one in its place still "
        "draws among the likeliest where several are equal, and overflows in half precision.",
        SAMPLING,
    ),
    Trap(
        "0 taken for None",
        with_(
            refused=draws.zero_is_none,
            cut_k=draws.of_zero(draws.the_first_k),
            cut_p=draws.of_zero(draws.those_before_p),
        ),
        "`if top_k:` is False for 0, too. 0 tokens, or a share of 0, are a mistake that has to be "
        "told: `if top_k is not None`.",
        SAMPLING,
        (
            with_(refused=draws.no_k_is_none, cut_k=draws.of_zero(draws.the_first_k)),
            with_(refused=draws.no_p_is_none, cut_p=draws.of_zero(draws.those_before_p)),
        ),
    ),
    Trap(
        "nothing is refused",
        with_(refused=draws.nothing_refused),
        "a negative temperature turns the model upside down, and no token at all can be drawn from "
        "none. Raise a ValueError before anything is computed.",
        SAMPLING,
        (
            with_(refused=draws.nothing_refused, drawn=draws.the_first_of_nan),
            with_(refused=draws.refused_but("temperature")),
            with_(refused=draws.refused_but("top_k")),
            with_(refused=draws.refused_but("top_k"), drawn=draws.the_first_of_nan),
            with_(refused=draws.refused_but("top_p")),
            with_(refused=draws.refused_but("top_p"), drawn=draws.the_first_of_nan),
            with_(refused=draws.share_above_1),
        ),
    ),
    Trap(
        "nothing is refused when it is cold",
        draws.cold_first,
        "also where the likeliest is asked for, top_k of 0 is a mistake: look at the numbers "
        "before anything else.",
        SAMPLING,
    ),
    Trap(
        "an exponential that overflows",
        with_(normed=draws.by_hand),
        "exp(1000) is infinite, and exp(-1000) is 0 for all: `softmax` takes the largest logit "
        "off first.",
        SAMPLING,
        (with_(normed=draws.by_hand, drawn=draws.the_first_of_nan),),
    ),
    Trap(
        "the unlikeliest when it is cold",
        with_(cold=draws.unlikeliest),
        "a temperature of 0 means the largest logit: argmax.",
        SAMPLING,
    ),
    Trap(
        "always the likeliest",
        with_(drawn=draws.always_the_likeliest),
        "argmax is what a temperature of 0 asks for. Otherwise each token comes as often as it is "
        "likely: which one, says chance.",
        SAMPLING,
    ),
    Trap(
        "cut before the temperature",
        draws.cut_before_cooling,
        "top_p is a share of the probabilities *at* the temperature: first divide, then cut. A "
        "cooler distribution has fewer tokens in the same share.",
        SAMPLING,
    ),
    Trap(
        "top_p before top_k",
        draws.p_before_k,
        "first the k likeliest, scaled to sum to 1, and of those the share p. The other way round "
        "the share is of more, and other tokens are left.",
        SAMPLING,
        (
            with_(between=draws.as_they_are),
            with_(
                between=draws.as_they_are,
                cut_p=draws.those_before_p_to_one,
                whole=draws.as_they_are,
            ),
        ),
    ),
    Trap(
        "no top_k",
        with_(cut_k=draws.no_cut),
        "top_k is accepted and never used, or not beside top_p (`elif`): where both are given, "
        "both cut, top_k first.",
        SAMPLING,
        (draws.one_cut_alone,),
    ),
    Trap(
        "no top_p",
        with_(cut_p=draws.no_cut),
        "top_p is accepted and never used.",
        SAMPLING,
    ),
    Trap(
        "one too many of the likeliest",
        with_(cut_k=draws.one_more),
        "the places of the sorted tokens count from 0: those below k are k.",
        SAMPLING,
    ),
    Trap(
        "all that are as likely as the k-th",
        with_(cut_k=draws.with_ties),
        "with a threshold, all tokens that are as likely as the k-th stay, which may be more than "
        "k. Of equally likely ones those with smaller ids count as the likelier: sort with "
        "stable=True and count.",
        SAMPLING,
    ),
    Trap(
        "the last of equally likely ones",
        with_(ranked=draws.turned_round),
        "sorted upwards and turned round, of equally likely tokens the one with the *larger* "
        "number comes first: descending=True, stable=True.",
        SAMPLING,
    ),
    Trap(
        "more than there are",
        with_(cut_k=draws.by_topk),
        "`topk` raises if it is asked for more tokens than there are, and top_k may be more: then "
        "all of them are left. `min(top_k, V)`, or places in a sorted row.",
        SAMPLING,
    ),
    Trap(
        "the unlikeliest kept",
        with_(ranked=draws.upwards),
        "the likeliest come first: descending=True.",
        SAMPLING,
        (with_(cut_k=draws.the_last_k),),
    ),
    Trap(
        "not sorted",
        with_(ranked=draws.not_at_all_ranked),
        "in the order of the vocabulary the first k tokens are the first k ids. Sort before you "
        "cut, and put back afterwards.",
        SAMPLING,
    ),
    Trap(
        "the one that reaches p is left out",
        with_(cut_p=draws.those_within),
        "the fewest tokens whose probabilities sum to p *or more*: the one that takes the sum over "
        "p stays. Without it nothing is left where the likeliest alone has more than p.",
        SAMPLING,
        (with_(cut_p=draws.those_within_or_the_first),),
    ),
    Trap(
        "one more than p",
        with_(cut_p=draws.one_too_many),
        "a token stays if the sum of those *before* it is below p. Shifted once too often, one "
        "more comes along.",
        SAMPLING,
        (with_(cut_p=draws.those_not_beyond_p),),
    ),
    Trap(
        "p as a threshold",
        with_(cut_p=draws.those_above),
        "top_p is a share of all probability, which the likeliest have together, and not what each "
        "must have.",
        SAMPLING,
        (
            with_(cut_p=draws.those_likelier),
            with_(cut_p=draws.those_above_or_the_first),
            with_(cut_p=draws.those_above, drawn=draws.the_first_of_nan),
        ),
    ),
    Trap(
        "what is left does not sum to 1",
        with_(between=draws.as_they_are, whole=draws.as_they_are),
        "after a cut the probabilities sum to less than 1, and a chance above their sum finds no "
        "token, or always the same. Divide by the sum.",
        SAMPLING,
        (with_(whole=draws.as_they_are),),
    ),
    Trap(
        "the place instead of the token",
        with_(back=draws.left_in_order),
        "what was found is a place among the sorted tokens. Which token stands there, says the "
        "order that the sort has given.",
        SAMPLING,
        (with_(back=draws.left_in_order, cooled=draws.divided_in_single),),
    ),
    Trap(
        "the likeliest come first",
        with_(back=draws.left_in_order, told=draws.in_order_of_likelihood),
        "the probabilities are summed in the order of the vocabulary, as the text says, and not in "
        "that of their size: the token is as likely, and another one for the same chance.",
        SAMPLING,
        (
            with_(
                back=draws.left_in_order,
                told=draws.in_order_of_likelihood,
                cooled=draws.divided_in_single,
            ),
        ),
    ),
    Trap(
        "a chance of 0",
        with_(drawn=draws.not_below),
        "chance is drawn from 0 on and below 1: a token is reached when the sum is *above* it. "
        "With >= a chance of 0 gives the first token, also one that cannot be.",
        SAMPLING,
    ),
    Trap(
        "a sum below 1",
        with_(drawn=draws.unguarded),
        "rounding may leave the sum of all probabilities just below 1, and a chance between the "
        "two reaches no token. Then it is the last that can be: argmax of nothing is 0, and a "
        "count is one too many.",
        SAMPLING,
        (with_(drawn=draws.counted), with_(drawn=draws.clamped)),
    ),
    Trap(
        "from the end",
        with_(drawn=draws.from_the_end),
        "the sum begins with token 0.",
        SAMPLING,
    ),
    Trap(
        "one chance for all",
        with_(drawn=draws.one_for_all),
        "each row has a chance of its own.",
        SAMPLING,
    ),
    Trap(
        "softmax over another dimension",
        with_(normed=draws.over_the_batch),
        "the symbols are the last dimension: dim=-1.",
        SAMPLING,
    ),
    Trap(
        "the probability instead of the token",
        with_(drawn=draws.its_probability),
        "the answer is the token's number.",
        SAMPLING,
    ),
)
