"""Work is counted exactly, however it is written, and nothing leaves torch unseen."""

import threading

import numpy as np
import pytest
import torch
from counting import UNKNOWN, cost_of
from torch._decomp import decompositions
from torch.ao.nn.quantizable import MultiheadAttention
from torch.nn import functional as F

from tutor.checks import EXERCISES, composites, known

B, M, N, K = 2, 3, 5, 7
CPU = torch.device("cpu")


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator)


# FLOPs: 2 for a multiplication and an addition


def test_matrix_product_is_counted_exactly(draw):
    cost = cost_of(lambda a, b: a @ b, draw(M, K), draw(K, N))
    assert (cost.flops, cost.products) == (2 * M * N * K, 1)
    assert (cost.written, cost.largest, cost.largest_shape) == (M * N, M * N, (M, N))


@pytest.mark.parametrize(
    "product",
    [
        lambda a, b: a @ b,
        torch.bmm,
        lambda a, b: torch.einsum("bmk,bkn->bmn", a, b),
        lambda a, b: torch.func.vmap(torch.mm)(a, b),
        lambda a, b: torch.stack([x @ y for x, y in zip(a, b, strict=True)]),
        lambda a, b: torch.stack([torch.stack([y.mT @ r for r in x]) for x, y in zip(a, b)]),  # noqa: B905
        lambda a, b: torch.func.vmap(torch.func.vmap(torch.mv, (None, 0)))(b.mT, a),
    ],
    ids=["matmul", "bmm", "einsum", "vmap", "a loop", "a loop over rows", "vmap of vmap"],
)
def test_batched_product_costs_the_same_in_every_style(draw, product):
    a, b = draw(B, M, K), draw(B, K, N)
    torch.testing.assert_close(product(a, b), a @ b)
    assert cost_of(product, a, b).flops == 2 * B * M * N * K


def test_product_of_vectors_is_counted(draw):
    assert cost_of(torch.dot, draw(K), draw(K)).flops == 2 * K
    assert cost_of(torch.mv, draw(M, K), draw(K)).flops == 2 * M * K


def test_elementwise_work_is_no_product(draw):
    cost = cost_of(lambda a: (a * a).exp(), draw(M, N))
    assert (cost.flops, cost.products) == (0, 0)


# Elements written


def test_views_write_nothing(draw):
    def views(a):
        return a.mT.reshape(B, N, M)[:, 1:].unsqueeze(0).expand(4, B, N - 1, M).permute(1, 0, 2, 3)

    cost = cost_of(views, draw(B, M, N))
    assert (cost.written, cost.largest) == (0, 0)


def test_every_operation_counts_what_it_writes(draw):
    cost = cost_of(lambda a: (a + 1).exp().sum(-1), draw(M, N))
    assert cost.written == M * N + M * N + M


def test_in_place_work_is_counted_too(draw):
    def in_place(a):
        out = torch.zeros(M, N)
        out.add_(a)
        out[0] = 1
        return out

    assert cost_of(in_place, draw(M, N)).written == M * N + M * N + N


def test_copy_is_counted_where_reshape_cannot_view(draw):
    assert cost_of(lambda a: a.mT.reshape(-1), draw(M, N)).written == M * N


def test_largest_intermediate_is_found_although_it_is_not_returned(draw):
    def broadcast(a, b):
        return (a[:, :, None] * b[None]).sum(1)

    cost = cost_of(broadcast, draw(M, K), draw(K, N))
    assert (cost.largest, cost.largest_shape) == (M * K * N, (M, K, N))


# Ways out of torch


@pytest.mark.parametrize(
    "function",
    [
        lambda a: torch.from_numpy(np.exp(a.numpy())),
        lambda a: torch.from_numpy(np.exp(np.asarray(a))),
        lambda a: torch.tensor(a.tolist()),
        lambda a: a.cpu() * 2,
        lambda a: a * a[0, 0].item(),
        lambda a: a * float(a.max()),
        lambda a: torch.from_dlpack(np.from_dlpack(a)),
        lambda a: torch.tensor([[float(x) for x in row] for row in a]),
        lambda a: a[(a > 0).any(-1).tolist()],
    ],
    ids=["numpy", "asarray", "tolist", "cpu", "item", "float", "dlpack", "floats", "bools"],
)
def test_leaving_torch_is_seen(draw, function):
    assert cost_of(function, draw(M, N)).outside


def test_tensor_from_elsewhere_is_seen(draw):
    elsewhere = draw(M, N)
    assert cost_of(lambda a: a + 1, draw(M, N)).outside is None
    for function in (lambda a: a + elsewhere, lambda a: elsewhere, lambda a: elsewhere.mT):
        assert "was not computed by this call" in cost_of(function, draw(M, N)).outside


@pytest.mark.parametrize(
    "function",
    [
        lambda a: a * torch.tensor(2.0),
        lambda a: a + torch.arange(N) + torch.zeros(M, 1),
        lambda a: a.softmax(-1)[..., : a.shape[-1]],
        lambda a: torch.stack([row for row in a]),
        lambda a: a if a.max() > 0 else -a,
        lambda a: torch.where(a > 0, a, torch.full_like(a, -torch.inf)),
        lambda a: torch.func.vmap(lambda row: row - row.max())(a),
        lambda a: a.masked_fill(torch.ones(M, N).tril() == 0, torch.finfo(a.dtype).min),
    ],
)
def test_work_inside_torch_is_no_way_out(draw, function):
    assert cost_of(function, draw(M, N)).outside is None


def test_reading_lengths_as_numbers_is_no_way_out():
    def loops(lengths):
        mask = torch.zeros(len(lengths), N, dtype=torch.bool)
        for row, n in zip(mask, lengths.tolist(), strict=True):
            row[:n] = True
        return mask

    assert cost_of(loops, torch.tensor([2, 0, 5])).outside is None


# Names


@pytest.mark.parametrize(
    "function",
    [
        F.scaled_dot_product_attention,
        torch.ops.aten.scaled_dot_product_attention,
        lambda q, k, v: torch._C._nn.scaled_dot_product_attention(q, k, v),
        torch.func.vmap(F.scaled_dot_product_attention),
    ],
)
def test_library_attention_is_seen_by_whatever_name(draw, function):
    cost = cost_of(function, draw(B, 4, M, K), draw(B, 4, N, K), draw(B, 4, N, K))
    assert any("scaled_dot_product" in name for name in cost.called)


def lstm_cell(x, h, c, w):
    return decompositions.lstm_cell(x, h, c, w, None, None, 1)


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (lambda a: torch._refs.softmax(a, -1), "softmax"),
        (lambda a: torch._refs.special.softmax(a, -1), "softmax"),
        (lambda a: torch._refs.nn.functional.softmax(a, -1), "softmax"),
        (lambda a: decompositions._softmax(a, -1, False), "softmax"),
        (torch.distributions.transforms.SoftmaxTransform(), "softmax"),
        (lambda a: decompositions._softmax_backward_data(a, a, -1, a.dtype), "_backward"),
        (lambda a: lstm_cell(torch.cat([a] * 4, 1), a, a, torch.ones(4 * N, N)), "lstm"),
        (lambda a: F.multi_head_attention_forward(
            a, a, a, N, 1, torch.ones(3 * N, N), *[None] * 3, False, 0.0, torch.ones(N, N), None
        ), "multi_head_attention"),
        (lambda a: MultiheadAttention(N, 1)(a[None], a[None], a[None]), "multiheadattention"),
    ],
    ids=["refs", "special", "functional", "decomposition", "transform", "backward", "lstm", "heads",
         "layer"],
)  # fmt: skip
def test_what_a_library_computes_in_python_bears_its_name(draw, function, part):
    """Also where the mode that sees what Python calls is switched off."""

    def unseen(a):
        with torch._C.DisableTorchFunction():
            return function(a)

    for wanted in (function, unseen):
        assert any(part in name for name in cost_of(wanted, draw(M, N)).called)


@pytest.mark.parametrize(
    "function",
    [
        lambda a: F.normalize(a, p=1.0, dim=-1),
        lambda a: (a - a.logsumexp(-1, keepdim=True)).exp(),
        lambda a: torch.special.expit(a) + torch.special.entr(a.abs()),
        lambda a: torch._refs.exp(a),
        lambda a: torch.einsum("ij,kj->ik", a, a) / torch.linalg.vector_norm(a),
        lambda a: torch.func.vmap(lambda row: row - row.amax())(a),
        lambda a: F.logsigmoid(a) + F.hardswish(a),
        lambda a: torch.nn.Linear(N, N)(a),
        lambda a: 1 - a**2,
    ],
)
def test_other_functions_of_a_library_bear_no_forbidden_name(draw, function):
    parts = {p for e in EXERCISES.values() for p in e.contract(torch.Generator(), CPU).forbidden}
    assert "softmax" in parts and "lstm" in parts
    called = cost_of(function, draw(M, N)).called
    assert not [name for name in called for part in parts if part in name]


_CELL = torch.ops.aten.rnn_tanh_cell.default
_APART = torch._C.DispatchKey.CompositeImplicitAutograd


def in_inference_mode(*args):
    with torch.inference_mode():
        return _CELL(*args)


def below_autograd(*args):
    with torch._C._AutoDispatchBelowAutograd():
        return _CELL(*args)


def in_a_script(*args):
    graph = """graph(%x : Tensor, %h : Tensor, %a : Tensor, %b : Tensor):
        %none : NoneType = prim::Constant()
        %out : Tensor = aten::rnn_tanh_cell(%x, %h, %a, %b, %none, %none)
        return (%out)"""
    return torch._C._create_function_from_graph("own", torch._C.parse_ir(graph))(*args)


def unrecorded(*args):
    torch._C._autograd._enable_record_function(False)
    out = _CELL(*args)
    torch._C._autograd._enable_record_function(True)
    return out


def in_vmap(x, h, a, b):
    return torch.func.vmap(lambda x, h: _CELL(x[None], h[None], a, b)[0])(x, h)


def in_a_thread(*args):
    found = []
    thread = threading.Thread(target=lambda: found.append(_CELL(*args)))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    "way",
    [
        _CELL,
        _CELL.decompose,
        lambda *args: _CELL._op_dk(_APART, *args),
        in_inference_mode,
        below_autograd,
        in_a_script,
        unrecorded,
        in_vmap,
        in_a_thread,
    ],
    ids=["plain", "apart", "key", "inference", "below", "script", "unrecorded", "vmap", "thread"],
)
def test_a_composite_operation_tells_of_itself_by_whatever_way(draw, way):
    args = draw(M, K), draw(M, N), draw(N, K), draw(N, N)
    wanted = torch.tanh(args[0] @ args[2].mT + args[1] @ args[3].mT)

    def unseen(*args):
        with torch._C.DisableTorchFunction():
            torch.testing.assert_close(way(*args), wanted)

    assert "aten.rnn_tanh_cell" in cost_of(unseen, *args).called


def test_every_composite_operation_that_an_exercise_forbids_has_a_kernel_that_tells():
    names = torch._C._dispatch_get_all_op_names()
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    for exercise in EXERCISES.values():
        for part in exercise.contract(torch.Generator(), CPU).forbidden:
            told = part == "autograd" or any(word in part for word in composites.NAMES)
            # What has a kernel of its own is seen where it runs.
            told |= f"aten::{part}" in names and has_kernel(f"aten::{part}", "CPU")
            assert told or part == "scaled_dot_product", f"{part} of {exercise.name}"
    named = [n for n in names if "scaled_dot_product" in n]
    assert named and all("attention" in n or "scaled_dot_attention" in n for n in named)


def test_telling_changes_neither_values_nor_gradients(draw):
    x = draw(M, N).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: torch.softmax(x, -1), x)
    assert torch.autograd.gradcheck(lambda x: F.scaled_dot_product_attention(x, x, x), x)
    with composites.composites(set()):
        torch.testing.assert_close(torch.softmax(x, -1), x.exp() / x.exp().sum(-1, keepdim=True))


def test_a_call_within_a_call_tells_both():
    outer, inner, x = set(), set(), torch.ones(2, 3)
    with composites.composites(outer):
        torch.nn.LSTM(3, 5)(x)
        with composites.composites(inner):
            torch.softmax(x, -1)
    assert inner == {"aten._softmax"}
    assert outer > inner and "aten.lstm" in outer


def gradient(a):
    leaf = a.detach().requires_grad_()
    return torch.autograd.grad(leaf.exp().sum(), leaf)[0]


def backward(a):
    leaf = a.detach().requires_grad_()
    leaf.exp().sum().backward()
    return leaf.grad


@pytest.mark.parametrize("function", [gradient, backward, torch.func.grad(lambda a: a.exp().sum())])
def test_autograd_is_seen_where_it_is_forbidden(draw, function):
    try:
        called = cost_of(function, draw(M, N), forbid_autograd=True).called
    except RuntimeError as error:  # torch.func refuses to run under the hooks
        called = {"autograd"} if "saved tensor hooks" in str(error) else set()
    assert "autograd" in called
    assert "autograd" not in cost_of(lambda a: a.exp(), draw(M, N), forbid_autograd=True).called
    assert "autograd" not in cost_of(function, draw(M, N)).called


# What a call may learn, and what may be in it


def test_reading_the_bits_of_a_number_is_reading_it():
    x = torch.randn(3, 5, dtype=torch.float64)
    assert cost_of(lambda x: x * x.view(torch.int64)[0, 0].item(), x).outside
    assert cost_of(lambda x: x * int(x.argmax()), x).outside
    assert cost_of(lambda x: x[x > 0], x).outside
    assert cost_of(lambda x: x * int(torch.arange(3)[1]), x).outside is None


def test_few_questions_about_the_numbers_are_allowed_and_many_are_not():
    x = torch.randn(3, 5)
    assert cost_of(lambda x: x if x.isnan().any() else x + 1, x).outside is None
    many = lambda x: x * sum(bool(x[0, 0] > n) for n in range(20))  # noqa: E731
    assert cost_of(many, x).outside


def test_operation_whose_work_is_unknown_is_named():
    x = torch.randn(1, 1, 4, 4)
    assert cost_of(lambda x: x.exp().softmax(-1) @ x, x).uncountable is None
    library = torch.nn.functional.scaled_dot_product_attention
    assert "scaled_dot_product" in cost_of(lambda x: library(x, x, x), x).uncountable
    assert "linalg" in cost_of(lambda x: torch.linalg.solve(x, x), x).uncountable


@pytest.mark.parametrize("name", UNKNOWN)
def test_operation_that_no_list_knows_is_taken_apart(name):
    function, inputs = UNKNOWN[name]
    cost = cost_of(function, *inputs)
    assert (cost.uncountable, cost.outside, cost.unseen) == (None, None, False)
    assert cost.written >= 1 or "chunk" in name  # parts of a tensor are views


def test_parts_of_an_operation_count_as_if_they_had_been_written(draw):
    """logsigmoid as torch takes it apart: min(0, x) - log1p(exp(-|x|))."""
    assert cost_of(F.logsigmoid, draw(M, N)).written >= 4 * M * N
    a, b = draw(B, M, K), draw(B, K, N)
    assert cost_of(torch.addbmm, draw(M, N), a, b).flops == 2 * B * M * N * K
    # A distance holds a product: |q - k|² = |q|² - 2 q k + |k|².
    assert cost_of(torch.cdist, a, b.mT).flops == 2 * B * M * N * K


def test_what_is_unknown_may_be_anything_or_is_harmless(draw):
    square = draw(M, M) + 9 * torch.eye(M)
    for function in (torch.linalg.inv, torch.linalg.svdvals, torch.matrix_exp):
        cost = cost_of(function, square)
        assert cost.uncountable and not cost.unseen
    for function in (torch.fft.fft, lambda x: torch.ops.aten._safe_softmax(x, -1)):
        cost = cost_of(function, square)
        assert cost.uncountable and cost.unseen


def test_layers_of_the_library_are_not_taken_apart(draw):
    layer = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    cost = cost_of(lambda x: layer(x, x, x), draw(1, 2, M, K))
    assert "scaled_dot_product" in cost.uncountable and cost.unseen


def test_product_that_writes_into_a_tensor_is_counted():
    a, b = torch.randn(2, 3, 5), torch.randn(2, 5, 7)
    out = torch.zeros(2, 3, 7)
    assert cost_of(lambda a, b, out: out.baddbmm_(a, b), a, b, out).flops == 2 * 2 * 3 * 5 * 7


PRODUCTS = {
    "mm": ((M, K), (K, N)),
    "bmm": ((B, M, K), (B, K, N)),
    "addmm": ((M, N), (M, K), (K, N)),
    "baddbmm": ((B, M, N), (B, M, K), (B, K, N)),
    "mv": ((M, K), (K,)),
    "addmv": ((M,), (M, K), (K,)),
    "dot": ((K,), (K,)),
    "vdot": ((K,), (K,)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_form_of_a_product_costs_the_same(draw, name):
    """Also the forms that write into a tensor, which torch's own formulas pass over or refuse."""
    arguments = [draw(*shape) for shape in PRODUCTS[name]]
    plain = cost_of(getattr(torch.ops.aten, name).default, *arguments)
    assert plain.flops > 0 and plain.products == 1
    into = cost_of(lambda *a: getattr(torch.ops.aten, name).out(*a, out=torch.empty(0)), *arguments)
    assert (into.flops, into.uncountable) == (plain.flops, None)
    if name.startswith(("add", "badd")):
        scaled = cost_of(lambda *a: getattr(torch, name)(*a, beta=0.5, alpha=2), *arguments)
        assert (scaled.flops, scaled.uncountable) == (plain.flops, None)
        inside = getattr(torch.ops.aten, name + "_").default
        assert cost_of(inside, *arguments).flops == plain.flops


def test_a_form_that_no_formula_knows_is_named_and_followed_all_the_same(draw, monkeypatch):
    monkeypatch.setitem(known.EXTRA_FLOPS, torch.ops.aten.mv, lambda a: 1)

    def hiding(a, x):
        return torch.mv(a, x).tolist() and a

    cost = cost_of(hiding, draw(M, K), draw(K))
    assert cost.uncountable == "aten.mv" and cost.unseen


@pytest.mark.parametrize("fails", [False, True], ids=["whole", "broken off"])
def test_numbers_that_are_written_into_a_tensor_are_followed(draw, fails):
    def hiding(a):
        box = torch.zeros(3)
        if fails:
            with pytest.raises(RuntimeError):
                torch.ops.aten.mm.out(a, torch.ones(M + N, M), out=box)
        else:
            torch.ops.aten.sum.IntList_out(a, [1], out=box)
        return box.view(torch.int32).sum().item()

    assert "was read out" in cost_of(hiding, draw(M, N)).outside


@pytest.mark.parametrize(
    "name", ["repeat_interleave.Tensor_out", "nonzero.out", "bincount.out", "_unique2.out"]
)
def test_a_shape_that_tells_a_number_is_seen_in_every_form(draw, name):
    packet, overload = name.split(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload)
    outs = {"_unique2": ("out0", "out1", "out2")}.get(packet, ("out",))

    def shape(a):
        bits = (a > 0).long().flatten()
        return operation(bits, **{o: torch.empty(0, dtype=torch.long) for o in outs})

    assert "a shape hangs on numbers" in cost_of(shape, draw(M, N)).outside


def test_what_a_mask_chooses_is_said_to_be_a_shape(draw):
    def chosen(a):
        return a[a > 0].sum()

    assert "x[keep] with a boolean mask" in cost_of(chosen, draw(M, N)).outside
