"""Tables for other systems."""

import csv

from tutor.course.sample_class import CHAPTER
from tutor.course.settings import open_gradebook
from tutor.grading.reports import exports


def test_canvas_and_moodle_get_their_columns(graded):
    place, _ = graded
    with open_gradebook(place.database) as gradebook:
        about = {"first_name": "Ada, Countess", "last_name": "L'Ovelace", "email": "a@b.c"}
        gradebook.update_or_create_student("s00", lms_user_id="77", **about)
        gradebook.update_or_create_student("absent")
    for layout in exports.FORMATS:
        exports.write(place.folder, place.database, layout)
    canvas, moodle = (
        list(csv.reader((place.folder / f"grades-{f}.csv").open())) for f in exports.FORMATS
    )
    assert canvas[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", CHAPTER]
    assert canvas[1] == ["    Points Possible", "", "", "", "", "50.0"]
    assert canvas[2:4] == [["absent", "", "", "absent", "", ""],
                           ["L'Ovelace, Ada, Countess", "77", "", "s00", "", "50.0"]]  # fmt: skip
    assert moodle[0] == ["First name", "Last name", "ID number", "Email address", CHAPTER]
    assert moodle[2] == ["Ada, Countess", "L'Ovelace", "s00", "a@b.c", "50.0"]


def test_an_id_is_no_formula_either(graded):
    place, _ = graded
    with open_gradebook(place.database) as gradebook:
        for student in ("=1+1", "@evil", "+1", "-1", "\t=1"):
            gradebook.update_or_create_student(student, lms_user_id=f"={student}")
    for layout in exports.FORMATS:
        exports.write(place.folder, place.database, layout)
    for name in ("grades", "grades-canvas", "grades-moodle"):
        text = (place.folder / f"{name}.csv").read_text("utf-8")
        fields = [field for row in csv.reader(text.splitlines()) for field in row]
        assert "'=1+1" in fields
        assert not [field for field in fields if field.startswith(("=", "@", "+", "-", "\t"))]


def test_a_name_is_no_formula_of_a_spreadsheet(graded):
    place, _ = graded
    with open_gradebook(place.database) as gradebook:
        gradebook.update_or_create_student("s00", last_name='=HYPERLINK("x")', first_name="+1")
    exports.write(place.folder, place.database, "moodle")
    (row,) = [
        r
        for r in csv.DictReader((place.folder / "grades-moodle.csv").open())
        if r["ID number"] == "s00"
    ]
    assert (row["First name"], row["Last name"]) == ("'+1", '\'=HYPERLINK("x")')
