"""What can be said of a run before it begins: its cost, and what would fail or be wrong."""

from __future__ import annotations

import torch

from core.home import home
from core.measure.correctness.preflight import preflight
from core.measure.forecasting.forecast import LEARN_S, Forecaster
from core.measure.memory.kernels import FILE_NAME, Kernels
from core.results.forecast import DeviceMemory, Outlook
from core.spec.run import RunSpec


def outlook(spec: RunSpec, on: DeviceMemory | None = None, learn_s: float = LEARN_S) -> Outlook:
    """A forecast and the findings of preflight.

    Args:
        spec: a run without problems.
        on: memory to fit into instead of this machine's.
        learn_s: seconds to spend on operations that are not known yet.

    Raises:
        core.spec.declaration.InvalidSpec: this machine has no such device.
    """
    seen = forecaster.outlook(spec, on, learn_s)
    return seen.model_copy(update={"findings": preflight(spec)})


def known_kernels(device: torch.device, threads: int) -> Kernels:
    """What this user's runs and forecasts have learned of operations."""
    return Kernels(device, threads, home() / FILE_NAME)


forecaster = Forecaster(known_kernels)
"""One for the whole process: it keeps what it has read and learned."""
