"""A tab's advice with what runs have measured in the place of what was foretold."""

from __future__ import annotations

from core.advisor import revised, with_measured
from core.results.advice import Advice, AdvicePoint
from hogui.tab_advice import Measured, TabAdvice

_NOTHING: Measured = {}


class JudgedAdvice:
    """Judges each state of an advice once, since hundreds of points take a while."""

    def __init__(self, advice: TabAdvice) -> None:
        self._advice = advice
        self._measured: Measured = {}
        self._points_of: tuple[object, ...] = ()
        self._points: tuple[AdvicePoint, ...] = ()
        self._answer_of: tuple[object, ...] = ()
        self._answer: Advice | None = None

    @property
    def measured(self) -> Measured:
        """What runs have found, of whatever configuration; nothing where the question is about a
        device that is not here."""
        question = self._advice.question
        return self._measured if question is None or question.memory is None else _NOTHING

    def set_measured(self, measured: Measured) -> bool:
        """Takes what runs have found; says whether that is news."""
        if measured == self._measured:
            return False
        self._measured = dict(measured)
        return True

    @property
    def points(self) -> tuple[AdvicePoint, ...]:
        """Those there are, held against the budget that is asked about."""
        question = self._advice.question
        if question is None:
            return ()
        state = (self._advice.points, question.budget_bytes, self.measured)
        if not _same(state, self._points_of):
            self._points_of = state
            self._points = tuple(with_measured(*state))
        return self._points

    @property
    def answer(self) -> Advice | None:
        """The answer; until it is there, the one for the budget before."""
        answer = self._advice.answer or self._advice.earlier
        state = (answer, self.measured)
        if not _same(state, self._answer_of):
            self._answer_of, self._answer = state, None
            if answer is not None:
                points = with_measured(answer.points, answer.budget_bytes, self.measured)
                self._answer = revised(answer, points)
        return self._answer


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether these are the same objects; comparing hundreds of configurations takes a while."""
    return len(one) == len(other) and all(
        mine is its or (isinstance(mine, int) and mine == its)
        for mine, its in zip(one, other, strict=True)
    )
