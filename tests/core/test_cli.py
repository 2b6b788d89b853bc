"""The command line: what it prints where, and its exit status."""

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from core import __version__
from core.cli import main
from core.cli.measuring import cancelled_by_signals, exit_status
from core.cli.progress import LiveProgress, ProgressWords
from core.history import History
from core.results.device import Device
from core.results.events import Finished
from core.results.measurement import Check, Measurement
from core.results.outcome import Outcome
from core.spec.presets import preset, presets
from core.spec.run import RunSpec
from tests.fake_core import DEVICES, ERROR, FakeCore

ROOT = Path(__file__).resolve().parents[2]
PRESET = "lecture-second-order"
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOGUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> FakeCore:
    """Runs are made up from here on."""
    fake = FakeCore()
    monkeypatch.setattr("core.cli.measuring.run_isolated", fake.run)
    return fake


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused command must not get as far as a run."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("core.cli.measuring.run_isolated", refuse)


def refused(output: Output, *arguments: str) -> str:
    """The sentences of a command that has to be refused as invalid."""
    assert main(arguments) == 2
    captured = output.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.strip()


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def program(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hogui", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# -------------------------------------------------------------------------------- run, made up


def test_that_json_on_stdout_is_the_result_and_progress_is_on_stderr(
    core: FakeCore, capsys: Output
) -> None:
    assert main(["run", PRESET, "--json"]) == 0
    captured = capsys.readouterr()
    result = Measurement.model_validate_json(captured.out)
    assert result.spec == preset(PRESET).spec
    assert "memory pass · gradient 2" in captured.err
    assert core.specs == [preset(PRESET).spec]


@pytest.mark.usefixtures("core")
def test_that_a_person_reads_mebibytes_and_milliseconds(capsys: Output) -> None:
    assert main(["run", PRESET, "--json"]) == 0
    result = Measurement.model_validate_json(capsys.readouterr().out)
    assert main(["run", PRESET]) == 0
    summary = capsys.readouterr().out
    assert result.memory is not None
    assert result.time is not None
    rows = dict(re.findall(r"^(\S.*?)  +(\S.*?) *$", summary, re.MULTILINE))
    assert rows["Peak above baseline"] == f"{result.memory.peak_bytes / 2**20:.3f} MiB"
    assert rows["Together"] == f"{result.memory.total_bytes / 2**20:.3f} MiB"
    assert result.forecast is not None
    assert rows["Forecast"].startswith(f"{result.forecast.total_bytes / 2**20:.3f} MiB together")
    assert f"{result.time.median_s * 1e3:.4g} ms" in summary
    for phase in ("forward", "gradient 1", "gradient 2"):
        assert phase in summary


@pytest.mark.usefixtures("core")
def test_that_the_csv_files_hold_the_figures_of_the_json(capsys: Output, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert main(["run", PRESET, "--json", "--csv", str(folder)]) == 0
    result = Measurement.model_validate_json(capsys.readouterr().out)
    (row,) = rows(folder / "runs.csv")
    assert result.memory is not None
    assert row["run_id"] == result.run_id
    assert int(row["memory_peak_bytes"]) == result.memory.peak_bytes


@pytest.mark.usefixtures("core")
def test_that_every_run_is_in_the_history(capsys: Output) -> None:
    assert main(["run", PRESET, "--json"]) == 0
    result = Measurement.model_validate_json(capsys.readouterr().out)
    assert History().get(result.run_id) == result


def test_that_keys_are_overridden_in_their_order(core: FakeCore) -> None:
    changes = ["--set", "workload.kind=maml", "--set", "workload.tasks=3", "--set", "name=Mine"]
    assert main(["run", PRESET, *changes]) == 0
    (spec,) = core.specs
    assert (spec.workload.kind, spec.flatten()["workload.tasks"], spec.name) == ("maml", 3, "Mine")


def test_that_a_variant_is_measured_under_its_own_name(core: FakeCore) -> None:
    assert main(["run", "deep-mlp", "--set", "name=Deep", "--variant", "quarter-batch"]) == 0
    whole = preset("deep-mlp").spec
    (spec,) = core.specs
    assert spec.name == "Deep, quarter batch"
    assert spec.data.batch_size == whole.data.batch_size // 4


def test_that_a_variant_that_there_is_not_is_refused(capsys: Output) -> None:
    assert main(["run", "lecture-second-order", "--variant", "tenth"]) == 2
    assert capsys.readouterr().err.startswith('--variant: "tenth" was given; allowed here: ')


@pytest.mark.parametrize("order", [[], ["--set", "workload.order=1"]])
def test_that_fomaml_is_measured_at_order_1(core: FakeCore, order: list[str]) -> None:
    assert main(["run", "lecture-maml", "--set", "workload.variant=fomaml", *order]) == 0
    (spec,) = core.specs
    assert spec.flatten()["workload.order"] == 1


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("name", ["[/x]", "[bold]", ":smile:", "[u]x"])
def test_that_brackets_and_colons_in_a_name_are_shown_as_they_are(
    name: str, capsys: Output
) -> None:
    assert main(["run", PRESET, "--set", f"name={name}"]) == 0
    assert name in capsys.readouterr().out
    assert main(["history"]) == 0
    assert name in capsys.readouterr().out


def test_that_brackets_in_a_device_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    odd = DEVICES[0].model_copy(update={"title": "Odd [/x] one"})
    monkeypatch.setattr("core.cli.devices.query_devices", lambda: (odd,))
    assert main(["devices"]) == 0
    assert "Odd [/x] one" in capsys.readouterr().out


@pytest.mark.usefixtures("core")
def test_that_brackets_in_the_path_of_the_history_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "[").mkdir()
    (tmp_path / "[" / "x]").touch()
    monkeypatch.setenv("HOGUI_HOME", str(tmp_path / "[" / "x]"))
    assert main(["run", PRESET]) == 0
    assert str(tmp_path / "[" / "x]") in capsys.readouterr().err


def test_that_a_spec_comes_from_a_file_or_from_standard_input(
    core: FakeCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = preset("lecture-maml").spec
    file = tmp_path / "mine.json"
    file.write_text("\ufeff" + spec.to_json(), encoding="utf-8")
    assert main(["run", str(file)]) == 0
    with file.open(encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert main(["run", "-"]) == 0
    assert core.specs == [spec, spec]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.FAILED, 1), (Outcome.OUT_OF_MEMORY, 3), (Outcome.CRASHED, 4)],
)
def test_that_a_run_that_does_not_finish_has_its_status_its_reason_and_its_files(
    core: FakeCore, outcome: Outcome, status: int, capsys: Output, tmp_path: Path
) -> None:
    core.outcome = outcome
    assert main(["run", PRESET, "--csv", str(tmp_path / "out")]) == status
    assert outcome.sentence in capsys.readouterr().err
    (row,) = rows(tmp_path / "out" / "runs.csv")
    assert row["outcome"] == outcome
    assert [row.outcome for row in History().list()] == [outcome]


def test_that_an_operation_that_raised_is_quoted(core: FakeCore, capsys: Output) -> None:
    core.outcome = Outcome.FAILED
    main(["run", PRESET])
    assert ERROR in capsys.readouterr().err


def test_that_a_failed_check_has_a_status_of_its_own() -> None:
    *_, last = FakeCore().run(preset(PRESET).spec)
    assert isinstance(last, Finished)
    check = Check(method="by hand", relative_error=0.5, passed=False)
    assert exit_status(last.result.model_copy(update={"check": check})) == 5
    assert exit_status(last.result) == 0


@pytest.mark.usefixtures("core")
def test_that_a_history_that_cannot_be_written_does_not_lose_the_run(
    own_home: Path, capsys: Output
) -> None:
    own_home.write_text("a file where a folder should be")
    assert main(["run", PRESET, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["outcome"] == "finished"
    assert "The run is not in the history." in captured.err


@pytest.mark.parametrize("arguments", [["history"], ["export", "abc", "--csv", "out"]])
def test_that_a_history_that_cannot_be_used_is_one_sentence(
    own_home: Path, arguments: list[str], capsys: Output
) -> None:
    own_home.write_text("a file where a folder should be")
    assert main(arguments) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"The history in {own_home / 'history.sqlite3'} cannot be used: ")


@pytest.mark.usefixtures("core")
def test_that_a_full_disk_loses_the_history_and_not_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    assert main(["run", PRESET, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["outcome"] == "finished"
    assert captured.err.rstrip().endswith("cannot be used: database or disk is full.")


@pytest.mark.usefixtures("core")
def test_that_files_that_cannot_be_exported_are_one_sentence(
    tmp_path: Path, capsys: Output
) -> None:
    main(["run", PRESET])
    (row,) = History().list()
    (tmp_path / "out" / "runs.csv").mkdir(parents=True)
    capsys.readouterr()
    assert main(["export", row.run_id, "--csv", str(tmp_path / "out")]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"--csv: {tmp_path / 'out'} cannot be written to: ")


def test_that_the_first_interruption_cancels_and_the_second_interrupts() -> None:
    with cancelled_by_signals() as cancelled:
        signal.raise_signal(signal.SIGINT)
        assert cancelled.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ------------------------------------------------------------------------------ run, refused


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "nope is neither a file nor a preset; presets: lecture-second-order,"),
        (["x" * 300], f"{'x' * 300} is neither a file nor a preset; presets: "),
        (["x" * 300 + ".json"], f"SPEC: {'x' * 300}.json is not a file that can be read."),
        ([PRESET, "--save-tensors", f"{'x' * 300}/t.npz"], f"--save-tensors: {'x' * 300} is not"),
        ([PRESET, "--set", "model.layers.².kind=relu"], "model.layers.²: ² was given; allowed: "),
        ([PRESET, "--set", f"workload.order={'9' * 5000}"], 'workload.order: "9999'),
        ([PRESET, "--set", f"workload.order={'[' * 100_000}"], 'workload.order: "[[[['),
        (["missing.json"], "SPEC: missing.json is not a file that can be read."),
        ([PRESET, "--set", "workload.order=7"], "workload.order: 7 was given; allowed: "),
        ([PRESET, "--set", "workload.ordre=2"], "workload.ordre is not a known key"),
        ([PRESET, "--set", "workload"], "--set: 'workload' was given; allowed: KEY=VALUE."),
        ([PRESET, "--set", "data.batch_size=0"], "data.batch_size: 0 was given; allowed: "),
        ([PRESET, "--set", "loss=cross_entropy"], 'loss: "cross_entropy" was given'),
        ([PRESET, "--set", "model.layers=[]"], "model.layers is empty"),
        ([PRESET, "--save-tensors", "no/such/folder/t.npz"], "--save-tensors: no/such/folder"),
        ([], "Missing argument 'SPEC'; see `hogui run --help`."),
        ([PRESET, "--frobnicate"], "No such option: --frobnicate"),
    ],
)
def test_that_a_wrong_command_is_refused_in_one_sentence(
    arguments: list[str], sentence: str, capsys: Output
) -> None:
    said = refused(capsys, "run", *arguments)
    assert said.startswith(sentence)
    assert "\n" not in said


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    "content", [b'{"version": 1, "model": {', b"[1, 2]", b"\xff\xfe\x00", b"", b'{"version": 99}']
)
def test_that_a_file_that_is_no_spec_is_refused(
    content: bytes, tmp_path: Path, capsys: Output
) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    assert refused(capsys, "run", str(file)).endswith(".")


@pytest.mark.usefixtures("no_run")
def test_that_a_folder_that_cannot_be_made_is_refused_before_the_run(
    tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "file").touch()
    said = refused(capsys, "run", PRESET, "--csv", str(tmp_path / "file" / "csv"))
    assert said.startswith("--csv: ")


def test_that_an_unknown_command_is_answered_with_those_there_are(capsys: Output) -> None:
    said = refused(capsys, "mesure")
    assert said == (
        "mesure is not a command; commands: run, forecast, check, advise, orders, compare, script, "
        "presets, devices, history, export."
    )


# -------------------------------------------------------------------------------------- lists


def test_that_presets_are_listed_for_programs_and_for_people(capsys: Output) -> None:
    assert main(["presets", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == [
        {"name": one.name, "title": one.title, "about": one.about} for one in presets()
    ]
    assert main(["presets"]) == 0
    text = capsys.readouterr().out
    assert all(one.name in text for one in presets())


def test_that_the_spec_of_a_preset_can_be_taken_home(capsys: Output) -> None:
    assert main(["presets", "sinusoid-maml"]) == 0
    assert RunSpec.from_json(capsys.readouterr().out) == preset("sinusoid-maml").spec
    assert "presets: lecture-second-order" in refused(capsys, "presets", "nope")


def test_that_devices_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("core.cli.devices.query_devices", lambda: DEVICES)
    assert main(["devices", "--json"]) == 0
    listed = [Device.model_validate(one) for one in json.loads(capsys.readouterr().out)]
    assert listed == list(DEVICES)
    assert main(["devices"]) == 0
    assert "Fake processor" in capsys.readouterr().out


@pytest.mark.usefixtures("core")
def test_that_the_history_lists_the_newest_run_first(capsys: Output) -> None:
    main(["run", PRESET])
    main(["run", "lecture-maml"])
    capsys.readouterr()
    assert main(["history", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == [preset("lecture-maml").spec.name, preset(PRESET).spec.name]
    assert main(["history"]) == 0
    assert "finished" in capsys.readouterr().out


def test_that_an_empty_history_is_an_empty_list(capsys: Output) -> None:
    assert main(["history", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.usefixtures("core")
def test_that_stored_runs_are_exported_into_one_set_of_files(
    capsys: Output, tmp_path: Path
) -> None:
    main(["run", PRESET])
    main(["run", "lecture-maml"])
    ids = [row.run_id for row in History().list()]
    capsys.readouterr()
    assert main(["export", *ids, ids[0], "--csv", str(tmp_path / "out")]) == 0
    assert [row["run_id"] for row in rows(tmp_path / "out" / "runs.csv")] == ids
    assert str(tmp_path / "out" / "runs.csv") in capsys.readouterr().out


def test_that_exporting_an_unknown_run_writes_nothing(capsys: Output, tmp_path: Path) -> None:
    said = refused(capsys, "export", "nope", "--csv", str(tmp_path / "out"))
    assert said == "'nope' is not the id of a stored run; `hogui history` lists them."
    assert not (tmp_path / "out").exists()


def test_that_help_and_version_are_no_errors(capsys: Output) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    present = ("run", "forecast", "check", "compare", "script", "presets", "devices", "history")
    assert all(name in text for name in (*present, "export", "advise"))
    for absent in ("sweep", "--html"):
        assert absent not in text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"hogui {__version__}"


# ----------------------------------------------------------------------------------- progress


def test_that_progress_says_where_the_run_is() -> None:
    words = ProgressWords()
    seen = []
    for event in FakeCore(repetitions=4).run(preset("lecture-maml").spec):
        words.add(event)
        seen.append(words.words())
    assert seen[0] == "starting"
    assert any(text.startswith("memory pass · inner step 1") for text in seen)
    assert any(text.startswith("timing · repetition 3 of about 4 · 0 s left") for text in seen)
    assert any(text.startswith("curves · outer loss at 9") for text in seen)
    assert seen[-2].startswith("checking the result")


def test_that_progress_on_a_terminal_is_one_line_that_disappears(tmp_path: Path) -> None:
    with (tmp_path / "terminal").open("w+", encoding="utf-8") as stream:
        console = Console(file=stream, force_terminal=True, width=100)
        with LiveProgress(console) as progress:
            for event in FakeCore(pause_s=0.005).run(preset(PRESET).spec):
                progress.add(event)
        stream.seek(0)
        assert "highest" in stream.read()


# ------------------------------------------------------------------------------------ for real


def test_that_a_real_run_gives_json_tensors_and_files_that_agree(tmp_path: Path) -> None:
    tensors, folder = tmp_path / "tensors.npz", tmp_path / "csv"
    options = ["--json", "--save-tensors", str(tensors), "--csv", str(folder)]
    settings = ["--set", "measure.repetitions=3", "--set", "measure.warmup=1"]
    process = program("run", PRESET, *options, *settings)
    out, err = process.communicate()
    assert process.returncode == 0, err
    result = Measurement.model_validate_json(out)
    assert result.memory is not None
    assert result.time is not None
    assert len(result.time.samples_s) == 3
    with np.load(tensors) as arrays:
        assert {name.partition("/")[0] for name in arrays} >= {"parameters", "data", "result"}
    (row,) = rows(folder / "runs.csv")
    assert int(row["memory_peak_bytes"]) == result.memory.peak_bytes
    ledger = [one for one in rows(folder / "memory.csv") if one["source"] == "ledger"]
    assert max(int(one["total_bytes"]) for one in ledger) <= result.memory.total_bytes


def test_that_a_device_that_is_not_there_is_refused() -> None:
    process = program("run", PRESET, "--set", "device=cuda:77")
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert "device: cuda:77 was given; allowed here: auto, " in err
    assert "Traceback" not in err


def test_that_what_cannot_fit_is_refused_with_the_figures() -> None:
    process = program("run", PRESET, "--set", "data.batch_size=1000000000")
    _, err = process.communicate()
    assert process.returncode == 3
    assert "It needs at least" in err
    assert "MiB" in err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
def test_that_an_interrupted_run_is_cancelled_and_its_files_are_written(tmp_path: Path) -> None:
    process = program(
        "run", "deep-mlp", "--csv", str(tmp_path), "--set", "measure.time_budget_s=600"
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("memory pass · gradient 1"):
            break
    interrupted_s = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert time.perf_counter() - interrupted_s < 5.0
    assert Outcome.CANCELLED.sentence in err
    (row,) = rows(tmp_path / "runs.csv")
    assert row["outcome"] == "cancelled"
    assert len(rows(tmp_path / "memory.csv")) > 10
