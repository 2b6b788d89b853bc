"""What processes are told to call in the tests of many forecasts, by ``module:function``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from core.results.events import Event
from core.results.forecast import DeviceMemory, Forecast, Outlook
from core.results.memory_timeline import MemoryTimeline
from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec
from tests.fake_core import FakeCore

_asked = count(1)


def run(spec: RunSpec, **options: Any) -> Iterator[Event]:
    return FakeCore().run(spec, run_id=options["run_id"])


def outlook(spec: RunSpec, on: DeviceMemory | None = None, learn_s: float = 0.125) -> Outlook:
    """A peak of as many bytes as there are examples, or what the spec's name says."""
    _end_as_named(spec)
    if spec.name.startswith("meet "):
        _wait_for_another(Path(spec.name.removeprefix("meet ")))
        return Outlook(forecast=None, absent=str(os.getpid()))
    seconds = None
    if spec.name.startswith(("counts", "unfinished")):
        seconds = next(_asked) + os.getpid() / 1e9
    told = Forecast(peak_bytes=spec.data.batch_size, exact=True, seconds=seconds)
    curve = MemoryTimeline(t_s=(0.0,), columns={"data": (1,)})
    return Outlook(forecast=told, timeline=curve, unfinished=spec.name == "unfinished")


def times(specs: Sequence[RunSpec]) -> tuple[float | None, ...]:
    """As many seconds as there are examples."""
    for spec in specs:
        _end_as_named(spec)
    return tuple(None if s.name == "fails" else float(s.data.batch_size) for s in specs)


def _end_as_named(spec: RunSpec) -> None:
    if spec.name == "die":
        print("out of everything", flush=True)
        os._exit(3)
    if spec.name == "refuse":
        raise InvalidSpec([Problem(("device",), "device: tpu was given; allowed: cpu.")])
    if spec.name == "for ever":
        time.sleep(60.0)


def _wait_for_another(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.005)
