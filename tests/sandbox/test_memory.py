"""The limit of memory holds for all processes together, and the report says that it was memory."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from tutor.sandbox.bubblewrap import Sandbox
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.inside import zygote
from tutor.sandbox.inside.watch import LOOK_SECONDS, Watch
from tutor.sandbox.limits import Limits
from tutor.sandbox.session import Session

pytestmark = pytest.mark.long

MIB = 2**20
LIMITS = Limits(cell_seconds=60, call_seconds=60, check_seconds=120, memory_mebibytes=200)
REASON = "used more than 200 MiB of memory and was stopped"

CHILDREN = """
import mmap, os, time, torch
def children(number, asks=1, fills=1):
    go, start = os.pipe()
    for _ in range(number):
        if os.fork() == 0:
            asked = mmap.mmap(-1, asks * 2**20, flags=mmap.MAP_PRIVATE)
            os.read(go, 1)
            filled = bytearray(b"x") * (fills * 2**20)
            time.sleep(1000)
            os._exit(0)
    return start
"""


@pytest.fixture(scope="module")
def sandbox():
    sandbox = Sandbox("03_attention", LIMITS)
    sandbox.start()
    yield sandbox
    sandbox.close()


@pytest.fixture
def session(sandbox):
    session = Session(sandbox)
    yield session
    session.close()


def test_children_that_fill_their_memory_at_once_are_stopped(session):
    session.cell(CHILDREN, "children", 1000)
    session.cell("start = children(12, fills=40); print('wait')", "start", 1000)
    assert session.broken == []
    session.cell("os.write(start, b'x' * 12); time.sleep(1000)", "filled", 1000)
    assert session.broken == [f"filled {REASON}"]


def test_children_that_have_asked_for_too_much_are_stopped_before_they_use_it(session):
    session.cell(CHILDREN, "children", 1000)
    session.cell("children(12, asks=40); time.sleep(1000)", "asked", 1000)
    assert session.broken == [f"asked {REASON}"]


def test_children_that_have_what_their_parent_has_are_none_too_many(session):
    session.cell(CHILDREN + "kept = bytearray(b'x') * (150 * 2**20)", "parent", 1000)
    session.cell("children(12)", "children", 1000)
    assert session.broken == []


def test_one_long_operation_keeps_nobody_from_looking(session):
    session.cell(CHILDREN, "children", 1000)
    function = """
start = children(2, fills=130)
def f(x):
    os.write(start, b"xx")
    return x.sum().expand(10**13).sum()
"""
    session.cell(function, "function", 1000)
    candidate = RemoteCandidate(session, "f")
    response = candidate.run((torch.ones(3, 4),), count=True)
    assert response.crash.message == REASON
    # And a fresh process goes on.
    assert session.cell("print(1 + 1)", "next", 1000)[0]["text"] == "2\n"


def test_one_process_alone_uses_what_it_may(session):
    session.cell("kept = bytearray(b'x') * (150 * 2**20); print('fits')", "fits", 1000)
    assert session.broken == []
    shared = "import mmap\nm = mmap.mmap(-1, 60 * 2**20)\nfor _ in range(60): m.write(b'x' * 2**20)"
    session.cell(shared, "shared", 1000)
    assert session.broken == [f"shared {REASON}"]


@pytest.fixture
def waiting():
    """A process of our own that has asked for 100 MiB."""
    ask = "import mmap, sys; m = mmap.mmap(-1, 100 * 2**20, flags=mmap.MAP_PRIVATE); print(1)"
    ask += "; sys.stdout.flush(); sys.stdin.read()"
    made = subprocess.Popen([sys.executable, "-c", ask], stdin=-1, stdout=-1)
    made.stdout.readline()
    yield made
    made.communicate()


def test_what_was_asked_for_is_counted_beyond_what_the_first_process_has(waiting):
    proc = os.open("/proc", os.O_RDONLY)
    try:
        watch = Watch(proc, waiting.pid, os.getpid(), 100 * MIB)
        used, asked = watch.at_most([waiting.pid])
        assert 0 < used < 100 * MIB and asked == 0
        small = Watch(proc, os.getppid(), os.getpid(), 100 * MIB)
        reference = small.figures(os.getppid())["VmData"]
        _, asked = small.at_most([os.getppid(), waiting.pid])
        assert asked == max(0, watch.figures(waiting.pid)["VmData"] - reference)
    finally:
        os.close(proc)


def test_pace_does_not_fall(monkeypatch):
    """However long a look takes, and whatever is asked, the next one begins soon after it."""
    looks, pauses = [], []

    class Pair:
        alive = pid = 7

        def look(self):
            looks.append(1)

    ours, theirs = socket.socketpair()

    def select(news, *rest):
        pauses.append(rest[-1])
        asked = {1: b'{"do": "spawn"}', 5: b'{"do": "signal", "pids": []}', 10: b""}
        message = asked.get(len(pauses))
        if message is None:
            return [[]]
        ours.send(message) if message else ours.shutdown(socket.SHUT_WR)
        return [[theirs]]

    monkeypatch.setattr(zygote, "_spawn", lambda *a: Pair())
    monkeypatch.setattr(zygote.select, "select", select)
    zygote.serve(theirs, None)
    ours.close()
    theirs.close()
    assert pauses == [None] + [LOOK_SECONDS] * 9 and len(looks) == 9
