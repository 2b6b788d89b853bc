"""What the program does where no window can be shown: its main job, in the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from core.cli.measuring import exit_status, measure, writable_folder, write_csv
from core.cli.refusal import Refused
from core.cli.summary import print_summary
from core.cli.terminal import terminal
from core.export.chart import chart_svg
from core.results.outcome import Outcome
from core.spec.presets import preset

PRESET: Final = "lecture-second-order"
FOLDER: Final = Path("results")


def main() -> int:
    """Measures a preset, writes CSVs and a chart to ``results/``; returns the exit status."""
    print(
        f"There is no display for the window, so the preset {PRESET} is measured here; "
        f"CSVs and a chart go to {FOLDER}{os.sep}.",
        file=sys.stderr,
    )
    try:
        folder = writable_folder(FOLDER)
        finished = measure(preset(PRESET).spec, terminal(stderr=True))
        write_csv([finished], folder)
    except Refused as refusal:
        print(*refusal.sentences, sep="\n", file=sys.stderr)
        return refusal.status
    chart = folder / "chart.svg"
    chart.write_text(chart_svg(finished.result, finished.timeline), encoding="utf-8")
    print_summary(finished.result, terminal())
    if finished.result.outcome is Outcome.FINISHED:
        print(f"Written: {', '.join(str(file) for file in sorted(folder.iterdir()))}.")
    else:
        print(finished.result.sentence, file=sys.stderr)
    return exit_status(finished.result)
