"""What the advisor's page asks for, and when it stands in front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from core.results.forecast import DeviceMemory
from core.results.measurement import Measurement
from core.spec.run import RunSpec
from hogui.actions import Actions
from hogui.adviser import Adviser, Advisor, own_advisor
from hogui.device_memories import memory_from_text
from hogui.open_tab import OpenTab
from hogui.preferences import Preferences
from hogui.session import Session, free_name
from hogui.tab_advice import AdviceQuestion, AdviceState, Proposal, nameless
from hogui.workbench import Workbench

if TYPE_CHECKING:
    from hogui.pages.advice_page import AdvicePage


class AdviceControls(QObject):
    """Makes a page for each tab that wants advice, and does what the pages ask for."""

    def __init__(
        self,
        session: Session,
        preferences: Preferences,
        actions: Actions,
        workbench: Workbench,
        advisor: Callable[[], Advisor] | None = None,
        parent: QObject | None = None,
    ) -> None:
        """Makes no page yet.

        Args:
            session: the tabs.
            preferences: which device's memory is the first budget.
            actions: one of them is to advise.
            workbench: has the pages of the tabs.
            advisor: makes what answers, by default the core in processes of its own.
        """
        super().__init__(parent)
        self._session, self._preferences = session, preferences
        self._workbench = workbench
        self._adviser = Adviser(session, advisor or own_advisor, self)
        self._action = actions["advise"]
        self._pages: dict[OpenTab, AdvicePage] = {}
        self._shown: set[OpenTab] = set()
        """The tabs in which advice stands in the place of the figures."""
        self._eager: set[OpenTab] = set()
        """The tabs that ask as soon as there is a budget."""
        self._measured: dict[RunSpec, Measurement] = {}
        self._action.toggled.connect(self._toggled)
        session.currentChanged.connect(self._refresh)
        session.runsChanged.connect(self._hold)
        session.devicesChanged.connect(self._propose)
        session.devicesChanged.connect(lambda: [self._learn(tab) for tab in session.tabs])
        session.tabOpened.connect(self._observe)
        session.tabClosed.connect(self._forget)
        preferences.changed.connect(self._propose)
        workbench.side_by_side.changed.connect(self._stood_beside)
        for tab in session.tabs:
            self._observe(tab)
        # Whoever was quicker than this has pressed the button already.
        self._toggled(self._action.isChecked())
        self._refresh()

    def page_of(self, tab: OpenTab) -> AdvicePage:
        """A tab's page, made when it is first asked for."""
        if tab not in self._pages:
            # Plots and tables that most sessions never need.
            from hogui.pages.advice_page import AdvicePage

            page = AdvicePage(tab, self._adviser.of(tab))
            page.adviceWanted.connect(partial(self._ask, tab))
            page.stopWanted.connect(partial(self._adviser.stop, tab))
            page.openWanted.connect(partial(self._open, tab))
            page.measureWanted.connect(partial(self._measure, tab))
            page.compareWanted.connect(partial(self._compare, tab))
            page.closed.connect(lambda: self._action.setChecked(False))
            page.set_measured(self._measured)
            page.set_held(self._session.busy)
            page.propose_budget(self._budget(tab))
            self._pages[tab] = page
        return self._pages[tab]

    # Which page stands in front.

    def _toggled(self, on: bool) -> None:
        tab = self._session.current
        if tab is None or on == (tab in self._shown):
            return
        if on:
            self._show(tab)
        else:
            self._hide(tab)

    def _show(self, tab: OpenTab) -> None:
        # First, since what ends the comparison looks whether this tab shows advice.
        self._shown.add(tab)
        if tab in self._workbench.side_by_side.shown:
            self._workbench.side_by_side.end()
        page = self.page_of(tab)
        self._workbench.page_of(tab).show_advice(page)
        page.head.field.setFocus()
        if self._adviser.of(tab).state is AdviceState.IDLE:
            # The action is called after the question; another budget is a key away.
            self._eager.add(tab)
            self._propose()

    def _hide(self, tab: OpenTab) -> None:
        self._shown.discard(tab)
        self._workbench.page_of(tab).show_figures()

    def _stood_beside(self) -> None:
        """Side by side there are figures, not advice."""
        for tab in self._workbench.side_by_side.shown:
            if tab in self._shown:
                self._hide(tab)
        self._refresh()

    def _refresh(self, *_: object) -> None:
        tab = self._session.current
        self._action.setEnabled(tab is not None and (not tab.problems or tab in self._shown))
        self._action.setChecked(tab in self._shown)

    # Questions.

    def _ask(self, tab: OpenTab, budget_bytes: int) -> None:
        self._eager.discard(tab)
        if tab.problems:
            self._adviser.stop(tab)
            self._adviser.of(tab).refuse(tab.problems[0].sentence)
        else:
            self._adviser.ask(tab, AdviceQuestion(tab.spec, budget_bytes, self._memory()))

    def _memory(self) -> DeviceMemory | None:
        try:
            return memory_from_text(self._preferences.choices.memory)
        except ValueError:  # Another version of the program wrote it.
            return None

    def _budget(self, tab: OpenTab) -> int | None:
        """The memory that forecasts are compared with; None while it is not known."""
        chosen = self._memory()
        if chosen is not None:
            return chosen.total_bytes
        forecast = tab.own_forecast
        if forecast is not None and forecast.available_bytes is not None:
            return forecast.available_bytes
        name = self._session.device_of(tab.spec)
        device = next((each for each in self._session.devices if each.name == name), None)
        return device.available_bytes or device.memory_bytes if device is not None else None

    def _propose(self) -> None:
        for tab, page in self._pages.items():
            page.propose_budget(self._budget(tab))
            if tab in self._eager and page.head.field.text():
                self._eager.discard(tab)
                page.ask()

    def _hold(self) -> None:
        for page in self._pages.values():
            page.set_held(self._session.busy)

    # Proposals.

    def _tab_for(self, asked: OpenTab, proposal: Proposal) -> OpenTab:
        """The tab of a proposal: the one that is open, else a new one at the end of its family."""
        wanted = nameless(proposal.spec)
        for tab in (asked, *self._session.tabs):
            if nameless(tab.spec) == wanted:
                return tab
        names = {tab.name for tab in self._session.tabs}
        words = f", {proposal.words}" if proposal.words else ""
        title = free_name(f"{asked.name}{words}", names)
        question = self._adviser.of(asked).question
        origin = question.spec if question is not None else asked.spec
        # Undoing in the new tab takes back what the advice has changed.
        tab = self._session.open(origin.with_changes({"name": title}), self._place_behind(asked))
        tab.edit(proposal.spec.model_copy(update={"name": title}))
        return tab

    def _place_behind(self, asked: OpenTab) -> int:
        """Behind the tab, and behind those that came from it before."""
        tabs = list(self._session.tabs)
        place = tabs.index(asked) + 1
        while place < len(tabs) and tabs[place].name.startswith(f"{asked.name}, "):
            place += 1
        return place

    def _open(self, asked: OpenTab, proposals: Sequence[Proposal]) -> list[OpenTab]:
        tabs = [self._tab_for(asked, proposal) for proposal in proposals]
        if tabs:
            self._session.set_current(tabs[0])
        return tabs

    def _measure(self, asked: OpenTab, proposals: Sequence[Proposal]) -> list[OpenTab]:
        """Runs what has no result yet, one after the other, or all again; the page stays in
        front."""
        tabs = [self._tab_for(asked, proposal) for proposal in proposals]
        for tab in [tab for tab in tabs if _lacks_result(tab)] or tabs:
            self._session.run(tab)
        return tabs

    def _compare(self, asked: OpenTab, proposals: Sequence[Proposal]) -> None:
        tabs = [self._tab_for(asked, proposal) for proposal in proposals]
        for tab in tabs:
            if _lacks_result(tab):
                self._session.run(tab)
        if len(tabs) > 1:
            self._session.set_current(tabs[0])
            self._workbench.side_by_side.choose(tabs)

    # Results.

    def _observe(self, tab: OpenTab, position: int = 0) -> None:
        tab.resultChanged.connect(partial(self._learn, tab))
        tab.problemsChanged.connect(self._refresh)
        tab.outlookChanged.connect(self._propose)
        self._learn(tab)

    def _learn(self, tab: OpenTab) -> None:
        """What was measured here stands beside what was foretold, whoever measured it."""
        result = tab.result
        if result is None or result.memory is None:
            return
        # Not earlier: the window's first picture does not wait for what measures.
        from core import isolation

        devices = {device.title for device in self._session.devices}
        if isolation.is_of_here(result.environment, devices):
            self._measured[nameless(result.spec)] = result
            for page in self._pages.values():
                page.set_measured(self._measured)

    def _forget(self, tab: OpenTab) -> None:
        for known in (self._shown, self._eager):
            known.discard(tab)
        page = self._pages.pop(tab, None)
        if page is not None:
            page.deleteLater()


def _lacks_result(tab: OpenTab) -> bool:
    """Whether nothing was measured of a tab's configuration of now."""
    return tab.result is None or tab.result_is_of_another_spec
