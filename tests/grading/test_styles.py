"""Ways to write that are nobody's fault: what passes at home passes in grading, point for point."""

import linecache
from contextlib import ExitStack, closing
from textwrap import dedent

import pytest

from tutor.checks import EXERCISES, check, judge
from tutor.checks.modes import usual_modes
from tutor.checks.report import Report
from tutor.grading import submission
from tutor.grading.grader import Grader
from tutor.sandbox.candidate import RemoteCandidate
from tutor.sandbox.session import Session

pytestmark = pytest.mark.long

SEED = 7


@pytest.fixture(scope="module")
def session():
    """Fresh processes in the sandbox of a chapter."""
    started = {}
    with ExitStack() as stack:

        def session(chapter: str) -> Session:
            if chapter not in started:
                started[chapter] = stack.enter_context(Grader(chapter, key=b"a test's")).sandbox
                started[chapter].start()
            return closing(Session(started[chapter]))

        yield session


def both(session, name: str, *cells: str) -> Report:
    """The report on what these cells define, which is the same at home and in grading."""
    exercise, namespace = EXERCISES[name], {"__name__": "__main__", "check": check}
    cells = [dedent(cell).strip() for cell in ("import torch", *cells)]
    with usual_modes():
        for number, cell in enumerate(cells):
            place = f"cell {number} of {name}"
            linecache.cache[place] = len(cell), None, cell.splitlines(keepends=True), place
            exec(compile(cell, place, "exec"), namespace)
        home = judge(exercise, namespace[name], SEED)
        exec(f"points = check({name})", namespace)
        assert namespace["points"] == home.points
    with session(exercise.chapter) as inside:
        for cell in cells:
            outputs = inside.cell(cell, "a cell", 10_000)
            assert not [o for o in outputs if o["output_type"] == "error"], outputs
        remote = RemoteCandidate(inside, name)
        graded = judge(exercise, remote, SEED)
    assert str(graded).splitlines() == str(home).splitlines()
    assert graded == home and remote.stops == []
    return home


def lost(report: Report) -> list[str]:
    return [v.group for v in report.verdicts if not v.passed]


SOFTMAX = """
    def stable_softmax(scores, dim=-1):
        shifted = scores - scores.amax(dim, keepdim=True)
        return shifted.exp() / shifted.exp().sum(dim, keepdim=True)
    """
DETACHED = SOFTMAX.replace("shifted = scores", "shifted = scores.detach()")
MIXED = """
    def attention_scores(q, k):
        return q @ k.mT * torch.tensor(q.shape[-1] ** -0.5)
    """


# torch's settings


@pytest.mark.by_content("tutor/sandbox/**/*.py", "tutor/grading/**/*.py")
@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("torch.set_grad_enabled(False)", "torch.set_grad_enabled"),
        ("mode = torch.inference_mode(); mode.__enter__()", "torch.inference_mode"),
        ("torch.autocast('cpu', torch.bfloat16).__enter__()", 'torch.autocast("cpu")'),
        ("torch.set_default_dtype(torch.float64)", "torch.set_default_dtype"),
        ("torch.set_default_device('meta')", "torch.set_default_device"),
        ("torch.set_default_device('cuda')", "torch.set_default_device"),
        ("torch.device('meta').__enter__()", "torch.set_default_device"),
        ("torch.use_deterministic_algorithms(True)", "torch.use_deterministic_algorithms"),
        ("torch.autograd.set_detect_anomaly(True)", "torch.autograd.set_detect_anomaly"),
        ("torch.set_float32_matmul_precision('medium')", "torch.set_float32_matmul_precision"),
        ("torch.set_flush_denormal(True)", "torch.set_flush_denormal"),
        (
            "from torch.overrides import TorchFunctionMode\nTorchFunctionMode().__enter__()",
            "a context of torch's that was entered and not left",
        ),
    ],
)
def test_settings_of_an_earlier_cell_count_for_no_check(session, cell, told):
    right = both(session, "stable_softmax", cell, SOFTMAX)
    assert lost(right) == [] and [told in note for note in right.notes] == [True]
    wrong = both(session, "stable_softmax", cell, DETACHED)
    assert lost(wrong) == ["gradients"] and len(wrong.notes) == 1
    assert both(session, "stable_softmax", DETACHED).verdicts == wrong.verdicts
    usual = both(session, "attention_scores", MIXED)
    found = both(session, "attention_scores", cell, MIXED)
    assert usual.verdicts == found.verdicts and lost(usual) == ["types"]


# Compiled functions


@pytest.mark.parametrize(
    "decorator",
    [
        "@torch.compile",
        "@torch.compile(fullgraph=True, dynamic=True)",
        "@torch.compile(backend='eager')",
    ],
)
def test_compiled_function_is_judged_as_the_one_that_it_wraps(session, decorator):
    plain = both(session, "stable_softmax", SOFTMAX)
    compiled = both(session, "stable_softmax", SOFTMAX.replace("def", f"{decorator}\n    def"))
    assert compiled == plain and lost(plain) == []
    wrong = both(session, "stable_softmax", DETACHED.replace("def", f"{decorator}\n    def"))
    assert lost(wrong) == ["gradients"]


def test_compiled_helper_and_one_that_is_compiled_within_the_call_are_not_compiled(session):
    helper = """
        @torch.compile
        def weights(shifted, dim):
            e = shifted.exp()
            return e / e.sum(dim, keepdim=True)
        """
    for made in ("weights", "torch.compile(weights.__wrapped__)"):
        function = f"""
            def stable_softmax(scores, dim=-1):
                return {made}(scores - scores.amax(dim, keepdim=True), dim)
            """
        assert lost(both(session, "stable_softmax", helper, function)) == []


def test_a_cell_that_calls_a_compiled_function_runs_where_no_compiler_may(session):
    cell = SOFTMAX.replace("def", "@torch.compile\n    def")
    with session("03_attention") as inside:
        assert inside.cell(dedent(f"    import torch\n{cell}"), "a cell", 10_000) == []
        (out,) = inside.cell("stable_softmax(torch.zeros(2))", "a call", 10_000)
    assert out["data"]["text/plain"] == "tensor([0.5000, 0.5000])"


# Names


MASK = """
    def {}(num_queries, num_keys, device=None):
        rows = torch.arange(num_queries, device=device)[:, None] + (num_keys - num_queries)
        return torch.arange(num_keys, device=device) <= rows
    """
NAMED = {
    "partial": """
        import functools
        def mask(offset, num_queries, num_keys, device=None):
            rows = torch.arange(num_queries, device=device)[:, None] + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= rows + offset
        causal_mask = functools.partial(mask, 0)
        """,
    "lambda": """
        causal_mask = lambda num_queries, num_keys, device=None: (
            torch.arange(num_keys, device=device)
            <= torch.arange(num_queries, device=device)[:, None] + (num_keys - num_queries)
        )
        """,
    "alias": MASK.format("my_mask") + "\n    causal_mask = my_mask",
    "alias of another exercise": MASK.format("padding_mask") + "\n    causal_mask = padding_mask",
    "decorated": """
    def logged(function):
        def wrapped(*args, **kwargs):
            return function(*args, **kwargs)
        return wrapped
    @logged"""
    + MASK.format("causal_mask"),
    "scripted": """
        from typing import Optional
        @torch.jit.script
        def causal_mask(num_queries: int, num_keys: int, device: Optional[torch.device] = None):
            rows = torch.arange(num_queries, device=device)[:, None] + (num_keys - num_queries)
            return torch.arange(num_keys, device=device) <= rows
        """,
    "method": """
        class Masks:
            def causal(self, num_queries, num_keys, device=None):
                rows = torch.arange(num_queries, device=device)[:, None]
                return torch.arange(num_keys, device=device) <= rows + (num_keys - num_queries)
        causal_mask = Masks().causal
        """,
    "object": """
        class Causal:
            def __call__(self, num_queries, num_keys, device=None):
                rows = torch.arange(num_queries, device=device)[:, None]
                return torch.arange(num_keys, device=device) <= rows + (num_keys - num_queries)
        causal_mask = Causal()
        """,
}


@pytest.mark.parametrize("style", NAMED)
def test_function_is_the_one_that_the_notebook_names_so(session, style, capsys):
    assert both(session, "causal_mask", NAMED[style]).points == 5
    assert capsys.readouterr().out.startswith("causal_mask ")


# The call whose work is counted, on tensors without numbers


SCORES = """
    def attention_scores(q, k):
        {}
        return q @ k.mT / {}
    """
ROOT_OF_THE_WIDTH = "q.shape[-1] ** 0.5"


@pytest.mark.by_content("tutor/sandbox/**/*.py", "tutor/grading/**/*.py")
@pytest.mark.parametrize(
    ("before", "divisor", "groups"),
    [
        ("pass", "torch.Tensor([q.shape[-1]]).to(q).sqrt()", []),
        ("pass", "(torch.Tensor(1).fill_(q.shape[-1]).to(q) ** 0.5)", []),
        ("pass", "torch.DoubleTensor([q.shape[-1]]).sqrt().to(q)", []),
        ("pass", "q.new([q.shape[-1]]).sqrt()", []),
        ("assert type(q) is q.__class__ is torch.Tensor", ROOT_OF_THE_WIDTH, []),
        ("assert type(torch.nn.Parameter(q)) is torch.nn.Parameter", ROOT_OF_THE_WIDTH, []),
        ("assert torch.nn.Linear(2, 2).weight.requires_grad", ROOT_OF_THE_WIDTH, []),
        ("assert isinstance(q, torch.Tensor) and torch.is_tensor(k)", ROOT_OF_THE_WIDTH, []),
        ("import copy; q = copy.deepcopy(q)", ROOT_OF_THE_WIDTH, ["gradients"]),
        ("import copy; c = copy.deepcopy([q, q]); q = q + 0 * c[1]", ROOT_OF_THE_WIDTH, []),
        ("c = torch.as_tensor([q.sum() * 0]).to(q)", f"({ROOT_OF_THE_WIDTH} + c)", ["contracts"]),
    ],
)
def test_counted_call_goes_as_the_others(session, before, divisor, groups):
    source = SCORES.format(before, divisor)
    assert lost(both(session, "attention_scores", source)) == groups


def test_what_a_counted_call_keeps_can_be_printed_afterwards(session):
    source = SCORES.format("seen.append(q); seen.append(torch.nn.Parameter(k))", ROOT_OF_THE_WIDTH)
    both(session, "attention_scores", "seen = []", source)
    with session("03_attention") as inside:
        for cell in ("import torch\nseen = []", dedent(source)):
            assert inside.cell(cell, "a cell", 10_000) == []
        judge(EXERCISES["attention_scores"], RemoteCandidate(inside, "attention_scores"), SEED)
        (out,) = inside.cell("print(seen[:2] + seen[-6:])", "a look", 100_000)
    assert out["output_type"] == "stream" and "tensor(..., size=" in out["text"]


def test_crash_of_the_counted_call_alone_is_told_to_the_instructor():
    thread = """
        from concurrent.futures import ThreadPoolExecutor
        def attention_scores(q, k):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(lambda: q @ k.mT * q.shape[-1] ** -0.5).result()
        """
    own = {"setup": ("import torch",), "attention_scores-solution": (dedent(thread),)}
    submitted = submission.Submitted(own=own)
    nb = submission.restore(submission.released("03_attention", "attention"), submitted)
    with Grader("03_attention", key=b"a test's") as grader:
        graded = grader.run(nb, submitted)
    (problem,) = graded.problems
    assert problem.startswith(
        "attention_scores: the call whose work is counted raised RuntimeError"
    )
    assert graded.points["attention_scores"] == EXERCISES["attention_scores"].total - 1
