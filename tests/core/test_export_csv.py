"""The CSV files hold the figures of the results, to the last digit."""

import csv
import json
from datetime import datetime
from pathlib import Path

import pytest

from core.export.csv_files import export_csv
from core.results.categories import CATEGORIES
from core.results.charts import Curve as ChartCurve
from core.results.events import Finished
from core.results.measurement import Check, Forecast, Measurement
from core.results.memory_timeline import Curve, MemoryTimeline
from core.results.outcome import Outcome
from core.spec.presets import preset
from tests.fake_core import FakeCore

Run = tuple[Measurement, MemoryTimeline]
Tables = dict[str, list[dict[str, str]]]


def a_run(name: str, run_id: str, core: FakeCore | None = None) -> Run:
    *_, event = (core or FakeCore()).run(preset(name).spec, run_id=run_id)
    assert isinstance(event, Finished)
    return event.result, event.timeline


def read(folder: Path) -> Tables:
    tables = {}
    for file in folder.iterdir():
        with file.open(encoding="utf-8", newline="") as stream:
            tables[file.name] = list(csv.DictReader(stream))
    return tables


@pytest.fixture
def runs() -> list[Run]:
    linear, maml = a_run("lecture-second-order", "one"), a_run("lecture-maml", "two")
    update = {
        "forecast": Forecast(peak_bytes=12345, exact=True, seconds=None),
        "check": Check(method="finite differences", relative_error=1.25e-11, passed=True),
    }
    return [(linear[0].model_copy(update=update), linear[1]), maml]


@pytest.fixture
def tables(runs: list[Run], tmp_path: Path) -> Tables:
    export_csv(runs, tmp_path)
    return read(tmp_path)


def test_that_there_is_one_file_for_each_kind_of_row_and_nothing_else(tables: Tables) -> None:
    assert set(tables) == {
        *("runs.csv", "memory.csv", "time.csv", "phases.csv", "layers.csv"),
        *("curves.csv", "readings.csv"),
    }


def test_that_the_columns_of_runs_are_those_that_others_rely_on(tables: Tables) -> None:
    columns = list(tables["runs.csv"][0])
    assert columns[:13] == [
        *("run_id", "name", "started_at", "outcome", "device", "forecast_peak_bytes"),
        *("memory_baseline_bytes", "memory_peak_bytes", "time_median_s", "time_low_s"),
        *("time_high_s", "repetitions", "check_relative_error"),
    ]
    assert "spec.workload.order" in columns
    assert "environment.torch" in columns
    assert len(columns) == len(set(columns))


def test_that_the_figures_of_a_run_come_back_equal(runs: list[Run], tables: Tables) -> None:
    result, row = runs[0][0], tables["runs.csv"][0]
    assert result.memory is not None
    assert result.time is not None
    assert int(row["memory_peak_bytes"]) == result.memory.peak_bytes
    assert int(row["memory_baseline_bytes"]) == result.memory.baseline_bytes
    assert float(row["time_median_s"]) == result.time.median_s
    assert (float(row["time_low_s"]), float(row["time_high_s"])) == result.time.interval_s
    assert int(row["repetitions"]) == len(result.time.samples_s)
    assert int(row["forecast_peak_bytes"]) == 12345
    assert float(row["check_relative_error"]) == 1.25e-11
    assert json.loads(row["check_passed"]) is True
    assert json.loads(row["forecast_exact"]) is True
    assert row["time_verdict"] in ("stable", "noisy")
    assert datetime.fromisoformat(row["started_at"]).utcoffset() is not None


def test_that_every_key_of_the_specs_has_a_column_and_an_absent_one_is_empty(
    runs: list[Run], tables: Tables
) -> None:
    for (result, _), row in zip(runs, tables["runs.csv"], strict=True):
        for key, value in result.spec.flatten().items():
            text = row[f"spec.{key}"]
            assert text == str(value) or json.loads(text) == value
    linear, maml = tables["runs.csv"]
    assert (linear["spec.workload.inner_steps"], maml["spec.workload.inner_steps"]) == ("", "5")
    assert (linear["spec.workload.wrt"], maml["spec.workload.wrt"]) == ("parameters", "")
    assert json.loads(linear["spec.model.layers"])[0]["kind"] == "linear"


def test_that_every_point_of_the_curve_is_a_row(runs: list[Run], tables: Tables) -> None:
    for result, timeline in runs:
        rows = [row for row in tables["memory.csv"] if row["run_id"] == result.run_id]
        ledger = [row for row in rows if row["source"] == "ledger"]
        assert [float(row["t_s"]) for row in ledger] == list(timeline.t_s)
        assert [int(row["total_bytes"]) for row in ledger] == list(timeline.totals())
        for row in ledger:
            assert int(row["total_bytes"]) == sum(int(row[name] or 0) for name in CATEGORIES)
        assert {row["phase"] for row in ledger} == {span.name for span in timeline.phases}
        resident = [row for row in rows if row["source"] == "resident"]
        assert [int(row["total_bytes"]) for row in resident] == list(timeline.resident.total_bytes)
        assert {row["activations"] for row in resident} == {""}


def test_that_memory_of_the_driver_is_a_source_of_its_own(tmp_path: Path) -> None:
    result, timeline = a_run("lecture-second-order", "one")
    sampled = timeline.model_copy(update={"driver": Curve(t_s=(0.5,), total_bytes=(77,))})
    export_csv([(result, sampled)], tmp_path)
    (row,) = [row for row in read(tmp_path)["memory.csv"] if row["source"] == "driver"]
    assert (row["t_s"], row["total_bytes"]) == ("0.5", "77")


def test_that_every_timed_repetition_is_a_row(runs: list[Run], tables: Tables) -> None:
    for result, _ in runs:
        rows = [row for row in tables["time.csv"] if row["run_id"] == result.run_id]
        assert [int(row["repetition"]) for row in rows] == list(range(len(rows)))
        assert result.time is not None
        assert [float(row["seconds"]) for row in rows] == list(result.time.samples_s)


def test_that_phases_and_layers_are_rows_in_their_order(runs: list[Run], tables: Tables) -> None:
    for result, _ in runs:
        phases = [row for row in tables["phases.csv"] if row["run_id"] == result.run_id]
        assert [row["name"] for row in phases] == [phase.name for phase in result.phases]
        assert [int(row["retained_bytes"]) for row in phases] == [
            phase.retained_bytes for phase in result.phases
        ]
        layers = [row for row in tables["layers.csv"] if row["run_id"] == result.run_id]
        assert [tuple(json.loads(row["output_shape"])) for row in layers] == [
            layer.output_shape for layer in result.layers
        ]


def test_that_every_point_of_a_chart_is_a_row_with_its_interval(tmp_path: Path) -> None:
    result, timeline = a_run("lecture-maml", "two")
    narrow = ChartCurve(chart="trace", name="mean", x=(1, 2), y=(0.1, None))
    wide = ChartCurve(chart="trace", name="wide", x=(3,), y=(5e-324,), low=(None,), high=(7,))
    export_csv([(result.model_copy(update={"curves": (narrow, wide)}), timeline)], tmp_path)
    assert [tuple(row.values()) for row in read(tmp_path)["curves.csv"]] == [
        ("two", "trace", "mean", "1.0", "0.1", "", ""),
        ("two", "trace", "mean", "2.0", "", "", ""),
        ("two", "trace", "wide", "3.0", "5e-324", "", "7.0"),
    ]


def test_that_the_curves_of_a_run_come_back_equal(tmp_path: Path) -> None:
    run = a_run("sinusoid-maml", "three")
    export_csv([run], tmp_path)
    rows = read(tmp_path)["curves.csv"]
    (curve,) = run[0].curves
    assert [float(row["y"]) for row in rows] == list(curve.y)
    assert {row["curve"] for row in rows} == {curve.name}


def test_that_every_reading_is_a_row_and_one_that_is_not_finite_is_empty(tmp_path: Path) -> None:
    result, timeline = a_run("lecture-second-order", "one")
    readings = {"trace": 40.25, "standard_error": None}
    export_csv([(result.model_copy(update={"readings": readings}), timeline)], tmp_path)
    assert [tuple(row.values()) for row in read(tmp_path)["readings.csv"]] == [
        ("one", "trace", "40.25"),
        ("one", "standard_error", ""),
    ]


def test_that_a_run_without_figures_is_a_row_with_empty_cells(tmp_path: Path) -> None:
    core = FakeCore(outcome=Outcome.FAILED)
    export_csv([a_run("lecture-second-order", "one", core)], tmp_path)
    tables = read(tmp_path)
    (row,) = tables["runs.csv"]
    assert row["outcome"] == "failed"
    assert row["memory_peak_bytes"] == row["time_median_s"] == row["repetitions"] == ""
    assert tables["memory.csv"] == tables["time.csv"] == tables["phases.csv"] == []
    assert tables["curves.csv"] == tables["readings.csv"] == []


def test_that_a_name_with_commas_quotes_and_lines_survives(tmp_path: Path) -> None:
    result, timeline = a_run("lecture-second-order", "one")
    name = 'two "lines",\nand a ∂²'
    spec = result.spec.model_copy(update={"name": name})
    export_csv([(result.model_copy(update={"spec": spec}), timeline)], tmp_path)
    assert read(tmp_path)["runs.csv"][0]["name"] == name


def test_that_a_failing_export_leaves_the_old_files_as_they_were(
    runs: list[Run], tmp_path: Path
) -> None:
    export_csv(runs[:1], tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def broken() -> object:
        yield runs[1]
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        export_csv(broken(), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["a\rb", "a\r\nb", "a\nb", '"a",b', "\r", "ä ² [/x]"])
def test_that_a_name_comes_back_equal_whatever_it_holds(tmp_path: Path, name: str) -> None:
    result, timeline = a_run("lecture-second-order", "one")
    named = result.model_copy(update={"spec": result.spec.with_changes({"name": name})})
    export_csv([(named, timeline)], tmp_path)
    (row,) = read(tmp_path)["runs.csv"]
    assert row["name"] == row["spec.name"] == name


def test_that_rows_end_with_a_line_feed_alone(runs: list[Run], tmp_path: Path) -> None:
    for file in export_csv(runs, tmp_path):
        content = file.read_bytes()
        assert content.endswith(b"\n")
        assert b"\r" not in content
