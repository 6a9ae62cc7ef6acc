"""The network of a bundle, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..pricing import ActionLayout, Parts
from .files import POLICY, BundleError
from .onnx_scan import scan

FEATURES = "features"


def open_network(model: bytes, layout: ActionLayout, columns: int) -> Callable[[NDArray[np.float32]], Parts]:
    """A function from (rows, columns) features to decoded parts; one thread, since a small network gains from no more.

    The model is given as bytes: it has no folder from which it could read another file.
    """
    scan(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised
    # Bytes that pass the scan as ONNX must not be taken for ONNX Runtime's own format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = layout.names
    inputs = [(item.name, item.type, item.shape[1:]) for item in session.get_inputs()]
    outputs = [item.name for item in session.get_outputs()]
    if inputs != [(FEATURES, "tensor(float)", [columns])] or outputs != names:
        raise BundleError(
            f"{POLICY} must take {FEATURES} of {columns} columns and give {', '.join(names)}; "
            f"got {inputs} and {', '.join(outputs)}; export it again"
        )

    def forward(rows: NDArray[np.float32]) -> Parts:
        given = session.run(names, {FEATURES: np.ascontiguousarray(rows, dtype=np.float32)})
        return Parts(**dict(zip(names, given, strict=True)))

    return forward
