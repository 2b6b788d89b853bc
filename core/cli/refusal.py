"""Why a command does not do what it was asked for."""

from __future__ import annotations

from typing import Final

EXIT_INVALID: Final = 2


class Refused(Exception):
    """Ends a command; each sentence is a line on stderr, ``status`` the exit status."""

    def __init__(self, *sentences: str, status: int = EXIT_INVALID) -> None:
        self.sentences, self.status = sentences, status
        super().__init__(" ".join(sentences))
