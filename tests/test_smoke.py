"""The packaged program's smoke test has to notice what it is there to notice."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "packaging" / "smoke.py"


@pytest.fixture(scope="module")
def smoke() -> ModuleType:
    specification = importlib.util.spec_from_file_location("smoke", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


RUNS = "run_id,memory_peak_bytes,time_median_s,spec.workload.order\n{run},{peak},{time},{order}\n"
CURVE = "run_id,source,t_s,total_bytes\n{run},ledger,{time},{peak}\n{run},resident,{time},{time}\n"


def _tables(smoke: ModuleType, place: Path, **values: object) -> dict[str, object]:
    row = {"run": "a", "peak": 4096, "time": 0.25, "order": 2} | values
    folder = place / "csv"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.csv").write_text(RUNS.format(**row))
    (folder / "memory.csv").write_text(CURVE.format(**row))
    return smoke._read(place)


Differences = Callable[..., list[str]]


@pytest.fixture
def differences(smoke: ModuleType, tmp_path: Path) -> Differences:
    """The differences from a reference run of a run with these values."""

    def between(**values: object) -> list[str]:
        given = _tables(smoke, tmp_path / "given", **values)
        return smoke._differences(given, _tables(smoke, tmp_path / "reference"))

    return between


def test_that_runs_may_differ_in_their_names_and_times(differences: Differences) -> None:
    assert differences(run="b", time=0.5) == []


def test_that_one_byte_of_peak_is_reported_in_the_run_and_in_the_curve(
    differences: Differences,
) -> None:
    in_run, in_curve = differences(peak=4097)
    assert "memory_peak_bytes: '4097'; the sources wrote '4096'" in in_run
    assert in_curve.startswith("memory.csv")


def test_that_another_spec_is_reported_by_its_key(differences: Differences) -> None:
    (difference,) = differences(order=3)
    assert "spec.workload.order: '3'; the sources wrote '2'" in difference


def test_that_a_missing_column_is_reported(smoke: ModuleType, tmp_path: Path) -> None:
    reference = _tables(smoke, tmp_path / "reference")
    given = _tables(smoke, tmp_path / "given")
    runs = tmp_path / "given" / "csv" / "runs.csv"
    runs.write_text(runs.read_text().replace("time_median_s", "seconds"))
    given = smoke._read(tmp_path / "given")
    assert smoke._differences(given, reference) == [
        "runs.csv: columns ['seconds', 'time_median_s']"
    ]


def test_that_a_program_without_csvs_is_an_error(smoke: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(smoke.SmokeError, match=r"no runs\.csv"):
        smoke._read(tmp_path)
