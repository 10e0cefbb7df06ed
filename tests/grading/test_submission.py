"""Reading what was handed in: whatever the file holds, a notebook to grade or a reason."""

import copy
import json
import os

import nbformat
import pytest

from tutor import ROOT
from tutor.course.release import is_bench
from tutor.course.sample_class import CHAPTER, EXERCISES, NOTEBOOK, solutions
from tutor.grading import submission
from tutor.grading.submission import parse, read, restore
from tutor.sandbox.limits import Limits

RELEASED = submission.released(CHAPTER, NOTEBOOK)
LIMITS = Limits(notebook_mebibytes=1, notebook_cells=100)
EXERCISE = ROOT / "exercises" / CHAPTER / f"{NOTEBOOK}.ipynb"
FIRST = "stable_softmax"


def given() -> dict:
    return json.loads(EXERCISE.read_text("utf-8"))


def cell_of(nb: dict, grade_id: str) -> dict:
    return next(
        c for c in nb["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id
    )


def solved(nb: dict) -> dict:
    for name, source in solutions().items():
        cell_of(nb, f"{name}-solution")["source"] = source
    return nb


def added(source: str) -> dict:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": []}


def parsed(nb: dict) -> submission.Submitted:
    return parse(json.dumps(nb).encode(), RELEASED, LIMITS)


def test_released_notebook_is_the_one_that_students_have():
    assert nbformat.read(EXERCISE, as_version=4) == RELEASED


def test_written_text_is_found_and_restored():
    submitted = parsed(solved(given()))
    assert submitted.written == solutions() and submitted.problems == ()
    nb = restore(RELEASED, submitted)
    nbformat.validate(nb)
    assert [c.source for c in nb.cells if c.cell_type == "markdown"] == [
        c.source for c in RELEASED.cells if c.cell_type == "markdown"
    ]


def test_locked_cells_and_all_metadata_come_from_the_course():
    nb = solved(given())
    cell_of(nb, FIRST)["source"] = "6.0"
    cell_of(nb, FIRST)["metadata"]["nbgrader"]["points"] = 1000
    cell_of(nb, "setup")["source"] = "import evil"
    cell_of(nb, f"{FIRST}-solution")["metadata"] |= {"tags": ["skip-execution"], "evil": 1}
    submitted = parsed(nb)
    restored = restore(RELEASED, submitted)
    for name, problem in zip(("setup", FIRST), submitted.problems, strict=True):
        assert problem.startswith(f"The given cell {name} is not as the course gives it")
    for ours, theirs in zip(RELEASED.cells, restored.cells, strict=True):
        assert ours.metadata == theirs.metadata
        assert ours.source == theirs.source or ours.metadata.nbgrader.solution
    assert "evil" not in nbformat.writes(restored)


def test_added_cells_stand_where_the_student_had_them():
    nb = solved(given())
    places = [c["metadata"].get("nbgrader", {}).get("grade_id") for c in nb["cells"]]
    after_check = places.index(FIRST) + 1
    nb["cells"].insert(after_check, added(f"del {FIRST}"))
    nb["cells"].insert(places.index(f"{FIRST}-solution") + 1, added("helper = 1"))
    nb["cells"].insert(0, added("first = 1"))
    submitted = parsed(nb)
    assert submitted.own[""] == ("first = 1",) and submitted.own[FIRST] == (f"del {FIRST}",)
    assert submitted.own[f"{FIRST}-solution"][1:] == ("helper = 1",)
    restored = restore(RELEASED, submitted)
    code = [c.source for c in restored.cells if c.cell_type == "code"]
    assert code[1] == "first = 1"
    assert code[3:6] == ["helper = 1", f"check({FIRST})", f"del {FIRST}"]


BENCH = next(c.metadata.nbgrader.grade_id for c in RELEASED.cells if is_bench(c))


def test_bench_and_what_was_added_there_are_kept_and_not_run():
    nb = solved(given())
    places = [c["metadata"].get("nbgrader", {}).get("grade_id") for c in nb["cells"]]
    nb["cells"][places.index(BENCH)]["source"] = "bench.translator(padding_mask=rewritten)"
    nb["cells"].insert(places.index(BENCH) + 1, added("bench.translator(padding_mask=other)"))
    restored = restore(RELEASED, parsed(nb))
    assert "rewritten" not in nbformat.writes(restored)
    assert any("padding_mask=other" in c.source for c in restored.cells)
    code = [c for c in restored.cells if submission.is_run(c)]
    assert len(code) == 1 + 2 * len(EXERCISES) and not any("bench" in c.source for c in code)
    plain = restore(RELEASED, parsed(solved(given())))
    assert submission.digest(restored) == submission.digest(plain)


def test_copy_of_the_bench_beside_an_exercise_takes_no_helper_away():
    nb = solved(given())
    places = [c["metadata"].get("nbgrader", {}).get("grade_id") for c in nb["cells"]]
    at = places.index(f"{FIRST}-solution") + 1
    nb["cells"][at:at] = [copy.deepcopy(cell_of(nb, BENCH)), added("helper = 1")]
    submitted = parsed(nb)
    assert submitted.own[f"{FIRST}-solution"][1:] == ("helper = 1",)
    (helper,) = (c for c in restore(RELEASED, submitted).cells if c.source == "helper = 1")
    assert submission.is_run(helper)


def test_no_mark_of_a_students_keeps_a_cell_from_being_run():
    nb = solved(given())
    cell_of(nb, f"{FIRST}-solution")["metadata"]["tags"] = ["bench"]
    restored = restore(RELEASED, parsed(nb))
    assert submission.is_run(next(c for c in restored.cells if c.id == f"{FIRST}-solution"))


def test_deleted_cells_come_back_empty():
    nb = solved(given())
    nb["cells"] = [c for c in nb["cells"] if c is not cell_of(nb, f"{FIRST}-solution")]
    nb["cells"] = [c for c in nb["cells"] if c["metadata"] == {} or "setup" not in str(c)]
    submitted = parsed(nb)
    assert submitted.problems == (f"The cell {FIRST}-solution is missing.",)
    restored = restore(RELEASED, submitted)
    cell = next(c for c in restored.cells if c.id == f"{FIRST}-solution")
    assert cell.source == "" and len(restored.cells) == len(RELEASED.cells)


@pytest.mark.parametrize("by", ["id", "definition"])
def test_solution_is_found_without_nbgraders_marks(by):
    nb = solved(given())
    for cell in nb["cells"]:
        cell["metadata"] = {}
        if by == "definition":
            del cell["id"]
    submitted = parsed(nb)
    assert submitted.written == solutions() and submitted.problems == ()


def test_copy_of_a_solution_cell_runs_after_it():
    nb = solved(given())
    cell = cell_of(nb, f"{FIRST}-solution")
    again = copy.deepcopy(cell) | {"source": "second = 2"}
    nb["cells"].insert(nb["cells"].index(cell) + 1, again)
    assert parsed(nb).own[f"{FIRST}-solution"] == (solutions()[FIRST], "second = 2")


def test_version_3_is_read():
    nb = solved(given())
    cells = [{"cell_type": "code", "language": "python", "outputs": [], "metadata": {}, "input": s}
             for s in solutions().values()]  # fmt: skip
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    assert parsed(old).written == solutions() == parsed(nb).written


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_other_encodings_are_read(encoding):
    nb = solved(given())
    for cell in nb["cells"]:  # cp1252 has no Greek
        cell["source"] = "".join(cell["source"]).encode("cp1252", "ignore").decode("cp1252")
    cell_of(nb, f"{FIRST}-solution")["source"] = "name = 'é'"
    data = json.dumps(nb, ensure_ascii=False).encode(encoding)
    assert parse(data, RELEASED, LIMITS).written[FIRST] == "name = 'é'"


def test_halves_of_characters_and_zero_bytes_can_be_written():
    nb = given()
    cell_of(nb, f"{FIRST}-solution")["source"] = "s = '\ud800\0'"
    text = nbformat.writes(restore(RELEASED, parsed(nb)))
    assert "s = '?'" in text and text.encode()


NOT_NOTEBOOKS = {
    "is empty": b" \n",
    "is not JSON": b"print('hi')",
    "is nested too deeply": b"[" * 200_000,
    "is JSON, but no notebook": b'{"cells_": []}',
    "is larger than 1 MiB": b" " * 2**20 + b"{}",
    "has 101 code cells; 100 are allowed": json.dumps(
        {"cells": [{"cell_type": "code", "source": "1"}] * 101}
    ).encode(),
}


@pytest.mark.parametrize("problem", NOT_NOTEBOOKS)
def test_file_that_is_no_notebook_gets_a_reason(tmp_path, problem):
    path = tmp_path / "attention.ipynb"
    path.write_bytes(NOT_NOTEBOOKS[problem])
    submitted = read(path, RELEASED, LIMITS)
    assert submitted.problems[0].startswith(f"attention.ipynb {problem}") and not submitted.own


def test_missing_files_links_and_folders_get_a_reason(tmp_path):
    link = tmp_path / "attention.ipynb"
    assert read(link, RELEASED, LIMITS).problems == ("attention.ipynb was not handed in.",)
    link.symlink_to("/dev/zero")
    assert read(link, RELEASED, LIMITS).problems == ("attention.ipynb is a link.",)
    (tmp_path / "folder.ipynb").mkdir()
    assert "is no file" in read(tmp_path / "folder.ipynb", RELEASED, LIMITS).problems[0]
    os.mkfifo(tmp_path / "pipe.ipynb")
    assert "is no file" in read(tmp_path / "pipe.ipynb", RELEASED, LIMITS).problems[0]
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "attention.ipynb").write_bytes(EXERCISE.read_bytes())
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    linked = read(tmp_path / "linked" / "attention.ipynb", RELEASED, LIMITS)
    assert linked.problems == ("attention.ipynb lies in a folder that is a link.",)
    assert not read(tmp_path / "real" / "attention.ipynb", RELEASED, LIMITS).problems


@pytest.mark.parametrize(
    "strange",
    [
        {"cells": None},
        {"cells": {"a": 1}},
        {"cells": [None, 3, "text", [], {}]},
        {"cells": [{"cell_type": "code", "source": {"a": 1}, "metadata": []}]},
        {"cells": [{"cell_type": 3, "source": 3, "metadata": {"nbgrader": 3}, "id": []}]},
        {"cells": [{"cell_type": "code", "source": [1, None, "x"]}]},
        {"worksheets": 3},
        {"worksheets": [3, {"cells": 3}]},
    ],
    ids=json.dumps,
)
def test_strange_notebooks_are_read_as_far_as_they_go(strange):
    submitted = parsed(strange)
    assert len(submitted.problems) == len(EXERCISES)
    nbformat.validate(restore(RELEASED, submitted))


def digest_of(nb: dict) -> str:
    return submission.digest(restore(RELEASED, parsed(nb)))


def test_digest_follows_what_was_written_and_nothing_else():
    nb = solved(given())
    digest = digest_of(nb)
    nb["metadata"]["kernelspec"] = {"name": "other"}
    nb["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hi"}]
    assert digest_of(nb) == digest
    cell_of(nb, f"{FIRST}-solution")["source"] += "\n"
    assert digest_of(nb) != digest


def test_digest_stays_when_nbgrader_writes_the_restored_notebook_and_reads_it_again():
    nb = solved(given())
    nb["cells"].insert(0, added("first = 1"))
    restored = restore(RELEASED, parsed(nb))
    again = restore(RELEASED, parse(nbformat.writes(restored).encode(), RELEASED, LIMITS))
    assert submission.digest(again) == submission.digest(restored)
