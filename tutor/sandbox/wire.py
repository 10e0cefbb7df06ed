"""Values between two processes that do not trust each other: JSON and safetensors, no code.

A frame is the length of its JSON and of its tensors (4 bytes each, big-endian), then the two. A
tensor is an entry of the safetensors part; the JSON says where it stands and how it lies in memory.
"""

import base64
import json
import math
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import torch
from safetensors import TensorSpec, deserialize, serialize
from torch import Tensor

from tutor.checks.table_model import TableModel

_HEADER = struct.Struct(">II")
_LARGEST_JSON = 8 * 2**20
_LARGEST_TABLE = 2**16
"""Bytes of the part of a safetensors message that describes its tensors."""
_MOST_DIMENSIONS = 25
_DTYPES = {
    str(d).removeprefix("torch."): d
    for d in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.complex64, torch.complex128),
    )
}
_BY_CODE = {
    **{"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16},
    **{"I32": torch.int32, "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"F32": torch.float32, "F64": torch.float64},
}
_CONSTANTS = _DTYPES | {
    str(c).removeprefix("torch."): c
    for c in (
        *(torch.strided, torch.contiguous_format, torch.preserve_format),
        *(torch.channels_last, torch.channels_last_3d),
    )
}


class Malformed(Exception):
    """The other side sent something that is no frame, or no value."""


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """Nothing came until the deadline."""


Patience = Callable[[], float]
"""Seconds to wait now, before it is asked again. Raises what ends the waiting."""


def until(moment: float) -> Patience:
    """Late at this moment of ``time.monotonic``'s clock."""

    def left() -> float:
        seconds = moment - time.monotonic()
        if seconds <= 0:
            raise Late
        return seconds

    return left


def send(
    link: socket.socket,
    message: Any,
    tensors: list[Tensor] | None = None,
    patience: Patience | None = None,
) -> None:
    text = json.dumps(message).encode()
    # Without the checks of safetensors.torch, which take longer than all the rest.
    specs = {str(i): _spec(t) for i, t in enumerate(tensors or [])}
    blob = serialize(specs) if specs else b""
    left = memoryview(_HEADER.pack(len(text), len(blob)) + text + blob)
    while left:
        try:
            if patience is not None:
                link.settimeout(patience())
            left = left[link.send(left) :]
        except TimeoutError:
            continue
        except OSError:
            raise Closed from None


def _spec(t: Tensor) -> TensorSpec:
    name, size = str(t.dtype).removeprefix("torch."), math.prod(t.shape) * t.element_size()
    return TensorSpec(dtype=name, shape=t.shape, data_ptr=t.data_ptr(), data_len=size)


def receive(
    link: socket.socket,
    patience: Patience | None = None,
    limit: int = 2**31,
    text_limit: int = _LARGEST_JSON,
) -> tuple[Any, list[Tensor]]:
    """The next frame; ``limit`` in bytes of tensors, ``text_limit`` in bytes of JSON.

    Malformed, Closed or what ``patience`` raises instead.
    """
    json_size, blob_size = _HEADER.unpack(_exactly(link, _HEADER.size, patience))
    if json_size > text_limit or blob_size > limit:
        raise Malformed(f"a message of {json_size + blob_size:,} bytes")
    text = _exactly(link, json_size, patience)
    blob = _exactly(link, blob_size, patience)
    try:
        message = json.loads(text)
        return message, _tensors(bytes(blob)) if blob else []
    except Malformed:
        raise
    except Exception as error:  # whatever a parser makes of hostile bytes, RecursionError included
        raise Malformed(f"a message that cannot be read ({type(error).__name__})") from None


def _tensors(blob: bytes) -> list[Tensor]:
    if int.from_bytes(blob[:8], "little") > _LARGEST_TABLE:
        raise Malformed("too many tensors")
    named = dict(deserialize(blob))
    return [_tensor(named[str(i)]) for i in range(len(named))]


def _tensor(found: dict[str, Any]) -> Tensor:
    dtype, shape = _BY_CODE.get(found["dtype"]), found["shape"]
    if dtype is None or len(shape) > _MOST_DIMENSIONS:
        raise Malformed("a tensor of no known kind")
    if not found["data"]:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(found["data"], dtype=dtype).reshape(shape)


def _exactly(link: socket.socket, size: int, patience: Patience | None) -> bytearray:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        try:
            if patience is not None:  # asked also while bytes keep coming
                link.settimeout(patience())
            n = link.recv_into(view[got:])
        except TimeoutError:
            continue
        except OSError:
            raise Closed from None
        if not n:
            raise Closed
        got += n
    return data


# Values


def pack(value: Any, tensors: list[Tensor], name: Any = None, views: bool = False) -> Any:
    """JSON for ``value``; its tensors are appended to ``tensors``.

    ``name(value)`` may give a number under which the other side keeps that tensor, list or
    mapping. With
    ``views``, a part of a larger tensor is sent with all that lies around it, and an expanded one
    as the few numbers that it is: whoever receives it has a view as well.
    """
    if isinstance(value, Tensor):
        return _pack_tensor(value, tensors, name, views)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, tuple):
        return {"tuple": [pack(v, tensors, name, views) for v in value]}
    if isinstance(value, list):
        about = {} if name is None else {"name": name(value)}
        return {"list": [pack(v, tensors, name, views) for v in value], **about}
    if isinstance(value, dict):
        about, items = {} if name is None else {"name": name(value)}, value.items()
        packed = [[pack(k, tensors), pack(v, tensors, name, views)] for k, v in items]
        return {"dict": packed, **about}
    if isinstance(value, TableModel):
        parts = (pack(t, tensors, name, views) for t in value.tensors)
        return {"model": [*parts, value.fade]}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _pack_tensor(t: Tensor, tensors: list[Tensor], name: Any, views: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"tensor": None if t.is_meta else len(tensors)}
    if name is not None:
        about["name"] = name(t)
    t = t.detach()
    dense = torch.ops.aten.is_non_overlapping_and_dense(t)
    if t.is_meta or (dense and not t.is_contiguous()):
        about |= {"shape": list(t.shape), "strides": list(t.stride())}
    if t.is_meta:
        about["dtype"] = str(t.dtype).removeprefix("torch.")
        return about
    if views and not dense and t.device.type == "cpu" and not (t.is_complex() or t.is_neg()):
        about |= {"shape": list(t.shape), "strides": list(t.stride())}
        about["offset"] = t.storage_offset()
        tensors.append(_storage_of(t))
        return about
    if t.is_complex():
        about["complex"] = str(t.dtype).removeprefix("torch.")
        t = torch.view_as_real(t.resolve_conj())
    if not t.is_contiguous() or t.is_neg() or t._is_zerotensor() or t.device.type != "cpu":
        t = torch.empty(t.shape, dtype=t.dtype).copy_(t)  # resolves what is lazy in it
    tensors.append(t)
    return about


def _storage_of(t: Tensor) -> Tensor:
    """All that its storage holds, in one dimension."""
    storage = t.untyped_storage()
    return torch.empty(0, dtype=t.dtype).set_(storage, 0, (storage.nbytes() // t.itemsize,))


def unpack(spec: Any, tensors: list[Tensor | None], keep: Any = None, views: bool = False) -> Any:
    """The value of ``spec``; Malformed if it is none. Takes what it uses out of ``tensors``.

    ``keep(number, value)`` is given what the sender named, and returns what to use in its place.
    With ``views`` the sender is trusted, and may send views: few numbers may become a large tensor.
    And models, which are called.
    """
    try:
        return _unpack(spec, tensors, keep, views)
    except Malformed:
        raise
    except Exception as error:
        raise Malformed(f"a value that cannot be read ({type(error).__name__})") from None


def _unpack(spec: Any, tensors: list[Tensor | None], keep: Any, views: bool) -> Any:
    if not isinstance(spec, dict):
        if spec is None or isinstance(spec, (bool, int, float, str)):
            return spec
        raise Malformed("a value of no known kind")
    if "tensor" in spec:
        return _unpack_tensor(spec, tensors, keep, views)
    (kind,) = spec.keys() - {"name"}
    value = spec[kind]
    if kind == "tuple":
        return tuple(_unpack(v, tensors, keep, views) for v in value)
    if kind in ("list", "dict"):
        if kind == "list":
            made = [_unpack(v, tensors, keep, views) for v in value]
        else:
            made = {_key(k): _unpack(v, tensors, keep, views) for k, v in value}
        return made if keep is None or "name" not in spec else keep(spec["name"], made)
    if kind == "model" and views:
        *parts, fade = value
        return TableModel(*(_unpack(part, tensors, keep, views) for part in parts), fade)
    if kind == "bytes":
        return base64.b64decode(value, validate=True)
    if kind == "float":
        return float(value)
    if kind == "complex":
        return complex(*value)
    if kind == "device" and isinstance(value, str):  # a number is one, too, with CUDA
        return torch.device(value)
    if kind == "torch":
        return _CONSTANTS[value]
    raise Malformed(f"a value of the kind {str(kind)[:40]!r}")


def _key(spec: Any) -> str | bytes:
    key = spec if isinstance(spec, str) else _unpack(spec, [], None, False)
    if not isinstance(key, str | bytes):
        raise Malformed("a mapping of something else than text and bytes")
    return key


def _unpack_tensor(
    spec: dict[str, Any], tensors: list[Tensor | None], keep: Any, views: bool
) -> Tensor:
    if len(spec.get("shape", ())) > _MOST_DIMENSIONS:
        raise Malformed("a tensor of too many dimensions")
    if spec["tensor"] is None:
        dtype = _DTYPES[spec["dtype"]]
        t = torch.empty_strided(spec["shape"], spec["strides"], dtype=dtype, device="meta")
    else:
        index = spec["tensor"]
        t = tensors[index] if index >= 0 else None
        if t is None:
            raise Malformed("a tensor that was not sent, or is used twice")
        tensors[index] = None  # a short message must not become many large tensors
        if "complex" in spec:
            t = torch.view_as_complex(t).to(_DTYPES[spec["complex"]])
        if "offset" in spec:
            if not views:
                raise Malformed("a part of a tensor")
            t = t.as_strided(spec["shape"], spec["strides"], spec["offset"])
        elif "strides" in spec:
            shape, strides = spec["shape"], spec["strides"]
            span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
            # Before anything is made of it: a copy takes as long as it has elements.
            as_sent = shape == list(t.shape) and span == math.prod(shape)
            if not as_sent or min(strides, default=0) < 0:
                raise Malformed("a tensor whose elements do not lie side by side")
            t = torch.empty_strided(shape, strides, dtype=t.dtype).copy_(t)
    number = spec.get("name")
    return t if keep is None or number is None else keep(number, t)
