"""Brings session, tabs and commands together once the frame is on the screen."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QByteArray, QObject, Signal
from PySide6.QtGui import QAction

from core.spec.declaration import InvalidSpec
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.open_tab import OpenTab, RunState
from hogui.pages.run_page import RunPage
from hogui.pages.tabs import UNSAVED_MARK, ConfigurationTabs, TabPage
from hogui.run_store import RunStore, StoreError
from hogui.session import Session
from hogui.session_file import KeptSession, KeptTab
from hogui.side_by_side import SideBySide
from hogui.tables.result_rows import failed_check

FIRST_PRESET = "lecture-second-order"


class Workbench(QObject):
    """Every tab of the session has a tab in the window, and a page once it is looked at.

    Signals:
        layoutChanged: a splitter was moved, or other tabs stand side by side.
    """

    layoutChanged = Signal()

    def __init__(
        self,
        session: Session,
        tabs: ConfigurationTabs,
        store: RunStore,
        split: QAction,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._tabs, self._store = session, tabs, store
        self._splitter_state = QByteArray()
        self._plots_first = False
        self._beside: list[OpenTab] = []
        """The tabs that stood side by side at the end of an earlier start."""
        self._waiting = [tabs.widget(position) for position in range(tabs.count())]
        """Places that the first frame made, before it was known what they hold."""
        tabs.currentChanged.connect(self._page_shown)
        tabs.renamed.connect(lambda position, name: self._tab_at(position).rename(name))
        tabs.moved.connect(self._moved)
        tabs.tabCloseRequested.connect(lambda position: session.close(self._tab_at(position)))
        session.tabOpened.connect(self._opened)
        session.currentChanged.connect(self._show_current)
        self.side_by_side = SideBySide(session, split, tabs.split_menu, self.page_of, self)
        session.tabClosed.connect(self._closed)

    # Start.

    def restore(self, kept: KeptSession, *, plots_first: bool) -> list[str]:
        """Opens what was open; what cannot be read any more becomes a sentence.

        Args:
            kept: what was open.
            plots_first: the page in front gets its plots now, and the rest with ``complete``.
        """
        told = []
        self._plots_first = plots_first
        with_current: OpenTab | None = None
        for position, kept_tab in enumerate(kept.tabs):
            try:
                tab = self._restore_tab(kept_tab)
            except (InvalidSpec, KeyError) as error:
                told.append(
                    self.tr("{title} could not be restored: {reason}").format(
                        title=kept_tab.title, reason=error
                    )
                )
                continue
            if position == kept.current:
                with_current = tab
            if position in kept.beside:
                self._beside.append(tab)
        self._drop_waiting()
        if not self._session.tabs:
            self._session.open(preset(FIRST_PRESET).spec)
        self._session.set_current(with_current or self._session.tabs[0])
        return told

    def complete(self) -> None:
        """Brings what the plots of the first page did not wait for."""
        self._plots_first = False
        if self._session.current is not None:
            self.page_of(self._session.current)
        if len(self._beside) > 1:
            self.side_by_side.choose(self._beside)
        self.side_by_side.changed.connect(self.layoutChanged)

    def _restore_tab(self, kept: KeptTab) -> OpenTab:
        tab = self._session.open(kept.spec())
        tab.kept_run_id, tab.kept_mark = kept.run_id, kept.mark
        self._show_title(tab)
        if kept.path is not None:
            tab.bind_file(kept.path, kept.saved())
        return tab

    # Pages.

    def page_of(self, tab: OpenTab) -> RunPage:
        """A tab's page, built if it is not yet."""
        place = self._place_of(tab)
        if place.content is None:
            page = RunPage(tab, place)
            page.forceWanted.connect(partial(self._session.run, tab, force=True))
            page.variantWanted.connect(partial(self._session.open_variant, tab))
            if not self._splitter_state.isEmpty():
                page.splitter.restoreState(self._splitter_state)
            page.splitter.splitterMoved.connect(partial(self._splitter_moved, page))
            place.fill(page)
        if not self._plots_first:
            self._complete(place.content)
        return place.content

    def _complete(self, page: RunPage) -> None:
        """A page's panel, and its last result of an earlier start."""
        _ = page.panel
        self._read_kept_result(page.tab)

    def current_page(self) -> RunPage | None:
        """The page in front."""
        tab = self._session.current
        return self.page_of(tab) if tab is not None else None

    def splitter_state(self) -> QByteArray:
        """How wide the configuration is, as Qt keeps it."""
        return self._splitter_state

    def set_splitter_state(self, state: QByteArray) -> None:
        """For pages that are built from now on."""
        self._splitter_state = state

    def positions_beside(self) -> list[int]:
        """Which tabs stand side by side."""
        shown = self.side_by_side.shown
        return [place for place, tab in enumerate(self._session.tabs) if tab in shown]

    def _read_kept_result(self, tab: OpenTab) -> None:
        """The last result of an earlier start, read when the tab is first looked at."""
        if tab.kept_run_id is not None:
            run_id, tab.kept_run_id, tab.kept_mark = tab.kept_run_id, None, ""
            try:
                kept = self._store.read(run_id)
            except StoreError as error:
                tab.noted.emit(str(error), True)
                return
            if kept is not None:
                tab.set_result(*kept)

    def _splitter_moved(self, page: RunPage, *_: int) -> None:
        self._splitter_state = page.splitter.saveState()
        self.layoutChanged.emit()

    # What the session says.

    def _opened(self, tab: OpenTab, position: int) -> None:
        if self._waiting:
            place = self._waiting.pop(0)
        else:
            place = TabPage()
            self._tabs.insertTab(position, place, "")
        place.tab = tab
        for signal in (tab.titleChanged, tab.runChanged, tab.resultChanged):
            signal.connect(partial(self._show_title, tab))
        self._show_title(tab)

    def _closed(self, tab: OpenTab) -> None:
        place = self._place_of(tab)
        self._tabs.removeTab(self._tabs.indexOf(place))
        place.deleteLater()
        if not self._session.tabs:
            self.open_copy_of(preset(FIRST_PRESET).spec)

    def _show_current(self, tab: OpenTab | None) -> None:
        if tab is not None:
            self._tabs.setCurrentWidget(self._place_of(tab))
            self.page_of(tab)

    def _show_title(self, tab: OpenTab) -> None:
        if tab not in self._session.tabs:
            return
        title = f"{tab.name} {UNSAVED_MARK}" if tab.dirty else tab.name
        icon, words = _state_of(tab)
        tip = "\n".join(text for text in (tab.name, words, str(tab.path or "")) if text)
        self._tabs.show_title(self._tabs.indexOf(self._place_of(tab)), title, icon, tip)

    # What the tabs say.

    def open_copy_of(self, spec: RunSpec) -> OpenTab:
        """Opens a configuration in a new tab in front."""
        tab = self._session.open(spec)
        self._session.set_current(tab)
        return tab

    def _page_shown(self, position: int) -> None:
        place = self._tabs.widget(position)
        if isinstance(place, TabPage) and place.tab is not None:
            self._session.set_current(place.tab)

    def _moved(self, start: int, end: int) -> None:
        self._session.move(start, end)
        self.side_by_side.refresh()

    def _tab_at(self, position: int) -> OpenTab:
        place = self._tabs.widget(position)
        assert isinstance(place, TabPage)
        assert place.tab is not None
        return place.tab

    def _place_of(self, tab: OpenTab) -> TabPage:
        places = (self._tabs.widget(position) for position in range(self._tabs.count()))
        return next(place for place in places if isinstance(place, TabPage) and place.tab is tab)

    def _drop_waiting(self) -> None:
        for place in self._waiting:
            self._tabs.removeTab(self._tabs.indexOf(place))
            place.deleteLater()
        self._waiting = []


def _state_of(tab: OpenTab) -> tuple[str, str]:
    """The icon of a tab, and what it means."""
    states = {RunState.QUEUED: "queue", RunState.RUNNING: "run", RunState.CANCELLING: "cancel"}
    if tab.state in states:
        return states[tab.state], tab.progress.sentence if tab.state is RunState.RUNNING else ""
    if tab.result is None:
        return tab.mark, ""
    if tab.result.check is not None and not tab.result.check.passed:
        return tab.mark, failed_check(tab.result.check)
    return tab.mark, tab.result.ending
