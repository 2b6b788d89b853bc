"""The columns of the layer table, and what is to say about them and about a layer."""

from __future__ import annotations

from enum import IntEnum

from PySide6.QtCore import QCoreApplication, Qt

from core.spec.declaration import declared_fields
from core.spec.layers import LayerSpec, describe_settings, shape_text
from core.spec.model import LayerRow, Place
from hogui.forms.names import declared_text
from hogui.units import MISSING, format_count


class Column(IntEnum):
    """The columns from left to right."""

    NUMBER = 0
    KIND = 1
    SETTINGS = 2
    OUTPUT = 3
    PARAMETERS = 4

    @property
    def title(self) -> str:
        """The header, in the user's language."""
        return _tr(("#", "Layer", "Settings", "Output", "Params")[self])

    @property
    def tip(self) -> str:
        """The header's tool tip."""
        tips = {
            Column.SETTINGS: _tr("key=value, divided by commas; the first needs no key"),
            Column.OUTPUT: _tr("Shape of one output, without the batch"),
            Column.PARAMETERS: _tr("Trainable values"),
        }
        return tips.get(self, "")

    @property
    def alignment(self) -> Qt.AlignmentFlag:
        """Figures stand at the right, words at the left."""
        is_word = self in (Column.KIND, Column.SETTINGS)
        side = Qt.AlignmentFlag.AlignLeft if is_word else Qt.AlignmentFlag.AlignRight
        return side | Qt.AlignmentFlag.AlignVCenter


def text_of(column: Column, layer: LayerSpec, place: Place, known: LayerRow) -> str:
    """What a layer's cell shows.

    Args:
        column: which cell.
        layer: with the layers within it, whose kinds stand for its settings.
        place: its positions.
        known: its shapes and parameters.
    """
    if column is Column.NUMBER:
        return ".".join(str(position + 1) for position in place)
    if column is Column.KIND:
        return declared_text(layer.title)
    if column is Column.SETTINGS:
        parts = ", ".join(part.kind for part in layer.parts)
        return parts if layer.parts_field else describe_settings(layer)
    if column is Column.OUTPUT:
        return MISSING if known.output_shape is None else shape_text(known.output_shape)
    return format_count(known.parameters)


def kind_help(cls: type[LayerSpec]) -> str:
    """What a kind of layer computes, in one sentence."""
    return declared_text(" ".join((cls.__doc__ or "").split()))


def settings_help(layer: LayerSpec) -> str:
    """A layer's settings, and a line for each key that it knows."""
    if layer.parts_field:
        how = _tr("Rows of their own below, or as text: linear(64), tanh")
        return "\n".join([describe_settings(layer), how])
    lines = [f"{field.name}: {declared_text(field.help)}" for field in declared_fields(type(layer))]
    settings = describe_settings(layer)
    return "\n".join([settings, *lines] if settings else lines)


def about(layer: LayerSpec, column: Column) -> str:
    """What is to say about a layer in a column, empty where its text says it all."""
    if column is Column.SETTINGS:
        return settings_help(layer)
    return kind_help(type(layer)) if column is Column.KIND else ""


def _tr(text: str) -> str:
    return QCoreApplication.translate("LayerTable", text)
