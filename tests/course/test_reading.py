"""The minutes that a page says it takes are the minutes that its words, code and figures take."""

import re

import pytest

from tutor import ROOT
from tutor.checks import CHAPTERS
from tutor.course import reading
from tutor.course.syllabus import minutes_of_exercises

PAGE = """---
kernelspec: {name: python3}
---

# Three words here

A formula $a + b$ is one word, {term}`keys <key>` and [a link](page.md#there) are what is read.

$$
x = 1
$$ (label)

:::{admonition} Four words for all
:class: aside
Not folded.
:::

::::{admonition} Two words
:class: aside dropdown
Three more words, and
```{literalinclude} ../tutor/course/reading.py
:pyobject: main
```
:::{admonition} one
:class: trap
within.
:::
::::

```{code-cell} ipython3
one = 1

two = 2
```

```{code-cell} ipython3
:tags: [hide-input]

plt.show()
figures.show(figure, "alt")
display(table(["a"], []))
figures.quiz([{"question": "Why?"}, {"question": "What?"}])
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: "Nothing"
tags: [hide-cell]
---
plt.show()
```

```{literalinclude} ../tutor/course/reading.py
:language: python
:pyobject: of_page
```

| a | table |
|---|---|
| of | words |
"""


def chapter(page: str) -> str:
    return (ROOT / "book" / f"{page}.md").read_text("utf-8")


def test_what_stands_on_a_page_is_counted_and_what_folds_is_not():
    found = reading.read(PAGE)
    assert (found.words, found.words_in_boxes) == (3 + 14 + 4 + 2, 2 + 4 + 1 + 1)
    assert (found.formulas, found.still, found.moving, found.questions) == (1, 3, 1, 2)
    assert found.lines == 2 + 3


def test_two_hundred_words_are_a_minute_and_minutes_are_told_to_the_nearest_five():
    assert reading.read("word " * 1400).minutes == 5
    assert reading.read("word " * 1600).minutes == 10
    assert reading.read("word " * 1400 + "\n\n$$\nx\n$$\n" * 3).minutes == 10


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_says_how_long_it_takes_to_read(page):
    stated = re.search(r"^\*(\d+) minutes to read", chapter(page), re.MULTILINE)
    assert int(stated[1]) == reading.read(chapter(page)).minutes, "python -m tutor.course.reading"


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_says_how_long_its_exercises_take(page):
    stated = re.search(r"(\d+) minutes of exercises", chapter(page))
    each = minutes_of_exercises(chapter(page))
    assert list(each) == [exercise.name for exercise in CHAPTERS[page]]
    assert abs(int(stated[1]) - sum(each.values())) < 5
