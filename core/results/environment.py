"""The machine and the versions that a result was taken with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Environment(BaseModel):
    """Facts that must agree before two runs may be compared, and some that explain a figure.

    Attributes:
        driver: versions below torch, None on the CPU.
        numerics: settings of an accelerator's libraries that change times and rounding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hogui: str
    python: str
    torch: str
    numpy: str
    platform: str
    cpu: str
    cpu_count: int
    threads: int
    memory_bytes: int
    device: str
    device_name: str
    device_memory_bytes: int | None = None
    driver: str | None = None
    numerics: str | None = None
