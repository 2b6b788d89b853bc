"""A line above the figures for what was found out before a run."""

from collections.abc import Iterable

from PySide6.QtWidgets import QWidget

from core.results.forecast import Finding
from hogui.pages.message_strip import MessageStrip


class FindingsStrip(MessageStrip):
    """What is to be known about a configuration as a whole, before it runs.

    Once dismissed, the same findings do not come back.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("findingsStrip")
        self._shown: tuple[Finding, ...] = ()

    def show_findings(self, findings: Iterable[Finding]) -> None:
        """Shows those that are not about a single layer, the worst first."""
        severities = {"error": "error", "warning": "warning", "note": "info"}
        order = list(severities)
        mine = tuple(
            sorted(
                (finding for finding in findings if finding.layer is None),
                key=lambda finding: order.index(finding.severity),
            )
        )
        if mine == self._shown:
            return
        self._shown = mine
        if mine:
            sentences = dict.fromkeys(finding.sentence for finding in mine)
            self.show_message("\n".join(sentences), severities[mine[0].severity])
        else:
            self.clear()
