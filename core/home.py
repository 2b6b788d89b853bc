"""Where this program keeps what outlives it."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The folder of history, settings and what was learned of kernels.

    ``HOGUI_HOME``, else the platform's user data folder.
    """
    chosen = os.environ.get("HOGUI_HOME")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("HoGUI", appauthor=False))
