"""The one writer to nbgrader's gradebook."""

import shutil

import pytest
from sqlalchemy import text

from tests.grading.helpers import FULL, points_in
from tutor import ROOT
from tutor.course.sample_class import CHAPTER, EXERCISES
from tutor.course.settings import open_gradebook
from tutor.grading.class_folder import ClassFolder
from tutor.grading.gradebook import GRADED, Writer, tell


def test_a_submission_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    place = ClassFolder(tmp_path)
    tell(place.database, CHAPTER)
    scores = {name: float(e.total) for name, e in EXERCISES.items()}
    with Writer(place.database, CHAPTER) as writer:
        monkeypatch.setattr(writer, "_remember", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.save("ada", None, scores, {}, "hash")
    assert points_in(place) == {}
    with Writer(place.database, CHAPTER) as writer:
        writer.save("ada", None, scores, {}, "hash")
        assert writer.graded() == {"ada": (writer.key("ada", "hash"), None)}
        assert (
            writer.key("ada", "another") != writer.key("ada", "hash") != writer.key("eve", "hash")
        )
    assert points_in(place) == {"ada": FULL}


def test_a_course_in_a_folder_with_brackets_is_found(tmp_path, monkeypatch):
    root = tmp_path / "attention [2026]"
    shutil.copytree(ROOT / "solutions" / CHAPTER, root / "solutions" / CHAPTER)
    monkeypatch.setattr("tutor.grading.gradebook.ROOT", root)
    tell(ClassFolder(tmp_path).database, CHAPTER)
    with open_gradebook(ClassFolder(tmp_path).database) as gradebook:
        assert gradebook.find_assignment(CHAPTER).max_score == FULL


def test_our_table_leaves_nbgraders_alone(graded):
    with open_gradebook(graded[0].database) as gradebook:
        tables = gradebook.db.execute(text("select count(*) from tutor_graded")).scalar()
        assert tables == 3 and GRADED.name == "tutor_graded"
        assert gradebook.db.execute(text("select version_num from alembic_version")).scalar()
