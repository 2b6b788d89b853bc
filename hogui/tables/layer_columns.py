"""The columns of the layer table, and what is to say about them and about a layer."""

from __future__ import annotations

from enum import IntEnum

from PySide6.QtCore import QCoreApplication, Qt

from core.spec.declaration import declared_fields
from core.spec.layers import LayerSpec, describe_settings
from hogui.forms.names import declared_text


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


def kind_help(cls: type[LayerSpec]) -> str:
    """What a kind of layer computes, in one sentence."""
    return declared_text(" ".join((cls.__doc__ or "").split()))


def settings_help(layer: LayerSpec) -> str:
    """A layer's settings, and a line for each key that it knows."""
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
