"""The running figure shows what stands in the result."""

import matplotlib.pyplot as plt
import pytest

from tutor.materials import figures

RESULTS = {
    "runs": {
        "1: one vector": [{"exact": 0.1}, {"exact": 0.3}],
        "3: attention": [{"exact": 0.9}, {"exact": 0.9}],
        "4: heads": [{"exact": 0.7}, {"exact": 0.7}],
    },
    "parallel": {"3: a set": [{"exact": 0.2}, {"exact": 0.4}], "5: turned": [{"exact": 0.8}] * 2},
    "large": {"3: a set": [{"exact": 0.0}, {"exact": 0.1}]},
    "steps": {
        "runs": {"1: one vector": 11, "3: attention": 11, "4: heads": 11},
        "parallel": {"3: a set": 1, "5: turned": 1},
        "large": {"3: a set": 2},
    },
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def marks(axes):
    """Of each mark its place on the axis and whether it is hollow."""
    return [
        (round(float(line.get_xdata()[0]), 6), line.get_fillstyle() == "none")
        for line in axes.lines
        if line.get_marker() in figures.MARKS
    ]


@pytest.mark.parametrize(
    ("chapter", "names"),
    [
        (1, ["1: one vector"]),
        (3, ["1: one vector", "3: attention", "3: a set"]),
        (4, ["1: one vector", "3: attention", "3: a set"]),  # the story goes on without recurrence
        (5, ["1: one vector", "3: attention", "3: a set", "5: turned"]),
    ],
)
def test_translators_up_to_the_chapter_are_drawn(chapter, names):
    assert [name for name, _ in figures.matches_and_steps(RESULTS, chapter)] == names
    labels = [label.get_text() for label in plt.gcf().axes[0].get_yticklabels()]
    assert labels == names


def test_marks_stand_at_the_means_and_at_the_steps():
    drawn = figures.matches_and_steps(RESULTS, 3)
    left, right = plt.gcf().axes
    assert marks(left) == [(0.2, False), (0.9, False), (0.3, False), (0.05, True)]
    assert marks(right) == [(11, False), (11, False), (1, False), (2, True)]
    assert drawn[-1] == ("3: a set", [0.2, 0.4])
