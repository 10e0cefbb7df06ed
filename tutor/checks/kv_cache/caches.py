"""A cache in steps: the right one, and classes of which one step is another."""

import torch


class Steps:
    """The right cache, in steps."""

    def __init__(self, batch, num_kv_heads, capacity, head_width, dtype=torch.float32, device=None):
        self.made = {"dtype": self.of(dtype), "device": device}
        self.capacity = capacity
        shape = batch, num_kv_heads, capacity, head_width
        self.keys, self.values = self.memory(shape), self.memory(shape)
        self.length = 0

    def of(self, dtype):
        return dtype

    def memory(self, shape):
        return torch.zeros(shape, **self.made)

    def update(self, k, v):
        self.refuse(k, v)
        start = self.start(k.shape[2])
        self.write(start, k, v)
        self.length = self.moved(k.shape[2])
        return self.returned(k, v)

    def refuse(self, k, v):
        self.refuse_shapes(k, v)
        if self.too_many(k.shape[2]):
            raise ValueError("they do not fit")

    def refuse_shapes(self, k, v):
        b, g, _, d = self.keys.shape
        if k.shape != v.shape or (k.shape[0], k.shape[1], k.shape[3]) != (b, g, d):
            raise ValueError("they do not fit")

    def too_many(self, t):
        return self.length + t > self.capacity

    def start(self, t):
        return self.length

    def write(self, start, k, v):
        end = start + k.shape[2]
        self.keys[:, :, start:end] = k
        self.values[:, :, start:end] = v

    def moved(self, t):
        return self.length + t

    def returned(self, k, v):
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def reset(self):
        self.keys.zero_()
        self.values.zero_()
        self.length = 0


class AtTheBeginning(Steps):
    def start(self, t):
        return 0


class NeverMoves(Steps):
    def moved(self, t):
        return self.length or t


class OneForACall(Steps):
    def moved(self, t):
        return self.length + 1


class OneForACallReadAll(OneForACall):
    def returned(self, k, v):
        end = self.length - 1 + k.shape[2]
        return self.keys[:, :, :end], self.values[:, :, :end]


class PromptEachTime(Steps):
    """Every step moves on by as much as the prompt did."""

    first = None

    def moved(self, t):
        self.first = self.first or t
        return self.length + self.first

    def reset(self):
        super().reset()
        self.first = None


class NewAlone(Steps):
    def returned(self, k, v):
        start = self.length - k.shape[2]
        return self.keys[:, :, start : self.length], self.values[:, :, start : self.length]


class NewAsTheyCame(Steps):
    def returned(self, k, v):
        return k.clone(), v.clone()


class Whole(Steps):
    def returned(self, k, v):
        return self.keys[:], self.values[:]


class OneTooFew(Steps):
    def returned(self, k, v):
        end = self.length - k.shape[2]
        return self.keys[:, :, :end], self.values[:, :, :end]


class LastTokenAlone(Steps):
    def write(self, start, k, v):
        self.keys[:, :, start] = k[:, :, -1]
        self.values[:, :, start] = v[:, :, -1]


class PromptNotWritten(Steps):
    """What comes first goes on its way without being kept."""

    def write(self, start, k, v):
        if start:
            super().write(start, k, v)


class SeveralNotWritten(Steps):
    def write(self, start, k, v):
        if k.shape[2] == 1:
            super().write(start, k, v)


class KeysTwice(Steps):
    def write(self, start, k, v):
        super().write(start, k, k)


class ValuesTwice(Steps):
    def write(self, start, k, v):
        super().write(start, v, v)


class Exchanged(Steps):
    def returned(self, k, v):
        return self.values[:, :, : self.length], self.keys[:, :, : self.length]


class KeysReturnedTwice(Steps):
    def returned(self, k, v):
        return (self.keys[:, :, : self.length],) * 2


class Filled(Steps):
    def write(self, start, k, v):
        super().write(start, v, k)


class FirstRow(Steps):
    def write(self, start, k, v):
        super().write(start, k[:1], v[:1])


class FirstHead(Steps):
    def write(self, start, k, v):
        super().write(start, k[:, :1], v[:, :1])


class TimeFirst(Steps):
    """(B, capacity, G, D), as some libraries have it."""

    def memory(self, shape):
        b, g, t, d = shape
        return super().memory((b, t, g, d))

    def refuse_shapes(self, k, v):
        b, _, g, d = self.keys.shape
        if k.shape != v.shape or (k.shape[0], k.shape[1], k.shape[3]) != (b, g, d):
            raise ValueError("they do not fit")

    def write(self, start, k, v):
        end = start + k.shape[2]
        self.keys[:, start:end] = k.transpose(1, 2)
        self.values[:, start:end] = v.transpose(1, 2)

    def returned(self, k, v):
        found = self.keys[:, : self.length], self.values[:, : self.length]
        return tuple(t.transpose(1, 2) for t in found)


class TimeFirstReturned(TimeFirst):
    def returned(self, k, v):
        return self.keys[:, : self.length], self.values[:, : self.length]


class AtTheEnd(Steps):
    """All that is there moves up, and the newest stand at the end."""

    def write(self, start, k, v):
        t = k.shape[2]
        for held, new in ((self.keys, k), (self.values, v)):
            held.copy_(torch.cat((held[:, :, t:], new), 2))

    def returned(self, k, v):
        start = self.capacity - self.length
        return self.keys[:, :, start:], self.values[:, :, start:]


class Grows(Steps):
    """cat makes a new tensor, and copies all that there is."""

    def memory(self, shape):
        b, g, _, d = shape
        return super().memory((b, g, 0, d))

    def write(self, start, k, v):
        self.keys = torch.cat((self.keys, k.to(self.keys.dtype)), 2)
        self.values = torch.cat((self.values, v.to(self.keys.dtype)), 2)

    def reset(self):
        self.keys, self.values, self.length = self.keys[:, :, :0], self.values[:, :, :0], 0


class Rebound(Steps):
    def write(self, start, k, v):
        self.keys, self.values = self.keys.clone(), self.values.clone()
        super().write(start, k, v)


class Padded(Steps):
    """What was there, what is new, and zeros up to the capacity: put together each time."""

    def write(self, start, k, v):
        end = start + k.shape[2]
        for name, new in (("keys", k), ("values", v)):
            held = getattr(self, name)
            parts = held[:, :, :start], new.to(held.dtype), torch.zeros_like(held[:, :, end:])
            setattr(self, name, torch.cat(parts, 2))


class ResetByAnother(Steps):
    def reset(self):
        self.keys, self.values = torch.zeros_like(self.keys), torch.zeros_like(self.values)
        self.length = 0


class Borrowed(Steps):
    """A list of the caller's tensors, and what is in them when somebody asks."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pieces = []

    def write(self, start, k, v):
        self.pieces.append((k, v))
        done = 0
        for old_k, old_v in self.pieces:
            super().write(done, old_k, old_v)
            done += old_k.shape[2]

    def reset(self):
        super().reset()
        self.pieces = []


class LengthAlone(Steps):
    def reset(self):
        self.length = 0


class NumbersAlone(Steps):
    def reset(self):
        self.keys.zero_()
        self.values.zero_()


class KeysAlone(Steps):
    def reset(self):
        self.keys.zero_()
        self.length = 0


class NoReset(Steps):
    def reset(self):
        pass


class NeverFull(Steps):
    def too_many(self, t):
        return self.length + t >= self.capacity


class NotRefused(Steps):
    """A slice that goes over the end is shorter, and its assignment may fail otherwise."""

    def too_many(self, t):
        return False

    def write(self, start, k, v):
        room = max(self.capacity - start, 0)
        super().write(start, k[:, :, :room], v[:, :, :room])


class GoesRound(Steps):
    def too_many(self, t):
        return False

    def write(self, start, k, v):
        at = (torch.arange(k.shape[2], device=k.device) + start) % self.capacity
        self.keys[:, :, at], self.values[:, :, at] = k.to(self.keys), v.to(self.keys)


class Shortened(NotRefused):
    def moved(self, t):
        return min(self.length + t, self.capacity)


class Broadcast(Steps):
    """One row, one head or one feature is stretched to as many as there are."""

    def refuse_shapes(self, k, v):
        pass


class ByKeys(Steps):
    def refuse_shapes(self, k, v):
        b, g, _, d = self.keys.shape
        if (k.shape[0], k.shape[1], k.shape[3]) != (b, g, d):
            raise ValueError("they do not fit")


class AlwaysSingle(Steps):
    def of(self, dtype):
        return torch.float32


class AlwaysHalf(Steps):
    def of(self, dtype):
        return torch.float16
