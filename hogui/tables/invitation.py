"""What a table says while it has no rows."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QTableView

from hogui.theme import GRID, theme

_FLAGS = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
_MARGIN = 4 * GRID


def paint_invitation(table: QTableView, sentence: str) -> None:
    """Writes a sentence into the middle of a table; called while it paints itself."""
    painter = QPainter(table.viewport())
    painter.setFont(table.font())
    painter.setPen(QColor(theme().tokens.text_secondary))
    area = table.viewport().rect().adjusted(_MARGIN, 0, -_MARGIN, 0)
    painter.drawText(area, _FLAGS, sentence)
