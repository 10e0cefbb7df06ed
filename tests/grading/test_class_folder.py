"""What lies in ``submitted``: any bytes, under any name, and links to anywhere."""

import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from tests.grading.helpers import RIGHT, hand_in
from tutor.course.sample_class import CHAPTER
from tutor.grading.class_folder import ClassFolder, read


def problem(folder: Path, student: str = "ada") -> str:
    handed_in = read(ClassFolder(folder), student, CHAPTER)
    assert handed_in.data is None
    (sentence,) = handed_in.problems
    return sentence


def test_a_notebook_and_its_time_are_read(tmp_path):
    hand_in(tmp_path, "ada", RIGHT, "2026-03-02 09:30 CET\n")
    handed_in = read(ClassFolder(tmp_path), "ada", CHAPTER)
    assert b"RIGHT" in handed_in.data and handed_in.problems == ()
    assert handed_in.timestamp == datetime(2026, 3, 2, 8, 30)


def test_links_are_not_followed_at_any_level(tmp_path):
    elsewhere = hand_in(tmp_path / "elsewhere", "target", RIGHT)
    for student, target in {
        f"file/{CHAPTER}/attention.ipynb": elsewhere / "attention.ipynb",
        f"folder/{CHAPTER}": elsewhere,
        "student": elsewhere.parent,
    }.items():
        link = tmp_path / "submitted" / student
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        reason = problem(tmp_path, student.partition("/")[0])
        assert link.exists() and reason.endswith("is a link, and links are not followed.")
    assert ClassFolder(tmp_path).students(CHAPTER) == ["file", "folder", "student"]


def test_what_is_no_file_is_named(tmp_path):
    place = hand_in(tmp_path, "ada", RIGHT)
    (place / "attention.ipynb").unlink()
    assert problem(tmp_path) == "There is no attention.ipynb."
    (place / "Attention final(2).ipynb").write_text("{}")
    assert problem(tmp_path).startswith(
        "There is no attention.ipynb, but Attention final(2).ipynb:"
    )
    (place / "attention.ipynb").mkdir()
    assert problem(tmp_path) == "attention.ipynb is not a file."
    (place / "attention.ipynb").rmdir()
    os.mkfifo(place / "attention.ipynb")
    assert problem(tmp_path) == "attention.ipynb is not a file."
    shutil.rmtree(place)
    place.write_text("a file")
    assert problem(tmp_path) == f"{CHAPTER} is not a folder."


def test_too_large_a_file_is_not_read(tmp_path):
    place = hand_in(tmp_path, "ada", RIGHT)
    with (place / "attention.ipynb").open("ab") as file:
        file.truncate(21 * 2**20)
    assert problem(tmp_path) == "attention.ipynb is larger than 20 MiB."


@pytest.mark.parametrize("garbage", [b"tomorrow", b"\xff\0", b"0000-99-99", b"9" * 400])
def test_a_time_that_is_none_is_said_and_costs_nothing(tmp_path, garbage):
    place = hand_in(tmp_path, "ada", RIGHT)
    (place / "timestamp.txt").write_bytes(garbage)
    handed_in = read(ClassFolder(tmp_path), "ada", CHAPTER)
    assert handed_in.data and handed_in.timestamp is None
    assert handed_in.problems == (
        "timestamp.txt holds no date: nobody knows whether this is late.",
    )


def test_what_is_no_submission_is_named_and_not_graded(tmp_path):
    hand_in(tmp_path, "ada", RIGHT)
    (tmp_path / "submitted" / "class.zip").write_text("")
    (tmp_path / "submitted" / "ada" / "Week 3").mkdir()
    (tmp_path / "submitted" / ".DS_Store").write_text("")
    place = ClassFolder(tmp_path)
    assert place.students(CHAPTER) == ["ada"] and place.chapters() == [CHAPTER]
    loose, other = place.strays()
    assert "class.zip is in no student's folder" in loose
    assert "Week 3 is not graded: put it into a folder named after its chapter" in other
