"""Make the archive that a closed class gets: python -m tutor.course.bundle

Everything that git tracks but the solutions and what cannot work without them. What git does not
track, such as a gradebook or a submission, cannot slip in.
"""

import gzip
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from tutor import ROOT

# The tests and the workflows grade the solutions.
LEFT_OUT = ("solutions/", "tests/", ".ci/", ".github/")


def contents(root: Path = ROOT) -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    names = [n for n in listing.split("\0") if n and not n.startswith(LEFT_OUT)]
    return sorted(n for n in names if (root / n).is_file())


def bundle(root: Path = ROOT) -> Path:
    """The same files give the same bytes, whoever packs them and when."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = f"{project['name']}-{project['version']}"
    archive = root / "dist" / f"{name}.tar.gz"
    names = contents(root)
    archive.parent.mkdir(exist_ok=True)
    with (
        archive.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path in names:
            tar.add(root / path, arcname=f"{name}/{path}", filter=_anonymous)
    return archive


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member


def main() -> int:
    try:
        archive = bundle()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        print(
            f"{reason}\nThe bundle holds what git tracks: make it in a git clone.", file=sys.stderr
        )
        return 1
    print(f"wrote {archive.relative_to(ROOT)}: what git tracks, without {', '.join(LEFT_OUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
