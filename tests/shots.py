"""Takes the pictures of the documentation from the real window and the real core.

    make shots

Each preset below is measured once; then every page is grabbed in both themes. Not a test: look at
the pictures.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer

from core.spec.presets import preset
from hogui.app import make_application
from hogui.main_window import MainWindow
from hogui.open_tab import OpenTab
from hogui.theme import Preference, theme

ALONE = "conv-order-2"
BESIDE = ("deep-mlp", "deep-mlp-rematerialize")
BUDGET = "100 MiB"
THEMES = {"light": Preference.LIGHT, "dark": Preference.DARK}
SETTLE_MS = 600
"""Until the last frame of plots that follow a run is drawn."""


def main(folder: Path) -> None:
    """Writes ``window-*.png``, ``side-by-side-*.png`` and ``advice-*.png`` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hogui-shots-") as home:
        os.environ["HOGUI_HOME"] = home
        _application = make_application()
        window = MainWindow()
        window.show()
        (first,) = window.session.tabs
        tabs = [window.workbench.open_copy_of(preset(name).spec) for name in (ALONE, *BESIDE)]
        window.session.close(first)
        for tab in tabs:
            _measure(window, tab)
        alone, *beside = tabs
        window.session.set_current(alone)
        _grab(window, folder, "window")
        window.session.set_current(beside[-1])
        window.workbench.side_by_side.choose(beside)
        _grab(window, folder, "side-by-side")
        _advise(window, beside[0], BUDGET)
        _grab(window, folder, "advice")
        window.close()


def _measure(window: MainWindow, tab: OpenTab) -> None:
    window.session.set_current(tab)
    finished = QEventLoop()
    tab.resultChanged.connect(lambda: tab.result is not None and finished.quit())
    window.session.run(tab)
    finished.exec()


def _advise(window: MainWindow, tab: OpenTab, budget: str) -> None:
    window.session.set_current(tab)
    window.commands["split"].setChecked(False)
    page = window.advice.page_of(tab)
    page.head.set_budget(budget)
    window.commands["advise"].setChecked(True)
    answered = QEventLoop()
    page.advice.changed.connect(lambda: page.advice.answer is not None and answered.quit())
    answered.exec()
    window.tabs.bar.setFocus()


def _grab(window: MainWindow, folder: Path, page: str) -> None:
    tab = window.session.current
    assert tab is not None
    while tab.outlook is None or tab.outlook_is_stale:
        _pause()
    for name, preference in THEMES.items():
        theme().set_preference(preference)
        _pause()
        file = folder / f"{page}-{name}.png"
        window.grab().save(str(file))
        print(file)


def _pause() -> None:
    pause = QEventLoop()
    QTimer.singleShot(SETTLE_MS, pause.quit)
    pause.exec()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
