"""The combinations that cannot work, folded away, each with its reason."""

from __future__ import annotations

from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from core.results.advice import Impossible
from hogui.advice_text import capitalized
from hogui.forms.group import Group
from hogui.tables.rows_model import RowsModel
from hogui.theme import GRID, Size, theme

_MOST_HEIGHT = 32 * GRID
_ROW = 6 * GRID


class ImpossibleGroup(Group):
    """A table as high as its rows, within reason; hidden where there are none."""

    def __init__(self) -> None:
        super().__init__("", expanded=False)
        self.setObjectName("impossibleGroup")
        self._shown: tuple[Impossible, ...] | None = None
        self._rows = RowsModel([self.tr("Combination"), self.tr("Why not")])
        table = QTableView()
        table.setObjectName("impossibleTable")
        table.setAccessibleName(self.tr("Combinations that cannot work"))
        table.setModel(self._rows)
        table.setFont(theme().font(Size.BODY))
        table.setShowGrid(False)
        table.setTabKeyNavigation(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.verticalHeader().hide()
        table.verticalHeader().setMinimumSectionSize(_ROW)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self._table = table
        header.sectionResized.connect(lambda *_: self._fit())
        self.add(table)

    def show_impossible(self, impossible: tuple[Impossible, ...]) -> None:
        """Lists these."""
        if impossible == self._shown:
            return
        self._shown = impossible
        count = len(impossible)
        self.setVisible(count > 0)
        one = self.tr("1 combination cannot work")
        many = self.tr("{count} combinations cannot work").format(count=count)
        self.set_title(one if count == 1 else many)
        self._rows.set_rows((capitalized(each.label), each.reason) for each in impossible)
        self._fit()

    def _fit(self) -> None:
        table = self._table
        table.resizeRowsToContents()
        rows = sum(table.rowHeight(row) for row in range(self._rows.rowCount()))
        wanted = table.horizontalHeader().sizeHint().height() + rows + 2
        table.setFixedHeight(min(wanted, _MOST_HEIGHT))
