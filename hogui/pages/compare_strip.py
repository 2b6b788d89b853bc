"""Tabs side by side: which settings differ, what that does to peak and time, what to doubt."""

from collections.abc import Iterable, Mapping, Sequence
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

from core.results.charts import reading_title
from core.results.comparison import Comparison, compare
from core.results.measurement import Measurement
from core.spec.declaration import Spec, declared_field
from core.spec.run import RunSpec
from hogui.forms.names import choice_text, declared_text
from hogui.open_tab import OpenTab
from hogui.theme import GRID, Size, theme
from hogui.units import BYTES, MISSING, Scale, column_decimals, format_ratio, ratio, seconds_scale

FIGURE_ROWS = 3
SMALL_RATIO = 0.1
ROW_HEIGHT = 6 * GRID
MOST_ROWS = 8
MOST_WARNINGS = 2


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
    tips: tuple[str, ...] = ()
    """What is to say about each text, where it does not say it all."""


def comparison(
    tabs: Sequence[Compared], verdicts: Sequence[Comparison | None] = ()
) -> tuple[Row, ...]:
    """Peak, time and verdict relative to the first, readings and checks, then the settings that
    differ.

    Args:
        tabs: from left to right.
        verdicts: of each tab but the first, None where there is nothing to compare.
    """
    peaks = [_peak(tab.result) for tab in tabs]
    times = [_median(tab.result) for tab in tabs]
    seconds = seconds_scale(_largest(times))
    return (
        _figures(_tr("Peak above baseline, {unit}"), peaks, BYTES[2]),
        _figures(_tr("Median time, {unit}"), times, seconds),
        *_verdict_row(verdicts),
        *_reading_rows([tab.result for tab in tabs]),
        *_check_row([tab.result for tab in tabs]),
        *_differing_settings([tab.spec for tab in tabs]),
    )


def _verdict_row(verdicts: Sequence[Comparison | None]) -> Iterable[Row]:
    if any(verdict is not None for verdict in verdicts):
        texts = (_tr("reference"), *map(verdict_text, verdicts))
        tips = ("", *("" if each is None else each.sentence for each in verdicts))
        yield Row(_tr("Verdict on time"), texts, tips=tips)


def verdict_text(comparison: Comparison | None) -> str:
    """For example ``faster, 0.652× [0.641, 0.663]``."""
    if comparison is None or comparison.time is None:
        return MISSING
    time = comparison.time
    word = {
        "faster": _tr("faster"),
        "slower": _tr("slower"),
        "same": _tr("same"),
        "cannot_tell": _tr("cannot tell"),
    }[time.verdict]
    if time.interval is None:
        return word
    decimals = 3 if time.ratio < 1 else 2
    ratio, low, high = (f"{value:.{decimals}f}" for value in (time.ratio, *time.interval))
    return f"{word}, {ratio}× [{low}, {high}]"


def _reading_rows(results: Sequence[Measurement | None]) -> Iterable[Row]:
    """The single numbers that any of the workloads found."""
    found = [result.readings if result is not None else {} for result in results]
    for name in dict.fromkeys(name for readings in found for name in readings):
        texts = tuple(_reading(readings, name) for readings in found)
        yield Row(declared_text(reading_title(name)), texts, name)


def _reading(readings: Mapping[str, float | None], name: str) -> str:
    if name not in readings:
        return MISSING
    value = readings[name]
    return _tr("not finite") if value is None else f"{value:.6g}"


def _check_row(results: Sequence[Measurement | None]) -> Iterable[Row]:
    checks = [result.check if result is not None else None for result in results]
    if any(check is not None for check in checks):
        words = {True: _tr("passed"), False: _tr("failed")}
        texts = (MISSING if check is None else words[check.passed] for check in checks)
        tips = ("" if check is None else check.method for check in checks)
        yield Row(_tr("Check"), tuple(texts), tips=tuple(tips))


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
    return choice_text(value) if isinstance(value, str) else str(value)


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
        self._compared: dict[tuple[str, str], Comparison] = {}
        """What is known already, by run: a setting that changes does not change it."""
        heading = QLabel(self.tr("What differs"))
        heading.setProperty("role", "heading")
        self.warning_label = QLabel()
        self.warning_label.setObjectName("compareWarningLabel")
        self.warning_label.setProperty("role", "warning")
        self.warning_label.setWordWrap(True)
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
        layout.addWidget(self.warning_label)
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
        verdicts = self._verdicts()
        self._warn(verdicts)
        tabs = [Compared(tab.name, tab.spec, tab.result) for tab in self._tabs]
        rows = comparison(tabs, verdicts)
        table = self.table
        table.setColumnCount(1 + len(self._tabs))
        titles = [self.tr("Setting"), *(tab.name for tab in self._tabs)]
        for column, title in enumerate(titles):
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            table.setHorizontalHeaderItem(column, _item(title, side))
        table.setRowCount(len(rows))
        for position, row in enumerate(rows):
            table.setItem(position, 0, _item(row.title, Qt.AlignmentFlag.AlignLeft, row.key))
            tips = row.tips or ("",) * len(row.texts)
            for column, (text, tip) in enumerate(zip(row.texts, tips, strict=True), start=1):
                table.setItem(position, column, _item(text, Qt.AlignmentFlag.AlignRight, tip))
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)

    def _verdicts(self) -> list[Comparison | None]:
        """Each run against that of the first tab."""
        results = [tab.result for tab in self._tabs]
        known, self._compared = self._compared, {}
        verdicts: list[Comparison | None] = []
        for result in results[1:]:
            if results[0] is None or result is None:
                verdicts.append(None)
                continue
            runs = results[0].run_id, result.run_id
            self._compared[runs] = known.get(runs) or compare(results[0], result)
            verdicts.append(self._compared[runs])
        return verdicts

    def _warn(self, verdicts: Sequence[Comparison | None]) -> None:
        """Says why the figures may mislead: a few sentences, and all of them as a tip."""
        found = dict.fromkeys(
            warning for verdict in verdicts if verdict is not None for warning in verdict.warnings
        )
        sentences = list(found)
        shown = " ".join(sentences[:MOST_WARNINGS])
        more = len(sentences) - MOST_WARNINGS
        if more > 0:
            shown = self.tr("{sentences} ({count} more)").format(sentences=shown, count=more)
        self.warning_label.setText(shown)
        self.warning_label.setToolTip("\n".join(sentences))
        self.warning_label.setVisible(bool(sentences))


def _item(text: str, side: Qt.AlignmentFlag, tip: str = "") -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(tip or text)
    item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    return item
