"""The window: it puts the parts together and leaves the rest to them.

The frame comes first and knows neither the core nor a plot, so that it is on the screen at once;
``fill`` brings the rest. A window that is not deferred is complete when it is made.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from typing_extensions import override

from hogui.actions import Actions
from hogui.frame import Frame
from hogui.home import home
from hogui.icons import app_icon
from hogui.menus import Menus
from hogui.pages.message_strip import MessageStrip
from hogui.pages.tabs import ConfigurationTabs, TabPage
from hogui.preferences import Preferences
from hogui.session_file import from_base64, read_session, to_base64
from hogui.status_line import StatusLine
from hogui.theme import theme
from hogui.tool_bar import ToolBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from hogui.adviser import Advisor
    from hogui.forecaster import Oracle
    from hogui.run_worker import Source

FIRST_SIZE = QSize(1280, 800)
AFTER_PLOTS_MS = 33
"""Plots are painted a frame after they are made."""


class MainWindow(Frame):
    """Tool bar, tabs and status line, and the session behind them.

    Signals:
        filled: the frame has got its content, the plots first.
        completed: nothing is missing any more.
    """

    filled = Signal()
    completed = Signal()
    _noticed = Signal(str)
    """A sentence from any thread."""

    def __init__(
        self,
        *,
        source: Source | None = None,
        oracle: Callable[[], Oracle] | None = None,
        advisor: Callable[[], Advisor] | None = None,
        warm_up: bool = True,
        defer: bool = False,
    ) -> None:
        """Makes the frame, and its content unless it is deferred.

        Args:
            source: where the events of a run come from, by default as the preferences say.
            oracle: makes what forecasts, by default the core in a process of its own.
            advisor: makes what advises, by default the core in processes of its own.
            warm_up: get the measuring process ready in the background, and then the forecasts.
            defer: whoever makes the window calls ``fill`` once the frame is painted.
        """
        super().__init__()
        self._source, self._oracle, self._advisor, self._warms_up = source, oracle, advisor, warm_up
        self.home = home()
        self._is_deferred = defer
        self._is_filled = False
        self.preferences = Preferences(self.home, self)
        self._dress()
        self._kept = read_session(self.home)
        self.commands = Actions(self)
        self.menus = Menus(self.menuBar(), self.commands)
        self.tool_bar = ToolBar(self.commands)
        self.strip = MessageStrip()
        self.tabs = ConfigurationTabs(self.commands)
        self.status = StatusLine()
        self._lay_out()
        self._show_frame_as_kept()
        if not defer:
            self.fill()

    def fill(self) -> None:
        """Brings what the first frame did not wait for: the core's values, plots, pages."""
        if self._is_filled:
            return
        self._is_filled = True
        from hogui.commands.exports import ExportCommands
        from hogui.commands.files import FileCommands
        from hogui.commands.forecasts import ForecastControls
        from hogui.commands.runs import RunControls
        from hogui.commands.tabs import TabCommands
        from hogui.commands.window import WindowCommands
        from hogui.forecaster import Forecasts
        from hogui.keeper import Keeper
        from hogui.run_store import RunStore
        from hogui.run_worker import WarmUp, source_for
        from hogui.session import Session
        from hogui.workbench import Workbench

        self._noticed.connect(self.tell)
        store = RunStore(self.home, self._noticed.emit)
        choices = self.preferences
        self.session = Session(
            lambda job: self._source or source_for(choices.choices.place, job.forecast),
            store.keep,
            self,
        )
        self.workbench = Workbench(self.session, self.tabs, store, self.commands["split"], self)
        self.controls = RunControls(
            self.session, choices, self.commands, self.tool_bar, self.status, self
        )
        self.forecasts = Forecasts(self.session, choices, self)
        self.forecast_controls = ForecastControls(
            self.session, choices, self.forecasts, self.tool_bar.forecast, self
        )
        self.tab_commands = TabCommands(
            self.session, self.commands, self.workbench, self.tabs, self.menus.variants, self
        )
        self.files = FileCommands(
            self.session, self.commands, self._kept.recents, self.menus.recents, self
        )
        self.exports = ExportCommands(
            self.session, store, self.commands, self.workbench.current_page, self
        )
        self.window_commands = WindowCommands(self.commands, choices, self.home, self)
        self.keeper = Keeper(
            self.home,
            self.session,
            lambda: self.files.recents,
            self._layout_to_keep,
            self.workbench.positions_beside,
            self,
        )
        for source in (self.files, self.exports, self.forecast_controls):
            source.told.connect(self.tell)
        self.files.recentsChanged.connect(self.keeper.mark)
        self.workbench.layoutChanged.connect(self.keeper.mark)
        self.keeper.failed.connect(partial(self.tell, is_error=True))
        if "page" in self._kept.layout:
            self.workbench.set_splitter_state(from_base64(self._kept.layout["page"]))
        told = self.workbench.restore(self._kept, plots_first=self._is_deferred)
        if told:
            self.tell("\n".join(told), is_error=True)
        self.warm_up = WarmUp(self)
        self.controls.follow(self.warm_up)
        if self._is_deferred:
            QTimer.singleShot(AFTER_PLOTS_MS, self._complete)
        else:
            self._complete()
        self.filled.emit()

    def _complete(self) -> None:
        """Brings what the plots did not wait for."""
        self.workbench.complete()
        from hogui.commands.advice import AdviceControls
        from hogui.forecaster import own_oracle

        self.advice = AdviceControls(
            self.session, self.preferences, self.commands, self.workbench, self._advisor, self
        )

        ask = partial(self.forecasts.start, self._oracle or own_oracle)
        if self._warms_up:
            # Last: importing in a thread holds up the one that paints.
            QTimer.singleShot(0, self.warm_up.start)
            self.warm_up.finished.connect(ask)
        elif self._oracle is not None:
            QTimer.singleShot(0, ask)
        self.placed.connect(self.keeper.mark)
        self.completed.emit()

    def open_file(self, path: Path) -> None:
        """Opens a configuration in a tab."""
        self.files.open(path)

    def tell(self, sentence: str, is_error: bool = False) -> None:
        """Says something that belongs to no tab."""
        self.strip.show_message(sentence, "error" if is_error else "info")

    # Frame.

    def _dress(self) -> None:
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        theme().set_preference(self.preferences.choices.theme)
        theme().apply(application)
        self.preferences.changed.connect(
            lambda: theme().set_preference(self.preferences.choices.theme)
        )
        self.setWindowTitle("HoGUI")
        self.setWindowIcon(app_icon())
        self.fileDropped.connect(self.open_file)

    def _lay_out(self) -> None:
        middle = QWidget()
        layout = QVBoxLayout(middle)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self.tool_bar, self.strip):
            layout.addWidget(widget)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.status)
        self.setCentralWidget(middle)
        self.tabs.bar.setFocus()

    def _show_frame_as_kept(self) -> None:
        """Size and titles of the last time, before the configurations can be read."""
        geometry = self._kept.layout.get("window")
        if geometry is None or not self.restoreGeometry(from_base64(geometry)):
            self.resize(FIRST_SIZE)
        if not self.preferences.choices.restore_tabs:
            self._kept.tabs.clear()
        for tab in self._kept.tabs:
            self.tabs.addTab(TabPage(), tab.title)
        if self._kept.tabs:
            self.tabs.setCurrentIndex(self._kept.current)

    def _layout_to_keep(self) -> dict[str, str]:
        return {
            "window": to_base64(self.saveGeometry()),
            "page": to_base64(self.workbench.splitter_state()),
        }

    # Events.

    @override
    def closeEvent(self, event: QCloseEvent) -> None:
        """Ends what runs, then keeps what is open. Never waits for long."""
        if self._is_filled:
            if self.window_commands.asks_before_closing(self.session):
                event.ignore()
                return
            self.keeper.write(durable=True)
            self.forecasts.close()
            self.session.shut_down()
            self.warm_up.close()
        super().closeEvent(event)
