"""The judge: right answers pass in any style, wrong ones fail, whatever they are."""

import functools
from dataclasses import replace

import pytest
import torch
from answers import NUMPY, RIGHT
from reporting import (
    NAMES,
    every_exercise,
    first_arguments,
    of_the_reference,
    report_on,
    said,
)
from torch import Tensor

from tutor import attention
from tutor.checks import EXERCISES, PUBLIC_SEED, judge, of_chapter
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.response import plain
from tutor.checks.sequences import Listed

OF_TENSORS = [n for n in NAMES if any(isinstance(a, Tensor) for a in first_arguments(n))]
OF_LISTS = [
    n
    for n in NAMES
    if any(isinstance(a, list | dict) for a in first_arguments(n)) and n not in OF_TENSORS
]
# Of chapter 3, whose floating-point inputs have any number of batch dimensions.
WITH_FLOATS = [n for n in of_chapter("03_attention") if "mask" not in n]


# Right answers


@every_exercise
def test_reference_gets_full_marks(name):
    report = report_on(name, of_the_reference(name))
    assert report.points == report.possible == EXERCISES[name].total
    assert report.passed and not report.traps and not report.notes


@pytest.mark.by_content
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
def test_every_exercise_has_answers_in_other_styles(name):
    assert len(RIGHT[name]) >= 3
    of_tensors = any(isinstance(a, Tensor) for a in first_arguments(name))
    listed = isinstance(plain(of_the_reference(name)(*first_arguments(name))), Listed)
    exercise = EXERCISES[name]
    assert (
        name in NUMPY
        or "contracts" not in exercise.points
        or exercise.is_class  # what it keeps is asked for as tensors
        or (listed and not of_tensors)
    )


# Wrong answers


@pytest.mark.by_content
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


@pytest.mark.by_content
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", OF_TENSORS)
def test_answer_kept_from_an_earlier_call_is_refused(name, key):
    if key != "shape" and answers_with_a_view(name):
        pytest.skip("a view follows its tensor: kept with the tensor, it stays right")
    assert not report_on(name, cached(KEYS[key])(of_the_reference(name))).passed


def test_cache_by_identity_is_told_that_it_does_not_follow():
    stale = cached(id)(attention.attention_scores)
    assert "called again with new numbers" in said(report_on("attention_scores", stale), "values")


@pytest.mark.by_content
@pytest.mark.parametrize("name", OF_LISTS)
def test_answer_kept_for_a_list_or_mapping_is_refused(name):
    stale = cached(lambda a: id(a) if isinstance(a, list | dict) else a)
    sentence = said(report_on(name, stale(of_the_reference(name))), "values")
    assert "called again with other contents in the same list or dict" in sentence


def test_answer_whose_memory_is_used_again_is_refused():
    buffers = {}

    def shared(q, k):
        out = attention.attention_scores(q, k)
        return buffers.setdefault((out.shape, out.dtype), torch.empty_like(out)).copy_(out)

    report = report_on("attention_scores", shared)
    assert "changed the tensor that the first call had returned" in said(report, "values")


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


@pytest.mark.by_content
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
    assert "zeros = torch.zeros(q.shape[-2], k.shape[-2], dtype=q.dtype)" in said(report, "types")
    assert [v.group for v in report.verdicts if not v.passed] == ["types"]


def test_answer_on_the_cpu_ends_no_check_whose_reference_reads_numbers():
    def ends_at_once(next_logits, start, end, longest):
        return torch.full((len(start), 1), end)

    assert report_on("greedy_decode", ends_at_once).points == 0


def _row_by_row(lengths, num_keys, device):
    keep = torch.zeros(*lengths.shape, 1, num_keys, dtype=torch.bool, device=device)
    for row, n in zip(keep.view(-1, num_keys), lengths.flatten(), strict=True):
        row[:n] = True
    return keep


def _number_by_number(lengths, num_keys, device):
    rows = [[i < int(n) for i in range(num_keys)] for n in lengths.flatten()]
    keep = torch.tensor(rows, dtype=torch.bool, device=device)
    return keep.reshape(*lengths.shape, 1, num_keys)


MASKS = {
    "lengths brought to the CPU": lambda lengths, num_keys, device: attention.padding_mask(
        lengths.cpu(), num_keys
    ).to(device),
    "a list": lambda lengths, num_keys, device: torch.tensor(
        [[n > i for i in range(num_keys)] for n in lengths.flatten().tolist()], device=device
    ).reshape(*lengths.shape, 1, num_keys),
    "row by row": _row_by_row,
    "number by number": _number_by_number,
}


@pytest.mark.parametrize("made", MASKS)
def test_mask_made_on_the_cpu_or_of_numbers_belongs_to_the_inputs_device(made):
    def types(device):
        def padding_mask(lengths, num_keys):
            return MASKS[made](lengths, num_keys, device or lengths.device)

        report = report_on("padding_mask", padding_mask)
        return next(v for v in report.verdicts if v.group == "types")

    assert types(None).passed
    assert "the answer is on the CPU" in types("cpu").failure.sentences[0]


@pytest.mark.parametrize(
    "hidden",
    [
        lambda scores, keep: scores.masked_fill_(~keep, -1e30),
        lambda scores, keep: scores.masked_scatter(~keep, torch.full_like(scores, -1e30)),
        lambda scores, keep: torch.gather(scores, -1, (~keep).long().expand(scores.shape)),
    ],
)
def test_mask_on_the_cpu_meets_no_scores_where_torch_itself_does_not_look(hidden):
    """On the meta device these take what a GPU refuses."""

    def attend(q, k, v, keep=None):
        keep = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool)
        return hidden(q @ k.mT, keep).softmax(-1) @ v

    report = report_on("scaled_dot_product_attention", attend)
    assert "a tensor made on the CPU meets inputs" in said(report, "types")
    assert "keep = torch.ones(" in said(report, "types")


def test_gpu_that_has_ended_for_the_process_is_told_and_does_not_raise():
    """Any call to CUDA raises after an index out of range: making the cases, comparing, all."""

    def cases(generator, device):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    exercise = replace(EXERCISES["causal_mask"], cases=cases)
    report = judge(exercise, exercise.reference)
    assert (report.points, report.possible) == (0, 5)
    assert "the GPU no longer answers this process" in str(report)
    assert "restart of the kernel" in str(report)


def test_loop_that_waits_for_a_number_of_another_device_ends():
    def padding_mask(lengths, num_keys):
        while lengths.is_meta and bool((lengths > 0).any()):
            pass
        return attention.padding_mask(lengths, num_keys)

    assert report_on("padding_mask", padding_mask).points == 5


def test_place_of_a_tensor_on_the_cpu_is_where_it_was_made_and_not_where_it_meets_others():
    def norms(jacobians):
        eye = torch.eye(jacobians.shape[-1], dtype=jacobians.dtype)
        first = eye.expand(*jacobians.shape[:-3], -1, -1)
        products = [first, *jacobians.flip(-3).unbind(-3)]
        for n in range(2, len(products)):
            products[n] = products[n - 1] @ products[n]
        return torch.stack(products, -3).flatten(-2).norm(dim=-1)

    report = report_on("gradient_norm_by_lag", norms)
    assert [v.group for v in report.verdicts if not v.passed] == ["types"]
    assert "line" in said(report, "types") and "torch.eye(" in said(report, "types")


def crashing_with(what):
    """Right, but for an exception where ``what(its arguments)`` holds."""

    def attention_scores(q, k):
        if what(q, k):
            raise IndexError("index 1 is out of bounds")
        return attention.attention_scores(q, k)

    return attention_scores


def test_crash_in_an_edge_case_costs_the_edge_cases_alone():
    report = report_on("attention_scores", crashing_with(lambda q, k: q.shape[-2] == 1))
    assert [v.group for v in report.verdicts if not v.passed] == ["edges"]


def test_crash_of_the_gradients_alone_costs_them_in_edge_cases_too():
    def only_one(q, k):
        return q.shape[-2] == 1 and q.requires_grad

    report = report_on("attention_scores", crashing_with(only_one))
    assert [v.group for v in report.verdicts if not v.passed] == ["gradients"]


def test_crash_in_other_cases_costs_the_gradients_too():
    report = report_on("attention_scores", crashing_with(lambda q, k: q.ndim == 2))
    assert {"values", "gradients"} <= {v.group for v in report.verdicts if not v.passed}


@every_exercise
def test_unwritten_function_is_said_to_be_so(name):
    def unwritten(*args, **kwargs):
        raise NotImplementedError

    report = report_on(name, unwritten)
    assert report.points == 0
    assert "Not written yet" in str(report)


def test_inputs_that_are_overwritten_are_named():
    def overwriting(q, k, v, keep=None):
        out = attention.scaled_dot_product_attention(q, k, v, keep)
        v.data.zero_()
        return out

    report = report_on("scaled_dot_product_attention", overwriting)
    assert "v was modified" in said(report, "types")


def test_same_seed_gives_the_same_report_and_another_seed_other_numbers():
    exercise = EXERCISES["scaled_dot_product_attention"]
    trap = exercise.traps[0].function
    assert str(judge(exercise, trap, 5)) == str(judge(exercise, trap, 5))
    assert str(judge(exercise, trap, 5)) != str(judge(exercise, trap, 6))


# Numbers


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
