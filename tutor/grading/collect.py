"""A platform's archive, put where grading looks, at ``submitted/<student>/<chapter>/``.

Canvas names each file after its owner, NAME_ID_FILE_..., or NAME_LATE_ID_FILE_...; Moodle each
folder, or file, FULL NAME_NUMBER_assignsubmission_file_.... Whatever the student's own file is
called, it arrives; and whatever does not is told in a sentence.
"""

import contextlib
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.api import Student
from sqlalchemy import select

from tutor.course.settings import open_gradebook, settings
from tutor.grading import CannotGrade
from tutor.grading.class_folder import ClassFolder, chapters, write_bytes
from tutor.sandbox.limits import Limits
from tutor.sandbox.outputs import inert

_CANVAS = re.compile(r"(?P<name>.+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<order>\d+)_(?P<file>.+)")
_CANVAS_TEXT = re.compile(r"(?P<name>.+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<file>text\.html)")
_MOODLE = re.compile(
    r"(?:.*/)?(?P<name>[^/]+)_(?P<number>\d+)_assignsubmission_[a-z]+_?/?(?P<file>.+)"
)
_COUNTED = re.compile(r"-\d+(?=\.ipynb$)")
"""What Canvas adds to the name of a file that is handed in once more."""
_FILES_OF_SYSTEMS = re.compile(
    r"(?:^|/)(?:__MACOSX/|\.ipynb_checkpoints/|\._[^/]*$|(?:\.DS_Store|Thumbs\.db|desktop\.ini)$)"
)


@dataclass(frozen=True)
class _File:
    """Of one student, as the archive has it."""

    path: str
    name: str
    order: int
    """Of two, the one that was handed in later has the larger."""
    read: Callable[[int], bytes]
    """At most so many bytes."""


@dataclass
class _Owner:
    number: str
    """Canvas's of the student, or Moodle's of the student in this assignment."""
    name: str
    moodle: bool
    late: bool = False
    files: list[_File] = field(default_factory=list)


def collect(archive: Path, chapter: str, place: ClassFolder) -> tuple[int, list[str]]:
    """How many notebooks arrived, and a sentence for everything that one should know."""
    if chapter not in chapters():
        raise CannotGrade(f"There is no chapter {chapter}; there are: {', '.join(chapters())}.")
    with _opened(archive) as entries:
        return _arranged(entries, chapter, place)


_Entry = tuple[str, Callable[[int], bytes]]


def _arranged(entries: Iterator[_Entry], chapter: str, place: ClassFolder) -> tuple[int, list[str]]:
    owners, said = _owners(entries)
    limit = Limits.of(settings().Judged).notebook_mebibytes * 2**20
    arrived = 0
    for student, owner in _students(owners, place, said):
        who = f"{inert(owner.name)} ({inert(student)})" if owner.name != student else inert(student)
        file = _chosen(owner, chapters()[chapter], who, said)
        if file is None:
            continue
        try:
            data = file.read(limit + 1)  # so that grading tells of one that is too large
        except Exception as error:  # as many kinds as there are ways to break an archive
            said.append(f"{who}: {inert(file.name)} cannot be read ({type(error).__name__}).")
            continue
        if owner.late:
            said.append(f"{who}: late, as Canvas says; timestamp.txt beside it would say how much.")
        path = place.folder / place.submitted / student / chapter / f"{chapters()[chapter]}.ipynb"
        arrived += 1
        if not path.exists():
            write_bytes(path, data, 0o644)
        elif path.read_bytes() != data:
            write_bytes(path, data, 0o644)
            old = " Is timestamp.txt beside it of that one?"
            old *= (path.parent / "timestamp.txt").exists()
            said.append(f"{who}: takes the place of another version.{old}")
    return arrived, said


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Entry]]:
    """The files of a zip, or of the folder that a browser has made of it."""
    if archive.is_dir():
        files = sorted(p for p in archive.rglob("*") if p.is_file() and not p.is_symlink())
        yield ((p.relative_to(archive).as_posix(), _reader(p.open, "rb")) for p in files)
        return
    try:
        zipped = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise CannotGrade(f"{archive} cannot be read as a zip or a folder: {error}.") from None
    with zipped:
        files = (about for about in zipped.infolist() if not about.is_dir())
        yield ((_name(about), _reader(zipped.open, about)) for about in files)


def _reader(opened: Callable, what: object) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        with opened(what) as file:
            return file.read(most)

    return read


def _name(about: zipfile.ZipInfo) -> str:
    if not about.flag_bits & 0x800:  # said to be of 1981, and often is not
        try:
            return about.filename.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return about.filename


def _owners(entries: Iterator[_Entry]) -> tuple[list[_Owner], list[str]]:
    owners: dict[tuple[str, str], _Owner] = {}
    said = []
    for position, (path, read) in enumerate(entries):
        if _FILES_OF_SYSTEMS.search(path):
            continue
        base = path.rpartition("/")[2]
        moodle = _MOODLE.fullmatch(path)
        found = moodle or _CANVAS.fullmatch(base) or _CANVAS_TEXT.fullmatch(base)
        if found is None:
            said.append(f"{inert(path)}: nobody's, for its name is neither Canvas's nor Moodle's.")
            continue
        about = found.groupdict()
        # Canvas's number is the student's own. Moodle's, too, within one archive.
        owner = owners.setdefault(
            (about["number"], about["name"] if moodle else ""),
            _Owner(about["number"], about["name"].strip(), moodle is not None),
        )
        owner.late |= bool(about.get("late"))
        order = int(about.get("order") or position)
        owner.files.append(_File(path, about["file"], order, read))
    return list(owners.values()), said


def _students(
    owners: list[_Owner], place: ClassFolder, said: list[str]
) -> Iterator[tuple[str, _Owner]]:
    """Whose each is: the id that the gradebook has for it, or else Canvas's, or the full name."""
    known = []
    if place.url or (place.folder / "gradebook.db").exists():
        with open_gradebook(place.database) as gradebook:
            columns = Student.id, Student.first_name, Student.last_name, Student.lms_user_id
            known = [tuple(row) for row in gradebook.db.execute(select(*columns))]
    by_number = {number: student for student, _, _, number in known if number}
    by_name: dict[str, set[str]] = {}
    for student, first, last, _ in known:
        for name in (f"{first} {last}", f"{last} {first}", f"{last}, {first}", student):
            by_name.setdefault(_folded(name), set()).add(student)
    shared: dict[str, int] = {}
    for owner in owners:
        shared[_folded(owner.name)] = shared.get(_folded(owner.name), 0) + 1
    for owner in owners:
        ids = by_name.get(_folded(owner.name), set())
        if not owner.moodle:
            yield by_number.get(owner.number, owner.number), owner
        elif shared[_folded(owner.name)] > 1 or len(ids) > 1:
            student = _folder(f"{owner.name} {owner.number}")
            said.append(
                f"{inert(owner.name)}: several have this name. One is in {inert(student)}, after "
                "Moodle's number in this assignment: rename the folder to the student's id."
            )
            yield student, owner
        else:
            yield (ids.pop() if ids else _folder(owner.name)), owner


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _folder(name: str) -> str:
    """A name that a folder may have, and that is not hidden."""
    name = re.sub(r"[/\\\x00-\x1f\x7f]", "_", name).strip()
    return f"_{name}" if name.startswith(".") or not name else name


def _chosen(owner: _Owner, notebook: str, who: str, said: list[str]) -> _File | None:
    """The notebook: the one of the exercise's name, and of several the last."""
    found = [f for f in owner.files if f.name.lower().endswith(".ipynb")]
    others = [f for f in owner.files if f not in found]
    if not found:
        names = ", ".join(inert(f.name) for f in others)
        said.append(f"{who}: no notebook arrives, for there is only {names}.")
        return None

    def rank(file: _File) -> tuple[bool, int]:
        own = _COUNTED.sub("", file.name.rpartition("/")[2])
        return own == f"{notebook}.ipynb", file.order

    taken = max(found, key=rank)
    left = [inert(f.name) for f in owner.files if f is not taken]
    if left:
        said.append(f"{who}: {inert(taken.name)} arrives, and not {', '.join(left)}.")
    return taken
