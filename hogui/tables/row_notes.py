"""What a row of the layer table says below itself: what is wrong, and what one should know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter

from core.results.forecast import Finding
from core.spec.layers import LayerSpec
from hogui.icons import pixmap
from hogui.theme import theme

NOTES_ROLE = int(Qt.ItemDataRole.UserRole) + 2
"""The row's notes, a tuple."""

_ICON = 14
_INSET = 9
_BELOW = 4
_WRAP = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop


@dataclass(frozen=True)
class RowNote:
    """One sentence.

    Attributes:
        severity: ``error``, ``warning`` or ``note``.
    """

    sentence: str
    severity: str = "error"

    @property
    def icon(self) -> str:
        """Name of its icon."""
        return "info" if self.severity == "note" else self.severity

    @property
    def token(self) -> str:
        """The theme's colour of icon and sentence."""
        return "text_secondary" if self.severity == "note" else self.severity


class LayerFindings:
    """What was found out about the layers of a stack; it stands while they keep their kinds."""

    def __init__(self, findings: Iterable[Finding], layers: Iterable[LayerSpec]) -> None:
        self._findings = tuple(findings)
        self._kinds = [layer.kind for layer in layers]

    def of(self, row: int, layers: Iterable[LayerSpec]) -> tuple[Finding, ...]:
        """What is to be said about one layer of a stack."""
        if not self._findings or self._kinds != [layer.kind for layer in layers]:
            return ()
        return tuple(finding for finding in self._findings if finding.layer == row)


def row_notes(problem: str | None, findings: Iterable[Finding]) -> tuple[RowNote, ...]:
    """What is wrong with a row first, then what was found out about it, the worst first."""
    order = ("error", "warning", "note")
    found = sorted(findings, key=lambda finding: order.index(finding.severity))
    notes = [RowNote(finding.sentence, finding.severity) for finding in found]
    return ((RowNote(problem),) if problem else ()) + tuple(dict.fromkeys(notes))


def row_tint(notes: Sequence[RowNote]) -> str | None:
    """The theme's colour behind a row; notes that only inform leave it as it is."""
    severities = {note.severity for note in notes}
    worst = next((name for name in ("error", "warning") if name in severities), None)
    return None if worst is None else f"{worst}_surface"


def notes_height(notes: Iterable[RowNote], metrics: QFontMetrics, width: int) -> int:
    """Pixels that the notes need in a row of this width."""
    return sum(_height(note, metrics, width) for note in notes)


def paint_notes(painter: QPainter, notes: Iterable[RowNote], top: int, width: int) -> None:
    """Paints notes below each other."""
    tokens, metrics = theme().tokens, painter.fontMetrics()
    for note in notes:
        height = _height(note, metrics, width)
        colour = getattr(tokens, note.token)
        painter.drawPixmap(_INSET, top + 1, pixmap(note.icon, colour, _ICON))
        painter.setPen(QColor(colour))
        text = QRect(_ICON + 2 * _INSET, top, _text_width(width), height - _BELOW)
        painter.drawText(text, _WRAP, note.sentence)
        top += height


def _height(note: RowNote, metrics: QFontMetrics, width: int) -> int:
    box = QRect(0, 0, _text_width(width), 10_000)
    return metrics.boundingRect(box, int(_WRAP), note.sentence).height() + _BELOW


def _text_width(width: int) -> int:
    return max(width - _ICON - 3 * _INSET, 1)
