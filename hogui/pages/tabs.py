"""The row of tabs: closable, movable, renamed by a double click, with a + behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QAction, QIcon, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QTabBar,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from hogui.actions import Actions
from hogui.icons import icon
from hogui.theme import GRID, theme

if TYPE_CHECKING:
    from hogui.open_tab import OpenTab
    from hogui.pages.run_page import RunPage

UNSAVED_MARK = "•"
_LEAST_TAB = 38 * GRID


class TabPage(QWidget):
    """The place of a tab's page, which is built when it is first shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tab: OpenTab | None = None
        self.content: RunPage | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    def fill(self, content: RunPage) -> None:
        """Puts the page into its place."""
        self.content = content
        self._layout.addWidget(content)
        content.show()


class TabBar(QTabBar):
    """A row of tabs whose titles are edited in place.

    Signals:
        renamed: position and new title.
        laidOut: the tabs have other sizes or places.
    """

    renamed = Signal(int, str)
    laidOut = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMovable(True)
        self.setTabsClosable(True)
        self.setElideMode(Qt.TextElideMode.ElideRight)
        self.setUsesScrollButtons(True)
        self.setExpanding(False)
        self.setDocumentMode(True)
        self._editor: QLineEdit | None = None

    def edit_title(self, position: int) -> None:
        """Opens an editor on a tab's title; Enter keeps it, Escape does not."""
        if position < 0 or self._editor is not None:
            return
        editor = QLineEdit(self.tabText(position).removesuffix(f" {UNSAVED_MARK}"), self)
        editor.setObjectName("tabTitleEditor")
        place = self.tabRect(position).adjusted(2, 2, -2, -2)
        editor.setGeometry(QRect(place.topLeft(), place.size()))
        editor.setMinimumWidth(30 * GRID)
        editor.setProperty("position", position)
        editor.editingFinished.connect(self._title_edited)
        editor.installEventFilter(self)
        editor.selectAll()
        editor.show()
        editor.setFocus()
        self._editor = editor

    def _title_edited(self) -> None:
        editor = self._end_editing()
        if editor is not None and editor.text().strip():
            self.renamed.emit(editor.property("position"), editor.text().strip())

    def _end_editing(self) -> QLineEdit | None:
        editor, self._editor = self._editor, None
        if editor is not None:
            editor.hide()
            editor.deleteLater()
        return editor

    @override
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() == Qt.Key.Key_Escape
        ):
            self._end_editing()
            return True
        return super().eventFilter(watched, event)

    @override
    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.edit_title(self.tabAt(event.position().toPoint()))

    @override
    def minimumTabSizeHint(self, index: int) -> QSize:
        """Titles are shortened as long as they still tell tabs apart; then the row scrolls."""
        wanted = self.tabSizeHint(index)
        return QSize(min(wanted.width(), _LEAST_TAB), wanted.height())

    @override
    def tabLayoutChange(self) -> None:
        super().tabLayoutChange()
        self.laidOut.emit()


class ConfigurationTabs(QTabWidget):
    """The tabs and their pages.

    Signals:
        renamed: position and new title.
        moved: from which position to which.
    """

    renamed = Signal(int, str)
    moved = Signal(int, int)

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("configurationTabs")
        self._actions = actions
        self._icons: dict[int, str] = {}
        self.bar = TabBar()
        self.setTabBar(self.bar)
        self.setDocumentMode(True)
        self.bar.renamed.connect(self.renamed)
        self.bar.tabMoved.connect(self.moved)
        self.bar.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.bar.customContextMenuRequested.connect(self._show_menu)
        self.bar.laidOut.connect(self._place_new_button)
        theme().changed.connect(self._recolour)

        self.new_button = _button("newTabButton", actions["newTab"], self)
        self.split_button = _button("splitButton", actions["split"], self)
        self.split_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.split_menu = QMenu(self.split_button)
        self.split_button.setMenu(self.split_menu)
        self.split_button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self._corner = QWidget()
        corner = QHBoxLayout(self._corner)
        # Room for the + where the tabs take the whole row.
        corner.setContentsMargins(self.new_button.sizeHint().width() + 2 * GRID, 0, 0, 0)
        corner.addWidget(self.split_button)
        self.setCornerWidget(self._corner, Qt.Corner.TopRightCorner)
        self._corner.installEventFilter(self)

    def show_title(self, position: int, title: str, icon_name: str, tip: str) -> None:
        """What a tab says of itself: its name, its run's state as an icon, and words for it."""
        text, place = title.replace("&", "&&"), self.widget(position)
        self.setTabToolTip(position, tip)
        # Either lays out the whole row again.
        if self.tabText(position) != text:
            self.setTabText(position, text)
        if place.property("stateIcon") != icon_name:
            place.setProperty("stateIcon", icon_name)
            self.setTabIcon(position, _state_icon(icon_name))

    def _recolour(self) -> None:
        for position in range(self.count()):
            self.setTabIcon(position, _state_icon(self.widget(position).property("stateIcon")))

    def _show_menu(self, place: QPoint) -> None:
        position = self.bar.tabAt(place)
        if position < 0:
            return
        self.setCurrentIndex(position)
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        for name in ("renameTab", "duplicateTab", "save", "closeTab"):
            menu.addAction(self._actions[name])
        menu.popup(self.bar.mapToGlobal(place))

    def _place_new_button(self) -> None:
        """The + stands behind the last tab, where the next one will be."""
        bar, button = self.bar, self.new_button
        first, last = bar.tabRect(0), bar.tabRect(bar.count() - 1)
        # Where the row scrolls, its arrows stand at its end whichever tab is the last in sight.
        scrolls = bar.count() > 0 and last.right() - first.left() >= bar.width()
        end = bar.width() if scrolls else max(last.right(), 0)
        right = min(bar.x() + end, self._corner.x())
        button.move(right + GRID, bar.y() + (bar.height() - button.height()) // 2)
        button.raise_()

    @override
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The corner is moved after everything else of the row has its place."""
        if event.type() is QEvent.Type.Move:
            self._place_new_button()
        return super().eventFilter(watched, event)


def _button(name: str, action: QAction, parent: QWidget) -> QToolButton:
    button = QToolButton(parent)
    button.setObjectName(name)
    button.setProperty("role", "quiet")
    button.setDefaultAction(action)
    return button


def _state_icon(name: str | None) -> QIcon:
    if not name:
        return icon("preset", "text_disabled")
    tokens = {"error": "error", "warning": "warning", "check": "success", "run": "accent"}
    return icon(name, tokens.get(name, "text_secondary"))
