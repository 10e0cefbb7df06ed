"""Limits of time count processor time, of all processes; who waits is stopped by wall time."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from tutor.course.sample_class import CHAPTER
from tutor.sandbox import time_limits
from tutor.sandbox.bubblewrap import Sandbox
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.limits import Limits
from tutor.sandbox.session import Session, Waited
from tutor.sandbox.time_limits import Stopwatch, TimeOver

# Wall time enough for a machine on which ten others want the processor.
LIMITS = Limits(cell_seconds=0.5, call_seconds=0.5, check_seconds=1, submission_seconds=30,
                grace_seconds=0.5, wall_factor=40, memory_mebibytes=300)  # fmt: skip
IMPATIENT = replace(LIMITS, wall_factor=1)
SPENT = "used more than 0.5 s of processor time, and was stopped"
WAITED = "did not end within 0.5 s, with processor time left, and was stopped"


@pytest.fixture(scope="module")
def sandbox():
    sandbox = Sandbox(CHAPTER, LIMITS)
    sandbox.start()
    yield sandbox
    sandbox.close()


@pytest.fixture
def session(sandbox):
    session = Session(sandbox)
    yield session
    session.close()


@pytest.fixture
def impatient(sandbox, monkeypatch):
    """A session in which no more wall time than processor time is allowed."""
    monkeypatch.setattr(sandbox, "limits", IMPATIENT)
    session = Session(sandbox)
    yield session
    session.close()


def error_of(session: Session, source: str) -> str:
    return "".join(o.get("evalue", "") for o in session.cell(source, "a cell", 10_000))


# What is counted, on a clock and an account that the test sets


class Account:
    """Clock and processor time of one submission."""

    def __init__(self, monkeypatch):
        self.now = self.used = 0.0
        self.looks = 0
        monkeypatch.setattr(time_limits.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time_limits, "CORES", 2)

    def read(self) -> float:
        self.looks += 1
        return self.used


@pytest.fixture
def account(monkeypatch):
    return Account(monkeypatch)


def stopwatch(account: Account, wall_factor: float = 5) -> Stopwatch:
    made = Stopwatch(wall_factor)
    made.begin(account.read)
    return made


def test_what_is_quick_costs_no_look(account):
    watch = stopwatch(account)
    for _ in range(1000):
        allowance = watch.allow(10)
        with watch.waiting():
            account.now += 1e-4
            allowance.left()
    assert account.looks <= 1 + 1  # in 0.1 s, two processors can have taken 0.2 s


def test_processor_time_of_all_processors_is_what_a_limit_counts(account):
    watch = stopwatch(account)
    allowance = watch.allow(10)
    with watch.waiting():
        assert allowance.left() == pytest.approx(5)  # two processors cannot take it sooner
        account.now, account.used = 5.0, 9.0
        assert allowance.left() == pytest.approx(0.5)
        account.now, account.used = 6.0, 10.5
        with pytest.raises(TimeOver, match="used more than 10 s of processor time") as over:
            allowance.left()
    assert not over.value.waited


def test_busy_machine_takes_nothing_until_the_limit_of_wall_time(account):
    watch = stopwatch(account)
    allowance = watch.allow(10)
    with watch.waiting():
        account.now, account.used = 49.0, 1.0
        assert allowance.left() == pytest.approx(1)
        account.now = 50.5
        with pytest.raises(TimeOver, match="did not end within 50 s, with processor time") as over:
            allowance.left()
    assert over.value.waited


def test_who_meets_both_limits_at_once_has_no_processor_time_left(account):
    watch = stopwatch(account)
    allowance = watch.allow(10)
    with watch.waiting():
        account.now, account.used = 60.0, 12.0
        with pytest.raises(TimeOver) as over:
            allowance.left()
    assert not over.value.waited


def test_time_in_which_nobody_waits_for_it_is_the_judges_own(account):
    watch = stopwatch(account)
    allowance = watch.allow(10, "its check")
    account.now = 1000.0
    assert allowance.left() == pytest.approx(5)
    with watch.waiting():
        account.now += 51
        with pytest.raises(TimeOver, match="was stopped: its check did not end within 50 s"):
            allowance.left()


def test_processes_that_have_ended_count_on(account):
    watch = stopwatch(account)
    whole = watch.allow(10, "the notebook")
    account.used = 6.0
    watch.end()
    account.used = 0.0
    watch.begin(account.read)
    account.now, account.used = 10.0, 5.0
    with pytest.raises(TimeOver, match="the notebook used more than 10 s of processor time"):
        whole.left()


# Real processes

BURN = "import os, signal, time\ndef burn():\n    while True:\n        pass\n"
FAMILIES = {
    "itself": "burn()",
    "a thread": "import threading\nt = threading.Thread(target=burn)\nt.start()\nt.join()",
    "a child": "child = os.fork()\nif not child:\n    burn()\nos.waitpid(child, 0)",
    "an orphan": "if not os.fork():\n    if not os.fork():\n        burn()\n    os._exit(0)\n"
    "os.wait()\ntime.sleep(1000)",
    "children that nobody waits for": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    "while True:\n    if not os.fork():\n        until = time.process_time() + 0.2\n"
    "        while time.process_time() < until: pass\n        os._exit(0)\n    time.sleep(0.2)",
    "children one after the other": "while True:\n    child = os.fork()\n    if not child:\n"
    "        until = time.process_time() + 0.1\n"
    "        while time.process_time() < until: pass\n        os._exit(0)\n"
    "    os.waitpid(child, 0)",
    "a program": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while 1: pass'])",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_whoever_burns_processor_time_for_a_cell_is_counted(session, family):
    assert error_of(session, BURN + FAMILIES[family]) == SPENT
    assert session.broken == [f"a cell {SPENT}"] and not session.waited
    assert session.stopwatch.processor >= LIMITS.cell_seconds


@pytest.mark.parametrize(
    "wait", ["import time; time.sleep(1000)", "import threading; threading.Semaphore(0).acquire()",
             "import os; os.read(os.pipe()[0], 1)"],
    ids=["sleep", "lock", "pipe"],
)  # fmt: skip
def test_whoever_waits_for_ever_is_stopped_by_wall_time(impatient, wait):
    assert error_of(impatient, wait) == WAITED
    assert impatient.waited and impatient.stopwatch.processor < 0.5
    assert error_of(impatient, "x = 1") == ""


def test_whoever_waits_is_tried_again_unless_it_is_the_last_time(impatient):
    impatient.last = False
    with pytest.raises(Waited):
        impatient.cell("import time; time.sleep(1000)", "a cell", 100)


def test_who_sleeps_after_an_interrupt_is_ended(impatient):
    loop = "import time\ntry:\n    time.sleep(1000)\nexcept BaseException:\n    time.sleep(1000)"
    assert error_of(impatient, loop) == WAITED
    assert impatient.skipped == {0}


def test_work_of_the_process_that_counts_is_the_callers(session):
    code = "import torch\ndef f(x):\n    return x.expand(10**14).sum() if %s else x"
    session.cell(code % "torch.autograd._profiler_enabled()", "f", 100)
    remote, x = RemoteCandidate(session, "f"), torch.ones(1)
    assert remote.run((x,)).crash is None
    assert remote.run((x,), count=True).crash.message == SPENT


def test_calls_of_one_check_are_limited_together(session):
    spend = "import time\ndef f(x):\n    until = time.process_time() + 0.3\n"
    session.cell(spend + "    while time.process_time() < until: pass\n    return x", "f", 100)
    remote, crashes = RemoteCandidate(session, "f"), []
    for _ in range(12):
        crashes.append(remote.run((torch.ones(1),)).crash)
    assert crashes[:2] == [None, None] and crashes[-1] is not None
    whole = "was stopped: its check used more than 1 s of processor time"
    assert set(remote.stops) == {whole} and crashes[-1].message == whole


def test_notebook_is_limited_as_a_whole(sandbox, monkeypatch):
    limits = replace(LIMITS, submission_seconds=1)
    monkeypatch.setattr(sandbox, "limits", limits)
    session = Session(sandbox)
    try:
        said = [error_of(session, "while True: pass") for _ in range(4)]
    finally:
        session.close()
    assert said[0] == SPENT
    assert "was stopped: the notebook used more than 1 s of processor time" in said
    assert said[-1] == "was not run: the notebook used more than 1 s of processor time"


# A machine that has no time for it


def process_of(session: Session, watcher: bool) -> psutil.Process:
    """The student's process or its watcher, as it is seen from here."""
    student, counting = map(str, session.pair.pids)
    inside = [counting] if watcher else [student, "1"]
    for process in psutil.Process().children(recursive=True):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        (pids,) = (line.split()[1:] for line in lines if line.startswith("NSpid:"))
        if pids[-len(inside) :] == inside:
            return process
    raise AssertionError(f"no process {inside}")


@contextmanager
def stopped_for(session: Session, seconds: float, watcher: bool = False) -> Iterator[None]:
    """Meanwhile its process gets no turn, and then it does again."""
    process = process_of(session, watcher)
    os.kill(process.pid, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (process.pid, signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def timed(function: Callable[[], object]) -> float:
    start = time.monotonic()
    function()
    return time.monotonic() - start


def test_busy_machine_costs_neither_a_cell_nor_a_call(session):
    session.cell("def f(x):\n    return x + 1", "f", 100)
    remote = RemoteCandidate(session, "f")
    with stopped_for(session, 1.5):
        assert timed(lambda: session.cell("y = 1", "a cell", 100)) > 2 * LIMITS.cell_seconds
    with stopped_for(session, 1.5):
        assert remote.run((torch.ones(1),)).outputs == 2
    with stopped_for(session, 1.5):
        assert remote.run((torch.ones(1),), count=True).outputs == 2
    assert session.broken == [] and remote.stops == []
    assert not session.cell("assert y == 1", "a cell", 100)


def test_busy_machine_lets_an_interrupt_come_in_its_time(session):
    """The process gets no turn for longer than the grace: what it had defined is kept."""
    loop = "x = 5\nimport os\nos.close(1)\nwhile True: pass"

    def stop_when_interrupted(pids, number):
        real(pids, number)
        if number == signal.SIGINT:
            held.append(stopped_for(session, 2.5 * LIMITS.grace_seconds))
            held[0].__enter__()

    held: list = []
    real = session.sandbox.signal
    session.sandbox.signal = stop_when_interrupted
    try:
        assert error_of(session, loop) == SPENT
    finally:
        del session.sandbox.signal
        held[0].__exit__(None, None, None)
    assert session.skipped == set() and error_of(session, "assert x == 5") == ""


def test_process_that_gets_no_turn_at_all_is_tried_again(impatient):
    impatient.last = False
    impatient.cell("x = 1", "a cell", 100)
    with stopped_for(impatient, 100), pytest.raises(Waited):
        impatient.cell("x = 2", "a cell", 100)
    assert impatient.pair is None


# How a process ended is known, however long its end takes


def test_end_of_a_process_is_told_by_what_it_was(session):
    for end, how in (("os._exit(3)", "exit 3"), ("os.abort()", "signal SIGSEGV")):
        assert error_of(session, f"import os; {end}") == f"ended its process ({how})"
    close = "import os, time\nfor fd in range(3, 64):\n    try: os.close(fd)\n"
    close += "    except OSError: pass\ntime.sleep(1000)"
    assert re.match("ended its process", error_of(session, close))


def test_memory_that_a_cell_holds_is_its_own_and_not_the_next_ones(session):
    """Also where the watcher gets no turn until the cell has ended."""
    hold = "import mmap\nm = mmap.mmap(-1, 2**29)\nfor i in range(0, 2**29, 4096): m[i] = 1"
    session.cell("x = 1", "a cell", 100)
    with stopped_for(session, 1.5, watcher=True):
        assert "used more than 300 MiB of memory" in error_of(session, hold)
    assert session.skipped == {1} and error_of(session, "assert x == 1") == ""
