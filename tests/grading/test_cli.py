"""The ``tutor`` command."""

import json
import subprocess

import nbformat
import pytest

from tests.grading import standin
from tests.grading.helpers import COMMAND, FULL, hand_in, lines
from tests.proofs import COURSE
from tutor import ROOT
from tutor.checks import CHAPTERS
from tutor.course.release import is_bench
from tutor.course.sample_class import CHAPTER, solutions
from tutor.grading import cli
from tutor.grading.grader import Grader


def test_a_chapter_that_does_not_exist_is_said(tmp_path, capsys):
    assert cli.main(["grade", "99_nowhere", "--submitted", str(tmp_path)]) == 1
    chapters = ", ".join(CHAPTERS)
    assert f"There is no chapter 99_nowhere; there are: {chapters}." in capsys.readouterr().err


def test_the_command_takes_a_cluster_from_python(graded, cluster, capsys):
    place, log = graded
    arguments = ["grade", "--json", "--again", "--submitted", str(place.folder / "submitted")]
    assert cli.main(arguments, scheduler=cluster, make=standin.Quick(log)) == 0
    *_, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert last["summary"]["graded"] == 3 and lines(log) == 6


def test_nothing_to_grade_says_where_to_put_notebooks(tmp_path, capsys):
    (tmp_path / "submitted").mkdir()
    assert cli.main(["grade", "--submitted", str(tmp_path / "submitted")]) == 1
    message = capsys.readouterr().err
    assert "nothing to grade" in message and "ada/01_recurrence/recurrence.ipynb" in message


@pytest.mark.by_content(*COURSE)
def test_check_says_what_the_checks_say_and_its_exit_code_whether_all_is_well(tmp_path):
    right = solutions()
    ada = hand_in(tmp_path, "ada", right) / "attention.ipynb"
    bob = hand_in(tmp_path, "bob", {"stable_softmax": "def stable_softmax(s, dim=-1)\n  1"})
    said = {}
    for path in (ada, bob / "attention.ipynb"):
        before = path.read_bytes()
        done = subprocess.run([*COMMAND, "check", path], cwd=ROOT, capture_output=True, text=True)
        said[path.parts[-3]] = (done.returncode, done.stdout, done.stderr)
        assert path.read_bytes() == before
    assert said["ada"][0] == 0 and "50 of 50 points" in said["ada"][1]
    assert "  ✓ values" in said["ada"][1]
    assert said["bob"][0] == 1 and "0 of 50 points" in said["bob"][1]
    assert "stable_softmax-solution: SyntaxError" in said["bob"][1]
    assert said["ada"][2] == said["bob"][2] == ""


@pytest.mark.by_content(*COURSE)
def test_check_runs_no_bench(tmp_path):
    path = hand_in(tmp_path, "ada", solutions()) / "attention.ipynb"
    nb = nbformat.read(path, as_version=4)
    copied = next(c for c in nb.cells if is_bench(c)).metadata
    nb.cells[2:2] = [
        nbformat.v4.new_code_cell("open('copied', 'w')", metadata=copied),
        nbformat.v4.new_code_cell("open('run', 'w')"),
    ]
    nb.cells.append(nbformat.v4.new_code_cell("open('added', 'w')"))
    nbformat.write(nb, path)
    subprocess.run([*COMMAND, "check", path], cwd=ROOT, check=True, capture_output=True)
    assert sorted(p.name for p in path.parent.iterdir()) == ["attention.ipynb", "run"]


def changed(folder, student, change, written=None):
    """A notebook with right solutions, or what is written, in which something is changed."""
    path = hand_in(folder, student, solutions() if written is None else written) / "attention.ipynb"
    nb = nbformat.read(path, as_version=4)
    change(nb, {c.metadata.get("nbgrader", {}).get("grade_id"): c for c in nb.cells})
    nbformat.write(nb, path)
    return path


def checked(path) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, "check", path], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, done.stdout


def split(nb, cell, at: str):
    """As JupyterLab splits a cell: both parts keep its metadata."""
    first, part, rest = cell.source.partition(at)
    second = nbformat.v4.new_code_cell(part + rest, metadata=cell.metadata)
    cell.source = first
    nb.cells.insert(nb.cells.index(cell) + 1, second)
    return second


def text(cell):
    """As JupyterLab makes a Markdown cell of one with code."""
    cell.cell_type = "markdown"
    for name in ("outputs", "execution_count"):
        cell.pop(name, None)


@pytest.mark.by_content(*COURSE)
def test_check_runs_given_cells_as_grading_does_and_names_what_does_not_count(tmp_path):
    def change(nb, cells):
        cells["setup"].source += "\nimport math"
        source = cells["attention_scores-solution"].source
        cells["attention_scores-solution"].source = source.replace("**", "* 1 if math else 0 **")
        cells["causal_mask"].source = "5.0"
        nb.cells.remove(cells["padding_mask"])

    path = changed(tmp_path, "ada", change)
    code, said = checked(path)
    assert code == 1 and "NameError: name 'math' is not defined" in said
    for name in ("setup", "causal_mask"):
        assert f"The given cell {name} is not as the course gives it" in said
    assert "padding_mask is" not in said and "padding_mask    " in said
    with Grader(CHAPTER, key=b"a test's secret") as grader:
        graded = grader.grade(path)
    assert f"{sum(graded.points.values()):g} of 50 points" in said
    assert graded.problems and all(sentence in said for sentence in graded.problems)


@pytest.mark.by_content(*COURSE)
def test_cells_that_are_text_or_split_are_checked_as_they_are_graded(tmp_path):
    def change(nb, cells):
        text(cells["stable_softmax-solution"])
        text(cells["causal_mask"])
        split(nb, cells["padding_mask-solution"], "def padding_mask")
        text(split(nb, cells["attention_scores-solution"], "\n\n\nNo such part"))
        split(nb, cells["setup"], "import torch")
        split(nb, cells["self_attention"], "(")

    path = changed(tmp_path, "ada", change)
    code, said = checked(path)
    with Grader(CHAPTER, key=b"a test's secret") as grader:
        graded = grader.grade(path)
    assert sum(graded.points.values()) == 50 and graded.limits_broken == ()
    assert code == 0 and "50 of 50 points" in said


def test_status_of_cells_that_are_text_or_split(sample_class, tmp_path, capsys):
    notebook = sample_class / "autograded" / "bruno" / CHAPTER / "attention.ipynb"
    nb = nbformat.read(notebook, as_version=4)
    cells = {c.metadata.get("nbgrader", {}).get("grade_id"): c for c in nb.cells}
    text(cells["causal_mask"])
    text(cells["padding_mask-solution"])
    split(nb, cells["stable_softmax-solution"], "\n    ").execution_count = 99
    (tmp_path / CHAPTER).mkdir()
    nbformat.write(nb, tmp_path / CHAPTER / "attention.ipynb")
    assert cli.main(["status", str(tmp_path)]) == 0
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert any(r.endswith("stable_softmax 6 of 6 check again") for r in rows)
    assert "causal_mask – of 5 not checked yet" in rows
    assert any(r.startswith("padding_mask 5 of 5") for r in rows)
    assert "self_attention – of 8 untouched" in rows


@pytest.mark.by_content(*COURSE)
def test_solution_in_a_cell_of_ones_own_has_its_points(tmp_path):
    def change(nb, cells):
        own = nbformat.v4.new_code_cell(solutions()["stable_softmax"])
        nb.cells.insert(nb.cells.index(cells["stable_softmax-solution"]) + 1, own)

    _, said = checked(changed(tmp_path, "ada", change, written={}))
    assert "6 of 50 points" in said


@pytest.mark.by_content(*COURSE)
def test_check_of_a_notebook_under_another_name_finds_its_exercise(tmp_path):
    path = changed(tmp_path, "ada", lambda nb, cells: None)
    path = path.rename(tmp_path / "attention (1).ipynb")
    assert checked(path)[0] == 0
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    assert checked(tmp_path / "empty.ipynb") == (
        1,
        f"{tmp_path / 'empty.ipynb'} holds no exercise.\n",
    )
    many = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1") for _ in range(1001)])
    nbformat.write(many, tmp_path / "empty.ipynb")
    said = "empty.ipynb has 1,001 code cells; 1,000 are allowed.\n"
    assert checked(tmp_path / "empty.ipynb") == (1, said)


def test_check_of_a_file_that_is_no_notebook_says_so(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path / "gone.ipynb")]) == 2
    (tmp_path / "prose.ipynb").write_text("Dear all")
    assert cli.main(["check", str(tmp_path / "prose.ipynb")]) == 2
    assert "is no notebook that can be read" in capsys.readouterr().err


def test_status_shows_points_and_what_is_untouched(sample_class, tmp_path, capsys):
    work = tmp_path / CHAPTER
    work.mkdir()
    notebook = sample_class / "autograded" / "bruno" / CHAPTER / "attention.ipynb"
    nb = nbformat.read(notebook, as_version=4)
    for cell in nb.cells:
        if cell.get("id") == "causal_mask-solution":
            cell.execution_count = 99
    nbformat.write(nb, work / "attention.ipynb")
    assert cli.main(["status", str(tmp_path)]) == 0
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert any(r.endswith("stable_softmax 6 of 6") for r in rows)
    assert "causal_mask 5 of 5 check again" in rows
    assert "self_attention – of 8 untouched" in rows
    assert f"together 22 of {FULL:g}" in rows
