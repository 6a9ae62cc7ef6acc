"""The policy as one ONNX graph: clipping, network, decoding. Needs torch."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ...agents.actor import Actor, RecurrentActor
from ...pricing import FEATURE_LIMIT, ActionParts, RecurrentState, row_width
from ..bundle.codec import FEATURES, PolicySetup
from ..recurrent_state import WINDOW


class _LstmNodes(torch.nn.Module):
    """An LSTM as ONNX operators, one per layer, with the arguments and results of `torch.nn.LSTM`;
    for export only.

    Torch's exporter splits an LSTM into a loop or leaves it whole, depending on what the
    process exported before.
    """

    def __init__(self, lstm: torch.nn.LSTM) -> None:
        super().__init__()
        self.units = lstm.hidden_size
        for i, (read, recall, *biases) in enumerate(lstm.all_weights):
            self.register_buffer(f"read{i}", self._in_order(read)[None])
            self.register_buffer(f"recall{i}", self._in_order(recall)[None])
            self.register_buffer(f"bias{i}", torch.cat([self._in_order(bias) for bias in biases])[None])

    @staticmethod
    def _in_order(weights: torch.Tensor) -> torch.Tensor:
        """Torch orders the gates input, forget, cell, output; ONNX input, output, forget, cell."""
        entry, forget, cell, output = weights.detach().chunk(4)
        return torch.cat([entry, output, forget, cell])

    def forward(
        self, row: torch.Tensor, states: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """From (1, rows, F) and states (layers, rows, units) to the last layer's output and the new states."""
        layers, rows, _ = states[0].shape
        before = [state.split(1) if layers > 1 else (state,) for state in states]
        after: list[tuple[torch.Tensor, torch.Tensor]] = []
        for i in range(layers):
            weights = (getattr(self, f"{name}{i}") for name in ("read", "recall", "bias"))
            _, hidden, cell = torch.onnx.ops.symbolic_multi_out(
                "::LSTM",
                [row, *weights, None, before[0][i], before[1][i]],
                {"hidden_size": self.units},
                dtypes=[torch.float32] * 3,
                shapes=[(1, 1, rows, self.units), (1, rows, self.units), (1, rows, self.units)],
            )
            row = hidden
            after.append((hidden, cell))
        if layers == 1:
            return row, after[0]
        hidden, cell = (torch.cat(parts) for parts in zip(*after, strict=True))
        return row, (hidden, cell)


class PolicyGraph(torch.nn.Module):
    """From features (rows, F) and the recurrent state to the decoded parts of an action and
    the new state.

    Decoding uses the code of the simulated market. A part has shape (rows, N, …), or (rows, …)
    product-wise; the states have their rows at `RecurrentLayout.rows_axis`.

    Args:
        actor: The deterministic part of the policy; a distribution's argument checks
            cannot be exported.
    """

    def __init__(self, actor: Actor, setup: PolicySetup) -> None:
        super().__init__()
        self.actor = copy.deepcopy(actor).cpu().eval()
        self.layout = setup.layout
        self.memory = setup.memory
        self.columns = row_width(setup.catalogue, product_wise=setup.product_wise)
        products = [] if setup.product_wise else [setup.catalogue.num_products]
        self.shape = (-1, *products, self.layout.size)

    def forward(self, features: torch.Tensor, *notes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The parts of the layout and the new recurrent state."""
        raw, notes = self._raw(torch.clip(features, -FEATURE_LIMIT, FEATURE_LIMIT), notes)
        parts = self.layout.decode(raw.reshape(self.shape))
        return (*(part for part in parts if part is not None), *notes)

    def _raw(self, row: torch.Tensor, notes: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        if self.memory is None:
            return self.actor(row), ()
        if tuple(self.memory.shapes) == WINDOW:
            periods = torch.cat([notes[0], row[:, None]], dim=1)
            return self.actor(periods.flatten(1)), (periods[:, 1:],)
        raw, *states = cast(RecurrentActor, self.actor).by_layer(row, *notes)
        return raw, tuple(states)

    def answer(self, rows: NDArray[np.float32], notes: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        """Torch's answer, in the form of a `NetworkFunction`."""
        names = self.layout.names
        axis = 0 if self.memory is None else self.memory.rows_axis
        given = [torch.from_numpy(np.ascontiguousarray(np.moveaxis(note, 0, axis))) for note in notes]
        with torch.inference_mode():
            found = [part.numpy() for part in self(torch.from_numpy(rows), *given)]
        renewed = tuple(np.moveaxis(note, axis, 0) for note in found[len(names) :])
        return ActionParts(**dict(zip(names, found, strict=False))), renewed

    def to_onnx(self) -> bytes:
        """One ONNX file with the weights inside, for any number of rows, without traces of the
        machine that wrote it.
        """
        memory, axis = ({}, 0) if self.memory is None else (self.memory.shapes, self.memory.rows_axis)
        rows = torch.export.Dim("rows")
        # Two rows, because the exporter would treat one row as a constant.
        notes = [torch.zeros(2, *shape).movedim(0, axis) for shape in memory.values()]
        inputs = (torch.zeros(2, self.columns), *notes)
        graph = self
        if isinstance(self.actor, RecurrentActor):
            graph = copy.deepcopy(self)
            cast(Any, graph.actor).lstm = _LstmNodes(self.actor.lstm)
        outputs = self.layout.names + ([] if self.memory is None else self.memory.output_names)
        shapes: Any = {"features": {0: rows}} | ({"notes": ({axis: rows},) * len(memory)} if memory else {})
        named: Any = {"input_names": [FEATURES, *memory], "output_names": outputs, "dynamic_shapes": shapes}
        with _quiet():
            program = torch.onnx.export(graph, inputs, dynamo=True, external_data=False, verbose=False, **named)
        assert program is not None
        model = program.model_proto
        # The exporter records stack traces, which contain paths.
        graph = model.graph
        for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.ClearField("metadata_props")
            item.ClearField("doc_string")
        return model.SerializeToString(deterministic=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's messages about optional packages."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
