"""The policy as one ONNX graph: clipping, network, decoding. Needs torch."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from ..pricing import FEATURE_LIMIT, ActionLayout, Parts
from .network import FEATURES


class PolicyGraph(torch.nn.Module):
    """Features (rows, F) to the decoded parts of an action, by the lines that decode in the simulated market.

    actor: the deterministic part of the policy alone; a distribution's argument checks cannot be exported.
    num_products: products in one row; a part has shape (rows, N, …), and without the N product-wise, where it is None.
    """

    def __init__(self, actor: torch.nn.Module, layout: ActionLayout, num_products: int | None) -> None:
        super().__init__()
        self.actor = copy.deepcopy(actor).cpu().eval()
        self.layout = layout
        self.shape = (-1, layout.size) if num_products is None else (-1, num_products, layout.size)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Only the parts that the layout has."""
        raw = self.actor(torch.clip(features, -FEATURE_LIMIT, FEATURE_LIMIT)).reshape(self.shape)
        return tuple(part for part in self.layout.decode(raw) if part is not None)

    def parts(self, rows: NDArray[np.float32]) -> Parts:
        """What torch makes of rows of features, in the form of a policy's `forward`."""
        with torch.inference_mode():
            found = [part.numpy() for part in self(torch.from_numpy(rows))]
        return Parts(**dict(zip(self.layout.names, found, strict=True)))

    def to_onnx(self, columns: int) -> bytes:
        """One file with the weights inside, any number of rows, and nothing about the machine that wrote it."""
        with _quiet():
            program = torch.onnx.export(
                self,
                # Two rows: one row would be taken for a constant.
                (torch.zeros(2, columns),),
                dynamo=True,
                external_data=False,
                input_names=[FEATURES],
                output_names=self.layout.names,
                dynamic_shapes={"features": {0: torch.export.Dim("rows")}},
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
        # The exporter notes stack traces, which hold paths.
        graph = model.graph
        for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.ClearField("metadata_props")
            item.ClearField("doc_string")
        return model.SerializeToString(deterministic=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about packages that are not needed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
