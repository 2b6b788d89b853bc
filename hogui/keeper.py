"""Keeps what is open while the window lives, so that a crash loses two seconds at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from hogui.session import Session
from hogui.session_file import write_session

DELAY_MS = 2000


class Keeper(QObject):
    """Writes the session file a while after a change, and at the end.

    Signals:
        failed: it could not be written; why, in one sentence.
    """

    failed = Signal(str)

    def __init__(
        self,
        home: Path,
        session: Session,
        recents: Callable[[], Sequence[str]],
        layout: Callable[[], dict[str, str]],
        beside: Callable[[], Sequence[int]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._home, self._session = home, session
        self._recents, self._layout, self._beside = recents, layout, beside
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.timeout.connect(self.write)
        session.changed.connect(self.mark)

    def mark(self) -> None:
        """Something changed that is kept; it is written soon."""
        if not self._timer.isActive():
            self._timer.start()

    def write(self, *, durable: bool = False) -> None:
        """Writes it now."""
        self._timer.stop()
        try:
            write_session(
                self._home,
                self._session.tabs,
                self._session.current,
                self._recents(),
                self._layout(),
                self._beside(),
                durable=durable,
            )
        except OSError as error:
            self.failed.emit(
                self.tr("What is open could not be kept in {folder}: {reason}.").format(
                    folder=self._home, reason=error.strerror
                )
            )
