"""The modules of a model from a file, as they were found."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView
from typing_extensions import override

from core.results.inspection import InspectedModule
from core.spec.layers import shape_text
from hogui.tables.fitting import changes_text_sizes
from hogui.tables.rows_model import Cell, RowsModel
from hogui.theme import Size, theme
from hogui.units import MISSING, format_count

_MOST_ROWS = 10
"""More scroll within the table."""


class ModuleTable(QTableView):
    """A row for each module; invisible while there are none."""

    def __init__(self) -> None:
        super().__init__()
        headers = [self.tr("Module"), self.tr("Output"), self.tr("Parameters")]
        self._model = RowsModel(headers)
        self.setObjectName("moduleTable")
        self.setAccessibleName(self.tr("Modules of the file"))
        self.setModel(self._model)
        self.setFont(theme().font(Size.BODY, tabular=True))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.hide()

    def set_modules(self, modules: Sequence[InspectedModule]) -> None:
        """Shows other modules."""
        self._model.set_rows(
            (
                module.name,
                Cell(MISSING)
                if module.output_shape is None
                else Cell(shape_text(module.output_shape), at_right=True),
                Cell(format_count(module.parameters), module.parameters),
            )
            for module in modules
        )
        self.setVisible(bool(modules))
        self._fit()

    @override
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if changes_text_sizes(event):
            self._fit()

    def _fit(self) -> None:
        self.resizeRowsToContents()
        rows = range(min(self._model.rowCount(), _MOST_ROWS))
        heights = sum(self.rowHeight(row) for row in rows)
        self.setFixedHeight(
            heights + self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        )
