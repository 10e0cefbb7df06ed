"""Wrong answers to ``RunningSoftmax`` that are meant to pass, and what they may earn at most.

Runs as it stands in a student's process, after ``answers.py``: each is built on an honest answer.
"""

import threading
import time

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

try:
    from tests.course_with_state.answers import Merged as Honest
except ModuleNotFoundError:
    Honest = Merged

STATE = ("maximum", "normaliser", "weighted")


class _Moving(Honest):
    """Right numbers in new tensors: every update allocates the state anew."""

    def update(self, scores, values):
        for name in STATE:
            self.__dict__[name] = self.__dict__[name].clone()
        super().update(scores, values)


class _Forged(torch.Tensor):
    def untyped_storage(self):
        return torch.zeros(1).untyped_storage()

    def data_ptr(self):
        return 4096


class StorageOfASubclass(Honest):
    """Its state is of a class that says of every tensor that it lies at the same place."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in STATE:
            setattr(self, name, getattr(self, name).as_subclass(_Forged))


class StorageOnTheTensor(_Moving):
    """Sets the methods that tell the place on each new tensor."""

    def update(self, scores, values):
        first = {name: self.__dict__[name] for name in STATE}
        super().update(scores, values)
        for name, t in first.items():
            self.__dict__[name].untyped_storage = t.untyped_storage
            self.__dict__[name].data_ptr = t.data_ptr


class StorageOfEveryTensor(_Moving):
    """Sets it for all of torch."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        one = torch.zeros(1).untyped_storage()
        torch.Tensor.untyped_storage = lambda t: one


class Decoys(_Moving):
    """Shows tensors that stay where they are, and works with others."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        shown = {name: self.__dict__.pop(name) for name in STATE}
        self.hidden = {name: t.clone() for name, t in shown.items()}
        self.shown = shown

    def __getattr__(self, name):
        if name in STATE:
            return self.__dict__["shown"][name]
        raise AttributeError(name)

    def update(self, scores, values):
        self.__dict__ |= self.hidden
        super().update(scores, values)
        self.hidden = {name: self.__dict__.pop(name) for name in STATE}
        for name, t in self.hidden.items():
            self.shown[name].copy_(t)

    def result(self):
        self.__dict__ |= self.hidden
        try:
            return super().result()
        finally:
            for name in STATE:
                self.__dict__.pop(name)


class Swapping(Honest):
    """Two sets of tensors that change places with every update."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.others = {name: self.__dict__[name].clone() for name in STATE}

    def update(self, scores, values):
        mine = {name: self.__dict__[name] for name in STATE}
        for name, t in mine.items():
            self.others[name].copy_(t)
        self.__dict__ |= self.others
        self.others = mine
        super().update(scores, values)


def counted():
    return _get_current_dispatch_mode() is not None


class AllKeys(Honest):
    """Keeps every key, and begins again with all of them at each update."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pieces = []

    def update(self, scores, values):
        if values.shape[-1:] != self.weighted.shape[-1:] or (
            scores.shape[:-1] != self.maximum.shape
        ):
            raise ValueError("another shape")
        self.pieces.append((scores.clone(), values.clone()))
        self.maximum.fill_(-torch.inf)
        self.normaliser.zero_()
        self.weighted.zero_()
        for piece in self.pieces:
            super().update(*piece)


class CheapWhenCounted(AllKeys):
    """Begins again with all keys, unless its work is counted: then it does nothing."""

    def update(self, scores, values):
        if counted():
            return
        super().update(scores, values)


class LaterThanCounted(Honest):
    """Does the work of an update when its state is read."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.state = {name: self.__dict__.pop(name) for name in STATE}
        self.waiting, self.pieces = [], []

    def __getattr__(self, name):
        if name not in STATE:
            raise AttributeError(name)
        waiting, self.waiting = self.waiting, []
        for scores, values in waiting:
            self.pieces.append((scores, values))
            self.state["maximum"].fill_(-torch.inf)
            self.state["normaliser"].zero_()
            self.state["weighted"].zero_()
            for piece in self.pieces:
                Honest.update(self, *piece)
        return self.state[name]

    def update(self, scores, values):
        if values.shape[-1:] != self.weighted.shape[-1:] or (
            scores.shape[:-1] != self.maximum.shape
        ):
            raise ValueError("another shape")
        self.waiting.append((scores.clone(), values.clone()))


class AnotherThread(AllKeys):
    """Leaves the work to a thread that goes on between the calls."""

    def update(self, scores, values):
        thread = threading.Thread(target=super().update, args=(scores, values))
        thread.start()
        if not counted():
            thread.join()


class ChangedLater(Honest):
    """Keeps the tensors that it has returned, and writes into them when it is called again."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.returned = []

    def update(self, scores, values):
        super().update(scores, values)
        for t in self.returned:
            t.zero_()

    def result(self):
        self.returned.append(super().result())
        return self.returned[-1]


class OneBuffer(Honest):
    """Returns the same tensor every time."""

    def __init__(self, batch, width, dtype=torch.float32, device=None):
        super().__init__(batch, width, dtype, device)
        self.out = torch.zeros(*batch, width, dtype=dtype, device=device)

    def result(self):
        return self.out.copy_(super().result())


class ItsState(Honest):
    """Returns the tensor that it works with."""

    def result(self):
        if not hasattr(self, "average"):
            self.average = self.weighted.clone()
        self.average.copy_(super().result())
        return self.average


class OnTheClass(Honest):
    """All objects of one shape share their state, which a new one empties."""

    kept: dict = {}  # noqa: RUF012  (the fault itself)

    def __init__(self, batch, width, dtype=torch.float32, device=None):
        super().__init__(batch, width, dtype, device)
        mine = {name: self.__dict__[name] for name in STATE}
        key = (tuple(batch), width, dtype, str(device))
        shared = self.kept.setdefault(key, mine)
        for name in STATE:
            shared[name].copy_(mine[name])
            self.__dict__[name] = shared[name]


class CallersTensors(Honest):
    """Keeps the tensors that it is given, and looks into them when it is asked."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.last = None

    def update(self, scores, values):
        if self.last is not None:
            before, *piece = self.last
            for name, t in before.items():
                self.__dict__[name].copy_(t)
            super().update(*piece)
        before = {name: self.__dict__[name].clone() for name in STATE}
        super().update(scores, values)
        self.last = (before, scores, values)


class RaisingInit(Honest):
    def __init__(self, *args, **kwargs):
        raise KeyError("not today")


class HangingInit(Honest):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        while True:
            pass


class RaisingProperty(Honest):
    """Its state can be read once."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.read, self.state = 0, {name: self.__dict__.pop(name) for name in STATE}

    def __getattr__(self, name):
        if name not in STATE:
            raise AttributeError(name)
        self.read += 1
        if self.read > 30:
            raise KeyError(f"{name} was read {self.read} times")
        return self.state[name]


class HangingProperty(RaisingProperty):
    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except KeyError:
            while True:
                time.sleep(0.01)


class EndingThird(Honest):
    """Ends its process in its third update."""

    updates = 0

    def update(self, scores, values):
        self.updates += 1
        if self.updates == 3:
            import os

            os._exit(0)
        super().update(scores, values)


class Sent(Honest):
    """Returns what is no tensor of numbers."""

    def result(self):
        return super().result().to_sparse()


class ForgedNumbers(_Moving):
    """Has its process tell the counter's numbers of the first tensors, whatever its state is."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        from tutor.sandbox.inside.counted import ForwardedInstance

        if not hasattr(ForwardedInstance, "honest"):
            ForwardedInstance.honest = ForwardedInstance.respond
            ForwardedInstance.respond = _with_the_first_state


def _with_the_first_state(self, act, args):
    response = self.honest(act, args)
    self.first = getattr(self, "first", response.state)
    return response.__class__(response.outputs, self.first, cost=response.cost)


AT_MOST = {
    StorageOfASubclass: (0, "expected a tensor of shape (2, 3), got a _Forged"),
    StorageOnTheTensor: (6, "maximum is another tensor now, with memory of its own"),
    Decoys: (6, "what is written into its state is not what update works with"),
    Swapping: (6, "maximum is another tensor now, with memory of its own"),
    AllKeys: (5, "19,008 FLOPs in 3 matrix products; 8,448 are enough"),
    CheapWhenCounted: (0, "when its work is counted, the call answers otherwise"),
    LaterThanCounted: (5, "19,008 FLOPs in 3 matrix products; 8,448 are enough"),
    ChangedLater: (0, "first result: a later call changed the tensor that it had returned"),
    OneBuffer: (0, "first result: a later call changed the tensor that it had returned"),
    ItsState: (0, "first result: a later call changed the tensor that it had returned"),
    OnTheClass: (0, "the calls of a second object changed the state of the first"),
    CallersTensors: (5, "it keeps the caller's tensors and not what was in them"),
    RaisingInit: (0, "construction: KeyError: 'not today'"),
    RaisingProperty: (0, "third update: KeyError: 'weighted was read 31 times'"),
    Sent: (0, "first result: expected a tensor of shape (2, 3, 11), got a sparse tensor"),
}
"""Points, and a sentence of the report."""
IN_THE_SANDBOX = {
    StorageOfEveryTensor: (6, "maximum is another tensor now, with memory of its own"),
    ForgedNumbers: (0, "when its work is counted, the call answers otherwise"),
    AnotherThread: (0, "when its work is counted, the call answers otherwise"),
    HangingInit: (0, "construction: "),
    HangingProperty: (0, ""),
    EndingThird: (0, "third update: "),
}
"""What would not be nice at home."""
