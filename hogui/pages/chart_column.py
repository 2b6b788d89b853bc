"""Time a repetition, and under it the charts that a run's workload draws."""

from collections.abc import Iterable, Iterator

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget
from typing_extensions import override

from core.results.charts import CHARTS, Curve, Point, form_of
from hogui.plots.chart_plot import ChartPlot
from hogui.plots.heat_map_plot import HeatMapPlot, Matrix
from hogui.plots.time_plot import TimePlot
from hogui.plots.y_share import YShare
from hogui.splitter import GRIP, Splitter


class ChartColumn(QScrollArea):
    """Time and one chart are always in sight, time alone where room is scarce; more share the
    height while they fit and scroll when they do not. A chart's plot is made with its first
    point."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._matrix: HeatMapPlot | None = None
        self._is_scarce = False
        self._shares: dict[str, YShare] = {}
        self._plots: dict[str, ChartPlot] = {}
        self._splitter = Splitter(Qt.Orientation.Vertical)
        self._splitter.setChildrenCollapsible(False)
        self.setWidget(self._splitter)
        self.time = TimePlot(self._splitter)

    @property
    def shown(self) -> tuple[ChartPlot | HeatMapPlot, ...]:
        """The charts that have points, from the top down, and a matrix if there is one."""
        plots = (*self._in_order(), *([self._matrix] if self._matrix is not None else []))
        return tuple(plot for plot in plots if not plot.isHidden())

    def chart(self, name: str) -> ChartPlot:
        """The plot of a chart, made if there is none yet."""
        if name not in self._plots:
            plot = ChartPlot(name, form_of(name))
            self._plots[name] = plot
            self._splitter.insertWidget(1 + list(self._in_order()).index(plot), plot)
            self._share(name, plot)
        return self._plots[name]

    def append(self, point: Point) -> None:
        """Draws one more point."""
        self.chart(point.chart).append(point)

    def extend(self, curves: Iterable[Curve]) -> None:
        """Draws stored curves."""
        for curve in curves:
            self.chart(curve.chart).extend(curve)

    def show_matrix(self, matrix: Matrix | None) -> None:
        """Draws a matrix under the charts, or none."""
        if matrix is not None and self._matrix is None:
            self._matrix = HeatMapPlot()
            self._splitter.addWidget(self._matrix)
        if self._matrix is not None:
            self._matrix.set_matrix(matrix)

    def clear(self) -> None:
        """Forgets everything; without points a chart is hidden."""
        self.show_matrix(None)
        for plot in (self.time, *self._plots.values()):
            plot.clear()

    def share_y(self, shares: dict[str, YShare]) -> None:
        """Gives charts the vertical scale of those of the same name in other columns.

        Args:
            shares: by the name of a chart, the same object for all columns; new names are added.
        """
        self._shares = shares
        for name, plot in self._plots.items():
            self._share(name, plot)

    def _share(self, name: str, plot: ChartPlot) -> None:
        """A logarithmic axis stays alone: it may have to be a plain one, and decades compare."""
        if not plot.form.log_y:
            plot.share_y(self._shares.setdefault(name, YShare()))

    def set_scarce(self, scarce: bool) -> None:
        """Says whether others need the room more."""
        self._is_scarce = scarce
        self.updateGeometry()

    @override
    def minimumSizeHint(self) -> QSize:
        """As high as what is always in sight."""
        parts = [self.time, *([] if self._is_scarce else self.shown[:1])]
        needed = (part.minimumSizeHint().expandedTo(part.minimumSize()) for part in parts)
        height = sum(size.height() for size in needed)
        width = super().minimumSizeHint().width()
        if not self._is_scarce:
            # A plot that is too narrow would lose its right edge.
            width = max([width, *(plot.minimumSizeHint().width() for plot in self.shown)])
        return QSize(width, height + (len(parts) - 1) * GRIP)

    @override
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """What the plots need becomes what the column needs."""
        if event.type() is QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def _in_order(self) -> Iterator[ChartPlot]:
        for name in dict.fromkeys((*CHARTS, *self._plots)):
            if name in self._plots:
                yield self._plots[name]
