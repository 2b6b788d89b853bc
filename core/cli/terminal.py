"""The terminal, as every command writes to it."""

from __future__ import annotations

from rich.console import Console


def terminal(*, stderr: bool = False) -> Console:
    """A console that shows names and paths as they are: brackets and colons mean nothing in it."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
