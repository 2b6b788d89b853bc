"""The layer table with its buttons, its totals and what is wrong with the stack as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QToolButton, QVBoxLayout, QWidget

from core.spec.declaration import Problem
from core.spec.layers import LAYER_KINDS, LayerSpec, Shape, shape_text
from core.spec.model import StackModel
from hogui.forms.group import ElidedLabel
from hogui.forms.names import declared_text
from hogui.forms.note import Note
from hogui.icons import set_icon
from hogui.tables.layer_columns import kind_help
from hogui.tables.layer_delegate import kinds_by_group
from hogui.tables.layer_model import LayerModel
from hogui.tables.layer_table import LayerTable
from hogui.units import format_count

_PATH = ("model", "layers")


class LayerEditor(QWidget):
    """Builds a stack of layers.

    Signals:
        layersChanged: a tuple of layers, after each edit by the user.
        problemsChanged: another set of refused settings than before.
    """

    layersChanged = Signal(object)
    problemsChanged = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.model = LayerModel()
        self.table = LayerTable(self.model)
        self._sentence = Note(error=True)
        self._totals = ElidedLabel()
        self._totals.setProperty("role", "secondary")
        self._whole: str | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        layout.addWidget(self._sentence)
        layout.addLayout(self._buttons())
        layout.addWidget(self._totals)
        self.model.layersChanged.connect(self._tell)
        self.model.problemsChanged.connect(self.problemsChanged)
        self.model.dataChanged.connect(self._show_totals)
        self.model.modelReset.connect(self._show_totals)
        self.table.refused.connect(self._say)
        self.model.refused.connect(self._say)
        self.table.selectionModel().selectionChanged.connect(self._enable)
        self._enable()
        self._show_totals()

    def set_stack(self, stack: StackModel) -> None:
        """Shows a stack, keeping selection and drafts of rows that stay the same."""
        self.model.set_stack(stack)
        self._enable()
        self._show_totals()

    def problems(self) -> tuple[Problem, ...]:
        """The refused settings."""
        return self.model.problems()

    def show_problems(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Shows what is wrong with the stack as a whole; rows know their own problems.

        Returns:
            The problems that are not the layers'.
        """
        mine = [problem for problem in problems if problem.path[: len(_PATH)] == _PATH]
        self._whole = next((p.sentence for p in mine if p.path == _PATH), None)
        self._say(self._whole)
        return tuple(problem for problem in problems if problem not in mine)

    def discard_drafts(self) -> None:
        """Shows the layers' own settings in place of refused ones."""
        self.model.discard_drafts()

    def add(self, layer: LayerSpec) -> None:
        """Inserts a layer after the selection and selects it."""
        self.table.select_rows(self.model.insert(self.table.spot_after_selection(), [layer]))

    def _buttons(self) -> QHBoxLayout:
        bar = QHBoxLayout()
        bar.setSpacing(4)
        add = QToolButton()
        add.setObjectName("addLayerButton")
        add.setText(self.tr("Add layer"))
        add.setToolTip(self.tr("Adds the layer that usually comes next; the arrow lists all kinds"))
        add.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        add.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        add.setMenu(self._kinds_menu(add))
        add.clicked.connect(self._add_next)
        set_icon(add, "add")
        bar.addWidget(add)
        bar.addStretch()
        table = self.table
        self._needing_selection = [
            self._button("chevron-up", self.tr("Move up (Alt+Up)"), table.move_up),
            self._button("chevron-down", self.tr("Move down (Alt+Down)"), table.move_down),
            self._button("chevron-left", self.tr("Move out (Alt+Left)"), table.move_out),
            self._button("chevron-right", self.tr("Move in (Alt+Right)"), table.move_in),
            self._button("duplicate", self.tr("Duplicate (Ctrl+D)"), table.duplicate_selected),
            self._button("delete", self.tr("Delete (Del)"), table.delete_selected),
        ]
        for button in self._needing_selection:
            bar.addWidget(button)
        return bar

    def _button(self, icon: str, text: str, slot: Callable[[], None]) -> QToolButton:
        button = QToolButton()
        button.setProperty("role", "quiet")
        button.setToolTip(text)
        button.setAccessibleName(text)
        button.clicked.connect(lambda: slot())
        set_icon(button, icon)
        return button

    def _kinds_menu(self, parent: QWidget) -> QMenu:
        menu = QMenu(parent)
        for group, classes in kinds_by_group().items():
            submenu = menu.addMenu(declared_text(group))
            submenu.setToolTipsVisible(True)
            for cls in classes:
                action = submenu.addAction(declared_text(cls.title))
                action.setToolTip(kind_help(cls))
                action.triggered.connect(lambda _checked=False, kind=cls: self.add(kind()))
        return menu

    def _add_next(self) -> None:
        self.add(usual_next(*self.model.surroundings(self.table.spot_after_selection())))

    def _tell(self, layers: tuple[LayerSpec, ...]) -> None:
        self._say(self._whole)
        self._enable()
        self._show_totals()
        self.layersChanged.emit(layers)

    def _say(self, sentence: str | None) -> None:
        self._sentence.say(sentence or "")

    def _enable(self) -> None:
        selected = bool(self.table.selected_rows())
        for button in self._needing_selection:
            button.setEnabled(selected)

    def _show_totals(self) -> None:
        rows = self.model.trace()
        one = len(rows) == 1
        words = [self.tr("1 layer") if one else self.tr("{n} layers").format(n=len(rows))]
        if all(row.parameters is not None for row in rows):
            count = format_count(sum(row.parameters or 0 for row in rows))
            words.append(self.tr("{count} parameters").format(count=count))
        output = self.model.stack.output_shape
        if output is not None:
            words.append(self.tr("output {shape}").format(shape=shape_text(output)))
        self._totals.set_text(" · ".join(words))


def usual_next(above: LayerSpec | None, shape: Shape | None) -> LayerSpec:
    """The layer that usually follows: an activation after weights, else weights for the shape."""
    if above is not None and above.group == "Weights" and not above.takes_whole_numbers:
        return LAYER_KINDS["relu"]()
    by_rank = {2: LAYER_KINDS["conv1d"], 3: LAYER_KINDS["conv2d"]}
    return by_rank.get(len(shape or ()), LAYER_KINDS["linear"])()
