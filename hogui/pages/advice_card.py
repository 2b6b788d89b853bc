"""The recommendation with its reason, and the largest settings that fit."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.results.advice import Advice, Limit
from hogui.advice_text import (
    confirmed_text,
    headline_and_reason,
    limit_text,
    limit_tip,
    point_of_recommendation,
    words_of_limit,
)
from hogui.icons import set_icon
from hogui.plots.elided_label import ElidedLabel
from hogui.tab_advice import Measured, Proposal, nameless
from hogui.theme import GRID

_LIMIT = 56 * GRID
"""Width of a limit; what is longer takes two lines."""
_MOST_SENTENCES = 2
"""The others are in the tip."""


class AdviceCard(QFrame):
    """What to do, at a glance.

    Signals:
        openWanted: a `Proposal`.
        measureWanted: a `Proposal`.
    """

    openWanted = Signal(object)
    measureWanted = Signal(object)

    def __init__(self, empty: str) -> None:
        """Starts without a recommendation.

        Args:
            empty: what will stand here.
        """
        super().__init__()
        self.setObjectName("adviceCard")
        self.setProperty("role", "card")
        self._empty = empty
        self._proposal: Proposal | None = None
        self._limit_rows: list[QWidget] = []
        self._shown: object = ()
        self.headline_label = QLabel()
        self.headline_label.setObjectName("recommendationLabel")
        self.headline_label.setProperty("role", "title")
        self.reason_label = QLabel()
        self.reason_label.setObjectName("recommendationReason")
        for label in (self.headline_label, self.reason_label):
            label.setWordWrap(True)
            label.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse
                | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
        self.more_labels = [ElidedLabel() for _ in range(_MOST_SENTENCES)]
        for number, line in enumerate(self.more_labels, start=1):
            line.setObjectName(f"adviceSentence{number}")
            line.setProperty("role", "secondary")
        self.open_button = _button("openRecommendationButton", self.tr("Open as tab"), "new-tab")
        self.open_button.clicked.connect(lambda: self.openWanted.emit(self._proposal))
        self.measure_button = _button("measureRecommendationButton", self.tr("Measure"), "run")
        self.measure_button.clicked.connect(lambda: self.measureWanted.emit(self._proposal))
        self._limits = QGridLayout()
        self._limits.setHorizontalSpacing(2 * GRID)
        self._limits.setVerticalSpacing(GRID)
        words = QVBoxLayout()
        words.setSpacing(GRID)
        for label in (self.headline_label, self.reason_label, *self.more_labels):
            words.addWidget(label)
        words.addStretch(1)
        buttons = QVBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.measure_button)
        buttons.addStretch(1)
        right = QVBoxLayout()
        right.addLayout(self._limits)
        right.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(3 * GRID, 2 * GRID, 3 * GRID, 2 * GRID)
        layout.setSpacing(4 * GRID)
        layout.addLayout(words, 1)
        layout.addLayout(buttons)
        layout.addLayout(right)
        self.show_answer(None, {})

    def show_answer(self, answer: Advice | None, measured: Measured) -> None:
        """Says what is recommended, or what will stand here.

        Args:
            answer: the advice, None until it is complete.
            measured: what runs have found, of whatever configuration.
        """
        if (answer, measured) == self._shown:
            return
        self._shown = answer, measured
        self._proposal = _proposal(answer)
        changes_nothing = answer is not None and _is_as_it_is(answer)
        self.headline_label.setVisible(answer is not None)
        self.open_button.setVisible(self._proposal is not None and not changes_nothing)
        self.measure_button.setVisible(self._proposal is not None)
        self._show_limits(answer.limits if answer is not None else (), measured)
        if answer is None:
            self._say("", self._empty, ())
            return
        head, reason = headline_and_reason(answer)
        best = answer.recommended
        if best is None:
            self._say(head, reason, answer.sentences[1:])
            return
        found = confirmed_text(best.forecast, measured.get(nameless(best.spec)))
        others = answer.sentences
        if found:
            sentence = self.tr("A run of the recommendation: {found}.").format(found=found)
            others = (sentence, *others)
        self._say(head, reason, others)

    def set_stale(self, stale: bool) -> None:
        """Whether what it says answers another question than the one that is put."""
        if bool(self.property("stale")) != stale:
            self.setProperty("stale", stale)
            for widget in self.findChildren(QLabel):
                widget.style().unpolish(widget)
                widget.style().polish(widget)

    def _say(self, head: str, reason: str, others: Sequence[str]) -> None:
        self.headline_label.setText(head)
        self.reason_label.setText(reason)
        hidden = len(others) - _MOST_SENTENCES
        for number, line in enumerate(self.more_labels):
            text = others[number] if number < len(others) else ""
            is_last = number == _MOST_SENTENCES - 1
            if is_last and hidden > 0:
                text = self.tr("({count} more) {sentence}").format(count=hidden, sentence=text)
            line.setText(text)
            line.set_details("\n".join(others[number:]) if is_last and hidden > 0 else "")
            line.setAccessibleDescription("\n".join(others[number:] if is_last else [text]))
            line.setVisible(bool(text))

    def _show_limits(self, limits: Sequence[Limit], measured: Measured) -> None:
        for widget in self._limit_rows:
            widget.setParent(None)
            widget.deleteLater()
        self._limit_rows = []
        before: QWidget = self.measure_button
        for row, limit in enumerate(limits):
            run = measured.get(nameless(limit.spec)) if limit.spec is not None else None
            label = QLabel(limit_text(limit, run))
            label.setToolTip(limit_tip(limit))
            label.setWordWrap(True)
            label.setFixedWidth(
                min(label.fontMetrics().horizontalAdvance(label.text()) + 2, _LIMIT)
            )
            self._limits.addWidget(label, row, 0)
            self._limit_rows.append(label)
            if limit.spec is None:
                continue
            button = _button(f"openLimitButton{row}", self.tr("Open"), "", is_quiet=True)
            button.setToolTip(limit_tip(limit))
            button.setAccessibleName(self.tr("Open: {limit}").format(limit=limit_text(limit)))
            proposal = Proposal(limit.spec, words_of_limit(limit))
            button.clicked.connect(lambda _=False, chosen=proposal: self.openWanted.emit(chosen))
            run_button = QToolButton()
            run_button.setObjectName(f"measureLimitButton{row}")
            run_button.setProperty("role", "quiet")
            run_button.setToolTip(self.tr("Confirm it by a run"))
            run_button.setAccessibleName(
                self.tr("Measure: {limit}").format(limit=limit_text(limit))
            )
            set_icon(run_button, "run")
            run_button.clicked.connect(
                lambda _=False, chosen=proposal: self.measureWanted.emit(chosen)
            )
            for column, each in enumerate((button, run_button), start=1):
                self._limits.addWidget(each, row, column)
                self._limit_rows.append(each)
                QWidget.setTabOrder(before, each)
                before = each


def _proposal(answer: Advice | None) -> Proposal | None:
    if answer is None or answer.recommended is None:
        return None
    words = "" if _is_as_it_is(answer) else answer.recommended.label
    return Proposal(answer.recommended.spec, words)


def _is_as_it_is(answer: Advice) -> bool:
    point = point_of_recommendation(answer)
    return point is not None and not point.changes


def _button(name: str, text: str, icon: str, *, is_quiet: bool = False) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    if is_quiet:
        button.setProperty("role", "quiet")
    if icon:
        set_icon(button, icon)
    return button
