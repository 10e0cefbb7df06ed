"""The seam between the judge and whatever runs the student's code.

The judge speaks to a candidate through a few methods: ``run`` calls a function, ``make`` an object
of a class, whose methods are then called one after the other. What comes back is a ``Response``.
``LocalCandidate`` does it in this process; ``tutor.grading`` puts a boundary there.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from tutor.checks.composites import composites
from tutor.checks.cost import Counter, autograd_told, same_memory
from tutor.checks.elsewhere import origins
from tutor.checks.modes import call_modes, taken_off
from tutor.checks.response import (
    CHANGED,
    Crash,
    Response,
    Unreadable,
    caller,
    crash,
    plain,
    plain_tensor,
    settled_tensor,
)
from tutor.checks.sequences import flat, in_parts
from tutor.checks.steps import stepped
from tutor.checks.widened import Place, Watching, narrowed, widened

NO_HOOKS = "saved tensor hooks"
"""Stands in what torch raises where it records a graph and cannot tell of it."""

LARGEST = 2**26
"""Bytes of an answer or a part of an object's state that is kept as it was at the time."""


@dataclass(frozen=True)
class Construction:
    """How an object is made, and how it is watched while it lives."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    state_dict: Mapping[str, Tensor] | None = None
    """Loaded by ``load_state_dict`` when it is made."""
    names: tuple[str, ...] = ()
    """Attributes that are read after every call; dotted, as the entries of a ``state_dict``."""
    gradients: bool = False
    """Floating-point arguments ask for gradients, which ``Instance.end`` computes."""
    count: bool = False
    forbid_autograd: bool = False
    widened: bool = False
    """Its calls compute in double precision what they would in single."""


class Instance(Protocol):
    """An object of a candidate's class. Nothing that it does raises."""

    made: Response
    """Of its construction: no outputs, the first state, or a crash."""

    def call(self, method: str, args: tuple[Any, ...]) -> Response:
        """Call one of its methods; the outputs, and the state, are what they are now."""
        ...

    def end(self, cotangents: tuple[tuple[Tensor | None, ...], ...] | None = None) -> Response:
        """What became of everything: ``outputs`` of the construction and of each call, ``state``
        and ``args_after``, of all of them in order, as they are now.

        With ``cotangents`` of the outputs, also ``gradients``: one for each floating-point tensor
        among the arguments, and then for each of ``names``, None where none arrived.
        """
        ...

    # Of an object that is counted:

    def hold(self) -> None:
        """Remember the tensors that ``names`` are now: the memory, not the numbers in it."""
        ...

    def kept(self) -> tuple[bool, ...]:
        """Of each name: whether it is a tensor, and in the memory that is held."""
        ...

    def write(self, numbers: tuple[Tensor | None, ...], held: bool) -> Response:
        """Write through the tensors that are held and read those that ``names`` are, or the other
        way round. ``state`` is what was read. None leaves a part as it is."""
        ...


class Candidate(Protocol):
    """A function, or a class of objects, wherever it lives."""

    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
        widened: bool = False,
    ) -> Response:
        """Call with ``args``; with ``cotangents``, also their vector-Jacobian products.

        widened: compute in double precision what it would in single, and tell where it would.
        """
        ...

    def walk(self, args: tuple[Any, ...]) -> Response:
        """Call with ``args``, and count the steps of Python: ``cost.steps``."""
        ...

    def reread(self, response: Response) -> Any:
        """The outputs of the call before the last, ``response``, as they are now."""
        ...

    def make(self, construction: Construction) -> Instance:
        """An object of the class."""
        ...

    def modes(self) -> tuple[str, ...]:
        """What torch is set to otherwise than usual where it lives, if that is not here."""
        ...

    told: set[str]
    """Operations that have told of themselves (``composites``) in any call so far, counted or not.
    """


class Widened:
    """The candidate, with every float32 a float64."""

    def __init__(self, candidate: Candidate):
        self.candidate, self.told = candidate, candidate.told

    def run(self, args: tuple[Any, ...], *watched: Any) -> Response:
        return self.candidate.run(args, *watched, widened=True)

    def walk(self, args: tuple[Any, ...]) -> Response:
        return self.candidate.walk(args)

    def reread(self, response: Response) -> Any:
        return self.candidate.reread(response)

    def make(self, construction: Construction) -> Instance:
        return self.candidate.make(replace(construction, widened=True))

    def modes(self) -> tuple[str, ...]:
        return self.candidate.modes()


class LocalCandidate:
    """A function or a class, in this process."""

    guard = staticmethod(call_modes)
    """Undoes what a call sets."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.told: set[str] = set()

    def run(
        self,
        args: tuple[Any, ...],
        cotangents: tuple[Tensor, ...] | None = None,
        count: bool = False,
        forbid_autograd: bool = False,
        widened: bool = False,
    ) -> Response:
        gradients = cost = place = None
        leaves = []
        if cotangents is not None:
            args = tuple(in_parts(a, _leaf) for a in args)
            leaves = [a for a in flat(args) if isinstance(a, Tensor) and a.requires_grad]
        given, before = flat(args), _copies(args)
        counter = Counter(forbid_autograd) if count else None
        # Who is asked for gradients records a graph as he should.
        hooked = forbid_autograd and not count and cotangents is None
        hooks = autograd_told(self.told) if hooked else nullcontext()
        try:
            with self.guard(), composites(self.told), hooks, _watched(counter, args) as cost:
                outputs, place = (self._widened if widened else self._usual)(args)
                if counter is not None:
                    counter.returned(outputs)
            outputs = plain(outputs)
            if cotangents is not None:
                gradients = _vjp(outputs, leaves, cotangents)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if (
                hooked and type(error) is RuntimeError and NO_HOOKS in str(error)
            ):  # torch.func: told, and asked once more
                self.told.add("autograd")
                return self.run(args, widened=widened)
            return Response(args_after=_after(given, before), crash=crash(error), cost=cost)
        return Response(outputs, (), gradients, _after(given, before), None, cost, place)

    def walk(self, args: tuple[Any, ...]) -> Response:
        cost = None
        try:
            with self.guard(), stepped() as cost:
                outputs = self.function(*args)
            return Response(plain(outputs), args_after=args, cost=cost)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Response(args_after=args, crash=crash(error), cost=cost)

    def _usual(self, args: tuple[Any, ...]) -> tuple[Any, None]:
        return self.function(*args), None

    def _widened(self, args: tuple[Any, ...]) -> tuple[Any, Place | None]:
        others = tuple(in_parts(a, _another) for a in args)
        with Watching(caller) as usual, taken_off():
            self.function(*others)
        with widened(caller) as wide, taken_off():
            outputs = self.function(*args)
        return outputs, narrowed(usual, wide)

    def reread(self, response: Response) -> Any:
        return response.outputs

    def make(self, construction: Construction) -> "LocalInstance":
        return LocalInstance(self.function, construction, self.told)

    def modes(self) -> tuple[str, ...]:
        return ()


class Known(LocalCandidate):
    """One of ours, which sets nothing: a check calls hundreds, and a guard would cost as much."""

    guard = staticmethod(nullcontext)


class LocalInstance:
    """An object of a class, in this process."""

    def __init__(
        self, made_by: Callable[..., Any], construction: Construction, told: set[str] | None = None
    ):
        self.told: set[str] = set() if told is None else told
        args, kwargs = construction.args, dict(construction.kwargs)
        if construction.gradients:
            args = tuple(in_parts(a, _leaf) for a in args)
            kwargs = {name: in_parts(value, _leaf) for name, value in kwargs.items()}
        state_dict = construction.state_dict
        self.construction, self.object = construction, None
        self.counter = Counter(construction.forbid_autograd) if construction.count else None
        self.args: list[Any] = []
        """All arguments so far."""
        self.before: list[Any] = []
        """The same as they came, where they are no tensors."""
        self.answers: list[Any] = []
        """Of the construction and of each call, and not copies."""
        self.held: tuple[Any, ...] = ()

        def construct() -> tuple[()]:
            self.object = made_by(*args, **kwargs)
            if state_dict is not None:
                self.object.load_state_dict(dict(state_dict))
            return ()

        given = (*args, *kwargs.values(), *(state_dict or {}).values())
        self.made = self.respond(construct, given)
        asked = construction.gradients and self.made.crash is None
        self.parameters = self.read() if asked else ()

    def call(self, method: str, args: tuple[Any, ...]) -> Response:
        if self.construction.gradients:
            args = tuple(in_parts(a, _leaf) for a in args)
        # Looked up when it is called: a missing one is the candidate's crash.
        return self.respond(lambda: getattr(self.object, method)(*args), args)

    def respond(self, act: Callable[[], Any], args: tuple[Any, ...]) -> Response:
        """What a call gives, and the state after it."""
        self.args += flat(args)
        self.before += _copies(args)
        cost = None
        try:
            wide = widened(caller) if self.construction.widened else nullcontext()
            watched = composites(self.told), _watched(self.counter, args)
            with call_modes(), watched[0], watched[1] as cost, wide:
                answer = act()
                state = self.read()  # what is worked out here is work of the call
                if self.counter is not None:
                    self.counter.returned((answer, state))
            self.answers.append(plain(answer))
            return Response(_snapshot(self.answers[-1]), _snapshots(state), cost=cost)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Response(crash=crash(error), cost=cost)

    def read(self) -> tuple[Any, ...]:
        """What ``names`` are, or the crash of reading them."""
        return tuple(self._read(name) for name in self.construction.names)

    def _read(self, name: str) -> Any:
        try:
            found = self.object
            for part in name.split("."):
                found = getattr(found, part)
            return found
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return crash(error)

    def end(self, cotangents: tuple[tuple[Tensor | None, ...], ...] | None = None) -> Response:
        gradients = None
        if cotangents is not None:
            asked = [a for a in self.args if isinstance(a, Tensor) and a.is_floating_point()]
            leaves = [t if _asks_for_gradients(t) else None for t in (*asked, *self.parameters)]
            flat = [out for answer in self.answers for out in _as_tuple(answer)]
            given = [c for answer in cotangents for c in answer]
            try:
                found = iter(_vjp(tuple(flat), [t for t in leaves if t is not None], tuple(given)))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                return Response(crash=crash(error))
            gradients = tuple(None if t is None else next(found) for t in leaves)
        with call_modes():
            state = _snapshots(self.read())
        outputs = tuple(map(_snapshot, self.answers))
        return Response(outputs, state, gradients, _after(self.args, self.before))

    def hold(self) -> None:
        self.held = self._tensors()

    def kept(self) -> tuple[bool, ...]:
        return tuple(
            isinstance(h, Tensor) and isinstance(n, Tensor) and same_memory(h, n)
            for h, n in zip(self.held, self._tensors(), strict=True)
        )

    def _tensors(self) -> tuple[Any, ...]:
        with call_modes():
            return tuple(x if isinstance(x, Crash) else plain_tensor(x) for x in self.read())

    def write(self, numbers: tuple[Tensor | None, ...], held: bool) -> Response:
        try:
            with call_modes(), torch.no_grad():
                into, others = self.held, self._tensors()
                if not held:
                    into, others = others, into
                for t, new in zip(into, numbers, strict=True):
                    if new is not None:
                        t.detach().copy_(new)
                return Response(state=_snapshots(others))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Response(crash=crash(error))


def _watched(counter: Counter | None, args: tuple[Any, ...]):
    if counter is None:
        return origins(args, caller)
    return counter.call([a for a in tree_leaves(args) if isinstance(a, Tensor)])


def _copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Lists and mappings among the arguments as they are before a call."""
    return tuple(a.copy() if type(a) in (list, dict) else a for a in flat(args))


def _after(args: Sequence[Any], before: Sequence[Any]) -> tuple[Any, ...]:
    """What became of the arguments; of a list or a mapping, whether it is what it was."""
    return tuple(
        plain_tensor(a) if isinstance(a, Tensor) else b if _is(a, b) else CHANGED
        for a, b in zip(args, before, strict=True)
    )


def _is(now: Any, before: Any) -> bool:
    if now is before:
        return True
    try:
        same = len(now) == len(before) and list(now) == list(before) and now == before
    except Exception:  # of an object that the candidate has put into it
        return False
    return same is True


def _snapshot(answer: Any) -> Any:
    """What it is now: a later call may write into the same memory."""
    if isinstance(answer, tuple):
        return tuple(map(_snapshot, answer))
    answer = settled_tensor(answer, LARGEST)
    return answer.detach().clone() if isinstance(answer, Tensor) else answer


def _snapshots(state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Of no answer, so that None is no missing return."""
    words = Crash | Unreadable
    known = (Unreadable("None") if x is None else x for x in state)
    return tuple(x if isinstance(x, words) else _snapshot(plain_tensor(x)) for x in known)


def _asks_for_gradients(t: Any) -> bool:
    return isinstance(t, Tensor) and t.requires_grad and t.is_leaf


def _as_tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _another(arg: Any) -> Any:
    if isinstance(arg, Tensor):
        return arg.detach().clone()
    return arg.copy() if type(arg) in (list, dict) else arg


def _leaf(arg: Any) -> Any:
    if isinstance(arg, Tensor) and arg.is_floating_point():
        return arg.detach().requires_grad_()
    return arg


def _vjp(
    outputs: Any, leaves: list[Tensor], cotangents: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    pairs = [
        (out, c)
        for out, c in zip(_as_tuple(outputs), cotangents, strict=False)
        if isinstance(out, Tensor)
        and isinstance(c, Tensor)
        and out.requires_grad
        and out.shape == c.shape
    ]
    if not pairs:
        return tuple(None for _ in leaves)
    outs, cots = zip(*((out, c.to(out.dtype)) for out, c in pairs), strict=True)
    return torch.autograd.grad(outs, leaves, cots, allow_unused=True)
