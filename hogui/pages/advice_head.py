"""What an advice is asked for: the budget, the button, and how far it is."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from core.results.advice import Advice
from hogui.advice_text import progress_text
from hogui.budget_text import budget_from_text, text_of_budget
from hogui.icons import set_icon
from hogui.plots.elided_label import ElidedLabel
from hogui.tab_advice import TabAdvice
from hogui.theme import GRID

_FIELD_WIDTH = 26 * GRID


class AdviceHead(QWidget):
    """One line, and below it what is wrong with the budget.

    Signals:
        wanted: a budget in bytes; the answer is asked for.
        stopWanted: the answer is no longer wanted.
        closed: the figures shall be seen again.
        edited: somebody has typed in the budget.
    """

    wanted = Signal(object)
    stopWanted = Signal()
    closed = Signal()
    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._is_under_way = False
        self.is_own = False
        """Whether somebody has typed the budget."""
        self.field = QLineEdit()
        self.field.setObjectName("budgetField")
        self.field.setPlaceholderText(self.tr("512 MiB"))
        self.field.setAccessibleName(self.tr("Memory budget"))
        self.field.setToolTip(
            self.tr("What baseline and peak of a repetition have to fit into, for example 512 MiB")
        )
        self.field.setFixedWidth(_FIELD_WIDTH)
        self.field.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.field.returnPressed.connect(self._ask)
        self.field.textEdited.connect(self._edited)
        label = QLabel(self.tr("Memory &budget"))
        label.setBuddy(self.field)
        self.button = QPushButton()
        self.button.setObjectName("adviseButton")
        self.button.clicked.connect(self._pressed)
        self.bar = QProgressBar()
        self.bar.setObjectName("adviceProgress")
        self.bar.setAccessibleName(self.tr("Combinations that are foretold"))
        self.bar.setTextVisible(False)
        # Nothing below jumps when it appears.
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.progress_label = ElidedLabel()
        self.progress_label.setObjectName("adviceProgressLabel")
        self.progress_label.setProperty("role", "secondary")
        self.stale_label = QLabel()
        self.stale_label.setObjectName("adviceStaleLabel")
        self.stale_label.setProperty("role", "warning")
        self.stale_label.hide()
        self.close_button = QToolButton()
        self.close_button.setObjectName("closeAdviceButton")
        self.close_button.setProperty("role", "quiet")
        self.close_button.setToolTip(self.tr("Back to the figures of the run"))
        self.close_button.setAccessibleName(self.tr("Back to the figures of the run"))
        set_icon(self.close_button, "close")
        self.close_button.clicked.connect(self.closed)
        self.trouble_label = QLabel()
        self.trouble_label.setObjectName("adviceTroubleLabel")
        self.trouble_label.setProperty("role", "error")
        self.trouble_label.setWordWrap(True)
        self.trouble_label.hide()
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        for widget in (label, self.field, self.button):
            line.addWidget(widget)
        line.addWidget(self.progress_label, 1)
        line.addWidget(self.stale_label)
        line.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(line)
        layout.addWidget(self.bar)
        layout.addWidget(self.trouble_label)
        self._show_button()

    # The budget.

    def propose(self, budget_bytes: int | None) -> None:
        """A budget for who has not typed one."""
        if not self.is_own and budget_bytes is not None:
            self.field.setText(text_of_budget(budget_bytes))

    def set_budget(self, text: str) -> None:
        """As if somebody had typed this."""
        self.field.setText(text)
        self._edited()

    @property
    def budget(self) -> int | None:
        """What is in the field, in bytes; None while that is no budget."""
        try:
            return budget_from_text(self.field.text())
        except ValueError:
            return None

    @property
    def trouble(self) -> str:
        """What is said to be wrong, empty where nothing is."""
        return self.trouble_label.text() if not self.trouble_label.isHidden() else ""

    def _edited(self) -> None:
        self.is_own = bool(self.field.text().strip())
        self._say("", is_about_budget=True)
        self.edited.emit()

    def _pressed(self) -> None:
        if self._is_under_way:
            self.stopWanted.emit()
        else:
            self._ask()

    def _ask(self) -> None:
        try:
            budget = budget_from_text(self.field.text())
        except ValueError as error:
            self._say(str(error), is_about_budget=True)
            self.field.setFocus()
            return
        self._say("", is_about_budget=True)
        self.wanted.emit(budget)

    def ask(self) -> None:
        """As if the button were pressed while nothing is under way."""
        self._ask()

    def _say(self, sentence: str, *, is_about_budget: bool = False) -> None:
        self.trouble_label.setText(sentence)
        self.trouble_label.setVisible(bool(sentence))
        invalid = bool(sentence) and is_about_budget
        if bool(self.field.property("invalid")) != invalid:
            self.field.setProperty("invalid", invalid)
            self.field.style().unpolish(self.field)
            self.field.style().polish(self.field)

    # The answer.

    def show_advice(
        self, advice: TabAdvice, answer: Advice | None, *, is_held: bool, stale: str
    ) -> None:
        """How far it is, or why there is none.

        Args:
            advice: what is known of it.
            answer: what is shown of it.
            is_held: whether it waits for a run.
            stale: why what is shown does not answer what is asked now, empty where it does.
        """
        self._is_under_way = advice.is_under_way
        self._show_button()
        self.bar.setVisible(advice.is_under_way)
        self.bar.setRange(0, max(advice.of, 1))
        self.bar.setValue(advice.done)
        self.progress_label.setText(progress_text(advice, answer, is_held=is_held))
        self.stale_label.setText(stale)
        self.stale_label.setVisible(bool(stale))
        if not self.field.property("invalid"):
            self._say(advice.trouble)

    def _show_button(self) -> None:
        text = self.tr("Stop") if self._is_under_way else self.tr("Advise")
        if self.button.text() == text:
            return
        self.button.setText(text)
        self.button.setProperty("role", "" if self._is_under_way else "primary")
        self.button.style().unpolish(self.button)
        self.button.style().polish(self.button)
        if self._is_under_way:
            set_icon(self.button, "cancel")
            self.button.setToolTip(self.tr("Keep what is foretold, and stop (Esc)"))
        else:
            set_icon(self.button, "advise", "on_accent")
            self.button.setToolTip(self.tr("Foretell every combination of mitigations (Enter)"))

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._is_under_way:
            self.stopWanted.emit()
            return
        super().keyPressEvent(event)
