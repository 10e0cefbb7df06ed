"""What a result was made from: the digest changes with whatever may change the result."""

import pytest

from benchmarks import content
from tutor import ROOT


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A small course: ``write(name, text)`` makes a file of it and gives its path."""
    monkeypatch.setattr(content, "ROOT", tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        content.imported.cache_clear()
        content.freshness.imported.cache_clear()
        return path

    yield write
    content.imported.cache_clear()
    content.freshness.imported.cache_clear()


def names(paths, root):
    return {path.relative_to(root).as_posix() for path in paths}


def test_modules_are_followed_through_others(here, tmp_path):
    here("tutor/base.py", "")
    here("tutor/attention.py", "import torch\nfrom tutor.base import one")
    here("tutor/flash.py", "from tutor import attention")
    assert names(
        content.modules(here("tutor/checks/flash.py", "import tutor.flash")), tmp_path
    ) == {
        "tutor/checks/flash.py",
        "tutor/flash.py",
        "tutor/attention.py",
        "tutor/base.py",
    }


def test_a_list_of_modules_is_not_what_one_of_them_uses(here, tmp_path):
    shared = here("tutor/checks/rope/__init__.py", "from tutor.checks.rope import one, two")
    here("tutor/checks/rope/two.py", "")
    one = here("tutor/checks/rope/one.py", "from tutor.checks.rope import SIZES")
    assert "tutor/checks/rope/two.py" in names(content.modules(one), tmp_path)
    found = content.modules(one, listing={shared})
    assert names(found, tmp_path) == {"tutor/checks/rope/__init__.py", "tutor/checks/rope/one.py"}
    one = here("tutor/checks/rope/one.py", "from tutor.checks.rope.two import TWO")
    assert "tutor/checks/rope/two.py" in names(content.modules(one, listing={shared}), tmp_path)


def test_a_package_of_which_only_modules_are_imported_does_not_count(here, tmp_path):
    here("tutor/checks/__init__.py", "from tutor.checks.flash import FLASH\nALL = [FLASH]")
    here("tutor/checks/flash.py", "")
    here("tutor/checks/shapes.py", "")
    one = here("tutor/one.py", "from tutor.checks import shapes")
    assert names(content.modules(one), tmp_path) == {"tutor/one.py", "tutor/checks/shapes.py"}
    one = here("tutor/one.py", "from tutor.checks import ALL, shapes")
    assert "tutor/checks/flash.py" in names(content.modules(one), tmp_path)


def test_tests_are_followed_too(here, tmp_path):
    here("tutor/checks/__init__.py", "from tutor.checks.flash import FLASH")
    here("tutor/checks/flash.py", "")
    here("tests/answers.py", "import tutor.checks")
    here("tests/grading/helpers.py", "def one():\n    import answers")
    test = here("tests/grading/test_batch.py", "from tests.grading import helpers\nimport pytest")
    assert names(content.modules(test), tmp_path) == {
        "tests/grading/test_batch.py",
        "tests/grading/helpers.py",
        "tests/answers.py",
        "tutor/checks/__init__.py",
        "tutor/checks/flash.py",
    }


def test_digest_follows_content_name_text_and_version(here, monkeypatch):
    found = {content.digest([here("tutor/a.py", "x = 1\n")])}
    found.add(content.digest([here("tutor/b.py", "x = 1\n")]))
    found.add(content.digest([here("tutor/a.py", "x = 2\n")]))
    found.add(content.digest([here("tutor/a.py", "x = 2\n")], ["a text"]))
    found.add(content.digest([here("tutor/a.py", "x = 2\n")], ["a ", "text"]))
    monkeypatch.setattr(content, "version", lambda name: "0.1")
    found.add(content.digest([here("tutor/a.py", "x = 2\n")]))
    assert len(found) == 6
    monkeypatch.setattr(content, "version", lambda name: "0.1+cpu")
    assert content.digest([here("tutor/a.py", "x = 2\n")]) in found


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("x = '# one'\n# two\n\n\ny = 2  # three\n", True),
        ("x = '# one'\ny = 2\n", True),
        ("x = '# four'\ny = 2\n", False),
        ("x = '# one'\nif x:\n    y = 2\n", False),
    ],
)
def test_comments_do_not_count(here, text, same):
    before = content.digest([here("tutor/a.py", "x = '# one'\n\ny = 2  # why\n")])
    assert (content.digest([here("tutor/a.py", text)]) == before) == same


def test_lines_within_a_string_count(here):
    found = {
        content.digest([here("tutor/a.py", f"x = '''a\n{line}b'''\n")])
        for line in ("", "\n", "# c\n", "\n# c\n")
    }
    assert len(found) == 4


def test_what_was_proved_is_known_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "PROVED", tmp_path / "proved")
    assert content.noted("attention.ipynb") is None
    content.note("attention.ipynb", "one")
    content.note("attention.ipynb", "two")
    assert content.noted("attention.ipynb") == "two" and content.noted("other") is None


def test_a_page_uses_what_its_cells_import():
    used = names(content.used_by((ROOT / "book" / "02_alignment.md").read_text("utf-8")), ROOT)
    assert "tutor/materials/figures.py" in used and "tutor/position.py" not in used
