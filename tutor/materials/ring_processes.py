"""Several real processes in a ring, started and ended here: what chapter 12 measures and tests.

Each is a Python of its own with one thread, and they talk over ``torch.distributed`` (gloo) on this
machine alone. What goes in and comes out are files in a folder that is deleted afterwards.
"""

import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from tutor.long_context import Ring, RingAttention, ring_attention

__all__ = ["attend", "by_rank", "own_class", "run_ring"]

Task = Callable[..., dict[str, Any]]
"""``task(ring, **inputs)`` in each process; the numbers that it gives are collected by rank."""


def run_ring(
    task: Task,
    inputs: list[dict[str, Any]],
    patience: float = 60.0,
    silence: float = 30.0,
    started: Callable[[list[int]], None] | None = None,
    method: str = "forkserver",
) -> list[dict[str, Any]]:
    """What ``task`` gives in each of ``len(inputs)`` processes, rank by rank.

    ``started`` is called once, with the processes' ids, when all have met. RuntimeError, which
    names the rank, as soon as one has ended without an answer: the others are ended then, too. A
    neighbour may be silent for ``silence`` seconds, all together may take ``patience``.
    """
    context = multiprocessing.get_context(method)
    if method == "forkserver":  # which imports torch once, and has never run a backward pass
        context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory(prefix="ring-") as name:
        folder, ranks = Path(name), len(inputs)
        for rank, given in enumerate(inputs):
            torch.save(given, folder / f"in-{rank}")
        about = [(task, rank, ranks, name, silence) for rank in range(ranks)]
        processes = [context.Process(target=_work, args=a, daemon=True) for a in about]
        try:
            for process in processes:
                process.start()
            _wait_for(processes, folder, patience, started)
        finally:
            for process in processes:
                if process.pid is not None:
                    process.kill()
                    process.join()
        return [torch.load(folder / f"out-{rank}") for rank in range(ranks)]


def _wait_for(
    processes: list[Any],
    folder: Path,
    patience: float,
    started: Callable[[list[int]], None] | None,
) -> None:
    end = time.monotonic() + patience
    left = dict(enumerate(processes))
    while left:
        seconds = end - time.monotonic() if started is None else 0.05
        ready = wait([p.sentinel for p in left.values()], timeout=max(0.0, seconds))
        if started is not None and all((folder / f"met-{rank}").exists() for rank in left):
            started([process.pid for process in processes])
            started = None
        if not ready and time.monotonic() >= end:
            raise RuntimeError(f"ranks {sorted(left)} have not ended after {patience:g} seconds")
        ended = [rank for rank, p in left.items() if p.sentinel in ready]
        # Who was ended from outside is the cause; those that miss him only say so.
        ended.sort(key=lambda rank: (folder / f"error-{rank}").exists())
        for rank in ended:
            process = left.pop(rank)
            process.join()
            if process.exitcode or not (folder / f"out-{rank}").exists():
                error = folder / f"error-{rank}"
                said = error.read_text("utf-8") if error.exists() else "it said nothing"
                raise RuntimeError(
                    f"rank {rank} of {len(processes)} has ended with exit code "
                    f"{process.exitcode}: {said}"
                )


def _work(task: Task, rank: int, ranks: int, name: str, silence: float) -> None:
    """The life of one process."""
    folder = Path(name)
    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder / 'meeting'}",
            rank=rank,
            world_size=ranks,
            timeout=timedelta(seconds=silence),
        )
        (folder / f"met-{rank}").touch()
        found = task(Ring(), **torch.load(folder / f"in-{rank}"))
        torch.save(found, folder / f"out-{rank}.part")
        (folder / f"out-{rank}.part").rename(folder / f"out-{rank}")
        distributed.barrier()
        distributed.destroy_process_group()
    except BaseException as error:
        text = str(error) or traceback.format_exc()
        (folder / f"error-{rank}.part").write_text(f"{type(error).__name__}: {text}", "utf-8")
        (folder / f"error-{rank}.part").rename(folder / f"error-{rank}")
        os._exit(1)  # gloo may hang in its farewell where a neighbour is gone


def by_rank(ranks: int, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Each tensor (..., T, width) cut along time into so many equal parts."""
    parts = [[p.clone() for p in t.chunk(ranks, dim=-2)] for t in tensors]
    return list(zip(*parts, strict=True))


def attend(
    ring: Ring, q: Tensor, k: Tensor, v: Tensor, causal: bool, grad: Tensor | None = None
) -> dict[str, Any]:
    """A task: ``ring_attention``, with gradients if one of the answer is given, and bytes sent."""
    leaves = [t.requires_grad_(grad is not None) for t in (q, k, v)]
    out = ring_attention(*leaves, ring, causal)
    found = {"out": out.detach(), "sent": ring.sent}
    if grad is not None:
        out.backward(grad)
        found |= {"grads": [t.grad for t in leaves], "sent": ring.sent}
    return found


def own_class(cls: type) -> Task:
    """A task: the forward pass by a class that is written as ``RingAttention`` is.

    For ``method="fork"``, since a class of a notebook is in no file that others could read.
    """

    def task(ring: Ring, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> dict[str, Any]:
        with torch.no_grad():
            mine: RingAttention = cls(q, k, v, ring.rank, ring.ranks, causal)
            for _ in range(ring.ranks - 1):
                mine.receive(*ring.exchange(*mine.outgoing()))
            return {"out": mine.result(), "sent": ring.sent}

    return task
