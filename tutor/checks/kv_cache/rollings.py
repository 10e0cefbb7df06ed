"""A rolling cache in steps: the right one, and classes of which one step is another."""

import torch


class Steps:
    """The right cache, in steps."""

    def __init__(self, batch, num_kv_heads, window, head_width, dtype=torch.float32, device=None):
        self.made = {"dtype": self.of(dtype), "device": device}
        self.window = self.room(window)
        shape = batch, num_kv_heads, self.window, head_width
        self.keys, self.values = torch.zeros(shape, **self.made), torch.zeros(shape, **self.made)
        self.positions = self.nobody()
        self.length = 0

    def of(self, dtype):
        return dtype

    def room(self, window):
        return window

    def nobody(self):
        return torch.full((self.window,), -1, device=self.made["device"])

    def update(self, k, v):
        self.refuse(k, v)
        t = k.shape[2]
        arrived = torch.arange(self.length, self.length + t, device=k.device)
        chosen = self.chosen(t)
        k, v, arrived = k[:, :, chosen], v[:, :, chosen], arrived[chosen]
        self.write(self.places(arrived), k.to(self.keys), v.to(self.keys), self.told(arrived))
        self.length = self.moved(t)
        return self.returned(t)

    def refuse(self, k, v):
        b, g, _, d = self.keys.shape
        if k.shape != v.shape or (k.shape[0], k.shape[1], k.shape[3]) != (b, g, d):
            raise ValueError("they do not fit")

    def chosen(self, t):
        return slice(max(t - self.window, 0), t)

    def places(self, arrived):
        return arrived % self.window

    def told(self, arrived):
        return arrived

    def write(self, at, k, v, positions):
        self.keys[:, :, at], self.values[:, :, at], self.positions[at] = k, v, positions

    def moved(self, t):
        return self.length + t

    def returned(self, t):
        n = min(self.length, self.window)
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]

    def reset(self):
        self.keys.zero_()
        self.values.zero_()
        self.positions.fill_(-1)
        self.length = 0


class BeginAgain(Steps):
    def told(self, arrived):
        return arrived % self.window


class OfThePiece(Steps):
    def told(self, arrived):
        return arrived - self.length


class OldestStays(Steps):
    """What does not fit is left out."""

    def update(self, k, v):
        self.refuse(k, v)
        t = min(k.shape[2], self.window - min(self.length, self.window))
        if t:
            arrived = torch.arange(self.length, self.length + t, device=k.device)
            self.write(arrived, k[:, :, :t].to(self.keys), v[:, :, :t].to(self.keys), arrived)
        self.length += k.shape[2]
        return self.returned(t)


class LastPlace(Steps):
    """When it is full, the newest takes the place of the newest."""

    def places(self, arrived):
        return arrived.clamp(max=self.window - 1)


class MovesUp(Steps):
    """Oldest first: all move up by one for each that arrives."""

    def write(self, at, k, v, positions):
        n, t = min(self.length, self.window), k.shape[2]
        kept = max(min(n, self.window - t), 0)
        for held, new in ((self.keys, k), (self.values, v)):
            both = torch.cat((held[:, :, n - kept : n], new), 2)
            held[:, :, : kept + t] = both
        both = torch.cat((self.positions[n - kept : n], positions))
        self.positions[: kept + t] = both


class Forgotten(Steps):
    """All that came is kept."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.keys, self.values = self.keys[:, :, :0], self.values[:, :, :0]
        self.positions = self.positions[:0]

    def chosen(self, t):
        return slice(0, t)

    def write(self, at, k, v, positions):
        self.keys = torch.cat((self.keys, k), 2)
        self.values = torch.cat((self.values, v), 2)
        self.positions = torch.cat((self.positions, positions))

    def returned(self, t):
        return self.keys.clone(), self.values.clone(), self.positions.clone()

    def reset(self):
        self.keys, self.values = self.keys[:, :, :0], self.values[:, :, :0]
        self.positions, self.length = self.positions[:0], 0


class NewMemory(Steps):
    """The newest W of what was there and what is new, put together each time."""

    def write(self, at, k, v, positions):
        self.keys, self.values = self.keys.clone(), self.values.clone()
        super().write(at, k, v, positions)


class OneMore(Steps):
    def room(self, window):
        return window + 1


class FirstOfALongOne(Steps):
    def chosen(self, t):
        return slice(0, self.window)


class FromPlaceZero(Steps):
    """A piece that is as long as the window fills it from its first place on."""

    def places(self, arrived):
        if len(arrived) == self.window:
            return torch.arange(self.window, device=arrived.device)
        return super().places(arrived)


class ByThePiece(Steps):
    """The place of a token is counted within its piece."""

    def places(self, arrived):
        return torch.arange(len(arrived), device=arrived.device)


class BegunAnew(Steps):
    """A piece that does not fit behind the last goes to the beginning, all of it."""

    def places(self, arrived):
        if not len(arrived):
            return arrived
        first = arrived[:1] % self.window
        fits = first + len(arrived) <= self.window
        return torch.arange(len(arrived), device=arrived.device) + first * fits


class CutAtTheEnd(Steps):
    """What goes over the end of the memory is lost."""

    def update(self, k, v):
        self.refuse(k, v)
        start, t = self.length % self.window, k.shape[2]
        fits = min(t, self.window - start)
        arrived = torch.arange(self.length, self.length + fits, device=k.device)
        self.write(
            torch.arange(start, start + fits, device=k.device),
            k[:, :, :fits].to(self.keys),
            v[:, :, :fits].to(self.keys),
            arrived,
        )
        self.length += t
        return self.returned(t)


class OneOfSeveral(Steps):
    def chosen(self, t):
        return slice(t - 1, t)


class Whole(Steps):
    def returned(self, t):
        return self.keys[:], self.values[:], self.positions[:]


class OldAlone(Steps):
    def returned(self, t):
        n = min(self.length - t, self.window)
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]


class NewAlone(Steps):
    def returned(self, t):
        newest = torch.arange(max(self.length - t, 0), self.length, device=self.keys.device)
        at = newest[-self.window :] % self.window
        return self.keys[:, :, at], self.values[:, :, at], self.positions[at]


class OldestFirst(Steps):
    def returned(self, t):
        n = min(self.length, self.window)
        at = self.positions[:n].argsort()
        return self.keys[:, :, at], self.values[:, :, at], self.positions[at]


class StopsAtTheWindow(Steps):
    def moved(self, t):
        return min(self.length + t, self.window)


class GoesRoundItself(Steps):
    def moved(self, t):
        return (self.length + t) % self.window


class OneForACall(Steps):
    def moved(self, t):
        return self.length + 1


class FromOne(Steps):
    def told(self, arrived):
        return arrived + 1


class PlaceFromOne(Steps):
    def places(self, arrived):
        return (arrived + 1) % self.window


class KeysTwice(Steps):
    def write(self, at, k, v, positions):
        super().write(at, k, k, positions)


class ValuesTwice(Steps):
    def write(self, at, k, v, positions):
        super().write(at, v, v, positions)


class Filled(Steps):
    def write(self, at, k, v, positions):
        super().write(at, v, k, positions)


class Zeros(Steps):
    def nobody(self):
        return torch.zeros(self.window, dtype=torch.int64, device=self.made["device"])

    def reset(self):
        super().reset()
        self.positions.zero_()


class LengthAlone(Steps):
    def reset(self):
        self.length = 0


class LengthStays(Steps):
    def reset(self):
        length = self.length
        super().reset()
        self.length = length


class PositionsStay(Steps):
    def reset(self):
        positions = self.positions.clone()
        super().reset()
        self.positions.copy_(positions)


class NumbersStay(Steps):
    def reset(self):
        self.positions.fill_(-1)
        self.length = 0


class NoReset(Steps):
    def reset(self):
        pass


class ResetByAnother(Steps):
    def reset(self):
        super().reset()
        self.keys, self.values = self.keys.clone(), self.values.clone()


class Borrowed(Steps):
    """A piece that fills nothing else is taken as it is, later ones are copied out of the list."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pieces = []

    def update(self, k, v):
        self.refuse(k, v)
        self.pieces.append((k, v))
        done = 0
        for old_k, old_v in self.pieces:
            t = old_k.shape[2]
            arrived = torch.arange(done, done + t, device=k.device)[max(t - self.window, 0) :]
            new = (x[:, :, -self.window :].to(self.keys) for x in (old_k, old_v))
            self.write(arrived % self.window, *new, arrived)
            done += t
        self.length = done
        return self.returned(k.shape[2])

    def reset(self):
        super().reset()
        self.pieces = []


class Broadcast(Steps):
    def refuse(self, k, v):
        pass


class OfOneLength(Steps):
    def refuse(self, k, v):
        if k.shape[2] != v.shape[2]:
            raise ValueError("they do not fit")


class AlwaysSingle(Steps):
    def of(self, dtype):
        return torch.float32
