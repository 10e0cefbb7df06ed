"""Archives as Canvas and Moodle give them, with what students call their files."""

import stat
import zipfile
from pathlib import Path

import pytest

from tutor.course.sample_class import CHAPTER, NOTEBOOK
from tutor.course.settings import open_gradebook
from tutor.grading import CannotGrade, cli, collect
from tutor.grading.class_folder import ClassFolder


def archive(folder: Path, *names: str) -> Path:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for name in names:
            zipped.writestr(name, f"of {name}")
    return path


def collected(folder: Path) -> dict[str, str]:
    """By student: what their notebook holds."""
    found = folder.glob(f"submitted/*/{CHAPTER}/{NOTEBOOK}.ipynb")
    return {p.parts[-3]: p.read_text("utf-8").removeprefix("of ") for p in found}


def take(folder: Path, *names: str) -> list[str]:
    """What is said of an archive with these files."""
    return collect.collect(archive(folder, *names), CHAPTER, ClassFolder(folder))[1]


CANVAS = {
    "4711": "lovelaceada_4711_99_attention.ipynb",
    "12": "hopper_12_98_attention-1.ipynb",
    "13": "turing_13_97_attention (1).ipynb",
    "14": "noether_14_96_Copy_of_attention.ipynb",
    "15": "héloïse_15_95_Attention.ipynb",
    "16": "o'brien-li_16_94_Week 3, final_2_3_attention.IPYNB",
    "17": "gauss_17_93_名前.ipynb",
}
MOODLE = {
    "Ada Lovelace": "Ada Lovelace_123_assignsubmission_file/attention.ipynb",
    "Grace Hopper": "Grace Hopper_124_assignsubmission_file_/attention (1).ipynb",
    "Alan Turing": "Alan Turing_125_assignsubmission_file_Copy_of_attention.ipynb",
    "Emmy_Noether": "Emmy_Noether_126_assignsubmission_file_/hw/Attention.ipynb",
    "Héloïse d'Argenteuil": "Héloïse d'Argenteuil_127_assignsubmission_file_/my_work_1_2_3.ipynb",
}


@pytest.mark.parametrize("files", [CANVAS, MOODLE], ids=["canvas", "moodle"])
@pytest.mark.parametrize("within", ["", "submissions/"])
def test_whatever_a_notebook_is_called_it_arrives(tmp_path, files, within):
    names = {student: within + name for student, name in files.items()}
    hidden = ("__MACOSX/._x.ipynb", ".DS_Store", f"{within}.ipynb_checkpoints/x.ipynb")
    assert take(tmp_path, *names.values(), *hidden) == []
    assert collected(tmp_path) == names


def test_a_folder_that_a_browser_has_unpacked_is_as_good(tmp_path):
    with zipfile.ZipFile(archive(tmp_path, *MOODLE.values())) as zipped:
        zipped.extractall(tmp_path / "all")
    assert collect.collect(tmp_path / "all", CHAPTER, ClassFolder(tmp_path)) == (len(MOODLE), [])
    assert collected(tmp_path) == MOODLE


def test_names_written_without_the_mark_of_utf8_are_read(tmp_path):
    path = archive(tmp_path, MOODLE["Héloïse d'Argenteuil"])
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place + 1] &= ~0x08
    path.write_bytes(data)
    collect.collect(path, CHAPTER, ClassFolder(tmp_path))
    assert set(collected(tmp_path)) == {"Héloïse d'Argenteuil"}


def test_ids_of_the_gradebook_are_kept(tmp_path):
    place = ClassFolder(tmp_path)
    with open_gradebook(place.database) as gradebook:
        gradebook.add_student("al815", first_name="Ada", last_name="LOVELACE", lms_user_id="4711")
        gradebook.add_student("gh1906", first_name="Grace", last_name="Hopper")
    names = [CANVAS["4711"], CANVAS["12"], MOODLE["Grace Hopper"]]
    assert take(tmp_path, *names) == []
    assert collected(tmp_path) == dict(zip(["al815", "12", "gh1906"], names, strict=True))


def test_two_of_one_name_stop_nobody(tmp_path):
    with open_gradebook(ClassFolder(tmp_path).database) as gradebook:
        gradebook.add_student("j1", first_name="Jan", last_name="Novák")
        gradebook.add_student("j2", first_name="Jan", last_name="Novák")
    said = take(
        tmp_path,
        "Ada Lovelace_123_assignsubmission_file_/attention.ipynb",
        "Ada Lovelace_124_assignsubmission_file_/attention.ipynb",
        "Jan Novák_125_assignsubmission_file_/attention.ipynb",
        "Alan Turing_126_assignsubmission_file_/attention.ipynb",
    )
    assert set(collected(tmp_path)) == {
        "Ada Lovelace 123",
        "Ada Lovelace 124",
        "Jan Novák 125",
        "Alan Turing",
    }
    assert len(said) == 3 and all("rename the folder" in sentence for sentence in said)


def test_whatever_does_not_arrive_is_named(tmp_path):
    said = take(
        tmp_path,
        "ada_1_10_draft.ipynb", "ada_1_11_attention-1.ipynb", "ada_1_12_essay.pdf",
        "bob_2_20_hw.zip", "cid_3_text.html", "dee_4_40_b.ipynb", "dee_4_39_a.ipynb",
        "notes.txt", "eve_LATE_5_50_attention.ipynb",
    )  # fmt: skip
    assert collected(tmp_path) == {
        "1": "ada_1_11_attention-1.ipynb",
        "4": "dee_4_40_b.ipynb",
        "5": "eve_LATE_5_50_attention.ipynb",
    }
    told = "\n".join(said)
    assert "ada (1): attention-1.ipynb arrives, and not draft.ipynb, essay.pdf." in told
    assert "bob (2): no notebook arrives, for there is only hw.zip." in told
    assert "cid (3): no notebook arrives, for there is only text.html." in told
    assert "dee (4): b.ipynb arrives, and not a.ipynb." in told
    assert "notes.txt: nobody's" in told and "eve (5): late, as Canvas says" in told
    assert len(said) == 6


def test_another_version_takes_the_place_of_the_first_and_is_told(tmp_path):
    assert take(tmp_path, "ada_1_10_attention.ipynb") == []
    assert take(tmp_path, "ada_1_10_attention.ipynb") == []
    (tmp_path / "submitted" / "1" / CHAPTER / "timestamp.txt").write_text("2026-12-01 18:00 UTC")
    (sentence,) = take(tmp_path, "ada_1_11_attention.ipynb")
    assert "takes the place of another version" in sentence and "timestamp.txt" in sentence
    assert collected(tmp_path) == {"1": "ada_1_11_attention.ipynb"}


def test_no_name_leaves_the_folder_or_reaches_a_terminal(tmp_path):
    (tmp_path / "class").mkdir()
    said = take(
        tmp_path / "class",
        "../../evil_7_70_attention.ipynb", ".._8_assignsubmission_file_/attention.ipynb",
        "a\x1b[31m_9_assignsubmission_file_/b.ipynb", "\x1b[2J.txt",
    )  # fmt: skip
    assert set(collected(tmp_path / "class")) == {"7", "_..", "a_[31m"}
    assert {p.name for p in tmp_path.iterdir()} == {"class"}
    assert not any("\x1b" in sentence for sentence in said)


def test_a_file_that_cannot_be_read_costs_nobody_elses(tmp_path):
    path = archive(tmp_path, "ada_1_10_attention.ipynb", "bob_2_20_attention.ipynb")
    path.write_bytes(path.read_bytes().replace(b"of ada", b"OF ADA", 1))
    arrived, said = collect.collect(path, CHAPTER, ClassFolder(tmp_path))
    assert arrived == 1 and said == ["ada (1): attention.ipynb cannot be read (BadZipFile)."]
    assert set(collected(tmp_path)) == {"2"}


def test_a_bomb_is_unpacked_as_far_as_grading_needs_to_refuse_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("ada_1_10_attention.ipynb", b" " * (40 * 2**20))
    collect.collect(tmp_path / "all.zip", CHAPTER, ClassFolder(tmp_path))
    path = tmp_path / "submitted" / "1" / CHAPTER / f"{NOTEBOOK}.ipynb"
    assert path.stat().st_size == 20 * 2**20 + 1 and stat.S_IMODE(path.stat().st_mode) == 0o644


def test_command_says_what_to_know_and_its_exit_code_whether_there_is_anything(tmp_path, capsys):
    options = ["--submitted", str(tmp_path / "submitted")]
    path = archive(tmp_path, "ada_1_10_attention.ipynb")
    assert cli.main(["collect", CHAPTER, str(path), *options]) == 0
    assert capsys.readouterr().out == f"1 notebook in {tmp_path / 'submitted'}.\n"
    assert cli.main(["collect", CHAPTER, str(archive(tmp_path, "x.ipynb")), *options]) == 1
    assert "x.ipynb: nobody's" in capsys.readouterr().out
    (tmp_path / "no.zip").write_text("Dear all")
    for wrong in ([CHAPTER, str(tmp_path / "no.zip")], [CHAPTER, str(tmp_path / "gone.zip")],
                  ["99_nowhere", str(path)]):  # fmt: skip
        assert cli.main(["collect", *wrong, *options]) == 2
    with pytest.raises(CannotGrade, match="cannot be read as a zip or a folder"):
        collect.collect(tmp_path / "no.zip", CHAPTER, ClassFolder(tmp_path))
