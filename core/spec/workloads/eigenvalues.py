"""What needs eigenvalues, which torch has in 32 bits and more alone."""

from __future__ import annotations

from collections.abc import Iterator

from core.spec.declaration import Problem
from core.spec.mitigations import Mitigation


def eigenvalue_misfits(mitigation: Mitigation, method: str) -> Iterator[Problem]:
    """Why a method that takes eigenvalues does not go with a precision.

    Args:
        mitigation: what is chosen.
        method: value of ``workload.method``.
    """
    if mitigation.precision == "bfloat16":
        yield Problem(
            ("mitigation", "precision"),
            f'mitigation.precision: "bfloat16" was given; workload.method "{method}" needs '
            'eigenvalues, which torch does not compute in it; allowed: "float32", "float64" or '
            '"autocast".',
        )
