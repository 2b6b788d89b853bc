"""What is asked of the forecaster."""

from dataclasses import dataclass

from core.results.forecast import DeviceMemory
from core.spec.run import RunSpec


@dataclass(frozen=True)
class Question:
    """A configuration, its name left out, and the memory that it has to fit into.

    Attributes:
        memory: None for that of the configuration's own device.
    """

    spec: RunSpec
    memory: DeviceMemory | None = None
