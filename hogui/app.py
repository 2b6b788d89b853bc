"""The program with a window: starts it, fills it, and ends it.

The start is a promise, so the order matters: the frame first, then everything that takes long to
import, then the collection of garbage, which until then would only look for what is not there.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from PySide6.QtCore import QThread
from PySide6.QtWidgets import QApplication

from hogui import translations
from hogui.garbage import GarbageCollector
from hogui.main_window import MainWindow
from hogui.quick_imports import skip_feature_search

if TYPE_CHECKING:
    from hogui.run_worker import Source

USAGE = "Usage: hogui [SPEC.json ...] [--smoke PRESET --csv DIR]"


@dataclass(frozen=True)
class Options:
    """What the window was started with.

    Attributes:
        files: configurations to open.
        smoke: a preset to run and export without anybody, empty for none.
        csv: where its CSV files go.
    """

    files: tuple[Path, ...] = ()
    smoke: str = ""
    csv: Path | None = None


class UsageError(ValueError):
    """The program was started with something that it does not know."""


def main(arguments: Sequence[str] = (), *, source: Source | None = None) -> int:
    """Opens the window and returns the exit status when it is closed.

    Args:
        arguments: without the program's name.
        source: where the events of runs come from, by default as the preferences say.
    """
    try:
        options = parse(arguments)
    except UsageError as error:
        print(f"hogui: {error} {USAGE}", file=sys.stderr)
        return 2
    gc.disable()
    skip_feature_search()
    # pydantic would read the metadata of every installed package to look for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    application = make_application()
    window = MainWindow(source=source, defer=True)
    sys.excepthook = partial(tell_of_error, window)
    window.framePainted.connect(partial(_fill, window, options))
    window.show()
    status = application.exec()
    sys.excepthook = sys.__excepthook__
    if _has_to_wait(window):
        # Everything is kept already, and children end when this process does.
        os._exit(status)
    return status


def parse(arguments: Sequence[str]) -> Options:
    """Reads the arguments.

    Raises:
        UsageError: an unknown option, or one without its value.
    """
    files: list[Path] = []
    values = {"--smoke": "", "--csv": ""}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word in values:
            if not waiting:
                raise UsageError(f"{word} needs a value.")
            values[word] = waiting.pop(0)
        elif word.startswith("-"):
            raise UsageError(f"{word} is not a known option.")
        else:
            files.append(Path(word))
    if bool(values["--smoke"]) != bool(values["--csv"]):
        raise UsageError("--smoke and --csv belong together.")
    csv = Path(values["--csv"]) if values["--csv"] else None
    return Options(tuple(files), values["--smoke"], csv)


def make_application() -> QApplication:
    """The application object, with its name and the user's language."""
    # Ctrl+C in the terminal ends the program; what is open was kept, and children end with it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    application = QApplication(["hogui"])
    application.setApplicationName("HoGUI")
    application.setApplicationDisplayName("HoGUI")
    application.setDesktopFileName("hogui")
    translations.install(application)
    return application


def _fill(window: MainWindow, options: Options) -> None:
    window.fill()
    for path in options.files:
        window.open_file(path)
    if options.smoke and options.csv is not None:
        from hogui.smoke import SmokeRun

        SmokeRun(window, options.smoke, options.csv).start()
    window.completed.connect(lambda: GarbageCollector(window))


def _has_to_wait(window: MainWindow) -> bool:
    """A step in the window's own process cannot be interrupted, nor can the first start of a
    measuring process."""
    return not window.warm_up.is_over or any(
        thread.isRunning() for thread in window.findChildren(QThread)
    )


def tell_of_error(
    window: MainWindow,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """An error of the program itself: a line in the window, and the details in a file."""
    log = window.home / "errors.log"
    details = "".join(traceback.format_exception(kind, error, trace))
    print(details, file=sys.stderr)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(details + "\n")
    except OSError:
        pass
    window.tell(
        window.tr("Something went wrong in the window: {error}. Details are in {file}.").format(
            error=error or kind.__name__, file=log
        ),
        is_error=True,
    )
