"""What the program does with its arguments, before it knows whether it is a window."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from core.spec.presets import preset

ROOT = Path(__file__).resolve().parents[2]
DISPLAYS = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}


def hogui(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program, run in ``folder`` without a display."""
    kept = {name: value for name, value in os.environ.items() if name not in DISPLAYS}
    kept |= {"HOGUI_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "hogui", *arguments],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def loaded_after(arguments: list[str]) -> set[str]:
    """The top-level modules that are loaded when the window is about to be made."""
    code = (
        "import sys, types\n"
        "window = types.ModuleType('hogui.app')\n"
        "window.main = lambda arguments: print(arguments, *{n.partition('.')[0] "
        "for n in sys.modules}) or 0\n"
        "sys.modules['hogui.app'] = window\n"
        f"sys.argv = ['hogui', *{arguments!r}]\n"
        "from hogui.__main__ import main\n"
        "raise SystemExit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.replace(str(arguments), "arguments").split())


@pytest.mark.parametrize(
    "arguments", [[], ["mine.json"], ["--smoke", "lecture-maml", "--csv", "out"]]
)
def test_that_the_window_gets_its_arguments_before_anything_heavy_is_loaded(
    arguments: list[str],
) -> None:
    loaded = loaded_after(arguments)
    assert "arguments" in loaded
    assert loaded.isdisjoint({"typer", "rich", "pydantic", "numpy", "torch"})


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these always have a display")
def test_that_without_a_display_the_main_job_is_done_in_the_terminal(tmp_path: Path) -> None:
    done = hogui(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("There is no display for the window, so the preset ")
    results = tmp_path / "results"
    assert {file.name for file in results.iterdir()} == {
        *("runs.csv", "memory.csv", "time.csv", "phases.csv", "layers.csv", "chart.svg"),
        *("curves.csv", "readings.csv"),
    }
    chart = ElementTree.parse(results / "chart.svg").getroot()
    assert preset("lecture-second-order").spec.name in {text.text for text in chart.iter()}
    assert preset("lecture-second-order").spec.name in done.stdout


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these always have a display")
def test_that_a_file_cannot_be_opened_without_a_display(tmp_path: Path) -> None:
    done = hogui(tmp_path, "mine.json")
    assert done.returncode == 2
    assert done.stderr == (
        "There is no display for the window; `hogui run SPEC` measures without one.\n"
    )


def test_that_a_command_needs_no_display_and_loads_no_qt(tmp_path: Path) -> None:
    done = hogui(tmp_path, "presets", "lecture-maml", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert '"maml"' in done.stdout
    assert "PySide6" not in done.stderr
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_that_an_unknown_command_has_the_exit_status_of_invalid_usage(tmp_path: Path) -> None:
    done = hogui(tmp_path, "mesure")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mesure is not a command")
