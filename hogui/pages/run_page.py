"""One tab's page: the configuration at the left, the figures of its run at the right."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget
from shiboken6 import delete

from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.open_tab import OpenTab
from hogui.pages.compare_strip import CompareStrip
from hogui.pages.figures import Figures
from hogui.splitter import Splitter
from hogui.theme import GRID

if TYPE_CHECKING:
    from hogui.pages.configuration import ConfigurationPanel

CONFIGURATION_WIDTH = 90 * GRID


class RunPage(QWidget):
    """Panel and figures of one tab, and beside them, on demand, the figures of other tabs.

    The figures come first: with the program's first page the panel waits until they are painted.

    Signals:
        forceWanted: the user wants to run what was refused as too large.
        variantWanted: the name of a variant of the tab's configuration.
    """

    forceWanted = Signal()
    variantWanted = Signal(str)

    def __init__(self, tab: OpenTab, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tab = tab
        self.splitter = Splitter(Qt.Orientation.Horizontal, self)
        self.splitter.setObjectName("pageSplitter")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.splitter)
        self._panel: ConfigurationPanel | None = None
        self._advice: QWidget | None = None
        self._panel_place = QWidget(self.splitter)
        self.right = Splitter(Qt.Orientation.Vertical, self.splitter)
        self.right.setChildrenCollapsible(False)
        self.columns = Splitter(Qt.Orientation.Horizontal, self.right)
        self.columns.setChildrenCollapsible(False)
        self.figures = Figures(tab, self.columns)
        self.figures.forceWanted.connect(self.forceWanted)
        self.splitter.setStretchFactor(0, 0)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([CONFIGURATION_WIDTH, 4 * CONFIGURATION_WIDTH])

    @property
    def panel(self) -> ConfigurationPanel:
        """The configuration, made when it is first asked for."""
        if self._panel is None:
            self._panel = self._make_panel()
        return self._panel

    def _make_panel(self) -> ConfigurationPanel:
        from hogui.pages.configuration import ConfigurationPanel

        panel = ConfigurationPanel(self.tab.spec)
        # Unlike its sizes, the state of a splitter is what was asked of it before it is laid out.
        state = self.splitter.saveState()
        self.splitter.replaceWidget(0, panel)
        self._panel_place.deleteLater()
        self.splitter.setStretchFactor(0, 0)
        self.splitter.restoreState(state)
        panel.show()
        self._order_focus()
        panel.specChanged.connect(self._take_spec)
        panel.problemsChanged.connect(self._take_problems)
        panel.presetChosen.connect(self._take_preset)
        panel.variantChosen.connect(self.variantWanted)
        self.tab.specChanged.connect(self._show_spec)
        self.tab.draftsDiscarded.connect(panel.discard_drafts)
        self.tab.set_problems(panel.problems(), drafts=panel.has_drafts)
        self.tab.outlookChanged.connect(self._show_findings)
        if self.tab.findings:
            panel.show_findings(self.tab.findings)
        return panel

    def _order_focus(self) -> None:
        """The panel stands at the left, although it is made after the figures."""
        # What is made now comes last, behind the panel. Asking a widget for the next one in the
        # chain would hand its ownership over to it.
        end = QWidget(self)
        end.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for earlier, later in pairwise([end, *self.figures.in_focus_order]):
            QWidget.setTabOrder(earlier, later)
        delete(end)

    def show_beside(self, before: Sequence[Figures], after: Sequence[Figures]) -> None:
        """Puts the figures of other tabs to the left and right of this tab's own."""
        for figures in before:
            self.columns.insertWidget(self.columns.indexOf(self.figures), figures)
        for figures in after:
            self.columns.addWidget(figures)
        count = self.columns.count()
        self.columns.setSizes([self.columns.width() // count] * count)

    def show_alone(self) -> None:
        """The page has its own figures alone again."""
        self.columns.insertWidget(0, self.figures)

    def show_advice(self, page: QWidget) -> None:
        """Puts advice into the place of the figures."""
        if self.right.indexOf(page) < 0:
            self.right.addWidget(page)
        self.columns.hide()
        page.show()
        self._advice = page

    def show_figures(self) -> None:
        """The figures are seen again."""
        if self._advice is not None:
            self._advice.hide()
            self._advice = None
        self.columns.show()

    def show_comparison(self, strip: CompareStrip) -> None:
        """Puts the table of differences under the figures."""
        self.right.addWidget(strip)
        height = self.right.height()
        wanted = min(strip.sizeHint().height(), height // 3)
        # Between the two stands advice, if it has been asked for.
        hidden = [0] * (self.right.count() - 2)
        self.right.setSizes([height - wanted, *hidden, wanted])

    def _take_spec(self, spec: RunSpec) -> None:
        self.tab.edit(spec)
        self._take_problems()

    def _show_spec(self, spec: RunSpec) -> None:
        """Another configuration that did not come from the panel: undone, renamed, opened."""
        if spec == self.panel.spec:
            return
        self.panel.discard_drafts()
        self.panel.set_spec(spec)
        self._take_problems()

    def _show_findings(self) -> None:
        """Those of other settings stay until the new ones are known, so that no row jumps."""
        if not self.tab.outlook_is_stale:
            self.panel.show_findings(self.tab.findings)

    def _take_problems(self) -> None:
        self.tab.set_problems(self.panel.problems(), drafts=self.panel.has_drafts)

    def _take_preset(self, name: str) -> None:
        self.tab.edit(preset(name).spec)
