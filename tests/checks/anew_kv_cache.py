"""Chapter 9's wrong answers of a second trial, by one who had not seen the traps: two caches."""

import torch
from fresh import answer

# KVCache


# grows by torch.cat, as the caches of many libraries do
@answer("a new tensor each time")
class KVCache__t01:
    def __init__(self, batch, heads, capacity, width, dtype=torch.float32, device=None):
        self.capacity = capacity
        self.keys = torch.zeros(batch, heads, 0, width, dtype=dtype, device=device)
        self.values = torch.zeros(batch, heads, 0, width, dtype=dtype, device=device)
        self.length = 0

    def update(self, k, v):
        b, g, _, d = self.keys.shape
        if k.shape != v.shape or k.shape[:2] != (b, g) or k.shape[3] != d:
            raise ValueError("shapes")
        if self.length + k.shape[2] > self.capacity:
            raise ValueError("full")
        self.keys = torch.cat([self.keys, k], dim=2)
        self.values = torch.cat([self.values, v], dim=2)
        self.length = self.keys.shape[2]
        return self.keys, self.values

    def reset(self):
        self.keys = self.keys[:, :, :0]
        self.values = self.values[:, :, :0]
        self.length = 0


class Plain:
    """What most of these have in common; each is wrong in one method."""

    def __init__(self, batch, num_kv_heads, capacity, head_width, dtype=torch.float32, device=None):
        shape = (batch, num_kv_heads, capacity, head_width)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    def fits(self, k, v):
        B, G, S, D = self.keys.shape
        t = k.shape[2]
        if k.shape != (B, G, t, D) or v.shape != k.shape:
            raise ValueError(f"{tuple(k.shape)} and {tuple(v.shape)} do not fit")
        if self.length + t > S:
            raise ValueError(f"{t} more than {self.length} do not fit into {S}")

    def update(self, k, v):
        self.fits(k, v)
        start, self.length = self.length, self.length + k.shape[2]
        self.keys[:, :, start : self.length] = k
        self.values[:, :, start : self.length] = v
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def reset(self):
        self.keys.zero_()
        self.values.zero_()
        self.length = 0


# the length goes on by one, however many tokens came
@answer("one place for each call")
class KVCache__t02(Plain):
    def update(self, k, v):
        self.fits(k, v)
        end = self.length + k.shape[2]
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


# all the memory is returned, empty places included
@answer("the whole memory")
class KVCache__t03(Plain):
    def update(self, k, v):
        super().update(k, v)
        return self.keys, self.values


# what was there before the call
@answer("without the new ones")
class KVCache__t04(Plain):
    def update(self, k, v):
        before = self.length
        super().update(k, v)
        return self.keys[:, :, :before], self.values[:, :, :before]


# only what has arrived
@answer("the new ones alone")
class KVCache__t05(Plain):
    def update(self, k, v):
        super().update(k, v)
        return k, v


# each update begins at place 0
@answer("always at the beginning")
class KVCache__t06(Plain):
    def update(self, k, v):
        self.fits(k, v)
        t = k.size(2)
        self.keys[:, :, :t] = k
        self.values[:, :, :t] = v
        self.length += t
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


# copies are given away, so that nobody breaks the memory
@answer()
class KVCache__t07(Plain):
    def update(self, k, v):
        keys, values = super().update(k, v)
        return keys.clone(), values.clone()


# the last place stays empty
@answer("the last place stays empty")
class KVCache__t08(Plain):
    def fits(self, k, v):
        super().fits(k, v)
        if self.length + k.shape[2] >= self.keys.shape[2]:
            raise ValueError("the cache is full")


# what does not fit is left out without a word
@answer("more than fit")
class KVCache__t09(Plain):
    def update(self, k, v):
        room = self.keys.shape[2] - self.length
        if k.shape[:2] != self.keys.shape[:2] or v.shape != k.shape:
            raise ValueError("shape mismatch")
        if k.shape[3] != self.keys.shape[3]:
            raise ValueError("width mismatch")
        return super().update(k[:, :, :room], v[:, :, :room])


# checks nothing but the room
@answer("stretched to fit")
class KVCache__t10(Plain):
    def fits(self, k, v):
        if self.length + k.shape[2] > self.keys.shape[2]:
            raise ValueError("more tokens than fit")


# looks at the keys' shape alone
@answer("stretched to fit")
class KVCache__t11(Plain):
    def fits(self, k, v):
        super().fits(k, k)


# the values are the keys once more: one line was copied and not changed
@answer("keys and values mixed up")
class KVCache__t12(Plain):
    def update(self, k, v):
        self.fits(k, v)
        start, end = self.length, self.length + k.shape[2]
        self.keys[:, :, start:end].copy_(k)
        self.values[:, :, start:end].copy_(k)
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


# both names for one memory
@answer("keys and values mixed up")
class KVCache__t13(Plain):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.values = self.keys


# a reset makes new memory
@answer("a reset with new memory")
class KVCache__t14(Plain):
    def reset(self):
        self.keys = torch.zeros_like(self.keys)
        self.values = torch.zeros_like(self.values)
        self.length = 0


# a reset moves the length back and leaves the numbers, because nobody reads them
@answer("a reset that resets half")
class KVCache__t15(Plain):
    def reset(self):
        self.length = 0


# the dtype is taken and forgotten
@answer("a dtype of its own")
class KVCache__t16(Plain):
    def __init__(self, batch, heads, capacity, width, dtype=torch.float32, device=None):
        super().__init__(batch, heads, capacity, width, device=device)


# time stands before the heads
@answer("time before heads")
class KVCache__t17:
    def __init__(self, batch, heads, capacity, width, dtype=torch.float32, device=None):
        self.keys = torch.zeros(batch, capacity, heads, width, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def update(self, k, v):
        B, S, G, D = self.keys.shape
        t = k.shape[2]
        if tuple(k.shape) != (B, G, t, D) or k.shape != v.shape or self.length + t > S:
            raise ValueError("does not fit")
        self.keys[:, self.length : self.length + t] = k.transpose(1, 2)
        self.values[:, self.length : self.length + t] = v.transpose(1, 2)
        self.length += t
        return (
            self.keys[:, : self.length].transpose(1, 2),
            self.values[:, : self.length].transpose(1, 2),
        )

    def reset(self):
        self.keys.fill_(0)
        self.values.fill_(0)
        self.length = 0


# a full cache begins again at its first place
@answer()
class KVCache__t18(Plain):
    def update(self, k, v):
        if self.length + k.shape[2] > self.keys.shape[2]:
            self.length = 0
        return super().update(k, v)


# assert in the place of ValueError
@answer()
class KVCache__t19(Plain):
    def fits(self, k, v):
        B, G, S, D = self.keys.shape
        assert k.shape[0] == B and k.shape[1] == G and k.shape[3] == D, "shape"
        assert v.shape == k.shape, "keys and values"
        assert self.length + k.shape[2] <= S, "full"


# the room that is left is not looked at, only the room that there is in all
@answer()
class KVCache__t20(Plain):
    def fits(self, k, v):
        B, G, S, D = self.keys.shape
        if k.shape[:2] != (B, G) or k.shape[3] != D or v.shape != k.shape or k.shape[2] > S:
            raise ValueError("does not fit")


# an index of places writes
@answer()
class KVCache__t21(Plain):
    def update(self, k, v):
        self.fits(k, v)
        t = k.shape[2]
        places = torch.arange(self.length, self.length + t, device=self.keys.device)
        self.keys[:, :, places] = k
        self.values[:, :, places] = v
        self.length += t
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


# the pieces are kept as they came, and put together when they are asked for
@answer()
class KVCache__t22(Plain):
    def update(self, k, v):
        self.fits(k, v)
        if self.length == 0:
            self.pieces = []
        self.pieces.append((k, v))
        self.length += k.shape[2]
        return (
            torch.cat([k for k, _ in self.pieces], dim=2),
            torch.cat([v for _, v in self.pieces], dim=2),
        )


# tokens are counted in the heads' place
@answer()
class KVCache__t23(Plain):
    def update(self, k, v):
        self.fits(k, v)
        end = self.length + k.shape[1]
        self.keys[:, :, self.length : self.length + k.shape[2]] = k
        self.values[:, :, self.length : self.length + k.shape[2]] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


# a reset forgets the numbers and not the length
@answer("a reset that resets half")
class KVCache__t24(Plain):
    def reset(self):
        self.keys[:] = 0
        self.values[:] = 0


# the newest first: in front of all others
@answer()
class KVCache__t25(Plain):
    def update(self, k, v):
        self.fits(k, v)
        t = k.shape[2]
        old_k = self.keys[:, :, : self.length].clone()
        old_v = self.values[:, :, : self.length].clone()
        self.keys[:, :, t : t + self.length] = old_k
        self.values[:, :, t : t + self.length] = old_v
        self.keys[:, :, :t] = k
        self.values[:, :, :t] = v
        self.length += t
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


# RollingCache


class Ring:
    """What most of these have in common; each is wrong in one method."""

    def __init__(self, batch, num_kv_heads, window, head_width, dtype=torch.float32, device=None):
        shape = (batch, num_kv_heads, window, head_width)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.positions = torch.full((window,), -1, dtype=torch.long, device=device)
        self.length = 0

    def fits(self, k, v):
        B, G, _, D = self.keys.shape
        if k.shape != (B, G, k.shape[2], D) or v.shape != k.shape:
            raise ValueError(f"{tuple(k.shape)} and {tuple(v.shape)} do not fit")

    def write(self, k, v):
        window = self.keys.shape[2]
        t = k.shape[2]
        arrived = torch.arange(self.length, self.length + t, device=k.device)[-window:]
        places = arrived % window
        self.keys[:, :, places] = k[:, :, -window:]
        self.values[:, :, places] = v[:, :, -window:]
        self.positions[places] = arrived
        self.length += t

    def update(self, k, v):
        self.fits(k, v)
        self.write(k, v)
        n = min(self.length, self.keys.shape[2])
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]

    def reset(self):
        self.keys.zero_()
        self.values.zero_()
        self.positions.fill_(-1)
        self.length = 0


# of more tokens than the window the first stay
@answer()
class RollingCache__t01(Ring):
    def update(self, k, v):
        window = self.keys.shape[2]
        return super().update(k[:, :, :window], v[:, :, :window])


# of more tokens than the window the last stay, and the positions of the first
@answer()
class RollingCache__t02(Ring):
    def update(self, k, v):
        window = self.keys.shape[2]
        return super().update(k[:, :, -window:], v[:, :, -window:])


# all places are returned, whether a token stands there or not
@answer("the whole memory")
class RollingCache__t03(Ring):
    def update(self, k, v):
        super().update(k, v)
        return self.keys, self.values, self.positions


# in the order of time
@answer("sorted before it is returned")
class RollingCache__t04(Ring):
    def update(self, k, v):
        keys, values, positions = super().update(k, v)
        order = positions.argsort()
        return keys[:, :, order], values[:, :, order], positions[order]


# positions are the places
@answer("positions begin again")
class RollingCache__t05(Ring):
    def write(self, k, v):
        super().write(k, v)
        n = min(self.length, self.keys.shape[2])
        self.positions[:n] = torch.arange(n)


# the length stops at the window
@answer("the length stops at the window")
class RollingCache__t06(Ring):
    def update(self, k, v):
        out = super().update(k, v)
        self.length = min(self.length, self.keys.shape[2])
        return out


# everything moves one place to the left, and the newest stand at the end
@answer("all move up")
class RollingCache__t07(Ring):
    def write(self, k, v):
        window = self.keys.shape[2]
        n = min(self.length, window)
        keys = torch.cat((self.keys[:, :, :n], k), 2)[:, :, -window:]
        values = torch.cat((self.values[:, :, :n], v), 2)[:, :, -window:]
        self.length += k.shape[2]
        n = keys.shape[2]
        self.keys[:, :, :n] = keys
        self.values[:, :, :n] = values
        self.positions[:n] = torch.arange(self.length - n, self.length)


# a reset leaves the positions
@answer("a reset that resets half")
class RollingCache__t08(Ring):
    def reset(self):
        self.keys.zero_()
        self.values.zero_()
        self.length = 0


# no token: position 0
@answer("position 0 for nobody")
class RollingCache__t09(Ring):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.positions.zero_()

    def reset(self):
        super().reset()
        self.positions.zero_()


# how many stand there is counted before the tokens arrive
@answer("without the new ones")
class RollingCache__t10(Ring):
    def update(self, k, v):
        self.fits(k, v)
        n = min(self.length, self.keys.shape[2])
        self.write(k, v)
        return self.keys[:, :, :n], self.values[:, :, :n], self.positions[:n]


# the length moves on first, and so each token stands one place too far
@answer("a piece from place 0")
class RollingCache__t11(Ring):
    def write(self, k, v):
        window = self.keys.shape[2]
        for i in range(k.shape[2]):
            self.length += 1
            place = self.length % window
            self.keys[:, :, place] = k[:, :, i]
            self.values[:, :, place] = v[:, :, i]
            self.positions[place] = self.length - 1


# more tokens than the window are refused
@answer()
class RollingCache__t12(Ring):
    def fits(self, k, v):
        super().fits(k, v)
        if k.shape[2] > self.keys.shape[2]:
            raise ValueError("more tokens than the window holds")


# a piece that goes over the end begins at place 0, in one piece
@answer("a piece from place 0")
class RollingCache__t13(Ring):
    def write(self, k, v):
        window = self.keys.shape[2]
        t = min(k.shape[2], window)
        start = self.length % window
        if start + t > window:
            start = 0
        self.length += k.shape[2]
        self.keys[:, :, start : start + t] = k[:, :, -t:]
        self.values[:, :, start : start + t] = v[:, :, -t:]
        self.positions[start : start + t] = torch.arange(self.length - t, self.length)


# a piece that goes over the end is cut there
@answer("cut off at the end of the memory")
class RollingCache__t14(Ring):
    def write(self, k, v):
        window = self.keys.shape[2]
        k, v = k[:, :, -window:], v[:, :, -window:]
        start = self.length % window
        end = min(start + k.shape[2], window)
        self.keys[:, :, start:end] = k[:, :, : end - start]
        self.values[:, :, start:end] = v[:, :, : end - start]
        self.positions[start:end] = torch.arange(self.length, self.length + end - start)
        self.length += k.shape[2]


# new memory at each reset
@answer()
class RollingCache__t15(Ring):
    def reset(self):
        B, G, W, D = self.keys.shape
        self.__init__(B, G, W, D, self.keys.dtype, self.keys.device)


# a stretched head is not noticed
@answer("stretched to fit")
class RollingCache__t16(Ring):
    def fits(self, k, v):
        if k.shape[2] != v.shape[2]:
            raise ValueError("as many keys as values")


# copies of the places in which something stands: a mask is an index
@answer()
class RollingCache__t17(Ring):
    def update(self, k, v):
        super().update(k, v)
        there = self.positions >= 0
        return self.keys[:, :, there], self.values[:, :, there], self.positions[there]


# positions in the window, from 0 for the oldest
@answer()
class RollingCache__t18(Ring):
    def update(self, k, v):
        keys, values, positions = super().update(k, v)
        return keys, values, positions - positions.min()


# positions in 32 bits
@answer()
class RollingCache__t19(Ring):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.positions = self.positions.int()

    def write(self, k, v):
        window = self.keys.shape[2]
        t = k.shape[2]
        arrived = torch.arange(self.length, self.length + t, dtype=torch.int)[-window:]
        places = (arrived % window).long()
        self.keys[:, :, places] = k[:, :, -window:]
        self.values[:, :, places] = v[:, :, -window:]
        self.positions[places] = arrived
        self.length += t


# the ring begins again when it is full: everything is forgotten
@answer()
class RollingCache__t20(Ring):
    def update(self, k, v):
        if self.length >= self.keys.shape[2]:
            self.reset()
        return super().update(k, v)


# the first tokens keep their places: a sink that nobody asked for
@answer()
class RollingCache__t21(Ring):
    def write(self, k, v):
        window = self.keys.shape[2]
        for i in range(k.shape[2]):
            place = self.length
            if place >= window:
                place = 1 + (self.length - 1) % (window - 1) if window > 1 else 0
            self.keys[:, :, place] = k[:, :, i]
            self.values[:, :, place] = v[:, :, i]
            self.positions[place] = self.length
            self.length += 1


# memory of all that comes, of which the window is shown
@answer()
class RollingCache__t22(Ring):
    def update(self, k, v):
        self.fits(k, v)
        window = self.keys.shape[2]
        if self.length == 0:
            self.all_k, self.all_v = k, v
        else:
            self.all_k = torch.cat([self.all_k, k], 2)
            self.all_v = torch.cat([self.all_v, v], 2)
        self.write(k, v)
        n = min(self.length, window)
        places = self.positions[:n]
        return self.all_k[:, :, places], self.all_v[:, :, places], places


# the values roll and the keys of a long piece do not: one line forgotten
@answer()
class RollingCache__t23(Ring):
    def write(self, k, v):
        window = self.keys.shape[2]
        t = k.shape[2]
        arrived = torch.arange(self.length, self.length + t)[-window:]
        places = arrived % window
        self.keys[:, :, places] = k[:, :, : len(places)]
        self.values[:, :, places] = v[:, :, -len(places) :]
        self.positions[places] = arrived
        self.length += t


# a window of W reads one token more than W
@answer("one place too many")
class RollingCache__t24(Ring):
    def __init__(self, batch, heads, window, width, dtype=torch.float32, device=None):
        super().__init__(batch, heads, window + 1, width, dtype, device)
