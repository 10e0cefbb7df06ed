"""What goes wrong when words are masked, and the misconceptions behind it."""

from tutor.checks.exercise import Trap
from tutor.checks.families import maskers
from tutor.checks.families.maskers import with_
from tutor.checks.families.shared import MASKED

TRAPS = (
    Trap(
        "special tokens masked",
        with_(spared=maskers.all_alike),
        "the marks at the beginning and the end, and padding, are no words: guessing them teaches "
        "nothing. Only what is not special is chosen.",
        MASKED,
    ),
    Trap(
        "only special tokens",
        with_(spared=maskers.special_alone),
        "special is True where a token is *not* to be chosen.",
        MASKED,
    ),
    Trap(
        "a loss at every token",
        with_(labels=maskers.all_tokens),
        "what stands there unmasked can be copied. Only where a token was chosen there is "
        "something to say; elsewhere stands -100.",
        MASKED,
        (with_(labels=maskers.all_but_special),),
    ),
    Trap(
        "a loss where the token has changed",
        with_(labels=maskers.of_changed),
        "of the chosen, one in ten stays as it is, and is to be said all the same: so that the "
        "model cannot trust what it reads.",
        MASKED,
        (with_(labels=maskers.of_masked), maskers.labels_where_it_differs),
    ),
    Trap(
        "a loss where nothing was chosen",
        with_(labels=maskers.of_others_too),
        "the other way round: -100 stands where a token was *not* chosen.",
        MASKED,
    ),
    Trap(
        "token 0 left out",
        with_(labels=maskers.above_zero),
        "0 is a token like others. What is left out is told by the choice, not by a number of the "
        "text.",
        MASKED,
        (maskers.zero_spared,),
    ),
    Trap(
        "ignored by another number",
        with_(labels=maskers.ignored_as(-1)),
        "what `F.cross_entropy` leaves out without being told is -100. -1 raises there, and 0 is a "
        "token.",
        MASKED,
        (with_(labels=maskers.ignored_as(0)),),
    ),
    Trap(
        "what is read is to be said",
        maskers.labels_after_writing,
        "the answer has to be the token that stood there, and not the mask in its place. Keep the "
        "tokens before you write over them.",
        MASKED,
        (maskers.overwritten_before, maskers.substitutes_said),
    ),
    Trap(
        "always the mask",
        with_(kinds=maskers.always_the_mask),
        "the mask never stands in a text that is to be read later. So only eight of ten become "
        "the mask; one becomes another token, and one stays.",
        MASKED,
        (with_(kinds=maskers.no_others),),
    ),
    Trap(
        "none stays",
        with_(kinds=maskers.none_stays),
        "of the chosen, kind < 0.8 becomes the mask and kind < 0.9 another token. The last tenth "
        "stays as it is.",
        MASKED,
    ),
    Trap(
        "the wrong tenth",
        with_(kinds=maskers.stays_before),
        "below 0.8 the mask, from 0.8 to 0.9 another token, and above that the token itself.",
        MASKED,
        (
            with_(kinds=maskers.a_tenth_masked),
            with_(kinds=maskers.others_first),
            with_(kinds=maskers.others_below_a_tenth),
        ),
    ),
    Trap(
        "substituted, whatever was masked",
        with_(kinds=maskers.overlapping),
        "what is below 0.8 is below 0.9 as well: a substitute takes the place of a token only from "
        "0.8 on.",
        MASKED,
    ),
    Trap(
        "borders on the other side",
        with_(kinds=maskers.closed),
        "numbers are drawn from 0 on and below 1, so a share of 0.8 is what is *below* 0.8, and a "
        "token is chosen where its chance is below the rate: with a rate of 0, nowhere.",
        MASKED,
        (
            with_(drawn=maskers.not_above),
            with_(drawn=maskers.not_above, kinds=maskers.closed),
            with_(kinds=maskers.mask_closed),
            with_(kinds=maskers.others_closed),
        ),
    ),
    Trap(
        "all but the chosen",
        with_(drawn=maskers.above),
        "a token is chosen where its chance is below the rate.",
        MASKED,
    ),
    Trap(
        "always fifteen in a hundred",
        with_(drawn=maskers.always(0.15)),
        "the rate is an argument: 0.15 is what it is if nothing is said.",
        MASKED,
    ),
    Trap(
        "changed where nothing was chosen",
        with_(within=maskers.everywhere),
        "the kind is of the chosen tokens alone. Elsewhere the text stays as it is.",
        MASKED,
        (maskers.masked_everywhere, maskers.substituted_everywhere),
    ),
    Trap(
        "one number for both",
        maskers.kind_by_chance,
        "chance says whether a token is chosen, and kind what becomes of it: two numbers, drawn "
        "for each token apart.",
        MASKED,
    ),
    Trap(
        "shapes are not compared",
        with_(fitting=maskers.anything),
        "broadcasting makes one of many out of tensors that do not belong together, or an error "
        "that speaks of something else. Compare all five shapes first, and raise a ValueError.",
        MASKED,
        tuple(with_(fitting=maskers.all_but(i)) for i in range(1, 5)),
    ),
    Trap(
        "the mask itself left out",
        maskers.mask_spared,
        "the mask's id may stand in the text like any other: what is special is told by special.",
        MASKED,
    ),
    Trap(
        "tokens overwritten",
        maskers.overwritten,
        "masked_fill_ and an assignment write into the caller's text, whom nobody has asked: the "
        "next time it is drawn it has masks already. masked_fill and torch.where make a new one.",
        MASKED,
        overwrites="tokens",
    ),
    Trap(
        "what is read and what is said exchanged",
        with_(returned=maskers.exchanged),
        "first what the model reads, then what it has to say.",
        MASKED,
    ),
    Trap(
        "only what is read",
        with_(returned=maskers.read_alone),
        "two tensors are returned: without what is to be said there is no loss.",
        MASKED,
    ),
)
