"""Processes that need no time to import: forks of one that has imported everything, once."""

import multiprocessing
import os
import tempfile
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext


def context() -> ForkServerContext:
    """Of Dask's workers (``distributed.worker.multiprocessing-method``) and the reports' processes.

    The first call starts the process that is forked, which imports while this one goes on.
    """
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tutor.grading.preload"])
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.gettempdir()  # of this process, for its forks
    forkserver.ensure_running()
    del os.environ["TMPDIR"]
    if before is not None:
        os.environ["TMPDIR"] = before
    return found
