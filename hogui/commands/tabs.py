"""What the actions on tabs and on their configurations do."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QMenu, QWidget

from core.spec.orders import has_orders
from core.spec.presets import preset
from hogui.actions import Actions
from hogui.dialogs.growth_dialog import GrowthDialog
from hogui.open_tab import OpenTab
from hogui.pages.tabs import ConfigurationTabs
from hogui.session import Session, free_name
from hogui.variants_menu import fill_variants
from hogui.workbench import FIRST_PRESET, Workbench


class TabCommands(QObject):
    """New, duplicate, variant, rename, close, next, undo, redo, pause."""

    def __init__(
        self,
        session: Session,
        actions: Actions,
        workbench: Workbench,
        tabs: ConfigurationTabs,
        variants: QMenu,
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._session, self._actions = session, actions
        self._workbench, self._tabs, self._window = workbench, tabs, window
        for name, act in (
            ("duplicateTab", self._duplicate),
            ("closeTab", session.close),
            ("measureOrders", self._measure_orders),
            ("undo", OpenTab.undo),
            ("redo", OpenTab.redo),
        ):
            actions[name].triggered.connect(self._on_current(act))
        actions["newTab"].triggered.connect(self._new)
        actions["reopenTab"].triggered.connect(self._reopen)
        actions["renameTab"].triggered.connect(lambda: tabs.bar.edit_title(tabs.currentIndex()))
        actions["nextTab"].triggered.connect(lambda: self._step(+1))
        actions["previousTab"].triggered.connect(lambda: self._step(-1))
        actions["pause"].toggled.connect(self._pause)
        variants.aboutToShow.connect(lambda: self._list_variants(variants))
        session.currentChanged.connect(self._refresh)
        session.tabOpened.connect(self._observe)
        for tab in session.tabs:
            self._observe(tab)

    def _observe(self, tab: OpenTab, position: int = 0) -> None:
        tab.specChanged.connect(self._refresh)
        tab.problemsChanged.connect(self._refresh)

    def _refresh(self) -> None:
        tab = self._session.current
        self._actions["undo"].setEnabled(tab is not None and tab.can_undo)
        self._actions["measureOrders"].setEnabled(
            tab is not None and not tab.problems and has_orders(tab.spec)
        )
        self._actions["redo"].setEnabled(tab is not None and tab.can_redo)
        page = self._workbench.current_page()
        paused = page is not None and page.figures.pause_button.isChecked()
        self._actions["pause"].setChecked(paused)

    def _on_current(self, act: Callable[[OpenTab], object]) -> Callable[[], None]:
        def run() -> None:
            if self._session.current is not None:
                act(self._session.current)

        return run

    def _new(self) -> None:
        spec = preset(FIRST_PRESET).spec
        name = free_name(spec.name, {tab.name for tab in self._session.tabs})
        self._workbench.open_copy_of(spec.model_copy(update={"name": name}))

    def _duplicate(self, tab: OpenTab) -> None:
        self._session.set_current(self._session.duplicate(tab))

    def _list_variants(self, menu: QMenu) -> None:
        tab = self._session.current
        spec = tab.spec if tab is not None else None
        fill_variants(menu, spec, lambda name: tab and self._session.open_variant(tab, name))

    def _measure_orders(self, tab: OpenTab) -> None:
        """Runs every order that has no result yet, and shows how they compare."""
        tabs = self._session.open_orders(tab)
        for each in tabs:
            if each.result is None or each.result_is_of_another_spec:
                self._session.run(each)
        GrowthDialog(tab.name, tabs, self._window).show()

    def _reopen(self) -> None:
        tab = self._session.reopen()
        if tab is not None:
            self._session.set_current(tab)

    def _step(self, step: int) -> None:
        count = self._tabs.count()
        self._tabs.setCurrentIndex((self._tabs.currentIndex() + step) % count)

    def _pause(self, paused: bool) -> None:
        page = self._workbench.current_page()
        if page is not None:
            page.figures.set_paused(paused)
