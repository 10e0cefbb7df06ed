"""The cgroup of a sandbox, on a folder that looks like the kernel's: few machines delegate one."""

import os
import signal
import subprocess

import pytest

from tutor.sandbox import cgroup
from tutor.sandbox.bubblewrap import Pair, Sandbox
from tutor.sandbox.cgroup import Group, delegated
from tutor.sandbox.limits import Limits
from tutor.sandbox.session import Session

LIMITS = Limits(memory_mebibytes=100, tmp_mebibytes=10, processes=30)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A delegated cgroup with one process in it, and the file that says that it is ours."""
    base = tmp_path / "user.slice" / "run-1.scope"
    base.mkdir(parents=True)
    (base / "cgroup.controllers").write_text("cpu memory pids")
    (base / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (base / "cgroup.subtree_control").write_text("")
    own = tmp_path / "own"
    own.write_text("4:memory:/\n0::/user.slice/run-1.scope\n")
    marks = {base: b"1"}
    monkeypatch.setattr(cgroup, "_attribute", lambda path, name: marks.get(path, b""))
    return tmp_path, base, own, marks


def test_cgroup_is_used_only_if_it_was_delegated(tree):
    root, base, own, marks = tree
    assert delegated(root, own) == base
    marks.clear()
    assert delegated(root, own) is None


def test_cgroup_without_memory_accounting_is_not_used(tree):
    root, base, own, _ = tree
    (base / "cgroup.controllers").write_text("cpu pids")
    assert delegated(root, own) is None


def test_second_grader_finds_the_same_cgroup_from_its_leaf(tree):
    root, base, own, _ = tree
    own.write_text("0::/user.slice/run-1.scope/tutor-grader\n")
    assert delegated(root, own) == base


def test_machine_of_version_1_has_none(tmp_path):
    own = tmp_path / "own"
    own.write_text("4:memory:/\n")
    assert delegated(tmp_path, own) is None and delegated(tmp_path, tmp_path / "absent") is None


def test_limits_are_written_and_the_grader_moves_aside(tree):
    _, base, _, _ = tree
    group = Group(base, LIMITS)
    assert (base / "tutor-grader" / "cgroup.procs").read_text() == str(os.getpid())
    assert (base / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert int((group.path / "memory.max").read_text()) == (100 + 20 + 1024) * 2**20
    assert (group.path / "pids.max").read_text() == "50"


def test_processor_time_of_all_that_ran_in_it_is_read(tree):
    _, base, _, _ = tree
    group = Group(base, LIMITS)
    (group.path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\n")
    assert group.processor_seconds() == 2.5


def test_kernels_own_account_is_used_where_there_is_one(tree):
    _, base, _, _ = tree
    sandbox = Sandbox("03_attention", LIMITS)
    sandbox._group = group = Group(base, LIMITS)
    (group.path / "cpu.stat").write_text("usage_usec 2500000\n")
    seconds = sandbox.processor_seconds(Pair(None, None, (8, 7)))
    assert seconds() == 0
    (group.path / "cpu.stat").write_text("usage_usec 4000000\n")
    assert seconds() == 1.5


def test_process_that_the_kernel_ends_for_its_memory_is_told_so(tree):
    _, base, _, _ = tree
    sandbox = Sandbox("03_attention", LIMITS)
    sandbox.start()
    sandbox._group = group = Group(base, LIMITS)
    (group.path / "cpu.stat").write_text("usage_usec 0\n")
    events = group.path / "memory.events"
    events.write_text("high 0\nmax 3\noom 0\noom_kill 2\noom_group_kill 0\n")
    session = Session(sandbox)
    end = sandbox.signal
    try:
        for kills, said in ((2, "ended its process (signal SIGKILL)"), (3, "of memory and was")):
            session.cell("print('alive')", "begins", 1000)
            pair = session.pair
            events.write_text(f"oom_kill {kills}\n")
            end(pair.pids[:1], signal.SIGKILL)
            session.cell("print('on')", "a cell", 1000)
            assert said in session.broken[-1]
    finally:
        session.close()
        sandbox._group = None
        sandbox.close()


def test_command_begins_inside(tree):
    _, base, _, _ = tree
    group = Group(base, LIMITS)
    done = subprocess.run(
        group.wrap(["/bin/sh", "-c", "echo $$ 'and' \"$1\"", "sh", "an argument"]),
        capture_output=True,
        text=True,
    )
    pid, _, rest = done.stdout.partition(" ")
    assert rest == "and an argument\n"
    assert (group.path / "cgroup.procs").read_text().strip() == pid


def test_cgroup_that_cannot_be_divided_is_done_without(tree):
    _, base, _, _ = tree
    (base / "cgroup.procs").unlink()
    assert Group.of(base, LIMITS) is None and Group.of(None, LIMITS) is None
