"""What a submission wins from a check that runs where the student's own code runs.

The cells run in IPython's shell in a process of their own, and the check beside them, with the
course's own ``check``: so does stock nbgrader, which reads the number that the cell shows. An
attack that wins nothing here is none, and its failure in the sandbox would prove nothing.
"""

import gc
import os
import sys
import tempfile
import types
from multiprocessing import get_context
from multiprocessing.connection import Connection

import nbformat
from nbgrader.utils import determine_grade

from tests.attacks.corpus import NOTEBOOK, SUBMISSIONS, Submission

SECONDS = 600


def points(submission: Submission) -> float | None:
    """Of the exercise that it forges; None if its process does not live to tell."""
    # Forked from one that has run no other test: what it holds is the course's. It may be the one
    # that another test's grader has begun, which has frozen what it imported.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.attacks.corpus"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(submission.name, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(SECONDS) else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join()


def fooled(submission: Submission) -> bool:
    """Whether it wins points that are not due to it."""
    won = points(submission)
    return won is not None and won > 3 and won != submission.points[submission.forges]


def _run(name: str, link: Connection) -> None:
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    outputs: list[nbformat.NotebookNode] = []

    class Publisher(DisplayPublisher):
        def publish(self, data, metadata=None, **kwargs):
            outputs.append(nbformat.v4.new_output("display_data", data))

    class Hook(DisplayHook):
        def write_format_data(self, data, metadata=None):
            outputs.append(nbformat.v4.new_output("execute_result", data))

        def write_output_prompt(self):
            pass

    gc.unfreeze()
    submission = SUBMISSIONS[name]
    os.chdir(tempfile.mkdtemp())
    quiet = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    sys.stdout = sys.stderr = quiet
    sys.modules["__main__"] = types.ModuleType("__main__")
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(display_pub_class=Publisher, displayhook_class=Hook)
    shell.history_manager.enabled = False
    work = submission.work()
    nb = work.nb if work.place is None else nbformat.reads(work.place.decode(), 4)
    assert work.name == NOTEBOOK
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        # The other exercises' checks take time, and their cells bear no attack.
        if cell.metadata.get("nbgrader", {}).get("grade") and name != submission.forges:
            continue
        outputs.clear()
        ran = shell.run_cell(cell.source, store_history=True)
        if name == submission.forges:
            if not ran.success:
                link.send(0.0)
                return
            cell.outputs = list(outputs)
            try:
                earned, _ = determine_grade(cell)
            except ValueError:
                earned = None  # more points than there are: nbgrader gives up
            link.send(earned)
            return
