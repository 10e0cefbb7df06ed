"""Masking words in steps: the right way, and the wrong ones."""

import torch

from tutor.checks.changes import changeable

IGNORED = -100


def below(chance, rate):
    return chance < rate


def but_special(chosen, special):
    return chosen & ~special


def mostly(kind):
    """What becomes the mask, and what becomes another token, of those that are chosen."""
    return kind < 0.8, (kind >= 0.8) & (kind < 0.9)


def where_chosen(changed, chosen):
    return changed & chosen


def replaced(tokens, masked, others, substitute, mask_id):
    return torch.where(others, substitute, tokens.masked_fill(masked, mask_id))


def of_chosen(tokens, chosen, masked, others, special):
    return tokens.masked_fill(~chosen, IGNORED)


def both(read, said):
    return read, said


def alike(*tensors):
    return len({t.shape for t in tensors}) == 1


def mask(
    tokens,
    special,
    chance,
    kind,
    substitute,
    mask_id,
    rate=0.15,
    drawn=below,
    spared=but_special,
    kinds=mostly,
    within=where_chosen,
    change=replaced,
    labels=of_chosen,
    returned=both,
    fitting=alike,
):
    """The right ones, but for the parts that are given."""
    if not fitting(tokens, special, chance, kind, substitute):
        raise ValueError("shapes differ")
    chosen = spared(drawn(chance, rate), special)
    masked, others = (within(changed, chosen) for changed in kinds(kind))
    read = change(tokens, masked, others, substitute, mask_id)
    return returned(read, labels(tokens, chosen, masked, others, special))


with_ = changeable(mask)


def not_above(chance, rate):
    return chance <= rate


def above(chance, rate):
    return chance >= rate


def always(share):
    def drawn(chance, rate):
        return chance < share

    return drawn


def all_alike(chosen, special):
    return chosen


def special_alone(chosen, special):
    return chosen & special


def always_the_mask(kind):
    return torch.ones_like(kind, dtype=torch.bool), torch.zeros_like(kind, dtype=torch.bool)


def none_stays(kind):
    return kind < 0.8, kind >= 0.8


def no_others(kind):
    return kind < 0.8, torch.zeros_like(kind, dtype=torch.bool)


def a_tenth_masked(kind):
    return (kind >= 0.1) & (kind < 0.2), kind < 0.1


def others_first(kind):
    return kind >= 0.2, kind < 0.1


def others_below_a_tenth(kind):
    return (kind >= 0.1) & (kind < 0.8), kind < 0.1


def stays_before(kind):
    """0.8 ≤ kind < 0.9 stays, and the rest becomes another."""
    return kind < 0.8, kind >= 0.9


def closed(kind):
    return kind <= 0.8, (kind > 0.8) & (kind <= 0.9)


def mask_closed(kind):
    return kind <= 0.8, (kind > 0.8) & (kind < 0.9)


def others_closed(kind):
    return kind < 0.8, (kind >= 0.8) & (kind <= 0.9)


def overlapping(kind):
    return kind < 0.8, kind < 0.9


def everywhere(changed, chosen):
    return changed


def all_tokens(tokens, chosen, masked, others, special):
    return tokens.clone()


def all_but_special(tokens, chosen, masked, others, special):
    return tokens.masked_fill(special, IGNORED)


def of_changed(tokens, chosen, masked, others, special):
    return tokens.masked_fill(~(masked | others), IGNORED)


def of_masked(tokens, chosen, masked, others, special):
    return tokens.masked_fill(~masked, IGNORED)


def of_others_too(tokens, chosen, masked, others, special):
    return tokens.masked_fill(chosen, IGNORED)


def ignored_as(constant):
    def labels(tokens, chosen, masked, others, special):
        return tokens.masked_fill(~chosen, constant)

    return labels


def above_zero(tokens, chosen, masked, others, special):
    return tokens.masked_fill(~chosen | (tokens <= 0), IGNORED)


def exchanged(read, said):
    return said, read


def read_alone(read, said):
    return read


def labels_after_writing(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    """What is to be said is taken from what is read."""
    read, said = mask(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, read.masked_fill(said == IGNORED, IGNORED)


def overwritten(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    """The text itself is what is read; what is to be said was copied before."""
    read, said = mask(tokens, special, chance, kind, substitute, mask_id, rate)
    return tokens.copy_(read), said


def overwritten_before(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said = mask(tokens, special, chance, kind, substitute, mask_id, rate)
    tokens.copy_(read)
    return tokens, tokens.masked_fill(said == IGNORED, IGNORED)


def zero_spared(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    """Token 0 is never chosen, as if it were padding."""
    return mask(tokens, special | (tokens == 0), chance, kind, substitute, mask_id, rate)


def mask_spared(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    return mask(tokens, special | (tokens == mask_id), chance, kind, substitute, mask_id, rate)


def labels_where_it_differs(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, _ = mask(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, tokens.masked_fill(read == tokens, IGNORED)


def substitutes_said(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said = mask(tokens, special, chance, kind, substitute, mask_id, rate)
    return read, torch.where((said != IGNORED) & mostly(kind)[1], substitute, said)


def masked_everywhere(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said = mask(tokens, special, chance, kind, substitute, mask_id, rate)
    return read.masked_fill(mostly(kind)[0], mask_id), said


def substituted_everywhere(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    read, said = mask(tokens, special, chance, kind, substitute, mask_id, rate)
    return torch.where(mostly(kind)[1], substitute, read), said


def kind_by_chance(tokens, special, chance, kind, substitute, mask_id, rate=0.15):
    """As if the chance of a chosen token, brought to 0 to 1, could be drawn once more."""
    other = chance / rate if rate else kind
    return mask(tokens, special, chance, other, substitute, mask_id, rate)


def anything(*tensors):
    return True


def all_but(one):
    """All shapes but one are compared."""

    def fitting(*tensors):
        return alike(*tensors[:one], *tensors[one + 1 :])

    return fitting
