import html
import shutil
from pathlib import Path

import pytest
from distributed import LocalCluster

from tests.grading.helpers import lines, quick_class, run
from tutor.course.sample_class import CHAPTER
from tutor.course.settings import open_gradebook
from tutor.grading.class_folder import ClassFolder


@pytest.fixture(scope="session")
def cluster():
    """A cluster that is there already, for tests that are not about its start."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def three(tmp_path_factory, cluster) -> Path:
    """A class of three, graded without running anything; and the log of gradings."""
    place = quick_class(tmp_path_factory.mktemp("three"), 3)
    run(place, place.folder / "log", cluster, pages=True)
    assert lines(place.folder / "log") == 3
    return place.folder


@pytest.fixture
def graded(three, tmp_path) -> tuple[ClassFolder, Path]:
    shutil.copytree(three, tmp_path / "class")
    return ClassFolder(tmp_path / "class"), tmp_path / "class" / "log"


@pytest.fixture(scope="session")
def grades(sample_class) -> dict[str, dict[str, float]]:
    """Points by student and exercise, from nbgrader's gradebook."""
    with open_gradebook(f"sqlite:///{sample_class / 'gradebook.db'}") as gradebook:
        return {
            s.student.id: {g.name: g.score for n in s.notebooks for g in n.grades}
            for s in gradebook.find_assignment(CHAPTER).submissions
        }


@pytest.fixture(scope="session")
def page(sample_class) -> str:
    return html.unescape((sample_class / "report.html").read_text("utf-8"))
