"""Honest work of every kind, which a suspicious grader is likely to wrong."""

# ruff: noqa: E501 (the long lines are those of notebooks)

import copy
import warnings

import torch

from tests.attacks.corpus import FULL, Between, Under, Work, full_but, judged, only, submission
from tutor.course.sample_class import FIRST_HALF

SOFTMAX, LAST = "stable_softmax", "attention_backward"


@submission()
def all_solved(work: Work) -> None:
    """Every exercise solved, nothing else touched."""


@submission(says="printed by the student")
def prints(work: Work) -> None:
    """A solution that prints at each call, and a cell that prints."""
    source = work.solution(SOFTMAX).source
    work.write(
        SOFTMAX,
        source.replace("    shifted =", "    print(scores.shape, dim)\n    shifted ="),
        'print("printed by" + " the student")',
    )


@submission()
def warns(work: Work) -> None:
    """A solution that warns and writes to stderr, for which nbgrader gives nothing."""
    work.write(
        SOFTMAX,
        """
        import sys, warnings
        def stable_softmax(scores, dim=-1):
            warnings.warn("careful", stacklevel=1)
            print("to stderr", file=sys.stderr)
            exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
            return exponentials / exponentials.sum(dim, keepdim=True)
        """,
    )


@submission()
def logs(work: Work) -> None:
    """A solution that keeps a log, with Python's own logging."""
    work.write(
        SOFTMAX,
        """
        import logging
        logging.basicConfig(level=logging.DEBUG)
        def stable_softmax(scores, dim=-1):
            logging.error("called with %s", tuple(scores.shape))
            exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
            return exponentials / exponentials.sum(dim, keepdim=True)
        """,
    )


@submission()
def helpers_in_added_cells(work: Work) -> None:
    """Helpers in cells of the student's own, before and behind the cell that uses them."""
    work.after(
        "attention_scores", "def positions(n, device):\n    return torch.arange(n, device=device)"
    )
    work.write(
        "causal_mask",
        """
        def causal_mask(num_queries, num_keys, device=None):
            rows = positions(num_queries, device) + offset(num_queries, num_keys)
            return positions(num_keys, device) <= rows[:, None]
        """,
    )
    work.after(
        "causal_mask", "def offset(num_queries, num_keys):\n    return num_keys - num_queries"
    )


@submission()
def helper_at_the_top(work: Work) -> None:
    """A helper and an import in a cell before all others, and one right behind the setup."""
    work.at_the_start("import math")
    work.after("setup", "def root(n):\n    return math.sqrt(n)")
    work.write(
        "attention_scores",
        "def attention_scores(q, k):\n    return q @ k.mT / root(q.shape[-1])",
    )


@submission()
def solved_in_an_added_cell(work: Work) -> None:
    """The given cell was left as it was, and the solution written below it."""
    source = work.solution("causal_mask").source
    work.write(
        "causal_mask",
        "def causal_mask(num_queries, num_keys, device=None):\n    raise NotImplementedError",
    )
    work.after("causal_mask", source)


@submission(says="ZeroDivisionError")
def errs_in_a_cell_of_no_consequence(work: Work) -> None:
    """An experiment that raises stands between two right answers."""
    work.after(SOFTMAX, "1 / 0")
    work.after("causal_mask", "undefined_name")
    work.after("padding_mask", "this is no Python")


@submission()
def errs_behind_its_solution(work: Work) -> None:
    """The solution's own cell ends in an experiment that raises: the function was defined."""
    work.solution(SOFTMAX).source += "\n\nstable_softmax(torch.ones(3), dim=7)"


@submission(points=only("causal_mask"))
def solves_one(work: Work) -> None:
    """One exercise solved, the others as they were given."""
    given = Work.as_given()
    for name in FULL:
        if name != "causal_mask":
            work.write(name, given.solution(name).source)


@submission(points=only(*FIRST_HALF))
def solves_half(work: Work) -> None:
    """The first half solved, the rest empty cells."""
    for name in FULL:
        if name not in FIRST_HALF:
            work.write(name, "")


@submission()
def slow(work: Work) -> None:
    """Slow, and within its time: a cell of one second, and calls of a few hundredths each."""
    work.write(
        "causal_mask",
        """
        import time
        time.sleep(1)
        def causal_mask(num_queries, num_keys, device=None):
            time.sleep(0.02)
            position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= position[:, None]
        """,
    )


@submission()
def numpy_in_a_helper(work: Work) -> None:
    """numpy where no tensor passes through it: for the root of a width, and in an experiment."""
    work.write(
        "attention_scores",
        """
        import numpy as np
        def root(n):
            return float(np.sqrt(n))
        def attention_scores(q, k):
            return q @ k.mT / root(q.shape[-1])
        """,
    )
    work.after(
        "attention_scores", "np.allclose(attention_scores(torch.eye(2), torch.eye(2)).numpy(), 1)"
    )


@submission()
def draws(work: Work) -> None:
    """Draws figures: an image in the output, and several that are never closed."""
    work.after(
        SOFTMAX,
        """
        %matplotlib inline
        import matplotlib.pyplot as plt
        plt.plot(stable_softmax(torch.arange(5.0)))
        plt.show()
        for _ in range(3):
            plt.figure()
        """,
    )


@submission()
def magics(work: Work) -> None:
    """Magics, a shell command, a question mark and the last results, as notebooks have them."""
    work.after(SOFTMAX, "%time stable_softmax(torch.ones(3))")
    work.after(SOFTMAX, "%%time\nx = stable_softmax(torch.ones(3))\n!echo hello\n_, Out, In\n")
    work.after(SOFTMAX, "stable_softmax?")
    work.after(SOFTMAX, "%lsmagic")
    work.after(SOFTMAX, "%%capture\nprint(1)")


@submission()
def waits(work: Work) -> None:
    """A top-level await, which a notebook allows."""
    work.after(SOFTMAX, "import asyncio\nawait asyncio.sleep(0.01)\nprint('awake')")


@submission()
def asks_for_input(work: Work) -> None:
    """Asks a question at the keyboard, where nobody sits."""
    work.after(SOFTMAX, "name = input('Who are you? ')")
    work.after(SOFTMAX, "import getpass\ngetpass.getpass()")


@submission()
def displays(work: Work) -> None:
    """Tables, Markdown, progress bars, HTML: what notebooks are full of."""
    work.after(
        SOFTMAX,
        """
        import time
        from IPython.display import HTML, Markdown, clear_output, display
        display(Markdown("**done**"), HTML("<b>done</b>"))
        handle = display("first", display_id=True)
        handle.update("second")
        for n in range(5):
            clear_output(wait=True)
            print(n)
        """,
    )


@submission()
def a_name_of_the_courses(work: Work) -> None:
    """Calls a variable of its own ``check``, and another ``tutor``: a notebook has many names."""
    work.after(SOFTMAX, "check = stable_softmax(torch.ones(3)).sum() == 1\ntutor = 'my tutor'")


@submission()
def checks_by_itself(work: Work) -> None:
    """Calls ``check`` in its own cells, as the student did at home."""
    work.solution(SOFTMAX).source += "\n\ncheck(stable_softmax)"
    work.after(SOFTMAX, "points = check(stable_softmax)\nprint(points)")
    work.after("padding_mask", "assert check(padding_mask) == 5 or True")


@submission()
def imports_the_course(work: Work) -> None:
    """Imports the course's package for what a chapter may use."""
    work.after(SOFTMAX, "import tutor\nimport tutor.checks\nfrom tutor.checks import check")


@submission()
def experiments_after_its_check(work: Work) -> None:
    """At the end the student tries a worse function under the same name, then tidies up."""
    work.at_the_end(
        "def stable_softmax(scores, dim=-1):\n    return scores.exp() / scores.exp().sum()"
    )
    work.at_the_end("del causal_mask, padding_mask")
    work.at_the_end("%reset -f")


@submission()
def experiments_behind_its_check(work: Work) -> None:
    """Right below the check, the student tries what happens without the maximum."""
    work.behind_check(
        SOFTMAX,
        """
        def stable_softmax(scores, dim=-1):
            return scores.exp() / scores.exp().sum(dim, keepdim=True)
        print(stable_softmax(torch.tensor([1000.0, 1.0])))
        """,
    )
    work.behind_check("padding_mask", "del padding_mask")


@submission()
def state_kept_between_cells(work: Work) -> None:
    """A constant that one cell sets and a later function reads."""
    work.after("setup", "SCALE = -0.5")
    work.write(
        "attention_scores",
        "def attention_scores(q, k):\n    return q @ k.mT * q.shape[-1] ** SCALE",
    )


@submission()
def settings_of_torch(work: Work) -> None:
    """Sets a seed, a default dtype and the number of threads for the rest of the notebook."""
    work.after("setup", "torch.manual_seed(0)\ntorch.set_num_threads(1)\ntorch.set_printoptions(2)")
    work.after(LAST, "torch.set_default_dtype(torch.float64)")


@submission(says="torch set otherwise than usual")
def settings_left_behind(work: Work) -> None:
    """Every setting of torch that a notebook may forget, before the first answer."""
    work.after(
        "setup",
        """
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        torch.use_deterministic_algorithms(True)
        autocast = torch.autocast("cpu", torch.bfloat16)
        autocast.__enter__()
        """,
    )


def _detached(scores, dim=-1):
    exponentials = (scores - scores.amax(dim, keepdim=True)).detach().exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


@submission(points=judged(SOFTMAX, _detached), says="gradient")
def without_gradients(work: Work) -> None:
    """Gradients are off, where the wrong answer has none and the right one would have none."""
    work.after("setup", "torch.set_grad_enabled(False)")
    work.write(
        SOFTMAX,
        """
        def stable_softmax(scores, dim=-1):
            exponentials = (scores - scores.amax(dim, keepdim=True)).detach().exp()
            return exponentials / exponentials.sum(dim, keepdim=True)
        """,
    )


@submission()
def compiled(work: Work) -> None:
    """A function that torch is to compile, and a cell that calls it."""
    cell = work.solution(SOFTMAX)
    cell.source = f"@torch.compile\n{cell.source}"
    work.after(SOFTMAX, "stable_softmax(torch.ones(3))")


@submission()
def decorated(work: Work) -> None:
    """A decorator that times the function, and keeps its name as functools.wraps does."""
    work.write(
        "causal_mask",
        """
        import functools, time
        def timed(function):
            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                start = time.perf_counter()
                try:
                    return function(*args, **kwargs)
                finally:
                    timed.seconds = time.perf_counter() - start
            return wrapped
        """,
        "@timed",
        work.solution("causal_mask").source,
    )
    work.solution("causal_mask").source = work.solution("causal_mask").source.replace(
        "@timed\n\n", "@timed\n"
    )


@submission()
def other_ways_to_a_function(work: Work) -> None:
    """A scripted function, a partial one, a lambda and an alias, under the names that are asked."""
    work.write(
        SOFTMAX,
        """
        @torch.jit.script
        def stable_softmax(scores, dim: int = -1):
            exponentials = (scores - scores.amax([dim], keepdim=True)).exp()
            return exponentials / exponentials.sum([dim], keepdim=True)
        """,
    )
    work.write(
        "causal_mask",
        """
        import functools
        def mask(offset, num_queries, num_keys, device=None):
            position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= position[:, None] + offset
        causal_mask = functools.partial(mask, 0)
        """,
    )
    work.write(
        "padding_mask",
        """
        padding_mask = lambda lengths, num_keys: (
            torch.arange(num_keys, device=lengths.device) < lengths[..., None, None]
        )
        """,
    )
    cell = work.solution("attention_scores")
    cell.source = cell.source.replace("attention_scores", "scores_of", 1)
    cell.source += "\n\nattention_scores = scores_of"


@submission()
def asks_what_its_tensors_are(work: Work) -> None:
    """Asks for the class of its inputs, copies them, and makes tensors by the old constructors."""
    work.write(
        "attention_scores",
        """
        import copy
        def attention_scores(q, k):
            assert type(q) is torch.Tensor and k.__class__ is torch.Tensor
            width = copy.deepcopy(torch.Tensor([q.shape[-1]]).to(q))
            return q @ k.mT / width.sqrt()
        """,
    )


@submission()
def class_for_a_function(work: Work) -> None:
    """A function written as an object with ``__call__``."""
    work.write(
        "causal_mask",
        """
        class CausalMask:
            def __call__(self, num_queries, num_keys, device=None):
                position = torch.arange(num_queries, device=device) + (num_keys - num_queries)
                return torch.arange(num_keys, device=device) <= position[:, None]
        causal_mask = CausalMask()
        """,
    )


@submission(says="The given cell setup is not as the course gives it")
def writes_into_a_given_cell(work: Work) -> None:
    """An import added to the given set-up cell, which JupyterLab alone keeps from being edited."""
    work.cell("setup").source += "\nimport math"


@submission()
def splits_cells_and_makes_text_of_them(work: Work) -> None:
    """Cells that were split, and code that a slip of the finger has turned into Markdown."""
    first = work.solution("padding_mask")
    second = copy.deepcopy(first)
    first.source, second.source = "ROWS = None", first.source.replace("None", "ROWS")
    second.id = "second-half"
    work.nb.cells.insert(work.nb.cells.index(first) + 1, second)
    for cell in (work.solution("causal_mask"), work.cell("attention_scores")):
        cell.cell_type = "markdown"
        del cell["outputs"], cell["execution_count"]


@submission()
def other_alphabet(work: Work) -> None:
    """Comments, names and output in other alphabets."""
    work.write(
        "causal_mask",
        """
        def causal_mask(num_queries, num_keys, device=None):
            # Каждый запрос видит только прошлое. 每個查詢只能看到過去。 🙈
            σ = torch.arange(num_queries, device=device) + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= σ[:, None]
        print("готово ✓ 完成 🎉")
        """,
    )


@submission()
def threads_of_its_own(work: Work) -> None:
    """A pool of threads and a child process, started and ended as they should be."""
    work.after(
        LAST,
        """
        from concurrent.futures import ThreadPoolExecutor
        import subprocess, sys
        with ThreadPoolExecutor(4) as pool:
            print(sum(pool.map(lambda n: n * n, range(10))))
        print(subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout)
        """,
    )


@submission()
def files_of_its_own(work: Work) -> None:
    """Writes notes and a plot to its folder and reads them again."""
    work.after(
        LAST,
        """
        import pathlib, tempfile
        pathlib.Path("notes.txt").write_text("42")
        print(pathlib.Path("notes.txt").read_text())
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 1000)
        """,
    )


def _one_sum(scores, dim=-1):
    exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum()


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ONE_SUM = judged(SOFTMAX, _one_sum)


@submission(points=ONE_SUM, says="one sum for the whole tensor")
def an_honest_mistake(work: Work) -> None:
    """A wrong answer that people give: its misconception is named."""
    work.write(
        SOFTMAX,
        """
        def stable_softmax(scores, dim=-1):
            exponentials = (scores - scores.amax(dim, keepdim=True)).exp()
            return exponentials / exponentials.sum()
        """,
    )


def _wasteful(q, k):
    return ((q @ k.mT) + (q @ k.mT)) / 2 * q.shape[-1] ** -0.5


@submission(points=judged("attention_scores", _wasteful), says="FLOPs")
def wasteful(work: Work) -> None:
    """Right, and twice the work: the contract alone is lost."""
    work.write_alone(
        "attention_scores",
        """
        def attention_scores(q, k):
            return ((q @ k.mT) + (q @ k.mT)) / 2 * q.shape[-1] ** -0.5
        """,
    )


def _through_numpy(scores, dim=-1):
    x = scores.detach().numpy()
    e = torch.from_numpy(x) - torch.from_numpy(x).amax(dim, keepdim=True)
    return e.exp() / e.exp().sum(dim, keepdim=True)


@submission(points=full_but(stable_softmax=Under(6)), says="gradient|numpy")
def through_numpy(work: Work) -> None:
    """The honest detour through numpy: right numbers, no gradient, and bfloat16 has no numpy."""
    work.write(
        SOFTMAX,
        """
        import numpy as np
        def stable_softmax(scores, dim=-1):
            x = scores.detach().numpy()
            e = np.exp(x - x.max(dim, keepdims=True))
            return torch.from_numpy(e / e.sum(dim, keepdims=True))
        """,
    )


# On another device


# Numbers that were read out, and come back, are no work of the call where it is counted.
@submission(points=full_but(padding_mask=Between(3, 4)), says="the answer is on the CPU")
def mask_from_the_cpu(work: Work) -> None:
    """Lengths are brought to the CPU, and the mask stays there."""
    work.write(
        "padding_mask",
        """
        def padding_mask(lengths, num_keys):
            return torch.arange(num_keys) < lengths.cpu()[..., None, None]
        """,
    )


@submission(points=full_but(padding_mask=4), says="the answer is on the CPU")
def mask_of_python_numbers(work: Work) -> None:
    """Python reads every length and sets the mask row by row, on the CPU."""
    work.write(
        "padding_mask",
        """
        def padding_mask(lengths, num_keys):
            keep = torch.zeros(*lengths.shape, 1, num_keys, dtype=torch.bool)
            for i, n in enumerate(lengths.flatten()):
                keep.view(-1, num_keys)[i, :n] = True
            return keep
        """,
    )


@submission()
def mask_of_python_numbers_beside_the_lengths(work: Work) -> None:
    """The same on the device of the lengths, where it belongs."""
    work.write(
        "padding_mask",
        """
        def padding_mask(lengths, num_keys):
            keep = torch.zeros(*lengths.shape, 1, num_keys, dtype=torch.bool, device=lengths.device)
            for i, n in enumerate(lengths.flatten()):
                keep.view(-1, num_keys)[i, :n] = True
            return keep
        """,
    )


@submission(
    points=full_but(scaled_dot_product_attention=9, self_attention=7), says="made on the CPU meets"
)
def mask_on_the_cpu_written_in_place(work: Work) -> None:
    """A mask of its own on the CPU, by an operation that does not look on which device it is."""
    work.write(
        "scaled_dot_product_attention",
        """
        def scaled_dot_product_attention(q, k, v, keep=None):
            scores = attention_scores(q, k)
            if keep is None:
                keep = torch.ones(scores.shape[-2:], dtype=torch.bool)
            if keep.dtype != torch.bool:
                raise TypeError("keep must be bool")
            scores = scores.masked_fill_(~keep, torch.finfo(scores.dtype).min)
            return (stable_softmax(scores) * keep) @ v
        """,
    )


@submission()
def recorder_used_as_meant(work: Work) -> None:
    """A cell measures with torch's profiler; the function makes its tensors on a device of its own."""
    work.write(
        SOFTMAX,
        """
        def stable_softmax(scores, dim=-1):
            with torch.device(scores.device):
                e = (scores - scores.amax(dim, keepdim=True)).exp()
            return e / e.sum(dim, keepdim=True)
        from torch.profiler import profile
        with profile() as measured:
            stable_softmax(torch.randn(3, 4))
        assert "aten::exp" in {event.key for event in measured.key_averages()}
        """,
    )
