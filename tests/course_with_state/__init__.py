"""A course of one exercise, which is a class: what the judge and the grader do with state.

No page of the book belongs to it. It has all that an exercise has: a reference, cases, properties,
a contract, traps, right answers in several styles, wrong ones, mutants and a notebook.
"""

from tests.course_with_state.exercise import CHAPTER, RUNNING_SOFTMAX

EXERCISES = {RUNNING_SOFTMAX.name: RUNNING_SOFTMAX}

__all__ = ["CHAPTER", "EXERCISES", "RUNNING_SOFTMAX"]
