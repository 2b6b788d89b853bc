"""What every plot has: a canvas in the theme's colours, a cross-hair, gestures, keys, a menu, a
table behind it."""

from abc import abstractmethod
from pathlib import Path

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QImage,
    QKeyEvent,
    QPainter,
    QShowEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolTip, QWidget

from hogui.plots.canvas import Canvas, Mapping
from hogui.plots.elided_label import ElidedLabel
from hogui.plots.frame import frame_clock
from hogui.plots.painting import (
    ReadOutRow,
    crisp,
    empty_text,
    hairline,
    horizontal,
    read_out,
    vertical,
)
from hogui.plots.picture import copy_picture, picture_of, save_picture
from hogui.plots.table_dialog import Rows, TableDialog
from hogui.plots.ticks import Ticker, Ticks
from hogui.plots.view_menu import view_menu
from hogui.plots.x_axis import XAxis
from hogui.plots.y_share import YShare
from hogui.theme import GRID, Size, theme

_STEP, _FAR_STEP = 0.1, 0.5
_CLOSER = 0.8


class PlotView(QWidget):
    """Base of all plots. A plot says what it paints, what it needs vertically and what its table
    holds.

    Redrawing happens with the frame clock: whoever changes data calls `request_redraw`.

    Signals:
        cursorMoved: the x under the pointer, or None.
        viewRangeChanged: lowest and highest x shown.
    """

    cursorMoved = Signal(object)
    viewRangeChanged = Signal(float, float)

    def __init__(
        self,
        title: str,
        parent: QWidget | None = None,
        *,
        x_ticks: Ticker | None,
        y_ticks: Ticker | None,
    ) -> None:
        super().__init__(parent)
        self.title = title
        self.x_axis = XAxis(self)
        self.y_share = YShare()
        self.canvas = Canvas(self._paint, self._unless_empty(x_ticks), self._unless_empty(y_ticks))
        self._stale = self._was_empty = True
        self._taking_picture = False
        self._drawn_range: tuple[float, float] | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(title)
        self.canvas.pressed.connect(self.setFocus)
        self.canvas.hovered.connect(self._hover)
        self.canvas.tip_asked.connect(self._show_tip)
        self.canvas.box.zoomed.connect(lambda factor, centre: self.x_axis.zoom(factor, centre))
        self.canvas.box.dragged.connect(lambda shift: self.x_axis.drag(shift))
        self.canvas.box.range_chosen.connect(lambda low, high: self.x_axis.set_range(low, high))
        self.canvas.box.range_drawn.connect(self._draw_range)
        self.y_share.changed.connect(self.request_redraw)
        self._observe_axis()
        theme().changed.connect(self._recolour)
        self._recolour()

    # What a plot says of itself.

    @abstractmethod
    def rows(self) -> tuple[list[str], Rows]:
        """The headers and rows of the table behind the plot, in bytes and seconds."""

    @abstractmethod
    def empty_sentence(self) -> str | None:
        """What will appear here, while nothing has; None once there is something."""

    @abstractmethod
    def needed_y(self, low: float, high: float) -> tuple[float, float]:
        """The vertical range that shows all data between two x."""

    def needs_room(self) -> bool:
        """Whether there is a figure whose height others have to make room for."""
        return self.empty_sentence() is None

    @abstractmethod
    def paint_data(self, painter: QPainter, mapping: Mapping) -> None:
        """Paints the data, in pixels."""

    def paint_empty(self, painter: QPainter, mapping: Mapping) -> None:
        """Paints what is there before any data."""

    def read_out_at(self, x: float) -> tuple[str, list[ReadOutRow]] | None:
        """Title and rows of the read-out at the cursor."""
        return None

    def tip_at(self, place: QPointF) -> tuple[str, QRectF] | None:
        """The tool tip at a place of the plot's area, and what it holds for."""
        return None

    def announce_extent(self) -> None:
        """Tells the horizontal axis where data lie; once a frame, since all who share it follow."""

    def refresh(self) -> None:
        """Brings up to date what is not painted: legend, notes, the accessible description."""

    def controls(self) -> list[QWidget]:
        """The buttons of the header, which pictures leave out."""
        return []

    # What everybody may ask of a plot.

    def request_redraw(self) -> None:
        """Redraws with the next frame."""
        frame_clock().request(self)

    def redraw(self) -> None:
        """Brings the picture up to date; a hidden plot waits until it is shown again."""
        if self.isVisible():
            self._fit()
            self.canvas.layer.update()
        self._stale = not self.isVisible()

    def set_cursor(self, x: float | None) -> None:
        """Puts the cross-hair of this plot, and of all that share its axis, at one place."""
        self.x_axis.set_cursor(x)

    def reset_view(self) -> None:
        """Shows everything again and follows what arrives."""
        self.x_axis.follow()

    def previous_view(self) -> None:
        """Shows the range that was shown before the last chosen one."""
        self.x_axis.back()

    def next_view(self) -> None:
        """Takes back `previous_view`."""
        self.x_axis.forward()

    def link_x(self, other: "PlotView") -> None:
        """Shares the horizontal axis of another plot of the same run: range, cursor and history."""
        mine = self.x_axis
        mine.range_changed.disconnect(self._show_range)
        mine.cursor_changed.disconnect(self._cursor_changed)
        mine.linked_changed.disconnect(self._axis_relabelled)
        self.x_axis = other.x_axis
        self._observe_axis()

    def share_y(self, share: YShare) -> None:
        """Shows the same vertical range as the other plots of the share."""
        self.y_share.changed.disconnect(self.request_redraw)
        self.y_share = share
        share.changed.connect(self.request_redraw)
        self.request_redraw()

    def picture(self) -> QImage:
        """The plot with two pixels per pixel of the screen, without buttons and cross-hair."""
        self._fit()
        self._taking_picture = True
        shown = [widget for widget in self.controls() if not widget.isHidden()]
        for widget in shown:
            widget.hide()
        image = picture_of(self)
        for widget in shown:
            widget.show()
        self._taking_picture = False
        return image

    def save_png(self, path: str | Path) -> None:
        """Writes the plot as a picture.

        Raises:
            OSError: the file cannot be written.
        """
        save_picture(self.picture(), path)

    def copy_picture(self) -> None:
        """Puts the picture on the clipboard."""
        copy_picture(self.picture())

    def show_table(self) -> TableDialog:
        """Opens the table behind the plot."""
        dialog = TableDialog(self.title, *self.rows(), self)
        dialog.open()
        return dialog

    # Events.

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys, modifiers = Qt.Key, event.modifiers()
        axis = self.x_axis
        if modifiers & Qt.KeyboardModifier.AltModifier:
            acts = {keys.Key_Left: self.previous_view, keys.Key_Right: self.next_view}
        elif modifiers & Qt.KeyboardModifier.ControlModifier:
            acts = {keys.Key_C: self.copy_picture}
        else:
            step = _FAR_STEP if modifiers & Qt.KeyboardModifier.ShiftModifier else _STEP
            moves = {
                (keys.Key_A, keys.Key_Left): lambda: axis.pan(-step),
                (keys.Key_D, keys.Key_Right): lambda: axis.pan(step),
                (keys.Key_W, keys.Key_Up, keys.Key_Plus): lambda: axis.zoom(_CLOSER, axis.cursor),
                (keys.Key_S, keys.Key_Down, keys.Key_Minus): lambda: axis.zoom(
                    1 / _CLOSER, axis.cursor
                ),
                (keys.Key_Escape, keys.Key_Home, keys.Key_0, keys.Key_F): self.reset_view,
                (keys.Key_T,): self.show_table,
            }
            acts = {key: act for names, act in moves.items() for key in names}
        act = acts.get(Qt.Key(event.key()))
        if act is None:
            super().keyPressEvent(event)
        else:
            act()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        view_menu(self, self).popup(event.globalPos())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._stale:
            self.request_redraw()

    # Layout for the plots that have a header.

    def header(self, *controls: QWidget) -> QHBoxLayout:
        """A line with the title, a note that gives way, and the controls."""
        title = QLabel(self.title)
        title.setProperty("role", "heading")
        self.note = ElidedLabel()
        self.note.setProperty("role", "small")
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(title)
        line.addWidget(self.note, 1)
        for widget in controls:
            policy = widget.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            widget.setSizePolicy(policy)
            line.addWidget(widget)
        return line

    # Wiring.

    def _observe_axis(self) -> None:
        axis = self.x_axis
        axis.range_changed.connect(self._show_range)
        axis.cursor_changed.connect(self._cursor_changed)
        axis.linked_changed.connect(self._axis_relabelled)
        self._show_range(*axis.range)

    def _unless_empty(self, ticker: Ticker | None) -> Ticker | None:
        """An axis without figures while there is nothing that they could measure."""
        if ticker is None:
            return None
        nothing = Ticks([], [])
        return lambda *args: ticker(*args) if self.empty_sentence() is None else nothing

    def _show_range(self, low: float, high: float) -> None:
        self.canvas.box.setXRange(low, high, padding=0)
        self.viewRangeChanged.emit(low, high)
        self.request_redraw()

    def _cursor_changed(self, _: float | None) -> None:
        self.request_redraw()

    def _axis_relabelled(self, _: bool) -> None:
        self._recolour()

    def _hover(self, x: float | None) -> None:
        self.x_axis.set_cursor(x)
        self.cursorMoved.emit(x)

    def _show_tip(self, place: QPointF, origin: QPointF) -> None:
        tip = self.tip_at(place)
        viewport = self.canvas.viewport()
        if tip is None:
            QToolTip.hideText()
            return
        text, box = tip
        at = viewport.mapToGlobal((place + origin).toPoint())
        QToolTip.showText(at, text, viewport, box.translated(origin).toAlignedRect())

    def _draw_range(self, drawn: tuple[float, float] | None) -> None:
        self._drawn_range = drawn
        self.request_redraw()

    def _recolour(self) -> None:
        tokens = theme().tokens
        self.canvas.setBackground(QColor(tokens.window))
        for axis in (self.canvas.left, self.canvas.bottom):
            if axis is not None:
                axis.dress(tokens.border_strong, tokens.text_secondary, theme().font(Size.SMALL))
        self.request_redraw()

    def _fit(self) -> None:
        self.announce_extent()
        low, high = self._shared_y()
        self.canvas.box.setYRange(low, high if high > low else low + 1, padding=0)
        is_empty = self.empty_sentence() is not None
        if is_empty != self._was_empty:
            # An axis whose range stays keeps its picture, with figures or without.
            self._was_empty = is_empty
            self.canvas.redraw_axes()
        self.refresh()

    def _shared_y(self) -> tuple[float, float]:
        """The range that all plots of the share show; one without a figure asks for no room."""
        needed = self.needed_y(*self.x_axis.range)
        if self.needs_room():
            return self.y_share.need(self, *needed)
        return self.y_share.leave(self) or needed

    # Painting.

    def _paint(self, painter: QPainter) -> None:
        tokens, mapping = theme().tokens, self.canvas.mapping()
        painter.fillRect(mapping.area, QColor(tokens.surface))
        sentence = self.empty_sentence()
        if sentence is not None:
            self.paint_empty(painter, mapping)
            empty_text(painter, mapping.area, sentence)
            return
        self._paint_grid(painter, mapping)
        painter.save()
        self.paint_data(painter, mapping)
        painter.restore()
        if self._taking_picture:
            return
        if self._drawn_range is not None:
            self._paint_range(painter, mapping, self._drawn_range)
        cursor = self.x_axis.cursor
        if cursor is not None:
            self._paint_cursor(painter, mapping, cursor)

    def _paint_grid(self, painter: QPainter, mapping: Mapping) -> None:
        painter.setPen(hairline(theme().tokens.grid_line))
        if self.canvas.bottom is not None:
            for x in mapping.x(self.canvas.bottom.positions()):
                vertical(painter, crisp(x, mapping.ratio), mapping.height)
        if self.canvas.left is not None:
            for y in mapping.y(self.canvas.left.positions()):
                horizontal(painter, crisp(y, mapping.ratio), mapping.width)

    def _paint_range(self, painter: QPainter, mapping: Mapping, drawn: tuple[float, float]) -> None:
        colour = QColor(theme().tokens.accent)
        left, right = mapping.x(drawn)
        painter.setPen(hairline(colour))
        vertical(painter, crisp(left, mapping.ratio), mapping.height)
        vertical(painter, crisp(right, mapping.ratio), mapping.height)
        colour.setAlphaF(0.12)
        painter.fillRect(int(left), 0, int(right) - int(left), int(mapping.height), colour)

    def _paint_cursor(self, painter: QPainter, mapping: Mapping, cursor: float) -> None:
        low, high = mapping.x_range
        if not low <= cursor <= high:
            return
        x = crisp(float(mapping.x(cursor)), mapping.ratio)
        painter.setPen(hairline(theme().tokens.text_secondary))
        vertical(painter, x, mapping.height)
        shown = self.read_out_at(cursor)
        if shown is not None:
            read_out(painter, mapping.area, x, *shown)
