"""Tests that stand proved are left out until something that they depend on is different."""

import pytest

from benchmarks import content
from tests import proofs

pytest_plugins = ["pytester"]

MARKED = """
import pytest, helpers

@pytest.mark.by_content("data/*.txt")
@pytest.mark.parametrize("n", [1, 2])
def test_marked(n):
    assert n + helpers.ONE > 1

def test_other():
    pass
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """``run(*options)``: how many tests passed, failed and were left out of a small suite."""
    for module in (proofs, content):
        monkeypatch.setattr(module, "ROOT", pytester.path)
    monkeypatch.setattr(proofs, "TABLE", pytester.path / "proved.json")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_small=MARKED, helpers="ONE = 1")
    pytester.mkdir("data").joinpath("one.txt").write_text("one")
    pytester.path.joinpath("requirements.txt").write_text("")

    def run(*options):
        for cached in (
            proofs._modules,
            proofs._first_names,
            content.imported,
            content.freshness.imported,
        ):
            cached.cache_clear()
        made = pytester.runpytest_inprocess("-p", "tests.proofs", "-p", "no:xdist", *options)
        counts = made.parseoutcomes()
        said = "tests stand" in made.stdout.str()
        assert said == bool(counts.get("deselected")) or "-k" in options
        return tuple(counts.get(key, 0) for key in ("passed", "failed", "deselected"))

    return run


def test_what_passed_is_left_out_while_all_is_as_it_was(run):
    assert run() == run() == (3, 0, 0)
    assert run("--prove") == (3, 0, 0)
    assert run() == run("--prove") == (1, 0, 2)
    assert run("--anew") == (3, 0, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("test_small.py", MARKED.replace("[1, 2]", "[1, 2, 3]")),
        ("test_small.py", MARKED.replace("> 1", "> 0")),
        ("helpers.py", "ONE = 1.5"),
        ("data/one.txt", "two"),
        ("data/two.txt", "one"),
        ("requirements.txt", "pytest==9\n"),
        ("conftest.py", "import sys"),
    ],
)
def test_whatever_changes_has_them_run_again(run, pytester, name, text):
    run("--prove")
    (pytester.path / name).write_text(text)
    passed, failed, left_out = run()
    assert passed >= 3 and not failed and not left_out
    run("--prove")
    assert run() == (1, 0, passed - 1)


def test_a_package_that_they_do_not_import_changes_nothing(run, pytester):
    run("--prove")
    pytester.path.joinpath("requirements.txt").write_text("rich==15\n")
    assert run() == (1, 0, 2)


def test_comments_change_nothing(run, pytester):
    run("--prove")
    (pytester.path / "helpers.py").write_text("# the first\nONE = 1")
    assert run() == (1, 0, 2)


def test_who_asks_for_tests_gets_them(run):
    run("--prove")
    assert run("test_small.py") == (3, 0, 0)
    assert run("-k", "marked") == (2, 0, 1)


def test_only_what_passed_as_a_whole_is_written_down(run, pytester):
    assert run("--prove", "-k", "marked and 1") == (1, 0, 2)
    assert run() == (3, 0, 0)
    (pytester.path / "helpers.py").write_text("ONE = 0")
    assert run("--prove") == (2, 1, 0)
    assert run() == (2, 1, 0)


def test_what_passed_before_the_run_was_cut_off_is_written_down(run, monkeypatch):
    with monkeypatch.context() as cut_off:
        cut_off.delattr(proofs.Register, "pytest_sessionfinish")
        run("--prove")
    assert run() == (1, 0, 2)


def test_what_is_gone_is_struck_out(run, pytester):
    run("--prove")
    assert len(proofs.table()) == 1
    (pytester.path / "test_small.py").write_text(MARKED.replace("test_marked", "test_renamed"))
    run("--prove", "test_small.py")
    assert len(proofs.table()) == 2
    run("--prove")
    assert [test for test, _ in proofs.table()] == ["test_small.py::test_renamed"]


def test_a_test_about_an_exercise_depends_on_it_and_on_no_other():
    test = proofs.ROOT / "tests" / "checks" / "test_diagnose.py"
    found = proofs._modules(frozenset({test, *proofs._exercise("causal_mask")}))
    files = {path.relative_to(proofs.ROOT).as_posix() for path in found}
    checks = "tutor/checks/attention"
    assert {f"{checks}/causal_mask.py", f"{checks}/shared.py", "tutor/attention.py"} < files
    assert {
        "tutor/checks/judge.py",
        "tutor/checks/diagnose.py",
        "tests/answers/attention.py",
    } < files
    assert not {f"{checks}/padding_mask.py", "tutor/multihead.py"} & files


def test_every_mark_is_about_files_that_are_there(request):
    for item in request.session.items:
        mark = item.get_closest_marker(proofs.MARK)
        for pattern in mark.args if mark else ():
            assert list(proofs.ROOT.glob(pattern)), pattern
