"""A run's temporary files, in a folder of its own, which the next run removes if it is killed."""

import fcntl
import os
import shutil
import tempfile
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

LONGEST = 60
"""Bytes of the folder's name: those of the sockets in it may have 107."""


@cache
def begin() -> None:
    """From now on this process's temporary files, and those of its forks' server if that is not
    yet there, lie in a folder that goes with the process."""
    prefix = f"tutor-{os.getuid()}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if (lock := _lock(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        # Held until the process ends. Another run may have taken it for one that was left.
        if _lock(folder) is not None and folder.exists():
            break
    if len(os.fsencode(folder)) > LONGEST:
        folder.rmdir()
        return
    tempfile.tempdir = str(folder)
    # After what multiprocessing removes there, which has -100.
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=-200)


def _lock(folder: Path) -> int | None:
    """A descriptor that keeps the folder, if it is ours and nobody has one."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid == os.getuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None
