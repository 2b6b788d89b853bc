"""A place to compute on, as a user picks it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Device(BaseModel):
    """One device.

    Attributes:
        name: as a spec names it, for example ``cpu`` or ``cuda:0``.
        title: what the vendor calls it.
        memory_bytes: all of its memory, None where the system does not tell.
        available_bytes: what a new process could use now, None where the system does not tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    memory_bytes: int | None
    available_bytes: int | None
