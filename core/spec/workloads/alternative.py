"""Other ways to the answer of a workload, or near it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Alternative(NamedTuple):
    """One other way.

    Attributes:
        changes: fields of the workload with their values.
        words: what it does, a phrase that stands in a list.
        approximates: what it computes in place of the exact answer, a phrase; empty where the
            answer is the same but for rounding.
    """

    changes: Mapping[str, Any]
    words: str
    approximates: str = ""
