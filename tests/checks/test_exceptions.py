"""What an exception of torch's means, in the sizes of the exercise."""

import pytest
import torch
from reporting import report_on

from tests.course_with_state import RUNNING_SOFTMAX
from tests.course_with_state.reference import RunningSoftmax
from tutor.checks import judge
from tutor.checks.changes import unflattened


def attention(weights):
    """An answer to scaled_dot_product_attention with these weights."""
    return lambda q, k, v, keep=None: weights(q, k, v, keep) @ v


def four(q, k):
    batch, heads, time, width = q.shape
    return q.new_zeros(batch, heads, time, width)


@pytest.mark.parametrize(
    ("name", "wrong", "sentence"),
    [
        (
            "scaled_dot_product_attention",
            attention(lambda q, k, v, keep: k @ q),
            "the last dimension of the left one, 7 (D), must equal the last but one of the right "
            "one, 3 (Tq)",
        ),
        (
            "attention_scores",
            lambda q, k: q[0] @ k[0],
            "the last dimension of the left one, 7 (D), must equal the last but one of the right "
            "one, 5 (Tk)",
        ),
        ("attention_scores", lambda q, k: q @ k[:1].expand(3, -1, -1).mT, "different batches, 2"),
        ("attention_scores", lambda q, k: q + k, "sizes 3 (Tq) and 5 (Tk) stand in the same place"),
        (
            "scaled_dot_product_attention",
            attention(lambda q, k, v, keep: (q @ k.mT).softmax(3)),
            "count dimensions from the end",
        ),
        ("attention_scores", lambda q, k: torch.einsum("id,jd->ij", q, k), "from the end"),
        ("attention_scores", lambda q, k: torch.mm(q, k), "from the end"),
        ("attention_scores", four, "from the end"),
        ("attention_scores", lambda q, k: k.mT.view(-1, 5), "reshape copies where it must"),
        ("attention_scores", lambda q, k: q.view(4, 5), "do not multiply to the 42 numbers"),
        ("split_heads", lambda x, n: x.unflatten(-1, (n, 5)), "do not multiply to 28 (C)"),
        (
            "attention_scores",
            lambda q, k: q.half().masked_fill(q > 0, -1e9),
            "half precision ends at 65,504",
        ),
        ("attention_scores", lambda q, k: q @ k.mT.float(), "make new tensors with the dtype"),
        ("attention_scores", lambda q, k: q[[False] * 4], "there are 4 of them, and 2 entries"),
        ("attention_scores", lambda q, k: q[:, 3], "there is no number 3"),
        ("attention_scores", lambda q, k: q if q > 0 else k, "if asks for one answer"),
        ("attention_scores", lambda q, k: 1 - (q > 0), "turned round with ~keep"),
        ("attention_scores", lambda q, k: ~q, "a mask must hold True and False"),
        (
            "scaled_dot_product_attention",
            attention(lambda q, k, v, keep: ~keep),
            "ask `is not None` first",
        ),
        ("attention_scores", lambda q, k: torch.stack((q, k)), "stack makes a new dimension"),
        ("attention_scores", lambda q, k: q @ k.mT / torch.sqrt(7), "for numbers there is math"),
        (
            "stable_softmax",
            lambda scores, dim=-1: scores.sort(-1, descending=True, stable=True).values,
            "torch's sort is given its arguments by name, the dimension with them: dim=-1",
        ),
        (
            "stable_softmax",
            lambda scores, dim=-1: scores.sort(scores).values,
            "torch's sort is given (Tensor) and takes other arguments",
        ),
        (
            "stable_softmax",
            lambda scores, dim=-1: scores.sort(keepdim=True).values,
            "torch's sort is given (keepdim=bool) and takes other arguments",
        ),
    ],
)
def test_exception_is_explained(name, wrong, sentence):
    assert sentence in " ".join(str(report_on(name, wrong)).split())


def in_place(q, k):
    q *= q.shape[-1] ** -0.5
    scores = (q @ k.mT).exp()
    scores += 1
    return scores.log()


def test_what_the_backward_pass_raises_is_explained():
    assert "x += 1 and methods that end in _ write" in " ".join(
        str(report_on("attention_scores", in_place)).split()
    )


def test_argument_without_its_default_is_explained():
    def wrong(num_queries, num_keys, device):
        return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(
            num_keys - num_queries
        )

    assert "device may be left out" in str(report_on("causal_mask", wrong))


def test_exception_of_the_students_own_is_left_as_it_is():
    def wrong(q, k):
        raise RuntimeError("not so")

    report = report_on("attention_scores", wrong)
    assert [len(v.failure.sentences) for v in report.verdicts if v.group == "values"] == [2]


def test_message_that_goes_on_for_ever_is_no_trouble():
    def wrong(q, k):
        raise RuntimeError("shapes cannot be multiplied (1x" + "9" * 10**6 + " and 1x")

    assert "matrix product" not in str(report_on("attention_scores", wrong))


def test_method_of_a_class_is_explained_too():
    class Wrong(RunningSoftmax):
        def update(self, *args):
            return torch.ones(2, 3) @ torch.ones(2, 3)

    assert "in a matrix product" in str(judge(RUNNING_SOFTMAX, Wrong))


@pytest.mark.parametrize("dim", [0, -1, 1])
@pytest.mark.parametrize("sizes", [(3, -1), (-1, 3), (2, 3), (2, -1), (-1, 2), (1, 4), (-1, 1)])
def test_unflattened_gives_and_says_what_torch_does(dim, sizes):
    told = []
    for cut in (unflattened, torch.Tensor.unflatten):
        try:
            told.append(cut(torch.arange(20.0).view(5, 4).mT, dim, sizes).tolist())
        except RuntimeError as error:
            told.append(str(error))
    assert told[0] == told[1]


def test_what_stops_the_counted_call_alone_is_explained_there():
    longest = 15

    def of_a_table(q, k):
        ones = q.new_ones(longest, 1)[: q.shape[-2]]
        return (q * ones) @ k.mT / q.shape[-1] ** 0.5

    report = report_on("attention_scores", of_a_table)
    failed = {v.group: v.failure for v in report.verdicts if v.failure}
    assert list(failed) == ["contracts"]
    said = " ".join(failed["contracts"].sentences)
    assert f"and {longest} stand in the same place" in said, said
