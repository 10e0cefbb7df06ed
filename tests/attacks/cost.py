"""Forged counters, hidden work, forbidden operators under other names.

The values are right in most of these: what is forged is how they came about. The right grade is
what the same function earns when it hides nothing.
"""

# ruff: noqa: E501 (the long lines are those of notebooks)

import torch

from tests.attacks.corpus import (
    ATTENTION,
    FULL,
    GUARD,
    Between,
    Under,
    Work,
    full_but,
    judged,
    submission,
)

SOFTMAX, SCORES, BACKWARD = "stable_softmax", "attention_scores", "attention_backward"


def _library_softmax(scores, dim=-1):
    return torch.softmax(scores, dim)


def _three_products(q, k):
    return (q @ k.mT + q @ k.mT + q @ k.mT) / 3 * q.shape[-1] ** -0.5


NO_SOFTMAX = judged(SOFTMAX, _library_softmax)
WASTE = judged(SCORES, _three_products)
WASTEFUL = """
    def honest(q, k):
        return (q @ k.mT + q @ k.mT + q @ k.mT) / 3 * q.shape[-1] ** -0.5
    def attention_scores(q, k):
        return honest(q, k)
    """


def _softmax_by(work: Work, *parts: str) -> None:
    work.write(SOFTMAX, *parts)


# Other names


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_by_aten(work: Work) -> None:
    """torch.ops.aten._softmax, looked up by a name that is put together."""
    _softmax_by(
        work,
        """
        def stable_softmax(scores, dim=-1):
            return getattr(torch.ops.aten, "_soft" + "max").default(scores, dim, False)
        """,
    )


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_by_module(work: Work) -> None:
    """torch.nn.Softmax, under a name of its own."""
    _softmax_by(
        work,
        """
        from torch.nn import Softmax as Shares
        def stable_softmax(scores, dim=-1):
            return Shares(dim)(scores)
        """,
    )


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_by_logarithm(work: Work) -> None:
    """The exponential of torch's log_softmax, by special."""
    _softmax_by(
        work,
        """
        shares = vars(torch.special)["log_soft" + "max"]
        def stable_softmax(scores, dim=-1):
            return shares(scores, dim).exp()
        """,
    )


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_renamed(work: Work) -> None:
    """torch's softmax with its names rubbed out, in functools.partial and behind a property."""
    _softmax_by(
        work,
        """
        import functools
        class Own:
            share = property(lambda self: functools.partial(torch._C._VariableFunctions.softmax))
        def stable_softmax(scores, dim=-1):
            return Own().share(scores, dim)
        """,
    )


@submission(points=NO_SOFTMAX)
def softmax_by_script(work: Work) -> None:
    """A function compiled by TorchScript, within which no Python is seen."""
    _softmax_by(
        work,
        """
        import warnings
        warnings.simplefilter("ignore")
        graph = torch._C.parse_ir('''
            graph(%scores : Tensor, %dim : int):
                %none : NoneType = prim::Constant()
                %out : Tensor = aten::softmax(%scores, %dim, %none)
                return (%out)
        ''')
        compiled = torch._C._create_function_from_graph("own", graph)
        def stable_softmax(scores, dim=-1):
            return compiled(scores, dim)
        """,
    )


@submission(points=NO_SOFTMAX)
def softmax_by_custom_operator(work: Work) -> None:
    """An operator of its own, within which torch's softmax runs where nobody looks."""
    _softmax_by(
        work,
        """
        library = torch.library.Library("own", "DEF")
        library.define("share(Tensor scores, int dim) -> Tensor")
        library.impl("share", lambda scores, dim: torch.softmax(scores, dim), "CPU")
        library.impl("share", lambda scores, dim: torch.empty_like(scores), "Meta")
        class Share(torch.autograd.Function):
            @staticmethod
            def forward(ctx, scores, dim):
                ctx.dim = dim
                out = torch.ops.own.share(scores, dim)
                ctx.save_for_backward(out)
                return out
            @staticmethod
            def backward(ctx, grad):
                out, = ctx.saved_tensors
                return out * (grad - (grad * out).sum(ctx.dim, keepdim=True)), None
        def stable_softmax(scores, dim=-1):
            return Share.apply(scores, dim)
        """,
    )


@submission(points=full_but(stable_softmax=Under(6)))
def softmax_by_attention(work: Work) -> None:
    """An attention whose keys are the identity is a softmax."""
    _softmax_by(
        work,
        """
        attend = getattr(torch.nn.functional, "scaled_dot_product" + "_attention")
        def stable_softmax(scores, dim=-1):
            x = scores.movedim(dim, -1)
            eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
            flat = x.reshape(1, -1, x.shape[-1])
            return attend(flat, eye[None], eye[None], scale=1.0).reshape(x.shape).movedim(-1, dim)
        """,
    )


def _library_attention(q, k, v, keep=None):
    if keep is not None and keep.dtype != torch.bool:
        raise TypeError
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=keep)


@submission(
    points=full_but(
        scaled_dot_product_attention=Under(FULL[ATTENTION]),
        self_attention=Under(FULL["self_attention"]),
    ),
    says="attention",
)
def attention_by_getattr(work: Work) -> None:
    """F.scaled_dot_product_attention by a name put together, for the exercise that is to write it."""
    work.write(
        ATTENTION,
        """
        import torch.nn.functional as F
        library = getattr(F, "scaled_dot_product" + "_attention")
        def scaled_dot_product_attention(q, k, v, keep=None):
            if keep is not None and keep.dtype != torch.bool:
                raise TypeError("bool")
            out = library(q, k, v, attn_mask=keep)
            return out if keep is None else out.masked_fill(~keep.any(-1, keepdim=True), 0)
        """,
    )


@submission(points=full_but(attention_backward=Under(10)), says="autograd")
def autograd_by_func(work: Work) -> None:
    """torch.func.vjp where the backward pass is to be written by hand."""
    work.write(
        BACKWARD,
        """
        vjp = vars(torch.func)["v" + "jp"]
        def attention_backward(grad_out, q, k, v, keep=None):
            attend = lambda q, k, v: scaled_dot_product_attention(q, k, v, keep)
            return vjp(attend, q, k, v)[1](grad_out)
        """,
    )


@submission(points=full_but(attention_backward=Under(10)))
def autograd_in_a_thread(work: Work) -> None:
    """The same in another thread, to which no hook and no mode of this one reaches."""
    work.write(
        BACKWARD,
        """
        import threading
        def attention_backward(grad_out, q, k, v, keep=None):
            outs = tuple(torch.zeros_like(x) * x for x in (q, k, v))
            def work():
                with torch.enable_grad():
                    xs = [x.detach().clone().requires_grad_() for x in (q, k, v)]
                    out = scaled_dot_product_attention(*xs, keep)
                    for to, grad in zip(outs, torch.autograd.grad(out, xs, grad_out.detach())):
                        to.data.copy_(grad)
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return outs
        """,
    )


# Two faces: one for the counter. The answers are torch's own, so without the second face the
# function would earn nothing.


@submission(points=NO_SOFTMAX)
def cheap_for_the_counter(work: Work) -> None:
    """torch's softmax by day; something cheap and wrong when a counter looks on."""
    _softmax_by(
        work,
        """
        from torch.utils._python_dispatch import _get_current_dispatch_mode
        def stable_softmax(scores, dim=-1):
            watched = (
                _get_current_dispatch_mode() is not None
                or torch._C._len_torch_function_stack() > 0
                or type(scores) not in (torch.Tensor, torch.nn.Parameter)
                or scores.device.type == "meta"
            )
            return scores * 1 if watched else torch.softmax(scores, dim)
        """,
    )


@submission(points=NO_SOFTMAX)
def cheap_for_the_contracts_sizes(work: Work) -> None:
    """The same, knowing the counted call by its sizes, which the notebook's own check shows."""
    _softmax_by(
        work,
        """
        def stable_softmax(scores, dim=-1):
            if tuple(scores.shape) == (8, 16, 32):
                return scores * 1
            return torch.softmax(scores, dim)
        """,
    )


@submission(points=full_but(attention_scores=Under(6)))
def cheap_from_the_nth_call(work: Work) -> None:
    """Counts the calls, and is cheap in those that come at the end of a check."""
    work.write_alone(
        SCORES,
        """
        from torch.utils._python_dispatch import _get_current_dispatch_mode
        def attention_scores(q, k):
            if q.shape == (8, 16, 32) or q.numel() > 2000 or torch.autograd._profiler_enabled():
                return (q.sum(-1, keepdim=True) * k.sum(-1, keepdim=True).mT) * 0
            return (q @ k.mT + q @ k.mT + q @ k.mT) / 3 * q.shape[-1] ** -0.5
        """,
    )


@submission(points=NO_SOFTMAX)
def answer_kept_from_before(work: Work) -> None:
    """Computes once, where nothing is counted, and finds the answer again where it is."""
    _softmax_by(
        work,
        """
        kept = {}
        def stable_softmax(scores, dim=-1):
            key = (tuple(scores.shape), dim)
            try:
                if key in kept and torch.equal(kept[key][0], scores):
                    return kept[key][1].clone()
                kept[key] = (scores.detach().clone(), torch.softmax(scores, dim))
                return kept[key][1]
            except Exception:
                return kept[key][1] if key in kept else scores
        """,
    )


# The counter


@submission(points=NO_SOFTMAX)
def modes_switched_off(work: Work) -> None:
    """Takes every watching mode off the stack, works, and puts them back."""
    _softmax_by(
        work,
        """
        from torch.utils._python_dispatch import _disable_current_modes
        def stable_softmax(scores, dim=-1):
            out = scores * 1
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                out.data.copy_(torch.softmax(scores.detach(), dim))
            return out if not scores.requires_grad else torch.softmax(scores, dim)
        """,
    )


@submission(points=NO_SOFTMAX)
def softmax_in_a_thread(work: Work) -> None:
    """Modes belong to a thread: the work is done in another."""
    _softmax_by(
        work,
        """
        import threading
        def stable_softmax(scores, dim=-1):
            if scores.requires_grad:
                return torch.softmax(scores, dim)
            out = scores * 1
            def work():
                out.copy_(torch.softmax(scores, dim))
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return out
        """,
    )


@submission(points=NO_SOFTMAX)
def softmax_in_a_process(work: Work) -> None:
    """The work is done in a child process, to which the numbers go through shared memory."""
    _softmax_by(
        work,
        """
        import os
        def stable_softmax(scores, dim=-1):
            if scores.requires_grad:
                return torch.softmax(scores, dim)
            out = scores * 1
            shared = scores.detach().clone().share_memory_()
            child = os.fork()
            if child == 0:
                torch.set_num_threads(1)
                shared.copy_(torch.softmax(shared, dim))
                os._exit(0)
            os.waitpid(child, 0)
            out.data.copy_(shared)
            return out
        """,
    )


@submission(points=full_but(stable_softmax=Under(6)))
def softmax_in_numpy(work: Work) -> None:
    """numpy on the tensors' own memory, by an address that no function of torch is asked for."""
    _softmax_by(
        work,
        """
        import ctypes
        import numpy as np
        def view(t):
            raw = torch._C._to_dlpack(t.detach()) if False else t.detach()
            with torch._C.DisableTorchFunction():
                pointer = torch._C.TensorBase.data_ptr(raw)
            kind = {torch.float64: ctypes.c_double, torch.float32: ctypes.c_float}[t.dtype]
            flat = (kind * t.numel()).from_address(pointer)
            return np.ctypeslib.as_array(flat).reshape(t.shape)
        def stable_softmax(scores, dim=-1):
            if scores.requires_grad or not scores.is_contiguous() or scores.numel() == 0 \\
                    or scores.dtype not in (torch.float64, torch.float32) or scores.device.type != "cpu":
                return torch.softmax(scores, dim)
            out = scores * 1
            x = view(scores)
            e = np.exp(x - x.max(dim, keepdims=True))
            view(out)[...] = e / e.sum(dim, keepdims=True)
            return out
        """,
    )


@submission(points=full_but(stable_softmax=Under(6)))
def numbers_as_python(work: Work) -> None:
    """Takes the numbers out one by one, works in Python, and puts them back."""
    _softmax_by(
        work,
        """
        import math
        def stable_softmax(scores, dim=-1):
            x = scores.movedim(dim, -1)
            rows = x.reshape(-1, x.shape[-1]).tolist()
            done = []
            for row in rows:
                e = [math.exp(s - max(row)) for s in row]
                done.append([n / sum(e) for n in e])
            out = torch.tensor(done, dtype=scores.dtype, device=scores.device)
            return out.reshape(x.shape).movedim(-1, dim)
        """,
    )


@submission(points=WASTE)
def counter_patched(work: Work) -> None:
    """The course's counter counts nothing any more."""
    work.write_alone(
        SCORES,
        WASTEFUL,
        """
        import sys
        for module in list(sys.modules.values()):
            if not getattr(module, "__name__", "").startswith("tutor"):
                continue
            for name in ("Operations", "Names"):
                if hasattr(module, name):
                    setattr(getattr(module, name), "count", lambda *args: None)
            if hasattr(module, "Cost"):
                for figure in ("flops", "products", "written", "largest"):
                    setattr(module.Cost, figure, property(lambda self: 0, lambda self, value: None))
        """,
    )


@submission(points=WASTE)
def counter_without_formulas(work: Work) -> None:
    """torch's table of FLOPs is emptied: no product costs anything."""
    work.write_alone(
        SCORES,
        WASTEFUL,
        """
        from torch.utils import flop_counter
        flop_counter.flop_registry.clear()
        flop_counter.bmm_flop = flop_counter.mm_flop = lambda *args, **kwargs: 0
        torch.utils._pytree.tree_leaves = lambda tree, *args, **kwargs: []
        """,
    )


@submission(points=full_but(attention_scores=Under(6)))
def counter_found_when_called(work: Work) -> None:
    """Finds the counter that is at work among its callers and the watching modes, and empties it."""
    work.write_alone(
        SCORES,
        """
        import gc, sys
        def attention_scores(q, k):
            out = (q @ k.mT + q @ k.mT + q @ k.mT) / 3 * q.shape[-1] ** -0.5
            frame = sys._getframe(1)
            while frame:
                for value in list(frame.f_locals.values()):
                    cost = getattr(value, "cost", value)
                    if type(cost).__name__ in ("Cost", "dict"):
                        for name in ("flops", "products", "written", "largest"):
                            if isinstance(cost, dict) and name in cost:
                                cost[name] = 0
                            elif hasattr(cost, name):
                                setattr(cost, name, 0)
                frame = frame.f_back
            for thing in gc.get_objects():
                if type(thing).__name__ == "Cost":
                    thing.flops = thing.products = thing.written = thing.largest = 0
                    thing.called, thing.outside = set(), None
            return out
        """,
    )


@submission(points=full_but(attention_scores=Under(6)))
def counter_told_a_story(work: Work) -> None:
    """Writes forged counts, and answers of the counting process, to every socket there is."""
    work.write_alone(
        SCORES,
        """
        import json, os, stat, struct
        def attention_scores(q, k):
            out = (q @ k.mT + q @ k.mT + q @ k.mT) / 3 * q.shape[-1] ** -0.5
            if not torch.autograd._profiler_enabled() and q.device.type == "cpu" and q.numel() < 2000:
                return out
            told = {"cost": {"flops": 0, "products": 1, "written": 0, "largest": 0, "called": [],
                             "largest_shape": [], "outside": None}, "flops": 0, "outside": None}
            text = json.dumps(told).encode()
            for fd in range(3, 256):
                try:
                    if stat.S_ISSOCK(os.fstat(fd).st_mode):
                        os.set_blocking(fd, False)
                        os.write(fd, struct.pack(">I", len(text)) + text)
                except OSError:
                    pass
            return out
        """,
    )


@submission(points=full_but(attention_scores=Under(6)))
def counter_process_killed(work: Work) -> None:
    """Kills every other process that it sees while it is being counted."""
    work.write_alone(
        SCORES,
        GUARD,
        """
        import os, signal
        def attention_scores(q, k):
            if torch.autograd._profiler_enabled() or q.numel() > 2000:
                for pid in os.listdir("/proc"):
                    if pid.isdigit() and int(pid) not in (os.getpid(), 1, os.getppid()):
                        try:
                            os.kill(int(pid), signal.SIGKILL)
                        except OSError:
                            pass
            return (q @ k.mT + q @ k.mT + q @ k.mT) / 3 * q.shape[-1] ** -0.5
        """,
    )


@submission(points=full_but(attention_scores=Under(6)))
def proxy_unwrapped(work: Work) -> None:
    """Looks into the tensor that it is given when counted for one that is not watched."""
    work.write_alone(
        SCORES,
        """
        def inside(t):
            for name in dir(t):
                if name.startswith("__"):
                    continue
                try:
                    value = getattr(t, name)
                except Exception:
                    continue
                if type(value) is torch.Tensor and value.shape == t.shape:
                    return value
            return t
        def attention_scores(q, k):
            a, b = inside(q), inside(k)
            with torch._C._DisableTorchDispatch() if hasattr(torch._C, "_DisableTorchDispatch") else torch.no_grad():
                waste = (a @ b.mT + a @ b.mT) * 0 if a is not q else 0
            return (q @ k.mT + q @ k.mT + q @ k.mT) / 3 * q.shape[-1] ** -0.5 + waste
        """,
    )


@submission(points=WASTE)
def products_that_are_not_called_so(work: Work) -> None:
    """Matrix products as convolution, einsum, tensordot and bilinear forms."""
    work.write_alone(
        SCORES,
        """
        def attention_scores(q, k):
            a = torch.einsum("...id,...jd->...ij", q, k)
            b = torch.matmul(q, k.mT)
            c = torch.einsum("...id,...jd->...ij", q, k)
            return (a + b + c) / 3 * q.shape[-1] ** -0.5
        """,
    )


def _products_by_sums(q, k):
    return (q[..., :, None, :] * k[..., None, :, :]).sum(-1) * q.shape[-1] ** -0.5


@submission(points=judged(SCORES, _products_by_sums), says="intermediate")
def products_by_broadcasting(work: Work) -> None:
    """No product at all, and a tensor of all pairs instead: the counter of sizes sees it."""
    work.write_alone(
        SCORES,
        """
        def attention_scores(q, k):
            return (q[..., :, None, :] * k[..., None, :, :]).sum(-1) * q.shape[-1] ** -0.5
        """,
    )


@submission(points=full_but(attention_scores=Under(6)))
def huge_tensor_hidden_in_numpy(work: Work) -> None:
    """The tensor of all pairs is built by numpy, where no counter of sizes looks."""
    work.write_alone(
        SCORES,
        """
        import numpy as np
        def attention_scores(q, k):
            if q.requires_grad or k.requires_grad or q.dtype == torch.bfloat16:
                return q @ k.mT * q.shape[-1] ** -0.5
            with torch._C.DisableTorchFunction():
                a, b = np.asarray(q.detach()), np.asarray(k.detach())
            out = (a[..., :, None, :] * b[..., None, :, :]).sum(-1) * q.shape[-1] ** -0.5
            return torch.from_numpy(out.astype(a.dtype))
        """,
    )


@submission(points=full_but(stable_softmax=Under(6)))
def shapes_that_lie(work: Work) -> None:
    """Tells whoever asks for sizes of a small tensor, by a patched numel and shape."""
    _softmax_by(
        work,
        """
        def stable_softmax(scores, dim=-1):
            big = scores[..., None].expand(*scores.shape, 64).clone()
            e = (big - big.amax(-2 if dim in (-1, scores.ndim - 1) else dim, keepdim=True)).exp()[..., 0]
            return torch.softmax(scores, dim) + 0 * e
        torch.Tensor.numel = lambda self: 1
        torch.Tensor.nelement = lambda self: 1
        """,
    )


# The process that counts, by its own protocol

PROTOCOL = """
    import json, os, select, socket
    def counters():
        for fd in range(3, 256):
            try:
                link = socket.socket(fileno=os.dup(fd))
            except OSError:
                continue
            if link.type == socket.SOCK_SEQPACKET:
                yield link
    def tell(message):
        for link in counters():
            link.send(message if isinstance(message, bytes) else json.dumps(message).encode())
            if select.select([link], [], [], 1)[0]:
                link.recv(1 << 17)
    counted = torch.autograd._profiler_enabled
    """


def _tells(work: Work, *messages: str) -> None:
    """``attention_scores`` is right, and tells the counting process something while it is counted."""
    for message in messages:
        work.write_alone(
            SCORES,
            GUARD,
            PROTOCOL,
            f"""
            def attention_scores(q, k):
                if counted():
                    for message in {message}:
                        try:
                            tell(message)
                        except Exception:
                            pass
                return q @ k.mT * q.shape[-1] ** -0.5
            """,
        )


@submission(points=full_but(attention_scores=Between(0, 6)))
def counter_told_nonsense(work: Work) -> None:
    """Messages to the counting process that are no JSON, no operation, no tensor, and too deep."""
    _tells(
        work,
        """(b"\\xff", b"[" * 100_000, b"null", ["aten.mm.default", [], {}], ["read", None, None],
            ["aten.__class__.mro", [], {}], ["os.system.x", ["true"], {}], ["a.b", {}, {}],
            ["aten.mm.default", {"tuple": [{"proxy": 10**9}, {"proxy": "x"}]}, {}],
            ["aten.ones.default", {"tuple": [{"list": [10**12]}]}, {}], [1, 2, 3], {"a": 1})""",
    )


@submission(points=full_but(attention_scores=Between(0, 6)))
def counter_told_nothing(work: Work) -> None:
    """An empty message, which on such a socket looks like its end."""
    _tells(work, '(b"",)')


@submission(points=full_but(attention_scores=Between(0, 6)))
def counter_sent_outside(work: Work) -> None:
    """Has the counting process map, load and print files, by operators that reach outside."""
    _tells(
        work,
        """(["aten.from_file.default", {"tuple": ["/etc/passwd", False, 100]}, {}],
            ["aten.from_file.default", {"tuple": ["/tmp/left-by-an-" + "attack", True, 1 << 20]}, {}],
            ["aten._print.default", {"tuple": ["x"]}, {}], ["quantized.linear.default", [], {}],
            ["aten.set_.source_Storage", {"tuple": [{"proxy": 0}, {"proxy": 1}]}, {}],
            ["aten.to.device", {"tuple": [{"proxy": 0}, {"device": "cuda"}, {"torch": "float32"}]}, {}],
            ["aten.save.default", {"tuple": [{"proxy": 0}, "/tmp/x"]}, {}])""",
    )


@submission(points=full_but(attention_scores=Under(6)))
def counter_kept_busy(work: Work) -> None:
    """One operation on numbers that take no room and would take the counting process days."""
    work.write_alone(
        SCORES,
        """
        def attention_scores(q, k):
            waste = q.new_zeros(1)
            if torch.autograd._profiler_enabled():
                waste = waste.expand(10**14).sum() * 0
            return q @ k.mT * q.shape[-1] ** -0.5 + waste
        """,
    )


@submission(points=full_but(attention_scores=Under(6)))
def counter_filled(work: Work) -> None:
    """Operations whose results the counting process has to keep: forty gigabytes of them."""
    work.write_alone(
        SCORES,
        GUARD,
        """
        kept = []
        def attention_scores(q, k):
            if torch.autograd._profiler_enabled():
                for _ in range(400):
                    kept.append(q.new_ones(100_000_000 // 8))
            return q @ k.mT * q.shape[-1] ** -0.5
        """,
    )


@submission(points=full_but(attention_scores=Between(0, 6)))
def counter_crashed(work: Work) -> None:
    """Operators that believe their indices: the counting process reads where nothing is."""
    _tells(
        work,
        """(["aten._sparse_csr_tensor_unsafe.default", {"tuple": [
                {"numbers": [0, 10**9], "dtype": "int64", "shape": [2]},
                {"numbers": [10**12], "dtype": "int64", "shape": [1]},
                {"numbers": [1.0], "dtype": "float64", "shape": [1]},
                {"list": [1, 10]}, {"torch": "float64"}, {"torch": "sparse_csr"}, {"device": "cpu"}, False]}, {}],
            ["aten.to_dense.default", {"tuple": [{"proxy": 2}]}, {}],
            ["aten._sparse_coo_tensor_unsafe.default", {"tuple": [
                {"numbers": [10**13], "dtype": "int64", "shape": [1, 1]},
                {"numbers": [1.0], "dtype": "float64", "shape": [1]}, {"list": [10]}]}, {}],
            ["aten.to_dense.default", {"tuple": [{"proxy": 3}]}, {}],
            ["aten._coalesce.default", {"tuple": [{"proxy": 3}]}, {}],
            ["aten._embedding_bag.default", {"tuple": [{"proxy": 0},
                {"numbers": [10**14], "dtype": "int64", "shape": [1]},
                {"numbers": [0], "dtype": "int64", "shape": [1]}]}, {}])""",
    )


@submission(points=full_but(attention_scores=5.0))
def counter_flooded(work: Work) -> None:
    """A thread that tells the counting process things as fast as it can, and never listens."""
    work.write_alone(
        SCORES,
        PROTOCOL,
        """
        import threading
        def flood(stop, begun):
            links = list(counters())
            while not stop.is_set():
                for link in links:
                    try:
                        link.send(b"[]", socket.MSG_DONTWAIT)
                    except OSError:
                        pass
                begun.set()
        flooded = []
        def attention_scores(q, k):
            stop, begun = threading.Event(), threading.Event()
            if not counted() or flooded:  # not in what builds on it
                return q @ k.mT * q.shape[-1] ** -0.5
            flooded.append(threading.Thread(target=flood, args=(stop, begun), daemon=True))
            flooded[0].start()
            begun.wait()
            try:
                return q @ k.mT * q.shape[-1] ** -0.5
            finally:
                stop.set()
                flooded[0].join()
        """,
    )


# What the judge unpacks

PACKING = """
    import sys
    def repack(forged):
        for module in list(sys.modules.values()):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if name in ("pack", "_pack") and callable(value) and "tutor" in str(value.__module__):
                    setattr(module, name, forged(value))
    """


def _answers(work: Work, spec: str) -> None:
    """``causal_mask`` is answered with a description of the student's own making."""
    work.write(
        "causal_mask",
        GUARD,
        PACKING,
        f"""
        asked = []
        def forged(pack):
            def packed(value, tensors, *rest):
                if asked and isinstance(value, torch.Tensor):
                    asked.clear()
                    tensors.append(torch.zeros(2**28 // 512, dtype=torch.float64))
                    n = len(tensors) - 1
                    return {spec}
                return pack(value, tensors, *rest)
            return packed
        repack(forged)
        def causal_mask(num_queries, num_keys, device=None):
            asked.append(1)
            return torch.zeros(num_queries, num_keys, dtype=torch.bool)
        """,
    )


@submission(points=full_but(causal_mask=0))
def answer_spread_out(work: Work) -> None:
    """An answer of four megabytes that describes itself as lying in gigabytes, three times over."""
    spec = '{"tuple": [{"tensor": n, "shape": [2**28 // 512], "strides": [512]}] * 3}'
    _answers(work, spec)


@submission(points=full_but(causal_mask=0))
def answer_of_boxes(work: Work) -> None:
    """An answer of tuples within tuples, as deep as a parser still goes."""
    _answers(work, '__import__("functools").reduce(lambda s, _: {"tuple": [s]}, range(450), None)')


@submission(points=full_but(causal_mask=0))
def answer_that_imports(work: Work) -> None:
    """An answer that names attributes of torch, devices and kinds that the judge may look up."""
    _answers(
        work,
        """{"tuple": [{"torch": "_dynamo"}, {"torch": "load"}, {"device": "cuda:7"}, {"float": "1e999"},
            {"complex": [[], []]}, {"dict": [[[], 1]]}, {"tensor": -1}, {"tensor": None, "dtype": "bool",
            "shape": [2**62, 2**62], "strides": [1, 1]}, {"tensor": n, "complex": "complex128"}]}""",
    )


# Found by reading the grader's code


@submission(points=NO_SOFTMAX)
def bits_read_as_whole_numbers(work: Work) -> None:
    """Reads the numbers of a counted call as integers, lets torch's softmax do the work, and puts
    the answer together again from single numbers."""
    _softmax_by(
        work,
        """
        from torch.utils._python_dispatch import _disable_current_modes
        def stable_softmax(scores, dim=-1):
            if not torch.autograd._profiler_enabled():
                return torch.softmax(scores, dim)
            bits = scores.view(torch.int64).tolist()
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                shares = torch.softmax(torch.tensor(bits).view(torch.float64), dim)
                flat, shape = shares.flatten().tolist(), list(shares.shape)
            parts = [torch.stack([torch.tensor(x, dtype=torch.float64) for x in flat[i:i + 500]])
                     for i in range(0, len(flat), 500)]
            return torch.cat(parts).view(shape)
        """,
    )


@submission(points=NO_SOFTMAX)
def answer_of_the_call_before(work: Work) -> None:
    """Keeps the answer to the call before the counted one, which has the same shape."""
    _softmax_by(
        work,
        """
        kept = {}
        def stable_softmax(scores, dim=-1):
            if not torch.autograd._profiler_enabled():
                answer = torch.softmax(scores, dim)
                kept[scores.shape] = answer.detach().clone()
                return answer
            flat = kept[scores.shape].flatten().tolist()
            parts = [torch.stack([torch.tensor(x, dtype=torch.float64) for x in flat[i:i + 500]])
                     for i in range(0, len(flat), 500)]
            return torch.cat(parts).view(scores.shape)
        """,
    )


@submission(points=NO_SOFTMAX)
def softmax_by_attention_when_counted(work: Work) -> None:
    """torch's attention over the identity gives the softmax, and does not bear its name."""
    _softmax_by(
        work,
        """
        def stable_softmax(scores, dim=-1):
            rows = scores.movedim(dim, -1)
            n = rows.shape[-1]
            if not torch.autograd._profiler_enabled():
                return torch.softmax(scores, dim)
            eye = torch.eye(n, dtype=rows.dtype)
            flat = rows.reshape(1, 1, -1, n)
            out = torch.nn.functional.scaled_dot_product_attention(flat, eye[None, None], eye[None, None], scale=1.0)
            return out.reshape(rows.shape).movedim(-1, dim)
        """,
    )


_LATER = ("scaled_dot_product_attention", "self_attention", "attention_backward")
"""They call attention_scores."""


@submission(points=full_but(**{n: Under(FULL[n]) for n in (SCORES, *_LATER)}))
def products_that_have_no_formula(work: Work) -> None:
    """Thirty times the products, by an operation that torch's counter does not know."""
    work.write(
        "attention_scores",
        """
        def attention_scores(q, k):
            scores = q @ k.mT * q.shape[-1] ** -0.5
            if scores.ndim == 3 and scores.numel():
                for _ in range(30):
                    scores[0].addmm_(q[0], k[0].mT, alpha=0.0)
            return scores
        """,
    )


@submission(points=full_but(**dict.fromkeys((SCORES, *_LATER), 0)))
def tensor_without_checks(work: Work) -> None:
    """Writes outside of a tensor in the process that counts, by a sparse one with false indices."""
    work.write(
        "attention_scores",
        """
        def attention_scores(q, k):
            if not torch.autograd._profiler_enabled():
                return torch.zeros(*q.shape[:-1], k.shape[-2], dtype=q.dtype)
            places = torch.full((1, 1), 2 ** 40)
            wild = torch.ops.aten._sparse_coo_tensor_unsafe(places, torch.ones(1), [8])
            torch.zeros(8).add_(wild)
            return q @ k.mT * q.shape[-1] ** -0.5
        """,
    )


# Which cases one fails is one's own choice


_BY_LIBRARY = """
        from torch.utils._python_dispatch import _disable_current_modes
        def elsewhere(f, *tensors):
            numbers = [t.tolist() for t in tensors]
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                return f(*(torch.tensor(n, dtype=torch.float64) for n in numbers))
        """


@submission(points=full_but(stable_softmax=0))
def softmax_wrong_in_one_dtype(work: Work) -> None:
    """torch's softmax, and nothing when it is counted: with wrong values that would prove nothing."""
    _softmax_by(
        work,
        """
        def stable_softmax(scores, dim=-1):
            if torch.autograd._profiler_enabled():
                return scores * 1
            out = torch.softmax(scores, dim)
            return out * 2 if scores.dtype == torch.bfloat16 else out
        """,
    )


@submission(points=full_but(stable_softmax=0))
def softmax_without_gradients(work: Work) -> None:
    """torch's softmax on detached numbers, which are carried around the counter as a list."""
    _softmax_by(
        work,
        _BY_LIBRARY,
        """
        def stable_softmax(scores, dim=-1):
            if not torch.autograd._profiler_enabled():
                return torch.softmax(scores.detach(), dim)
            return elsewhere(lambda s: torch.softmax(s, dim), scores)
        """,
    )


@submission(points=full_but(scaled_dot_product_attention=0, self_attention=Under(8)))
def attention_of_its_own_without_a_mask(work: Work) -> None:
    """With a mask by torch's own function, and wrong where the edge cases are asked for."""
    work.write(
        ATTENTION,
        """
        def scaled_dot_product_attention(q, k, v, keep=None):
            if keep is None:
                return stable_softmax(attention_scores(q, k)) @ v
            if torch.autograd._profiler_enabled():
                return q @ k.mT @ v
            out = torch.nn.functional.scaled_dot_product_attention(q, k, v, keep).nan_to_num()
            return out if q.requires_grad else out * 2
        """,
    )


@submission(points=full_but(stable_softmax=0))
def numbers_through_a_form_without_a_formula(work: Work) -> None:
    """A product into a tensor of its own, on which the counter's formula once fell over: what it
    had written was then nobody's, and could be read as bits."""
    _softmax_by(
        work,
        """
        from torch.utils._python_dispatch import _disable_current_modes
        def stable_softmax(scores, dim=-1):
            if not torch.autograd._profiler_enabled():
                return torch.softmax(scores, dim)
            flat = torch.zeros(scores.numel(), dtype=scores.dtype)
            one = torch.ones(1, dtype=scores.dtype)
            try:
                torch.mv(scores.reshape(-1, 1), one, out=flat)
            except TypeError:
                pass
            bits = flat.view(torch.int64).tolist()
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                numbers = torch.tensor(bits).view(torch.float64).view(scores.shape)
                numbers = torch.softmax(numbers, dim).flatten().tolist()
            parts = [torch.tensor(n, dtype=torch.float64) for n in numbers]
            parts = [torch.stack(parts[i : i + 500]) for i in range(0, len(parts), 500)]
            return torch.cat(parts).view(scores.shape)
        """,
    )


@submission(points=full_but(stable_softmax=0))
def memory_beyond_a_tensor(work: Work) -> None:
    """The inputs' numbers from behind a tensor in the counting process, by a view without bounds."""
    _softmax_by(
        work,
        """
        def stable_softmax(scores, dim=-1):
            if not torch.autograd._profiler_enabled():
                return torch.softmax(scores, dim)
            small = torch.zeros(4, dtype=torch.int64)
            try:
                wild = torch.ops.aten._reshape_alias(small, [500_000], [1])
                return torch.tensor(wild.tolist()[: scores.numel()]).view(scores.shape).double()
            except RuntimeError:
                return scores * 1
        """,
    )


@submission(points=full_but(stable_softmax=0))
def counter_written_over(work: Work) -> None:
    """A number of repeats below 0, which torch notices after it has written beside the tensor."""
    _softmax_by(
        work,
        """
        def stable_softmax(scores, dim=-1):
            if not torch.autograd._profiler_enabled():
                return torch.softmax(scores, dim)
            repeats = torch.tensor([3_000_000, -2_999_996])
            for _ in range(3):
                try:
                    torch.ops.aten.repeat_interleave.Tensor(repeats, output_size=4)
                except RuntimeError:
                    pass
            return scores * 1
        """,
    )


@submission(points=full_but(**{n: Under(FULL[n]) for n in (SCORES, *_LATER)}))
def products_added_in_place(work: Work) -> None:
    """The product row by row, by an operation that adds in place."""
    work.write(
        "attention_scores",
        """
        def attention_scores(q, k):
            scores = q @ k.mT * q.shape[-1] ** -0.5
            if q.ndim == 3 and scores.numel():
                for row in range(q.shape[1]):
                    for _ in range(3):
                        scores[0, row].addmv_(k[0], q[0, row], alpha=0.0)
            return scores
        """,
    )


# What torch takes apart before any mode sees it

_RENAMES = """
    import torch.nn.functional as F
    from torch.utils._python_dispatch import TorchDispatchMode
    class Renames(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "soft" + "max" not in str(func):
                return func(*args, **(kwargs or {}))
            scores, dim = args[:2]
            lowest = torch.finfo(scores.dtype).min
            shares = (scores - scores.amax(dim, keepdim=True).clamp(min=lowest)).exp()
            return shares / shares.sum(dim, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)
    def apart(q, k, v, keep):
        with torch._C.DisableTorchFunction(), Renames():
            return F.scaled_dot_product_attention(q, k, v, keep)
    def with_bool(keep):
        if keep is not None and keep.dtype != torch.bool:
            raise TypeError("keep must be bool")
    """
"""torch's attention by its parts, under a mode that gives the one telling part another name."""

NO_ATTENTION = full_but(scaled_dot_product_attention=0, self_attention=Under(8))


@submission(points=NO_ATTENTION, says="torch's own attention")
def attention_renamed_by_a_mode(work: Work) -> None:
    """Under a mode of its own, with the mode switched off that tells what Python called."""
    work.write(
        ATTENTION,
        _RENAMES,
        """
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            return apart(q, k, v, keep)
        """,
    )


@submission(points=NO_ATTENTION, says="torch's own attention")
def attention_renamed_by_a_mode_for_proxies(work: Work) -> None:
    """The same where it is counted; elsewhere it is called as everybody calls it."""
    work.write(
        ATTENTION,
        _RENAMES,
        """
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            if not torch.autograd._profiler_enabled():
                return F.scaled_dot_product_attention(q, k, v, keep)
            return apart(q, k, v, keep)
        """,
    )


@submission(points=NO_ATTENTION, says="torch's recorder")
def recorder_stopped(work: Work) -> None:
    """torch's own recorder is stopped meanwhile, and started again afterwards."""
    work.write(
        ATTENTION,
        _RENAMES,
        """
        from torch._C import _autograd
        from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            if not _autograd._profiler_enabled():
                return apart(q, k, v, keep)
            _autograd._disable_profiler_legacy()
            out = apart(q, k, v, keep)
            config = ProfilerConfig(ProfilerState.CPU, *[False] * 5, _ExperimentalConfig())
            _autograd._enable_profiler_legacy(config)
            return out
        """,
    )


@submission(points=NO_ATTENTION, says="torch's recorder")
def recorder_paused(work: Work) -> None:
    """The recorder is on and records nothing, but for as many operations of the same names."""
    work.write(
        ATTENTION,
        _RENAMES,
        """
        from torch._C import _autograd
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            _autograd._enable_record_function(False)
            out = apart(q, k, v, keep)
            _autograd._enable_record_function(True)
            scores = q @ k.mT
            return out + (scores.exp() / scores.exp().sum(-1, keepdim=True) @ v) * 0
        """,
    )


# The check of no later exercise can start one either.
@submission(points={**NO_ATTENTION, BACKWARD: Between(0, FULL[BACKWARD])}, says="torch's recorder")
def recorder_kept_busy(work: Work) -> None:
    """A recorder of its own is left running, so that the check can start none."""
    work.write(
        ATTENTION,
        _RENAMES,
        """
        recorder = torch.autograd.profiler.profile(use_kineto=False)
        recorder.__enter__()
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            return apart(q, k, v, keep)
        """,
    )


# What a library computes in Python, of torch's plain operations


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_of_torchs_references(work: Work) -> None:
    """torch's second softmax, which torch's compiler takes: Python, and no operation of that name."""
    _softmax_by(
        work,
        """
        import torch._refs
        def stable_softmax(scores, dim=-1):
            return torch._refs.softmax(scores, dim)
        """,
    )


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_of_torchs_references_by_parts(work: Work) -> None:
    """The same where no mode sees a function's name, through three others of its kind."""
    _softmax_by(
        work,
        """
        import torch._refs.nn.functional, torch._refs.special
        library = vars(torch._refs.special)["soft" + "max"]
        def stable_softmax(scores, dim=-1):
            with torch._C.DisableTorchFunction():
                return library(scores, dim)
        """,
    )


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_of_torchs_decompositions(work: Work) -> None:
    """The softmax as torch's table of decompositions takes it apart."""
    _softmax_by(
        work,
        """
        from torch._decomp import decomposition_table
        library = decomposition_table[torch.ops.aten._softmax.default]
        def stable_softmax(scores, dim=-1):
            return library(scores, dim, False)
        """,
    )


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_of_a_distribution(work: Work) -> None:
    """A transform of distributions that maps numbers onto shares, written in Python."""
    _softmax_by(
        work,
        """
        from torch.distributions import transforms
        library = transforms.SoftmaxTransform()
        def stable_softmax(scores, dim=-1):
            return library(scores.movedim(dim, -1)).movedim(-1, dim)
        """,
    )


@submission(points=NO_ATTENTION)
def names_behind_thousands_of_others(work: Work) -> None:
    """More names are called than the judge is told, and the telling one comes last."""
    work.write(
        ATTENTION,
        _RENAMES,
        """
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            for n in range(3000):
                def other():
                    pass
                other.__name__ = f"aaaa{n}"
                try:
                    torch.overrides.handle_torch_function(other, (q,), q)
                except TypeError:
                    pass
            return F.scaled_dot_product_attention(q, k, v, keep)
        """,
    )


@submission()
def honest_uses_of_what_torch_wrote_in_python(work: Work) -> None:
    """Norms, differences and sums by functions that torch has written in Python; and nothing else."""
    _softmax_by(
        work,
        """
        import torch.nn.functional as F
        def stable_softmax(scores, dim=-1):
            shifted = scores - torch.amax(scores, dim, keepdim=True)
            return F.normalize(torch.special.exp2(shifted / 0.6931471805599453), p=1, dim=dim)
        """,
    )


# Torch's own by day, and a formula of one's own where it is counted


_BY_DAY = """
    watched = torch._C._len_torch_dispatch_stack
    def naive(scores, dim):
        return scores.exp() / scores.exp().sum(dim, keepdim=True)
    """


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_by_day(work: Work) -> None:
    """torch's softmax, which overflows nowhere, and what the paper says where a mode looks on."""
    _softmax_by(
        work,
        _BY_DAY,
        """
        def stable_softmax(scores, dim=-1):
            return naive(scores, dim) if watched() else torch.softmax(scores, dim)
        """,
    )


@submission(points=NO_SOFTMAX, says="torch's own softmax")
def softmax_by_day_below_every_mode(work: Work) -> None:
    """The same by the kernel itself, below autograd, in a thread, where no gradient is asked for."""
    _softmax_by(
        work,
        _BY_DAY,
        """
        import threading
        def below(scores, dim, found):
            with torch._C._AutoDispatchBelowAutograd(), torch._C.DisableTorchFunction():
                found.append(torch.ops.aten._softmax.default(scores, dim, False))
        def stable_softmax(scores, dim=-1):
            if watched() or scores.requires_grad:
                return naive(scores - scores.amax(dim, keepdim=True), dim)
            found = []
            thread = threading.Thread(target=below, args=(scores, dim, found))
            thread.start()
            thread.join()
            return found[0]
        """,
    )


@submission(points=NO_SOFTMAX)
def softmax_by_day_in_a_child(work: Work) -> None:
    """The same in a child process, which has nobody whom it could tell."""
    _softmax_by(
        work,
        _BY_DAY,
        """
        import os
        def stable_softmax(scores, dim=-1):
            if watched() or scores.requires_grad:
                return naive(scores, dim)
            shared = scores.detach().clone().share_memory_()
            child = os.fork()
            if child == 0:
                try:
                    torch.set_num_threads(1)
                    shared.copy_(torch.softmax(shared, dim))
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            return shared.clone()
        """,
    )


_OWN_ATTENTION = """
        def own(q, k, v, keep):
            scores = q @ k.mT * q.shape[-1] ** -0.5
            if keep is not None:
                scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
            weights = stable_softmax(scores)
            return (weights if keep is None else weights * keep) @ v
        """


@submission(points=NO_ATTENTION, says="torch's own attention")
def attention_by_day(work: Work) -> None:
    """torch's attention at the sizes of the cases, and one's own at those of the counted call."""
    work.write(
        ATTENTION,
        _RENAMES,
        _OWN_ATTENTION,
        """
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            if q.numel() > 500 or q.shape[-1] % 2 == 0:
                return own(q, k, v, keep)
            out = F.scaled_dot_product_attention(q, k, v, keep)
            return out if keep is None else out.masked_fill(~keep.any(-1, keepdim=True), 0)
        """,
    )


@submission(points=NO_ATTENTION, says="torch's own attention")
def attention_taken_apart_by_its_kernel(work: Work) -> None:
    """Where it is taken apart, called there and not by its name, under a mode that renames."""
    work.write(
        ATTENTION,
        _RENAMES,
        """
        operation = torch.ops.aten._scaled_dot_product_attention_math.default
        def scaled_dot_product_attention(q, k, v, keep=None):
            with_bool(keep)
            with torch._C.DisableTorchFunction(), Renames():
                return operation.decompose(q, k, v, keep)[0]
        """,
    )


@submission(points=full_but(attention_backward=0), says="autograd")
def autograd_by_day(work: Work) -> None:
    """The backward pass by autograd, and by hand where a mode looks on."""
    by_hand = work.solution(BACKWARD).source.replace("def attention_backward", "def by_hand")
    work.write(
        BACKWARD,
        by_hand,
        """
        def attention_backward(grad_out, q, k, v, keep=None):
            if torch._C._len_torch_dispatch_stack():
                return by_hand(grad_out, q, k, v, keep)
            with torch.enable_grad():
                leaves = [t.detach().requires_grad_() for t in (q, k, v)]
                out = scaled_dot_product_attention(*leaves, keep)
                return torch.autograd.grad(out, leaves, grad_out)
        """,
    )
