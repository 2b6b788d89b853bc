"""Keeps the tool bar's forecast in step with the tab in front, and asks about other devices."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from hogui.device_memories import KNOWN, text_of_memory
from hogui.dialogs.device_memory import DeviceMemoryDialog
from hogui.forecast_line import Choice, ForecastLine
from hogui.forecast_text import Words, words_of
from hogui.forecaster import Forecasts
from hogui.open_tab import OpenTab
from hogui.preferences import Preferences
from hogui.session import Session


class ForecastControls(QObject):
    """What the forecast's line says, and what its menu does.

    Signals:
        told: a sentence for the user, and whether it is about an error.
    """

    told = Signal(str, bool)

    def __init__(
        self,
        session: Session,
        preferences: Preferences,
        forecasts: Forecasts,
        line: ForecastLine,
        window: QWidget,
    ) -> None:
        super().__init__(window)
        self._session, self._preferences, self._window = session, preferences, window
        self._forecasts, self._line = forecasts, line
        line.menu.aboutToShow.connect(self._fill_menu)
        forecasts.started.connect(self.refresh)
        session.currentChanged.connect(self.refresh)
        session.tabOpened.connect(self._observe)
        for tab in session.tabs:
            self._observe(tab)

    def refresh(self) -> None:
        """Brings the line up to date."""
        tab = self._session.current
        if tab is None or not self._forecasts.is_started:
            return
        words, role = self._words(tab)
        self._line.label.say(words.line, role, words.html, words.plain)
        self._line.show()

    def _words(self, tab: OpenTab) -> tuple[Words, str]:
        if tab.wanted is None:
            why = self.tr("the configuration cannot run as it is.")
            words = Words(self.tr("No forecast"), lines=((why.capitalize(), ""),))
            return words, "secondary"
        if tab.outlook is None:
            sentence = self.tr("Forecast: computing")
            return Words(sentence, lines=((sentence, ""),)), "secondary"
        words = words_of(tab.outlook)
        if tab.outlook_is_stale:
            return words, "stale"
        if tab.outlook.forecast is None:
            return words, "secondary"
        return words, "warning" if words.is_warning else ""

    def _observe(self, tab: OpenTab, position: int = 0) -> None:
        tab.outlookChanged.connect(partial(self._changed, tab))

    def _changed(self, tab: OpenTab) -> None:
        if tab is self._session.current:
            self.refresh()

    # The device that it has to fit.

    def _fill_menu(self) -> None:
        chosen = self._preferences.choices.memory
        texts = [text_of_memory(memory) for memory in KNOWN]
        if chosen and chosen not in texts:
            texts.append(chosen)
        self._line.offer(
            (
                (Choice(self.tr("Fits: this device"), not chosen, partial(self._choose, "")),),
                [Choice(text, text == chosen, partial(self._choose, text)) for text in texts],
                (Choice(self.tr("Another device…"), False, self._ask),),
            )
        )

    def _ask(self) -> None:
        dialog = DeviceMemoryDialog(self._preferences.choices.memory, self._window)
        dialog.chosen.connect(lambda memory: self._choose(text_of_memory(memory)))
        dialog.open()

    def _choose(self, text: str, _checked: bool = False) -> None:
        try:
            self._preferences.change(memory=text)
        except OSError as error:
            sentence = self.tr(
                "The choice holds until the window closes; it could not be kept: {reason}."
            )
            self.told.emit(sentence.format(reason=error.strerror), True)
