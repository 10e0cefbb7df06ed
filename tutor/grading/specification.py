"""What a grade is made from beside the submission: if it changes, everybody is graded again."""

from pathlib import Path

from tutor import ROOT
from tutor.course.settings import settings
from tutor.grading.class_folder import hashed
from tutor.grading.hidden import secret
from tutor.sandbox.limits import Limits

_AROUND = {"course/bundle", "course/lab", "course/sample_class", "materials/bench"}
_AROUND |= {f"grading/{name}" for name in ("batch", "class_folder", "cli", "collect", "gradebook")}
_AROUND |= {"grading/preload", "grading/scratch", "grading/times"}
"""Files that do not decide about a grade."""


def specification(chapter: str, device: str) -> str:
    """Hash of all that decides about the chapter's grades beside the submission."""
    code = [p for p in (ROOT / "tutor").rglob("*.py") if _decides(p)]
    files = sorted([*code, *(ROOT / "solutions" / chapter).glob("*.md")])
    parts = [b for p in files for b in (str(p.relative_to(ROOT)).encode(), p.read_bytes())]
    limits = repr(Limits.of(settings().Judged))
    return hashed(*parts, limits.encode(), device.encode(), secret())


def _decides(path: Path) -> bool:
    name = path.relative_to(ROOT / "tutor").with_suffix("").as_posix()
    return not name.startswith("grading/reports/") and name not in _AROUND
