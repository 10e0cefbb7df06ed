"""Handed in, and no notebook, or not the notebook that was given out. Nobody is left without a
grade, and nobody without a reason."""

# ruff: noqa: E501 (the long lines are those of notebooks)

import copy
import json

import nbformat

from tests.attacks.corpus import FULL, NOTHING, Under, Work, code, full_but, only, submission
from tutor.course.sample_class import solutions

READ = "JSON|notebook|read"


def _json(work: Work) -> dict:
    return json.loads(work.text())


def _raw(work: Work, notebook: object, **options) -> None:
    work.place = json.dumps(notebook, **options).encode()


# No notebook at all


@submission(points=NOTHING, says="empty")
def empty_file(work: Work) -> None:
    """No bytes."""
    work.place = b""


@submission(points=NOTHING, says=f"empty|{READ}")
def blank_file(work: Work) -> None:
    """White space, and a mark of byte order."""
    work.place = b"\xef\xbb\xbf \n\n\t"


@submission(points=NOTHING, says=READ)
def no_json(work: Work) -> None:
    """The exported Python file under the notebook's name."""
    work.place = b"def stable_softmax(scores, dim=-1):\n    pass\n"


@submission(points=NOTHING, says=READ)
def binary(work: Work) -> None:
    """A zip archive under the notebook's name."""
    work.place = b"PK\x03\x04" + bytes(range(256)) * 40


@submission(points=NOTHING, says=READ)
def truncated(work: Work) -> None:
    """An upload that was cut in the middle."""
    text = work.text().encode()
    work.place = text[: len(text) // 2]


@submission(points=NOTHING, says=READ)
def json_list(work: Work) -> None:
    """JSON that is a list."""
    work.place = b"[1, 2, 3]"


@submission(points=NOTHING, says=READ)
def json_number(work: Work) -> None:
    """JSON that is a number, longer than Python likes to read."""
    work.place = b"1" * 100_000


@submission(points=NOTHING, says=READ)
def json_without_cells(work: Work) -> None:
    """JSON that is an object, and no notebook."""
    work.place = b'{"name": "attention", "version": 3}'


@submission(points=NOTHING, says=f"{READ}|missing")
def json_of_other_types(work: Work) -> None:
    """All of a notebook's keys, each with a value of another type."""
    _raw(work, {"cells": "none", "metadata": [], "nbformat": "four", "nbformat_minor": None})


@submission(points=NOTHING, says=READ)
def json_without_bottom(work: Work) -> None:
    """A hundred thousand brackets: a parser that recurses falls over."""
    work.place = b"[" * 100_000


@submission(points=NOTHING)
def nested_in_a_notebook(work: Work) -> None:
    """A notebook whose metadata are nested a hundred thousand deep."""
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    notebook = _json(work)
    notebook["cells"], text = [], None
    text = json.dumps(notebook).encode()
    work.place = text.replace(b'"metadata": {', b'"metadata": {"deep": ' + deep + b", ", 1)


@submission(points=NOTHING)
def no_cells(work: Work) -> None:
    """A notebook without a cell."""
    work.nb.cells = []


@submission(points=NOTHING)
def cells_of_nothing(work: Work) -> None:
    """Cells that are null, numbers, lists and empty objects."""
    notebook = _json(work)
    notebook["cells"] = [None, 1, "cell", [], {}, {"cell_type": None}, {"cell_type": "code"}]
    _raw(work, notebook)


@submission(points=NOTHING, says="large|big|MB|MiB|size")
def fifty_megabytes_in_a_cell(work: Work) -> None:
    """One cell of fifty megabytes."""
    work.after("stable_softmax", "# " + "x" * 50_000_000)


@submission(points=NOTHING, says="large|big|MB|MiB|size")
def fifty_megabytes_of_cells(work: Work) -> None:
    """Three hundred thousand small cells."""
    notebook = _json(work)
    cell = {"cell_type": "code", "source": "pass # " + "x" * 60, "metadata": {}, "outputs": [],
            "execution_count": None}  # fmt: skip
    notebook["cells"] += [cell] * 300_000
    _raw(work, notebook)


@submission(points=NOTHING, says="large|big|MB|MiB|size")
def fifty_megabytes_of_outputs(work: Work) -> None:
    """An honest notebook that was printed into once too often."""
    output = nbformat.v4.new_output("stream", text="x" * 50_000_000)
    work.solution("stable_softmax").outputs = [output]


# A notebook, and not as it was given out


@submission()
def nbformat_3(work: Work) -> None:
    """Saved in the format of 2013, with worksheets and inputs."""
    old = nbformat.convert(work.nb, 3)
    work.place = json.dumps(old).encode()


@submission()
def nbformat_4_0(work: Work) -> None:
    """Saved by an old program: format 4.0, without ids."""
    notebook = _json(work)
    notebook["nbformat_minor"] = 0
    for cell in notebook["cells"]:
        cell.pop("id", None)
    _raw(work, notebook)


@submission()
def nbformat_4_99(work: Work) -> None:
    """Saved by a program from the future, with keys that nobody knows."""
    notebook = _json(work)
    notebook |= {"nbformat_minor": 99, "future": {"a": 1}}
    for cell in notebook["cells"]:
        cell["future"] = ["unknown"]
    _raw(work, notebook)


@submission()
def nbformat_5(work: Work) -> None:
    """A major version that does not exist, around cells that can be read."""
    notebook = _json(work)
    notebook["nbformat"] = 5
    _raw(work, notebook)


@submission()
def nbformat_of_nonsense(work: Work) -> None:
    """A version that is a very large negative number."""
    notebook = _json(work)
    notebook |= {"nbformat": -(10**400), "nbformat_minor": 1e308}
    _raw(work, notebook)


@submission()
def wrong_kernel(work: Work) -> None:
    """Saved with a kernel of another language, which is not installed here."""
    work.nb.metadata["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    work.nb.metadata["language_info"] = {"name": "R"}


@submission()
def no_metadata(work: Work) -> None:
    """No kernel, no language, no release: nothing but cells."""
    work.nb.metadata = nbformat.NotebookNode()


@submission()
def metadata_of_other_types(work: Work) -> None:
    """Metadata that are null, lists and numbers."""
    notebook = _json(work)
    notebook["metadata"] = {"kernelspec": None, "language_info": [], "tutor": 7, "authors": "me"}
    for n, cell in enumerate(notebook["cells"]):
        cell["metadata"] |= {"tags": n, "jupyter": None, "collapsed": "perhaps"}
    _raw(work, notebook)


@submission()
def nbgrader_metadata_stripped(work: Work) -> None:
    """Saved by a program that keeps no metadata; the cells' ids are left."""
    for cell in work.nb.cells:
        cell.metadata = nbformat.NotebookNode()


@submission()
def metadata_and_ids_stripped(work: Work) -> None:
    """Neither metadata nor ids: only the functions' names say what a cell is."""
    work.nb.nbformat_minor = 4
    for cell in work.nb.cells:
        cell.metadata = nbformat.NotebookNode()
        cell.pop("id", None)


@submission()
def nbgrader_metadata_of_other_types(work: Work) -> None:
    """nbgrader's metadata are lists, numbers, null and text; the ids are left."""
    notebook = _json(work)
    for cell, value in zip(
        notebook["cells"], [[], 1, None, "text", {"grade_id": []}] * 10, strict=False
    ):
        cell["metadata"]["nbgrader"] = value
    _raw(work, notebook)


@submission()
def schema_too_old(work: Work) -> None:
    """nbgrader's metadata as of version 1: nbgrader wants to update the file by hand."""
    for cell in work.nb.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader["schema_version"] = 1
            cell.metadata.nbgrader.pop("task", None)
            cell.metadata.nbgrader.pop("cell_type", None)


@submission()
def schema_too_new(work: Work) -> None:
    """nbgrader's metadata as of a version to come."""
    for cell in work.nb.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader["schema_version"] = 999


@submission(points=full_but(causal_mask=0))
def solution_cell_missing(work: Work) -> None:
    """One solution was deleted: that one earns nothing."""
    work.delete("causal_mask-solution")


@submission(points=NOTHING)
def all_solutions_missing(work: Work) -> None:
    """Only the text and the checks are left."""
    for name in FULL:
        work.delete(f"{name}-solution")


@submission()
def texts_deleted(work: Work) -> None:
    """All prose and all checks were deleted, and what is left is right."""
    work.nb.cells = [work.solution(name) for name in FULL]


@submission()
def cells_reversed(work: Work) -> None:
    """The cells stand in the opposite order; the restored notebook has its own."""
    work.nb.cells.reverse()


@submission(points=full_but(causal_mask=0))
def cells_exchanged(work: Work) -> None:
    """Two solutions were written into each other's cell: the first is not there when it is checked."""
    a, b = work.solution("causal_mask"), work.solution("padding_mask")
    a.source, b.source = b.source, a.source


@submission()
def all_in_one_cell(work: Work) -> None:
    """All functions stand in the first solution cell, and the other cells are gone."""
    work.write("stable_softmax", *solutions().values())
    for name in list(FULL)[1:]:
        work.delete(f"{name}-solution")


@submission()
def solution_twice(work: Work) -> None:
    """Two cells bear the same id: a first attempt, which is wrong, and below it the right one."""
    twin = copy.deepcopy(work.solution("causal_mask"))
    twin["id"] = "twin"
    work.write("causal_mask", "def causal_mask(num_queries, num_keys, device=None):\n    return 1")
    work.nb.cells.insert(work.nb.cells.index(work.solution("causal_mask")) + 1, twin)


@submission()
def solution_in_a_text_cell(work: Work) -> None:
    """A solution cell was turned into text, by one key too many: it is restored as code."""
    work.solution("causal_mask").cell_type = "markdown"
    for key in ("outputs", "execution_count"):
        work.solution("causal_mask").pop(key)


@submission()
def ids_twice(work: Work) -> None:
    """Every cell has the same id, as a careless script leaves them."""
    notebook = _json(work)
    for cell in notebook["cells"]:
        cell["id"] = "same"
    _raw(work, notebook)


@submission()
def ids_invalid(work: Work) -> None:
    """Ids that are too long, empty, numbers, and of letters that the format forbids."""
    notebook = _json(work)
    for cell, name in zip(
        notebook["cells"], ["x" * 1000, "", 7, None, "ü !", ["a"]] * 10, strict=False
    ):
        cell["id"] = name
    _raw(work, notebook)


@submission()
def outputs_missing(work: Work) -> None:
    """Code cells without outputs and counts, and some with outputs of no known kind."""
    notebook = _json(work)
    for n, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            del cell["outputs"], cell["execution_count"]
            if n % 2:
                cell["outputs"] = [{"output_type": "hologram"}, None, {"text": 1}]
                cell["execution_count"] = "many"
    _raw(work, notebook)


@submission()
def sources_as_lists(work: Work) -> None:
    """Sources as lists of lines, as the format says, with and without their ends."""
    notebook = _json(work)
    for cell in notebook["cells"]:
        cell["source"] = cell["source"] and "".join(cell["source"]).splitlines(True)
    _raw(work, notebook)


@submission(points=full_but(causal_mask=0))
def source_of_another_type(work: Work) -> None:
    """One cell's source is an object."""
    notebook = _json(work)
    for cell in notebook["cells"]:
        if cell.get("id") == "causal_mask-solution":
            cell["source"] = {"text": "".join(cell["source"])}
    _raw(work, notebook)


@submission()
def unknown_cell_types(work: Work) -> None:
    """Cells of types that no program knows stand between the others."""
    notebook = _json(work)
    strange = [
        {"cell_type": t, "source": "pass", "metadata": {}} for t in ("sql", "heading", "", 3)
    ]
    notebook["cells"][2:2] = strange
    _raw(work, notebook)


# Encodings


@submission()
def utf_8_with_a_mark(work: Work) -> None:
    """UTF-8 with a mark of byte order, as a Windows editor saves it."""
    work.after("stable_softmax", "# größer: ≤")
    work.place = work.text().encode("utf-8-sig")


@submission()
def utf_16(work: Work) -> None:
    """UTF-16, as PowerShell's redirection saves it."""
    work.place = work.text().encode("utf-16")


@submission()
def latin_1(work: Work) -> None:
    """Latin-1, with an umlaut in a comment."""
    for cell in work.nb.cells:
        cell.source = cell.source.encode("latin-1", "replace").decode("latin-1")
    work.after("stable_softmax", "# größer, schöner")
    work.place = work.text().encode("latin-1")


@submission()
def windows_line_ends(work: Work) -> None:
    """Lines that end in CR LF, in the file and in the cells."""
    for cell in work.nb.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    work.place = work.text().replace("\n", "\r\n").encode()


@submission(points=full_but(causal_mask=0), says="Indentation|Tab|Syntax")
def tabs_and_spaces(work: Work) -> None:
    """Tabs and spaces mixed in one function: that one is no Python."""
    work.write(
        "causal_mask",
        "def causal_mask(num_queries, num_keys, device=None):\n\tn = 1\n        return n",
    )


@submission()
def numbers_that_are_none(work: Work) -> None:
    """NaN and Infinity, which JSON does not know, in the metadata."""
    work.nb.metadata["score"] = float("nan")
    work.cell("setup").metadata["score"] = float("-inf")


@submission(points=full_but(padding_mask=0), says="SyntaxError|expected")
def syntax_error(work: Work) -> None:
    """A colon is missing."""
    work.write("padding_mask", "def padding_mask(lengths, num_keys)\n    return None")


@submission(points=NOTHING)
def as_it_was_given(work: Work) -> None:
    """Nothing was written."""
    work.nb = Work.as_given().nb


@submission(points=only("causal_mask", "padding_mask"))
def answers_of_another_notebook(work: Work) -> None:
    """A notebook with the same functions that never was this course's."""
    nb = nbformat.v4.new_notebook()
    nb.cells = [
        nbformat.v4.new_markdown_cell("# My notes"),
        nbformat.v4.new_code_cell("import torch\nfrom torch import Tensor"),
        nbformat.v4.new_code_cell(solutions()["causal_mask"]),
        nbformat.v4.new_code_cell(solutions()["padding_mask"]),
    ]
    work.nb = nb


@submission(points=full_but(causal_mask=Under(5)))
def merge_conflict(work: Work) -> None:
    """Saved in the middle of a merge: in the cell stand git's marks."""
    source = work.solution("causal_mask").source
    work.write("causal_mask", code("<<<<<<< HEAD", source, "=======", source, ">>>>>>> main"))


@submission(points=NOTHING, says=READ)
def merge_conflict_in_the_file(work: Work) -> None:
    """The same, in the JSON."""
    text = work.text()
    half = text.index('"metadata"')
    work.place = (text[:half] + "<<<<<<< HEAD\n" + text[half:]).encode()
