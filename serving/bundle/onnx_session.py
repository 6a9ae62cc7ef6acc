"""The network of a bundle, run by ONNX Runtime."""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ...pricing import ActionParts, RecurrentState, row_width
from .codec import FEATURES, NetworkFunction, PolicySetup
from .files import POLICY, BundleError
from .onnx_scan import scan

_MOST_BYTES = 1 << 30


@functools.cache
def _limited_memory() -> None:
    """Limit the memory of all networks in this process: a small file can request a huge tensor."""
    kind, default = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, default)
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(_MOST_BYTES, -1, -1, -1))


def open_network(model: bytes, setup: PolicySetup) -> NetworkFunction:
    """The network of a bundle, run on one thread, since a small network does not gain from more.

    The model is passed as bytes, so it has no folder from which it could read another file.

    Raises:
        BundleError: The model is not such a network.
    """
    session = _open_session(model)
    takes, gives = _ports(session, setup)
    names, memory = setup.layout.names, setup.memory
    shapes, axis = ({}, 0) if memory is None else (memory.shapes, memory.rows_axis)
    # The position of each part among the outputs is computed once: a whole call takes about ten
    # microseconds.
    number = len(names)
    pick = operator.itemgetter(*[names.index(part) if part in names else -1 for part in ActionParts._fields])
    run, own = cast(Any, session.run), threading.local()
    rows_of_one = setup.catalogue.num_products if setup.product_wise else 1
    if any(len(_sizes(item)) + 1 < len(item.shape) for item in session.get_outputs()):
        rows_of_one = 0  # memory cannot be bound for outputs of unknown size
    if rows_of_one > 1 and any(shape[0] > 1 for shape in shapes.values() if axis):
        rows_of_one = 0  # states by row and by layer have another memory layout

    remembered = len(shapes)

    def network(rows: NDArray[np.float32], notes: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        # Missing states must not be those of the previous call, which are still in the bound
        # memory.
        if len(rows) != rows_of_one or len(notes) != remembered:
            moved = [np.ascontiguousarray(np.moveaxis(note, 0, axis)) for note in notes]
            given = run(gives, dict(zip(takes, (np.ascontiguousarray(rows, dtype=np.float32), *moved), strict=True)))
            renewed = tuple(np.moveaxis(note, axis, 0) for note in given[number:])
        else:
            try:
                once = own.once
            except AttributeError:
                once = own.once = _run_in_place(session, rows_of_one)
            given = once(rows, *notes)
            renewed = tuple(given[number:])
        given.append(None)
        return ActionParts._make(pick(given)), renewed

    return _Network(model, setup, network)


@dataclass(frozen=True)
class _Network:
    """A network that another process opens again, where it is passed on: sessions cannot be."""

    model: bytes
    setup: PolicySetup
    run: NetworkFunction

    def __call__(self, rows: NDArray[np.float32], notes: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        return self.run(rows, notes)

    def __reduce__(self) -> tuple[Callable[..., NetworkFunction], tuple[bytes, PolicySetup]]:
        return open_network, (self.model, self.setup)


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
    memory, columns = setup.memory, row_width(setup.catalogue, product_wise=setup.product_wise)
    takes: dict[str, tuple[int | str, ...]] = {FEATURES: ("rows", columns)}
    gives = list(setup.layout.names)
    if memory is not None:
        axis = memory.rows_axis
        takes |= {name: (*shape[:axis], "rows", *shape[axis:]) for name, shape in memory.shapes.items()}
        gives += memory.output_names
    inputs = [(item.name, item.type, tuple(item.shape)) for item in session.get_inputs()]
    outputs = [item.name for item in session.get_outputs()]
    if inputs != [(name, "tensor(float)", shape) for name, shape in takes.items()] or outputs != gives:
        raise BundleError(
            f"{POLICY} must take {takes} and give {', '.join(gives)}; "
            f"got {inputs} and {', '.join(outputs)}; export it again"
        )
    return list(takes), gives


def _sizes(item: onnxruntime.NodeArg) -> list[int]:
    """The sizes that do not depend on the number of rows."""
    return [size for size in item.shape if isinstance(size, int)]


def _run_in_place(session: onnxruntime.InferenceSession, rows: int) -> Callable[..., list[Any]]:
    """A function from inputs to outputs for a fixed number of rows, for one thread.

    It uses memory that is bound once: passing arrays takes as long as a small network itself.
    """
    binding, run = session.io_binding(), session.run_with_iobinding
    inputs, outputs = (
        [np.zeros((rows, *_sizes(item)), np.float32) for item in items]
        for items in (session.get_inputs(), session.get_outputs())
    )
    for bind, items, arrays in (
        (binding.bind_input, session.get_inputs(), inputs),
        (binding.bind_output, session.get_outputs(), outputs),
    ):
        for item, array in zip(items, arrays, strict=True):
            shape = [size if isinstance(size, int) else rows for size in item.shape]
            bind(item.name, "cpu", 0, np.float32, shape, array.ctypes.data)

    def once(*given: NDArray[np.float32]) -> list[Any]:
        for place, array in zip(inputs, given, strict=False):
            place[...] = array
        run(binding)
        return [array.copy() for array in outputs]

    return once
