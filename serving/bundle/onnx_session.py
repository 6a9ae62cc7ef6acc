"""The network of a bundle, run by ONNX Runtime once a scan has found nothing but arithmetic in it.

ONNX Runtime does not report which operator domains a model uses, and accepts its own contributed
domains and control flow; whether it follows references to other files depends on its version. The
`onnx` package could check this, but a price server does not have it. So the few fields that matter
are read from the protobuf wire format
(https://protobuf.dev/programming-guides/encoding) along the path
model > graph > node > attribute > tensor. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ...pricing import ActionParts, RecurrentState, row_width
from .codec import FEATURES, PolicySetup, refusal
from .files import POLICY

_MOST_BYTES = 1 << 30
_MOST_WEIGHTS = 1 << 24
_VARINT = 0
_FIXED64 = 1
_BYTES = 2
_FIXED32 = 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_INSIDE = {"model": {7: "graph", 8: "opset import"}, "graph": {1: "node", 5: "tensor"}, "node": {5: "attribute"}}
_INSIDE["attribute"] = {5: "tensor", 10: "tensor"}
_FORBIDDEN = {"model": {25: "functions", 20: "training information"}, "graph": {15: "sparse weights"}}
_FORBIDDEN["attribute"] = {**dict.fromkeys((6, 11), "control flow"), **dict.fromkeys((22, 23), "sparse weights")}
_FORBIDDEN["tensor"] = dict.fromkeys((13, 14), "weights in another file")
_DOMAIN = {"node": 7, "opset import": 1}
_STANDARD = (b"", b"ai.onnx")
_OPERATOR = 4
_DIMENSIONS = 1
_OPERATORS = frozenset(
    b"Add And ArgMax Cast Ceil Clip Concat Constant ConstantOfShape Div Elu Equal Exp Expand Flatten Floor GRU Gather GatherND "
    b"Gemm Greater GreaterOrEqual Identity LSTM LeakyRelu Less LessOrEqual Log MatMul Max Min Mul Neg Not Or Pow "
    b"ReduceMean ReduceSum Relu Reshape Shape Sigmoid Slice Softplus Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze "
    b"Where".split()
)
"""The arithmetic of networks and of decoding actions: no random numbers, no text, no loops."""


@functools.cache
def _limited_memory() -> None:
    """Limit the memory of all networks in this process: a small file can request a huge tensor."""
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    default = onnxruntime.OrtMemType.DEFAULT
    place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, default)
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(_MOST_BYTES, -1, -1, -1))


class OnnxNetwork:
    """The network of a bundle, run on one thread, since a small network does not gain from more. Another process opens it
    again, where it is passed on: sessions cannot be.

    The model is passed as bytes, so it has no folder from which it could read another file.

    Raises:
        BundleError: The model is not such a network.
    """

    def __init__(self, model: bytes, setup: PolicySetup) -> None:
        self._given = (model, setup)
        self._session = _open_session(model)
        names = setup.layout.names
        self._takes, self._gives = _ports(self._session, setup)
        self._axis = 0 if setup.memory is None else setup.memory.rows_axis
        self._number = len(names)
        # The position of each part among the outputs is computed once: a whole call takes a few microseconds.
        self._pick = operator.itemgetter(*[names.index(part) if part in names else -1 for part in ActionParts._fields])

    def __call__(self, rows: NDArray[np.float32], notes: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        """The parts of an action for rows of features, and the new recurrent state."""
        moved = [np.ascontiguousarray(np.moveaxis(note, 0, self._axis)) for note in notes]
        inputs = (np.ascontiguousarray(rows, dtype=np.float32), *moved)
        given: list[Any] = [*self._session.run(self._gives, dict(zip(self._takes, inputs, strict=True)))]
        renewed = tuple(np.moveaxis(note, self._axis, 0) for note in given[self._number :])
        given.append(None)
        return ActionParts._make(self._pick(given)), renewed

    def __reduce__(self) -> tuple[type[OnnxNetwork], tuple[bytes, PolicySetup]]:
        return OnnxNetwork, self._given


def _open_session(model: bytes) -> onnxruntime.InferenceSession:
    """A single-threaded session of ONNX Runtime for a scanned model."""
    scan(model)
    _limited_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    # Bytes that pass the scan as ONNX must not be read as ONNX Runtime's own format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _ports(session: onnxruntime.InferenceSession, setup: PolicySetup) -> tuple[list[str], list[str]]:
    """Names of the network's inputs and outputs, which must be those of such a policy."""
    memory = setup.memory
    columns = row_width(setup.catalogue, product_wise=setup.product_wise)
    takes: dict[str, tuple[int | str, ...]] = {FEATURES: ("rows", columns)}
    gives = list(setup.layout.names)
    if memory is not None:
        axis = memory.rows_axis
        takes |= {name: (*shape[:axis], "rows", *shape[axis:]) for name, shape in memory.shapes.items()}
        gives += memory.output_names
    inputs = [(item.name, item.type, tuple(item.shape)) for item in session.get_inputs()]
    outputs = [item.name for item in session.get_outputs()]
    if inputs != [(name, "tensor(float)", shape) for name, shape in takes.items()] or outputs != gives:
        raise refusal(POLICY, f"must take {takes} and give {', '.join(gives)}; got {inputs} and {', '.join(outputs)}")
    return list(takes), gives


def scan(model: bytes) -> None:
    """Raise BundleError unless the model is one flat graph of standard operators with its weights inside."""
    _message(memoryview(model), "model")


def _message(data: memoryview, kind: str) -> None:
    operator = None
    size = 1
    for number, content in _fields(data):
        if (what := _FORBIDDEN.get(kind, {}).get(number)) and content != 0:
            _refuse(what)
        if kind == "tensor" and number == _DIMENSIONS:
            size *= math.prod(_numbers(content))
            if size > _MOST_WEIGHTS:
                _refuse(f"a tensor of more than {_MOST_WEIGHTS:,} numbers")
        if isinstance(content, int):
            continue
        if kind == "node" and number == _OPERATOR:
            operator = bytes(content[:40])
        if number == _DOMAIN.get(kind) and content not in _STANDARD:
            _refuse(f"operator domain {bytes(content[:40])!r}")
        if inner := _INSIDE.get(kind, {}).get(number):
            _message(content, inner)
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
    raise refusal(POLICY, f"must be one flat graph of standard ONNX operators; got {what}")
