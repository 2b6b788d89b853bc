"""A slim stacked bar of shares, with its labels below it as far as they fit."""

from collections.abc import Iterator, Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from hogui.tables.rows_model import Segment
from hogui.theme import GRID, Size, theme

_BAR = 3 * GRID
_GAP = 1
"""Between two segments, so that neighbours of one colour are told apart."""
_LEAST = 2.0
"""What a segment keeps, however small its share."""


def bar_height() -> int:
    """Pixels that a bar with its labels needs."""
    return round(_BAR + QFontMetricsF(_font()).height()) + 3 * GRID


def places(segments: Sequence[Segment], area: QRectF) -> Iterator[tuple[Segment, QRectF]]:
    """Where each segment lies in the bar at the top of an area."""
    room = area.width() - _GAP * max(len(segments) - 1, 0)
    wanted = [max(room * segment.share, _LEAST) for segment in segments]
    scale = min(room / sum(wanted), 1.0) if wanted else 1.0
    left = area.left()
    for segment, width in zip(segments, wanted, strict=True):
        yield segment, QRectF(left, area.top() + GRID, width * scale, _BAR)
        left += width * scale + _GAP


def segment_at(segments: Sequence[Segment], area: QRectF, x: float) -> Segment | None:
    """The segment at a place from left to right, None between and beside them."""
    found = (segment for segment, box in places(segments, area) if box.left() <= x <= box.right())
    return next(found, None)


def paint_bar(painter: QPainter, area: QRectF, segments: Sequence[Segment]) -> None:
    """Paints the bar; each label stands below its segment where there is room for it."""
    tokens, metrics = theme().tokens, QFontMetricsF(_font())
    painter.setFont(_font())
    for segment, box in places(segments, area):
        painter.fillRect(box, QColor(segment.swatch or getattr(tokens, segment.token)))
        # The name alone says which it is; the rows below have the figures.
        fitting = (text for text in (segment.label, segment.name) if _fits(metrics, text, box))
        text = next(fitting, "")
        painter.setPen(QColor(tokens.text_secondary))
        below = QRectF(box.left(), box.bottom() + 2, box.width(), metrics.height())
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, text)


def _fits(metrics: QFontMetricsF, text: str, box: QRectF) -> bool:
    return metrics.horizontalAdvance(text) + GRID <= box.width()


def _font() -> QFont:
    return theme().font(Size.SMALL, tabular=True)
