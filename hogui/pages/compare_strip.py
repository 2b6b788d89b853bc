"""Tabs side by side: which settings differ, and what that does to peak and time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QSize, Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from core.results.measurement import Measurement
from core.spec.declaration import Spec, declared_field
from core.spec.run import RunSpec
from hogui.forms.names import declared_text
from hogui.open_tab import OpenTab
from hogui.theme import GRID, Size, theme
from hogui.units import BYTES, MISSING, Scale, column_decimals, format_ratio, ratio, seconds_scale

FIGURE_ROWS = 2
SMALL_RATIO = 0.1
ROW_HEIGHT = 6 * GRID
MOST_ROWS = 8


@dataclass(frozen=True)
class Compared:
    """One tab, as the table needs it."""

    name: str
    spec: RunSpec
    result: Measurement | None


@dataclass(frozen=True)
class Row:
    """A setting or a figure, one text a tab; a setting's dotted key is what files call it."""

    title: str
    texts: tuple[str, ...]
    key: str = ""


def comparison(tabs: Sequence[Compared]) -> tuple[Row, ...]:
    """Peak and time with their ratio to the first, then the settings that differ."""
    peaks = [_peak(tab.result) for tab in tabs]
    times = [_median(tab.result) for tab in tabs]
    seconds = seconds_scale(_largest(times))
    return (
        _figures(_tr("Peak above baseline, {unit}"), peaks, BYTES[2]),
        _figures(_tr("Median time, {unit}"), times, seconds),
        *_differing_settings([tab.spec for tab in tabs]),
    )


def _differing_settings(specs: Sequence[RunSpec]) -> Iterable[Row]:
    flat = [spec.flatten() for spec in specs]
    keys = dict.fromkeys(key for values in flat for key in values if key != "name")
    for key in keys:
        values = [values.get(key) for values in flat]
        if any(value != values[0] for value in values):
            owner = next(spec for spec, keyed in zip(specs, flat, strict=True) if key in keyed)
            texts = tuple(_setting(key, value) for value in values)
            yield Row(setting_title(owner, key), texts, key)


def setting_title(spec: RunSpec, key: str) -> str:
    """The declared label of the field at a dotted key, with its unit."""
    *groups, name = key.split(".")
    owner: Spec = spec
    for group in groups:
        owner = getattr(owner, group)
    try:
        field = declared_field(type(owner), name)
    except KeyError:  # A list, or the kind of a group, which goes by the group's name.
        words = groups[-1] if name == "kind" else name
        return declared_text(words.replace("_", " ").capitalize())
    label = declared_text(field.label)
    return f"{label}, {field.unit}" if field.unit else label


def _setting(key: str, value: object) -> str:
    if value is None:
        return MISSING
    if key == "model.layers" and isinstance(value, list):
        kinds = ", ".join(str(layer.get("kind")) for layer in value)
        if len(value) == 1:
            return _tr("1 layer: {kinds}").format(kinds=kinds)
        return _tr("{count} layers: {kinds}").format(count=len(value), kinds=kinds)
    if isinstance(value, list):
        return " × ".join(map(str, value))
    return str(value)


def _figures(title: str, values: Sequence[float | None], scale: Scale) -> Row:
    """Figures in one unit, so that they can be compared, with their ratio to the first."""
    decimals = column_decimals(_largest(values) / scale.factor)
    texts = []
    for position, value in enumerate(values):
        text = MISSING if value is None else scale.number(value, decimals)
        times = ratio(value, values[0])
        if position and times is not None:
            words = format_ratio(times) if times >= SMALL_RATIO else f"{times:.2g}×"
            text = f"{text}   {words}"
        texts.append(text)
    return Row(title.format(unit=scale.unit), tuple(texts))


def _largest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0)


def _peak(result: Measurement | None) -> float | None:
    return result.memory.peak_bytes if result is not None and result.memory is not None else None


def _median(result: Measurement | None) -> float | None:
    return result.time.median_s if result is not None and result.time is not None else None


def _tr(text: str) -> str:
    return QCoreApplication.translate("CompareStrip", text)


class CompareStrip(QFrame):
    """The table under figures that stand side by side. It observes the tabs that it compares."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tabs: tuple[OpenTab, ...] = ()
        heading = QLabel(self.tr("What differs"))
        heading.setProperty("role", "heading")
        self.table = QTableWidget()
        self.table.setObjectName("compareTable")
        self.table.setAccessibleName(self.tr("What differs between the tabs side by side"))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.setFont(theme().font(Size.BODY, tabular=True))
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3 * GRID, GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(GRID)
        layout.addWidget(heading)
        layout.addWidget(self.table, 1)

    @property
    def tabs(self) -> tuple[OpenTab, ...]:
        """The tabs that are compared, from left to right."""
        return self._tabs

    def compare(self, tabs: Sequence[OpenTab]) -> None:
        """Compares these tabs from now on."""
        for tab in self._tabs:
            tab.specChanged.disconnect(self._refresh)
            tab.resultChanged.disconnect(self._refresh)
        self._tabs = tuple(tabs)
        for tab in self._tabs:
            tab.specChanged.connect(self._refresh)
            tab.resultChanged.connect(self._refresh)
        self._refresh()

    @override
    def sizeHint(self) -> QSize:
        """As high as its rows, within reason."""
        rows = min(max(self.table.rowCount(), FIGURE_ROWS + 1), MOST_ROWS)
        return QSize(100 * GRID, (rows + 1) * ROW_HEIGHT + 12 * GRID)

    def _refresh(self) -> None:
        rows = comparison([Compared(tab.name, tab.spec, tab.result) for tab in self._tabs])
        table = self.table
        table.setColumnCount(1 + len(self._tabs))
        titles = [self.tr("Setting"), *(tab.name for tab in self._tabs)]
        for column, title in enumerate(titles):
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            table.setHorizontalHeaderItem(column, _item(title, side))
        table.setRowCount(len(rows))
        for position, row in enumerate(rows):
            table.setItem(position, 0, _item(row.title, Qt.AlignmentFlag.AlignLeft, row.key))
            for column, text in enumerate(row.texts, start=1):
                table.setItem(position, column, _item(text, Qt.AlignmentFlag.AlignRight))
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)


def _item(text: str, side: Qt.AlignmentFlag, tip: str = "") -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(tip or text)
    item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    return item
