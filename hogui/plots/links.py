"""Plots of several runs, side by side on the same scales."""

from collections.abc import Sequence

from hogui.plots.memory_plot import MemoryPlot
from hogui.plots.time_plot import TimePlot
from hogui.plots.view import PlotView
from hogui.plots.x_axis import link_axes, unlink_axes
from hogui.plots.y_share import YShare


def link(plots: Sequence[PlotView]) -> None:
    """Gives the memory plots among them one time axis and cross-hair, and equal plots one
    vertical scale.

    Time counts from the start of each run's memory pass, since runs do not start it at the same
    moment. Plots that share the axis of a linked plot (`PlotView.link_x`) come along. A curve that
    is only expected keeps a time axis of its own: its seconds are not those of a memory pass.
    Earlier links of these plots end.
    """
    memory = [plot for plot in plots if isinstance(plot, MemoryPlot)]
    unlink_axes(*{plot.x_axis: None for plot in memory if plot.is_ahead})
    link_axes(*{plot.x_axis: None for plot in memory if not plot.is_ahead})
    for kind in (MemoryPlot, TimePlot):
        share = YShare()
        for plot in plots:
            if isinstance(plot, kind):
                plot.share_y(share)


def unlink(plots: Sequence[PlotView]) -> None:
    """Gives each plot its own scales again."""
    unlink_axes(*{plot.x_axis: None for plot in plots})
    for plot in plots:
        plot.share_y(YShare())
