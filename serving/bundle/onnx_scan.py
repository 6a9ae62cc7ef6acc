"""Refuse an ONNX file that could do more than arithmetic, before ONNX Runtime parses it.

ONNX Runtime does not report which operator domains a model uses, and accepts its own contributed
domains and control flow; whether it follows references to other files depends on its version. The
`onnx` package could check this, but a price server does not have it. So the few fields that matter
are read from the protobuf wire format
(https://protobuf.dev/programming-guides/encoding) along the path
model > graph > node > attribute > tensor. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NoReturn

from .files import POLICY, BundleError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_INSIDE = {
    "model": {7: "graph", 8: "opset import"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor"},
}
_FORBIDDEN = {
    "model": {25: "functions", 20: "training information"},
    "graph": {15: "sparse weights"},
    "attribute": {6: "control flow", 11: "control flow", 22: "sparse weights", 23: "sparse weights"},
    "tensor": {13: "weights in another file", 14: "weights in another file"},
}
_DOMAIN = {"node": 7, "opset import": 1}
_STANDARD = (b"", b"ai.onnx")
_OPERATOR, _DIMENSIONS = 4, 1
_OPERATORS = frozenset(
    b"Add And ArgMax Cast Ceil Clip Concat Constant ConstantOfShape Div Elu Equal Exp Expand Flatten Floor GRU Gather GatherND "
    b"Gemm Greater GreaterOrEqual Identity LSTM LeakyRelu Less LessOrEqual Log MatMul Max Min Mul Neg Not Or Pow "
    b"ReduceMean ReduceSum Relu Reshape Shape Sigmoid Slice Softplus Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze "
    b"Where".split()
)
"""The arithmetic of networks and of decoding actions: no random numbers, no text, no loops."""
_MOST_NUMBERS = 1 << 24


def scan(model: bytes) -> None:
    """Raise BundleError unless the model is one flat graph of standard operators with its weights inside."""
    _message(memoryview(model), "model")


def _message(data: memoryview, kind: str) -> None:
    inside, forbidden = _INSIDE.get(kind, {}), _FORBIDDEN.get(kind, {})
    operator, size = None, 1
    for number, content in _fields(data):
        if number in forbidden and content != 0:
            _refuse(forbidden[number])
        if kind == "tensor" and number == _DIMENSIONS:
            size *= math.prod(_numbers(content))
            if size > _MOST_NUMBERS:
                _refuse(f"a tensor of more than {_MOST_NUMBERS:,} numbers")
        if isinstance(content, int):
            continue
        if kind == "node" and number == _OPERATOR:
            operator = bytes(content[:40])
        if number == _DOMAIN.get(kind) and content not in _STANDARD:
            _refuse(f"operator domain {bytes(content[:40])!r}")
        if number in inside:
            _message(content, inside[number])
    if operator is not None and operator not in _OPERATORS:
        _refuse(f"operator {operator!r}")


def _numbers(content: int | memoryview) -> Iterator[int]:
    """The numbers of a repeated field, single or packed."""
    if isinstance(content, int):
        yield content
        return
    position = 0
    while position < len(content):
        number, position = _varint(content, position)
        yield number


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and contents of one message: an integer for a varint, otherwise bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        # A parser that keeps 32 bits of a longer tag would see another field.
        if tag >> 32 or (wire not in _WIDTH and wire not in (_VARINT, _BYTES)):
            _refuse("a broken protobuf")
        content, position = _varint(data, position) if wire in (_VARINT, _BYTES) else (_WIDTH[wire], position)
        if wire == _VARINT:
            yield tag >> 3, content
            continue
        if content > len(data) - position:
            _refuse("a broken protobuf")
        yield tag >> 3, data[position : position + content]
        position += content


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    _refuse("a broken protobuf")


def _refuse(what: str) -> NoReturn:
    raise BundleError(f"{POLICY} must be one flat graph of standard ONNX operators; got {what}; export it again")
