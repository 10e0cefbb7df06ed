"""The draw decides nothing: the committed table holds for what is here now."""

import pytest

from tests import seeds
from tutor import attention
from tutor.checks import EXERCISES

pytestmark = pytest.mark.long

FEW = (seeds.PUBLIC_SEED, 1, 2)


def test_table_has_every_exercise_and_no_verdict_that_differs():
    there = seeds.committed()
    assert set(there) == set(EXERCISES)
    assert {cells[-2] for cells in there.values()} == {"0"}
    whole = all(int(cells[3]) == len(seeds.SEEDS) for cells in there.values())
    assert whole or seeds.SO_FAR in seeds.RESULT.read_text("utf-8")
    for name, cells in there.items():
        answers = [kind for kind, _ in seeds.known(name).values()]
        assert cells[:3] == [str(answers.count(kind)) for kind in ("right", "traps", "wrong")], name


@pytest.mark.parametrize("name", seeds.stale())
def test_what_has_changed_since_holds_for_a_few_seeds(name):
    assert not seeds.put_through(name, FEW).differ


def test_verdict_that_hangs_on_the_draw_is_found(monkeypatch):
    def wrong_for_nine(num_queries, num_keys, device=None):
        mask = attention.causal_mask(num_queries, num_keys, device)
        return ~mask if num_queries == 9 else mask

    monkeypatch.setitem(seeds.answers.WRONG, "causal_mask", [wrong_for_nine])
    name = next(n for n in seeds.known("causal_mask") if n.startswith("wrong"))
    assert "wrong_for_nine" in seeds.through_all(("causal_mask", name, tuple(range(40))))
