"""Exercises that are classes, in the sandbox: the same judge, the same reports, no way round."""

import inspect
from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn

from tests.course_with_state import CHAPTER, EXERCISES, RUNNING_SOFTMAX, answers, attacks
from tutor.checks import judge
from tutor.checks.candidate import Construction, LocalCandidate
from tutor.grading import submission
from tutor.grading.grader import Grader
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.limits import Limits
from tutor.sandbox.session import Session

LIMITS = Limits(call_seconds=2, check_seconds=20, wall_factor=3, grace_seconds=0.5)
SEED = 7
ROOT = Path(answers.__file__).parent


@pytest.fixture(scope="module")
def grader():
    with Grader(CHAPTER, LIMITS, key=b"a test's secret", exercises=EXERCISES) as grader:
        grader.sandbox.start()
        yield grader


@pytest.fixture
def session(grader):
    session = Session(grader.sandbox)
    for module in (answers, attacks):
        outputs = session.cell(Path(module.__file__).read_text("utf-8"), "answers", 10_000)
        assert not [o for o in outputs if o["output_type"] == "error"]
    yield session
    session.close()


def report(candidate):
    found = judge(RUNNING_SOFTMAX, candidate, SEED).to_dict()
    for verdict in found["verdicts"]:  # the traps' lines are ours, and are not quoted at home
        if verdict["failure"]:
            sentences = verdict["failure"]["sentences"]
            verdict["failure"]["sentences"] = [s for s in sentences if not s.startswith("in your")]
    return found


# A check from outside says what a check at home says

RIGHT = [*answers.RIGHT, *answers.COSTLY, answers.InNumpy]


@pytest.mark.parametrize("answer", RIGHT)
def test_answers_get_the_report_that_they_get_at_home(session, answer):
    assert report(RemoteCandidate(session, answer.__name__)) == report(answer)


TRAPS = [f for trap in RUNNING_SOFTMAX.traps for f in trap.functions]


@pytest.mark.parametrize("trap", TRAPS)
def test_traps_get_the_report_that_they_get_at_home(session, trap):
    bases = [c for c in reversed(trap.__mro__[:-1])]
    text = "\n".join(inspect.getsource(c) for c in bases).replace('Float[Tensor, "*batch', '("')
    text = text.replace('T"]', 'T")').replace('W"]', 'W")')
    head = "from __future__ import annotations\nfrom torch import Tensor\n"
    outputs = session.cell(head + text, "trap", 10_000)
    assert not [o for o in outputs if o["output_type"] == "error"], outputs
    assert report(RemoteCandidate(session, trap.__name__)) == report(trap)


# The seam, method by method


class Layer(nn.Module):
    def __init__(self, width, *, bias=True):
        super().__init__()
        self.proj, self.calls = nn.Linear(width, 2, bias=bias), 0
        self.register_buffer("total", torch.zeros(2))

    def forward(self, x):
        self.calls += 1
        self.total.add_(x.detach().sum())
        return self.proj(x) * self.calls

    def update(self, n):
        self.calls += n
        return self.total


SOURCE = "from torch import nn\nimport torch\n" + inspect.getsource(Layer)
STATE = {"proj.weight": torch.ones(2, 3), "total": torch.zeros(2)}


def both(session):
    session.cell(SOURCE, "Layer", 1000)
    return LocalCandidate(Layer), RemoteCandidate(session, "Layer")


def construction(**options):
    names = ("proj.weight", "total", "calls")
    return Construction((3,), {"bias": False}, STATE, names, **options)


def plain(response):
    """What a response says, as lists of numbers and words."""

    def one(value):
        if isinstance(value, torch.Tensor):
            return value.tolist()
        return list(map(one, value)) if isinstance(value, tuple | list) else value

    crash = response.crash and (response.crash.kind, response.crash.message)
    parts = (response.outputs, response.state, response.gradients, crash)
    return [one(part) for part in parts]


def test_calls_and_the_end_of_them_are_the_same_inside(session):
    found = []
    for candidate in both(session):
        made = candidate.make(construction())
        other = candidate.make(construction())
        calls = [made.call("forward", (torch.ones(5, 3),)), made.call("update", (4,))]
        calls += [made.call("forward", (torch.arange(3.0),)), made.call("absent", (1,))]
        assert calls[-1].crash.kind == "AttributeError"
        assert other.call("update", (0,)).outputs.tolist() == [0, 0]
        found.append([*map(plain, [made.made, *calls])])
    assert found[0] == found[1]


def test_an_answer_that_changes_later_is_seen_at_the_end(session):
    for candidate in both(session):
        made = candidate.make(construction())
        assert made.call("update", (1,)).outputs.tolist() == [0, 0]
        made.call("forward", (torch.ones(3),))
        _, update, _ = made.end().outputs
        assert update.tolist() == [3, 3]


def test_gradients_reach_arguments_and_parameters(session):
    found = []
    for candidate in both(session):
        made = candidate.make(construction(gradients=True))
        for x in (torch.ones(5, 3), torch.arange(3.0)):
            made.call("forward", (x,))
        end = made.end(((), (torch.ones(5, 2),), (torch.tensor([1.0, 2.0]),)))
        assert len(end.gradients) == 2 + 2 + 3  # state_dict, calls, names
        assert end.gradients[2].tolist() == [[2] * 3] * 5
        assert end.gradients[4].tolist() == [[5, 7, 9], [5, 9, 13]]
        found.append(plain(end))
    assert found[0] == found[1]


def test_work_is_counted_call_by_call(session):
    found = []
    for candidate in both(session):
        made = candidate.make(construction(count=True))
        calls = [made.call("forward", (torch.ones(n, 3),)) for n in (5, 7)]
        costs = [(c.cost.flops, c.cost.largest, c.cost.outside) for c in calls]
        assert costs == [(2 * n * 3 * 2, max(2 * n, 6), None) for n in (5, 7)]
        found.append([costs, *map(plain, [made.made, *calls])])
    assert found[0] == found[1]


def test_memory_is_looked_at_where_the_work_is_done(session):
    for candidate in both(session):
        made = candidate.make(construction(count=True))
        made.hold()
        made.call("forward", (torch.ones(3),))
        assert made.kept() == (True, True, False)
        read = made.write((None, torch.tensor([5.0, 6.0]), None), held=True)
        assert read.state[1].tolist() == [5, 6]
        assert made.call("update", (0,)).outputs.tolist() == [5, 6]


def test_a_tensor_of_the_last_case_is_the_same_one_inside(session):
    session.cell(
        "seen = []\n"
        "class Seen:\n"
        "    def __init__(self, x):\n"
        "        seen.append(x)\n"
        "    see = __init__",
        "Seen",
        1000,
    )
    remote, x, y = RemoteCandidate(session, "Seen"), torch.ones(2), torch.ones(3)
    for _ in range(2):
        made = remote.make(Construction((x,)))
        made.call("see", (y,))
        x.add_(1)
        y.add_(2)
    (said,) = session.cell(
        "[t.tolist() for t in seen], seen[0] is seen[2], seen[1] is seen[3]", "", 1000
    )
    shown = "([[2.0, 2.0], [3.0, 3.0, 3.0], [2.0, 2.0], [3.0, 3.0, 3.0]], True, True)"
    assert said["data"]["text/plain"] == shown


def test_an_object_is_gone_with_its_process(session):
    _, remote = both(session)
    made = remote.make(construction())
    session.close()
    response = made.call("update", (1,))
    assert response.crash.kind == "MalformedAnswer"
    assert "gone with its process" in response.crash.message
    assert made.end().crash and remote.make(construction()).made.crash is None


# A notebook with a class


def graded(grader, source):
    released = submission.released(CHAPTER, "running_softmax", ROOT)
    handed_in = nbformat.from_dict(released)
    own = {"RunningSoftmax-solution": (source,)}
    return grader.grade_submitted(submission.Submitted(own=own), handed_in)


def named(cls):
    return f"\nRunningSoftmax = {cls.__name__}"


TEXT = Path(answers.__file__).read_text("utf-8") + Path(attacks.__file__).read_text("utf-8")


def test_the_notebooks_own_solution_earns_everything_and_the_released_one_nothing(grader):
    source = (ROOT / "solutions" / CHAPTER / "running_softmax.md").read_text("utf-8")
    solution = source.partition("class RunningSoftmax")[2].partition("```")[0]
    found = graded(grader, "class RunningSoftmax" + solution)
    assert found.points == {"RunningSoftmax": 8.0}
    (starter,) = (
        c.source
        for c in submission.released(CHAPTER, "running_softmax", ROOT).cells
        if "NotImplementedError" in c.source
    )
    found = graded(grader, starter)
    assert found.points == {"RunningSoftmax": 0.0}
    assert "the constructor raises NotImplementedError" in str(found.reports)
    found = graded(grader, "RunningSoftmax = 3")
    assert "There is no class RunningSoftmax" in str(found.reports)


@pytest.mark.parametrize("answer", answers.RIGHT)
def test_right_answer_in_a_notebook_earns_everything(grader, answer):
    found = graded(grader, TEXT + named(answer))
    assert found.points == {"RunningSoftmax": 8.0} and not found.problems


ATTACKS = {**attacks.AT_MOST, **attacks.IN_THE_SANDBOX}


@pytest.mark.by_content("tutor/sandbox/**/*.py", "tutor/grading/**/*.py")
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_in_a_notebook_earns_no_more_than_it_should(grader, attack):
    points, sentence = ATTACKS[attack]
    found = graded(grader, TEXT + named(attack))
    assert found.points == {"RunningSoftmax": points}
    assert sentence in str(found.reports["RunningSoftmax"])
    assert not found.problems
