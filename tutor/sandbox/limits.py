"""What a submission may use. The units are in the names; ``nbgrader_config.py`` sets them.

Who keeps them: of time, ``time_limits.py`` and ``session.py``; of memory,
``inside/watch.py``; of processes, files and disk, ``inside/isolation.py``.
"""

from dataclasses import dataclass, fields
from typing import Any

_ABOUT = {
    "cell_seconds": "Processor time of one cell, in all processes; then it is interrupted.",
    "call_seconds": "Processor time of one call that a check makes of a graded function.",
    "check_seconds": "Processor time of all calls of one check.",
    "submission_seconds": "Processor time of a notebook, from its first cell to its last check.",
    "grace_seconds": "Processor time of a process that goes on after an interrupt.",
    "wall_factor": "Wall time that each of these may take, as a multiple: against endless waiting.",
    "memory_mebibytes": "Of all processes of a submission together, beside what torch needs.",
    "processes": "Processes and threads at a time.",
    "open_files": "Files and sockets that a process may hold open.",
    "file_mebibytes": "Size of one file.",
    "tmp_mebibytes": "Size of the private /tmp, and again of /dev/shm.",
    "cell_output_kibibytes": "Output of one cell; what is beyond is cut.",
    "total_output_kibibytes": "Output of all cells together.",
    "notebook_mebibytes": "Size of a submitted notebook.",
    "notebook_cells": "Number of code cells in a submitted notebook.",
    "answer_mebibytes": "Size of what one call may return.",
    "restarts": "Fresh processes for a notebook whose code ends its own.",
}


@dataclass(frozen=True)
class Limits:
    cell_seconds: float = 60
    call_seconds: float = 10
    check_seconds: float = 60
    submission_seconds: float = 300
    grace_seconds: float = 1
    wall_factor: float = 5
    memory_mebibytes: int = 2048
    processes: int = 32
    open_files: int = 128
    file_mebibytes: int = 64
    tmp_mebibytes: int = 64
    cell_output_kibibytes: int = 1024
    total_output_kibibytes: int = 4096
    notebook_mebibytes: int = 20
    notebook_cells: int = 1000
    answer_mebibytes: int = 64
    restarts: int = 8

    def __post_init__(self):
        for f in fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"{f.name} must be a positive number, got {value!r}")
        if self.wall_factor < 1:
            raise ValueError(f"wall_factor must be 1 or more, got {self.wall_factor!r}")

    @staticmethod
    def about(name: str) -> str:
        return _ABOUT[name]

    @classmethod
    def of(cls, traits: Any) -> "Limits":
        """From an object, or a section of nbgrader's configuration, that bears the names."""
        found = {f.name: getattr(traits, f.name, None) for f in fields(cls)}
        return cls(**{k: v for k, v in found.items() if isinstance(v, (int, float))})
