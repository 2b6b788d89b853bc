"""Why a measuring process died."""

from __future__ import annotations

import signal
from typing import Final

from core.isolation.nursery import End

NEAR_FULL: Final = 0.8
"""A killed process that held this share of the machine was probably killed for its memory."""


def crash_sentence(end: End, resident_bytes: int, machine_bytes: int) -> str:
    """Why a measuring process died, as far as it can be told from outside."""
    code = end.exit_code
    if code is None or code == 0:
        how = "It ended without a result."
    elif code > 0:
        how = f"It ended with exit status {code}."
    else:
        how = f"It was ended by {_signal_name(-code)}."
    if end.last_words:
        how += f" Its last words: {end.last_words}"
    if code is not None and code < 0 and resident_bytes > NEAR_FULL * machine_bytes:
        how += (
            f" Memory may have run out: it held {resident_bytes / 2**20:,.0f} MiB of the machine's "
            f"{machine_bytes / 2**20:,.0f} MiB."
        )
    return how


def _signal_name(number: int) -> str:
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    meaning = signal.strsignal(number)
    return f"{known.name} ({meaning})" if meaning else known.name
