"""Which tests belong to a chapter, and which of them one process runs."""

import subprocess
import sys

import pytest

from tutor import ROOT


def collected(*options: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    command += ["--anew"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    return set((done.stdout + done.stderr).splitlines())


@pytest.fixture(scope="module")
def of_chapter_three() -> set[str]:
    return collected("--chapter", "attention")


@pytest.mark.parametrize(
    "part",
    [
        "tests/test_attention.py::",
        "::test_trap_is_refused_and_named_in_a_report_that_is_readable_everywhere[causal_mask-",
        "::test_every_mutant_is_killed_or_explained_and_the_table_is_fresh[attention]",
        "::test_notebook_with_the_solutions_runs[attention]",
        "::test_signatures_tell_the_shapes[attention]",
        "::test_right_answers_get_the_report_that_they_get_at_home[03_attention]",
    ],
)
def test_a_chapter_has_its_reference_checks_mutants_notebook_and_sandbox(of_chapter_three, part):
    assert any(part in line for line in of_chapter_three)


@pytest.mark.parametrize("part", ["test_recurrence", "[rnn_step", "[recurrence", "test_browser"])
def test_a_chapter_has_nothing_of_others(of_chapter_three, part):
    assert not any(part in line for line in of_chapter_three)


def test_a_chapter_that_does_not_exist_is_said():
    assert any(
        "no chapter atention; there are: rec" in line for line in collected("--chapter=atention")
    )
