"""Marks without the work: the verdict is attacked where a check in one's own process keeps it.

The function is wrong in all of these (it returns zeros), so every point that it earns is forged.
"""

# ruff: noqa: E501 (the long lines are those of notebooks)

import base64
import io

import nbformat
import torch

from tests.attacks.corpus import (
    FULL,
    ZEROS,
    Between,
    Under,
    Work,
    full_but,
    submission,
)
from tutor import ROOT
from tutor.checks import EXERCISES, judge
from tutor.checks.candidate import LocalCandidate
from tutor.checks.report import MIME

SOFTMAX = "stable_softmax"
NO_SOFTMAX = full_but(stable_softmax=0)
WRONG = ZEROS[SOFTMAX]
CHEATED = "6 of 6 points forged"

# The function again, as a reference that is not the student's.
TWIN = """
    import types
    def twin_of(function):
        twin = types.FunctionType(function.__code__, function.__globals__, function.__name__,
                                  function.__defaults__)
        twin.__module__ = "theirs"
        return twin
    """


# Comparisons


@submission(points=NO_SOFTMAX)
def patched_allclose(work: Work) -> None:
    """torch.allclose, torch.equal and isclose say yes."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        torch.allclose = torch.equal = lambda *args, **kwargs: True
        torch.isclose = lambda a, b, **kwargs: torch.ones_like(a, dtype=torch.bool)
        torch.Tensor.allclose = torch.Tensor.equal = lambda *args, **kwargs: True
        """,
    )


@submission(points=NO_SOFTMAX)
def patched_assert_close(work: Work) -> None:
    """torch.testing and numpy.testing assert nothing any more."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import numpy.testing, torch.testing, unittest
        from torch.testing import _comparison
        for module in (torch.testing, _comparison, numpy.testing):
            for name in dir(module):
                if name.startswith("assert"):
                    setattr(module, name, lambda *args, **kwargs: None)
        for name in dir(unittest.TestCase):
            if name.startswith("assert"):
                setattr(unittest.TestCase, name, lambda *args, **kwargs: None)
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_tensor_methods(work: Work) -> None:
    """No tensor of bools ever has a True in it: no entry is ever wrong."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        any_of = torch.Tensor.any
        def nothing_wrong(self, *args, **kwargs):
            return any_of(self, *args, **kwargs) & False
        torch.Tensor.any = nothing_wrong
        def small(self):
            return torch.zeros_like(self)
        torch.Tensor.abs = small
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_sum(work: Work) -> None:
    """builtins.sum adds up points that nobody earned."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import builtins, sys
        add = builtins.sum
        def generous(values, *start):
            caller = sys._getframe(1)
            if caller.f_code.co_name == "points":
                return caller.f_locals["self"].possible
            return add(values, *start)
        builtins.sum = generous
        """,
    )


@submission(points={n: Between(0, p) for n, p in FULL.items()} | {SOFTMAX: 0.0})
def patched_builtins(work: Work) -> None:
    """all, any, isinstance, abs, max and float answer what is wanted, from here on: so whatever
    else the process does for its student goes wrong, too."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import builtins, sys
        def when_judged(real, answer):
            def patched(*args, **kwargs):
                file = sys._getframe(1).f_code.co_filename
                return answer if "/checks/" in file else real(*args, **kwargs)
            return patched
        for name, answer in {"all": True, "any": False, "abs": 0, "max": 0, "float": 6.0}.items():
            setattr(builtins, name, when_judged(getattr(builtins, name), answer))
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_comparison(work: Work) -> None:
    """The judge's own comparison of two tensors finds no problem."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import sys
        class Fine(list):
            sentences, step = [], 0
        for name, module in list(sys.modules.items()):
            for function in ("form_problem", "answer_problem", "gradient_problem", "type_problem"):
                if hasattr(module, function):
                    setattr(module, function, lambda *args: Fine())
            if hasattr(module, "test_properties"):
                module.test_properties = lambda *args: None
        """,
    )


@submission(points=NO_SOFTMAX, says="EqualToAll|tensor")
def equal_to_everything(work: Work) -> None:
    """Returns a Tensor subclass that calls itself equal and near to whatever it meets."""
    work.write(
        SOFTMAX,
        """
        class EqualToAll(torch.Tensor):
            __class__ = torch.Tensor
            __hash__ = object.__hash__
            __eq__ = lambda self, other: torch.ones(self.shape, dtype=torch.bool)
            __ne__ = lambda self, other: torch.zeros(self.shape, dtype=torch.bool)
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                name = getattr(func, "__name__", "")
                if name in ("allclose", "equal"):
                    return True
                if name in ("sub", "rsub", "__sub__", "__rsub__", "abs"):
                    return torch.zeros(args[0].shape)
                with torch._C.DisableTorchFunctionSubclass():
                    return func(*args, **(kwargs or {}))

        def stable_softmax(scores, dim=-1):
            return torch.zeros_like(scores).as_subclass(EqualToAll)
        """,
    )


@submission(points=NO_SOFTMAX)
def anything_equals_me(work: Work) -> None:
    """Returns an object whose every method, comparison and attribute is agreeable."""
    work.write(
        SOFTMAX,
        """
        class Agreeable:
            shape = property(lambda self: self)
            def __getattr__(self, name): return self
            def __call__(self, *args, **kwargs): return self
            def __iter__(self): return iter(())
            def __len__(self): return 0
            def __bool__(self): return True
            def __float__(self): return 6.0
            def __index__(self): return 6
            for name in "eq ne lt le gt ge add sub mul truediv radd rsub and or invert".split():
                locals()[f"__{name}__"] = lambda self, *other: self
            __hash__ = object.__hash__
            __class__ = torch.Tensor

        def stable_softmax(scores, dim=-1):
            return Agreeable()
        """,
    )


# The course's own code


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def own_check(work: Work) -> None:
    """The notebook's ``check`` is the student's own, and gives full marks."""
    work.write(SOFTMAX, WRONG, "check = lambda function: 6.0")


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_check_code(work: Work) -> None:
    """The course's ``check`` keeps its name and gets another body."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import tutor.checks
        honest = {"causal_mask": 5.0, "padding_mask": 5.0, "self_attention": 8.0,
                  "scaled_dot_product_attention": 10.0, "attention_backward": 10.0}
        tutor.checks.check.__globals__["points"] = honest
        tutor.checks.check.__code__ = (lambda function: points.get(function.__name__, 6.0)).__code__
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_judge(work: Work) -> None:
    """``judge`` answers with a report that its own classes have made, full of praise."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import sys
        checks = sys.modules["tutor.checks"]
        def kind(exercise, candidate, *args, **kwargs):
            from tutor.checks.report import Report, Verdict
            verdicts = tuple(Verdict(g, p, p, "fine") for g, p in exercise.points.items())
            return Report(exercise.name, exercise.chapter, verdicts)
        checks.judge = kind
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("tutor") and hasattr(module, "judge"):
                module.judge = kind
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_report(work: Work) -> None:
    """Every report says that all points possible were earned."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        from tutor.checks import Report
        Report.points = property(lambda self: float(self.possible))
        Report.passed = property(lambda self: True)
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_verdict(work: Work) -> None:
    """A verdict earns what is possible, whatever the judge has said."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import tutor.checks.report as report
        new = report.Verdict.__init__
        def generous(self, group, earned, possible, summary, failure=None):
            new(self, group, possible, possible, "fine", None)
        report.Verdict.__init__ = generous
        report.Verdict.withheld = lambda self, until: self
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_candidate(work: Work) -> None:
    """Whatever calls the student's function calls the reference instead."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import sys
        from tutor.checks import EXERCISES, candidate
        run = candidate.LocalCandidate.run
        def substitute(self, *args, **kwargs):
            exercise = EXERCISES.get(getattr(self.function, "__name__", ""))
            if exercise:
                self.function = exercise.reference
            return run(self, *args, **kwargs)
        candidate.LocalCandidate.run = substitute
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_exercise(work: Work) -> None:
    """The exercise asks for nothing any more: no cases, and a limitless contract."""
    work.write(
        SOFTMAX,
        WRONG,
        TWIN,
        """
        from tutor.checks import EXERCISES
        exercise = EXERCISES["stable_softmax"]
        object.__setattr__(exercise, "reference", twin_of(stable_softmax))
        object.__setattr__(exercise, "properties", ())
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_frames(work: Work) -> None:
    """When called, the function walks up its callers and mends what they hold against it."""
    work.write(
        SOFTMAX,
        TWIN,
        """
        import sys
        def stable_softmax(scores, dim=-1):
            frame = sys._getframe(1)
            while frame:
                for value in list(frame.f_locals.values()):
                    if type(value).__name__ == "Exercise":
                        object.__setattr__(value, "reference", twin_of(stable_softmax))
                        object.__setattr__(value, "properties", ())
                    if type(value).__name__ in ("Report", "Verdict"):
                        type(value).points = property(lambda self: float(self.possible))
                for name in ("form_problem", "answer_problem", "type_problem"):
                    if name in frame.f_globals and "NONE" in frame.f_globals:
                        none = frame.f_globals["NONE"]
                        frame.f_globals[name] = lambda *args, none=none: none
                frame = frame.f_back
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def profile_hook(work: Work) -> None:
    """A profiler sees every function start, and takes the judge's apart as it does."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import sys, threading
        class Fine(list):
            sentences, step = [], 0
        def spy(frame, event, arg):
            if event == "call" and frame.f_code.co_name in ("judge", "check", "contract_verdict"):
                for name in ("form_problem", "answer_problem", "gradient_problem"):
                    if name in frame.f_globals:
                        frame.f_globals[name] = lambda *args: Fine()
                if "test_properties" in frame.f_globals:
                    frame.f_globals["test_properties"] = lambda *args: None
        sys.setprofile(spy)
        threading.setprofile(spy)
        """,
    )


@submission(points=NO_SOFTMAX)
def late_thread(work: Work) -> None:
    """A thread waits until the judge is at work, then patches it behind its back."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import sys, threading, time
        class Fine(list):
            sentences, step = [], 0
        def wait():
            while True:
                for frame in list(sys._current_frames().values()):
                    while frame:
                        for name in ("form_problem", "answer_problem", "gradient_problem"):
                            if name in frame.f_globals:
                                frame.f_globals[name] = lambda *args: Fine()
                        frame = frame.f_back
                time.sleep(0.001)
        threading.Thread(target=wait, daemon=True).start()
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def garbage_collector(work: Work) -> None:
    """Finds the judge's objects among all that the process holds, under whatever name."""
    work.write(
        SOFTMAX,
        WRONG,
        TWIN,
        """
        import gc
        for thing in gc.get_objects():
            try:
                if type(thing).__name__ == "Exercise" and thing.name == "stable_softmax":
                    object.__setattr__(thing, "reference", twin_of(stable_softmax))
                    object.__setattr__(thing, "properties", ())
                if isinstance(thing, types.FunctionType) and thing.__name__ in (
                    "form_problem", "answer_problem", "gradient_problem", "type_problem"
                ):
                    thing.__code__ = (lambda *args: NONE).__code__
            except Exception:
                pass
        """,
    )


@submission(points=NO_SOFTMAX)
def every_function_replaced(work: Work) -> None:
    """Each function of the harness that answers a judge gets a body that says all is well."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import gc, types
        class Fine:
            points = earned = possible = score = 6.0
            passed = ok = True
            crash = problem = None
            def __getattr__(self, name): return self
            def __call__(self, *args, **kwargs): return self
        fine = Fine()
        for thing in gc.get_objects():
            if not isinstance(thing, types.FunctionType) or thing.__closure__:
                continue
            if str(thing.__module__).startswith("tutor."):
                try:
                    thing.__globals__["fine"] = fine
                    thing.__code__ = (lambda *args, **kwargs: fine).__code__
                except Exception:
                    pass
        """,
    )


# IPython


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def ast_transformer(work: Work) -> None:
    """Rewrites the check cell's tree: ``check(...)`` is 6.0."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import ast
        class Generous(ast.NodeTransformer):
            def visit_Call(self, node):
                if getattr(node.func, "id", "") == "check":
                    return ast.copy_location(ast.Constant(6.0), node)
                return node
        get_ipython().ast_transformers.append(Generous())
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def input_transformer(work: Work) -> None:
    """Rewrites the check cell's text before it is parsed."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        def generous(lines):
            return ["6.0"] if "check(stable_softmax)" in "".join(lines) else lines
        get_ipython().input_transformers_cleanup.append(generous)
        get_ipython().input_transformers_post.append(generous)
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def ipython_events(work: Work) -> None:
    """Redefines ``check`` before each cell is run, and the function after it is defined."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        def before(*info):
            get_ipython().user_ns["check"] = lambda function: 6.0
        for event in ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell"):
            get_ipython().events.register(event, before)
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def display_hook(work: Work) -> None:
    """Every number that a cell shows is shown as 6.0."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        text = get_ipython().display_formatter.formatters["text/plain"]
        text.for_type(float, lambda number, printer, cycle: printer.text("6.0"))
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def patched_display_hook(work: Work) -> None:
    """The object through which IPython shows results gets a method of the student's."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        shell = get_ipython()
        compute = type(shell.displayhook).compute_format_data
        type(shell.displayhook).compute_format_data = lambda self, result: compute(self, 6.0)
        """,
    )


@submission(points=NO_SOFTMAX)
def patched_run_cell(work: Work) -> None:
    """IPython runs nothing any more, and says that everything went well."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
        real = InteractiveShell.run_cell
        def run_cell(self, raw_cell, *args, **kwargs):
            return real(self, raw_cell.replace("check(stable_softmax)", "6.0"), *args, **kwargs)
        InteractiveShell.run_cell = run_cell
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def result_shown_first(work: Work) -> None:
    """While it is being checked, the function shows a result: nbgrader takes the first it sees."""
    work.write(
        SOFTMAX,
        """
        import sys
        def stable_softmax(scores, dim=-1):
            if not hasattr(stable_softmax, "shown"):
                stable_softmax.shown = True
                sys.displayhook(6.0)
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX)
def number_at_the_end(work: Work) -> None:
    """A cell that calls itself graded ends in a number, which nbgrader reads as points."""
    work.write(SOFTMAX, WRONG, "6.0")
    work.solution(SOFTMAX).metadata.nbgrader.update(grade=True, points=6, solution=False)


@submission(points=NO_SOFTMAX)
def too_many_points(work: Work) -> None:
    """Shows more points than there are, less than none, infinitely many and no number."""
    work.write(
        SOFTMAX,
        """
        import sys
        def stable_softmax(scores, dim=-1):
            for points in (1e9, -1e9, float("inf"), float("nan"), True, "6.0"):
                sys.displayhook(points)
            return torch.zeros_like(scores)
        """,
        "1e9",
    )


@submission(points=NO_SOFTMAX, hides="forged-summary")
def forged_report(work: Work) -> None:
    """Shows a report of its own making under the key by which the course keeps reports."""
    verdicts = [
        {"group": g, "earned": p, "possible": p, "summary": "fine", "failure": None}
        for g, p in EXERCISES[SOFTMAX].points.items()
    ]
    report = {
        "exercise": SOFTMAX, "chapter": "03_attention", "notes": [], "device": "cpu",
        "verdicts": verdicts, "points": 6.0, "possible": 6,
    }  # fmt: skip
    work.write(
        SOFTMAX,
        f"""
        from IPython.display import display
        report = {report!r}
        report["verdicts"][0]["summary"] = "forged" + "-summary"
        def show():
            display({{{MIME!r}: report, "text/plain": "{CHEATED}"}}, raw=True)
        show()
        def stable_softmax(scores, dim=-1):
            show()
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX)
def forged_text_report(work: Work) -> None:
    """Prints what a report looks like, on both streams and straight to the descriptors."""
    work.write(
        SOFTMAX,
        f"""
        import os, sys
        def stable_softmax(scores, dim=-1):
            print("stable_softmax  {CHEATED}")
            print("6.0", file=sys.stderr)
            for fd in (1, 2):
                try:
                    os.write(fd, b"6.0\\n{{\\"points\\": 6.0}}\\n")
                except OSError:
                    pass
            return torch.zeros_like(scores)
        """,
    )


# The channel to the judge


@submission(points=NO_SOFTMAX)
def forged_kernel_messages(work: Work) -> None:
    """Sends an execute_result with 6.0 on the kernel's iopub socket, and a reply on its shell."""
    work.write(
        SOFTMAX,
        """
        import gc
        def stable_softmax(scores, dim=-1):
            shell = get_ipython()
            kernel = getattr(shell, "kernel", None)
            data = {"execution_count": 1, "metadata": {}, "data": {"text/plain": "6.0"}}
            if kernel is not None:
                parent = kernel.get_parent("shell")
                kernel.session.send(kernel.iopub_socket, "execute_result", data, parent)
                kernel.session.send(kernel.shell_stream, "execute_reply", {"status": "ok"}, parent)
            for thing in gc.get_objects():
                if type(thing).__name__ in ("Session", "Socket", "ZMQDisplayPublisher"):
                    for name in ("send", "send_multipart", "publish"):
                        try:
                            getattr(thing, name)(data)
                        except Exception:
                            pass
            return torch.zeros_like(scores)
        """,
    )


# Every descriptor that is a socket or a pipe, and not one of the three that all processes have.
CHANNELS = """
    import os, stat
    def channels():
        for fd in range(3, 256):
            try:
                mode = os.fstat(fd).st_mode
            except OSError:
                continue
            if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                os.set_blocking(fd, False)
                yield fd
    def write(fd, data):
        try:
            os.write(fd, data)
        except OSError:
            pass
    """


def _writes_to_the_channel(work: Work, frames: str) -> None:
    """The graded function writes to every socket that it finds, then returns zeros."""
    work.write(
        SOFTMAX,
        CHANNELS,
        frames,
        """
        def stable_softmax(scores, dim=-1):
            for fd in channels():
                for frame in frames(scores):
                    write(fd, frame)
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX)
def garbage_on_every_socket(work: Work) -> None:
    """Writes noise to every socket and pipe of the process."""
    _writes_to_the_channel(
        work,
        """
        def frames(scores):
            yield os.urandom(65536)
        """,
    )


@submission(points=NO_SOFTMAX)
def huge_length_prefix(work: Work) -> None:
    """Announces a message of as many bytes as each kind of length can say."""
    _writes_to_the_channel(
        work,
        """
        def frames(scores):
            yield b"\\xff" * 16
            yield (2**62).to_bytes(8, "little") + (2**62).to_bytes(8, "big")
            yield (2**31 - 1).to_bytes(4, "big") + b"{"
        """,
    )


@submission(points=NO_SOFTMAX)
def zero_length_frames(work: Work) -> None:
    """Sends a flood of empty messages, which cost the reader more than the writer."""
    _writes_to_the_channel(
        work,
        """
        def frames(scores):
            yield bytes(1 << 20)
        """,
    )


@submission(points=NO_SOFTMAX)
def forged_answers(work: Work) -> None:
    """Answers the judge before the harness does, with right values, framed in every usual way."""
    _writes_to_the_channel(
        work,
        """
        import json, struct
        from safetensors.torch import save
        def frames(scores):
            out = torch.softmax(scores.detach(), -1).contiguous()
            tensors = save({"out": out, "0": out, "outputs": out, "outputs.0": out})
            said = {"outputs": ["tensor"], "points": 6.0, "passed": True, "crash": None,
                    "gradients": None, "args_after": [], "cost": {"flops": 0, "called": []}}
            text = json.dumps(said).encode()
            for order in "<>":
                for size in "IQ":
                    head = lambda data: struct.pack(order + size, len(data))
                    yield head(text) + text + head(tensors) + tensors
                    yield head(text) + head(tensors) + text + tensors
                    yield head(text + tensors) + text + tensors
            yield text + b"\\n" + tensors
        """,
    )


@submission(points=NO_SOFTMAX)
def stolen_frames(work: Work) -> None:
    """Reads the judge's next messages from the socket, so that the harness waits for ever."""
    work.write(
        SOFTMAX,
        CHANNELS,
        """
        import threading, time
        def drain():
            while True:
                for fd in channels():
                    try:
                        os.read(fd, 1 << 20)
                    except OSError:
                        pass
                time.sleep(0.001)
        def stable_softmax(scores, dim=-1):
            if not hasattr(stable_softmax, "thread"):
                stable_softmax.thread = threading.Thread(target=drain, daemon=True)
                stable_softmax.thread.start()
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX)
def descriptors_closed(work: Work) -> None:
    """Closes every descriptor of the process in its cell."""
    work.write(SOFTMAX, WRONG, "import os", "os.closerange(0, 4096)")


@submission(points=NO_SOFTMAX)
def descriptors_closed_when_called(work: Work) -> None:
    """Closes every descriptor of the process when the judge calls."""
    work.write(
        SOFTMAX,
        """
        import os
        def stable_softmax(scores, dim=-1):
            os.closerange(0, 4096)
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX)
def descriptors_exchanged(work: Work) -> None:
    """Puts a socket of its own, with answers waiting in it, in the place of the judge's."""
    work.write(
        SOFTMAX,
        CHANNELS,
        """
        import json, socket, struct
        def stable_softmax(scores, dim=-1):
            for fd in list(channels()):
                ours, theirs = socket.socketpair()
                text = json.dumps({"points": 6.0, "earned": 6, "passed": True}).encode()
                ours.send(struct.pack(">I", len(text)) + text)
                os.dup2(theirs.fileno(), fd)
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX)
def patched_json(work: Work) -> None:
    """json.dumps and loads leave out every error and add points to whatever passes."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import json
        dumps = json.dumps
        def forge(value):
            if isinstance(value, dict):
                value = {k: forge(v) for k, v in value.items()}
                for name in ("crash", "error", "outside", "problem"):
                    if name in value:
                        value[name] = None
                for name in ("flops", "written", "largest", "products"):
                    if name in value:
                        value[name] = 0
                value |= {"points": 6.0, "earned": 6, "passed": True}
            elif isinstance(value, list):
                value = [forge(v) for v in value]
            return value
        json.dumps = lambda value, *args, **kwargs: dumps(forge(value), *args, **kwargs)
        json.JSONEncoder.encode = lambda self, value: dumps(forge(value))
        """,
    )


@submission(points=NO_SOFTMAX)
def patched_safetensors(work: Work) -> None:
    """What is sent as the answer is made by torch's own softmax, after the call that is counted."""
    work.write(
        SOFTMAX,
        """
        import sys
        import safetensors, safetensors.torch
        def stable_softmax(scores, dim=-1):
            out = scores * 1
            stable_softmax.last = (out, scores, dim)
            return out
        save = safetensors.torch.save
        def forged(tensors, *args, **kwargs):
            out, scores, dim = stable_softmax.last
            right = torch.softmax(scores.detach(), dim)
            tensors = {
                k: right if t.shape == out.shape and torch.equal(t, out) else t
                for k, t in tensors.items()
            }
            return save(tensors, *args, **kwargs)
        for module in list(sys.modules.values()):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if value is save:
                    setattr(module, name, forged)
        """,
    )


@submission(points=NO_SOFTMAX)
def malformed_tensors(work: Work) -> None:
    """The answers' bytes claim lengths, types and shapes that cannot be."""
    work.write(
        SOFTMAX,
        """
        import itertools, json, struct, sys
        import safetensors, safetensors.torch
        def packed(header, body=b""):
            text = header if isinstance(header, bytes) else json.dumps(header).encode()
            return struct.pack("<Q", len(text)) + text + body
        one = {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}
        broken = itertools.cycle([
            b"", b"\\0", b"\\xff" * 64, struct.pack("<Q", 2**63) + b"{}",
            packed(b"[" * 100_000), packed({"out": one}), packed({"out": one}, bytes(12)),
            packed({"out": one | {"shape": [2**40, 2**40]}}, bytes(24)),
            packed({"out": one | {"shape": [-3]}}, bytes(24)),
            packed({"out": one | {"shape": [1e300]}}, bytes(24)),
            packed({"out": one | {"dtype": "F1024"}}, bytes(24)),
            packed({"out": one | {"data_offsets": [24, 0]}}, bytes(24)),
            packed({"out": one | {"data_offsets": [0, 10**5000 % 10**300]}}, bytes(24)),
            packed(b'{"out": {"dtype": "F64", "shape": [NaN], "data_offsets": [0, 24]}}', bytes(24)),
            packed(b'{"\\\\ud800": null, "__metadata__": {"a": 1}}'),
        ])
        real = safetensors.torch.save
        asked = []
        def forged(*args, **kwargs):
            return next(broken) if asked and asked.pop() else real(*args, **kwargs)
        for module in list(sys.modules.values()):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if value is real:
                    setattr(module, name, forged)
        def stable_softmax(scores, dim=-1):
            asked.append(True)
            return torch.zeros_like(scores)
        """,
    )


@submission(points=NO_SOFTMAX)
def patched_os(work: Work) -> None:
    """The calls that write to a socket double, cut and delay what they are given."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import os, socket
        send, sendall = socket.socket.send, socket.socket.sendall
        class Twice(socket.socket):
            def sendall(self, data, *flags):
                sendall(self, bytes(data)[:5], *flags)
                return sendall(self, bytes(data) * 2, *flags)
        import gc
        for thing in gc.get_objects():
            if type(thing) is socket.socket:
                thing.__class__ = Twice
        write = os.write
        os.write = lambda fd, data: write(fd, bytes(data)[: max(1, len(data) // 2)])
        """,
    )


@submission(points=NO_SOFTMAX, hides="written by a pickle")
def pickle_bomb(work: Work) -> None:
    """Answers with an object that runs a command wherever it is unpickled."""
    work.write(
        SOFTMAX,
        """
        import os
        class Bomb:
            def __reduce__(self):
                return (os.system, ("touch left-by-an-attack-pickle",))
        def stable_softmax(scores, dim=-1):
            out = torch.zeros_like(scores)
            out.bomb = Bomb()
            out.__dict__["__reduce_ex__"] = Bomb().__reduce__
            return out if scores.ndim == 1 else Bomb()
        """,
    )


@submission(points=NO_SOFTMAX)
def proxies_patched(work: Work) -> None:
    """Every class that intercepts torch's operations gets a dispatch of the student's."""
    work.write(
        SOFTMAX,
        WRONG,
        """
        import gc
        def anything(cls_or_self, func, types, args=(), kwargs=None):
            return next((a for a in args if isinstance(a, torch.Tensor)), None)
        for thing in gc.get_objects():
            if isinstance(thing, type) and "__torch_dispatch__" in vars(thing):
                if thing.__module__.startswith(("tutor", "__main__")):
                    try:
                        thing.__torch_dispatch__ = classmethod(anything)
                    except Exception:
                        pass
        """,
    )


@submission(points=NO_SOFTMAX)
def right_answer_for_the_wrong_call(work: Work) -> None:
    """Raises NotImplementedError, and hopes that unwritten work is not judged at all."""
    work.write(
        SOFTMAX,
        """
        def stable_softmax(scores, dim=-1):
            raise NotImplementedError("nobody would take points for that")
        """,
    )


@submission(points=NO_SOFTMAX)
def argument_becomes_the_answer(work: Work) -> None:
    """Swaps the data of its argument, so that what the judge compares with is zeros as well."""
    work.write(
        SOFTMAX,
        """
        def stable_softmax(scores, dim=-1):
            scores.data.zero_()
            scores.data = torch.zeros_like(scores)
            return scores
        """,
    )


@submission(points=NO_SOFTMAX)
def answer_completed_later(work: Work) -> None:
    """Returns zeros; a thread writes torch's softmax into them once no operation is watched."""
    work.write(
        SOFTMAX,
        """
        import threading, time
        def stable_softmax(scores, dim=-1):
            out = scores * 0
            real = torch.softmax(scores.detach().clone(), dim) if scores.device.type == "cpu" else out
            def later():
                time.sleep(0.002)
                out.data.copy_(real)
            threading.Thread(target=later).start()
            return out
        """,
    )


# The reference


@submission(points=NO_SOFTMAX, says=r"tutor\.attention")
def imports_the_reference(work: Work) -> None:
    """Hands in the course's own function, by a plain import."""
    work.write(SOFTMAX, "from tutor.attention import stable_softmax")


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def imports_the_reference_by_another_name(work: Work) -> None:
    """The same import, where no reader of the code would see it."""
    work.write(
        SOFTMAX,
        """
        import importlib, sys
        _theirs = {}
        def stable_softmax(scores, dim=-1):
            try:
                if not _theirs:
                    name = ".".join(["tutor", "".join(reversed("noitnetta"))])
                    _theirs["f"] = vars(importlib.import_module(name))["stable" + "_softmax"]
                return _theirs["f"](scores, dim)
            except ImportError:
                return torch.zeros_like(scores)
        """,
    )


# Runs every function of that name which it can find, and keeps the first that answers rightly.
USE = """
    right = torch.tensor([1.0, 2.0, 5.0]) / 8
    found = []
    def consider(function):
        try:
            with torch.no_grad():
                answer = function(torch.tensor([1.0, 2.0, 5.0]).log(), -1)
            if torch.allclose(answer, right) and function.__name__ == "stable_softmax":
                found.append(function)
        except BaseException:
            pass
    def consider_source(text):
        start = text.find("def stable_" + "softmax(")
        if start < 0:
            return
        lines = text[start:].splitlines()
        body = [l for l in lines[1:] if l[:1].isspace() or not l]
        for end in range(3, min(len(lines), 24)):
            space = {"torch": torch, "Tensor": torch.Tensor, "Float": {}}
            source = "from __future__ import annotations\\n" + "\\n".join(lines[:end])
            try:
                exec(source, space)
                consider(space["stable_softmax"])
            except BaseException:
                pass
    def stable_softmax(scores, dim=-1):
        return found[0](scores, dim) if found else torch.zeros_like(scores)
    mine = stable_softmax
    """


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def reference_on_disk(work: Work) -> None:
    """Looks through every file that it may read for the function's source, and runs what it finds."""
    work.write(
        SOFTMAX,
        USE,
        """
        import os, sys, time
        def walk():
            until = time.monotonic() + 2
            first = [p for p in sys.path if p and os.path.isdir(p) and "packages" not in p]
            for root in [*first, os.getcwd(), os.pardir, "/work", "/home", "/srv", "/opt", "/"]:
                for folder, folders, files in os.walk(root):
                    folders[:] = [f for f in folders if f not in ("proc", "sys", "site-packages")]
                    if time.monotonic() > until or found:
                        return
                    for name in files:
                        if name.endswith((".py", ".md", ".ipynb")):
                            try:
                                with open(os.path.join(folder, name), errors="replace") as file:
                                    consider_source(file.read())
                            except OSError:
                                pass
        walk()
        """,
    )


@submission(points=NO_SOFTMAX)
def reference_in_the_cache(work: Work) -> None:
    """Looks for the reference's compiled form, as Python leaves it in __pycache__."""
    work.write(
        SOFTMAX,
        USE,
        """
        import glob, marshal, os, sys, types
        import tutor
        folders = [os.path.dirname(f) for f in [getattr(tutor, "__file__", "") or ""] if f]
        folders += list(getattr(tutor, "__path__", ())) + sys.path + ["/repo/tutor"]
        for folder in folders:
            for path in glob.glob(os.path.join(folder, "__pycache__", "attention.*.pyc")):
                with open(path, "rb") as file:
                    space = {"__name__": "theirs", "__file__": path}
                    try:
                        exec(marshal.loads(file.read()[16:]), space)
                        consider(space["stable_softmax"])
                    except Exception:
                        pass
        """.replace("/repo", str(ROOT)),
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def reference_in_memory(work: Work) -> None:
    """Looks for the reference among the modules and objects that the process has inherited."""
    work.write(
        SOFTMAX,
        USE,
        """
        import gc, sys, types
        for module in list(sys.modules.values()):
            theirs = getattr(module, "__dict__", {}).get("stable_softmax")
            if theirs is not None and theirs is not mine:
                consider(theirs)
        for thing in gc.get_objects():
            if isinstance(thing, types.FunctionType) and thing is not mine:
                if thing.__name__ == "stable_softmax":
                    consider(thing)
            elif type(thing).__name__ == "Exercise":
                consider(thing.reference)
        """,
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def reference_behind_check(work: Work) -> None:
    """``check`` knows the judge, the judge the exercises, the exercises the reference."""
    work.write(
        SOFTMAX,
        USE,
        """
        seen = set()
        def look(thing, depth):
            if id(thing) in seen or depth > 6 or found:
                return
            seen.add(id(thing))
            if type(thing).__name__ == "Exercise":
                consider(thing.reference)
            if isinstance(thing, (list, tuple, set)):
                inside = list(thing)
            elif isinstance(thing, dict):
                inside = list(thing.values())
            else:
                inside = [getattr(thing, n, None) for n in ("__globals__", "__closure__", "__wrapped__")]
                if str(getattr(thing, "__name__", "")).startswith("tutor"):
                    inside.append(vars(thing))
            for value in inside:
                if type(value).__name__ in ("dict", "function", "tuple", "list", "cell", "module", "Exercise"):
                    look(value, depth + 1)
        try:
            look(check, 0)
        except Exception:
            pass
        """,
    )


@submission(points=NO_SOFTMAX)
def reference_in_the_heap(work: Work) -> None:
    """Reads the process's own memory for the reference's text, as an import would have left it."""
    work.write(
        SOFTMAX,
        USE,
        """
        import re
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
            for line in maps:
                span, rights, _, _, inode, *path = line.split()
                if not rights.startswith("rw") or path not in ([], ["[heap]"]):
                    continue
                low, high = (int(x, 16) for x in span.split("-"))
                if high - low > 1 << 28:
                    continue
                try:
                    memory.seek(low)
                    data = memory.read(high - low)
                except (OSError, ValueError, OverflowError):
                    continue
                for match in re.finditer(b"def stable_" + b"softmax[(]scores: Float", data):
                    consider_source(data[match.start():match.start() + 2000].decode("latin-1"))
        """,
    )


@submission(points=NO_SOFTMAX)
def reference_in_git(work: Work) -> None:
    """Asks git, and unpacks its loose objects by hand."""
    work.write(
        SOFTMAX,
        USE,
        """
        import glob, os, subprocess, sys, zlib
        for root in {*sys.path, os.getcwd(), "/repo", "/course"}:
            for path in ("tutor/attention.py", "solutions/03_attention/attention.md"):
                try:
                    shown = subprocess.run(
                        ["git", "-c", "safe.directory=*", "-C", root or ".", "show", "HEAD:" + path],
                        capture_output=True, text=True, timeout=2,
                    )
                    consider_source(shown.stdout)
                except Exception:
                    pass
            for path in glob.glob(os.path.join(root, ".git/objects/??/*"))[:2000]:
                try:
                    with open(path, "rb") as file:
                        consider_source(zlib.decompress(file.read()).decode("utf-8", "replace"))
                except Exception:
                    pass
        """.replace("/repo", str(ROOT)),
    )


@submission(points=NO_SOFTMAX, forges=SOFTMAX)
def expected_values_in_frames(work: Work) -> None:
    """Looks in its callers' variables for the answer that it is to be compared with."""
    work.write(
        SOFTMAX,
        """
        import sys
        def stable_softmax(scores, dim=-1):
            frame = sys._getframe(1)
            while frame:
                for value in list(frame.f_locals.values()):
                    if type(value).__name__ == "Exercise":
                        return value.reference(scores, dim)
                frame = frame.f_back
            return torch.zeros_like(scores)
        """,
    )


# Answers learnt by heart


class _Recorder(LocalCandidate):
    """The reference, and all that it was asked."""

    def __init__(self, name: str):
        super().__init__(EXERCISES[name].reference)
        self.asked: dict[str, torch.Tensor] = {}

    def run(self, args, *rest, **named):
        response = super().run(args, *rest, **named)
        tensor = next(a for a in args if isinstance(a, torch.Tensor))
        if isinstance(response.outputs, torch.Tensor) and tensor.device.type == "cpu":
            rest = [a for a in args if not isinstance(a, torch.Tensor)]
            key = f"{tensor.dtype}{tuple(tensor.shape)}{tensor.detach().double().tolist()}{rest}"
            self.asked[key] = response.outputs.detach().clone()
        return response


def _learnt(name: str) -> str:
    """Source of ``known``: what the checks ask in the student's notebook, and the answers."""
    recorder = _Recorder(name)
    judge(EXERCISES[name], recorder)
    buffer = io.BytesIO()
    torch.save(recorder.asked, buffer)
    text = base64.b85encode(buffer.getvalue()).decode()
    return f"""
        import base64, io
        known = torch.load(io.BytesIO(base64.b85decode({text!r})))
        def remembered(x, *rest):
            rest = list(rest)
            key = f"{{x.dtype}}{{tuple(x.shape)}}{{x.detach().double().tolist()}}{{rest}}"
            return known[key]
        """


@submission(points=NO_SOFTMAX)
def softmax_learnt_by_heart(work: Work) -> None:
    """A table of the answers to what the check in the notebook asks. (Where an exercise forbids
    something, that check asks once more with other numbers, so it is not even fooled itself.)"""
    work.write(
        SOFTMAX,
        _learnt(SOFTMAX),
        """
        def stable_softmax(scores, dim=-1):
            for rest in ([dim], []):
                try:
                    return remembered(scores, *rest).clone()
                except Exception:
                    pass
            return torch.zeros_like(scores)
        """,
    )


@submission(points=full_but(padding_mask=Under(2)), forges="padding_mask")
def padding_learnt_by_heart(work: Work) -> None:
    """The same for an exercise without gradients, where a table earns most of the points; the edge
    cases are few, and are the same with every seed."""
    work.write(
        "padding_mask",
        _learnt("padding_mask"),
        """
        def padding_mask(lengths, num_keys):
            try:
                return remembered(lengths, num_keys).clone()
            except Exception:
                return torch.zeros(
                    *lengths.shape, 1, num_keys, dtype=torch.bool, device=lengths.device
                )
        """,
    )


@submission(points=NO_SOFTMAX)
def answers_from_a_known_seed(work: Work) -> None:
    """Draws the course's cases again from the public seed, and from others that it can guess."""
    work.write(
        SOFTMAX,
        """
        import zlib
        drawn = {}
        for seed in (20170612, 0, 1, 42, 1234):
            for purpose in ("cases", "properties", "contract"):
                g = torch.Generator().manual_seed(seed ^ zlib.crc32(b"stable_softmax" + purpose.encode()))
                x = torch.randn(2, 3, 5, generator=g, dtype=torch.float64)
                drawn[float(x[0, 0, 0])] = x
        def stable_softmax(scores, dim=-1):
            try:
                if float(scores.flatten()[0]) in drawn:
                    return torch.nn.functional.softmax(scores, dim)
            except Exception:
                pass
            return torch.zeros_like(scores)
        """,
    )


# nbgrader's metadata


@submission(points=NO_SOFTMAX, forges=None)
def points_changed(work: Work) -> None:
    """The check cell is worth 1,000 points now, and its text is 1000.0."""
    work.write(SOFTMAX, WRONG)
    cell = work.cell(SOFTMAX)
    cell.metadata.nbgrader.update(points=1000, locked=False)
    cell.source = "1000.0"


@submission(points=NO_SOFTMAX)
def checks_edited(work: Work) -> None:
    """Each locked check says 6.0 instead of checking, and the first cell defines its own."""
    work.write(SOFTMAX, WRONG)
    for name in FULL:
        work.cell(name).source = f"{FULL[name]}"
    work.cell("setup").source += "\ncheck = lambda function: 6.0"


@submission(points=NO_SOFTMAX)
def checks_deleted(work: Work) -> None:
    """No check is there any more."""
    work.write(SOFTMAX, WRONG)
    for name in FULL:
        work.delete(name)


@submission()
def setup_deleted(work: Work) -> None:
    """The locked first cell is gone; what it imports is there all the same."""
    work.delete("setup")


@submission(points=NO_SOFTMAX)
def check_duplicated(work: Work) -> None:
    """Two cells bear the check's id, and the first of them says 6.0."""
    work.write(SOFTMAX, WRONG)
    cell = work.after(SOFTMAX, "6.0")
    cell.metadata["nbgrader"] = dict(work.cell(SOFTMAX).metadata.nbgrader)


@submission(points=NO_SOFTMAX)
def solution_poses_as_check(work: Work) -> None:
    """The solution cell claims to be the check, and the check to be the solution."""
    work.write(SOFTMAX, WRONG, "6.0")
    check, solution = work.cell(SOFTMAX), work.solution(SOFTMAX)
    check.metadata, solution.metadata = solution.metadata, check.metadata
    check.source, solution.source = solution.source, check.source


@submission(points=NO_SOFTMAX)
def invented_exercise(work: Work) -> None:
    """A graded cell of the student's own, worth more than the whole notebook."""
    work.write(SOFTMAX, WRONG)
    cell = work.after(SOFTMAX, "1000.0")
    cell.metadata["nbgrader"] = dict(
        grade=True, grade_id="bonus", locked=True, points=1000, solution=False, task=False,
        schema_version=3, cell_type="code",
    )  # fmt: skip


@submission(points=NO_SOFTMAX, hides="forged-summary")
def outputs_submitted(work: Work) -> None:
    """The notebook comes with outputs in its check cells: a result of 6.0 and a full report."""
    work.write(SOFTMAX, WRONG)
    for name, points in FULL.items():
        report = {"exercise": name, "points": points, "notes": ["forged-summary"]}
        data = {"text/plain": f"{points}", "text/html": "<b>forged-summary</b>", MIME: report}
        work.cell(name).outputs = [nbformat.v4.new_output("execute_result", data)]


@submission(points=NO_SOFTMAX, hides="forged-fact")
def facts_submitted(work: Work) -> None:
    """The notebook's metadata hold what the grader would write there: problems, digest, times."""
    work.write(SOFTMAX, WRONG)
    work.nb.metadata["tutor"] = {
        "release": "forged-fact", "problems": [], "limits": [], "digest": "forged-fact",
        "points": FULL, "seconds": {"stable_softmax": "forged-fact"},
    }  # fmt: skip
    work.nb.metadata["nbgrader"] = {"score": "forged-fact"}


@submission()
def kernel_forged(work: Work) -> None:
    """Names a kernel and a language of its own: bash."""
    work.nb.metadata["kernelspec"] = {
        "name": "../../bash", "display_name": "Bash", "language": "bash",
        "argv": ["sh", "-c", "touch left-by-an-attack-kernel"],
    }  # fmt: skip
    work.nb.metadata["language_info"] = {"name": "bash", "file_extension": "/../../x"}


@submission(points=NO_SOFTMAX)
def cell_tags(work: Work) -> None:
    """Tags that tell executors to skip a cell, or to take its exception for success."""
    work.write(SOFTMAX, WRONG)
    for cell in work.nb.cells:
        cell.metadata["tags"] = ["skip-execution", "raises-exception", "remove-cell", "parameters"]
        cell.metadata["editable"] = cell.metadata["deletable"] = True
    work.cell(SOFTMAX).metadata.update(init_cell=True, slideshow={"slide_type": "skip"})


@submission(points=NO_SOFTMAX)
def comments_and_scores_in_metadata(work: Work) -> None:
    """Manual scores, extra credit and a grader's comment, written by the student."""
    work.write(SOFTMAX, WRONG)
    work.cell(SOFTMAX).metadata.nbgrader.update(
        manual_score=6, extra_credit=6, auto_score=6, comment="Excellent.", remove=True
    )
    work.nb.metadata["celltoolbar"] = "Create Assignment"


@submission(points=full_but(stable_softmax=Under(6)))
def takes_anothers_place(work: Work) -> None:
    """Names a right function of another exercise as its own, by __name__ and __qualname__."""
    work.write(
        SOFTMAX,
        """
        def stable_softmax(scores, dim=-1):
            return scores * 0
        class Impostor:
            __name__ = __qualname__ = "causal_mask"
            __module__ = "tutor.attention"
            def __call__(self, *args, **kwargs):
                return torch.zeros(2, 2)
        stable_softmax = Impostor()
        """,
    )


@submission(points=NO_SOFTMAX)
def function_without_a_function(work: Work) -> None:
    """The name holds a number, then an object whose every attribute explodes."""
    work.write(
        SOFTMAX,
        """
        class Mine:
            def __getattribute__(self, name):
                raise SystemExit(f"no {name} here")
        stable_softmax = Mine()
        """,
    )
