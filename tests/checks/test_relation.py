"""What a check says of a wrong answer that no known misconception gives."""

import pytest
import torch
from torch import Tensor

from tutor import alignment, attention, multihead, recurrence
from tutor.checks import EXERCISES, judge
from tutor.checks.relation import relation


def sentences(name, wrong):
    report = judge(EXERCISES[name], wrong)
    assert not report.traps, "a misconception has this answer: it is said instead"
    failure = next(v.failure for v in report.verdicts if v.failure)
    return failure.sentences


def of_scores(change):
    return lambda q, k: change(attention.attention_scores(q, k))


@pytest.mark.parametrize(
    ("name", "wrong", "sentence"),
    [
        (
            "general_scores",
            lambda *args: -alignment.general_scores(*args),
            "out is what was expected with the other sign everywhere",
        ),
        (
            "attention_scores",
            of_scores(lambda s: 3 * s),
            "out is 3 times what was expected, everywhere",
        ),
        (
            "general_scores",
            lambda x, memory, w: alignment.general_scores(x, memory, w) * x.shape[-1] ** 0.5,
            "out is 2.646 times what was expected, everywhere: √Cx",
        ),
        (
            "attention_scores",
            lambda q, k: attention.attention_scores(q, k) / q.shape[-2],
            "out is 0.3333 times what was expected, everywhere: 1/Tq",
        ),
        ("attention_scores", of_scores(torch.zeros_like), "out is 0 everywhere"),
        (
            "attention_scores",
            of_scores(lambda s: s.softmax(-1)),
            "out is the softmax of what was expected: one softmax too many",
        ),
        (
            "stable_softmax",
            lambda scores, dim=-1: attention.stable_softmax(scores, dim).log(),
            "out is the logarithm of what was expected",
        ),
        (
            "gradient_norm_by_lag",
            lambda j: recurrence.gradient_norm_by_lag(j).sqrt(),
            "out is the root of what was expected",
        ),
        (
            "self_attention",
            lambda *args: attention.self_attention(*args).mT,
            "out has the right numbers with dimensions 1 and 2 swapped",
        ),
        (
            "rnn_step",
            lambda *args: recurrence.rnn_step(*args).flip(-1),
            "out has the right numbers in reverse along dimension 1",
        ),
        (
            "lstm_step",
            lambda x, h, *rest: (
                recurrence.lstm_step(x, h, *rest)[0] + h,
                recurrence.lstm_step(x, h, *rest)[1],
            ),
            "new_h is what was expected plus h",
        ),
        (
            "last_hidden",
            lambda states, lengths: recurrence.last_hidden(states, lengths)[:, None],
            "out has the right numbers and a dimension of 1 too many",
        ),
        (
            "attend",
            lambda scores, memory, keep=None: (
                memory,
                alignment.attend(scores, memory, keep)[1],
            ),
            "read is memory as it came in",
        ),
        (
            "attention_backward",
            lambda *args: attention.attention_backward(*args)[0],
            "what you return is grad_q, and right: return grad_k and grad_v with it",
        ),
        (
            "merge_heads",
            lambda heads: (heads, multihead.merge_heads(heads)),
            "right in number 2 of what you return: return nothing else",
        ),
    ],
)
def test_relation_to_the_right_answer_is_said(name, wrong, sentence):
    assert sentences(name, wrong)[-1] == sentence


def test_nothing_is_said_of_an_answer_that_is_nothing_of_the_kind():
    def wrong(q, k):
        return attention.attention_scores(q, k).sin()

    assert all(s.startswith(("expected", "30 of 30")) for s in sentences("attention_scores", wrong))


def test_relation_must_hold_on_half_of_the_failing_cases():
    def wrong(q, k):
        scores = attention.attention_scores(q, k)
        return -scores if q.shape[0] == 2 and q.dtype == torch.float32 else scores.cos()

    assert not any("other sign" in s for s in sentences("attention_scores", wrong))


def test_misconception_is_said_and_no_relation():
    def doubled(q, k):  # a multiple of the right scores, and known
        return q @ k.mT

    report = judge(EXERCISES["attention_scores"], doubled)
    assert report.traps == ("no scale",)
    assert "times what was expected" not in str(report)


def same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.double(), b.double())


A, M = torch.arange(6.0).reshape(2, 3) + 1, torch.tensor([[True, False], [True, True]])


@pytest.mark.parametrize(
    ("names", "expected", "got", "sentence"),
    [
        (("out",), (M,), ~M, "out has True and False swapped"),
        (("out",), (A[None],), A, "out has the right numbers and a dimension of 1 too few"),
        (("out",), (A,), A.square(), "out is the square of what was expected"),
        (
            ("out",),
            (A[None, ..., None].expand(1, 2, 3, 4),),
            A[None, ..., None].expand(1, 2, 3, 4).permute(3, 0, 1, 2),
            "out has the right numbers with its dimensions in the order (3, 0, 1, 2)",
        ),
        (("a", "b"), (A, M), (M, A), "right, but returned as (b, a) and not as (a, b)"),
        (
            ("a", "b"),
            (A, A + 1),
            (A, -A - 1),
            "b is what was expected with the other sign everywhere",
        ),
        (("a", "b"), (A, M), "nothing", None),
        (("out",), (A,), A * (1 + 2**-20), None),  # a rounding error is no factor
        (("out",), (A,), A * 1.25, "out is 1.25 times what was expected, everywhere"),
        (("out",), (A,), (A,), None),  # a comma too many, which is said elsewhere
        (("out",), (A,), (M,), None),
        (("out",), (A,), A.to(torch.complex64), None),
        (("out",), (A,), torch.full_like(A, torch.nan), None),
        (("out",), (-A,), torch.full_like(A, torch.nan), None),  # the logarithm of nothing
        (("out",), (torch.tensor([1, 4, 9]),), torch.tensor([1, 2, 3]), None),  # by chance
        (("out",), (A[:0],), A, None),
        (
            ("out",),
            (torch.tensor(1.0),),
            torch.tensor(2.0),
            None,
        ),  # of one number, all is a multiple
    ],
)
def test_relations_by_themselves(names, expected, got, sentence):
    found = relation(names, expected, got, {}, same)
    assert (found and found.sentence) == sentence


def test_endless_tuple_is_not_looked_through():
    compared = []

    def counting(a: Tensor, b: Tensor) -> bool:
        compared.append(1)
        return same(a, b)

    assert relation(("out",), (A,), (A,) * 100_000, {}, counting) is None
    assert not compared


def test_only_what_has_the_right_size_is_compared():
    vast = torch.zeros(1).expand(10**10)
    assert relation(("out",), (A,), vast, {"x": A}, same) is None
