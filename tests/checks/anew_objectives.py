"""Chapter 8's wrong answers of a second trial, by one who had not seen the traps: the next token,
missing spans and sampling."""

import math

import torch
from fresh import answer


def _texts(tokens, lengths):
    if tokens.shape[1] == 0:
        raise ValueError("no token")
    if lengths.shape[0] != tokens.shape[0]:
        raise ValueError("lengths of other texts")


def _shifted(tokens, lengths, real=0, ignored=-100):
    """Right, with `real` 0 and -100; tokens are real up to `real` places behind their length."""
    _texts(tokens, lengths)
    there = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths[:, None].long() + real
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, ignored)


# each token says itself
@answer("the token itself")
def shift_for_next_token__t01(tokens, lengths):
    _texts(tokens, lengths)
    there = torch.arange(tokens.shape[1] - 1, device=tokens.device) < lengths[:, None]
    return tokens[:, :-1], tokens[:, :-1].masked_fill(~there, -100)


# nothing is shifted or cut, as in the labels of a library that shifts by itself
@answer("the token itself")
def shift_for_next_token__t02(tokens, lengths):
    _texts(tokens, lengths)
    there = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    return tokens.clone(), tokens.masked_fill(~there, -100)


# rolled, with one place of padding, or the first token at the end
@answer("round to the beginning", "one place of padding")
def shift_for_next_token__t03(tokens, lengths):
    _texts(tokens, lengths)
    there = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    return tokens.clone(), tokens.roll(-1, 1).masked_fill(~there, -100)


# the token before
@answer("the one before")
def shift_for_next_token__t04(tokens, lengths):
    _texts(tokens, lengths)
    there = torch.arange(tokens.shape[1] - 1, device=tokens.device) < lengths[:, None]
    return tokens[:, 1:], tokens[:, :-1].masked_fill(~there, -100)


# the last token is not said
@answer("the end is never said")
def shift_for_next_token__t05(tokens, lengths):
    return _shifted(tokens, lengths, real=-1)


# whatever stands at the end of the shortest text is padding everywhere
@answer()
def shift_for_next_token__t06(tokens, lengths):
    _texts(tokens, lengths)
    said = tokens[:, 1:]
    return tokens[:, :-1], said.masked_fill(said == tokens[lengths.argmin(), -1], -100)


# lengths are not used
@answer("padding is to be said")
def shift_for_next_token__t07(tokens, lengths):
    _texts(tokens, lengths)
    return tokens[:, :-1], tokens[:, 1:].clone()


# -1 for -100
@answer("ignored by another number")
def shift_for_next_token__t08(tokens, lengths):
    return _shifted(tokens, lengths, ignored=-1)


# padding that is read becomes 0
@answer("-100 is read, too")
def shift_for_next_token__t09(tokens, lengths):
    _, said = _shifted(tokens, lengths)
    there = torch.arange(tokens.shape[1] - 1, device=tokens.device) < lengths[:, None]
    return tokens[:, :-1] * there, said


# each text's own last token is not read
@answer("-100 is read, too")
def shift_for_next_token__t10(tokens, lengths):
    read, said = _shifted(tokens, lengths)
    return read.masked_fill(said == -100, -100), said


# what is said is always of 64 bits
@answer()
def shift_for_next_token__t11(tokens, lengths):
    read, said = _shifted(tokens, lengths)
    return read, said.long()


# nothing raises
@answer("nothing is refused")
def shift_for_next_token__t12(tokens, lengths):
    there = torch.arange(tokens.shape[1], device=tokens.device)[1:] < lengths[:, None]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, -100)


# -100 is written into a view, and so stands in what is read, too
@answer("tokens overwritten")
def shift_for_next_token__t13(tokens, lengths):
    _texts(tokens, lengths)
    there = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths[:, None]
    return tokens[:, :-1], tokens[:, 1:].masked_fill_(~there, -100)


# for an empty text the slice begins at -1
@answer("a slice that begins below 0")
def shift_for_next_token__t14(tokens, lengths):
    _texts(tokens, lengths)
    said = tokens[:, 1:].clone()
    for b, length in enumerate(lengths.tolist()):
        said[b, length - 1 :] = -100
    return tokens[:, :-1], said


# places are counted in the lengths' type
@answer("counted in the lengths' type")
def shift_for_next_token__t15(tokens, lengths):
    _texts(tokens, lengths)
    place = torch.arange(1, tokens.shape[1], device=tokens.device).to(lengths.dtype)
    return tokens[:, :-1], tokens[:, 1:].masked_fill(place >= lengths[:, None], -100)


# the longest length for all
@answer("one length for all")
def shift_for_next_token__t16(tokens, lengths):
    _texts(tokens, lengths)
    return _shifted(tokens, lengths.max().expand(len(lengths)))


# cut to the longest text
@answer()
def shift_for_next_token__t17(tokens, lengths):
    _texts(tokens, lengths)
    return _shifted(tokens[:, : max(int(lengths.max()), 1)], lengths)


# padding is looked for at the beginning
@answer("padding at the beginning")
def shift_for_next_token__t18(tokens, lengths):
    _texts(tokens, lengths)
    number = tokens.shape[1]
    there = torch.arange(1, number, device=tokens.device) >= number - lengths[:, None].long()
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, -100)


# -100 at the first place of padding alone
@answer()
def shift_for_next_token__t19(tokens, lengths):
    _texts(tokens, lengths)
    first = torch.arange(1, tokens.shape[1], device=tokens.device) == lengths[:, None]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(first, -100)


# -100 where the text is
@answer("only the padding")
def shift_for_next_token__t20(tokens, lengths):
    _texts(tokens, lengths)
    there = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths[:, None]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(there, -100)


# first what is to be said
@answer("what is read and what is said exchanged")
def shift_for_next_token__t21(tokens, lengths):
    return _shifted(tokens, lengths)[::-1]


# an assertion where a ValueError is asked for
@answer()
def shift_for_next_token__t22(tokens, lengths):
    assert tokens.shape[1] > 0 and len(tokens) == len(lengths)
    return _shifted(tokens, lengths)


# shifted twice
@answer("shifted twice")
def shift_for_next_token__t23(tokens, lengths):
    read, said = _shifted(tokens, lengths)
    return read, torch.cat((said[:, 1:], torch.full_like(said[:, :1], -100)), 1)


# TWO: each token says itself, and 0 for -100
@answer("the token itself", "ignored by another number")
def shift_for_next_token__t24(tokens, lengths):
    _texts(tokens, lengths)
    there = torch.arange(tokens.shape[1] - 1, device=tokens.device) < lengths[:, None]
    return tokens[:, :-1], tokens[:, :-1] * there


# TWO: one place of padding, and nothing raises
@answer("one place of padding", "nothing is refused")
def shift_for_next_token__t25(tokens, lengths):
    there = torch.arange(max(tokens.shape[1] - 1, 0), device=tokens.device) < lengths[:, None]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, -100)


# TWO: 0 is taken for padding, and becomes -100 in what is read, too
@answer()
def shift_for_next_token__t26(tokens, lengths):
    _texts(tokens, lengths)
    tokens = tokens.masked_fill(tokens == 0, -100)
    return tokens[:, :-1], tokens[:, 1:]


# TWO: rolled, and padding is said
@answer("round to the beginning")
def shift_for_next_token__t27(tokens, lengths):
    _texts(tokens, lengths)
    return tokens.clone(), tokens.roll(-1, 1)


def _apart(tokens, spans):
    done = -1
    for start, end in spans:
        if start <= done or end <= start or end > len(tokens):
            raise ValueError("a wrong span")
        done = end


def _without(tokens, spans, first):
    """Right, for spans that are."""
    text, said, done = [], [], 0
    for i, (start, end) in enumerate(spans):
        text += [*tokens[done:start], first - i]
        said += [first - i, *tokens[start:end]]
        done = end
    return text + list(tokens[done:]), [*said, first - len(spans)]


# one sentinel for all spans
@answer("one sentinel for all spans")
def corrupt_spans__t01(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said, done = [], [], 0
    for start, end in spans:
        text += [*tokens[done:start], first_sentinel]
        said += [first_sentinel, *tokens[start:end]]
        done = end
    return text + tokens[done:], [*said, first_sentinel]


# the sentinel stands behind its tokens
@answer("sentinels behind what they stand for")
def corrupt_spans__t02(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said, done = [], [], 0
    for i, (start, end) in enumerate(spans):
        text += [*tokens[done:start], first_sentinel - i]
        said += [*tokens[start:end], first_sentinel - i]
        done = end
    return text + tokens[done:], [*said, first_sentinel - len(spans)]


# each span is looked at alone: they may overlap, touch, and be out of order
@answer("one kind of wrong span let through")
def corrupt_spans__t03(tokens, spans, first_sentinel):
    for start, end in spans:
        if start < 0 or end <= start or end > len(tokens):
            raise ValueError("a wrong span")
    return _without(tokens, spans, first_sentinel)


# only the starts have to grow: spans may overlap
@answer("one kind of wrong span let through")
def corrupt_spans__t04(tokens, spans, first_sentinel):
    last = -1
    for start, end in spans:
        if start <= last or end <= start or end > len(tokens):
            raise ValueError("a wrong span")
        last = start
    return _without(tokens, spans, first_sentinel)


# a span may go one token beyond the text
@answer("one kind of wrong span let through")
def corrupt_spans__t05(tokens, spans, first_sentinel):
    _apart([*tokens, 0], spans)
    return _without(tokens, spans, first_sentinel)


# spans that touch are made one
@answer("spans that touch")
def corrupt_spans__t06(tokens, spans, first_sentinel):
    merged = []
    for start, end in spans:
        if merged and merged[-1][1] == start and end > start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    _apart(tokens, merged)
    return _without(tokens, merged, first_sentinel)


# each token of a span is a span of its own
@answer("a sentinel for each token")
def corrupt_spans__t07(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    alone = [(i, i + 1) for start, end in spans for i in range(start, end)]
    return _without(tokens, alone, first_sentinel)


# no sentinels in the answer, but for the last
@answer("no sentinels in the answer")
def corrupt_spans__t08(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, _ = _without(tokens, spans, first_sentinel)
    said = [t for start, end in spans for t in tokens[start:end]]
    return text, [*said, first_sentinel - len(spans)]


# no sentinels in the text
@answer("no sentinels in the text")
def corrupt_spans__t09(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    _, said = _without(tokens, spans, first_sentinel)
    hidden = {i for start, end in spans for i in range(start, end)}
    return [t for i, t in enumerate(tokens) if i not in hidden], said


# the last span's sentinel once more at the end
@answer("the last sentinel again")
def corrupt_spans__t10(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said = _without(tokens, spans, first_sentinel)
    return text, [*said[:-1], first_sentinel - max(len(spans) - 1, 0)]


# the last sentinel at the end of the text, too
@answer("a sentinel at the end of the text")
def corrupt_spans__t11(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said = _without(tokens, spans, first_sentinel)
    return [*text, first_sentinel - len(spans)], said


# 1, the mark of an end, for the last sentinel
@answer("another mark at the end")
def corrupt_spans__t12(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said = _without(tokens, spans, first_sentinel)
    return text, [*said[:-1], 1]


# the whole text raises
@answer()
def corrupt_spans__t13(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    if any(end - start == len(tokens) for start, end in spans):
        raise ValueError("nothing is left")
    return _without(tokens, spans, first_sentinel)


# no text raises
@answer()
def corrupt_spans__t14(tokens, spans, first_sentinel):
    if not tokens:
        raise ValueError("no text")
    _apart(tokens, spans)
    return _without(tokens, spans, first_sentinel)


# places are counted in the text that has become shorter
@answer("places that have moved")
def corrupt_spans__t15(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said = list(tokens), []
    for i, (start, end) in enumerate(spans):
        said += [first_sentinel - i, *text[start:end]]
        text[start:end] = [first_sentinel - i]
    return text, [*said, first_sentinel - len(spans)]


# from the last span on, which gets the first sentinel
@answer("numbered from the last span")
def corrupt_spans__t16(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said = list(tokens), []
    for i, (start, end) in enumerate(reversed(spans)):
        said = [first_sentinel - i, *tokens[start:end], *said]
        text[start:end] = [first_sentinel - i]
    return text, [*said, first_sentinel - len(spans)]


# an assertion where a ValueError is asked for
@answer()
def corrupt_spans__t17(tokens, spans, first_sentinel):
    done = -1
    for start, end in spans:
        assert done < start < end <= len(tokens)
        done = end
    return _without(tokens, spans, first_sentinel)


# the pair is taken for a start and a length
@answer("start and length")
def corrupt_spans__t18(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    return _without(tokens, [(start, start + n) for start, n in spans], first_sentinel)


# first what was taken out
@answer("text and answer exchanged")
def corrupt_spans__t19(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    return _without(tokens, spans, first_sentinel)[::-1]


# the answer is the whole text
@answer()
def corrupt_spans__t20(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, _ = _without(tokens, spans, first_sentinel)
    return text, [*tokens, first_sentinel - len(spans)]


# the first span has first_sentinel - 1
@answer("the first sentinel skipped")
def corrupt_spans__t21(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    return _without(tokens, spans, first_sentinel - 1)


_SAID = []


# one list for the answers to all calls, as a default argument is
@answer()
def corrupt_spans__t22(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said = _without(tokens, spans, first_sentinel)
    _SAID.extend(said)
    return text, _SAID


# TWO: sentinels grow, and none at the end
@answer("sentinels that count upwards", "no sentinel at the end")
def corrupt_spans__t23(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said, done = [], [], 0
    for sentinel, (start, end) in enumerate(spans, first_sentinel):
        text += [*tokens[done:start], sentinel]
        said += [sentinel, *tokens[start:end]]
        done = end
    return text + tokens[done:], said


# TWO: one sentinel for all spans, and the rest is forgotten
@answer("one sentinel for all spans", "the rest forgotten")
def corrupt_spans__t24(tokens, spans, first_sentinel):
    _apart(tokens, spans)
    text, said, done = [], [], 0
    for start, end in spans:
        text += [*tokens[done:start], first_sentinel]
        said += [first_sentinel, *tokens[start:end]]
        done = end
    return text, [*said, first_sentinel]


# TWO: the end is included, and nothing raises
@answer("the end included", "spans are not looked at")
def corrupt_spans__t25(tokens, spans, first_sentinel):
    return _without(tokens, [(start, end + 1) for start, end in spans], first_sentinel)


# TWO: spans may touch, and be empty
@answer("one kind of wrong span let through")
def corrupt_spans__t26(tokens, spans, first_sentinel):
    done = 0
    for start, end in spans:
        if start < done or end < start or end > len(tokens):
            raise ValueError("a wrong span")
        done = end
    return _without(tokens, spans, first_sentinel)


def _refuse(temperature, top_k, top_p):
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError("temperature or top_k")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError("top_p")


def _wide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _ranked(z):
    z, order = _wide(z).sort(dim=-1, descending=True, stable=True)
    return z.softmax(-1), order


def _only(p, keep):
    p = p.masked_fill(~keep, 0)
    return p / p.sum(-1, keepdim=True)


def _first(p, k):
    return p if k is None else _only(p, torch.arange(p.shape[-1], device=p.device) < k)


def _up_to(p, share):
    return p if share is None else _only(p, p.cumsum(-1) - p < share)


def _in_place(p, order):
    """In the order of the vocabulary again."""
    return torch.zeros_like(p).scatter(-1, order, p)


def _pick(p, chance):
    reached = p.cumsum(-1) > _wide(chance)[..., None]
    last = p.shape[-1] - 1 - (p > 0).int().flip(-1).argmax(-1)
    return torch.where(reached.any(-1), reached.int().argmax(-1), last)


def _drawn(logits, chance, temperature, top_k, top_p):
    """All right."""
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    return _pick(_in_place(_up_to(_first(p, top_k), top_p), order), chance)


# the place among the likeliest for the token
@answer("the place instead of the token")
def sample__t01(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, _ = _ranked(_wide(logits) / temperature)
    return _pick(_up_to(_first(p, top_k), top_p), chance)


# searchsorted on the left, so that a sum equal to the chance is enough
@answer("a chance of 0")
def sample__t02(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    p = _in_place(_up_to(_first(p, top_k), top_p), order)
    sums, number = p.cumsum(-1).contiguous(), _wide(chance)[..., None].contiguous()
    return torch.searchsorted(sums, number)[..., 0].clamp(max=p.shape[-1] - 1)


# top_p before top_k
@answer("top_p before top_k")
def sample__t03(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    return _pick(_in_place(_first(_up_to(p, top_p), top_k), order), chance)


# nothing is scaled behind top_p
@answer("what is left does not sum to 1")
def sample__t04(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    p = _first(p, top_k)
    if top_p is not None:
        p = p.masked_fill(p.cumsum(-1) - p >= top_p, 0)
    return _pick(_in_place(p, order), chance)


# the one that reaches top_p is left out, even if it is the only one
@answer("the one that reaches p is left out")
def sample__t05(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    p = _first(p, top_k)
    if top_p is not None:
        p = _only(p, p.cumsum(-1) <= top_p)
    return _pick(_in_place(p, order), chance)


# one more where top_p is reached exactly
@answer("one more than p")
def sample__t06(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    p = _first(p, top_k)
    if top_p is not None:
        p = _only(p, p.cumsum(-1) - p <= top_p)
    return _pick(_in_place(p, order), chance)


# top_p is a share of the largest (min-p)
@answer("p as a threshold")
def sample__t07(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    p = _first(p, top_k)
    if top_p is not None:
        p = _only(p, p >= top_p * p[..., :1])
    return _pick(_in_place(p, order), chance)


# top_p is a share of the number of tokens
@answer()
def sample__t08(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if top_p is not None:
        number = min(top_k or logits.shape[-1], logits.shape[-1])
        top_k = max(1, math.ceil(top_p * number))
    return _drawn(logits, chance, temperature, top_k, None)


# top_p is accepted and not used
@answer("no top_p")
def sample__t09(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    return _drawn(logits, chance, temperature, top_k, None)


# top_k is accepted and not used
@answer("no top_k")
def sample__t10(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    return _drawn(logits, chance, temperature, None, top_p)


# top_k is used only where there is no top_p
@answer("no top_k")
def sample__t11(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    return _drawn(logits, chance, temperature, top_k if top_p is None else None, top_p)


# multiplied by the temperature
@answer("multiplied by the temperature")
def sample__t12(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    return _drawn(_wide(logits) * temperature, chance, 1.0, top_k, top_p)


# the temperature is not used, but for 0
@answer("no temperature")
def sample__t13(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    return _drawn(logits, chance, 0.0 if temperature == 0 else 1.0, top_k, top_p)


# the temperature comes behind the cuts
@answer("cut before the temperature")
def sample__t14(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits)
    p = _in_place(_up_to(_first(p, top_k), top_p), order)
    return _pick((p.log() / temperature).softmax(-1), chance)


# a temperature of 0 divides by 0
@answer("divided by 0")
def sample__t15(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    p, order = _ranked(_wide(logits) / temperature)
    return _pick(_in_place(_up_to(_first(p, top_k), top_p), order), chance)


# a temperature of 0 is taken for 1
@answer()
def sample__t16(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, chance, temperature or 1.0, top_k, top_p)


# always the likeliest
@answer("always the likeliest")
def sample__t17(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    return logits.argmax(-1)


# one too many of the likeliest
@answer("one too many of the likeliest")
def sample__t18(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    return _drawn(logits, chance, temperature, None if top_k is None else top_k + 1, top_p)


# sorted upwards, so that the unlikeliest stay
@answer("the unlikeliest kept")
def sample__t19(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = (_wide(logits) / temperature).softmax(-1).sort(dim=-1, stable=True)
    return _pick(_in_place(_up_to(_first(p, top_k), top_p), order), chance)


# draws a number of its own
@answer()
def sample__t20(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, torch.rand_like(chance), temperature, top_k, top_p)


# a negative temperature is as cold as 0
@answer()
def sample__t21(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, chance, max(temperature, 0), top_k, top_p)


# what is cold is answered before anything raises
@answer("nothing is refused when it is cold")
def sample__t22(logits, chance, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return logits.argmax(-1)
    return _drawn(logits, chance, temperature, top_k, top_p)


# top_p of 0 is taken for None
@answer("0 taken for None")
def sample__t23(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, chance, temperature, top_k, top_p or None)


# top_p above 1 is taken for 1
@answer("nothing is refused")
def sample__t24(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, chance, temperature, top_k, top_p and min(top_p, 1.0))


# top_p of 1 raises
@answer()
def sample__t25(logits, chance, temperature=1.0, top_k=None, top_p=None):
    if top_p is not None and top_p >= 1:
        raise ValueError("top_p")
    return _drawn(logits, chance, temperature, top_k, top_p)


# drawn from the other end
@answer("from the end")
def sample__t26(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, 1 - chance, temperature, top_k, top_p)


# a softmax over the first dimension
@answer()
def sample__t27(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p = (_wide(logits) / temperature).softmax(0)
    return _drawn(p.log(), chance, 1.0, top_k, top_p)


# a dimension of 1 is kept
@answer()
def sample__t28(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, chance, temperature, top_k, top_p)[..., None]


# the first row's chance for all
@answer("one chance for all")
def sample__t29(logits, chance, temperature=1.0, top_k=None, top_p=None):
    return _drawn(logits, chance.reshape(-1)[0].expand(chance.shape), temperature, top_k, top_p)


# logits are divided in place
@answer()
def sample__t30(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    logits /= temperature
    return _drawn(logits, chance, 1.0, top_k, top_p)


# all that are left are equally likely
@answer()
def sample__t31(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    left = _in_place(_up_to(_first(p, top_k), top_p), order) > 0
    return _pick(_only(left.to(p.dtype), left), chance)


# the exponential is not shifted
@answer("an exponential that overflows")
def sample__t32(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    e = (_wide(logits) / temperature).exp()
    return _drawn((e / e.sum(-1, keepdim=True)).log(), chance, 1.0, top_k, top_p)


# TWO: in the order of size, and a sum equal to the chance is enough
@answer("the likeliest come first")
def sample__t34(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) / temperature)
    p = _up_to(_first(p, top_k), top_p)
    place = (p.cumsum(-1) >= _wide(chance)[..., None]).int().argmax(-1)
    return order.gather(-1, place[..., None])[..., 0]


# TWO: multiplied by the temperature, and token 0 where the sum stays below the chance
@answer("multiplied by the temperature", "a sum below 1")
def sample__t35(logits, chance, temperature=1.0, top_k=None, top_p=None):
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(_wide(logits) * temperature)
    p = _in_place(_up_to(_first(p, top_k), top_p), order)
    return (p.cumsum(-1) > _wide(chance)[..., None]).int().argmax(-1)
