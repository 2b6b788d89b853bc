"""The program: the window without arguments, the command line with a command.

Imports next to nothing at module level: every measuring child imports this module again, and the
window's frame waits for it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

_WINDOW_OPTION = "--smoke"


def main() -> int:
    """Does what ``sys.argv`` asks for and returns the exit status."""
    # First of all: in the packaged program a measuring child starts here and never goes on.
    multiprocessing.freeze_support()
    arguments = sys.argv[1:]
    if not _wants_window(arguments):
        from core.cli import main as command_line

        return command_line(arguments)
    if _has_display():
        from hogui.app import main as window

        return window(arguments)
    if arguments:
        print(
            "There is no display for the window; `hogui run SPEC` measures without one.",
            file=sys.stderr,
        )
        return 2
    from core.cli.without_display import main as terminal

    return terminal()


def _wants_window(arguments: list[str]) -> bool:
    """No arguments, a spec file to open, or the option that drives the window by itself."""
    return not arguments or arguments[0] == _WINDOW_OPTION or _is_file_to_open(arguments[0])


def _is_file_to_open(argument: str) -> bool:
    return not argument.startswith("-") and argument.endswith(".json")


def _has_display() -> bool:
    """Windows and macOS always have one; elsewhere the environment names it."""
    if sys.platform in ("win32", "darwin"):
        return True
    named = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return any(os.environ.get(name) for name in named)


if __name__ == "__main__":
    sys.exit(main())
