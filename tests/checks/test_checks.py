"""The checks: right answers pass in any style, wrong ones fail and are named."""

import functools
import json
import re
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from answers import LIBRARY, NUMPY, RIGHT
from answers.attention import backward_jacobian
from torch import Tensor
from torch.nn import functional as F

from tutor import ROOT, attention
from tutor.checks import EXERCISES, PUBLIC_SEED, check, find, judge, of_chapter
from tutor.checks.exercise import GROUPS, Case, Contract, Exercise, Trap
from tutor.checks.judge import TOLERANCE
from tutor.checks.report import MIME, slug

NAMES = list(EXERCISES)
TRAPS = [(e.name, t) for e in EXERCISES.values() for t in e.traps]
# Of chapter 3, whose floating-point inputs have any number of batch dimensions.
WITH_FLOATS = [n for n in of_chapter("03_attention") if "mask" not in n]


def first_arguments(name):
    generator = torch.Generator().manual_seed(PUBLIC_SEED)
    return next(iter(EXERCISES[name].cases(generator, torch.device("cpu")))).args


OF_TENSORS = [n for n in NAMES if any(isinstance(a, Tensor) for a in first_arguments(n))]

every_exercise = pytest.mark.parametrize("name", NAMES)
every_trap = pytest.mark.parametrize(
    ("name", "trap"), TRAPS, ids=[f"{n}-{slug(t.name)}" for n, t in TRAPS]
)


def report_on(name, function, **kwargs):
    return judge(EXERCISES[name], function, **kwargs)


def verdict(report, group):
    return next(v for v in report.verdicts if v.group == group)


def said(report, group):
    """What a report says of a group's first failure."""
    return "\n".join(verdict(report, group).failure.sentences)


def of_the_reference(name):
    return EXERCISES[name].reference


# Right answers


@every_exercise
def test_reference_gets_full_marks(name):
    report = report_on(name, of_the_reference(name))
    assert report.points == report.possible == EXERCISES[name].total
    assert report.passed and not report.traps and not report.notes


@pytest.mark.parametrize(
    ("name", "answer"),
    [(n, f) for n, answers in RIGHT.items() for f in answers],
    ids=lambda x: getattr(x, "__qualname__", x).replace("<locals>.", ""),
)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1])
def test_right_answer_in_another_style_gets_full_marks(name, answer, seed):
    report = report_on(name, answer, seed=seed)
    assert report.passed, report


@every_exercise
def test_right_answers_round_by_less_than_half_of_what_is_allowed(name, monkeypatch):
    """Otherwise one draw in some thousands, somebody's hidden cases, refuses a right answer."""
    for dtype in (torch.float16, torch.bfloat16):
        monkeypatch.setitem(TOLERANCE, dtype, TOLERANCE[dtype] / 2)
    for seed in range(100, 106):
        for function in (of_the_reference(name), *RIGHT[name]):
            report = report_on(name, function, seed=seed)
            assert report.passed, report


@every_exercise
def test_every_exercise_has_answers_in_other_styles(name):
    assert len(RIGHT[name]) >= 3
    assert name in NUMPY or "contracts" not in EXERCISES[name].points


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_is_told_what_it_costs(name):
    """The gradients and the contract; where something is forbidden, all: nobody can see whether
    that is what was done with the numbers."""
    report = report_on(name, NUMPY[name])
    contract = EXERCISES[name].contract(torch.Generator(), torch.device("cpu"))
    if contract.forbidden:
        assert report.points == 0
        assert "nobody can see" in said(report, "contracts")
    else:
        assert verdict(report, "values").passed and verdict(report, "edges").passed
    assert not verdict(report, "contracts").passed
    assert "numpy" in said(report, "contracts")
    if "gradients" in EXERCISES[name].points:
        assert "no gradient reaches" in said(report, "gradients")


def test_right_answer_that_does_too_much_work_loses_the_contract_alone():
    report = report_on("attention_backward", backward_jacobian)
    assert [v.group for v in report.verdicts if not v.passed] == ["contracts"]
    assert "elements written by all operations together" in said(report, "contracts")


# Wrong answers


@every_trap
def test_trap_is_refused_and_named(name, trap):
    for function in trap.functions:
        report = report_on(name, function)
        assert not report.passed
        assert report.traps == (trap.name,), function
        assert trap.misconception in " ".join(str(report).split())


@pytest.mark.parametrize("seed", range(2))
def test_verdicts_do_not_depend_on_the_seed(seed):
    for exercise in EXERCISES.values():
        assert judge(exercise, exercise.reference, seed).passed
        for trap in exercise.traps:
            for function in trap.functions:
                assert judge(exercise, function, seed).traps == (trap.name,), function


def test_trap_names_are_unique_within_an_exercise():
    for exercise in EXERCISES.values():
        names = [t.name for t in exercise.traps]
        assert len(set(names)) == len(names)


@every_exercise
def test_every_trap_leads_to_a_heading_of_the_chapter(name):
    exercise = EXERCISES[name]
    chapter = (ROOT / "book" / f"{exercise.chapter}.md").read_text()
    headings = {slug(h) for h in re.findall(r"^#+ +(.+?)\s*$", chapter, flags=re.MULTILINE)}
    assert {slug(t.section) for t in exercise.traps} <= headings


@every_exercise
def test_constant_is_refused(name):
    answer = of_the_reference(name)(*first_arguments(name))
    report = report_on(name, lambda *args: answer)
    assert report.points == 0


def cached(key):
    """A decorator: the answer to an earlier call with the same key."""

    def decorate(function):
        answers = {}

        @functools.wraps(function)
        def remembering(*args):
            k = tuple(map(key, args))
            if k not in answers:
                answers[k] = function(*args), args  # kept, so that no address is used again
            return answers[k][0]

        return remembering

    return decorate


KEYS = {
    "shape": lambda a: (a.shape, a.dtype) if isinstance(a, Tensor) else a,
    "identity": id,
    "address": lambda a: a.data_ptr() if isinstance(a, Tensor) else a,
}


def answers_with_a_view(name):
    args = first_arguments(name)
    memory = {a.untyped_storage().data_ptr() for a in args if isinstance(a, Tensor)}
    answer = of_the_reference(name)(*args)
    return isinstance(answer, Tensor) and answer.untyped_storage().data_ptr() in memory


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", OF_TENSORS)
def test_answer_kept_from_an_earlier_call_is_refused(name, key):
    if key != "shape" and answers_with_a_view(name):
        pytest.skip("a view follows its tensor: kept with the tensor, it stays right")
    assert not report_on(name, cached(KEYS[key])(of_the_reference(name))).passed


def test_cache_by_identity_is_told_that_it_does_not_follow():
    stale = cached(id)(attention.attention_scores)
    assert "called again with new numbers" in said(report_on("attention_scores", stale), "values")


def test_answer_whose_memory_is_used_again_is_refused():
    buffers = {}

    def shared(q, k):
        out = attention.attention_scores(q, k)
        return buffers.setdefault((out.shape, out.dtype), torch.empty_like(out)).copy_(out)

    report = report_on("attention_scores", shared)
    assert "changed the tensor that the first call had returned" in said(report, "values")


@pytest.mark.parametrize(
    ("name", "function"), [(n, f) for n, functions in LIBRARY.items() for f in functions]
)
def test_library_operator_is_refused(name, function):
    report = report_on(name, function)
    assert not verdict(report, "contracts").passed
    assert "torch's own" in said(report, "contracts")


def test_multi_head_attention_of_the_library_is_refused():
    def by_multi_head(x, w_q, w_k, w_v, keep=None):
        answer = attention.self_attention(x, w_q, w_k, w_v, keep)
        rows, width = x.reshape(-1, 1, x.shape[-1]), x.shape[-1]
        eye, none = torch.eye(width, dtype=x.dtype, device=x.device), None
        if len(rows):
            F.multi_head_attention_forward(
                rows,
                rows,
                rows,
                width,
                1,
                eye.repeat(3, 1),
                none,
                none,
                none,
                False,
                0.0,
                eye,
                none,
            )
        return answer

    report = report_on("self_attention", by_multi_head)
    assert "torch's own attention" in said(report, "contracts")


def by_autograd(grad_out, q, k, v, keep=None):
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (q, k, v)]
        out = attention.scaled_dot_product_attention(*leaves, keep)
        return torch.autograd.grad(out, leaves, grad_out)


def by_backward(grad_out, q, k, v, keep=None):
    leaves = [t.detach().clone().requires_grad_() for t in (q, k, v)]
    attention.scaled_dot_product_attention(*leaves, keep).backward(grad_out)
    return tuple(t.grad for t in leaves)


def by_vjp(grad_out, q, k, v, keep=None):
    def forward(q, k, v):
        return attention.scaled_dot_product_attention(q, k, v, keep)

    return torch.func.vjp(forward, q, k, v)[1](grad_out)


def by_marking_the_inputs(grad_out, q, k, v, keep=None):
    leaves = [t.requires_grad_() for t in (q, k, v)]
    attention.scaled_dot_product_attention(*leaves, keep).backward(grad_out)
    return tuple(t.grad for t in leaves)


@pytest.mark.parametrize("function", [by_autograd, by_backward, by_vjp, by_marking_the_inputs])
def test_autograd_is_refused_where_the_backward_pass_is_to_be_written(function):
    report = report_on("attention_backward", function)
    assert report.points == 0
    assert "it lets autograd do the work" in said(report, "contracts")
    if function is not by_marking_the_inputs:  # whose grad adds up from call to call
        assert "counts once the work is your own" in verdict(report, "values").summary


def without_its_mask(q, k, v, keep=None):
    return attention.scaled_dot_product_attention(q, k, v)


def test_honest_mistake_with_a_mask_costs_no_more_than_the_masks_and_the_contract():
    report = report_on("scaled_dot_product_attention", without_its_mask)
    lost = {v.group for v in report.verdicts if not v.passed}
    assert "values" not in lost and {"edges", "contracts"} <= lost
    assert "the call whose work is counted gives a wrong answer" in said(report, "contracts")


def test_other_work_in_every_counted_call_is_no_honest_mistake():
    """It gives up the edge cases, and the contract, to keep the library's values."""

    def otherwise(q, k, v, keep=None):
        if keep is not None or q.shape[-2] == 16:
            return torch.zeros_like(q[..., :1] * v[..., :1, :])
        return F.scaled_dot_product_attention(q, k, v)

    assert report_on("scaled_dot_product_attention", otherwise).points == 0


def only_for(right_for):
    """A decorator: right if ``right_for(the first tensor's shape)``, and zeros otherwise."""

    def decorate(function):
        @functools.wraps(function)
        def partly(*args):
            out = function(*args)
            shape = next(a.shape for a in args if isinstance(a, Tensor))
            if right_for(shape):
                return out
            return torch.utils._pytree.tree_map(torch.zeros_like, out)

        return partly

    return decorate


@pytest.mark.parametrize("name", WITH_FLOATS)
@pytest.mark.parametrize(
    "right_for",
    [lambda s: len(s) == 3, lambda s: len(s) != 4, lambda s: len(s) > 2, lambda s: s[:1] == (2,)],
    ids=["one batch dimension", "at most one", "at least one", "batches of two"],
)
def test_answer_right_on_some_batch_shapes_only_is_refused(name, right_for):
    assert not report_on(name, only_for(right_for)(of_the_reference(name))).passed


@pytest.mark.parametrize("right_for", [lambda s: len(s) == 1, lambda s: s == (3,)])
def test_padding_mask_right_on_some_batch_shapes_only_is_refused(right_for):
    assert not report_on("padding_mask", only_for(right_for)(attention.padding_mask)).passed


def test_tensor_made_on_the_cpu_is_refused_without_any_gpu():
    def here(num_queries, num_keys, device=None):
        return attention.causal_mask(num_queries, num_keys)

    def mixed(q, k, v, keep=None):
        zeros = torch.zeros(q.shape[-2], k.shape[-2], dtype=q.dtype)
        weights = attention.attention_weights(q, k, keep) + zeros
        return weights @ v

    report = report_on("causal_mask", here)
    assert "on the CPU though the call asks for another device" in said(report, "types")
    report = report_on("scaled_dot_product_attention", mixed)
    assert "in your mixed, line" in said(report, "types")
    assert "attention.attention_weights(q, k, keep) + zeros" in said(report, "types")
    assert [v.group for v in report.verdicts if not v.passed] == ["types"]


# Crashes and hostile answers


def test_crash_shows_the_students_line_and_nothing_of_ours():
    def crashing(q, k):
        return q @ k  # the transposition is missing

    text = str(report_on("attention_scores", crashing))
    assert "return q @ k  # the transposition is missing" in text
    assert "RuntimeError" in text
    for ours in ("tutor", "judge.py", "candidate.py", "Traceback", "AssertionError"):
        assert ours not in text.replace("attention-workshop", "")


def test_line_shown_is_the_students_where_a_library_raises():
    def crashing(scores, dim=-1):
        return F.one_hot(scores)

    assert "return F.one_hot(scores)" in said(report_on("stable_softmax", crashing), "values")


def test_two_crashes_of_one_kind_are_not_one_misconception():
    def crashing(q, k):
        raise RuntimeError("of its own")

    assert report_on("attention_scores", crashing).traps == ()


@every_exercise
def test_unwritten_function_is_said_to_be_so(name):
    def unwritten(*args):
        raise NotImplementedError

    report = report_on(name, unwritten)
    assert report.points == 0
    assert "Not written yet" in str(report)


class Sub(Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError("never read me")


class Raising:
    def __getattribute__(self, name):
        raise RuntimeError(f"no {name}")


class RaisingTuple(tuple):
    def __iter__(self):
        raise RuntimeError("not to be iterated")


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not to be printed")


def raising(error):
    raise error


def generator_of(x):
    yield x


def leaving_settings_behind(x):
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    return x


HOSTILE = {
    "None": lambda x: None,
    "a list": lambda x: [x],
    "a tuple of one": lambda x: (x,),
    "a tuple of five": lambda x: (x, x, x, x, x),
    "an empty tuple": lambda x: (),
    "nested tuples": lambda x: ((x,), [x], x),
    "a numpy array": lambda x: np.zeros(x.shape),
    "complex numbers": lambda x: x.to(torch.complex128),
    "a subclass of Tensor": lambda x: torch.zeros(x.shape).as_subclass(Sub),
    "a sparse tensor": lambda x: x.to_sparse(),
    "a sparse CSR tensor": lambda x: torch.eye(3).to_sparse_csr(),
    "a quantized tensor": lambda x: torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8),
    "a nested tensor": lambda x: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "a meta tensor": lambda x: x.to("meta"),
    "a tensor without dimensions": lambda x: torch.tensor(1.0),
    "an empty tensor": lambda x: torch.empty(0),
    "integers": lambda x: x.long(),
    "eight-bit floats": lambda x: torch.zeros(x.shape).to(torch.float8_e4m3fn),
    "bits": lambda x: torch.zeros(x.shape, dtype=torch.uint8).view(torch.bits8),
    "a parameter": lambda x: torch.nn.Parameter(torch.zeros(x.shape)),
    "a tensor that requires a gradient": lambda x: torch.zeros(x.shape, requires_grad=True),
    "a view of 10,000,000,000 elements": lambda x: torch.zeros(1).expand(100_000, 100_000),
    "its own argument": lambda x: x,
    "an emptied argument": lambda x: x.data.resize_(0) if isinstance(x, Tensor) else x,
    "an argument of another class": lambda x: setattr(x, "__class__", Sub),
    "an object that raises": lambda x: Raising(),
    "a tuple that raises": lambda x: RaisingTuple((x,)),
    "a generator": generator_of,
    "a function": lambda x: raising,
    "a string": lambda x: "<script>alert(1)</script>",
    "nan": lambda x: torch.full(x.shape, torch.nan),
    "infinity": lambda x: torch.full(x.shape, torch.inf),
    "sys.exit": lambda x: sys.exit(0),
    "a generator's end": lambda x: raising(GeneratorExit()),
    "StopIteration": lambda x: raising(StopIteration()),
    "an exception that cannot be printed": lambda x: raising(Unprintable()),
    "endless recursion": lambda x: HOSTILE["endless recursion"](x),
    "a lost assertion": lambda x: raising(AssertionError()),
    "settings left behind": leaving_settings_behind,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", ["stable_softmax", "padding_mask", "attention_backward"])
def test_judge_never_raises_and_gives_nothing_for_hostile_answers(name, hostile):
    def function(*args):
        return HOSTILE[hostile](next((a for a in args if isinstance(a, Tensor)), torch.ones(3)))

    report = report_on(name, function)
    assert not verdict(report, "values").passed
    assert verdict(report, "types").earned == verdict(report, "contracts").earned == 0
    text = str(report)
    assert text and report._repr_html_() and json.dumps(report.to_dict())
    for never in ("Traceback", "tutor/", "judge.py"):
        assert never not in text
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hostile", ["a meta tensor", "a sparse tensor", "bits", "integers"])
def test_right_first_and_hostile_later_is_no_way_round(hostile):
    calls = []

    def turning(q, k):
        calls.append(1)
        out = attention.attention_scores(q, k)
        return out if len(calls) < 5 else HOSTILE[hostile](out)

    assert not report_on("attention_scores", turning).passed


def test_view_of_ten_thousand_million_elements_is_refused_by_its_shape():
    report = report_on("attention_scores", HOSTILE["a view of 10,000,000,000 elements"])
    assert report.points == 0
    huge = report_on("attention_scores", lambda q, k: torch.zeros(1).expand(100_000, 100_000))
    assert "of shape (2, 3, 5), got (100000, 100000)" in said(huge, "values")


@pytest.mark.parametrize("sequence", [tuple, list])
def test_tensor_in_a_sequence_is_no_tensor(sequence):
    report = report_on(
        "attention_scores", lambda q, k: sequence([attention.attention_scores(q, k)])
    )
    assert "expected a tensor, got a tuple or list of 1" in said(report, "values")


def area(width, height):
    return width * height


def areas(generator, device):
    yield Case("a rectangle", (3, 5))
    yield Case("half as wide", (1.5, 5))
    yield Case("nothing", (0, 5), "edges")


AREA = Exercise(
    reference=area,
    chapter="03_attention",
    points={"values": 2, "edges": 1, "types": 1, "contracts": 1},
    cases=areas,
    contract=lambda generator, device: Contract(((3, 5),), 0, 0, 0),
    traps=(Trap("the sum", lambda width, height: width + height, "It adds.", "Masks"),),
)


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        (area, 5),
        (lambda width, height: torch.tensor(width * height, dtype=torch.float64), 4),
        (lambda width, height: width * height + 1e-4, 0),
        (lambda width, height: 10**30, 0),
        (lambda width, height: "15", 0),
        (lambda width, height: torch.ones(2), 0),
    ],
)
def test_numbers_are_judged_as_tensors_are(answer, points):
    assert judge(AREA, answer).points == points


def test_trap_is_named_where_numbers_are_answered():
    assert judge(AREA, lambda width, height: height + width).traps == ("the sum",)


# The report


@every_exercise
def test_points_of_the_groups_sum_to_the_total(name):
    exercise = EXERCISES[name]
    report = report_on(name, exercise.traps[0].function)
    assert sum(v.possible for v in report.verdicts) == exercise.total == report.possible
    assert report.points == sum(v.earned for v in report.verdicts)
    assert [v.group for v in report.verdicts] == [g for g in GROUPS if g in exercise.points]
    assert all(v.earned in (0, v.possible) for v in report.verdicts)


@every_trap
def test_reports_are_readable_everywhere(name, trap):
    report = report_on(name, trap.function)
    bundle = report._repr_mimebundle_()
    text, page = bundle["text/plain"], bundle["text/html"]
    assert json.loads(json.dumps(bundle[MIME]))["points"] == report.points
    for never in ("Traceback", "AssertionError", "tensor(", "good job"):
        assert never not in text
    assert len(text.splitlines()) < 45
    assert slug(trap.section) in page
    assert not re.search(r"<(?!/?(div|b|span|table|tbody|tr|td|pre|a)\b)", page)


def test_html_escapes_what_the_student_wrote():
    def crashing(q, k):
        raise ValueError("<script>alert('x')</script>")

    page = report_on("attention_scores", crashing)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_same_seed_gives_the_same_report_and_another_seed_other_numbers():
    exercise = EXERCISES["scaled_dot_product_attention"]
    trap = exercise.traps[0].function
    assert str(judge(exercise, trap, 5)) == str(judge(exercise, trap, 5))
    assert str(judge(exercise, trap, 5)) != str(judge(exercise, trap, 6))


def test_report_in_the_readme_is_what_the_check_says():
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"```text\n(scaled_dot.*?)\n```", readme, flags=re.DOTALL)
    exercise = EXERCISES["scaled_dot_product_attention"]
    trap = next(t for t in exercise.traps if t.name == "the row that may read nothing")
    report = str(judge(exercise, trap.function)).splitlines()
    assert shown[1].splitlines() == [line for line in report if "https://" not in line]


class _Counted:
    """Whether the call is one that is counted, as a function can find out."""

    def __bool__(self):
        return torch.utils._python_dispatch._get_current_dispatch_mode() is not None


COUNTED = _Counted()


def _softmax_wrong_in_one_dtype(scores, dim=-1):
    if COUNTED:
        return scores * 1
    out = torch.softmax(scores, dim)
    return out * 2 if scores.dtype == torch.bfloat16 else out


def _softmax_without_gradients(scores, dim=-1):
    if not COUNTED:
        return torch.softmax(scores.detach(), dim)
    rows = scores.tolist()
    with (
        torch._C.DisableTorchFunction(),
        torch.utils._python_dispatch._disable_current_modes(),
    ):
        return torch.softmax(torch.tensor(rows, dtype=torch.float64), dim)


def _attention_wrong_in_one_dtype(q, k, v, keep=None):
    if COUNTED:
        return v * 0
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, keep)
    return out * 2 if q.dtype == torch.bfloat16 else out


def _attention_of_its_own_without_a_mask(q, k, v, keep=None):
    if keep is None:
        scores = q @ k.mT * q.shape[-1] ** -0.5
        weights = (scores - scores.amax(-1, keepdim=True)).exp()
        return weights / weights.sum(-1, keepdim=True) @ v
    if COUNTED:
        return q @ k.mT @ v
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, keep).nan_to_num()
    return out if q.requires_grad else out * 2


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("stable_softmax", _softmax_wrong_in_one_dtype),
        ("stable_softmax", _softmax_without_gradients),
        ("scaled_dot_product_attention", _attention_wrong_in_one_dtype),
        ("scaled_dot_product_attention", _attention_of_its_own_without_a_mask),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_who_fails_a_group_on_purpose_is_counted_all_the_same(name, function, seed):
    assert report_on(name, function, seed=seed).points == 0


@pytest.mark.parametrize("seed", range(40))
def test_who_has_right_gradients_and_wrong_edges_keeps_what_is_right(seed):
    """A row that may read nothing gets the average: its gradient is 0, as it should be."""

    def average_row(scores, keep=None):
        if keep is not None:
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        return scores.softmax(-1)

    report = report_on("masked_softmax", average_row, seed=seed)
    assert verdict(report, "values").passed and verdict(report, "gradients").passed
    assert not verdict(report, "edges").passed


def test_tolerances_are_stated():
    summary = verdict(report_on("attention_scores", attention.attention_scores), "values").summary
    assert "double to 1e-10, single to 1e-5" in summary


def badly_conditioned(factor: float) -> Exercise:
    """self_attention with larger rounded inputs: what a score loses by rounding, exp shows."""
    exercise = EXERCISES["self_attention"]

    def cases(generator, device):
        for case in exercise.cases(generator, device):
            x, *rest = case.args
            yield replace(case, args=(x * factor if x.dtype in ROUNDED else x, *rest))

    return replace(exercise, cases=cases)


ROUNDED = (torch.float16, torch.bfloat16)


@pytest.mark.parametrize("function", [attention.self_attention, *RIGHT["self_attention"]])
def test_rounding_that_nobody_can_help_costs_nothing(function):
    assert all(judge(badly_conditioned(3), function, seed).passed for seed in range(8))


def test_such_rounding_exceeds_the_usual_tolerance_and_hides_no_fault():
    far = 0.0
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        for case in badly_conditioned(3).cases(generator, torch.device("cpu")):
            *inputs, keep = case.args if len(case.args) == 5 else (*case.args, None)
            dtype = inputs[0].dtype
            if dtype in ROUNDED:
                rounded = attention.self_attention(*inputs, keep)
                exact = attention.self_attention(*(a.double() for a in inputs), keep)
                far = max(far, float((rounded.double() - exact).abs().max()) / TOLERANCE[dtype])
    assert far > 2

    def without_scale(x, w_q, w_k, w_v, keep=None):
        w_q = w_q * w_q.shape[-1] ** 0.5 if x.dtype in ROUNDED else w_q
        return attention.self_attention(x, w_q, w_k, w_v, keep)

    found = (judge(badly_conditioned(3), without_scale, seed) for seed in range(8))
    assert not any(verdict(report, "values").passed for report in found)


def test_inputs_that_are_overwritten_are_named():
    def overwriting(q, k, v, keep=None):
        out = attention.scaled_dot_product_attention(q, k, v, keep)
        v.data.zero_()
        return out

    report = report_on("scaled_dot_product_attention", overwriting)
    assert "v was modified" in said(report, "types")


# check(), as it is called from a notebook


def test_unknown_name_lists_the_nearest():
    def atention_scores(q, k):
        return q @ k.mT

    assert find("attention_scores").reference is attention.attention_scores
    with pytest.raises(LookupError, match="'atention_scores'; the nearest: attention_scores"):
        check(atention_scores)


@pytest.mark.parametrize("value", [torch.ones(2), 3, None, "attention_scores"])
def test_check_of_no_function_says_what_it_takes(value):
    kind = type(value).__name__
    with pytest.raises(TypeError, match=f"check takes the function itself, got a {kind}"):
        check(value)


def test_check_prints_the_report_in_a_terminal_and_returns_the_points(capsys):
    namespace = students("""
        def causal_mask(num_queries, num_keys, device=None):
            return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril()
    """)
    points = check(namespace["causal_mask"])
    assert type(points) is float
    assert points < 5
    assert "aligned to the wrong corner" in capsys.readouterr().out


@pytest.mark.parametrize(
    "source",
    [
        "from tutor.attention import causal_mask",
        """
        def causal_mask(num_queries, num_keys, device=None):
            from tutor.attention import causal_mask as theirs
            return theirs(num_queries, num_keys, device)
        """,
        """
        from tutor.attention import causal_mask as theirs
        def helper(*args):
            return theirs(*args)
        def causal_mask(num_queries, num_keys, device=None):
            return helper(num_queries, num_keys, device)
        """,
    ],
    ids=["itself", "imported inside", "through a helper"],
)
def test_function_of_the_course_itself_earns_nothing(source, capsys):
    assert check(students(source)["causal_mask"]) == 0
    assert "the course's own function" in capsys.readouterr().out


def test_own_function_that_calls_own_helpers_is_not_taken_for_the_courses(capsys):
    namespace = students("""
        def below(queries, keys, device):
            return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
        def causal_mask(num_queries, num_keys, device=None):
            return below(num_queries, num_keys, device)
    """)
    assert check(namespace["causal_mask"]) == 5
    assert "the course's own" not in capsys.readouterr().out


def students(source):
    """What a notebook's cell defines."""
    namespace = {"torch": torch, "__name__": "__main__"}
    exec(textwrap.dedent(source), namespace)
    return namespace


def test_failing_function_that_a_failing_function_calls_is_said_first(capsys):
    namespace = students("""
        def attention_scores(q, k):
            return q @ k.mT

        def helper(q, k, keep):
            weights = attention_scores(q, k).softmax(-1)
            return weights if keep is None else weights * keep

        def scaled_dot_product_attention(q, k, v, keep=None):
            return helper(q, k, keep) @ v
    """)
    check(namespace["scaled_dot_product_attention"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip().startswith("It calls your attention_scores, which earns")
    assert "mend that first" in lines[1]


def test_function_that_calls_a_right_one_is_told_nothing_of_it(capsys):
    namespace = students("""
        def attention_scores(q, k):
            return q @ k.mT * q.shape[-1] ** -0.5

        def scaled_dot_product_attention(q, k, v, keep=None):
            return attention_scores(q, k).softmax(-1) @ v
    """)
    check(namespace["scaled_dot_product_attention"])
    assert "It calls your" not in capsys.readouterr().out


class CallableObject:
    def __call__(self, *args):
        return None


def test_check_of_an_object_named_like_an_exercise_does_not_raise(capsys):
    CallableObject.__qualname__ = "attention_scores"
    assert check(CallableObject()) == 0
    assert "expected a tensor" in capsys.readouterr().out


def test_check_in_ipython_returns_the_points_and_shows_the_report():
    code = """
        from IPython.core.interactiveshell import InteractiveShell
        from IPython.utils.capture import capture_output
        shell = InteractiveShell.instance()
        shell.run_cell("from tutor.checks import check")
        shell.run_cell("def padding_mask(lengths, num_keys): return None")
        with capture_output() as shown:
            result = shell.run_cell("check(padding_mask)")
        assert type(result.result) is float and result.result == 0.0, result.result
        bundle = shown.outputs[0].data
        assert "text/html" in bundle and "text/plain" in bundle, list(bundle)
        assert any("json" in kind for kind in bundle), list(bundle)
        print("well")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert run.stdout.strip().endswith("well"), run.stderr


# Time


def seconds(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def test_check_takes_a_moment():
    times = {}
    for exercise in EXERCISES.values():
        wrong = [t.function for t in exercise.traps]
        for function in (exercise.reference, *wrong):
            call = functools.partial(judge, exercise, function)
            times[exercise.name, function.__name__] = min(seconds(call) for _ in range(3))
    assert max(times.values()) < 0.3, max(times, key=times.get)
    assert sorted(times.values())[len(times) // 2] < 0.1
