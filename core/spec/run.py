"""A run: everything that determines one measurement, as one frozen value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import ValidationError

from core.spec.consistency import inconsistencies
from core.spec.data import DATA_KINDS, Data, SyntheticData
from core.spec.declaration import InvalidSpec, Problem, Spec, declare, explain
from core.spec.layers import LAYER_KINDS
from core.spec.measure import Measure
from core.spec.mitigations import Mitigation
from core.spec.models import MODEL_KINDS, Model
from core.spec.python_model import PythonModel
from core.spec.workloads import WORKLOAD_KINDS, Maml, NestedGradient, Workload

FORMAT_VERSION: Final = 1
# History of the format:
# 1  first version.

_KINDS: dict[str, Mapping[str, type[Spec]]] = {
    "model": MODEL_KINDS,
    "data": DATA_KINDS,
    "workload": WORKLOAD_KINDS,
}


class RunSpec(Spec):
    """What is asked of one run. Well-typed by construction; ``problems`` says whether it fits."""

    version: Literal[1] = FORMAT_VERSION
    name: str = declare("Untitled", label="Name", help="Title of the tab and of the run.")
    model: Model
    data: Data = SyntheticData()
    loss: Literal["mse", "cross_entropy"] = declare(
        "mse", label="Loss", help="Mean squared error, or cross-entropy over classes."
    )
    workload: Workload = NestedGradient()
    mitigation: Mitigation = Mitigation()
    framework: Literal["torch"] = declare(
        "torch", label="Framework", help="What computes the derivatives."
    )
    device: str = declare(
        "auto", label="Device", help="auto is the first accelerator, else the CPU."
    )
    measure: Measure = Measure()

    @property
    def is_own_step(self) -> bool:
        """Whether a step of the user's own is known to be what is measured, in place of the
        workload."""
        known = self.model.known if isinstance(self.model, PythonModel) else None
        return known is not None and known.has_step

    def problems(self) -> tuple[Problem, ...]:
        """What keeps this spec from running: sizes that do not fit, parts that do not combine."""
        return inconsistencies(self.model, self.data, self.loss, self.workload, self.mitigation)

    def as_computed(self) -> RunSpec:
        """This spec with the model that its workload computes with."""
        model = self.workload.computed_model(self.model)
        return self if model is self.model else self.model_copy(update={"model": model})

    def to_json(self, *, indent: int | None = 2) -> str:
        """The spec as JSON, every key written out."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> RunSpec:
        """Reads a spec.

        Raises:
            InvalidSpec: with one sentence for each wrong key.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            _refuse_newer(text)
            raise InvalidSpec(explain(error, cls)) from None

    def with_value(self, key: str, text: str) -> RunSpec:
        """This spec with one key set from text, as ``--set key=text`` does.

        Setting a ``kind`` keeps the sibling keys that the new kind knows too.

        Raises:
            InvalidSpec: unknown key, or a value that the key does not take.
        """
        return self.with_changes({key: value_from(text)})

    def with_changes(self, values: dict[str, Any]) -> RunSpec:
        """This spec with several dotted keys set to plain JSON values, which are checked together.

        A variant of MAML that has one order alone brings it along, unless that is set too.

        Raises:
            InvalidSpec: unknown key, or a value that a key does not take.
        """
        document = json.loads(self.model_dump_json())
        for key, value in values.items():
            _set(document, key, value)
        variant = values.get("workload.variant")
        brings_order = Maml.brings_order(variant) and "workload.order" not in values
        if brings_order and isinstance(document["workload"], dict):
            document["workload"].pop("order", None)
        try:
            text = json.dumps(document)
        except RecursionError:
            sentence = f"{', '.join(values)}: lists nested too deeply were given; allowed: a spec."
            raise InvalidSpec([Problem((), sentence)]) from None
        changed = self.from_json(text)
        # What is known of a model of the user's does not stand in the JSON.
        same = changed.model == self.model
        return changed.model_copy(update={"model": self.model}) if same else changed

    def flatten(self) -> dict[str, Any]:
        """Every key in dotted form with its plain value; lists stay lists."""
        return dict(_leaves((), json.loads(self.model_dump_json())))


def value_from(text: str) -> Any:
    """The value that ``--set key=text`` means: JSON where it can be read as such, else text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _refuse_newer(text: str | bytes) -> None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        sentence = (
            f"version: {version} was given; this program reads versions up to {FORMAT_VERSION}, "
            "a newer one wrote this file."
        )
        raise InvalidSpec([Problem(("version",), sentence)])


def _set(document: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node = document
    for depth, part in enumerate(parents):
        node = _child(node, part, ".".join(parents[: depth + 1]))
    if isinstance(node, list):
        _child(node, last, key)
        node[int(last)] = value
        return
    if not isinstance(node, dict):
        raise InvalidSpec([Problem(tuple(parents), f"{key} is not a known key.")])
    if last == "kind" and node.get("kind") != value:
        _keep_common_keys(node, ".".join(parents), value)
    node[last] = value


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list):
        positions = [str(position) for position in range(len(node))]
        if part in positions:
            return node[int(part)]
        allowed = f"a position from 0 to {positions[-1]}" if positions else "none, it is empty"
        sentence = f"{key}: {part} was given; allowed: {allowed}."
        raise InvalidSpec([Problem((key,), sentence)])
    if isinstance(node, dict) and part in node:
        return node[part]
    names = ", ".join(node) if isinstance(node, dict) else "none"
    raise InvalidSpec([Problem((key,), f"{key} is not a known key; allowed here: {names}.")])


def _keep_common_keys(node: dict[str, Any], parent: str, kind: Any) -> None:
    """Drops the keys that the new kind does not know, so that changing a kind is one step."""
    kinds = LAYER_KINDS if parent.startswith("model.layers.") else _KINDS.get(parent, {})
    cls = kinds.get(kind) if isinstance(kind, str) else None
    if cls is not None:
        for key in set(node) - set(cls.model_fields):
            del node[key]


def _leaves(path: tuple[str, ...], value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key, child in value.items() for leaf in _leaves((*path, key), child)]
    return [(".".join(path), value)]
