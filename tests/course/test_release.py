"""From the instructor's text to the student's notebook, to work/ and to the bundle."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import pytest
from nbgrader.utils import is_grade, is_locked, is_solution

from tests.proofs import COURSE
from tutor import ROOT
from tutor.checks import of_chapter
from tutor.course import bundle, lab
from tutor.course.release import EditedByHand, differences, release, source_notebook

SOURCE = "solutions/03_attention/attention.md"
PAIR = "solutions/03_attention/attention.ipynb"
EXERCISE = "exercises/03_attention/attention.ipynb"
EXERCISES = of_chapter("03_attention")
MINE = "work/03_attention/attention.ipynb"


@pytest.fixture
def course(tmp_path) -> Path:
    """A fresh clone: the course without anything that git ignores."""
    left_out = (".git", ".venv", "_build", "work", "dist", "submitted", "autograded", "feedback")
    ignored = shutil.ignore_patterns(*left_out, "__pycache__", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, tmp_path / "course", ignore=ignored)
    (tmp_path / "course" / PAIR).unlink(missing_ok=True)
    return tmp_path / "course"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    """Run in a copy, whose own `tutor` is imported."""
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = tuple(sys.executable if part == "python" else part for part in command)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def notebook(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def cells(path: Path) -> dict[str, nbformat.NotebookNode]:
    """Those that nbgrader knows, by grade_id."""
    known = (c for c in notebook(path).cells if "nbgrader" in c.metadata)
    return {c.metadata.nbgrader.grade_id: c for c in known}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def solve(path: Path, name: str, source: str) -> None:
    nb = notebook(path)
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == f"{name}-solution":
            cell.source = source
    nbformat.write(nb, path)


# Release


def test_exercises_are_what_the_solutions_generate():
    assert differences() == []


def test_fresh_clone_gives_the_same_bytes(course):
    committed = (course / EXERCISE).read_bytes()
    (course / EXERCISE).unlink()
    assert release(course) == [course / PAIR, course / EXERCISE]
    assert (course / EXERCISE).read_bytes() == committed
    assert release(course) == []


def test_cell_ids_are_valid_and_unique():
    ids = [c.id for c in notebook(ROOT / EXERCISE).cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", i) for i in ids)


def test_edit_of_a_text_moves_no_cell_id(course):
    before = [c.id for c in source_notebook(course / SOURCE).cells]
    edit(
        course / SOURCE,
        "<details><summary>Hint 1",
        "One more sentence.\n\n<details><summary>Hint 1",
    )
    assert [c.id for c in source_notebook(course / SOURCE).cells] == before


def test_new_cell_moves_ids_of_its_own_section_only(course):
    before = [c.id for c in source_notebook(course / SOURCE).cells]
    edit(course / SOURCE, "\n## 3. ", "\nA cell of its own.\n\n+++\n\n## 3. ")
    after = [c.id for c in source_notebook(course / SOURCE).cells]
    assert set(after) - set(before) == {"before-causal_mask-solution-2"}
    assert set(before) <= set(after)


@pytest.mark.by_content(*COURSE)
def test_edited_exercise_is_refused_and_left_untouched(course):
    edit(course / EXERCISE, "Seven functions", "Seven splendid functions")
    edit(course / SOURCE, "Seven functions", "The seven functions")
    edited = (course / EXERCISE).read_bytes()
    with pytest.raises(
        EditedByHand, match=r"exercises/.* was edited by hand.*Move .* to solutions/"
    ):
        release(course)
    assert (course / EXERCISE).read_bytes() == edited
    assert not (course / PAIR).exists()
    done = run(course, "python", "-m", "tutor.course.release")
    assert done.returncode == 1 and "Nothing was written" in done.stderr
    (course / EXERCISE).unlink()
    assert course / EXERCISE in release(course)


def test_edited_instructor_notebook_is_refused_and_left_untouched(course):
    release(course)
    edit(course / PAIR, "Seven functions", "Seven splendid functions")
    edited = (course / PAIR).read_bytes()
    with pytest.raises(EditedByHand, match=f"{PAIR} was edited by hand"):
        release(course)
    assert (course / PAIR).read_bytes() == edited


def test_a_file_that_is_no_notebook_is_refused(course):
    (course / EXERCISE).write_text("notes to myself")
    with pytest.raises(EditedByHand, match=EXERCISE):
        release(course)


def test_notebook_that_was_only_run_is_made_anew(course):
    committed = (course / EXERCISE).read_bytes()
    nb = notebook(course / EXERCISE)
    setup = next(c for c in nb.cells if c.id == "setup")
    setup.execution_count = 1
    setup.outputs = [nbformat.v4.new_output("stream", text="hello")]
    nbformat.write(nb, course / EXERCISE)
    release(course)
    assert (course / EXERCISE).read_bytes() == committed


@pytest.mark.by_content(*COURSE)
def test_check_says_which_exercise_is_out_of_date(course):
    assert run(course, "python", "-m", "tutor.course.release", "--check").returncode == 0
    edit(course / SOURCE, "Seven functions", "The seven functions")
    shutil.copytree(course / "exercises/03_attention", course / "exercises/99_gone")
    done = run(course, "python", "-m", "tutor.course.release", "--check")
    assert done.returncode == 1
    assert f"{EXERCISE} is out of date: run `make release`" in done.stdout
    assert "exercises/99_gone/attention.ipynb comes from no solution" in done.stdout


@pytest.mark.by_content(*COURSE)
def test_nbgrader_itself_releases_the_same_notebook_and_no_text_with_solutions(course):
    release(course)
    generate = ["python", "-m", "nbgrader", "generate_assignment", "03_attention", "--force"]
    committed = (course / EXERCISE).read_bytes()
    assert run(course, *generate).returncode == 0
    assert (course / EXERCISE).read_bytes() == committed
    assert not list((course / "exercises").rglob("*.md"))
    # Without our setting nbgrader copies the text with the solutions into the release.
    assert run(course, *generate, "--CourseDirectory.ignore=[]").returncode == 0
    assert list((course / "exercises").rglob("*.md"))


# The student's notebook


def test_student_notebook_holds_no_solution():
    given = notebook(ROOT / EXERCISE)
    assert "SOLUTION" not in (ROOT / EXERCISE).read_text("utf-8")
    code = "\n".join(c.source for c in given.cells if c.cell_type == "code")
    for cell in filter(is_solution, source_notebook(ROOT / SOURCE).cells):
        _, rest = cell.source.split("### BEGIN SOLUTION\n")
        body, _ = rest.split("### END SOLUTION")
        for line in filter(None, map(str.strip, body.splitlines())):
            assert line not in code
    for cell in filter(is_solution, given.cells):
        assert cell.source.rstrip().endswith("raise NotImplementedError")


def test_student_notebook_holds_no_output_and_nothing_that_changes_by_itself():
    given = notebook(ROOT / EXERCISE)
    assert set(given.metadata) == {"kernelspec", "tutor"}
    assert given.metadata.kernelspec.name == "python3"
    code = [c for c in given.cells if c.cell_type == "code"]
    assert all(c.outputs == [] and c.execution_count is None for c in code)


def test_every_exercise_has_one_check_cell_worth_its_points():
    graded = {n: c for n, c in cells(ROOT / EXERCISE).items() if is_grade(c)}
    assert list(graded) == list(EXERCISES)
    for name, cell in graded.items():
        assert cell.metadata.nbgrader.points == EXERCISES[name].total
        assert is_locked(cell)
        assert cell.source == f"check({name})"


@pytest.mark.parametrize("missing", ["torch", "tutor.checks"])
def test_notebook_in_the_wrong_environment_says_which_command_to_run(monkeypatch, missing):
    cells = nbformat.read(ROOT / EXERCISE, as_version=4).cells
    setup = next(c for c in cells if c.metadata.get("nbgrader", {}).get("grade_id") == "setup")
    exec(setup.source, {})  # in the right one it says nothing
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit, match=f"no '{missing}'.*make lab"):
        exec(setup.source, {})


# make lab, make update


def test_lab_copies_and_never_overwrites(course):
    every = sorted(p.relative_to(ROOT / "exercises") for p in ROOT.glob("exercises/*/*.ipynb"))
    assert lab.copy(course) == [f"work/{notebook} is new" for notebook in every]
    assert (course / MINE).read_bytes() == (course / EXERCISE).read_bytes()
    solve(course / MINE, "causal_mask", "mine")
    mine = (course / MINE).read_bytes()
    assert lab.copy(course) == []
    edit(course / SOURCE, "Seven functions", "The seven functions")
    release(course)
    (line,) = lab.copy(course)
    assert line.startswith(f"{MINE} has a newer version; yours is untouched.")
    assert (course / MINE).read_bytes() == mine


def test_a_course_that_cannot_be_written_is_said(course):
    (course / "work").write_text("in the place of the folder")
    done = run(course, "python", "-m", "tutor.course.lab")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.match(rf"{re.escape(str(course))}/work/\S+ cannot be written: ", done.stderr)
    assert "Copy the course to a folder in which you may write" in done.stderr


def test_update_moves_solutions_and_keeps_the_old_notebook(course):
    lab.copy(course)
    solve(course / MINE, "causal_mask", "def causal_mask(): ...")
    mine = (course / MINE).read_bytes()
    assert lab.update(course) == []
    edit(course / SOURCE, "Seven functions", "The seven functions")
    edit(course / SOURCE, "def stable_softmax(scores: Tensor,", "def stable_softmax(s: Tensor,")
    release(course)
    (line,) = lab.update(course)
    kept = course / line.rpartition(" is ")[2]
    assert kept.read_bytes() == mine
    new = cells(course / MINE)
    assert new["causal_mask-solution"].source == "def causal_mask(): ..."
    assert new["stable_softmax-solution"].source.startswith("def stable_softmax(s: Tensor,")
    assert "The seven functions" in (course / MINE).read_text("utf-8")
    assert lab.update(course) == []


def test_update_says_what_it_could_not_move(course):
    lab.copy(course)
    for name in ("causal_mask", "padding_mask"):
        solve(course / MINE, name, f"def {name}(): ...")
    nb = notebook(course / MINE)
    nb.cells.append(nbformat.v4.new_code_cell("1 + 1"))
    nbformat.write(nb, course / MINE)
    edit(
        course / SOURCE, "def causal_mask(\n    num_queries: int,", "def causal_mask(\n    n: int,"
    )
    edit(course / SOURCE, "grade_id: padding_mask-solution", "grade_id: pad-solution")
    release(course)
    _, *said = lab.update(course)
    assert said == [
        "    causal_mask: what was given in its cell has changed; yours stands.",
        "    padding_mask is no longer asked for: yours is in the old one only.",
        "    Cells that you added are in the old one only.",
    ]


def test_update_keeps_all_parts_of_a_cell_that_was_split_or_is_text(course):
    lab.copy(course)
    nb = notebook(course / MINE)
    known = {c.metadata.get("nbgrader", {}).get("grade_id"): c for c in nb.cells}

    def part(name: str, source: str, make=nbformat.v4.new_code_cell) -> None:
        cell = known[f"{name}-solution"]
        nb.cells.insert(nb.cells.index(cell) + 1, make(source, metadata=cell.metadata))

    part("causal_mask", "def causal_mask(): ...")
    known["causal_mask-solution"].source = "import math"
    part("padding_mask", "A thought.", nbformat.v4.new_markdown_cell)
    known["padding_mask-solution"].source = "def padding_mask(): ..."
    known["self_attention-solution"].source = "def self_attention(): ..."
    known["self_attention-solution"].cell_type = "markdown"
    for name in ("outputs", "execution_count"):
        del known["self_attention-solution"][name]
    nbformat.write(nb, course / MINE)
    edit(course / SOURCE, "Seven functions", "The seven functions")
    release(course)
    _, *said = lab.update(course)
    assert said == ["    padding_mask: what is text in its cell is in the old one only."]
    new = cells(course / MINE)
    assert new["causal_mask-solution"].source == "import math\n\ndef causal_mask(): ..."
    assert new["padding_mask-solution"].source == "def padding_mask(): ..."
    assert new["self_attention-solution"].source == "def self_attention(): ..."
    assert new["self_attention-solution"].cell_type == "code"


def test_update_of_what_is_no_notebook_leaves_it(course):
    (course / MINE).parent.mkdir(parents=True)
    (course / MINE).write_text("{half a notebook")
    (line,) = lab.update(course)
    assert "it stays as it is" in line
    assert (course / MINE).read_text() == "{half a notebook"


def test_update_overwrites_no_old_notebook_of_an_earlier_update(course):
    lab.copy(course)
    solve(course / MINE, "causal_mask", "mine")
    mine = (course / MINE).read_bytes()
    edit(course / SOURCE, "Seven functions", "The seven functions")
    release(course)
    version = notebook(course / EXERCISE).metadata.tutor.release
    earlier = course / MINE.replace(".ipynb", f"-before-{version[:6]}.ipynb")
    earlier.write_text("from an earlier update")
    lab.update(course)
    assert earlier.read_text() == "from an earlier update"
    assert earlier.with_stem(f"{earlier.stem}-2").read_bytes() == mine


# make bundle


def tracked(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)


def test_bundle_holds_the_course_without_solutions(course, tmp_path):
    tracked(course)
    (course / "exam.md").write_text("not tracked, so nobody's business")
    archive = bundle.bundle(course)
    first = archive.read_bytes()
    assert bundle.bundle(course).read_bytes() == first
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "class", filter="data")
    (unpacked,) = (tmp_path / "class").iterdir()
    assert re.fullmatch(r"attention-workshop-[\d.]+", unpacked.name)
    for name in (EXERCISE, "Makefile", "README.md", "book/03_attention.md", "tutor/attention.py"):
        assert (unpacked / name).read_bytes() == (course / name).read_bytes()
    assert not (unpacked / "solutions").exists() and not (unpacked / "exam.md").exists()
    for path in filter(Path.is_file, unpacked.rglob("*")):
        assert b"BEGIN SOLUTION" not in path.read_bytes(), path


def test_bundle_can_open_the_lab_and_build_the_book(course):
    shutil.rmtree(course / "solutions")
    opened = run(course, "python", "-m", "tutor.course.lab").stdout
    assert f"{MINE} is new\n" in opened and opened.count(" is new\n") == len(
        list(ROOT.glob("exercises/*/*.ipynb"))
    )
    for target in ("lab", "book"):
        planned = run(course, "make", "--dry-run", target)
        assert planned.returncode == 0, planned.stderr
        assert "tutor.course.release" not in planned.stdout
    refused = run(course, "make", "solutions-here")
    assert refused.returncode != 0 and "has no solutions/" in refused.stderr


def test_bundle_without_git_says_why_not(course):
    done = run(course, "python", "-m", "tutor.course.bundle")
    assert done.returncode == 1 and "what git tracks" in done.stderr
    assert not (course / "dist").exists()


# The commands


def test_commands_in_the_texts_are_the_makefiles():
    listed = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    helped = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert re.findall(r"^make ([a-z]+)", helped, re.MULTILINE) == listed
    used = {
        page: set(re.findall(r"(?:`|^)make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
        for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "book").glob("*.md")]
    }
    assert used[ROOT / "README.md"] == set(listed)
    for page, commands in used.items():
        assert commands <= set(listed), page


def test_a_build_that_was_stopped_does_not_keep_the_next_one_from_being_made(course):
    """It left a picture where the next one wants the folder _static."""
    book, commands = course / "_build" / "html", course / ".venv" / "bin"
    for folder in (book, commands):
        folder.mkdir(parents=True)
    (book / "_static").write_bytes(b"a picture")
    (commands / "jupyter-book").write_text("#!/bin/sh\nmkdir -p _build/html/_static\n")
    (commands / "jupyter-book").chmod(0o755)
    shutil.rmtree(course / "solutions")  # so that no notebook is made first
    made = run(course, "make", "book", "--old-file=.venv/.installed")
    assert made.returncode == 0, made.stderr
    assert (book / "_static").is_dir() and (book / ".built").exists()


def test_ci_runs_make_test_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
