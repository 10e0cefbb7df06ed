"""Chapter 9's wrong answers of a second trial, by one who had not seen the traps: the loop."""

import torch
from fresh import answer
from torch.nn import functional as F

from tutor.families import sample


def _ready(prompts, chances):
    if len(prompts) != len(chances):
        raise ValueError(f"{len(prompts)} prompts for {len(chances)} rows of chances")
    if any(len(p) == 0 for p in prompts):
        raise ValueError("an empty prompt")


def _first(model, prompts):
    return torch.cat([model(p[None], torch.tensor([b])) for b, p in enumerate(prompts)])


# rows go on after their end, and are cut by the lengths later
@answer("it goes on after the end")
def generate__t01(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    done, lengths, out = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        logits = _first(model, prompts) if s == 0 else model(out[-1][:, None], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        lengths += ~done
        done = done | torch.isin(token, stop)
        out.append(token)
        if done.all():
            break
    if not out:
        return torch.zeros(B, 0, dtype=torch.long), lengths
    return torch.stack(out, 1), lengths


# ended rows get zeros behind their end
@answer("filled with something else")
def generate__t02(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    out = torch.zeros(B, longest, dtype=torch.long)
    lengths = torch.zeros(B, dtype=torch.long)
    done = torch.zeros(B, dtype=torch.bool)
    s = 0
    while s < longest and not done.all():
        logits = _first(model, prompts) if s == 0 else model(out[:, s - 1 : s], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        out[:, s] = torch.where(done, 0, token)
        lengths += ~done
        done = done | torch.isin(token, stop)
        s += 1
    return out[:, :s], lengths


def _loop(model, prompts, chances, stop, draw, own=True, every=True):
    """The loop, right but for what is given."""
    _ready(prompts, chances)
    B, longest = chances.shape
    newest = torch.zeros(B, dtype=torch.long)
    done = torch.zeros(B, dtype=torch.bool)
    lengths = torch.zeros(B, dtype=torch.long)
    out = []
    for s in range(longest):
        logits = _first(model, prompts) if s == 0 else model(newest[:, None], torch.arange(B))
        newest = torch.where(done, newest, draw(logits, s))
        ends = torch.isin(newest, stop)
        lengths += ~done if own else ~(done | ends)
        done = done | ends
        out.append(newest)
        if done.all() if every else done.any():
            break
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths


# the stop token is not counted
@answer("a length without its end")
def generate__t03(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, s], temperature, top_k, top_p)

    return _loop(model, prompts, chances, stop, draw, own=False)


# the first row that ends, ends all
@answer("one end ends all")
def generate__t04(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, s], temperature, top_k, top_p)

    return _loop(model, prompts, chances, stop, draw, every=False)


# one chance a row, the first one's
@answer("the same chance in every step")
def generate__t05(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, 0], temperature, top_k, top_p)

    return _loop(model, prompts, chances, stop, draw)


# one chance a step, the first row's
@answer("one chance for all rows")
def generate__t06(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:1, s].expand(len(chances)), temperature, top_k, top_p)

    return _loop(model, prompts, chances, stop, draw)


# top_p is forgotten
@answer("no top_p")
def generate__t07(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, s], temperature, top_k)

    return _loop(model, prompts, chances, stop, draw)


# temperature is forgotten
@answer("no temperature")
def generate__t08(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, s], top_k=top_k, top_p=top_p)

    return _loop(model, prompts, chances, stop, draw)


# the likeliest, whatever the chance
@answer("always the likeliest")
def generate__t09(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    return _loop(model, prompts, chances, stop, lambda logits, s: logits.argmax(-1))


# multinomial draws by torch's own numbers
@answer()
def generate__t10(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return torch.multinomial((logits / max(temperature, 1e-6)).softmax(-1), 1)[:, 0]

    return _loop(model, prompts, chances, stop, draw)


# one stop token only, the first of them
@answer("the first stop token alone")
def generate__t11(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, s], temperature, top_k, top_p)

    return _loop(model, prompts, chances, stop[:1], draw)


# prompts are padded in front and read in one call
@answer("padding read as content")
def generate__t12(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    T = max(len(p) for p in prompts)
    padded = torch.stack([F.pad(p, (T - len(p), 0)) for p in prompts])
    done, lengths, out = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        logits = model(padded if s == 0 else out[-1][:, None], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        token = torch.where(done, out[-1], token) if out else token
        lengths += ~done
        done = done | torch.isin(token, stop)
        out.append(token)
        if done.all():
            break
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths


# everything so far is given again in each step
@answer("everything is read again")
def generate__t13(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    texts = list(prompts)
    done, lengths = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long)
    out = []
    for s in range(longest):
        logits = _first(model, texts)
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        token = torch.where(done, out[-1], token) if out else token
        texts = [torch.cat((t, n[None])) for t, n in zip(texts, token, strict=True)]
        lengths += ~done
        done = done | torch.isin(token, stop)
        out.append(token)
        if done.all():
            break
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths


# the model is asked once more after the last token
@answer()
def generate__t14(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    if longest == 0:
        return torch.empty(B, 0, dtype=torch.long), torch.zeros(B, dtype=torch.long)
    logits = _first(model, prompts)
    done = torch.zeros(B, dtype=torch.bool, device=chances.device)
    lengths = torch.zeros(B, dtype=torch.long, device=chances.device)
    newest, out = None, []
    for s in range(longest):
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        newest = token if newest is None else torch.where(done, newest, token)
        out.append(newest)
        lengths += ~done
        done = done | torch.isin(newest, stop)
        logits = model(newest[:, None], torch.arange(B))
        if done.all():
            break
    return torch.stack(out, 1), lengths


# never ends before the last step
@answer("it never stops")
def generate__t15(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    newest = torch.zeros(B, dtype=torch.long)
    done, lengths, out = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        logits = _first(model, prompts) if s == 0 else model(newest[:, None], torch.arange(B))
        newest = torch.where(done, newest, sample(logits, chances[:, s], temperature, top_k, top_p))
        out.append(newest)
        lengths += ~done
        done = done | torch.isin(newest, stop)
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths


# the prompt stands in front of what was written, padded behind... cut at the longest prompt
@answer("the prompts returned")
def generate__t17(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, s], temperature, top_k, top_p)

    out, lengths = _loop(model, prompts, chances, stop, draw)
    T = max(len(p) for p in prompts)
    front = torch.stack([F.pad(p, (T - len(p), 0)) for p in prompts])
    return torch.cat((front, out), 1), lengths


# all rows count as many tokens as there are columns
@answer("a length without its end")
def generate__t18(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    def draw(logits, s):
        return sample(logits, chances[:, s], temperature, top_k, top_p)

    out, lengths = _loop(model, prompts, chances, stop, draw)
    return out, torch.full_like(lengths, out.shape[1])


# the last token of the prompt is given twice: the first call leaves it out and forgets that
@answer("the end of the prompt alone")
def generate__t19(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    if longest == 0:
        return torch.empty(B, 0, dtype=torch.long), torch.zeros(B, dtype=torch.long)
    for b, p in enumerate(prompts):
        model(p[None], torch.tensor([b]))
    newest = torch.stack([p[-1] for p in prompts])
    done, lengths, out = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        logits = model(newest[:, None], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        newest = torch.where(done, newest, token) if s else token
        out.append(newest)
        lengths += ~done
        done = done | torch.isin(newest, stop)
        if done.all():
            break
    return torch.stack(out, 1), lengths


# prompts that hold a stop token are ended before they begin
@answer()
def generate__t20(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    newest = torch.stack([p[-1] for p in prompts])
    done = torch.isin(newest, stop)
    lengths, out = torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        if done.all():
            break
        logits = _first(model, prompts) if s == 0 else model(newest[:, None], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        newest = torch.where(done, newest, token)
        out.append(newest)
        lengths += ~done
        done = done | torch.isin(newest, stop)
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths


# each prompt for row 0
@answer("all read into one row")
def generate__t21(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    newest = torch.zeros(B, dtype=torch.long)
    done, lengths, out = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        if s == 0:
            logits = torch.cat([model(p[None], torch.zeros(1, dtype=torch.long)) for p in prompts])
        else:
            logits = model(newest[:, None], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        newest = torch.where(done, newest, token)
        out.append(newest)
        lengths += ~done
        done = done | torch.isin(newest, stop)
        if done.all():
            break
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths


# the prompt goes in token by token, as the rest does
@answer("the end of the prompt alone")
def generate__t22(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    newest = torch.zeros(B, dtype=torch.long)
    done, lengths, out = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        if s == 0:
            scores = []
            for b, p in enumerate(prompts):
                for token in p:
                    last = model(token[None, None], torch.tensor([b]))
                scores.append(last)
            logits = torch.cat(scores)
        else:
            logits = model(newest[:, None], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        newest = torch.where(done, newest, token)
        out.append(newest)
        lengths += ~done
        done = done | torch.isin(newest, stop)
        if done.all():
            break
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths


# prompts without a row are left over: zip
@answer()
def generate__t24(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    prompts = prompts[: len(chances)]
    chances = chances[: len(prompts)]

    def draw(logits, s):
        return sample(logits, chances[:, s], temperature, top_k, top_p)

    return _loop(model, prompts, chances, stop, draw)


# the stop token is a secret of the loop: it is not written
@answer()
def generate__t25(model, prompts, chances, stop, temperature=1.0, top_k=None, top_p=None):
    _ready(prompts, chances)
    B, longest = chances.shape
    newest = torch.zeros(B, dtype=torch.long)
    done, lengths, out = torch.zeros(B, dtype=torch.bool), torch.zeros(B, dtype=torch.long), []
    for s in range(longest):
        logits = _first(model, prompts) if s == 0 else model(newest[:, None], torch.arange(B))
        token = sample(logits, chances[:, s], temperature, top_k, top_p)
        done = done | torch.isin(token, stop)
        if done.all():
            break
        newest = torch.where(done, newest, token)
        out.append(newest)
        lengths += ~done
    return torch.stack(out, 1) if out else torch.zeros(B, 0, dtype=torch.long), lengths
