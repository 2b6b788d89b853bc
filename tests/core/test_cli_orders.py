"""``hogui orders``: every order of a workload, and what is told of their growth."""

import csv
import json
from pathlib import Path

import pytest

from core.cli import main
from core.history import History
from core.results.growth_by_order import GrowthByOrder
from core.results.outcome import Outcome
from tests.fake_core import FakeCore

Output = pytest.CaptureFixture[str]
PRESET = "lecture-second-order"


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCore:
    """Runs are made up from here on."""
    monkeypatch.setenv("HOGUI_HOME", str(tmp_path / "home"))
    fake = FakeCore()
    monkeypatch.setattr("core.cli.measuring.run_isolated", fake.run)
    return fake


def test_that_every_order_is_measured_and_the_growth_is_told(
    core: FakeCore, capsys: Output, tmp_path: Path
) -> None:
    assert main(["orders", PRESET, "--json", "--csv", str(tmp_path / "csv")]) == 0
    growth = GrowthByOrder.model_validate_json(capsys.readouterr().out)
    assert [cost.order for cost in growth.costs] == [1, 2, 3, 4, 5, 6]
    assert [spec.workload.order for spec in core.specs] == [1, 2, 3, 4, 5, 6]
    for cost in growth.costs:
        run = History().get(cost.run_id)
        assert run.memory is not None
        assert run.time is not None
        assert (cost.peak_bytes, cost.median_s) == (run.memory.peak_bytes, run.time.median_s)
    with (tmp_path / "csv" / "runs.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["run_id"] for row in rows] == [cost.run_id for cost in growth.costs]


def test_that_a_person_reads_a_table_and_the_factors(core: FakeCore, capsys: Output) -> None:
    assert main(["orders", "lecture-maml", "--set", "name=Mine"]) == 0
    text = capsys.readouterr().out
    assert "With each order the peak grows by a factor of " in text
    assert [line.split()[0] for line in text.splitlines() if line.strip()[:1].isdigit()] == list(
        "1234"
    )
    assert core.specs[0].name == "Mine, order 1"


def test_that_what_does_not_finish_ends_it_with_its_status_and_reason(
    core: FakeCore, capsys: Output
) -> None:
    core.outcome = Outcome.FAILED
    assert main(["orders", PRESET, "--json"]) == Outcome.FAILED.exit_status
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["costs"]) == len(core.specs) == 1
    assert Outcome.FAILED.sentence in captured.err


def test_that_a_workload_without_orders_is_refused(core: FakeCore, capsys: Output) -> None:
    assert main(["orders", PRESET, "--set", "workload.kind=hvp"]) == 2
    assert capsys.readouterr().err == (
        "workload.kind: hvp was given, which has no order; allowed: one that has, for example "
        "nested_gradient.\n"
    )
    assert core.specs == []
