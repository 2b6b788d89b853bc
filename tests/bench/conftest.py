"""Every benchmark may ask for ``page``; when it ends, its section of docs/benchmarks.md is new."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from core.measure.machine.surroundings import environment
from tests.bench.page import Page, Section, Taken, renew

FOLDER = Path(__file__).parents[2] / "docs"
CPU = torch.device("cpu")


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judges what a benchmark claims, and keeps it whatever becomes of the benchmark."""
    page = pyfuncitem.funcargs.get("page")
    if not isinstance(page, Page):
        return (yield)
    load, began, failure = _load(), time.perf_counter(), None
    try:
        result = yield
    except Exception as error:
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
        raise
    finally:
        taken = _taken(time.perf_counter() - began, load)
        node = pyfuncitem.nodeid.rpartition("/")[2]
        section = Section(node, taken, tuple(page.claims), tuple(page.tables), failure)
        if page.claims or failure:
            renew(FOLDER, section)
    missed = page.missed()
    assert not missed, "; ".join(missed)
    return result


def _load() -> float | None:
    return os.getloadavg()[0] if callable(getattr(os, "getloadavg", None)) else None


def _taken(seconds: float, before: float | None) -> Taken:
    here, after = environment(CPU, torch.get_num_threads()), _load()
    revision = f", revision {here.git_revision}" if here.git_revision else ""
    return Taken(
        date=datetime.now(UTC).date().isoformat(),
        seconds=round(seconds, 1),
        machine=f"{here.cpu}, {here.cpu_count} cores, {here.memory_bytes / 2**30:.0f} GiB",
        versions=(
            f"HoGUI {here.hogui}, torch {here.torch}, numpy {here.numpy}, Python {here.python}, "
            f"{here.platform}{revision}"
        ),
        load=None if before is None or after is None else (round(before, 2), round(after, 2)),
    )
