"""Processor time of processes in a folder that looks like /proc."""

import os
from pathlib import Path

import pytest

from tutor.sandbox.processor_time import Processes


@pytest.fixture
def proc(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield tmp_path, fd
    os.close(fd)


def write(
    folder: Path, pid: int, parent: int, own: int, of_children: int = 0, start: int = 5
) -> None:
    (folder / str(pid)).mkdir(exist_ok=True)
    fields = ["S", parent, *[0] * 9, own, 0, of_children, 0, *[0] * 4, start, *[0] * 30]
    text = f"{pid} (a name) with (braces)) {' '.join(map(str, fields))}\n"
    (folder / str(pid) / "stat").write_text(text)


def remove(folder: Path, pid: int) -> None:
    (folder / str(pid) / "stat").unlink()
    (folder / str(pid)).rmdir()


def test_students_processes_and_the_one_that_counts_are_added_up(proc):
    folder, fd = proc
    ticks = os.sysconf("SC_CLK_TCK")
    write(folder, 2, 1, 50 * ticks)  # the zygote
    write(folder, 7, 2, 1 * ticks)  # the watcher
    write(folder, 8, 7, 2 * ticks)
    write(folder, 9, 8, 4 * ticks)
    write(folder, 12, 9, 8 * ticks)
    write(folder, 20, 2, 16 * ticks)  # another submission's
    assert Processes(fd, student=8, watcher=7).seconds() == 15


def test_child_that_was_waited_for_counts_once(proc):
    folder, fd = proc
    ticks = os.sysconf("SC_CLK_TCK")
    write(folder, 7, 2, 0)
    write(folder, 8, 7, 2 * ticks)
    write(folder, 9, 8, 4 * ticks)
    processes = Processes(fd, student=8, watcher=7)
    assert processes.seconds() == 6
    remove(folder, 9)
    write(folder, 8, 7, 2 * ticks, of_children=5 * ticks)
    assert processes.seconds() == 7


def test_child_that_nobody_waited_for_counts_as_it_was_seen_last(proc):
    folder, fd = proc
    ticks = os.sysconf("SC_CLK_TCK")
    write(folder, 7, 2, 0)
    write(folder, 8, 7, 2 * ticks)
    processes = Processes(fd, student=8, watcher=7)
    for start in (1, 2):
        write(folder, 9, 8, 4 * ticks, start=start)
        processes.seconds()
    remove(folder, 9)
    assert processes.seconds() == 10
    write(folder, 8, 7, 3 * ticks)
    assert processes.seconds() == 11


def test_child_that_is_missing_in_one_snapshot_is_not_counted_twice(proc, monkeypatch):
    folder, fd = proc
    ticks = os.sysconf("SC_CLK_TCK")
    write(folder, 7, 2, 0)
    write(folder, 8, 7, 2 * ticks)
    write(folder, 9, 8, 4 * ticks)
    processes = Processes(fd, student=8, watcher=7)
    assert processes.seconds() == 6
    real = Processes._stat

    def waited_for_just_now(self, pid):
        """Its parent was read before, and it ends before it is read itself."""
        if pid == 9:
            monkeypatch.setattr(Processes, "_stat", real)
            remove(folder, 9)
            write(folder, 8, 7, 2 * ticks, of_children=4 * ticks)
        return real(self, pid)

    monkeypatch.setattr(Processes, "_stat", waited_for_just_now)
    assert processes.seconds() == 6 and processes.seconds() == 6
