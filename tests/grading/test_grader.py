"""The executor: cells behave as in a notebook, checks as at home, and limits as written."""

import ast
import os
import re
import resource
import signal
import sys
import textwrap
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import answers
import nbformat
import pytest
import torch
from answers import MODULES

from tutor import ROOT
from tutor.checks import CHAPTERS, EXERCISES, judge, of_chapter
from tutor.checks.report import MIME
from tutor.checks.response import LONGEST_MESSAGE, sizes_only
from tutor.course.release import is_bench
from tutor.course.sample_class import CHAPTER, NOTEBOOK, solutions, source
from tutor.grading import grader as executor
from tutor.grading import submission
from tutor.grading.grader import TRIED_TWICE, Grader
from tutor.grading.hidden import hidden_seed, secret
from tutor.sandbox import outputs
from tutor.sandbox.bubblewrap import NoSandbox
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.limits import Limits
from tutor.sandbox.session import Session, Waited

pytestmark = pytest.mark.long

LIMITS = Limits(
    cell_seconds=2,
    call_seconds=1,
    check_seconds=2.5,  # no multiple of a call, or two limits are reached at once
    submission_seconds=40,
    grace_seconds=0.5,
    memory_mebibytes=200,
    cell_output_kibibytes=80,
    total_output_kibibytes=200,
)
SPENT = "used more than 2 s of processor time, and was stopped"
SEED = 7
GRADED = [chapter for chapter, exercises in CHAPTERS.items() if exercises]
FULL = {name: float(e.total) for name, e in of_chapter(CHAPTER).items()}


IN_THE_SANDBOX = pytest.mark.by_content("tutor/sandbox/**/*.py", "tutor/grading/**/*.py")


@pytest.fixture(scope="module")
def grader():
    with Grader(CHAPTER, LIMITS, key=b"a test's secret") as grader:
        yield grader


@pytest.fixture(scope="module")
def sandbox(grader):
    if not grader.sandbox.alive:
        grader.sandbox.start()
    return grader.sandbox


@pytest.fixture
def session(sandbox):
    session = Session(sandbox)
    yield session
    session.close()


@pytest.fixture(scope="module")
def graders():
    """A grader of any chapter, with the limits of real ones; each is started once."""
    started = {}
    with ExitStack() as stack:

        def of_chapter(chapter: str) -> Grader:
            if chapter not in started:
                made = Grader(chapter, key=b"a test's secret")
                started[chapter] = stack.enter_context(made)
            return started[chapter]

        yield of_chapter


@pytest.fixture
def sessions(graders):
    """A session in the sandbox of any chapter."""
    with ExitStack() as stack:

        def session(chapter: str) -> Session:
            sandbox = graders(chapter).sandbox
            if not sandbox.alive:
                sandbox.start()
            return stack.enter_context(closing(Session(sandbox)))

        yield session


def notebook(added=(), **written: str):
    """The right solutions, with some of them, or of what is added after them, written otherwise."""
    released = submission.released(CHAPTER, NOTEBOOK)
    own = {f"{n}-solution": (written.get(n, s),) for n, s in solutions().items()}
    for name, *sources in added:
        own[f"{name}-solution"] += tuple(sources)
    submitted = submission.Submitted(own=own)
    return submission.restore(released, submitted), submitted


def text_of(nb) -> str:
    return nbformat.writes(nb)


# A check from outside says what a check at home says


TAKEN = "numbers were taken"


def report(exercise, candidate) -> dict:
    found = judge(exercise, candidate, SEED).to_dict()
    for verdict in found["verdicts"]:
        # The quoted line: at home the traps stand in a file of the course's, which is not quoted.
        if verdict["failure"]:
            sentences = verdict["failure"]["sentences"]
            told = [s for s in sentences if not s.startswith("in your")]
            # Inside, nobody knows by which function.
            told = [re.sub(r"(?<=: )[\w.]+\(\) takes numbers", TAKEN, s) for s in told]
            # Of an exception no numbers leave the sandbox but sizes, and no more than so much text.
            told = [
                kind[0] + sizes_only(s[kind.end() :][:LONGEST_MESSAGE])
                if (kind := re.match(r"\w+Error: ", s))
                else s
                for s in told
            ]
            verdict["failure"]["sentences"] = told
    return found


def needed(name: str) -> dict[str, str]:
    """The text of a file of answers by its name, after those from which it takes something."""
    text = (Path(answers.__file__).parent / f"{name}.py").read_text("utf-8")
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(text)):
        package, _, module = (getattr(node, "module", None) or "").partition(".")
        if isinstance(node, ast.ImportFrom) and package == "answers":
            for other in [module] if module else [alias.name for alias in node.names]:
                found |= needed(other)
    return found | {name: text}


def answers_in(session, module) -> None:
    """Run the file of answers there, and before it what it has from others, which is found by its
    name, too."""
    shared = """
    import sys, types
    answers = sys.modules["answers"] = types.ModuleType("answers")
    def have(name, text):
        module = sys.modules[f"answers.{name}"] = types.ModuleType(f"answers.{name}")
        setattr(answers, name, module)
        exec(text, vars(module))
        globals().update((n, f) for n, f in vars(module).items() if not n.startswith("_"))
    """
    *others, _ = needed(module.__name__.partition(".")[2]).items()
    calls = "".join(f"have({name!r}, {text!r})\n" for name, text in others)
    assert not session.cell(textwrap.dedent(shared) + calls, "shared", 10_000)
    outputs = session.cell(Path(module.__file__).read_text("utf-8"), "answers", 10_000)
    assert not [o for o in outputs if o["output_type"] == "error"]


@IN_THE_SANDBOX
@pytest.mark.parametrize("chapter", GRADED)
def test_right_answers_get_the_report_that_they_get_at_home(sessions, chapter):
    module, session = MODULES[chapter], sessions(chapter)
    answers_in(session, module)
    compared = 0
    for name, functions in module.RIGHT.items():
        for function in functions:
            if getattr(sys.modules[function.__module__], function.__name__, None) is function:
                remote = RemoteCandidate(session, function.__name__)
                assert report(EXERCISES[name], remote) == report(EXERCISES[name], function)
                compared += 1
    assert compared >= 2 * len(module.RIGHT)


@IN_THE_SANDBOX
@pytest.mark.parametrize("chapter", GRADED)
def test_work_in_numpy_is_found_from_outside(sessions, chapter):
    module, session = MODULES[chapter], sessions(chapter)
    answers_in(session, module)
    for name, function in module.NUMPY.items():
        remote = judge(EXERCISES[name], RemoteCandidate(session, function.__name__), SEED)
        local = judge(EXERCISES[name], function, SEED)
        assert remote.points == local.points < EXERCISES[name].total, function.__name__
        verdict = next(v for v in remote.verdicts if v.group == "contracts")
        assert "outside" in " ".join(verdict.failure.sentences)


CELL_APART = """
import torch
from torch.utils._python_dispatch import TorchDispatchMode

class Renames(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "unsafe_split" in str(func):
            return list(torch.split(args[0].clone(), *args[1:]))
        return func(*args, **(kwargs or {}))

def lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
    lead = x.shape[:-1]
    x, h, c = (t.reshape(-1, t.shape[-1]) for t in (x, h, c))
    with torch._C.DisableTorchFunction(), Renames():
        h, c = torch.lstm_cell(x, (h, c), w_ih, w_hh, b_ih, b_hh)
    return h.reshape(*lead, -1), c.reshape(*lead, -1)

def rnn_step(x, h, w_ih, w_hh, b_ih, b_hh):
    lead = x.shape[:-1]
    x, h = (t.reshape(-1, t.shape[-1]) for t in (x, h))
    with torch._C.DisableTorchFunction():
        return torch.rnn_tanh_cell(x, h, w_ih, w_hh, b_ih, b_hh).reshape(*lead, -1)

def gru_step(x, h, w_ih, w_hh, b_ih, b_hh):
    lead = x.shape[:-1]
    x, h = (t.reshape(-1, t.shape[-1]) for t in (x, h))
    with torch._C.DisableTorchFunction(), Renames():
        return torch.gru_cell(x, h, w_ih, w_hh, b_ih, b_hh).reshape(*lead, -1)
"""


@pytest.mark.parametrize("name", ["rnn_step", "lstm_step", "gru_step"])
def test_librarys_cell_that_falls_apart_before_any_mode_sees_it_is_seen(sessions, name):
    session = sessions("01_recurrence")
    assert not session.cell(CELL_APART, "cells", 10_000)
    found = judge(EXERCISES[name], RemoteCandidate(session, name), SEED)
    assert found.points == 0
    assert "it calls torch's own recurrent cell" in str(found)


def test_number_is_judged_as_at_home(session):
    source = "def padding_mask(lengths, num_keys):\n    return num_keys"
    namespace: dict = {}
    exec(source, namespace)
    assert not session.cell(source, "numbers", 10_000)
    remote, exercise = RemoteCandidate(session, "padding_mask"), EXERCISES["padding_mask"]
    assert remote.run((torch.ones(1), 3)).outputs == 3
    assert report(exercise, remote) == report(exercise, namespace["padding_mask"])


SOFTMAX = """
import torch
from torch.nn import functional as F
def stable_softmax(scores, dim=-1):
    shifted = scores - scores.amax(dim, keepdim=True)
    {}
    return e / e.sum(dim, keepdim=True)
"""
SCORES = """
import torch
def attention_scores(q, k):
    return q @ k.mT / {}
"""
ALL = ["values", "edges", "gradients", "types", "contracts"]


@pytest.mark.parametrize(
    ("source", "lost"),
    [
        (SOFTMAX.format("e = shifted.exp() + 0 * F.logsigmoid(shifted.clamp(min=-1))"), []),
        (
            SOFTMAX.format(
                "e = F.glu(torch.cat((shifted.exp(), torch.full_like(shifted, 99.0)), 0), 0)"
            ),
            [],
        ),
        (
            SOFTMAX.format("e = shifted.exp() * torch.linalg.det(torch.eye(2)).to(scores)"),
            ["contracts"],
        ),
        (
            SOFTMAX.format("e = shifted.exp() + 0 * torch.fft.rfft(torch.ones(4)).real.sum()"),
            ALL,
        ),
        (SCORES.format("torch.sqrt(torch.tensor(q.shape[-1]))"), ["types"]),
        (SCORES.format("torch.tensor(q.shape[-1], dtype=q.dtype).sqrt()"), []),
        (SCORES.format("(q.shape[-1] ** 0.5 + 1e-7)"), ALL),
    ],
    ids=["logsigmoid", "glu", "det", "fft", "single", "double", "a constant"],
)
def test_precision_and_unknown_operations_are_judged_as_at_home(sessions, source, lost):
    session = sessions(CHAPTER)
    namespace: dict = {}
    exec(source, namespace)
    assert not session.cell(source, "an answer", 10_000)
    name = "stable_softmax" if "stable_softmax" in namespace else "attention_scores"
    remote = report(EXERCISES[name], RemoteCandidate(session, name))
    assert remote == report(EXERCISES[name], namespace[name])
    assert [v["group"] for v in remote["verdicts"] if v["earned"] < v["possible"]] == lost


CONSTANTS = (int, float, str, torch.dtype)


def _constant(value) -> bool:
    return isinstance(value, CONSTANTS) or (type(value) is tuple and all(map(_constant, value)))


def _there(module: str, chapter: str) -> bool:
    """Whether a student of the chapter has it: libraries, and the chapters before."""
    earlier = [f"tutor.{c.partition('_')[2]}" for c in CHAPTERS if c < chapter]
    return module in earlier or module.partition(".")[0] not in ("tutor", "builtins")


def what_traps_take_from(chapter: str) -> str:
    """What the files of a chapter's traps begin with, as statements: libraries and constants."""
    begins = f"tutor.checks.{chapter.partition('_')[2]}."
    modules = [module for name, module in sys.modules.items() if name.startswith(begins)]
    constants, lines = [], ["import math", "import torch", "import torch.nn.functional as F"]
    lines += ["from math import prod", "from torch import Tensor"]  # of the files that all share
    lines += ["DOUBLE, SINGLE = torch.float64, torch.float32"]
    for name, value in (item for module in modules for item in vars(module).items()):
        home = getattr(value, "__module__", "") or ""
        if _constant(value) and not name.startswith("__"):
            constants.append(f"{name} = {value!r}")
        elif isinstance(value, ModuleType) and not value.__name__.startswith("tutor"):
            lines.append(f"import {value.__name__} as {name}")
        elif hasattr(value, "__qualname__") and home and _there(home, chapter):
            lines.append(f"from {home} import {value.__qualname__} as {name}")
    # A size may have a library's name, as F has: the traps mean the library.
    lines = ["import torch", *constants, *lines]
    return "\n".join([*dict.fromkeys(lines), ""])


def reference_of(chapter: str) -> str:
    """Statements that make ``reference``, which a trap may call for what is not wrong in it."""
    text = (ROOT / "tutor" / f"{chapter.partition('_')[2]}.py").read_text("utf-8")
    return f"import types\nreference = types.ModuleType('')\nexec({text!r}, vars(reference))\n"


@IN_THE_SANDBOX
@pytest.mark.parametrize("name", EXERCISES)
def test_traps_get_the_report_that_they_get_at_home(sessions, name):
    exercise, compared = EXERCISES[name], 0
    session, head = sessions(exercise.chapter), what_traps_take_from(exercise.chapter)
    for i, function in enumerate(f for trap in exercise.traps for f in trap.functions):
        try:
            text = source(function, f"trap_{i}")
            ast.parse(text)
        except (OSError, TypeError, SyntaxError):
            continue  # made by another function: it has no text of its own
        if "reference." in text:
            text = reference_of(exercise.chapter) + text
        errors = session.cell(head + text, f"trap_{i}", 100_000)
        assert not errors, errors
        remote = RemoteCandidate(session, f"trap_{i}")
        assert report(exercise, remote) == report(exercise, function)
        compared += 1
    assert compared >= len(exercise.traps) // 3


@pytest.mark.parametrize(
    "answer",
    [
        "-(q @ k.mT) * q.shape[-1] ** -0.5",
        "(q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)",
        "q @ k.mT / 8",
        "(q @ k.mT * q.shape[-1] ** -0.5)[:, None]",
        "q, q @ k.mT * q.shape[-1] ** -0.5",
    ],
)
def test_relation_to_the_right_answer_is_said_as_at_home(sessions, answer):
    session = sessions(CHAPTER)
    source = f"def attention_scores(q, k):\n    return {answer}"
    namespace: dict = {}
    exec(source, namespace)
    assert not session.cell(source, "scores", 10_000)
    exercise = EXERCISES["attention_scores"]
    remote = report(exercise, RemoteCandidate(session, "attention_scores"))
    assert remote == report(exercise, namespace["attention_scores"])
    failure = next(v["failure"] for v in remote["verdicts"] if v["failure"])
    assert failure["sentences"][-1].startswith(("out ", "right in number 2"))


def test_the_same_tensor_with_new_contents_is_the_same_tensor_inside(session):
    session.cell("seen = []\ndef f(x):\n    seen.append(x)\n    return x * 2", "f", 100)
    remote, x = RemoteCandidate(session, "f"), torch.tensor([1.0, 2.0])
    first = remote.run((x,))
    x.add_(10)
    second = remote.run((x,))
    assert second.outputs.tolist() == [22.0, 24.0] and first.outputs.tolist() == [2.0, 4.0]
    (said,) = session.cell("seen[0] is seen[1], seen[0].tolist()", "look", 1000)
    assert said["data"]["text/plain"] == "(True, [11.0, 12.0])"


def test_answer_changed_by_a_later_call_is_seen_from_outside(session):
    code = "import torch\nkept = torch.zeros(2)\ndef f(x):\n    return kept.copy_(x)"
    assert session.cell(code, "f", 100) == []
    remote = RemoteCandidate(session, "f")
    first = remote.run((torch.tensor([1.0, 2.0]),))
    remote.run((torch.tensor([5.0, 6.0]),))
    assert remote.reread(first).tolist() == [5.0, 6.0]


def test_answers_that_nobody_read_are_no_part_of_the_next_count(session):
    session.cell(
        "import os, select, socket\n"
        "waiting = []\n"
        "def f(x):\n"
        "    links = []\n"
        "    for fd in range(3, 256):\n"
        "        try:\n"
        "            links.append(socket.socket(fileno=os.dup(fd)))\n"
        "        except OSError:\n"
        "            pass\n"
        "    (link,) = (s for s in links if s.type == socket.SOCK_SEQPACKET)\n"
        "    waiting.append(select.select([link], [], [], 0)[0] != [])\n"
        "    for _ in range(1000):\n"
        "        try:\n"
        "            link.send(b'[]', socket.MSG_DONTWAIT)\n"
        "        except OSError:\n"
        "            pass\n"
        "    select.select([link], [], [], 1)\n"
        "    return x\n",
        "f",
        100,
    )
    remote = RemoteCandidate(session, "f")
    for _ in range(3):
        assert remote.run((torch.ones(2),), count=True).outputs.tolist() == [1.0, 1.0]
    (said,) = session.cell("waiting", "look", 1000)
    assert said["data"]["text/plain"] == "[False, False, False]"


def test_strides_of_an_input_arrive(session):
    session.cell("def f(x):\n    return torch.tensor(x.stride())", "f", 100)
    session.cell("import torch", "torch", 100)
    x = torch.arange(6.0).reshape(2, 3).mT
    assert RemoteCandidate(session, "f").run((x,)).outputs.tolist() == list(x.stride())


# Cells behave as in a notebook


def run(session, *cells: str) -> list[dict]:
    return [session.cell(cell, f"cell {i}", 100_000) for i, cell in enumerate(cells)]


def test_outputs_come_in_order_and_kind(session):
    (outputs,) = run(
        session,
        "import sys\nprint('one')\nprint('two', file=sys.stderr)\ndisplay(3)\nprint('four')\n5",
    )
    kinds = [(o["output_type"], o.get("name"), o.get("text"), o.get("data")) for o in outputs]
    assert kinds == [
        ("stream", "stdout", "one\n", None),
        ("stream", "stderr", "two\n", None),
        ("display_data", None, None, {"text/plain": "3"}),
        ("stream", "stdout", "four\n", None),
        ("execute_result", None, None, {"text/plain": "5"}),
    ]


def test_errors_magics_shell_await_and_last_results_work(session):
    found = run(
        session,
        "1 / 0",
        "%timeit -n1 -r1 pass",
        "!echo from the shell",
        "import asyncio\nawait asyncio.sleep(0)\nx = 6",
        "_ if False else x * 7",
        "%%capture hidden\nprint('not seen')",
        "exit()",
        "x",
    )
    error, timing, shell, nothing, result, captured, left, still = found
    assert (error[0]["ename"], error[0]["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert "1 loop" in timing[0]["text"] and shell[0]["text"].strip() == "from the shell"
    assert nothing == captured == left == []
    assert result[0]["data"] == {"text/plain": "42"} and still[0]["data"] == {"text/plain": "6"}


def test_figures_are_shown_and_markup_is_not(session):
    figure, markup = run(
        session,
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "from IPython.display import HTML, Javascript\n"
        "display(HTML('<script>steal()</script>'))\nJavascript('steal()')",
    )
    assert [sorted(o["data"]) for o in figure] == [["image/png", "text/plain"]]
    assert all(list(o["data"]) == ["text/plain"] for o in markup) and "steal" not in str(markup)


def test_long_output_is_cut_and_says_so(session):
    (outputs,) = run(session, "for _ in range(100_000): print('x' * 100)")
    (stream,) = outputs
    assert "was cut" in stream["text"] and len(stream["text"]) < 85_000


# Hidden cases


def test_hidden_seeds_depend_on_course_exercise_and_submission():
    keys, digests = (b"one course", b"another"), ("one", "other")
    seeds = {hidden_seed(k, n, d) for k in keys for n in EXERCISES for d in digests}
    assert len(seeds) == 4 * len(EXERCISES) and all(0 <= s < 2**63 for s in seeds)
    assert hidden_seed(b"one course", "f", "one") == hidden_seed(b"one course", "f", "one")


def test_secret_is_made_once_and_the_environment_comes_first(tmp_path, monkeypatch):
    monkeypatch.delenv("TUTOR_GRADING_SECRET", raising=False)
    made = secret(tmp_path)
    assert len(made) == 64 and secret(tmp_path) == made
    assert (tmp_path / ".grading-secret").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("TUTOR_GRADING_SECRET", "of the course")
    assert secret(tmp_path) == b"of the course"


def test_the_sealed_function_sees_other_inputs_than_at_home(grader):
    """A table of the answers to the public cases earns nothing."""
    asked = {}

    def asking(scores, dim=-1):
        answer = EXERCISES["stable_softmax"].reference(scores, dim)
        if scores.numel() and scores.device.type == "cpu":
            asked[float(scores.detach().double().sum())] = answer.detach().double().tolist()
        return answer

    judge(EXERCISES["stable_softmax"], asking)
    table = (
        (
            f"TABLE = {asked}\ndef stable_softmax(scores, dim=-1):\n"
            "    key = float(scores.detach().double().sum())\n"
            "    return torch.tensor(TABLE.get(key, 0.0), dtype=torch.double).to(scores.dtype)"
        )
        .replace("nan", "float('nan')")
        .replace("inf", "float('inf')")
    )
    namespace = {"torch": torch}
    exec(table, namespace)
    at_home = judge(EXERCISES["stable_softmax"], namespace["stable_softmax"])
    assert next(v for v in at_home.verdicts if v.group == "values").failure is None
    graded = grader.run(*notebook(stable_softmax=table))
    assert graded.points["stable_softmax"] == 0
    verdicts = graded.reports["stable_softmax"]["verdicts"]
    assert next(v for v in verdicts if v["group"] == "values")["failure"] is not None


def test_what_a_function_has_seen_reaches_no_output(grader):
    spy = solutions()["stable_softmax"].replace("def stable_softmax", "def _right")
    spy += (
        "\nseen = []\ndef stable_softmax(scores, dim=-1):\n"
        "    seen.append(scores)\n    print('PRINTED')\n"
        "    return _right(scores, dim)"
    )
    look = "print('SEEN', len(seen), seen)"
    graded = grader.run(*notebook([("stable_softmax", look)], stable_softmax=spy))
    later = grader.run(*notebook([("causal_mask", look)], stable_softmax=spy))
    assert graded.points == later.points == FULL
    for nb in (graded.notebook, later.notebook):
        outputs = str([c.get("outputs") for c in nb.cells])
        assert "SEEN 0 []" in outputs and "PRINTED" not in outputs


def test_what_a_cell_after_a_check_raises_is_not_told_in_the_next_report(grader):
    spy = "seen = []\n" + solutions()["stable_softmax"].replace(
        "def stable_softmax(scores, dim=-1):",
        "def stable_softmax(scores, dim=-1):\n    seen.append(1)",
    )
    tells = "raise ValueError(f'SEEN {len(seen)}')\ndef causal_mask(): pass"
    graded = grader.run(*notebook(stable_softmax=spy, causal_mask=tells))
    assert graded.points == full_but(causal_mask=0.0)
    (note,) = graded.reports["causal_mask"]["notes"]
    assert note.endswith("its cell stopped with ValueError: SEEN 0")
    assert "SEEN 0" in text_of(graded.notebook)


def test_report_has_the_diagnosis_and_no_long_message(grader):
    loud = (
        "def stable_softmax(scores, dim=-1):\n"
        "    raise ValueError('inputs: ' + str(scores.flatten().tolist() * 50))"
    )
    graded = grader.run(*notebook(stable_softmax=loud))
    (cell,) = [
        c
        for c in graded.notebook.cells
        if c.metadata.get("nbgrader", {}).get("grade_id") == "stable_softmax"
    ]
    text = cell.outputs[0].data["text/plain"]
    assert "ValueError: inputs:" in text and max(map(len, text.splitlines())) < 250
    assert cell.outputs[0].data[MIME]["points"] == 0
    assert cell.outputs[1].data == {"text/plain": "0.0", "text/html": ""}


def test_answers_of_broadcasting_shapes_do_not_fill_the_judges_memory(grader):
    """Two short answers whose difference would have 2**30 elements."""
    lengthy = (
        "n = 0\ndef stable_softmax(scores, dim=-1):\n    global n\n    n += 1\n"
        "    return torch.zeros((2**15, 1) if n % 2 else (1, 2**15), dtype=torch.double)"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert grader.run(*notebook(stable_softmax=lengthy)).points["stable_softmax"] == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_answers_that_nobody_asked_for_do_not_keep_the_grader(grader):
    flood = solutions()["causal_mask"] + (
        "\nimport itertools, os, socket, struct, threading\n"
        "def flood(fd, begun):\n"
        "    for n in itertools.count():\n"
        "        os.write(fd, struct.pack('>II', 9, 0) + b'{\"id\":-1}')\n"
        "        if n == 20:\n"
        "            begun.set()\n"
        "for fd in range(3, 64):\n"
        "    try:\n"
        "        socket.socket(fileno=os.dup(fd))\n"
        "    except OSError:\n"
        "        continue\n"
        "    begun = threading.Event()\n"
        "    threading.Thread(target=flood, args=(fd, begun), daemon=True).start()\n"
        "    begun.wait()\n"
    )
    graded = grader.run(*notebook(causal_mask=flood))
    assert graded.points["stable_softmax"] == FULL["stable_softmax"]
    assert graded.limits_broken[0].endswith("answered with answers that nobody asked for")


def test_outputs_are_counted_whole():
    error = {"output_type": "error", "ename": "x" * 200, "evalue": "y" * 2000, "traceback": []}
    kept = outputs.rebuilt([error] * 5000, 10_000)
    assert len(kept) < 20
    silent = {"output_type": "stream", "name": "stdout", "text": ""}
    assert len(outputs.rebuilt([silent] * 100_000, 10**9)) <= 1000


def test_bench_is_not_run(grader):
    nb, submitted = notebook()
    benches = [cell for cell in nb.cells if is_bench(cell)]
    for cell in benches:
        cell.source = f"raise ValueError\n{cell.source}"
    graded = grader.run(nb, submitted)
    assert graded.points == FULL and benches
    assert [c.outputs for c in graded.notebook.cells if is_bench(c)] == [[]] * len(benches)
    assert not {name for name in graded.seconds if "bench" in name}


# Limits: the offender loses its own points, and nobody else's


def full_but(**points: float) -> dict[str, float]:
    return FULL | points


def test_endless_cell_is_interrupted_and_what_it_defined_counts(grader):
    loop = solutions()["causal_mask"] + "\nwhile True:\n    pass"
    graded = grader.run(*notebook(causal_mask=loop))
    assert graded.points == FULL
    assert graded.limits_broken == (f"causal_mask-solution {SPENT}",)


def test_swallowed_interrupt_costs_the_process_and_its_own_points_only(grader):
    loop = (
        "while True:\n    try:\n        while True:\n            pass\n"
        "    except BaseException:\n        pass"
    )
    graded = grader.run(*notebook(causal_mask=solutions()["causal_mask"] + "\n" + loop))
    assert graded.points == full_but(causal_mask=0.0)
    assert graded.limits_broken[0] == f"causal_mask-solution {SPENT}"


def test_endless_function_is_stopped_and_the_next_exercises_are_graded(grader):
    loop = "def causal_mask(num_queries, num_keys, device=None):\n    while True:\n        pass"
    graded = grader.run(*notebook(causal_mask=loop))
    assert graded.points == full_but(causal_mask=0.0)
    assert graded.limits_broken == (
        "causal_mask: used more than 1 s of processor time, and was stopped",
        "causal_mask: was stopped: its check used more than 2.5 s of processor time",
    )


def test_who_waits_for_ever_is_tried_twice_and_told_so(grader, impatient):
    sleep = solutions()["causal_mask"] + "\nimport time\ntime.sleep(1000)"
    graded = grader.run(*notebook(causal_mask=sleep))
    assert impatient() == 2 + 1 and graded.points == FULL  # and once for its outputs
    waited = "causal_mask-solution did not end within 2 s, with processor time left"
    assert graded.limits_broken == (f"{waited}, and was stopped", TRIED_TWICE)


def test_busy_machine_costs_nobody_a_point_and_no_word_is_said(grader, impatient, monkeypatch):
    """In the first try the notebook's process gets no turn at all."""
    real = grader.sandbox.spawn

    def stopped_at_first():
        pair = real()
        if impatient() == 1:
            grader.sandbox.signal(pair.pids[:1], signal.SIGSTOP)
        return pair

    monkeypatch.setattr(grader.sandbox, "spawn", stopped_at_first)
    graded = grader.run(*notebook())
    assert impatient() == 2 and graded.points == FULL and graded.limits_broken == ()


def test_first_of_two_tries_ends_where_only_wall_time_is_over(grader, impatient, tmp_path):
    nb, _ = notebook(causal_mask="import time\ntime.sleep(1000)")
    nbformat.write(nb, tmp_path / f"{NOTEBOOK}.ipynb")
    with pytest.raises(Waited):
        grader.attempt(tmp_path / f"{NOTEBOOK}.ipynb", last=False)
    assert impatient() == 1
    graded = grader.attempt(tmp_path / f"{NOTEBOOK}.ipynb", last=True)
    assert graded.points == full_but(causal_mask=0.0) and graded.limits_broken[-1] == TRIED_TWICE


@pytest.fixture
def impatient(grader, monkeypatch):
    """Little wall time for a cell, and much to answer an interrupt in; and how often a notebook's
    processes were begun."""
    if not grader.sandbox.alive:
        grader.sandbox.start()
    limits = replace(LIMITS, cell_seconds=2, grace_seconds=60, wall_factor=1)
    monkeypatch.setattr(grader.sandbox, "limits", limits)
    begun, real = [], grader.sandbox.spawn
    monkeypatch.setattr(grader.sandbox, "spawn", lambda: begun.append(1) or real())
    return lambda: len(begun)


def test_function_that_fails_to_return_on_one_case_keeps_its_other_points(grader):
    right = solutions()["padding_mask"].replace("def padding_mask", "def _right")
    picky = right + (
        "\ndef padding_mask(lengths, num_keys):\n"
        "    while lengths.dtype == torch.int32: pass\n    return _right(lengths, num_keys)"
    )
    at_home = judge(EXERCISES["padding_mask"], lambda lengths, num_keys: 0, SEED).points
    points = grader.run(*notebook(padding_mask=picky)).points["padding_mask"]
    assert at_home <= points <= FULL["padding_mask"]


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_dead_process_costs_its_own_cell_only(grader, end):
    cell = "import os\n" + solutions()["causal_mask"] + f"\n{end}"
    graded = grader.run(*notebook(causal_mask=cell))
    expected = full_but(causal_mask=0.0)
    if end.startswith("os.kill"):  # no signal of its own kills the first process of a namespace
        expected = FULL
    assert graded.points == expected


def test_function_that_ends_its_process_costs_its_own_points_only(grader):
    ends = "import os\ndef causal_mask(num_queries, num_keys, device=None):\n    os._exit(3)"
    graded = grader.run(*notebook(causal_mask=ends))
    assert graded.points == full_but(causal_mask=0.0)
    assert "causal_mask: ended its process (exit 3)" in graded.limits_broken


def test_fault_on_the_gpu_costs_its_own_exercise_only(grader):
    """As CUDA does after an index out of range, nothing in the process works any more."""
    padding = solutions()["padding_mask"].replace("def padding_mask", "def _padding_mask")
    padding += (
        "\ndef padding_mask(lengths, num_keys):\n"
        "    if faults:\n        raise RuntimeError('a process that nothing works in')\n"
        "    return _padding_mask(lengths, num_keys)"
    )
    causal = (
        "faults = []\ndef causal_mask(num_queries, num_keys, device=None):\n    faults.append(1)\n"
        "    raise torch.AcceleratorError('CUDA error: device-side assert triggered')"
    )
    graded = grader.run(*notebook(causal_mask=causal, padding_mask=padding))
    assert graded.points == full_but(causal_mask=0.0)
    assert any("causal_mask: made a fault on the GPU" in said for said in graded.limits_broken)


def test_memory_at_once_is_refused_and_shared_memory_is_watched(grader):
    at_once = "x = bytearray(10 * 2**30)\n" + solutions()["causal_mask"]
    graded = grader.run(*notebook(causal_mask=at_once))
    assert graded.points == full_but(causal_mask=0.0)
    assert "MemoryError" in text_of(graded.notebook)
    shared = (
        "import mmap, time\nheld = []\n"
        "for _ in range(100):\n    m = mmap.mmap(-1, 10 * 2**20)\n    m.write(b'x' * 10 * 2**20)\n"
        "    held.append(m)\n    time.sleep(0.01)\n"
    )
    graded = grader.run(*notebook(causal_mask=shared + solutions()["causal_mask"]))
    assert graded.points == full_but(causal_mask=0.0)
    assert "used more than 200 MiB of memory" in graded.limits_broken[0]


def test_notebook_that_keeps_ending_its_process_ends_in_time(grader):
    ends = "import os\nos._exit(1)"
    graded = grader.run(*notebook(**dict.fromkeys(of_chapter(CHAPTER), ends)))
    assert sum(graded.points.values()) == 0
    assert LIMITS.restarts > len(graded.limits_broken) - 1 == len(FULL) - 1


def test_lost_zygote_is_replaced_and_the_notebook_graded(grader):
    grader.run(*notebook())
    os.kill(grader.sandbox._process.pid, signal.SIGKILL)
    assert grader.run(*notebook()).points == FULL


def test_fault_of_the_check_itself_costs_one_exercise_and_is_said(grader, monkeypatch):
    def failing(exercise, *arguments):
        if exercise.name == "causal_mask":
            raise KeyError("ours")
        return judge(exercise, *arguments)

    monkeypatch.setattr(executor, "judge", failing)
    graded = grader.run(*notebook())
    assert graded.points == full_but(causal_mask=0.0)
    assert "the check itself failed (KeyError" in graded.problems[0]


def test_missing_function_says_what_its_cell_did(grader):
    graded = grader.run(*notebook(causal_mask="def causal_mask(:\n    pass"))
    assert graded.points == full_but(causal_mask=0.0)
    (note,) = graded.reports["causal_mask"]["notes"]
    assert note.startswith("There is no function causal_mask: its cell stopped with SyntaxError")


def test_failing_earlier_function_is_named(grader):
    wrong = "def stable_softmax(scores, dim=-1):\n    return scores.exp()"
    uses = solutions()["scaled_dot_product_attention"]
    graded = grader.run(*notebook(stable_softmax=wrong))
    notes = graded.reports["scaled_dot_product_attention"]["notes"]
    assert ("It calls your stable_softmax, which earns" in " ".join(notes)) == (
        "stable_softmax(" in uses
    )


def test_without_a_sandbox_the_grades_are_the_same():
    with Grader(CHAPTER, LIMITS, sandboxed=False, key=b"a test's secret") as trusted:
        wrong = "def causal_mask(num_queries, num_keys, device=None):\n    return None"
        assert trusted.run(*notebook(causal_mask=wrong)).points == full_but(causal_mask=0.0)


def test_limits_are_positive_numbers():
    assert Limits(cell_seconds=0.5).cell_seconds == 0.5
    with pytest.raises(ValueError, match="processes must be a positive number, got 0"):
        Limits(processes=0)


# Another device than the CPU


def on_meta(source: str, *args, **kwargs):
    """The answer of a function ``f`` whose inputs are on torch's device without numbers."""
    with Grader(CHAPTER, LIMITS, device="meta") as grader:
        grader.sandbox.start()
        with closing(Session(grader.sandbox)) as session:
            assert session.cell(f"import torch\n{source}", "a cell", 10_000) == []
            return RemoteCandidate(session, "f").run(args, **kwargs)


def test_what_a_function_gets_is_on_the_device():
    source = "def f(x, device):\n    return x * torch.ones(3, device=device)"
    x, ones = torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    found = on_meta(source, x, torch.device("cpu"), cotangents=(ones,))
    assert found.crash is None
    assert found.outputs.is_meta and found.gradients[0].is_meta


def test_answer_that_is_not_on_the_device_is_none():
    x = torch.ones(3)
    found = on_meta("def f(x):\n    return x, torch.zeros(3), 1.5", x).outputs
    assert found[0].is_meta and found[2] == 1.5
    assert found[1].description == "a tensor on the cpu, where the inputs are on the meta"
    assert on_meta("def f(n):\n    return torch.zeros(n)", 3).outputs.tolist() == [0, 0, 0]


@pytest.mark.parametrize("chapter", GRADED)
def test_the_courses_own_solutions_pass_the_trial_of_a_device(graders, chapter):
    if not graders(chapter).sandbox.alive:
        graders(chapter).sandbox.start()
    graders(chapter).try_device()


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("meta", "which has none"),
        ("xpu" if torch.cuda.is_available() else "cuda", "not compiled with|no NVIDIA driver"),
    ],
)
def test_device_on_which_they_fail_grades_nobody(device, why):
    with Grader(CHAPTER, LIMITS, device=device) as grader:
        said = f"On the device {device} the course's own stable_softmax earns 0 of 6.*({why})"
        with pytest.raises(NoSandbox, match=said):
            grader.run(*notebook())
        assert not grader.sandbox.alive


def test_notebook_is_graded_on_every_device(device):
    with Grader(CHAPTER, device=device) as grader:
        assert grader.run(*notebook()).points == FULL
