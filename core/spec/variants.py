"""Configurations like a given one, but smaller or larger: what to try when it costs too much."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import lcm
from typing import Any, Final

from core.spec.data import DigitsData
from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec

Changes = dict[str, Any]
_Layer = dict[str, Any]

_WIDTHS: Final = ("out_features", "out_channels", "embedding_dim", "hidden_size")
"""Fields that decide how wide the output of a layer is."""
_INNER_WIDTHS: Final = ("dim_feedforward",)
_DIVISORS: Final = ("groups", "num_groups", "num_heads")
"""Fields whose value divides the width that comes in, or goes out."""
_INSIDE: Final = ("layers", "candidates")
"""Fields that hold layers within a layer."""
_LONGEST_UNIT: Final = 8


@dataclass(frozen=True)
class Variant:
    """One way to change a configuration.

    Attributes:
        name: what the command line calls it.
        title: what a menu calls it.
        words: what is added to the name of the configuration.
        about: one sentence.
        changes: keys and values to set; empty where there is nothing to change.
    """

    name: str
    title: str
    words: str
    about: str
    changes: Callable[[RunSpec], Changes]


def variants(spec: RunSpec) -> tuple[tuple[Variant, RunSpec], ...]:
    """The variants that make a difference and can run, with their configurations."""
    found = ((variant, _applied(variant, spec)) for variant in VARIANTS)
    return tuple((variant, other) for variant, other in found if other is not None)


def variant(spec: RunSpec, name: str) -> RunSpec:
    """One variant of a configuration, named after it.

    Raises:
        InvalidSpec: there is no such variant, or it changes nothing here, or could not run.
    """
    there_are = {each.name: other for each, other in variants(spec)}
    if name not in there_are:
        allowed = ", ".join(there_are) or "none of this configuration"
        sentence = f"variant: {json.dumps(name)} was given; allowed here: {allowed}."
        raise InvalidSpec([Problem((), sentence)])
    return there_are[name]


def _applied(variant: Variant, spec: RunSpec) -> RunSpec | None:
    changes = variant.changes(spec)
    if not changes:
        return None
    try:
        other = spec.with_changes(changes | {"name": f"{spec.name}, {variant.words}"})
    except InvalidSpec:
        return None
    return None if other.problems() else other


# -------------------------------------------------------------------------------------- width


def _scaled_width(factor: float) -> Callable[[RunSpec], Changes]:
    """Widths of all layers but the last that has one, whose output belongs to the targets."""

    def changes(spec: RunSpec) -> Changes:
        layers = _documents(spec)
        flat = list(_flattened(layers))
        outer = [id(layer) for layer in layers]
        deciding = [place for place, layer in enumerate(flat) if _width(layer) is not None]
        of_output = [place for place in deciding if id(flat[place]) in outer]
        last = of_output[-1] if of_output else len(flat)
        for place, layer in enumerate(flat[:last]):
            following = next((each for each in deciding if each > place), len(flat) - 1)
            step = lcm(*(_divisor(each) for each in flat[place : following + 1]))
            for name in (*_WIDTHS, *_INNER_WIDTHS):
                if name in layer:
                    layer[name] = max(step, int(layer[name] * factor) // step * step)
        return {"model.layers": layers} if layers != _documents(spec) else {}

    return changes


def _documents(spec: RunSpec) -> list[_Layer]:
    """The layers as plain JSON values, to be changed in place."""
    return [json.loads(layer.model_dump_json()) for layer in spec.model.layers]


def _flattened(layers: list[_Layer]) -> Iterator[_Layer]:
    """Each layer before those that it contains."""
    for layer in layers:
        yield layer
        for name in _INSIDE:
            yield from _flattened(layer.get(name, []))


def _width(layer: _Layer) -> int | None:
    return next((layer[name] for name in _WIDTHS if name in layer), None)


def _divisor(layer: _Layer) -> int:
    return lcm(*(layer[name] for name in _DIVISORS if name in layer))


# -------------------------------------------------------------------------------------- depth


def _halved_depth(spec: RunSpec) -> Changes:
    """Half of the longest row of equal groups of layers."""
    layers = _documents(spec)
    start, length, times = _longest_row(layers)
    kept = -(-times // 2)
    if kept == times:
        return {}
    return {"model.layers": layers[: start + length * kept] + layers[start + length * times :]}


def _longest_row(layers: list[_Layer]) -> tuple[int, int, int]:
    """Where equal groups follow each other: the first layer, layers of a group, how many groups.

    Of those that cover equally many layers, the shortest group."""
    best = (0, 1, 1)
    for length in range(1, min(_LONGEST_UNIT, len(layers) // 2) + 1):
        for start in range(len(layers) - 2 * length + 1):
            group, times = layers[start : start + length], 1
            while layers[start + length * times : start + length * (times + 1)] == group:
                times += 1
            if times > 1 and length * times > best[1] * best[2]:
                best = (start, length, times)
    return best


# ----------------------------------------------------------------------------------- examples


def _scaled_examples(factor: float) -> Callable[[RunSpec], Changes]:
    """The batch; under tasks the support and query sets, which stay multiples of the ways."""

    def changes(spec: RunSpec) -> Changes:
        values = spec.flatten()
        keys: tuple[str, ...] = ("data.batch_size",)
        step = 1
        if spec.workload.examples == "tasks":
            keys = ("workload.support", "workload.query")
            step = spec.data.ways if isinstance(spec.data, DigitsData) else 1
        scaled = {key: max(step, int(values[key] * factor) // step * step) for key in keys}
        return {key: value for key, value in scaled.items() if value != values[key]}

    return changes


VARIANTS: Final = (
    Variant(
        "half-width",
        "Half the width",
        "half width",
        "Halves the widths of all layers but the last.",
        _scaled_width(1 / 2),
    ),
    Variant(
        "double-width",
        "Twice the width",
        "double width",
        "Doubles the widths of all layers but the last.",
        _scaled_width(2),
    ),
    Variant(
        "half-depth",
        "Half the depth",
        "half depth",
        "Keeps half of the layers that repeat each other.",
        _halved_depth,
    ),
    Variant(
        "quarter-batch",
        "A quarter of the examples",
        "quarter batch",
        "Takes a quarter of the batch, or of a task's support and query sets.",
        _scaled_examples(1 / 4),
    ),
    Variant(
        "double-batch",
        "Twice the examples",
        "double batch",
        "Doubles the batch, or a task's support and query sets.",
        _scaled_examples(2),
    ),
)
"""Every variant, in the order in which menus list them."""
