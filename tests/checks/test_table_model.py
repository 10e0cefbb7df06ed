"""The model that a decoder asks in a check: what it answers, and that it is a value like others."""

import pytest
import torch
from reporting import report_on, said
from torch.utils._pytree import tree_leaves, tree_map

from tutor import transformer
from tutor.checks.candidate import LocalCandidate
from tutor.checks.exercise import Case
from tutor.checks.properties import broken_by
from tutor.checks.sequences import flat, in_parts
from tutor.checks.table_model import TableModel
from tutor.checks.trace import copied
from tutor.checks.transformer.beam_search import BEAM_SEARCH
from tutor.checks.transformer.greedy_decode import GREEDY_DECODE
from tutor.checks.transformer.writing import asked_flops

CPU = torch.device("cpu")
ROWS, SYMBOLS, N = 2, 5, 3


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(1)
    tables = torch.randn(ROWS, SYMBOLS, SYMBOLS, generator=generator, dtype=torch.float64)
    readout = torch.randn(SYMBOLS, SYMBOLS, generator=generator, dtype=torch.float64)
    return TableModel(tables, readout, 0.5)


def test_scores_hang_on_the_row_and_on_all_that_is_written(model):
    written, rows = torch.tensor([[0, 3, 1], [4, 3, 1], [0, 3, 1]]), torch.tensor([1, 1, 0])
    turned = model.readout @ model.readout
    expected = [
        sum(0.5**age * model.tables[r, s] for age, s in enumerate(reversed(w.tolist()))) @ turned
        for r, w in zip(rows, written, strict=True)
    ]
    torch.testing.assert_close(model(written, rows), torch.stack(expected), rtol=0, atol=1e-12)


def test_without_memory_the_latest_symbol_decides(model):
    forgetful = TableModel(model.tables, model.readout)
    written, rows = torch.tensor([[0, 3], [4, 3]]), torch.tensor([1, 1])
    assert torch.equal(*forgetful(written, rows))
    assert not torch.equal(*model(written, rows))


def test_what_is_no_beginning_is_refused_by_a_model(model):
    rows = torch.zeros(N, dtype=torch.long)
    model(torch.zeros(N, 1, dtype=torch.long), rows)
    for shape in ((N,), (N, 0), (N + 1, 2), (N, 2, 1)):
        with pytest.raises(ValueError, match=r"next_logits takes written \(N, T\)"):
            model(torch.zeros(shape, dtype=torch.long), rows)


def test_each_call_costs_something_for_itself_and_something_for_each_beginning(model):
    for n in (1, N):
        written, rows = torch.zeros(n, 4, dtype=torch.long), torch.zeros(n, dtype=torch.long)
        response = LocalCandidate(lambda m, *asked: m(*asked)).run(
            (model, written, rows), None, True
        )
        assert response.cost.flops == asked_flops(model, n) > 0
        assert response.cost.outside is None and response.cost.uncountable is None


def test_its_tensors_are_the_cases_and_are_copied_and_moved_with_it(model):
    case = Case("one", (model, torch.tensor([1, 2]), 3))
    tables, readout, start, end = case.values()
    assert tables is model.tables and readout is model.readout and end == 3
    other = copied(case).args[0]
    assert torch.equal(other.tables, tables) and other.tables is not tables
    meta = case.mapped(lambda v: v.to("meta") if isinstance(v, torch.Tensor) else v).args[0]
    assert {t.device.type for t in flat((meta,))} == {"meta"}
    assert meta(start[:, None].to("meta"), start.to("meta")).shape == (2, SYMBOLS)
    doubled = in_parts([model], lambda t: 2 * t)
    assert torch.equal(doubled[0].tables, 2 * tables)
    leaves = tree_leaves((model, 3))
    assert leaves[0] is tables and leaves[1] is readout
    assert torch.equal(tree_map(lambda t: 2 * t, model).readout, 2 * readout)


def test_a_model_that_is_written_into_is_told(model):
    def vandal(next_logits, start, end, longest):
        answer = transformer.greedy_decode(next_logits, start, end, longest)
        next_logits.tables.add_(1)
        return answer

    assert "next_logits was modified" in said(report_on("greedy_decode", vandal), "types")


def test_who_asks_with_something_else_than_beginnings_is_told_what_is_asked():
    def latest(next_logits, start, end, longest):
        return next_logits(start, torch.arange(len(start))).argmax(-1)[:, None]

    assert "next_logits takes written (N, T)" in said(report_on("greedy_decode", latest), "values")
    shown = str(report_on("greedy_decode", latest))
    assert "next_logits: a model of 7 symbols" in shown and "line" in shown


def ask(exercise, function, label):
    prop = next(p for p in exercise.properties if p.label == label)
    generator = torch.Generator().manual_seed(3)
    return broken_by(exercise, LocalCandidate(function), prop, generator, CPU)


def test_what_holds_between_answers_of_several_tensors_is_asked_too():
    for prop in BEAM_SEARCH.properties:
        assert ask(BEAM_SEARCH, transformer.beam_search, prop.label) is None
    assert ask(GREEDY_DECODE, transformer.greedy_decode, "alone as in a batch") is None

    def unpenalised(*args):
        written, scores = transformer.beam_search(*args)
        return written, 2 * scores

    found = ask(BEAM_SEARCH, unpenalised, "each score is its sentence's")
    assert found.startswith("the score of a sentence is")

    def written_alone(*args):
        return transformer.beam_search(*args)[0]

    found = ask(BEAM_SEARCH, written_alone, "a beam of one is greedy")
    assert found.startswith("it returned")

    def raising(*args):
        raise RuntimeError("of its own")

    assert ask(BEAM_SEARCH, raising, "a beam of one is greedy") == "it raised RuntimeError"


def test_a_narrow_beam_misses_the_best_of_all():
    def greedy(next_logits, start, end, longest, beam_size=4, alpha=0.6):
        written, scores = transformer.beam_search(next_logits, start, end, longest, 1, alpha)
        return (
            written.expand(-1, beam_size, -1),
            scores.expand(-1, beam_size),
        )

    seeds, label = range(20), "a wide beam finds the best of all"
    prop = next(p for p in BEAM_SEARCH.properties if p.label == label)
    found = [
        broken_by(BEAM_SEARCH, LocalCandidate(greedy), prop, torch.Generator().manual_seed(s), CPU)
        for s in seeds
    ]
    assert any(found)
