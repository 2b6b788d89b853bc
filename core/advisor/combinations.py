"""Which combinations of mitigations are worth asking about, and which cannot work.

Values are read from the declared fields of the spec, so that a field which grows is advised on
without a change here. What has no effect is left out: two combinations never mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, get_args

from core.advisor.words import label_of
from core.results.advice import Impossible
from core.spec.declaration import Spec, declared_fields
from core.spec.inner_segments import inner_segments
from core.spec.mitigations import Checkpointing, Mitigation
from core.spec.model import StackModel
from core.spec.notices import notices
from core.spec.placement import segments_of
from core.spec.python_model import PythonModel
from core.spec.run import RunSpec
from core.spec.workloads.alternative import Alternative

MOST: Final = 320
"""Combinations that are asked about at most, those of the fewest mitigations first."""

_SEGMENTS: Final = (2, 3, 4, 6, 8, 12, 16, 24, 32)
_INNER_SEGMENTS: Final = (2, 3, 4, 6, 8, 12, 16)
_PARTS: Final = (1, 2, 4, 8, 16)
_COMPILED: Final = ("compile", True)
"""Known once it has run, and so said once."""

_MOST_NUMBERS: Final = 1
"""Numbers of parts are varied one at a time: beside another, each is best chosen by itself."""

_BITS: Final = {"float64": 64, "float32": 32}
"""Number formats by how many bits they keep; all others keep fewer."""

_ONCE: Final = "torch"
"""Checkpointing that frees activations for the first gradient alone."""


@dataclass(frozen=True)
class Combination:
    """One configuration to ask about.

    Attributes:
        spec: complete and without problems.
        changes: dotted keys in which it differs from the one asked about.
        label: what it does.
        approximates: what it computes in place of the exact answer; empty where it is exact.
        mitigations: how many things it does at once.
        way: how it computes the workload, where that differs, a phrase.
    """

    spec: RunSpec
    changes: dict[str, Any]
    label: str
    approximates: str = ""
    mitigations: int = 0
    way: str = ""


@dataclass(frozen=True)
class Combinations:
    """All that are worth asking about, the one asked about first, and what cannot work.

    Attributes:
        left_out: how many more there are, which do too much at once to be asked about.
    """

    possible: tuple[Combination, ...]
    impossible: tuple[Impossible, ...]
    left_out: int = 0


@dataclass(frozen=True)
class _Choice:
    """Mitigations and a way of computing the workload."""

    checkpointing: tuple[tuple[str, Any], ...]
    others: tuple[tuple[str, Any], ...]
    way: Alternative | None = None

    @property
    def values(self) -> dict[str, Any]:
        """Everything that is set, by dotted keys."""
        values = {f"mitigation.checkpointing.{name}": value for name, value in self.checkpointing}
        values |= {f"mitigation.{name}": value for name, value in self.others}
        if self.way is not None:
            values |= {f"workload.{name}": value for name, value in self.way.changes.items()}
        return values


def combinations(spec: RunSpec, most: int = MOST) -> Combinations:
    """Every combination worth asking about.

    Args:
        spec: a run without problems.
        most: how many of them at most.
    """
    found = _Found(spec)
    for what, why in _without_effect(spec):
        found.refuse(what, why)
    for choice in _exact(spec):
        found.add(choice)
    for choice in _near(spec):
        found.add(choice)
    first, *others = found.possible
    others.sort(key=lambda each: each.mitigations)
    return Combinations(
        possible=(first, *others[: most - 1]),
        impossible=tuple(found.impossible.values()),
        left_out=max(len(others) + 1 - most, 0),
    )


class _Found:
    """Collects what can run, each configuration once, and what cannot, each reason once."""

    def __init__(self, spec: RunSpec) -> None:
        self._asked = spec
        self._seen = {_meaning(spec)}
        self.possible = [Combination(spec, {}, label_of(spec, spec))]
        self.impossible: dict[str, Impossible] = {}

    @cached_property
    def _plain(self) -> dict[str, Any]:
        return self._asked.flatten()

    def refuse(self, label: str, why: str, changes: dict[str, Any] | None = None) -> None:
        """Something that cannot work; each reason is said once, whatever its numbers."""
        reason = re.sub(r"[0-9]+", "", why)
        self.impossible.setdefault(
            reason, Impossible(label=label, changes=changes or {}, reason=why)
        )

    def add(self, choice: _Choice) -> None:
        """Takes a combination in, unless it means the same as one before."""
        spec = _applied(self._asked, choice)
        meaning = _meaning(spec)
        if meaning in self._seen:
            return
        self._seen.add(meaning)
        changes = {key: value for key, value in choice.values.items() if self._plain[key] != value}
        way = "" if choice.way is None else choice.way.words
        label = label_of(spec, self._asked, way)
        problems = spec.problems()
        if problems:
            self.refuse(label, problems[0].sentence, changes)
            return
        self.possible.append(
            Combination(
                spec=spec.model_copy(update={"name": f"{self._asked.name}, {label}"}),
                changes=changes,
                label=label,
                approximates=_approximates(self._asked, spec, choice.way),
                mitigations=mitigations_of(spec) + (choice.way is not None),
                way=way,
            )
        )


def _exact(spec: RunSpec) -> Iterator[_Choice]:
    """Mitigations in every combination with every way to the same answer."""
    ways: list[Alternative | None] = [None]
    ways += [way for way in _ways(spec) if not way.approximates]
    kept = spec.mitigation.precision
    for way in ways:
        changed = _applied_way(spec, way)
        for others in _others(changed, _PARTS, _INNER_SEGMENTS):
            for checkpointing in _checkpointings(changed):
                # What saves nothing by itself, or cannot be foretold, is not combined with others.
                if _saves_once(changed, checkpointing) and (way or not _are_plain(others)):
                    continue
                if _COMPILED in others and (way or not _is_alone(_COMPILED, checkpointing, others)):
                    continue
                if _numbers(spec, (*checkpointing, *others)) > _MOST_NUMBERS:
                    continue
                yield _Choice(checkpointing, (*others, ("precision", kept)), way)


def _near(spec: RunSpec) -> Iterator[_Choice]:
    """Each approximation by itself, and with the plain form of each mitigation."""
    kept = spec.mitigation.precision
    approximations: list[tuple[Alternative | None, str]] = [
        (way, kept) for way in _ways(spec) if way.approximates
    ]
    approximations += [(None, other) for other in _coarser(kept)]
    for way, precision in approximations:
        changed = _applied_way(spec, way)
        for others in _others(changed, (1,), ()):
            for checkpointing in _checkpointings(changed, ()):
                if _saves_once(changed, checkpointing) or _COMPILED in others:
                    continue
                yield _Choice(checkpointing, (*others, ("precision", precision)), way)


def _ways(spec: RunSpec) -> Iterator[Alternative]:
    if spec.is_own_step:
        return
    model = spec.model
    parameters = 0
    if not isinstance(model, PythonModel):
        parameters = sum(row.parameters or 0 for row in spec.as_computed().model.trace())
    yield from spec.workload.alternatives(parameters)


# -------------------------------------------------------------------------------- mitigations


def _without_effect(spec: RunSpec) -> Iterator[tuple[str, str]]:
    """Mitigations that do not apply, and why."""
    if isinstance(spec.model, StackModel) and len(spec.model.layers) < 2:
        yield (
            "checkpointing",
            "There is nothing to cut into segments: the stack has a single layer.",
        )
    if not spec.workload.unrolls:
        before = set(notices(spec))
        for field in declared_fields(Mitigation):
            if field.name == "inner_loop" and field.choices:
                changed = spec.mitigation.model_copy(update={field.name: field.choices[-1]})
                for why in notices(spec.model_copy(update={"mitigation": changed})):
                    if why not in before:
                        yield field.label.lower(), why


def _checkpointings(
    spec: RunSpec, counts: Sequence[int] = _SEGMENTS
) -> Iterator[tuple[tuple[str, Any], ...]]:
    asked = spec.mitigation.checkpointing
    layers = len(spec.model.layers)
    counts = _with_asked(counts, asked.segments)
    if isinstance(spec.model, StackModel) and layers < 2:
        yield (("kind", asked.kind), ("segments", asked.segments))
        return
    for kind in get_args(Checkpointing.model_fields["kind"].annotation):
        cuts: list[Any] = ["auto", *[count for count in counts if count <= layers]]
        if kind == "none":
            cuts = [asked.segments]
        elif _saves_once(spec, (("kind", kind),)):
            cuts = ["auto"]
        for segments in cuts:
            yield (("kind", kind), ("segments", segments))


def _saves_once(spec: RunSpec, checkpointing: tuple[tuple[str, Any], ...]) -> bool:
    return ("kind", _ONCE) in checkpointing and spec.workload.derivative_order > 1


def _numbers(spec: RunSpec, values: tuple[tuple[str, Any], ...]) -> int:
    """How many numbers of parts are tried that are neither the program's own choice nor the
    user's."""
    asked = {**dict(spec.mitigation), **dict(spec.mitigation.checkpointing)}
    return sum(
        type(value) is int and value > 1 and value != asked.get(name) for name, value in values
    )


def _with_asked(counts: Sequence[int], asked: object) -> list[int]:
    """Numbers to try, the user's own among them."""
    own = {asked} if type(asked) is int else set()
    return sorted({*counts, *own})


def _is_alone(
    value: tuple[str, Any],
    checkpointing: tuple[tuple[str, Any], ...],
    others: tuple[tuple[str, Any], ...],
) -> bool:
    rest = tuple(other for other in others if other != value)
    return ("kind", "none") in checkpointing and _are_plain(rest)


def _are_plain(others: tuple[tuple[str, Any], ...]) -> bool:
    plain = Mitigation()
    return all(getattr(plain, name) == value for name, value in others)


def _others(
    spec: RunSpec, parts: Sequence[int], inner_segments: Sequence[int]
) -> list[tuple[tuple[str, Any], ...]]:
    """Every combination of the other fields, without those that have no effect."""
    found: list[tuple[tuple[str, Any], ...]] = [()]
    for field in declared_fields(Mitigation):
        if field.name == "precision":
            continue
        values: Iterable[Any] = field.choices
        if field.kind == "bool":
            values = (False, True)
        elif field.name == "accumulation" and field.kind == "int":
            known = _with_asked(parts, spec.mitigation.accumulation)
            values = [count for count in known if count <= batch_examples(spec)]
        elif field.name == "inner_segments":
            steps = spec.flatten().get("workload.inner_steps", 0)
            known = _with_asked(inner_segments, spec.mitigation.inner_segments)
            values = ["auto", *[count for count in known if count < steps]]
        elif field.name == "inner_loop" and not spec.workload.unrolls:
            continue
        grown: list[tuple[tuple[str, Any], ...]] = []
        for others in found:
            owner = spec.mitigation.model_copy(update=dict(others))
            run = spec.model_copy(update={"mitigation": owner})
            if field.takes_effect(owner, run):
                grown += [(*others, (field.name, value)) for value in values]
            else:
                grown.append(others)
        found = grown
    return found


def batch_examples(spec: RunSpec) -> int:
    """What the batch is cut into parts of."""
    if spec.workload.examples == "tasks":
        return int(spec.flatten().get("workload.tasks", 1))
    return spec.data.batch_size


def _coarser(precision: str) -> Iterator[str]:
    for other in get_args(Mitigation.model_fields["precision"].annotation):
        if _BITS.get(other, 0) < _BITS.get(precision, 0):
            yield other


# ------------------------------------------------------------------------------------ meaning


def _applied_way(spec: RunSpec, way: Alternative | None) -> RunSpec:
    if way is None:
        return spec
    workload = spec.workload.model_copy(update=dict(way.changes))
    return spec.model_copy(update={"workload": workload})


def _applied(spec: RunSpec, choice: _Choice) -> RunSpec:
    spec = _applied_way(spec, choice.way)
    checkpointing = spec.mitigation.checkpointing.model_copy(update=dict(choice.checkpointing))
    update = {"checkpointing": checkpointing, **dict(choice.others)}
    return spec.model_copy(update={"mitigation": spec.mitigation.model_copy(update=update)})


def _meaning(spec: RunSpec) -> object:
    """What a spec computes and how: only fields that have an effect."""

    def effective(owner: Spec) -> tuple[object, ...]:
        return tuple(
            getattr(owner, field.name)
            for field in declared_fields(type(owner))
            if field.takes_effect(owner, spec) and field.name != "inner_segments"
        )

    return _cuts(spec), inner_segments(spec), effective(spec.mitigation), spec.workload


def _cuts(spec: RunSpec) -> object:
    """Where the layers are cut, whoever says so."""
    kind = spec.mitigation.checkpointing.kind
    if kind == "none" or not isinstance(spec.model, StackModel):
        return kind
    return kind, segments_of(spec)


def _approximates(asked: RunSpec, spec: RunSpec, way: Alternative | None) -> str:
    parts = []
    if way is not None and way.approximates:
        parts.append(way.approximates)
    precision = spec.mitigation.precision
    if precision != asked.mitigation.precision:
        parts.append("partly in bfloat16" if precision == "autocast" else f"in {precision}")
    return ", ".join(parts)


def mitigations_of(spec: RunSpec) -> int:
    """How many fields are not at their default."""
    mitigation, plain = spec.mitigation, Mitigation()
    differing = [
        field.name
        for field in declared_fields(Mitigation)
        if getattr(mitigation, field.name) != getattr(plain, field.name)
        and field.takes_effect(mitigation, spec)
    ]
    return len(differing) + (mitigation.checkpointing.kind != "none")
