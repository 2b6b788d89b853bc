"""The line at the bottom: how far the run is, and whether the measuring process is ready."""

from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QWidget

from hogui.theme import GRID
from hogui.tool_bar import ElidedLabel

_STEPS = 40 * GRID


class StatusLine(QWidget):
    """Progress of one run at the left, the worker at the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.progress_bar = QProgressBar()
        self.progress_bar.setObjectName("progressBar")
        self.progress_bar.setRange(0, _STEPS)
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setFixedWidth(40 * GRID)
        self.progress_bar.setAccessibleName(self.tr("Progress of the run"))
        self.progress_label = ElidedLabel()
        self.progress_label.setObjectName("progressLabel")
        self.progress_label.setProperty("role", "secondary")
        self.worker_label = QLabel()
        self.worker_label.setObjectName("workerLabel")
        self.worker_label.setProperty("role", "secondary")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(2 * GRID, GRID, 2 * GRID, GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(self.progress_bar)
        layout.addWidget(self.progress_label, 1)
        layout.addWidget(self.worker_label)
        self.show_progress(None, "")

    def show_progress(self, share: float | None, sentence: str) -> None:
        """How far the run is, from 0 to 1, in words too; None where nothing runs."""
        self.progress_bar.setVisible(share is not None)
        if share is not None:
            self._set_value(round(share * _STEPS))
        self.progress_label.set_text(sentence)

    def _set_value(self, value: int) -> None:
        bar = self.progress_bar
        if value != bar.value():
            # QProgressBar repaints at once, and with it everything else that waits for the next
            # frame; without updates it leaves that to the next frame too.
            bar.setUpdatesEnabled(False)
            bar.setValue(value)
            bar.setUpdatesEnabled(True)

    def show_worker(self, sentence: str, tip: str = "") -> None:
        """What the measuring process is doing."""
        self.worker_label.setText(sentence)
        self.worker_label.setToolTip(tip)
