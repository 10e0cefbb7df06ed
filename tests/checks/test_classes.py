"""Exercises that are classes: a construction and a sequence of calls, compared call by call."""

import textwrap
from dataclasses import replace

import pytest
import torch
from reporting import said, verdict
from torch import nn

from tests.course_with_state import EXERCISES, RUNNING_SOFTMAX
from tests.course_with_state.answers import COSTLY, RIGHT, InNumpy, Merged
from tests.course_with_state.attacks import AT_MOST
from tests.course_with_state.reference import RunningSoftmax
from tutor.checks import PUBLIC_SEED, check, judge
from tutor.checks.draw import Draw
from tutor.checks.exercise import Call, Case, Contract, Exercise, Trap

TRAPS = [(t, f) for t in RUNNING_SOFTMAX.traps for f in t.functions]


def report_on(candidate, exercise=RUNNING_SOFTMAX, **options):
    return judge(exercise, candidate, **options)


def failing(report):
    return {v.group for v in report.verdicts if not v.passed}


# RunningSoftmax, which has all that an exercise has


@pytest.mark.parametrize("seed", [PUBLIC_SEED, *range(4)])
@pytest.mark.parametrize("answer", [RunningSoftmax, *RIGHT])
def test_right_answer_in_any_style_gets_full_marks(answer, seed):
    report = report_on(answer, seed=seed)
    assert report.points == report.possible == RUNNING_SOFTMAX.total, report


@pytest.mark.parametrize("answer", COSTLY)
def test_right_answer_that_does_too_much_work_loses_the_contract_alone(answer):
    report = report_on(answer)
    assert failing(report) == {"contracts"}
    assert "elements written by all operations together" in said(report, "contracts")
    assert verdict(report, "contracts").failure.label == "work of one call of update"


def test_numpy_is_told_what_it_costs():
    report = report_on(InNumpy)
    assert report.points == 0
    assert "takes numbers out of torch" in said(report, "contracts")


@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1])
@pytest.mark.parametrize(("trap", "function"), TRAPS, ids=[f.__name__ for _, f in TRAPS])
def test_trap_is_refused_and_named(trap, function, seed):
    report = report_on(function, seed=seed)
    assert not report.passed
    assert report.traps == (trap.name,)
    assert trap.misconception in " ".join(str(report).split())


@pytest.mark.parametrize("attack", AT_MOST)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1])
def test_attack_earns_no_more_than_it_should_and_is_told_why(attack, seed):
    points, sentence = AT_MOST[attack]
    report = report_on(attack, seed=seed)
    assert report.points == points
    assert sentence in str(report)
    assert not report.traps


# Where in the sequence


class Third(Merged):
    """Wrong from its third update on."""

    updates = 0

    def update(self, scores, values):
        super().update(scores, values)
        self.updates += 1
        if self.updates > 2:
            self.normaliser.mul_(2)


def test_first_call_that_differs_is_reported_with_its_place_and_its_arguments():
    failure = verdict(report_on(Third), "values").failure
    assert failure.label == "three pieces"
    assert failure.sentences[0].startswith("third update: expected ")
    assert " in normaliser[0, 0], got " in failure.sentences[0]
    assert "maximum and weighted are right" in failure.sentences
    assert failure.shapes.startswith("RunningSoftmax(batch=(2, 3), width=11, ")
    assert failure.shapes.endswith("update(scores (2, 3, 7), values (2, 3, 7, 11))")


class ThirdRaises(Third):
    def update(self, scores, values):
        if self.updates == 2:
            raise KeyError("the third")
        super().update(scores, values)


def test_crash_is_reported_with_its_place_and_the_students_line():
    text = said(report_on(ThirdRaises), "values")
    assert text.startswith("third update: KeyError: 'the third'\nin your update, line ")
    assert 'raise KeyError("the third")' in text


class Unwritten(Merged):
    def result(self):
        raise NotImplementedError


def test_method_that_is_not_written_is_said_to_be_so():
    report = report_on(Unwritten)
    assert report.points == 0
    assert report.notes == ("Not written yet: result raises NotImplementedError.",)


def without(name):
    class Without(Merged):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            delattr(self, name)

    return Without


class AList(Merged):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.normaliser = self.normaliser.tolist()


def test_state_that_cannot_be_read_is_named():
    text = said(report_on(without("weighted")), "values")
    assert "construction: weighted cannot be read: AttributeError" in text
    text = said(report_on(AList), "values")
    assert "construction: normaliser: expected a tensor of shape (2, 3), got a list" in text


class OnTheCpu(Merged):
    def __init__(self, batch, width, dtype=torch.float32, device=None):
        super().__init__(batch, width, dtype)


def test_state_made_on_the_cpu_is_refused_without_any_gpu():
    report = report_on(OnTheCpu)
    assert failing(report) == {"types"}
    assert "on the CPU" in said(report, "types")


class Doubled(Merged):
    def update(self, scores, values):
        super().update(scores, values)
        self.maximum = self.maximum.double()


def test_dtype_of_the_state_is_compared():
    text = said(report_on(Doubled), "types")
    assert text.startswith("first update: expected maximum of torch.float32")


class Overwriting(Merged):
    def update(self, scores, values):
        super().update(scores, values)
        values.zero_()


class Reshaping(Merged):
    def update(self, scores, values):
        super().update(scores, values)
        values.unsqueeze_(0)


def test_argument_of_a_call_that_is_modified_is_named():
    text = said(report_on(Overwriting), "types")
    assert text == "first update: values was modified: the caller's tensor has other numbers now"
    text = said(report_on(Reshaping), "types")
    assert text.startswith(
        "first update: values was modified: the caller's tensor has the shape (1, "
    )


def test_relation_to_the_right_answer_is_said():
    class Negative(Merged):
        def result(self):
            return -super().result()

    text = said(report_on(Negative), "values")
    assert text.splitlines()[-1] == "out is what was expected with the other sign everywhere"


def test_object_of_no_such_methods_and_what_is_no_class_are_refused():
    for wrong in (list, lambda *args, **kwargs: 3, nn.Identity, RunningSoftmax((2, 3), 11)):
        if callable(wrong):
            assert report_on(wrong).points == 0


# Parameters, gradients, state_dict


class Gate(nn.Module):
    """x · sigmoid(scale x W), added up from call to call."""

    def __init__(self, scale, width, dtype=torch.float32, device=None):
        super().__init__()
        if width < 1:
            raise ValueError(f"width ({width}) must be positive")
        self.scale = scale
        self.inner = nn.ModuleList([nn.Linear(width, width, False, device, dtype)])
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * torch.sigmoid(self.scale * self.inner[0](x)), x.sum(-1)


class Detached(Gate):
    def forward(self, x):
        out, total = super().forward(x.detach() if self.calls else x)
        return out, total


class WeightDetached(Gate):
    def forward(self, x):
        self.calls += 1
        weight = self.inner[0].weight.detach()
        return x * torch.sigmoid(self.scale * (x @ weight.T)), x.sum(-1)


class ScaleDetached(Gate):
    def __init__(self, scale, *args, **kwargs):
        super().__init__(scale.detach(), *args, **kwargs)


class TwiceTheScale(Gate):
    def forward(self, x):
        self.scale = self.scale * 2
        return super().forward(x)


class ScaleWritten(Gate):
    def forward(self, x):
        out = super().forward(x)
        self.scale.data.mul_(1 + 1e-9)
        return out


class SigmoidInSingle(Gate):
    def forward(self, x):
        self.calls += 1
        gate = torch.sigmoid((self.scale * self.inner[0](x)).float())
        return x * gate.to(x.dtype), x.sum(-1)


class SigmoidWithAConstant(Gate):
    def forward(self, x):
        out, total = super().forward(x)
        return out + 1e-8, total


class Scaled(nn.Module):
    def __init__(self, scale, width, dtype=torch.float32, device=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, width, dtype=dtype, device=device))
        self.calls = 0


def gate_cases(generator, device):
    draw = Draw(generator, device)
    for label, dtype in (("two calls", torch.float64), ("single precision", torch.float32)):
        yield Case(
            label,
            (draw.normal(5, dtype=dtype), 5),
            kwargs={"dtype": dtype, "device": device},
            state_dict={"inner.0.weight": draw.normal(5, 5, dtype=dtype)},
            calls=(
                Call("forward", (draw.normal(3, 5, dtype=dtype),)),
                Call("forward", (draw.normal(2, 3, 5, dtype=dtype),)),
            ),
        )
    yield Case("no width", (draw.normal(0), 0), "edges", ValueError)


def gate_contract(generator, device):
    return Contract(
        (next(iter(gate_cases(generator, device))),), 2 * 6 * 25, 400, 30, method="forward"
    )


GATE = Exercise(
    reference=Gate,
    chapter="99_state",
    points={"values": 2, "edges": 1, "gradients": 1, "types": 1, "contracts": 1},
    cases=gate_cases,
    contract=gate_contract,
    outputs={"forward": ("out", "total")},
    state=("inner.0.weight", "calls"),
    traps=(Trap("the scale doubled", TwiceTheScale, "It doubles the scale.", "Gates"),),
)


def test_object_that_computes_in_single_precision_loses_the_dtypes_alone():
    report = report_on(SigmoidInSingle, GATE)
    assert [v.group for v in report.verdicts if not v.passed] == ["types"], report
    assert "right to single precision only" in said(report, "types")
    assert not verdict(report_on(SigmoidWithAConstant, GATE), "values").passed


def test_reference_with_parameters_gets_full_marks():
    report = report_on(Gate, GATE)
    assert report.passed, report
    assert judge(GATE, TwiceTheScale).traps == ("the scale doubled",)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Detached, "second forward: "),
        (WeightDetached, "no gradient reaches inner.0.weight"),
        (ScaleDetached, "construction: no gradient reaches scale"),
    ],
)
def test_gradients_reach_inputs_constructor_tensors_and_parameters(answer, sentence):
    report = report_on(answer, GATE)
    assert failing(report) == {"gradients"}
    assert said(report, "gradients").startswith(sentence)


def test_constructors_tensor_that_a_later_call_modifies_is_named():
    text = said(report_on(ScaleWritten, GATE), "types")
    assert text == "construction: scale was modified: the caller's tensor has other numbers now"


def test_constructor_that_must_raise_is_asked_to():
    class Patient(Gate):
        def __init__(self, scale, width, **kwargs):
            super().__init__(scale, max(width, 1), **kwargs)

    report = report_on(Patient, GATE)
    assert failing(report) == {"edges"}
    assert said(report, "edges") == "construction: expected ValueError, but it returned an answer"


def test_state_dict_that_does_not_load_is_a_crash_of_the_construction():
    text = said(report_on(Scaled, GATE), "values")
    assert text.startswith("construction: RuntimeError: Error(s) in loading state_dict for Scaled")


def test_outputs_bear_the_names_that_the_method_has():
    class NoTotal(Gate):
        def forward(self, x):
            out, total = super().forward(x)
            return out, total + 1

    text = said(report_on(NoTotal, GATE), "values")
    assert text.startswith("first forward: expected ") and " in total[0], got " in text
    assert "out, inner.0.weight and calls are right" in text


def test_reference_that_fails_is_a_fault_of_ours():
    def cases(generator, device):
        yield Case("no such method", (torch.ones(5), 5), calls=(Call("backwards"),))

    with pytest.raises(RuntimeError, match=r"Gate itself fails on “no such method”.*backwards"):
        judge(replace(GATE, cases=cases), Gate)


# check(), as it is called from a notebook


def students(source):
    namespace = {"torch": torch, "__name__": "__main__"}
    exec(textwrap.dedent(source), namespace)
    return namespace


def test_check_of_a_class_shows_the_report_and_returns_the_points(capsys):
    Answer = type("RunningSoftmax", (Merged,), {"__qualname__": "RunningSoftmax"})
    assert check(Answer, EXERCISES) == 8.0
    shown = capsys.readouterr().out
    assert shown.startswith("RunningSoftmax ") and "8 of 8 points" in shown
    with pytest.raises(LookupError, match="'RunningSoftmax'; the nearest: "):
        check(Answer)


@pytest.mark.parametrize(
    "source",
    [
        "from tests.course_with_state.reference import RunningSoftmax",
        """
        from tests.course_with_state.reference import RunningSoftmax as Theirs
        class RunningSoftmax(Theirs):
            pass
        """,
        """
        from tests.course_with_state.reference import RunningSoftmax as Theirs
        class RunningSoftmax:
            def __init__(self, *args, **kwargs):
                self.theirs = Theirs(*args, **kwargs)
            def __getattr__(self, name):
                return getattr(self.theirs, name)
        """,
    ],
    ids=["itself", "inherited", "kept inside"],
)
def test_class_of_the_course_itself_earns_nothing(source, capsys):
    assert check(students(source)["RunningSoftmax"], EXERCISES) == 0
    assert "the course's own class" in capsys.readouterr().out


def test_failing_class_that_a_failing_class_builds_on_is_said_first(capsys):
    namespace = students("""
        class RunningSoftmax:
            def __init__(self, batch, width, dtype=torch.float32, device=None):
                self.maximum = torch.zeros(batch, dtype=dtype, device=device)

        class Gate:
            def __init__(self, scale, width, dtype=torch.float32, device=None):
                self.running = RunningSoftmax((width,), width)

            def forward(self, x):
                return x, x
    """)
    check(namespace["Gate"], {**EXERCISES, "Gate": GATE})
    assert "It calls your RunningSoftmax, which earns 0 of 8 itself" in capsys.readouterr().out
