"""Writes a BERT (Devlin et al. 2019) as a graph for ONNX Runtime, out of its fused operators.

The graph takes embedded tokens, so that a large vocabulary stays outside, mapped from its file. In int8
(`calibrated`) the linear layers multiply bytes: activations with one scale a pass, weights with one a
channel. A few channels of the activations are far larger than the rest and would waste the range; they are
divided, and the weights multiplied, by factors found on a few sentences (SmoothQuant, Xiao et al. 2023).
Weights have seven bits: without VNNI a CPU adds two products in 16 bits, where eight bits may saturate. So
every CPU computes the same integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.vectors import Floats

if TYPE_CHECKING:
    from pathlib import Path

_OPSET = 18
_CONTRIB = "com.microsoft"
_SEVEN_BITS = 63
# The share of the range that moves from activations to weights; 0.6 and 0.7 measured lower cosines.
_SMOOTHING = 0.5
_LEAST = 1e-3

# The largest magnitude of each channel that goes into a linear layer, by the layer's name.
Peaks = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class BertShape:
    """The sizes of a BERT that its weights do not tell."""

    layers: int
    heads: int
    eps: float


def write_graph(
    weights: Mapping[str, Floats], shape: BertShape, file: Path, *, peaks: Peaks | None = None
) -> None:
    """Write the graph: `embedded` (rows, tokens, hidden), `lengths` (rows,) -> `states` like `embedded`.

    In float32, or with `peaks` in int8. `weights` have the hub's names.
    """
    import onnx

    onnx.save(_Graph(weights, shape, peaks).model(), str(file))


def measured_peaks(
    weights: Mapping[str, Floats], shape: BertShape, batches: Iterable[Floats]
) -> dict[str, Floats]:
    """Run the float32 graph over embedded texts, each (1, tokens, hidden), and return the peaks."""
    import onnxruntime

    graph = _Graph(weights, shape, None, probing=True)
    session = onnxruntime.InferenceSession(
        graph.model().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    peaks: dict[str, Floats] = {}
    for embedded in batches:
        given = {"embedded": embedded, "lengths": np.array([embedded.shape[1]], np.int32)}
        for name, found in zip(graph.probes, session.run(graph.probes, given), strict=True):
            highest = np.abs(found).max(axis=(0, 1))
            peaks[name] = np.maximum(peaks.get(name, highest), highest)
    return peaks


class _Graph:
    def __init__(
        self, weights: Mapping[str, Floats], shape: BertShape, peaks: Peaks | None, *, probing: bool = False
    ) -> None:
        self._weights = weights
        self._shape = shape
        self._peaks = peaks
        self._probing = probing
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.probes: list[str] = []

    def model(self) -> Any:
        from onnx import TensorProto, helper

        states = self._norm_of("embedded", "embeddings.LayerNorm")
        for layer in range(self._shape.layers):
            states = self._layer(states, f"encoder.layer.{layer}")
        self._nodes.append(helper.make_node("Identity", [states], ["states"]))
        hidden = len(self._weights["embeddings.LayerNorm.bias"])
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [
                helper.make_tensor_value_info("embedded", TensorProto.FLOAT, ["rows", "tokens", hidden]),
                helper.make_tensor_value_info("lengths", TensorProto.INT32, ["rows"]),
            ],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
                for name in ("states", *self.probes)
            ],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def _layer(self, states: str, prefix: str) -> str:
        parts = [f"{prefix}.attention.self.{name}" for name in ("query", "key", "value")]
        together = self._linear(states, parts)
        query, key, value = self._op("Split", [together], outputs=3, axis=-1, num_outputs=3)
        bias = self._constant(np.concatenate([self._weights[f"{part}.bias"] for part in parts]))
        attention = [query, key, value, bias, "lengths"]
        mixed = self._op("MultiHeadAttention", attention, domain=_CONTRIB, num_heads=self._shape.heads)[0]
        attended = self._added(self._linear(mixed, [f"{prefix}.attention.output.dense"]), states, prefix)
        up = self._linear(attended, [f"{prefix}.intermediate.dense"])
        up_bias = self._constant(self._weights[f"{prefix}.intermediate.dense.bias"])
        active = self._op("BiasGelu", [up, up_bias], domain=_CONTRIB)[0]
        down = self._linear(active, [f"{prefix}.output.dense"])
        return self._added(down, attended, prefix, "output")

    def _added(self, change: str, states: str, prefix: str, part: str = "attention.output") -> str:
        """The normalised sum of states, a linear layer's result, and that layer's bias."""
        names = ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")
        inputs = [
            change,
            states,
            *(self._constant(self._weights[f"{prefix}.{part}.{name}"]) for name in names),
        ]
        return self._op("SkipLayerNormalization", inputs, domain=_CONTRIB, epsilon=self._shape.eps)[0]

    def _norm_of(self, given: str, name: str) -> str:
        inputs = [given, *(self._constant(self._weights[f"{name}.{part}"]) for part in ("weight", "bias"))]
        return self._op("LayerNormalization", inputs, axis=-1, epsilon=self._shape.eps)[0]

    def _linear(self, given: str, names: Sequence[str]) -> str:
        """One multiplication for layers that read the same states; biases are added elsewhere."""
        if self._probing:
            self.probes.append(names[0])
            self._nodes.append(_node("Identity", [given], [names[0]]))
        weight = np.concatenate([self._weights[f"{name}.weight"] for name in names])
        if self._peaks is None:
            return self._op("MatMul", [given, self._constant(weight.T)])[0]
        factors = np.maximum(self._peaks[names[0]], _LEAST) ** _SMOOTHING
        factors = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
        weight = weight * factors
        scale = np.abs(weight).max(axis=1) / _SEVEN_BITS
        small = np.round(weight / np.where(scale == 0, 1, scale)[:, None]).astype(np.int8)
        inputs = [
            self._op("Mul", [given, self._constant(1 / factors)])[0],
            self._constant(small.T),
            self._constant(scale.astype(np.float32)),
            self._constant(np.zeros(len(scale), np.int8)),
        ]
        return self._op("DynamicQuantizeMatMul", inputs, domain=_CONTRIB)[0]

    def _op(
        self, kind: str, inputs: Sequence[str], *, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[str]:
        names = [f"{len(self._nodes)}.{place}" for place in range(outputs)]
        self._nodes.append(_node(kind, inputs, names, domain=domain, **attributes))
        return names

    def _constant(self, values: Any) -> str:
        from onnx import numpy_helper

        name = f"constant.{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, list(inputs), list(outputs), **attributes)
