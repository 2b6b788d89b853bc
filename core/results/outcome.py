"""How a run ended. Each token has one sentence that the user reads, and one exit status."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The tokens that files and commands use."""

    FINISHED = "finished"
    CANCELLED = "cancelled"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def sentence(self) -> str:
        """What the user reads."""
        return _SENTENCES[self]

    @property
    def exit_status(self) -> int:
        """What the command line returns."""
        return _EXIT_STATUS[self]


_SENTENCES = {
    Outcome.FINISHED: "The run finished.",
    Outcome.CANCELLED: "The run was cancelled; what it had measured is kept.",
    Outcome.OUT_OF_MEMORY: "The run needs more memory than the device has.",
    Outcome.CRASHED: "The measuring process died; what it had measured is kept.",
    Outcome.FAILED: "An operation of the run raised an error.",
    Outcome.INTERRUPTED: "The program ended before the run did.",
}

_EXIT_STATUS = {
    Outcome.FINISHED: 0,
    Outcome.CANCELLED: 130,
    Outcome.OUT_OF_MEMORY: 3,
    Outcome.CRASHED: 4,
    Outcome.FAILED: 1,
    Outcome.INTERRUPTED: 4,
}
