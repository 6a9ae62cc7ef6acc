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

from ...agents.actor import Actor, RecurrentActor, with_folded_quantiles
from ...pricing import FEATURE_LIMIT, ActionParts, RecurrentState, row_width
from ..bundle.codec import FEATURES, PolicySetup
from ..recurrent_state import WINDOW


class _LstmNodes(torch.nn.Module):
    """An LSTM as ONNX's own operator, one a layer, with the arguments and results of `torch.nn.LSTM`, for export alone.

    Torch's exporter takes an LSTM apart into a loop or leaves it whole, as what the process exported before has it.
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
        """Torch has the gates as input, forget, cell, output; ONNX as input, output, forget, cell."""
        entry, forget, cell, output = weights.detach().chunk(4)
        return torch.cat([entry, output, forget, cell])

    def forward(
        self, row: torch.Tensor, states: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """(1, rows, F) and states (layers, rows, units) to what the last layer notes and the new states."""
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
    """Features (rows, F), and the notes of a policy that looks back, to the decoded parts of an action and new notes.

    Notes have the rows where `RecurrentLayout.rows_axis` says.

    The lines that decode are those of the simulated market. actor: the deterministic part of the policy alone; a
    distribution's argument checks cannot be exported. A part has shape (rows, N, …), and product-wise (rows, …).
    """

    def __init__(self, actor: Actor, setup: PolicySetup) -> None:
        super().__init__()
        self.actor = with_folded_quantiles(actor).cpu().eval()
        self.layout, self.memory = setup.layout, setup.memory
        self.columns = row_width(setup.catalogue, product_wise=setup.product_wise)
        products = [] if setup.product_wise else [setup.catalogue.num_products]
        self.shape = (-1, *products, self.layout.size)

    def forward(self, features: torch.Tensor, *notes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Only the parts that the layout has, and the notes that the memory has."""
        raw, notes = self._raw(torch.clip(features, -FEATURE_LIMIT, FEATURE_LIMIT), notes)
        # Prices alone lie as they should where a row is a market.
        if self.layout.size == 1 and len(self.shape) == 3 and self.layout.high_multiplier > 1:
            return self._prices(raw), *notes
        parts = self.layout.decode(raw.reshape(self.shape))
        return (*(part for part in parts if part is not None), *notes)

    def _prices(self, raw: torch.Tensor) -> torch.Tensor:
        """`price_multiplier` in three operators instead of five: each costs a small network a thirtieth of a call."""
        log_high, log_low = self.layout.logs
        return (log_high * torch.nn.functional.leaky_relu(raw.clip(-1.0, 1.0), -log_low / log_high)).exp()

    def _raw(self, row: torch.Tensor, notes: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        if self.memory is None:
            return self.actor(row), ()
        if tuple(self.memory.shapes) == WINDOW:
            periods = torch.cat([notes[0], row[:, None]], dim=1)
            return self.actor(periods.flatten(1)), (periods[:, 1:],)
        raw, *states = cast(RecurrentActor, self.actor).by_layer(row, *notes)
        return raw, tuple(states)

    def answer(self, rows: NDArray[np.float32], notes: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        """What torch makes of rows of features and notes, in the form of `NetworkFunction`."""
        names, axis = self.layout.names, 0 if self.memory is None else self.memory.rows_axis
        given = [torch.from_numpy(np.ascontiguousarray(np.moveaxis(note, 0, axis))) for note in notes]
        with torch.inference_mode():
            found = [part.numpy() for part in self(torch.from_numpy(rows), *given)]
        renewed = tuple(np.moveaxis(note, axis, 0) for note in found[len(names) :])
        return ActionParts(**dict(zip(names, found, strict=False))), renewed

    def to_onnx(self) -> bytes:
        """One file with the weights inside, any number of rows, and nothing about the machine that wrote it."""
        memory, axis = ({}, 0) if self.memory is None else (self.memory.shapes, self.memory.rows_axis)
        rows = torch.export.Dim("rows")
        # Two rows: one row would be taken for a constant.
        notes = [torch.zeros(2, *shape).movedim(0, axis) for shape in memory.values()]
        inputs = (torch.zeros(2, self.columns), *notes)
        graph = self
        if isinstance(self.actor, RecurrentActor):
            graph = copy.deepcopy(self)
            cast(Any, graph.actor).lstm = _LstmNodes(self.actor.lstm)
        with _quiet():
            program = torch.onnx.export(
                graph,
                inputs,
                dynamo=True,
                external_data=False,
                input_names=[FEATURES, *memory],
                output_names=self.layout.names + ([] if self.memory is None else self.memory.renewed),
                dynamic_shapes={"features": {0: rows}} | ({"notes": ({axis: rows},) * len(memory)} if memory else {}),
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
