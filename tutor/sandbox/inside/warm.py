"""Uses what the zygote has imported, before it forks: the first use costs more than the import."""

import socket
import threading
from typing import Any

import torch

from tutor.checks.candidate import LocalCandidate
from tutor.checks.cost import Cost, called
from tutor.sandbox import wire
from tutor.sandbox.inside.counted import Reading
from tutor.sandbox.inside.counter import Counting
from tutor.sandbox.inside.proxy import LARGEST_MESSAGE, Forwarding


def warm(shell: Any, device: str) -> None:
    """Use what was imported: the first use costs more than the import."""
    x = torch.arange(24.0, dtype=torch.float64).reshape(2, 3, 4)
    local = LocalCandidate(_a_bit_of_everything)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        # The first backward pass asks CUDA for its devices, and what is forked from a process that
        # has asked cannot use them.
        cotangents = None if device == "cuda" else (torch.ones(2, 3, 3, dtype=dtype),)
        local.run((x.to(dtype),), cotangents)
    local.run((x.to("meta"),))
    local.run((x,), count=True)
    torch.testing.assert_close(x, x)
    torch.nn.functional.scaled_dot_product_attention(x, x, x)

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    counting, forwarding = Counting([x]), Forwarding(ours)
    counter = threading.Thread(target=_count, args=(counting, theirs))
    counter.start()
    proxy = forwarding.proxy(counting.name(x))
    with Reading(forwarding), called(Cost(), True), forwarding:
        _a_bit_of_everything(proxy)
    ours.close()
    counter.join()
    theirs.close()

    ours, theirs = socket.socketpair()
    tensors: list[torch.Tensor] = []
    wire.send(ours, wire.pack((x, x.mT, x.bool(), x.to("meta"), 1.0), tensors), tensors)
    wire.unpack(*wire.receive(theirs))
    shell.run_cell("import math, warnings\nprint('warm')\nraise ValueError('warm')")
    shell.reset(new_session=False)
    shell.execution_count = 1
    shell.user_ns["__name__"] = "__main__"
    torch.manual_seed(0)
    torch.compiler.set_stance("force_eager")  # no compiler may run here, and no check waits for one


def _a_bit_of_everything(x: Any) -> Any:
    """What solutions call, so that its first use, which is slow, is behind us."""
    y = x - x.amax(-1, keepdim=True) + x.mean(-1, keepdim=True) * 0.5
    y = y.exp() / y.exp().sum(-1, keepdim=True)
    y = y / x.shape[-1] ** 0.5 + x.softmax(-1) + x.max(-1, keepdim=True).values
    keep = torch.arange(3, device=x.device)[:, None] >= torch.arange(3, device=x.device)
    keep = keep & torch.ones(3, 3, dtype=torch.bool, device=x.device).tril() | ~keep
    scores = (y @ x.mT).masked_fill(~keep, torch.finfo(x.dtype).min)
    scores = torch.where(keep, scores, torch.zeros_like(scores)).nan_to_num() * keep
    z = torch.einsum("bij,bjk->bik", scores, x).transpose(-2, -1).contiguous()
    z = torch.cat([z, torch.stack([z[0], z[1]])]).view(4, -1)[:2].reshape(2, 4, 3)
    return x @ z + scores.unsqueeze(0).squeeze(0).expand(2, 3, 3).clone()


def _count(counting: Any, link: socket.socket) -> None:
    while message := link.recv(LARGEST_MESSAGE):
        link.send(counting.answer(message))
