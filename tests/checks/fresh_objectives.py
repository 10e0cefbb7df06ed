"""Chapter 8's wrong answers, written by one who had not seen the traps: shift, spans, sampling."""

from collections.abc import Sequence

import torch
from fresh import answer
from torch import Tensor


def _check_lengths(tokens: Tensor, lengths: Tensor) -> None:
    if tokens.shape[1] == 0:
        raise ValueError("there is no token at all")
    if lengths.shape != tokens.shape[:1]:
        raise ValueError("one length for each text, please")


# compares the place of what is read, so the first padding has to be said as well
@answer("one place of padding")
def shift_for_next_token__w01(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    here = torch.arange(tokens.shape[1] - 1, device=tokens.device) < lengths.long()[:, None]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~here, -100)


# the length is shortened though places count from 1: the last real token is not asked
@answer("the end is never said")
def shift_for_next_token__w02(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    T = tokens.size(1)
    valid = torch.arange(1, T, device=tokens.device)[None] < lengths.long()[:, None] - 1
    nxt = tokens[:, 1:]
    return tokens[:, :-1], torch.where(valid, nxt, torch.full_like(nxt, -100))


# nothing is cut off: reads all T tokens, and says -100 at the last one
@answer("round to the beginning")
def shift_for_next_token__w03(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    labels = torch.full_like(tokens, -100)
    labels[:, :-1] = tokens[:, 1:]
    place = torch.arange(1, tokens.size(1) + 1, device=tokens.device)
    labels = labels.masked_fill(place >= lengths.long()[:, None], -100)
    return tokens, labels


# token 0 is taken for padding, and lengths is not used
@answer("0 taken for padding")
def shift_for_next_token__w04(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    if tokens.shape[1] == 0:
        raise ValueError("no token at all")
    if lengths.shape != tokens.shape[:1]:
        raise ValueError("wrong number of lengths")
    x, y = tokens[:, :-1], tokens[:, 1:]
    return x, y.masked_fill(y == 0, -100)


# padding is answered with 0 and not with -100
@answer("ignored by another number")
def shift_for_next_token__w05(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    real = torch.arange(1, tokens.shape[1], device=tokens.device) < lengths.long()[:, None]
    return tokens[:, :-1], tokens[:, 1:] * real


# the slice is a view, and writing -100 into it changes the caller's tokens
@answer("tokens overwritten")
def shift_for_next_token__w06(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    read = tokens[:, :-1].clone()
    say = tokens[:, 1:]
    padding = torch.arange(1, tokens.shape[1], device=tokens.device) >= lengths.long()[:, None]
    say[padding] = -100
    return read, say


# a text of one token is refused, too
@answer()
def shift_for_next_token__w07(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    if tokens.shape[1] < 2:
        raise ValueError("need two tokens for a shift")
    if lengths.shape != tokens.shape[:1]:
        raise ValueError("one length for each text")
    keep = lengths.long().unsqueeze(1) > torch.arange(1, tokens.shape[1], device=tokens.device)
    target = tokens[:, 1:].clone()
    target[~keep] = -100
    return tokens[:, :-1], target


# lengths - 1 in the lengths' own type, where 0 - 1 is 255 for uint8
@answer("counted in the lengths' type")
def shift_for_next_token__w08(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    steps = tokens.shape[1] - 1
    answers = (lengths - 1).unsqueeze(1)
    asked = torch.arange(steps, device=tokens.device).unsqueeze(0) < answers
    return tokens[:, :steps], tokens[:, 1:].masked_fill(~asked, -100)


# no token at all is not refused, two empty tensors come back
@answer("nothing is refused")
def shift_for_next_token__w09(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    if lengths.shape != tokens.shape[:1]:
        raise ValueError("lengths must have one entry for each text")
    there = (torch.arange(tokens.shape[1], device=tokens.device) < lengths.long()[:, None])[:, 1:]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, -100)


# the number of lengths is not checked, and a single one is broadcast to all texts
@answer("nothing is refused")
def shift_for_next_token__w10(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    if tokens.size(1) == 0:
        raise ValueError("no token")
    there = torch.arange(1, tokens.size(1), device=tokens.device) < lengths.long()[:, None]
    follow = tokens[:, 1:]
    return tokens[:, :-1], torch.where(there, follow, torch.full_like(follow, -100))


# -100 is put over the padding of what is read as well
@answer("-100 is read, too")
def shift_for_next_token__w11(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    padding = torch.arange(tokens.size(1), device=tokens.device) >= lengths.long()[:, None]
    clean = tokens.masked_fill(padding, -100)
    return clean[:, :-1], clean[:, 1:]


# places in the lengths' dtype, which overflows for uint8 or int8 and a long text
@answer("counted in the lengths' type")
def shift_for_next_token__w12(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    place = torch.arange(tokens.shape[1], device=tokens.device).to(lengths.dtype)
    there = (place[None, :] < lengths[:, None])[:, 1:]
    return tokens[:, :-1], tokens[:, 1:].masked_fill(~there, -100)


# TWO: one token is refused, and what has to be said is always int64
@answer()
def shift_for_next_token__w13(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    B, T = tokens.shape
    if T <= 1 or lengths.shape != (B,):
        raise ValueError("bad shapes")
    labels = torch.full((B, T - 1), -100, dtype=torch.long, device=tokens.device)
    there = torch.arange(1, T, device=tokens.device) < lengths.long()[:, None]
    labels[there] = tokens[:, 1:][there].long()
    return tokens[:, :-1], labels


# TWO: writes into the caller's tokens, and one place too late
@answer("one place of padding", "tokens overwritten")
def shift_for_next_token__w14(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    _check_lengths(tokens, lengths)
    inputs = tokens[:, :-1].clone()
    labels = tokens[:, 1:]
    outside = torch.arange(labels.shape[1], device=tokens.device) >= lengths.long()[:, None]
    labels.masked_fill_(outside, -100)
    return inputs, labels


def _check_spans(spans: Sequence[tuple[int, int]], size: int) -> None:
    before = -1
    for start, end in spans:
        if start <= before or start < 0 or end <= start or end > size:
            raise ValueError(f"bad span: {(start, end)}")
        before = end


# two spans may touch each other
@answer("spans that touch")
def corrupt_spans__w01(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    text, answer, done = [], [], 0
    sentinel = first_sentinel
    for start, end in spans:
        if start < done or end <= start or end > len(tokens):
            raise ValueError("bad span")
        text += [*tokens[done:start], sentinel]
        answer += [sentinel, *tokens[start:end]]
        sentinel -= 1
        done = end
    text += tokens[done:]
    return text, [*answer, sentinel]


# the one sentinel more at the end of the answer is missing
@answer("no sentinel at the end")
def corrupt_spans__w02(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    _check_spans(spans, len(tokens))
    source, target = [], []
    done = 0
    for i, (start, end) in enumerate(spans):
        source.extend(tokens[done:start])
        source.append(first_sentinel - i)
        target.append(first_sentinel - i)
        target.extend(tokens[start:end])
        done = end
    source.extend(tokens[done:])
    return source, target


# sentinels count up
@answer("sentinels that count upwards")
def corrupt_spans__w03(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    _check_spans(spans, len(tokens))
    text, answer, done, sentinel = [], [], 0, first_sentinel
    for start, end in spans:
        text += [*list(tokens[done:start]), sentinel]
        answer += [sentinel, *list(tokens[start:end])]
        sentinel += 1
        done = end
    return text + list(tokens[done:]), [*answer, sentinel]


# `done` begins at 0 for the errors as well, so a span at the beginning is refused
@answer()
def corrupt_spans__w04(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    text, answer = [], []
    done = 0
    sentinel = first_sentinel
    for start, end in spans:
        if start <= done or end <= start or end > len(tokens):
            raise ValueError("spans must be in order and apart")
        text += tokens[done:start]
        text += [sentinel]
        answer += [sentinel]
        answer += tokens[start:end]
        sentinel, done = sentinel - 1, end
    text += tokens[done:]
    answer += [sentinel]
    return text, answer


# what stands behind the last span is not copied
@answer("the rest forgotten")
def corrupt_spans__w05(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    _check_spans(spans, len(tokens))
    if not spans:
        return list(tokens), [first_sentinel]
    text, answer, done = [], [], 0
    for number, (start, end) in enumerate(spans):
        mark = first_sentinel - number
        text.extend([*tokens[done:start], mark])
        answer.extend([mark, *tokens[start:end]])
        done = end
    answer.append(first_sentinel - len(spans))
    return text, answer


# a span that goes beyond the end of the text is let through (the slice is silently shorter)
@answer("one kind of wrong span let through")
def corrupt_spans__w06(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    text, answer = [], []
    done = -1
    sentinel = first_sentinel
    for start, end in spans:
        if start <= done:
            raise ValueError("not in order")
        if start >= end:
            raise ValueError("empty")
        text += tokens[max(0, done) : start]
        text.append(sentinel)
        answer.append(sentinel)
        answer += tokens[start:end]
        sentinel -= 1
        done = end
    text += tokens[max(0, done) :]
    answer.append(sentinel)
    return text, answer


# a sentinel for each token that was taken out, not one for each span
@answer("a sentinel for each token")
def corrupt_spans__w07(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    _check_spans(spans, len(tokens))
    hidden = {place for start, end in spans for place in range(start, end)}
    text, answer, sentinel = [], [], first_sentinel
    for place, token in enumerate(tokens):
        if place in hidden:
            text.append(sentinel)
            answer += [sentinel, token]
            sentinel -= 1
        else:
            text.append(token)
    return text, [*answer, sentinel]


# with no span the answer is empty
@answer("nothing to be said without a span")
def corrupt_spans__w08(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    if len(spans) == 0:
        return list(tokens), []
    _check_spans(spans, len(tokens))
    text, answer, done, sentinel = [], [], 0, first_sentinel
    for start, end in spans:
        text += [*tokens[done:start], sentinel]
        answer += [sentinel, *tokens[start:end]]
        done, sentinel = end, sentinel - 1
    return text + list(tokens[done:]), [*answer, sentinel]


# cuts the spans out of the caller's own list
@answer("the caller's list cut")
def corrupt_spans__w09(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    _check_spans(spans, len(tokens))
    answer: list[int] = []
    for number, (start, end) in enumerate(spans):
        answer += [first_sentinel - number, *list(tokens[start:end])]
    answer.append(first_sentinel - len(spans))
    for number, (start, end) in reversed(list(enumerate(spans))):
        tokens[start:end] = [first_sentinel - number]
    return tokens, answer


# a start below 0 is not refused
@answer("one kind of wrong span let through")
def corrupt_spans__w10(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    last_end = None
    for start, end in spans:
        if end <= start or end > len(tokens):
            raise ValueError("span empty or too long")
        if last_end is not None and start <= last_end:
            raise ValueError("span overlaps or touches the one before")
        last_end = end
    text, answer, done = [], [], 0
    for i, (start, end) in enumerate(spans):
        text += [*list(tokens[done:start]), first_sentinel - i]
        answer += [first_sentinel - i, *list(tokens[start:end])]
        done = end
    return text + list(tokens[done:]), [*answer, first_sentinel - len(spans)]


# spans out of order are sorted and not refused
@answer("one kind of wrong span let through")
def corrupt_spans__w11(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    ordered = sorted(spans)
    _check_spans(ordered, len(tokens))
    text, answer, done, sentinel = [], [], 0, first_sentinel
    for start, end in ordered:
        text.extend(tokens[done:start])
        text.append(sentinel)
        answer.append(sentinel)
        answer.extend(tokens[start:end])
        done = end
        sentinel -= 1
    text.extend(tokens[done:])
    answer.append(sentinel)
    return text, answer


# an empty span is let through (only end < start is an error)
@answer("one kind of wrong span let through")
def corrupt_spans__w12(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    done, sentinel = -1, first_sentinel
    text: list[int] = []
    answer: list[int] = []
    for start, end in spans:
        if not (done < start <= end <= len(tokens)):
            raise ValueError(f"span {start}:{end} is wrong")
        text += [*tokens[max(done, 0) : start], sentinel]
        answer += [sentinel, *tokens[start:end]]
        done, sentinel = end, sentinel - 1
    text += tokens[max(done, 0) :]
    answer.append(sentinel)
    return text, answer


# TWO: the token at `end` counts as part of the span, and the last sentinel is missing
@answer("no sentinel at the end", "the end included")
def corrupt_spans__w13(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    _check_spans(spans, len(tokens))
    text, answer, done = [], [], 0
    for number, (start, end) in enumerate(spans):
        sentinel = first_sentinel - number
        text += [*list(tokens[done:start]), sentinel]
        answer += [sentinel, *list(tokens[start : end + 1])]
        done = end + 1
    text += tokens[done:]
    return text, answer


# TWO: sentinels count up, and spans may touch each other
@answer("sentinels that count upwards", "spans that touch")
def corrupt_spans__w14(
    tokens: Sequence[int], spans: Sequence[tuple[int, int]], first_sentinel: int
) -> tuple[list[int], list[int]]:
    text, answer = [], []
    position = 0
    for i, (start, end) in enumerate(spans):
        if start < position or start >= end or end > len(tokens):
            raise ValueError("invalid span")
        text.extend(tokens[position:start])
        text.append(first_sentinel + i)
        answer.append(first_sentinel + i)
        answer.extend(tokens[start:end])
        position = end
    text.extend(tokens[position:])
    answer.append(first_sentinel + len(spans))
    return text, answer


def _refuse(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if temperature < 0:
        raise ValueError("temperature must not be negative")
    if top_k is not None and top_k < 1:
        raise ValueError("top_k must be 1 or more")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError("top_p must be above 0 and not above 1")


def _widen(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _tempered(wide: Tensor, temperature: float) -> Tensor:
    # the largest becomes 0 before the division, so that nothing overflows upwards
    limits = torch.finfo(wide.dtype)
    temperature = min(max(temperature, limits.tiny), limits.max)
    return (wide - wide.amax(dim=-1, keepdim=True)) / temperature


def _ranked(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    ranked, order = _widen(logits).sort(dim=-1, descending=True, stable=True)
    return _tempered(ranked, temperature).softmax(-1), order


def _cut(p: Tensor, keep: Tensor) -> Tensor:
    p = p.masked_fill(~keep, 0.0)
    return p / p.sum(-1, keepdim=True)


def _places(p: Tensor) -> Tensor:
    return torch.arange(p.shape[-1], device=p.device)


def _pick(p: Tensor, chance: Tensor) -> Tensor:
    above = p.cumsum(-1) > chance.to(p.dtype).unsqueeze(-1)
    last = torch.where(p > 0, _places(p), 0).amax(-1)
    return torch.where(above.any(-1), above.int().argmax(-1), last)


# the probabilities are summed from the likeliest on, not in the vocabulary's order
@answer("the likeliest come first")
def sample__w01(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    drawn = _pick(p, chance)
    return order.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)


# top_k keeps all that equal the k-th largest logit, so more than k are left
@answer("all that are as likely as the k-th")
def sample__w02(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    wide = _widen(logits)
    if top_k is not None:
        kth = torch.topk(wide, min(top_k, wide.size(-1)), dim=-1).values[..., -1, None]
        wide = wide.masked_fill(wide < kth, float("-inf"))
    p, order = _ranked(wide, temperature)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    return _pick(torch.zeros_like(p).scatter(-1, order, p), chance)


# the token that reaches top_p is cut off, too (except the very first)
@answer("the one that reaches p is left out")
def sample__w03(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    place = _places(p)
    if top_k is not None:
        p = _cut(p, place < top_k)
    if top_p is not None:
        keep = (p.cumsum(-1) <= top_p) | (place == 0)
        p = _cut(p, keep)
    p = torch.zeros_like(p).scatter(-1, order, p)
    return _pick(p, chance)


# no scaling between the cuts, top_p is a share of the whole vocabulary
@answer("top_p before top_k")
def sample__w04(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1)
    p, order = _ranked(logits, temperature)
    keep = torch.ones_like(p, dtype=torch.bool)
    if top_k is not None:
        keep = keep & (_places(p) < top_k)
    if top_p is not None:
        keep = keep & (p.cumsum(-1) - p < top_p)
    p = _cut(p, keep)
    return _pick(torch.zeros_like(p).scatter(-1, order, p), chance)


# a sum equal to the chance is enough (>=), so a chance of 0 draws token 0 even if it cannot be
@answer("a chance of 0")
def sample__w05(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    p = torch.zeros_like(p).scatter(-1, order, p)
    above = p.cumsum(-1) >= chance.to(p.dtype)[..., None]
    last = torch.where(p > 0, _places(p), 0).amax(-1)
    return torch.where(above.any(-1), above.int().argmax(-1), last)


# where rounding keeps all sums below the chance, argmax finds nothing and gives token 0
@answer("a sum below 1")
def sample__w06(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    p = torch.zeros_like(p).scatter(-1, order, p)
    return (p.cumsum(-1) > chance.to(p.dtype).unsqueeze(-1)).int().argmax(-1)


# sorts upwards and turns the order around, so of equals the larger number counts as the likelier
@answer("the last of equally likely ones")
def sample__w07(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    wide = _widen(logits)
    order = wide.sort(dim=-1, stable=True).indices.flip(-1)
    p = _tempered(wide, temperature).softmax(-1).gather(-1, order)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    return _pick(torch.zeros_like(p).scatter(-1, order, p), chance)


# torch.topk is asked for more tokens than there are, and raises
@answer("more than there are")
def sample__w08(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    wide = _widen(logits)
    if top_k is not None:
        bar = torch.topk(wide, top_k, dim=-1).values[..., -1:]
        over, equal = wide > bar, wide == bar
        room = top_k - over.sum(-1, keepdim=True)
        keep = over | (equal & (equal.cumsum(-1) <= room))
        wide = wide.masked_fill(~keep, float("-inf"))
    p, order = _ranked(wide, temperature)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    return _pick(torch.zeros_like(p).scatter(-1, order, p), chance)


# a temperature of 0 becomes a very small one, which still draws among equals
@answer("a little warmth for 0")
def sample__w09(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    p, order = _ranked(logits, temperature if temperature > 0 else 1e-6)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    return _pick(torch.zeros_like(p).scatter(-1, order, p), chance)


# `if top_k:` and `if top_p:` take 0 for None, so neither 0 raises
@answer("0 taken for None")
def sample__w10(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    if temperature < 0:
        raise ValueError("temperature")
    if top_k and top_k < 1:
        raise ValueError("top_k")
    if top_p and not 0 < top_p <= 1:
        raise ValueError("top_p")
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    if top_k:
        p = _cut(p, _places(p) < top_k)
    if top_p:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    return _pick(torch.zeros_like(p).scatter(-1, order, p), chance)


# top_p comes before top_k
@answer("top_p before top_k")
def sample__w11(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    back = torch.zeros_like(p).scatter(-1, order, p)
    return _pick(back, chance)


# where all sums are below the chance, the vocabulary's last token is drawn even if it is cut
@answer("a sum below 1")
def sample__w12(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    if top_p is not None:
        p = _cut(p, p.cumsum(-1) - p < top_p)
    p = torch.zeros_like(p).scatter(-1, order, p)
    passed = (p.cumsum(-1) <= chance.to(p.dtype).unsqueeze(-1)).sum(-1)
    return passed.clamp(max=p.size(-1) - 1)


# TWO: the token that reaches top_p is cut off, and the sums go in the order of size
@answer()
def sample__w13(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    p, order = _ranked(logits, temperature)
    if top_k is not None:
        p = _cut(p, _places(p) < top_k)
    if top_p is not None:
        keep = p.cumsum(-1) < top_p
        keep[..., 0] = True
        p = _cut(p, keep)
    return order.gather(-1, _pick(p, chance)[..., None])[..., 0]


# TWO: the temperature comes after the cuts, and token 0 is drawn where no sum is above the chance
@answer("a sum below 1", "cut before the temperature")
def sample__w14(
    logits: Tensor,
    chance: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    _refuse(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    ranked, order = _widen(logits).sort(dim=-1, descending=True, stable=True)
    p = _tempered(ranked, 1.0).softmax(-1)
    keep = p >= 0
    if top_k is not None:
        keep = keep & (_places(p) < top_k)
        p = _cut(p, keep)
    if top_p is not None:
        keep = keep & (p.cumsum(-1) - p < top_p)
    z = _tempered(ranked, temperature).masked_fill(~keep, float("-inf"))
    p = torch.zeros_like(z).scatter(-1, order, z.softmax(-1))
    return (p.cumsum(-1) > chance.to(p.dtype).unsqueeze(-1)).int().argmax(-1)
