"""The settings of a layer as one line of text, both ways."""

from __future__ import annotations

import json

from pydantic import TypeAdapter, ValidationError

from core.spec.declaration import DeclaredField, InvalidSpec, Problem, declared_fields, explain
from core.spec.layers.base import LayerSpec
from core.spec.layers.kinds import LAYER_KINDS


def describe_settings(layer: LayerSpec) -> str:
    """The settings in one line: the first field by its value, others where they differ.

    The parts of a layer as calls, for example ``linear(64), tanh``. ``parse_settings`` reads the
    same line back.
    """
    if layer.parts_field:
        return ", ".join(map(_called, layer.parts))
    words = []
    for position, field in enumerate(declared_fields(type(layer))):
        value = getattr(layer, field.name)
        if position == 0 and not field.advanced:
            words.append(_word(value))
        elif value != field.default or not field.advanced:
            words.append(f"{field.name}={_word(value)}")
    return ", ".join(words)


def parse_settings(kind: str, text: str) -> LayerSpec:
    """Reads a line such as ``16, kernel_size=3, padding=1``.

    Args:
        kind: a key of ``LAYER_KINDS``.
        text: ``key=value`` pairs divided by commas; a first value without a key is the first field.
            Parts of a layer are calls such as ``linear(64), tanh``.

    Raises:
        InvalidSpec: the text names an unknown key or a value that the field does not take.
    """
    cls = LAYER_KINDS[kind]
    if cls.parts_field:
        parts = [_part(kind, word).model_dump(mode="json") for word in _split(text)]
        return layer_from(cls, {"kind": kind, cls.parts_field: parts})
    fields = declared_fields(cls)
    values: dict[str, object] = {"kind": kind}
    for position, word in enumerate(_split(text)):
        name, separator, value = word.partition("=")
        if not separator:
            if position or not fields:
                allowed = ", ".join(field.name for field in fields) or "none, it has no settings"
                sentence = f"{kind}: {word} needs a key, as in key=value; allowed keys: {allowed}."
                raise InvalidSpec([Problem((), sentence)])
            name, value = fields[0].name, word
        values[name.strip()] = _value(value.strip(), fields, name.strip())
    return layer_from(cls, values)


def layer_from(cls: type[LayerSpec], values: dict[str, object]) -> LayerSpec:
    """Validates plain values into a layer.

    Raises:
        InvalidSpec: with one sentence for each wrong value.
    """
    try:
        return TypeAdapter(cls).validate_json(json.dumps(values))
    except ValidationError as error:
        raise InvalidSpec(explain(error, cls)) from None


def _called(layer: LayerSpec) -> str:
    settings = describe_settings(layer)
    return f"{layer.kind}({settings})" if settings else layer.kind


def _part(kind: str, word: str) -> LayerSpec:
    """Reads a part such as ``linear(64)``."""
    name, opening, rest = word.partition("(")
    name = name.strip()
    if name not in LAYER_KINDS or (opening and not rest.endswith(")")):
        sentence = (
            f"{kind}: {word} was given; allowed: kinds of layers with their settings in brackets, "
            "as in linear(64), tanh."
        )
        raise InvalidSpec([Problem((), sentence)])
    return parse_settings(name, rest.removesuffix(")"))


def _split(text: str) -> list[str]:
    """Words at commas, but not at those inside brackets."""
    words, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            words.append("")
        else:
            words[-1] += character
    return [word.strip() for word in words if word.strip()]


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(str(part) for part in value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)


def _value(text: str, fields: tuple[DeclaredField, ...], name: str) -> object:
    if "×" in text or "x" in text.strip("0123456789 "):
        parts = text.replace("×", "x").split("x")
        if len(parts) == 2 and all(part.strip().isdigit() for part in parts):
            return [int(part) for part in parts]
    try:
        return json.loads(text.replace("(", "[").replace(")", "]"))
    except json.JSONDecodeError:
        lowered = text.lower()
        words: dict[str, object] = {"yes": True, "no": False, "true": True, "false": False}
        return words.get(lowered, None if lowered == "none" and _optional(fields, name) else text)


def _optional(fields: tuple[DeclaredField, ...], name: str) -> bool:
    return any(field.name == name and not field.choices for field in fields)
