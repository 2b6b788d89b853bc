"""The machine and the versions that a result was taken with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Environment(BaseModel):
    """Facts that must agree before two runs may be compared, and some that explain a figure.

    Attributes:
        driver: versions below torch, None on the CPU.
        numerics: settings of an accelerator's libraries that change times and rounding.
        power_source: ``mains`` or ``battery``; None where the machine does not tell.
        cpu_governor: how Linux chooses the clock speed; None elsewhere and in virtual machines.
        git_revision: of the project in the working directory, with ``-dirty`` where its files
            differ from it; None where there is no project.
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
    power_source: Literal["mains", "battery"] | None = None
    cpu_governor: str | None = None
    git_revision: str | None = None
