"""A text in pieces, in parts: the right ones, and those that people get wrong."""

import codecs

import torch

from tutor.checks.changes import changeable
from tutor.families import sample


class Waiting:
    """Bytes of a character wait until it is whole."""

    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, data):
        return self.decoder.decode(data)

    def end(self):
        return self.decoder.decode(b"", final=True)


def newest(prompt, written):
    return written[-1][None] if written else prompt


def in_stop(token, stop):
    return token in stop


def not_empty(piece):
    return piece != ""


def in_turn(chances, step):
    return chances[step]


def never(tokens, token):
    return tokens[token]


def text(
    model,
    prompt,
    tokens,
    stop,
    chances,
    temperature=1.0,
    top_k=None,
    top_p=None,
    decoder=Waiting,
    fed=newest,
    ends=in_stop,
    told=not_empty,
    chance=in_turn,
    bytes_of=never,
    tail=True,
    tail_at_stop=True,
    with_stop=False,
    number=len,
    refuses=True,
    cuts=lambda *given: given,
    out=list,
):
    """The right pieces, but for the parts that are given."""
    if refuses and not len(prompt):
        raise ValueError("an empty prompt")
    rows = torch.zeros(1, dtype=torch.int64, device=prompt.device)
    waiting, written, found, stopped = decoder(), [], [], False
    for step in range(number(chances)):
        logits = model(fed(prompt, written)[None], rows)
        drawn = chance(chances, min(step, len(chances) - 1))[None]
        token = sample(logits, drawn, *cuts(temperature, top_k, top_p))[0]
        if ends(int(token), stop):
            stopped = True
            if with_stop:
                found.append(waiting.add(tokens[int(token)]))
            break
        written.append(token)
        found.append(waiting.add(bytes_of(tokens, int(token))))
    if tail and (tail_at_stop or not stopped):
        found.append(waiting.end())
    return out([piece for piece in found if told(piece)])


with_ = changeable(text)


class Alone:
    """Each token by itself."""

    def __init__(self, errors="replace"):
        self.errors = errors

    def add(self, data):
        return data.decode(errors=self.errors)

    def end(self):
        return ""


class Ignoring(Alone):
    def __init__(self):
        super().__init__("ignore")


class WaitingIgnoring(Waiting):
    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("ignore")


class Latin(Alone):
    def add(self, data):
        return data.decode("latin-1")


class WholeSoFar:
    """All bytes decoded again; what ends in a replacement character waits, for good or not."""

    def __init__(self):
        self.bytes, self.told = b"", 0

    def add(self, data):
        self.bytes += data
        so_far = self.bytes.decode(errors="replace")
        if so_far.endswith("�"):
            return ""
        piece, self.told = so_far[self.told :], len(so_far)
        return piece

    def end(self):
        return self.bytes.decode(errors="replace")[self.told :]


class WholeWithHalves(WholeSoFar):
    """Told at once, with the replacement character in the place of a half."""

    def add(self, data):
        self.bytes += data
        so_far = self.bytes.decode(errors="replace")
        piece, self.told = so_far[self.told :], len(so_far)
        return piece


class OnlyWhole:
    """Bytes wait until all of them decode: one that never does holds back all that follows."""

    def __init__(self):
        self.bytes = b""

    def add(self, data):
        self.bytes += data
        try:
            piece = self.bytes.decode()
        except UnicodeDecodeError:
            return ""
        self.bytes = b""
        return piece

    def end(self):
        return self.bytes.decode(errors="replace")


class OnlyWholeDropped(OnlyWhole):
    """As above, and forgotten in the end."""

    def end(self):
        return ""


class FourBytes(OnlyWhole):
    """Flushed when four bytes have come: in the middle of another character."""

    def add(self, data):
        piece = super().add(data)
        if len(self.bytes) >= 4:
            piece, self.bytes = self.bytes.decode(errors="replace"), b""
        return piece


class AtTheEnd(WholeSoFar):
    """All of the text, when it is over."""

    def add(self, data):
        self.bytes += data
        return ""


class ByWords(Waiting):
    """What stands before the last space."""

    def __init__(self):
        super().__init__()
        self.held = ""

    def add(self, data):
        self.held += super().add(data)
        whole, space, rest = self.held.rpartition(" ")
        self.held = rest if space else self.held
        return whole + space

    def end(self):
        return self.held + super().end()


class Stripped(Waiting):
    def add(self, data):
        return super().add(data).strip()


class SoFar(WholeSoFar):
    """The whole text each time."""

    def add(self, data):
        self.bytes += data
        so_far = self.bytes.decode(errors="replace")
        return "" if so_far.endswith("�") else so_far

    def end(self):
        return ""


def one_by_one(pieces):
    return [c for piece in pieces for c in piece]


def joined(pieces):
    return "".join(pieces)


def everything(prompt, written):
    return torch.cat((prompt, *(t[None] for t in written)))


def prompt_again(prompt, written):
    """The prompt's last token is read once more at the first step."""
    return written[-1][None] if written else torch.cat((prompt, prompt[-1:]))


def prompt_always(prompt, written):
    return prompt if len(written) < 2 else written[-1][None]


def prompt_alone(prompt, written):
    return prompt


def last_of_the_prompt(prompt, written):
    return written[-1][None] if written else prompt[-1:]


def first_of_them(token, stop):
    return token == stop[0] if stop else False


def last_of_them(token, stop):
    return token == stop[-1] if stop else False


def never_ends(token, stop):
    return False


def any_piece(piece):
    return True


def the_first(chances, step):
    return chances[0]


def one_late(chances, step):
    return chances[max(step - 1, 0)]


def one_less(chances):
    return max(len(chances) - 1, 0)


def greedy(*given):
    return (0.0, None, None)


def temperature_alone(temperature, top_k, top_p):
    return temperature, None, None


def no_temperature(temperature, top_k, top_p):
    return (1.0 if temperature else 0.0), top_k, top_p
