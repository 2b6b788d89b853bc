"""A compact legend: a swatch and a name each, in as many lines as the width asks for."""

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from hogui.theme import GRID, Size, theme

_SWATCH = 8
_GAP = 3 * GRID

Entry = tuple[QColor, str]


class Legend(QWidget):
    """Paints its entries; keeps one line of height while it has none, so that nothing jumps."""

    swatch_width = _SWATCH

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entries: tuple[Entry, ...] = ()
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setFont(theme().font(Size.SMALL))

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self._entries

    def set_entries(self, entries: Sequence[Entry]) -> None:
        if tuple(entries) != self._entries:
            self._entries = tuple(entries)
            self.updateGeometry()
            self.update()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        places = self._places(width)
        return (places[-1].bottom() + 1 if places else self._line_height()) + GRID

    def sizeHint(self) -> QSize:
        return QSize(200, self._line_height() + GRID)

    def minimumSizeHint(self) -> QSize:
        return QSize(80, self._line_height() + GRID)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        places = self._places(self.width())
        for number, ((colour, name), place) in enumerate(zip(self._entries, places, strict=True)):
            middle = place.top() + (place.height() - _SWATCH) // 2
            swatch = QRect(place.left(), middle, self.swatch_width, _SWATCH)
            self.paint_swatch(painter, swatch, number, colour)
            painter.setPen(QColor(theme().tokens.text_secondary))
            text = place.adjusted(self.swatch_width + GRID, 0, 0, 0)
            painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)

    def paint_swatch(self, painter: QPainter, box: QRect, number: int, colour: QColor) -> None:
        """Paints what stands before a name."""
        painter.fillRect(box, colour)

    def _line_height(self) -> int:
        return self.fontMetrics().height()

    def _places(self, width: int) -> list[QRect]:
        metrics, place = self.fontMetrics(), QPoint(0, 0)
        places = []
        for _, name in self._entries:
            width_of_name = self.swatch_width + GRID + metrics.horizontalAdvance(name)
            size = QSize(width_of_name, self._line_height())
            if place.x() and place.x() + size.width() > width:
                place = QPoint(0, place.y() + self._line_height())
            places.append(QRect(place, size))
            place = place + QPoint(size.width() + _GAP, 0)
        return places
