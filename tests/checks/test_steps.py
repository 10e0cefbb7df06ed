"""Steps are those of the call that is counted, and of nothing that runs meanwhile."""

import gc
import weakref

from tutor.checks.steps import stepped


class Node:
    """With itself as its neighbour it stays until the collector comes."""


def work() -> int:
    kept = [[i] for i in range(5000)]  # enough of them that the collector comes
    return len(kept)


def test_what_is_collected_meanwhile_adds_no_steps():
    with stepped() as alone:
        work()
    for _ in range(300):
        node = Node()
        node.next = node
        weakref.finalize(node, lambda: None)
    with stepped() as beside:
        work()
    assert beside.steps == alone.steps
    assert gc.isenabled()


def test_who_has_stopped_the_collector_keeps_it_stopped():
    gc.disable()
    try:
        with stepped():
            work()
        assert not gc.isenabled()
    finally:
        gc.enable()
