"""Values between processes: what arrives equals what was sent, and nothing else arrives."""

import contextlib
import json
import math
import random
import socket
import struct
import threading
import time

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from tutor.checks.table_model import TableModel
from tutor.sandbox import wire

DTYPES = (torch.bool, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float64)


@pytest.fixture
def link():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def soon() -> wire.Patience:
    """Far later than what is sent arrives on any machine."""
    return wire.until(time.monotonic() + 100)


def there_and_back(link, value):
    tensors: list[Tensor] = []
    wire.send(link[0], wire.pack(value, tensors), tensors)
    return wire.unpack(*wire.receive(link[1], soon()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_kind_arrive(link, dtype):
    for shape in ((), (0,), (3,), (2, 0, 5), (2, 3, 5)):
        t = (torch.randn(shape) * 3).to(dtype)
        got = there_and_back(link, t)
        assert got.dtype == dtype and torch.equal(got, t)


def test_what_is_not_finite_arrives(link):
    t = torch.tensor([math.inf, -math.inf, math.nan, -0.0])
    got = there_and_back(link, t)
    assert torch.equal(got.isnan(), t.isnan()) and got[0] == math.inf and got[3].signbit()
    assert there_and_back(link, (math.inf, -math.inf)) == (math.inf, -math.inf)
    assert math.isnan(there_and_back(link, math.nan))


def test_layout_arrives(link):
    for t in (torch.randn(3, 5).mT, torch.randn(2, 3, 5).movedim(0, 2), torch.randn(6)[::2]):
        got = there_and_back(link, t)
        assert torch.equal(got, t)
        if torch.ops.aten.is_non_overlapping_and_dense(t):
            assert got.stride() == t.stride()


def views():
    larger = torch.randn(5, 7)
    return larger[1:4, 2:6], larger[::2].mT, torch.randn(3, 1).expand(3, 4), larger[0, 3]


@pytest.mark.parametrize("t", views(), ids=["part", "strided", "expanded", "number"])
def test_view_arrives_as_a_view_where_the_sender_is_trusted(link, t):
    tensors = []
    spec = wire.pack(t, tensors, views=True)
    wire.send(link[0], spec, tensors)
    spec, tensors = wire.receive(link[1], soon())
    got = wire.unpack(spec, list(tensors), views=True)
    assert torch.equal(got, t) and got.stride() == t.stride()
    if not torch.ops.aten.is_non_overlapping_and_dense(t):
        assert got.storage_offset() == t.storage_offset()
        with pytest.raises(wire.Malformed, match="a part of a tensor"):
            wire.unpack(spec, tensors)


def test_lazy_tensors_arrive_as_what_they_stand_for(link):
    z = torch.randn(3, dtype=torch.complex128)
    for t in (z.conj(), z.conj().imag, torch._efficientzerotensor(3), torch.ones(3).expand(2, 3)):
        got = there_and_back(link, t)
        assert torch.equal(got, torch.empty(t.shape, dtype=t.dtype).copy_(t))


def test_tensors_that_share_memory_arrive(link):
    t = torch.arange(6.0)
    a, b = there_and_back(link, (t, t[2:4]))
    assert torch.equal(a, t) and torch.equal(b, t[2:4])


def test_plain_values_arrive(link):
    values = (None, True, 3, -2.5, "text", 1j, torch.float16, torch.device("meta"), [1, (2, [])])
    assert there_and_back(link, values) == values
    assert there_and_back(link, {"a": 1, "b": [2.0]}) == {"a": 1, "b": [2.0]}


def test_meta_tensors_arrive_without_numbers(link):
    got = there_and_back(link, torch.empty(3, 5, device="meta", dtype=torch.float16).mT)
    assert (got.is_meta, got.shape, got.stride()) == (True, (5, 3), (1, 5))


def test_what_is_no_value_is_not_sent():
    with pytest.raises(TypeError, match="a object cannot be sent"):
        wire.pack(object(), [])
    assert wire.pack("text", []) == "text"


def frame(text: bytes, blob: bytes = b"") -> bytes:
    return struct.pack(">II", len(text), len(blob)) + text + blob


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff" * 8, "a message of"),
        (frame(b"not json"), "cannot be read"),
        (frame(b"[" * 100_000), "cannot be read"),
        (frame(b'{"a": ' + b"9" * 100_000 + b"}"), "cannot be read"),
        (frame(b"{}", struct.pack("<Q", 10) + b"no safetensors"), "cannot be read"),
        (frame(b"{}", struct.pack("<Q", 2**60) + b"{}"), "too many tensors"),
        (frame(b"{}", save({str(i): torch.zeros(0) for i in range(2000)})), "too many tensors"),
        (frame(b"{}", save({"0": torch.zeros([1] * 30)})), "no known kind"),
        (frame(b"{}", save({"0": torch.zeros(2).to(torch.float8_e4m3fn)})), "no known kind"),
    ],
)
def test_malformed_frames_are_refused(link, data, problem):
    threading.Thread(target=link[0].sendall, args=(data,), daemon=True).start()
    with pytest.raises(wire.Malformed, match=problem):
        wire.receive(link[1], soon())


@pytest.mark.parametrize(
    "spec",
    [
        {"tensor": 5},
        {"tensor": -1},
        {"tensor": "0"},
        {"tensor": 0, "shape": [10**6, 10**6], "strides": [0, 0]},
        {"tensor": 0, "shape": [2], "strides": [10**12]},
        {"tensor": 0, "shape": [1, 1, 0], "strides": [1, 1, 1]},
        {"tensor": 0, "shape": [1], "strides": [1], "offset": 0},
        {"tensor": 0, "shape": [2], "strides": [-1]},
        {"tensor": None, "shape": [1] * 30, "strides": [1] * 30, "dtype": "float32"},
        {"tuple": [{"tensor": 0}, {"tensor": 0}]},
        {"tensor": 0, "complex": "float32"},
        {"tensor": None, "shape": [2], "strides": [1], "dtype": "Tensor"},
        {"tuple": 3},
        {"tuple": [], "list": []},
        {"torch": "load"},
        {"torch": "__builtins__"},
        {"device": 3},
        {"device": "nowhere"},
        {"dict": [[1]]},
        {"unknown": 1},
        {},
        [1],
    ],
    ids=json.dumps,
)
def test_values_that_are_none_are_refused(spec):
    with pytest.raises(wire.Malformed):
        wire.unpack(spec, [torch.zeros(1)])
    assert wire.unpack({"tensor": 0}, [torch.zeros(1)]) == 0


def test_span_of_all_that_was_sent_does_not_make_it_more():
    """Read by its strides such a shape has A⁴ elements for A² that were sent."""
    a = 50
    sent = torch.zeros(a, a, dtype=torch.bool)
    spec = {"tensor": 0, "shape": [a, a, (a - 1) ** 2 + 1], "strides": [1, 1, 1]}
    with pytest.raises(wire.Malformed, match="side by side"):
        wire.unpack(spec, [sent])


def test_what_comes_out_is_no_larger_than_what_was_sent():
    """Headers whose fields contradict one another, of every kind."""
    draw = random.Random(2)
    numbers = (0, 1, 2, 3, 5, 6, 7, 30, -1, 10**6, 2**40, "1", None, 1.5)
    sent, arrived = torch.zeros(2, 3), 0
    for _ in range(5000):
        rank = draw.randrange(4)
        fields = {
            "tensor": draw.choice((0, 0, 0, 1, -1)),
            "shape": draw.choice(([2, 3], [3, 2], draw.choices(numbers, k=rank))),
            "strides": draw.choice(([1, 2], [3, 1], draw.choices(numbers, k=rank))),
            "offset": draw.choice(numbers),
            "complex": draw.choice(("complex64", "float32", "x")),
            "dtype": draw.choice(("float32", "x", None)),
            "name": draw.choice((None, 3)),
        }
        spec = {k: v for k, v in fields.items() if k == "tensor" or draw.random() < 0.5}
        try:
            got = wire.unpack(spec, [sent, None])
        except wire.Malformed:
            continue
        assert got.numel() <= sent.numel()
        assert got.untyped_storage().nbytes() <= 2 * sent.untyped_storage().nbytes()
        arrived += 1
    assert arrived > 50


def test_random_bytes_are_refused_and_nothing_else_happens(link):
    draw = random.Random(1)
    for _ in range(200):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(draw.randbytes(draw.randrange(1, 200)))
            ours.shutdown(socket.SHUT_WR)
            with pytest.raises((wire.Malformed, wire.Closed)):
                wire.receive(theirs, soon(), limit=2**20)


def test_a_message_that_does_not_end_is_late_while_bytes_keep_coming(link):
    questions = []

    def patience() -> float:
        questions.append(len(questions))
        if len(questions) > 20:
            raise wire.Late
        return 100

    def trickle():
        with contextlib.suppress(OSError):
            link[0].sendall(struct.pack(">II", 10_000, 0))
            for _ in range(10_000):
                link[0].send(b" ")
                time.sleep(0.001)

    threading.Thread(target=trickle, daemon=True).start()
    with pytest.raises(wire.Late):
        wire.receive(link[1], patience)
    assert len(questions) == 21


def test_who_does_not_read_is_late(link):
    with pytest.raises(wire.Late):
        wire.send(link[0], "x" * 2**22, patience=wire.until(time.monotonic() + 0.05))


def test_patience_is_asked_again_until_it_ends(link):
    questions = []

    def patience() -> float:
        questions.append(len(questions))
        if len(questions) == 3:
            wire.send(link[0], "at last")
        return 0.01

    assert wire.receive(link[1], patience)[0] == "at last" and len(questions) >= 3


def test_silence_is_late_and_an_end_is_closed(link):
    with pytest.raises(wire.Late):
        wire.receive(link[1], wire.until(time.monotonic() + 0.05))
    link[0].sendall(b"\0\0")
    with pytest.raises(wire.Late):
        wire.receive(link[1], wire.until(time.monotonic() + 0.05))
    link[0].close()
    with pytest.raises(wire.Closed):
        wire.receive(link[1], soon())


def test_a_model_arrives_at_a_student_and_nobody_accepts_one_from_there(link):
    model = TableModel(torch.randn(2, 5, 5).double(), torch.randn(5, 5).double(), 0.5)
    asked = torch.tensor([[0, 3], [4, 1], [2, 2]]), torch.tensor([1, 0, 1])
    tensors: list[Tensor] = []
    wire.send(link[0], wire.pack((model, 3), tensors, views=True), tensors)
    message, sent = wire.receive(link[1], soon())
    with pytest.raises(wire.Malformed, match="of the kind 'model'"):
        wire.unpack(message, list(sent))
    got, _ = wire.unpack(message, list(sent), views=True)
    assert torch.equal(got(*asked), model(*asked)) and got.fade == 0.5
