"""What a plot's horizontal axis shows, apart from any plot, so that several can share it.

Plots of one run hold the same `XAxis`. The axes of several runs are linked: they show the same
range and cursor relative to their origins (the start of the memory pass), because runs do not
start measuring at the same moment.
"""

from enum import StrEnum
from weakref import WeakSet

from PySide6.QtCore import QElapsedTimer, QObject, Signal

_NARROWEST = 1e-7
_MARGIN = 0.01
_ONE_GESTURE_MS = 600


class Span(StrEnum):
    """The ranges that an axis can follow while data arrive."""

    MEMORY_PASS = "memory_pass"
    WHOLE_RUN = "whole_run"


class _Group:
    """Axes that move together. Ranges and cursor are kept relative to each member's origin."""

    def __init__(self, *axes: "XAxis") -> None:
        self.axes = WeakSet(axes)
        self.range = (0.0, 1.0)
        self.span = Span.MEMORY_PASS
        self.following = True
        self.past: list[tuple[float, float]] = []
        self.future: list[tuple[float, float]] = []
        self._since_gesture = QElapsedTimer()

    def remember(self) -> None:
        """Keeps the present view for `back`; the steps of one turn of the wheel or one drag are
        one view."""
        timer = self._since_gesture
        if self.following or not timer.isValid() or timer.elapsed() > _ONE_GESTURE_MS:
            self.past.append(self.range)
            self.future.clear()
        timer.start()

    def extent(self, span: Span) -> tuple[float, float] | None:
        extents = [e for axis in self.axes if (e := axis.relative_extent(span)) is not None]
        return (min(e[0] for e in extents), max(e[1] for e in extents)) if extents else None

    def show(self, low: float, high: float) -> None:
        if self.range != (low, high):
            self.range = (low, high)
            for axis in list(self.axes):
                axis.range_changed.emit(*axis.range)

    def follow(self) -> None:
        extent = self.extent(self.span) or self.extent(Span.WHOLE_RUN)
        if extent is not None:
            low, high = extent
            width = max(high - low, _NARROWEST)
            self.show(low - _MARGIN * width, low + (1 + _MARGIN) * width)

    def set_following(self, following: bool) -> None:
        if self.following != following:
            self.following = following
            for axis in list(self.axes):
                axis.following_changed.emit(following)


class XAxis(QObject):
    """The range, the cursor and the history of views of one or several plots.

    Signals:
        range_changed: lowest and highest value shown.
        cursor_changed: the cursor's place, or None.
        following_changed: whether the view grows with the data.
        span_changed: which span is followed.
        linked_changed: whether other runs' axes move along.
    """

    range_changed = Signal(float, float)
    cursor_changed = Signal(object)
    following_changed = Signal(bool)
    span_changed = Signal(object)
    linked_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._origin = 0.0
        self._cursor: float | None = None
        self._extents: dict[Span, tuple[float, float]] = {}
        self._group = _Group(self)

    @property
    def range(self) -> tuple[float, float]:
        low, high = self._group.range
        return low + self._origin, high + self._origin

    @property
    def cursor(self) -> float | None:
        return self._cursor

    @property
    def following(self) -> bool:
        return self._group.following

    @property
    def span(self) -> Span:
        return self._group.span

    @property
    def linked(self) -> bool:
        """Whether axes of other runs move along; figures are then given relative to the origin."""
        return len(self._group.axes) > 1

    @property
    def shown_origin(self) -> float:
        """What is to be subtracted from a value before it is shown to the user."""
        return self._origin if self.linked else 0.0

    def extent(self, span: Span = Span.WHOLE_RUN) -> tuple[float, float] | None:
        """Where this axis's own data lie."""
        return self._extents.get(span)

    def relative_extent(self, span: Span) -> tuple[float, float] | None:
        extent = self._extents.get(span)
        return None if extent is None else (extent[0] - self._origin, extent[1] - self._origin)

    def clear(self) -> None:
        """Forgets the data's extents and follows again."""
        self._extents.clear()
        self.set_origin(0.0)
        self._group.past.clear()
        self._group.future.clear()
        self.set_cursor(None)
        self.follow()

    def set_origin(self, origin: float) -> None:
        """Names the value at which linked axes coincide; alone, the present range stays."""
        if origin == self._origin:
            return
        low, high = self.range
        self._origin = origin
        if self.linked:
            self.range_changed.emit(*self.range)
        else:
            self._group.range = (low - origin, high - origin)

    def extend(self, span: Span, low: float, high: float) -> None:
        """Says where data lie, besides what was said before; the view grows along if it follows."""
        for grown in {span, Span.WHOLE_RUN}:
            known = self._extents.get(grown, (low, high))
            self._extents[grown] = (min(known[0], low), max(known[1], high))
        if self.following:
            self._group.follow()

    def forget(self, span: Span) -> None:
        """Where data of this span lay is said anew; until then the view stays."""
        self._extents.pop(span, None)

    def follow(self, span: Span | None = None) -> None:
        """Shows all of a span and grows with it until the user moves the view."""
        if span is not None and span is not self._group.span:
            self._group.span = span
            for axis in list(self._group.axes):
                axis.span_changed.emit(span)
        self._group.set_following(True)
        self._group.follow()

    def set_range(self, low: float, high: float) -> None:
        """The user's own choice of a range: remembered, shown, and no longer followed."""
        self._group.past.append(self._group.range)
        self._group.future.clear()
        self._move(low - self._origin, high - self._origin)

    def drag(self, shift: float) -> None:
        """Moves the view by a distance."""
        self._group.remember()
        low, high = self._group.range
        self._move(low + shift, high + shift)

    def zoom(self, factor: float, centre: float | None = None) -> None:
        """Scales the range about a place (the middle, if none is given); below 1 shows less."""
        low, high = self.range
        centre = (low + high) / 2 if centre is None else centre
        if (high - low) * factor < _NARROWEST:
            return
        self._group.remember()
        self._move(
            centre + (low - centre) * factor - self._origin,
            centre + (high - centre) * factor - self._origin,
        )

    def pan(self, share: float) -> None:
        """Moves the view by a share of its width."""
        low, high = self._group.range
        self.drag(share * (high - low))

    def back(self) -> None:
        """Returns to the view before the last chosen one."""
        if self._group.past:
            self._group.future.append(self._group.range)
            self._move(*self._group.past.pop())

    def forward(self) -> None:
        """Takes back a step back."""
        if self._group.future:
            self._group.past.append(self._group.range)
            self._move(*self._group.future.pop())

    def set_cursor(self, value: float | None) -> None:
        """Puts the cross-hair of all plots at one place, or takes it away."""
        relative = None if value is None else value - self._origin
        for axis in list(self._group.axes):
            place = None if relative is None else relative + axis._origin
            if place != axis._cursor:
                axis._cursor = place
                axis.cursor_changed.emit(place)

    def _move(self, low: float, high: float) -> None:
        self._group.set_following(False)
        extent = self._group.extent(Span.WHOLE_RUN)
        if extent is not None:
            # Something of the data stays in sight, however far a view is thrown.
            width = min(high - low, 4 * max(extent[1] - extent[0], _NARROWEST))
            low = min(max(low, extent[0] - 0.9 * width), extent[1] - 0.1 * width)
            high = low + width
        self._group.show(low, high)


def link_axes(*axes: XAxis) -> None:
    """Makes axes move together; those that they were linked with before stay behind."""
    unlink_axes(*axes)
    group = _Group(*axes)
    if axes:
        group.span = axes[0].span
    for axis in axes:
        axis._group = group
    for axis in axes:
        axis.linked_changed.emit(axis.linked)
    group.follow()


def unlink_axes(*axes: XAxis) -> None:
    """Gives each axis its own range again."""
    for axis in axes:
        if not axis.linked:
            continue
        left, span = axis._group, axis.span
        left.axes.discard(axis)
        axis._group = _Group(axis)
        axis._group.span = span
        for changed in (axis, *left.axes):
            changed.linked_changed.emit(changed.linked)
            changed._group.follow()
