"""What the process that forecasts is told to call in the tests, by ``module:function``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.results.events import Event
from core.results.forecast import DeviceMemory, Forecast, Outlook
from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec
from tests.fake_core import FakeCore


def run(spec: RunSpec, **options: Any) -> Iterator[Event]:
    return FakeCore().run(spec, run_id=options["run_id"])


def outlook(spec: RunSpec, on: DeviceMemory | None = None, learn_s: float = 0.125) -> Outlook:
    """What the spec's name says; the figures are what was asked with."""
    if spec.name == "pid":
        return Outlook(forecast=None, absent=str(os.getpid()))
    if spec.name == "die":
        print("out of everything", flush=True)
        os._exit(3)
    if spec.name == "refuse":
        raise InvalidSpec([Problem(("device",), "device: tpu was given; allowed: cpu.")])
    if spec.name == "raise":
        raise ArithmeticError("no such number")
    if spec.name.startswith("wait "):
        Path(spec.name.removeprefix("wait ")).touch()
        time.sleep(60.0)
    name = None if on is None else on.name
    return Outlook(forecast=Forecast(peak_bytes=1, exact=True, seconds=learn_s, memory_name=name))
