"""What a user should know of a spec before it runs, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from core.spec.compilation import COMPILED_BUFFERS, COMPUTED_ONCE, recomputes
from core.spec.declaration import Path, Spec, declared_fields, dotted, shown
from core.spec.derivation import (
    BY_MATH_KERNEL,
    FIRST_WRONG_ORDER,
    NO_FUSED_ATTENTION,
    NO_FUSED_RECURRENCE,
    WITHOUT_ONEDNN,
    Derivation,
)
from core.spec.layers import Embedding, LayerSpec
from core.spec.run import RunSpec
from core.spec.workloads import Maml

_WRITTEN_OUT: Final = (
    "it is computed from elementary operations, which is right; memory and time differ from those "
    "of torch."
)

NO_CHECK_OF_STEPS: Final = (
    "The result was not checked: only the user's file knows what its step computes."
)
OWN_STEP: Final = (
    "The file defines step(module, batch): that is what is measured, in place of the workload."
)


@dataclass(frozen=True)
class Notice:
    """A choice that works but surprises.

    Attributes:
        severity: a ``warning`` where it is not what it seems, a ``note`` of what the engine does by
            itself.
        layer: position of the layer, None where the whole configuration is meant.
        sentence: begins with the key, or the kind of the layer, where it is about one.
    """

    severity: Literal["warning", "note"]
    layer: int | None
    sentence: str


def notices(spec: RunSpec) -> tuple[str, ...]:
    """The sentences of ``layer_notices``, each once."""
    return tuple(dict.fromkeys(notice.sentence for notice in layer_notices(spec)))


def layer_notices(spec: RunSpec) -> tuple[Notice, ...]:
    """Choices that work but surprise, those of the whole configuration first."""
    return (
        *_without_effect(spec),
        *_of_mitigations(spec),
        *_of_parts_and_precision(spec),
        *_of_differences(spec),
        *_of_layers(spec),
    )


_REFUSED: Final = frozenset(
    ["workload.order", "workload.batched", "workload.test_tasks", "mitigation.accumulation"]
)
"""Where these have no effect, a spec that sets them is refused, or they follow from another."""


def _without_effect(spec: RunSpec) -> Iterator[Notice]:
    """Settings that were given and do not matter as the others are set."""
    checkpointing: Path = ("mitigation", "checkpointing")
    parts: tuple[tuple[Path, Spec], ...] = (
        (("data",), spec.data),
        (("workload",), spec.workload),
        (("mitigation",), spec.mitigation),
        (checkpointing, spec.mitigation.checkpointing),
        (("measure",), spec.measure),
    )
    for path, part in parts:
        for field in declared_fields(type(part)):
            key, cause = dotted((*path, field.name)), field.without_effect_by(part, spec)
            if cause is None or key in _REFUSED:
                continue
            if getattr(part, field.name) != field.default:
                why = _why(spec, path, *cause)
                yield Notice("warning", None, f"{key} has no effect here: {why}.")


def _why(spec: RunSpec, path: Path, key: str, value: object) -> str:
    """What keeps a setting from having an effect, in words.

    Args:
        spec: the whole.
        path: of the part that the setting belongs to.
        key: of what would have to have another value.
        value: that it has.
    """
    title = spec.workload.title
    if key == "workload.adapts":
        return f"{title} has no inner loop"
    if key == "workload.examples":
        if value == "tasks":
            return f"{title} computes on workload.support and workload.query examples of each task"
        return f"{title} has no tasks"
    if key == "steps_weights":
        return "workload.order is 1 and workload.search_steps is 0"
    if key == "ends_by_time":
        return "measure.repetitions and measure.warmup are numbers"
    return f"{dotted((*path, key))} is {shown(value)}"


def _of_mitigations(spec: RunSpec) -> Iterator[Notice]:
    workload = spec.workload
    if spec.mitigation.compile:
        yield Notice("note", None, COMPILED_BUFFERS)
        if recomputes(spec.mitigation):
            yield Notice("warning", None, COMPUTED_ONCE)
    if spec.mitigation.checkpointing.kind == "torch" and workload.derivative_order >= 2:
        yield Notice(
            "warning",
            None,
            "torch's checkpointing frees activations for the first backward only: from order 2 on "
            "it saves little or costs memory. rematerialize saves at every order.",
        )
    if isinstance(workload, Maml):
        yield from _of_meta_learning(spec, workload)


def _of_meta_learning(spec: RunSpec, workload: Maml) -> Iterator[Notice]:
    if spec.mitigation.inner_loop != "standard" and not workload.unrolls:
        keeps = "order 1" if workload.variant in ("maml", "anil") else workload.variant
        yield Notice(
            "warning",
            None,
            f"mitigation.inner_loop has no effect here: {keeps} keeps no graph of its inner steps.",
        )
    if workload.inner_lr == 0:
        yield Notice("warning", None, "workload.inner_lr is 0: the inner steps change nothing.")


def _of_parts_and_precision(spec: RunSpec) -> Iterator[Notice]:
    parts, precision = spec.mitigation.accumulation, spec.mitigation.precision
    if spec.is_own_step:
        if parts > 1:
            sentence = "mitigation.accumulation has no effect on a step of your own."
            yield Notice("warning", None, sentence)
        if precision == "autocast":
            yield Notice(
                "warning",
                None,
                "mitigation.precision autocast has no effect on a step of your own, which can "
                "enter torch.autocast itself.",
            )
        return
    if parts > 1 and spec.model.trace() and spec.model.is_random:
        yield Notice(
            "warning",
            None,
            f"mitigation.accumulation: each of the {parts} parts draws random numbers of its own, "
            "so that dropout leaves out other entries than in a whole batch.",
        )
    if spec.workload.takes_differences and precision in ("bfloat16", "autocast"):
        yield Notice(
            "warning",
            None,
            f"mitigation.precision {precision}: two gradients of two or three digits leave one "
            "digit of their difference at best.",
        )


_KINKED = frozenset(["relu", "leaky_relu", "max_pool2d"])


def _of_differences(spec: RunSpec) -> Iterator[Notice]:
    """A difference of gradients reaches across the kinks of what is only piecewise smooth."""
    workload = spec.workload
    kinked = sorted(_KINKED & spec.as_computed().model.functions)
    if workload.takes_differences and kinked:
        yield Notice(
            "warning",
            None,
            f"workload: a finite difference steps across the kinks of {', '.join(kinked)}, so that "
            "it can be far from the exact derivative, by tens of percent; smooth activations keep "
            "it near.",
        )


def _of_layers(spec: RunSpec) -> Iterator[Notice]:
    derivation, computed = spec.workload.derivation, spec.as_computed().model
    why = derivation.why_rewritten(spec.loss)
    if why is not None:
        yield Notice("note", None, f"loss: {why}, so {_WRITTEN_OUT}")
    for index, layer in enumerate(computed.layers):
        if layer != spec.model.layers[index]:
            yield Notice(
                "note",
                index,
                f"{spec.model.layers[index].kind}: searched as a choice among relu, tanh, silu and "
                "identity, since no layer is mixed.",
            )
        for sentence in _of_functions(layer, derivation):
            yield Notice("note", index, sentence)
        if isinstance(layer, Embedding) and layer.sparse and _needs_dense_gradients(spec):
            wrong = (
                "conjugate gradients take no sparse gradients"
                if spec.workload.derivative_order < FIRST_WRONG_ORDER
                else "torch's sparse gradient is wrong under MAML from order "
                f"{FIRST_WRONG_ORDER} on"
            )
            yield Notice(
                "note",
                index,
                f"{layer.kind}: {wrong}, so a dense one is used, which is right.",
            )


def _of_functions(layer: LayerSpec, derivation: Derivation) -> Iterator[str]:
    """What the engine does about the functions that a layer computes."""
    for kind in sorted(layer.functions):
        why = derivation.why_rewritten(kind)
        if why is not None:
            yield f"{kind}: {why}, so {_WRITTEN_OUT}"
        elif kind == "multihead_attention" and derivation.by_math_kernel:
            yield f"{layer.kind}: {NO_FUSED_ATTENTION}; {BY_MATH_KERNEL}."


def device_notices(spec: RunSpec, device: str) -> Iterator[Notice]:
    """What the engine does by itself on a kind of device, for example ``cpu``."""
    if spec.workload.derivative_order < 2:
        return
    for index, layer in enumerate(spec.model.layers):
        for kind in sorted(layer.functions & {"lstm", "gru"}):
            if device != "cpu":
                yield Notice("note", index, f"{kind}: {NO_FUSED_RECURRENCE}, so {_WRITTEN_OUT}")
            elif kind == "lstm" and spec.mitigation.precision != "float64":
                yield Notice("note", index, f"{kind}: {WITHOUT_ONEDNN}.")


def _needs_dense_gradients(spec: RunSpec) -> bool:
    return isinstance(spec.workload, Maml) and spec.workload.needs_dense_gradients
