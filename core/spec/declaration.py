"""One declaration per field: type, limits, unit, label and help live here and nowhere else.

Forms, table columns, CSV headers, ``--set`` keys and error sentences are all read from it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

Path = tuple[str | int, ...]
FieldKind = Literal[
    "int", "float", "bool", "choice", "text", "int_or_auto", "int_or_pair", "shape", "file"
]
LARGEST_WHOLE: Final = 10**9
"""Greatest whole number of a field that declares no maximum: beyond it, nothing can be computed."""
_WHOLE_KINDS: Final = ("int", "int_or_auto", "int_or_pair", "shape")


class Spec(BaseModel):
    """Base of every spec value: frozen, no unknown keys, no silent conversion."""

    headings: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Under which headings a form shows fields, by their names; the others stand above."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _within_declared_limits(cls, value: object, info: ValidationInfo) -> object:
        """What is declared is what is checked, in unions and lists too."""
        field = _fields_by_name(cls).get(info.field_name or "")
        if field is not None and not field.admits(value):
            raise PydanticCustomError("outside_limits", "a value within its limits")
        return value


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a spec.

    Attributes:
        path: where, for example ``("model", "layers", 2, "out_channels")``.
        sentence: what was given and what is allowed.
    """

    path: Path
    sentence: str

    @property
    def key(self) -> str:
        """The path as the command line writes it, for example ``model.layers.2.out_channels``."""
        return dotted(self.path)


class InvalidSpec(ValueError):
    """A spec that cannot be read; ``problems`` says why, one sentence each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(problem.sentence for problem in self.problems))


@dataclass(frozen=True)
class DeclaredField:
    """One field of a spec class, as a form or a table needs it."""

    name: str
    kind: FieldKind
    label: str
    help: str
    unit: str
    default: Any
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    advanced: bool
    auto: str | None
    """The word that stands for "chosen by the program" or "as another field", if there is one."""
    when: tuple[tuple[str, Container[Any]], ...] = ()
    """What others have to be for the field to have an effect."""

    @property
    def allowed(self) -> str:
        """What the field takes, in words that end an error sentence."""
        number = {"int": "a whole number", "float": "a number"}.get(self.kind)
        if self.kind in ("int_or_auto", "int_or_pair"):
            number = "a whole number"
        if self.choices:
            return " or ".join(json.dumps(choice) for choice in self.choices)
        if number is not None:
            words = number + self._limits()
            if self.kind == "int_or_auto":
                words += f" or {json.dumps(self.auto) if self.auto else 'null'}"
            if self.kind == "int_or_pair":
                words += " or two of them" + (" or null" if self.default is None else "")
            return words
        return {
            "bool": "true or false",
            "shape": "a list of whole numbers" + self._limits(),
            "file": "the path of a file",
        }.get(self.kind, "text")

    def admits(self, value: object) -> bool:
        """Do all numbers of a value of the right type lie within the limits?"""
        numbers = value if isinstance(value, tuple) else (value,)
        return not any(
            (self.minimum is not None and number < self.minimum)
            or (self.maximum is not None and number > self.maximum)
            for number in numbers
            if isinstance(number, int | float)
        )

    def takes_effect(self, owner: Spec, run: Spec | None = None) -> bool:
        """Does the field's value matter, as the others are set?

        Args:
            owner: the value that the field belongs to.
            run: the whole that it is part of, None where there is none.
        """
        return self.without_effect_by(owner, run) is None

    def without_effect_by(self, owner: Spec, run: Spec | None = None) -> tuple[str, object] | None:
        """What keeps the field's value from mattering, and its value; None where nothing does.

        Args:
            owner: the value that the field belongs to.
            run: the whole that it is part of, None where there is none.
        """
        for key, values in self.when:
            if "." not in key or run is not None:
                value = _reached(key, owner, run)
                if value not in values:
                    return key, value
        return None

    def _limits(self) -> str:
        low, high = _number_text(self.minimum), _number_text(self.maximum)
        if low and high:
            return f" from {low} to {high}"
        if low:
            return f" of at least {low}"
        return f" of at most {high}" if high else ""


def declare(
    default: Any = ...,
    *,
    label: str,
    help: str,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    advanced: bool = False,
    file: bool = False,
    when: Mapping[str, Container[Any]] | None = None,
) -> Any:
    """Declares a spec field once, for validation, forms, tables, CSVs and error sentences.

    Args:
        default: the value when the key is absent; leave out for a required key.
        label: two or three words for a form row.
        help: one sentence for a tool tip and the command line.
        unit: the unit of the number, empty for none.
        minimum: least allowed number.
        maximum: greatest allowed number; whole numbers end at LARGEST_WHOLE where it is left out.
        advanced: true for a field that a form shows only on demand.
        file: true for text that is the path of a file.
        when: the values that other fields must have for this one to have an effect; a form hides it
            otherwise. A bare name is a field beside it, a dotted one, such as
            ``workload.examples``, is reached from the whole run.
    """
    extra: dict[str, Any] = {
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "advanced": advanced,
        "file": file,
        "when": when or {},
    }
    return Field(default, title=label, description=help, json_schema_extra=extra)


def _reached(key: str, owner: Spec, run: Spec | None) -> object:
    """The value of a field, or of whatever its class says of itself; None where it has neither."""
    value: object = run if "." in key else owner
    for part in key.split("."):
        value = getattr(value, part, None)
    return value


def _number_text(number: float | None) -> str:
    if number is None:
        return ""
    return str(number) if isinstance(number, int) else f"{number:g}"


@cache
def declared_fields(cls: type[Spec]) -> tuple[DeclaredField, ...]:
    """The declared fields of ``cls`` in order; nested specs and the ``kind`` tag are left out."""
    described = (_describe(name, info) for name, info in cls.model_fields.items() if name != "kind")
    return tuple(field for field in described if field is not None)


@cache
def _fields_by_name(cls: type[Spec]) -> dict[str, DeclaredField]:
    return {field.name: field for field in declared_fields(cls)}


def declared_field(cls: type[Spec], name: str) -> DeclaredField:
    """The declaration of one field.

    Raises:
        KeyError: ``cls`` declares no plain field of that name.
    """
    return _fields_by_name(cls)[name]


def _describe(name: str, info: FieldInfo) -> DeclaredField | None:
    extra = info.json_schema_extra
    if not isinstance(extra, dict) or info.title is None:
        return None
    members = tuple(_members(info.annotation))
    kind = _kind(members, bool(extra["file"]))
    words = [argument for member in members for argument in _literals(member)]
    minimum, maximum = extra["minimum"], extra["maximum"]
    when: Any = extra["when"]
    if maximum is None and kind in _WHOLE_KINDS:
        maximum = LARGEST_WHOLE
    return DeclaredField(
        name=name,
        kind=kind,
        label=info.title,
        help=info.description or "",
        unit=str(extra["unit"]),
        default=None if info.is_required() else info.default,
        minimum=minimum if isinstance(minimum, int | float) else None,
        maximum=maximum if isinstance(maximum, int | float) else None,
        choices=tuple(words) if kind == "choice" else (),
        advanced=bool(extra["advanced"]),
        auto=str(words[0]) if kind == "int_or_auto" and words else None,
        when=tuple(when.items()),
    )


def _kind(members: tuple[Any, ...], file: bool) -> FieldKind:
    plain = [member for member in members if get_origin(member) is not Literal]
    if not plain:
        return "choice"
    if any(get_origin(member) is tuple and get_args(member)[-1] is not ... for member in plain):
        return "int_or_pair"
    if any(get_origin(member) is tuple for member in plain):
        return "shape"
    if len(members) > 1:
        return "int_or_auto"
    names: dict[Any, FieldKind] = {bool: "bool", int: "int", float: "float"}
    return names.get(plain[0], "file" if file else "text")


def _members(annotation: Any) -> Iterable[Any]:
    """The members of a union, without ``Annotated``."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _literals(member: Any) -> tuple[Any, ...]:
    return get_args(member) if get_origin(member) is Literal else ()


def dotted(path: Path) -> str:
    """A path as the command line writes it."""
    return ".".join(str(part) for part in path)


def explain(error: ValidationError, root: type[Spec]) -> tuple[Problem, ...]:
    """Turns a validation error into sentences that name key, given value and what is allowed."""
    problems: dict[Path, Problem] = {}
    for detail in error.errors():
        problem = _explain_one(detail, root)
        problems.setdefault(problem.path, problem)
    return tuple(problems.values())


def _explain_one(detail: ErrorDetails, root: type[Spec]) -> Problem:
    path, owner = _resolve(detail["loc"], root)
    key, kind = dotted(path), detail["type"]
    if kind == "json_invalid":
        reason = detail["msg"].removeprefix("Invalid JSON: ")
        return Problem((), f"This is not a complete JSON document: {reason}.")
    if kind == "missing":
        return Problem(path, f"{key} is missing; it has no default.")
    if kind == "extra_forbidden":
        names = ", ".join(owner.model_fields) if owner is not None else "none"
        return Problem(path, f"{key} is not a known key; allowed here: {names}.")
    if kind == "union_tag_invalid":
        tags = str(detail.get("ctx", {}).get("expected_tags", "")).replace("'", "")
        given = json.dumps(detail.get("ctx", {}).get("tag"))
        return Problem((*path, "kind"), f"{key}.kind: {given} was given; allowed: {tags}.")
    if kind == "union_tag_not_found":
        return Problem((*path, "kind"), f"{key}.kind is missing; it names which kind is meant.")
    if kind == "value_error":
        reason = detail["msg"].removeprefix("Value error, ")
        return Problem(path, f"{key}: {reason}" if key else reason)
    return Problem(path, _wrong_value(path, owner, detail))


def _wrong_value(path: Path, owner: type[Spec] | None, detail: ErrorDetails) -> str:
    given = shown(detail["input"])
    if not path:
        return f"A spec is a JSON object with the key model; {given} was given."
    allowed = detail["msg"][:1].lower() + detail["msg"][1:]
    if owner is not None:
        names = [part for part in path if isinstance(part, str)]
        info = owner.model_fields.get(names[-1]) if names else None
        field = _describe(names[-1], info) if info is not None else None
        if field is not None:
            allowed = field.allowed
        elif info is not None:
            allowed = _allowed_type(info.annotation, path[-1])
    return f"{dotted(path)}: {given} was given; allowed: {allowed}."


def _allowed_type(annotation: Any, last: str | int) -> str:
    """What a field without a declaration takes: specs, lists of them, or fixed words."""
    members = tuple(_members(annotation))
    words = [json.dumps(word) for member in members for word in _literals(member)]
    if words:
        return " or ".join(words)
    is_list = isinstance(last, str) and any(get_origin(member) is tuple for member in members)
    return "a list of JSON objects" if is_list else "a JSON object"


def shown(value: object) -> str:
    """A given value as an error sentence shows it: JSON where it is short, its type where not."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _resolve(location: tuple[int | str, ...], root: type[Spec]) -> tuple[Path, type[Spec] | None]:
    """The path without union tags, and the spec class that owns its last key."""
    path: list[str | int] = []
    owner: type[Spec] | None = root
    current: tuple[Any, ...] = (root,)
    for part in location:
        specs = [member for member in current if _is_spec(member)]
        tagged = [spec for spec in specs if _tag(spec) == part]
        if tagged and (len(specs) > 1 or part not in specs[0].model_fields):
            current = (tagged[0],)
            continue
        if isinstance(part, int):
            path.append(part)
            current = tuple(
                item for member in current for item in _members((get_args(member) or (None,))[0])
            )
            continue
        if specs and part in specs[0].model_fields:
            path.append(part)
            owner = specs[0]
            current = tuple(_members(owner.model_fields[part].annotation))
        elif specs:
            path.append(part)
            owner, current = specs[0], ()
    return tuple(path), owner


def _is_spec(member: Any) -> TypeGuard[type[Spec]]:
    return isinstance(member, type) and issubclass(member, Spec)


def _tag(spec: type[Spec]) -> object:
    info = spec.model_fields.get("kind")
    return info.default if info is not None else None
