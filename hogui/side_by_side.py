"""Two to four tabs side by side, on one time axis and with one cross-hair."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu

from hogui.open_tab import OpenTab
from hogui.pages.compare_strip import CompareStrip
from hogui.pages.run_page import RunPage
from hogui.plots.links import link, unlink
from hogui.plots.y_share import YShare
from hogui.session import MOST_TABS_AT_ONCE, Session


class SideBySide(QObject):
    """Which tabs stand beside each other, and their figures' common axes.

    The figures of the others visit the page of the tab in front, and go home when that changes.

    Signals:
        changed: other tabs stand side by side, or none any more.
    """

    changed = Signal()

    def __init__(
        self,
        session: Session,
        action: QAction,
        menu: QMenu,
        page_of: Callable[[OpenTab], RunPage],
        parent: QObject | None = None,
    ) -> None:
        """Starts with every tab alone.

        Args:
            session: the tabs.
            action: the checkable wish to see several.
            menu: where it is chosen which.
            page_of: a tab's page, built if it is not yet.
        """
        super().__init__(parent)
        self._session, self._action, self._page_of = session, action, page_of
        self._chosen: list[OpenTab] = []
        self._shown: list[RunPage] = []
        self._host: RunPage | None = None
        self._strip: CompareStrip | None = None
        self._ahead: set[OpenTab] = set()
        """Those among them whose curve is a forecast."""
        self._menu = menu
        menu.aboutToShow.connect(self._fill_menu)
        action.toggled.connect(self._toggled)
        session.tabOpened.connect(self.refresh)
        session.tabClosed.connect(self._closed)
        session.currentChanged.connect(self._current_changed)
        self.refresh()

    @property
    def shown(self) -> tuple[OpenTab, ...]:
        """The tabs that stand side by side now, from left to right; empty when one stands alone."""
        return tuple(page.tab for page in self._shown)

    def refresh(self) -> None:
        """Follows tabs that were opened, closed, moved or brought to the front."""
        tabs = list(self._session.tabs)
        self._action.setEnabled(len(tabs) > 1)
        self._chosen = [tab for tab in tabs if tab in self._chosen]
        wanted = self._chosen if self._action.isChecked() and len(self._chosen) > 1 else []
        if self._action.isChecked() and not wanted:
            self._action.setChecked(False)
            return
        current = self._session.current
        host = self._page_of(current) if wanted and current is not None else None
        if wanted != list(self.shown) or host is not self._host:
            self._take_apart()
            if host is not None:
                self._put_together(wanted, host)
            self.changed.emit()

    def choose(self, tabs: list[OpenTab]) -> None:
        """Shows these tabs side by side, the one in front among them."""
        self._chosen = list(tabs)[:MOST_TABS_AT_ONCE]
        if self._action.isChecked():
            self.refresh()
        elif len(self._chosen) > 1:
            self._action.setChecked(True)

    def end(self) -> None:
        """Every tab stands alone again."""
        self._action.setChecked(False)

    def _toggled(self, on: bool) -> None:
        # What was chosen before may lack the tab that is in front now.
        if on and (len(self._chosen) < 2 or self._session.current not in self._chosen):
            self._chosen = self._neighbours()
        self.refresh()

    def _neighbours(self) -> list[OpenTab]:
        """The tab in front and the one beside it."""
        tabs = list(self._session.tabs)
        current = self._session.current
        if current is None or len(tabs) < 2:
            return []
        position = tabs.index(current)
        return tabs[max(position - 1, 0) :][:2] if position else tabs[:2]

    def _current_changed(self, tab: OpenTab | None) -> None:
        """A tab that was not among them takes the place of the one that was in front."""
        if self._shown and tab is not None and tab not in self._chosen and self._host is not None:
            place = self._chosen.index(self._host.tab) if self._host.tab in self._chosen else 0
            self._chosen[place] = tab
        self.refresh()

    def _closed(self, tab: OpenTab) -> None:
        if tab in self.shown:
            self._take_apart()
        self._chosen = [other for other in self._chosen if other is not tab]
        self.refresh()

    def _put_together(self, tabs: list[OpenTab], host: RunPage) -> None:
        self._shown, self._host = [self._page_of(tab) for tab in tabs], host
        figures = [page.figures for page in self._shown]
        own = tabs.index(host.tab)
        host.show_beside(figures[:own], figures[own + 1 :])
        self._link()
        shares: dict[str, YShare] = {}
        for each in figures:
            each.charts.share_y(shares)
            each.stand_beside(len(figures))
            each.show()
            for changed in (each.tab.runStarted, each.tab.resultChanged, each.tab.outlookChanged):
                changed.connect(self._curves_changed)
        if self._strip is None:
            self._strip = CompareStrip()
        self._strip.compare(tabs)
        host.show_comparison(self._strip)
        self._strip.show()

    def _link(self) -> None:
        """Gives common scales to what was measured, and tells whose curve is only expected."""
        figures = [page.figures for page in self._shown]
        self._ahead = {each.tab for each in figures if each.memory.is_ahead}
        link([plot for each in figures for plot in (each.memory, each.time)])

    def _curves_changed(self) -> None:
        """A measured curve may have taken the place of an expected one."""
        figures = [page.figures for page in self._shown]
        if self._ahead != {each.tab for each in figures if each.memory.is_ahead}:
            self._link()

    def _take_apart(self) -> None:
        """Every figure goes back to its own page."""
        for page in self._shown:
            tab = page.tab
            for changed in (tab.runStarted, tab.resultChanged, tab.outlookChanged):
                changed.disconnect(self._curves_changed)
            unlink([page.figures.memory, page.figures.time])
            page.figures.charts.share_y({})
            page.figures.stand_alone()
            page.show_alone()
        if self._strip is not None:
            self._strip.compare([])
            self._strip.hide()
            self._strip.setParent(None)
        self._shown, self._host = [], None

    def _fill_menu(self) -> None:
        self._menu.clear()
        for tab in self._session.tabs:
            action = self._menu.addAction(tab.name)
            action.setCheckable(True)
            action.setChecked(tab in self.shown)
            full = len(self._shown) >= MOST_TABS_AT_ONCE and tab not in self.shown
            action.setEnabled(tab is not self._session.current and not full)
            action.triggered.connect(lambda _=False, tab=tab: self._toggle(tab))

    def _toggle(self, tab: OpenTab) -> None:
        """Adds a tab to those side by side, or takes it away."""
        chosen = self.shown or (self._session.current,)
        if tab in chosen:
            remaining = [other for other in chosen if other is not tab]
        else:
            remaining = [other for other in self._session.tabs if other in chosen or other is tab]
        self._chosen = remaining
        if len(remaining) > 1 and not self._action.isChecked():
            self._action.setChecked(True)
        else:
            self.refresh()
