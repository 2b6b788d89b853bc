"""Layers over sequences: attention and recurrence.

Their input has the shape (sequence, features), and so has their output.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from typing_extensions import override

from core.spec.declaration import declare
from core.spec.layers.base import Kept, LayerSpec, Shape, ShapeError, require_rank, shape_text


class _Sequence(LayerSpec):
    group: ClassVar[str] = "Sequences"


class _Attention(_Sequence):
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")

    def _check(self, name: str, heads: int, input_shape: Shape) -> None:
        require_rank(self.kind, input_shape, "sequence, features")
        if input_shape[1] % heads:
            raise ShapeError(
                f"{name} {heads} must divide the {input_shape[1]} features of the input "
                f"{shape_text(input_shape)}."
            )


def _scores(heads: int, input_shape: Shape, order: int) -> int:
    """Numbers of the scores of all pairs of positions, which the fused kernel does not hold."""
    return heads * input_shape[0] ** 2 if order >= 2 else 0


class MultiheadAttention(_Attention):
    """Each position looks at all others, in several ways at once (Vaswani et al. 2017)."""

    title: ClassVar[str] = "Self-attention"
    kind: Literal["multihead_attention"] = "multihead_attention"
    num_heads: int = declare(
        4, label="Heads", help="Ways of looking at once; divides the features.", minimum=1
    )
    dropout: float = declare(
        0.0,
        label="Dropout",
        help="Share of attention set to zero at random.",
        minimum=0,
        maximum=0.999,
        advanced=True,
    )
    bias: bool = declare(
        True, label="Bias", help="Trainable offsets of all projections.", advanced=True
    )

    @property
    @override
    def random(self) -> bool:
        return self.dropout > 0

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        self._check("num_heads", self.num_heads, input_shape)
        return input_shape

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        width = input_shape[-1]
        shapes: dict[str, Shape] = {
            "in_proj_weight": (3 * width, width),
            "in_proj_bias": (3 * width,),
            "out_proj.weight": (width, width),
            "out_proj.bias": (width,),
        }
        return _without_biases(shapes) if not self.bias else shapes

    @override
    def held_numbers(self, input_shape: Shape, order: int) -> int:
        scores = _scores(self.num_heads, input_shape, order)
        return max(super().held_numbers(input_shape, order), scores)

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        size, scores = math.prod(input_shape), self.num_heads * input_shape[0] ** 2
        if order >= 2:
            return 10 * size + (5 if self.random else 3) * scores
        return 6 * size + 3 * scores if self.random else 4 * size


class TransformerEncoderLayer(_Attention):
    """Self-attention and two linear layers, each with a way around it and a norm."""

    title: ClassVar[str] = "Transformer encoder layer"
    kind: Literal["transformer_encoder_layer"] = "transformer_encoder_layer"
    nhead: int = declare(
        4, label="Heads", help="Ways of looking at once; divides the features.", minimum=1
    )
    dim_feedforward: int = declare(
        2048, label="Feed forward", help="Size between the two linear layers.", minimum=1
    )
    dropout: float = declare(
        0.1,
        label="Dropout",
        help="Share set to zero at random, of attention and after it.",
        minimum=0,
        maximum=0.999,
    )
    activation: Literal["relu", "gelu"] = declare(
        "relu", label="Activation", help="Between the two linear layers.", advanced=True
    )
    layer_norm_eps: float = declare(
        1e-5,
        label="Epsilon",
        help="Added to the variance in its norms; above 0.",
        minimum=1e-12,
        advanced=True,
    )
    norm_first: bool = declare(
        False, label="Norms first", help="Norms before each part, not after it.", advanced=True
    )
    bias: bool = declare(
        True, label="Bias", help="Trainable offsets of all its parts.", advanced=True
    )

    @property
    @override
    def functions(self) -> frozenset[str]:
        return frozenset(("layer_norm", "multihead_attention"))

    @property
    @override
    def random(self) -> bool:
        return self.dropout > 0

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        self._check("nhead", self.nhead, input_shape)
        return input_shape

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        width, between = input_shape[-1], self.dim_feedforward
        shapes: dict[str, Shape] = {
            "self_attn.in_proj_weight": (3 * width, width),
            "self_attn.in_proj_bias": (3 * width,),
            "self_attn.out_proj.weight": (width, width),
            "self_attn.out_proj.bias": (width,),
            "linear1.weight": (between, width),
            "linear1.bias": (between,),
            "linear2.weight": (width, between),
            "linear2.bias": (width,),
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
        }
        return _without_biases(shapes) if not self.bias else shapes

    @override
    def held_numbers(self, input_shape: Shape, order: int) -> int:
        scores = _scores(self.nhead, input_shape, order)
        return max(input_shape[0] * max(input_shape[1], self.dim_feedforward), scores)

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        size, scores = math.prod(input_shape), self.nhead * input_shape[0] ** 2
        between = input_shape[0] * self.dim_feedforward
        if self.random:
            # With dropout torch's attention is the math kernel, which holds the scores.
            return (
                18 * size + 5 * (between + scores)
                if order >= 2
                else 11 * size + 3 * (between + scores)
            )
        before_activation = between if self.activation == "gelu" else 0
        if order >= 2:
            return 16 * size + 3 * (between + scores) + before_activation
        return 7 * size + between + before_activation


class _Recurrent(_Sequence):
    keeps: ClassVar[tuple[Kept, ...]] = ("input", "cotangent")
    gates: ClassVar[int]
    """How many linear maps of input and state a step has."""
    states_kept: ClassVar[tuple[float, float]]
    """How many numbers a graph keeps for each of the state's, at order 1 and from order 2 on."""
    hidden_size: int = declare(64, label="Hidden size", help="Size of the state.", minimum=1)
    num_layers: int = declare(
        1, label="Layers", help="How many are stacked.", minimum=1, maximum=100, advanced=True
    )
    bias: bool = declare(True, label="Bias", help="Trainable offsets of all gates.", advanced=True)
    bidirectional: bool = declare(
        False,
        label="Both directions",
        help="Reads the sequence backwards too, and joins the states.",
        advanced=True,
    )

    @property
    def directions(self) -> int:
        """In how many the sequence is read."""
        return 1 + self.bidirectional

    @override
    def output_shape(self, input_shape: Shape) -> Shape:
        require_rank(self.kind, input_shape, "sequence, features")
        return (input_shape[0], self.directions * self.hidden_size)

    @override
    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        rows, shapes = self.gates * self.hidden_size, dict[str, Shape]()
        for layer in range(self.num_layers):
            features = self.directions * self.hidden_size if layer else input_shape[-1]
            for direction in ("", "_reverse")[: self.directions]:
                place = f"l{layer}{direction}"
                shapes[f"weight_ih_{place}"] = (rows, features)
                shapes[f"weight_hh_{place}"] = (rows, self.hidden_size)
                shapes[f"bias_ih_{place}"] = (rows,)
                shapes[f"bias_hh_{place}"] = (rows,)
        return _without_biases(shapes) if not self.bias else shapes

    @override
    def kept_within(self, input_shape: Shape, order: int) -> float:
        states = self.num_layers * math.prod(self.output_shape(input_shape))
        return self.states_kept[order >= 2] * states


class LSTM(_Recurrent):
    """A state and a memory, renewed by gates step by step (Hochreiter and Schmidhuber 1997)."""

    title: ClassVar[str] = "LSTM"
    gates: ClassVar[int] = 4
    states_kept: ClassVar[tuple[float, float]] = (1.4, 22)
    kind: Literal["lstm"] = "lstm"


class GRU(_Recurrent):
    """A state that is renewed by gates step by step (Cho et al. 2014)."""

    title: ClassVar[str] = "GRU"
    gates: ClassVar[int] = 3
    states_kept: ClassVar[tuple[float, float]] = (7, 18)
    kind: Literal["gru"] = "gru"


def _without_biases(shapes: dict[str, Shape]) -> dict[str, Shape]:
    return {name: shape for name, shape in shapes.items() if "bias" not in name}
