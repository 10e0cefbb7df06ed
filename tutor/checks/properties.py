"""What holds between several answers, or of an object as a whole."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from tutor.checks.candidate import Candidate, Construction, LocalCandidate, Widened
from tutor.checks.compare import TOLERANCE
from tutor.checks.exercise import Case, Exercise, Property
from tutor.checks.observation import Broken, Trial
from tutor.checks.response import NOTHING, Response
from tutor.checks.tensors import describe, same_values
from tutor.checks.trace import as_tuple, copied, copy, expected_of, play


class _Stop(Exception):
    """The candidate did something with which the test cannot go on: says what, in a sentence."""


def test_properties(trial: Trial) -> None:
    generator = trial.generator("properties")
    for prop in trial.exercise.properties:
        numbers = generator.get_state()
        group = trial.groups[prop.group]
        group.properties += 1
        sentence = broken_by(trial.exercise, trial.candidate, prop, generator, trial.device)
        if sentence and trial.single:
            asked = torch.Generator()
            asked.set_state(numbers)
            wide = Widened(trial.candidate)
            sentence = broken_by(trial.exercise, wide, prop, asked, trial.device)
        if sentence:
            group.broken.append(Broken(prop.label, sentence, prop, numbers))


def broken_by(
    exercise: Exercise,
    candidate: Candidate,
    prop: Property,
    generator: Generator,
    device: torch.device,
) -> str | None:
    """What does not hold, in a sentence."""

    def call(*args: Any) -> Tensor | tuple[Tensor, ...]:
        case = Case(prop.label, args)
        response = play(candidate, exercise, copied(case)).responses[0]
        (wanted,) = expected_of(exercise, copied(case)).responses
        if isinstance(wanted.outputs, tuple):
            return _of_several(wanted, response)
        _of_a_tensor(response)
        return _of_the_shape(wanted.outputs, response.outputs).detach()

    if exercise.is_class:
        call = Make(exercise, candidate)
    try:
        return prop.test(call, generator, device)
    except _Stop as stop:
        return str(stop)
    except (RuntimeError, IndexError) as error:  # an answer of another shape or type
        return f"the answer cannot be compared: {str(error).partition(chr(10))[0]}"


def _of_a_tensor(response: Response, who: str = "it") -> None:
    if response.crash is not None:
        raise _Stop(f"{who} raised {response.crash.kind}")
    if not isinstance(response.outputs, Tensor):
        raise _Stop(f"{who} did not return a tensor")


def _of_several(wanted: Response, response: Response) -> tuple[Tensor, ...]:
    if response.crash is not None:
        raise _Stop(f"it raised {response.crash.kind}")
    found = as_tuple(response.outputs)
    if len(found) != len(wanted.outputs) or not isinstance(response.outputs, tuple):
        raise _Stop(f"it returned {describe(response.outputs)}")
    for f in found:
        _of_a_tensor(replace(response, outputs=f))
    pairs = zip(wanted.outputs, found, strict=True)
    return tuple(_of_the_shape(w, f).detach() for w, f in pairs)


def _of_the_shape(wanted: Tensor, got: Tensor) -> Tensor:
    if got.shape != wanted.shape:  # to broadcast it may take all memory
        raise IndexError(f"{tuple(got.shape)} and not {tuple(wanted.shape)}")
    return got


class Make:
    """``make(*args, **kwargs)`` is an object of the candidate's class, under test."""

    def __init__(self, exercise: Exercise, candidate: Candidate):
        self.exercise, self.candidate = exercise, candidate

    def __call__(self, *args: Any, **kwargs: Any) -> "Subject":
        construction = Construction(args, kwargs, names=self.exercise.state)
        return Subject(self.exercise, self.candidate, construction)

    def watched(self, *args: Any, **kwargs: Any) -> "Subject":
        """One whose work is counted, and whose memory can be looked at."""
        construction = Construction(args, kwargs, names=self.exercise.state, count=True)
        return Subject(self.exercise, self.candidate, construction)


class Subject:
    """An object of the candidate's class, with one of the reference's beside it."""

    def __init__(self, exercise: Exercise, candidate: Candidate, construction: Construction):
        beside = replace(
            construction,
            args=tuple(map(copy, construction.args)),
            kwargs={name: copy(value) for name, value in construction.kwargs.items()},
            count=False,
        )
        self.names = construction.names
        self.reference = LocalCandidate(exercise.reference).make(beside)
        self.object = candidate.make(construction)
        self._answered("its construction", self.object.made)

    def _answered(self, what: str, response: Response) -> Response:
        self.response = response
        if response.crash is not None:
            raise _Stop(f"{what} raised {response.crash.kind}")
        if response.cost is not None and response.cost.uncountable and response.cost.unseen:
            raise _Stop(f"{what} calls {response.cost.uncountable}, whose work is not known")
        return response

    def call(self, method: str, *args: Any) -> Any:
        """What it answers: a tensor, a tuple of them, or None where the reference does.

        The tensors are passed as they are: the object may keep, or change, the caller's.
        """
        wanted = self.reference.call(method, tuple(map(copy, args)))
        got = self._answered(method, self.object.call(method, args))
        if wanted.outputs is NOTHING:
            return None
        found = as_tuple(got.outputs)
        if len(found) != len(as_tuple(wanted.outputs)):
            raise _Stop(f"{method} returned {describe(got.outputs)}")
        for w, f in zip(as_tuple(wanted.outputs), found, strict=True):
            _of_a_tensor(replace(got, outputs=f), method)
            _of_the_shape(w, f)
        return got.outputs

    def agrees(self, method: str, *args: Any) -> bool:
        """Call it; whether it answers as the reference does, which was written into like it."""
        wanted = self.reference.call(method, tuple(map(copy, args)))
        got = self._answered(method, self.object.call(method, args))
        pairs = (wanted.state, got.state), (as_tuple(wanted.outputs), as_tuple(got.outputs))
        asked = pairs[: 1 if wanted.outputs is NOTHING else 2]
        return all(same_values(w, g, TOLERANCE[torch.float64]) for w, g in asked)

    def hold(self, names: tuple[str, ...]) -> None:
        """Remember the memory of these parts of the state, for ``moved`` and ``parted``."""
        self.object.hold()
        self.held = names
        if sentence := self.moved():
            raise _Stop(sentence)

    def moved(self) -> str | None:
        """Whether a part of the state is not where it was."""
        kept = dict(zip(self.names, self.object.kept(), strict=True))
        state = dict(zip(self.names, self.response.state, strict=True))
        for name in self.held:
            if not isinstance(state[name], Tensor):
                return f"{name} is no tensor"
            if not kept[name]:
                return f"{name} is another tensor now, with memory of its own"
        return None

    def parted(self, generator: Generator) -> str | None:
        """The same by another way: what is written through the tensor that is held is read by its
        name, and the other way round. Leaves new numbers in the state, also the reference's."""
        for held in (True, False):
            numbers = tuple(
                _numbers_like(t, generator) if name in self.held else None
                for name, t in zip(self.names, self.response.state, strict=True)
            )
            read = self.object.write(numbers, held)
            if read.crash is not None:
                return f"its state cannot be written: {read.crash.kind}"
            for name, wrote, now in zip(self.names, numbers, read.state, strict=True):
                if wrote is not None and not same_values((wrote,), (now,), 0.0):
                    return f"{name} is not the tensor that it was: what is written there is lost"
        self.reference.hold()
        self.reference.write(numbers, held=True)
        return None


def _numbers_like(t: Tensor, generator: Generator) -> Tensor:
    return (torch.rand(t.shape, generator=generator) + 0.5).to(t.device, t.dtype)


def in_place(
    names: tuple[str, ...], sequence: Callable[[Generator, torch.device], Case]
) -> Callable[[Make, Generator, torch.device], str | None]:
    """Test of a property: these floating-point tensors of the state stay where they are, and it is
    with them that the object works. ``sequence`` says through which calls."""

    def test(make: Make, generator: Generator, device: torch.device) -> str | None:
        case = sequence(generator, device)
        subject = make.watched(*case.args, **case.kwargs)
        subject.hold(names)
        for call in case.calls:
            subject.call(call.method, *call.args)
            if sentence := subject.moved():
                return f"after {call.method}, {sentence}"
        if sentence := subject.parted(generator):
            return sentence
        for call in case.calls:
            if not subject.agrees(call.method, *call.args):
                return f"what is written into its state is not what {call.method} works with"
        return None

    return test
