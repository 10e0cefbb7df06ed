"""From a folder of notebooks to the gradebook."""


class CannotGrade(RuntimeError):
    """Nobody can be graded, and why."""
