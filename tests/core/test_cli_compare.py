"""``hogui compare``: what it prints where, and its exit status."""

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.cli import main
from core.cli.interleaving import take_turns
from core.cli.refusal import Refused
from core.history import History
from core.results.comparison import Comparison
from core.results.events import Finished
from core.results.interleaved import Compared, InterleavedEvent, PairTimed, WarmedUp
from core.results.measurement import Check
from core.results.time_comparison import compare_samples
from core.spec.presets import preset
from core.spec.run import RunSpec
from tests.fake_core import FakeCore

Output = pytest.CaptureFixture[str]
SPEC = preset("lecture-relu-network").spec
CHECK = Check(method="central differences", relative_error=2e-9, passed=True)


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOGUI_HOME", str(tmp_path / "home"))


def keep(run_id: str, spec: RunSpec = SPEC, seconds: float = 1.0, **changes: object) -> None:
    """A made-up run in the history, so many times as long as the usual one."""
    *_, finished = FakeCore().run(spec, run_id=run_id)
    assert isinstance(finished, Finished)
    result = finished.result
    assert result.time is not None
    samples = tuple(seconds * sample for sample in result.time.samples_s)
    median, (low, high) = result.time.median_s, result.time.interval_s
    time = result.time.model_copy(
        update={
            "samples_s": samples,
            "median_s": median * seconds,
            "interval_s": (low * seconds, high * seconds),
        }
    )
    History().add(result.model_copy(update={"time": time, **changes}), finished.timeline)


def refused(output: Output, *arguments: str) -> str:
    assert main(["compare", *arguments]) == 2
    captured = output.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.strip()


# -------------------------------------------------------------------------------- stored runs


def test_that_runs_are_compared_with_the_first(capsys: Output) -> None:
    keep("aaaa1111")
    keep("bbbb2222", SPEC.with_changes({"workload.order": 2, "name": "Two"}), seconds=3.0)
    keep("cccc3333", SPEC.with_value("name", "Three"), seconds=0.5)
    assert main(["compare", "aaaa", "bbbb", "cccc"]) == 0
    text = capsys.readouterr().out
    for figure in ("3.000", "0.500", "slower", "faster"):
        assert figure in text
    assert "Two is slower by 200 %" in text
    (line,) = (line for line in text.splitlines() if "workload.order" in line)
    assert line.split() == ["workload.order", "1", "2", "1"]


def test_that_json_holds_the_same_with_stable_keys(capsys: Output) -> None:
    keep("aaaa1111", check=None)
    keep("bbbb2222", SPEC.with_changes({"workload.order": 2, "name": "Two"}), 3.0, check=CHECK)
    assert main(["compare", "aaaa1111", "bbbb2222", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["runs", "comparisons"]
    assert [run["run_id"] for run in document["runs"]] == ["aaaa1111", "bbbb2222"]
    assert [run["check_passed"] for run in document["runs"]] == [None, True]
    (comparison,) = document["comparisons"]
    found = Comparison.model_validate(comparison)
    assert found.time is not None
    assert (found.a, found.b, found.time.verdict) == ("aaaa1111", "bbbb2222", "slower")
    assert found.time.ratio == pytest.approx(3.0)
    assert [(one.key, one.a, one.b) for one in found.differences] == [("workload.order", 1, 2)]


def test_that_readings_are_rows_of_their_own_and_in_the_json(capsys: Output) -> None:
    keep("aaaa1111", readings={"trace_estimate": 40.123456789, "error": None})
    keep("bbbb2222")
    assert main(["compare", "aaaa1111", "bbbb2222"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (trace,) = (line for line in lines if "Trace estimate" in line)
    assert trace.split() == ["Trace", "estimate", "40.1235", "–"]
    (error,) = (line for line in lines if "Error" in line)
    assert error.split() == ["Error", "not", "finite", "–"]
    assert main(["compare", "aaaa1111", "bbbb2222", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["readings"] for run in document["runs"]] == [
        {"trace_estimate": 40.123456789, "error": None},
        {},
    ]


def test_that_runs_are_found_by_name_where_that_names_one(capsys: Output) -> None:
    keep("aaaa1111", SPEC.with_value("name", "First"))
    keep("bbbb2222", SPEC.with_value("name", "Second"))
    assert main(["compare", "First", "Second"]) == 0
    assert "The configurations are the same." in capsys.readouterr().out
    keep("cccc3333", SPEC.with_value("name", "Second"))
    sentence = refused(capsys, "First", "Second")
    assert sentence.startswith("Second is the name of 2 runs: ")
    assert "bbbb2222" in sentence
    assert "cccc3333" in sentence


def test_that_checks_are_shown_beside_the_costs(capsys: Output) -> None:
    keep("aaaa1111", check=CHECK)
    keep("bbbb2222", check=CHECK.model_copy(update={"passed": False, "relative_error": 0.5}))
    assert main(["compare", "aaaa", "bbbb"]) == 0
    text = capsys.readouterr().out
    assert "2.0e-09 passed" in text
    assert "5.0e-01 failed" in text


def test_that_runs_from_different_machines_are_compared_with_a_warning(capsys: Output) -> None:
    keep("aaaa1111")
    *_, finished = FakeCore().run(SPEC)
    assert isinstance(finished, Finished)
    elsewhere = finished.result.environment.model_copy(update={"cpu": "Another processor"})
    keep("bbbb2222", environment=elsewhere)
    assert main(["compare", "aaaa", "bbbb"]) == 0
    text = capsys.readouterr().out
    assert (
        "Warning: The runs were measured with different processors: Fake processor and Another "
        "processor." in text
    )


def test_that_a_run_without_figures_has_dashes_and_a_reason(capsys: Output) -> None:
    keep("aaaa1111")
    *_, finished = FakeCore().run(SPEC, run_id="bbbb2222")
    assert isinstance(finished, Finished)
    bare = finished.result.model_copy(update={"time": None, "memory": None})
    History().add(bare, finished.timeline)
    assert main(["compare", "aaaa", "bbbb"]) == 0
    text = capsys.readouterr().out
    assert "The times cannot be compared" in text
    assert "–" in text


def test_that_an_unknown_run_is_refused(capsys: Output) -> None:
    keep("aaaa1111")
    assert refused(capsys, "aaaa1111", "zzzz") == (
        "'zzzz' is not the id of a stored run; `hogui history` lists them. Configurations are "
        "compared with --interleaved."
    )


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["a"], "two or more"),
        (["a", "--interleaved"], "two"),
        (["a", "b", "c", "--interleaved"], "two"),
    ],
)
def test_that_too_few_or_too_many_runs_are_refused(
    capsys: Output, arguments: list[str], allowed: str
) -> None:
    count = sum(not argument.startswith("-") for argument in arguments)
    assert refused(capsys, *arguments) == f"RUN: {count} given; allowed: {allowed}."


# ------------------------------------------------------------------------------------- in turns


class Turns:
    """Made-up turns; remembers what was asked."""

    def __init__(self, ratio: float = 1.1, absent: str | None = None) -> None:
        self.asked: list[tuple[RunSpec, RunSpec, float]] = []
        self._ratio, self._absent = ratio, absent

    def __call__(self, a: RunSpec, b: RunSpec, budget_s: float) -> Iterator[InterleavedEvent]:
        self.asked.append((a, b, budget_s))
        yield WarmedUp(of="a", seconds=1.0)
        of_a, of_b = (1.0,) * 40, (self._ratio,) * 40
        for index, (first, second) in enumerate(zip(of_a, of_b, strict=True)):
            yield PairTimed(index=index, a_s=first, b_s=second, left_s=1.0)
        if self._absent is not None:
            yield Compared(time=None, absent=self._absent)
            return
        time = compare_samples(of_a, of_b, interleaved=True)
        yield Compared(time=time, a_samples_s=of_a, b_samples_s=of_b)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    made_up = Turns()
    monkeypatch.setattr("core.cli.compare.take_turns", made_up)
    return made_up


def test_that_presets_files_and_runs_take_turns(
    turns: Turns, capsys: Output, tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(SPEC.with_value("name", "Mine").to_json())
    keep("aaaa1111", SPEC.with_value("name", "Stored"))
    assert main(["compare", "deep-mlp", str(file), "--interleaved", "--budget", "7"]) == 0
    assert "Mine is slower by 10 %" in capsys.readouterr().out
    assert main(["compare", "aaaa", "deep-mlp", "--interleaved"]) == 0
    asked = [(a.name, b.name, budget_s) for a, b, budget_s in turns.asked]
    assert asked == [("Deep MLP", "Mine", 7.0), ("Stored", "Deep MLP", 60.0)]


def test_that_the_json_of_turns_holds_every_sample(turns: Turns, capsys: Output) -> None:
    assert main(["compare", "deep-mlp", "deep-mlp", "--interleaved", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["a"], document["b"]) == ("Deep MLP (A)", "Deep MLP (B)")
    assert document["time"]["verdict"] == "slower"
    assert len(document["a_samples_s"]) == len(document["b_samples_s"]) == 40
    assert document["sentence"].startswith("Deep MLP (B) is slower by 10 %")
    assert len(turns.asked) == 1


def test_that_a_clock_that_jumps_gives_the_reason_and_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr("core.cli.compare.take_turns", Turns(absent="The clock jumped."))
    assert main(["compare", "deep-mlp", "deep-mlp", "--interleaved"]) == 1
    assert "There is no comparison. The clock jumped." in capsys.readouterr().out


@pytest.mark.parametrize("words", ["no-such-file.json", "no/such/file", "nothing"])
def test_that_what_is_neither_file_nor_preset_nor_run_is_refused(
    turns: Turns, capsys: Output, words: str
) -> None:
    assert words in refused(capsys, "deep-mlp", words, "--interleaved")
    assert turns.asked == []


# ------------------------------------------------------------------------- in a process of its own


def test_that_two_specs_take_turns_in_a_process_of_their_own(
    capsys: Output, tmp_path: Path
) -> None:
    large = tmp_path / "large.json"
    large.write_text(SPEC.with_value("data.batch_size", "4000").to_json())
    arguments = ["lecture-relu-network", str(large), "--budget", "20", "--json", "--interleaved"]
    assert main(["compare", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["time"]["verdict"] == "slower"
    assert document["absent"] is None


def test_that_a_spec_that_cannot_run_is_refused_by_its_process() -> None:
    from_elsewhere = SPEC.with_value("device", "quantum")
    with pytest.raises(Refused, match="device: quantum was given"):
        list(take_turns(SPEC, from_elsewhere, 5.0))


def test_that_turns_given_up_leave_no_process_behind() -> None:
    events = take_turns(SPEC, SPEC, 60.0)
    next(events)
    (child,) = multiprocessing.active_children()
    events.close()
    assert child.exitcode is not None or not psutil.pid_exists(child.pid or 0)


def test_that_a_process_that_dies_is_told() -> None:
    events = take_turns(SPEC, SPEC, 60.0)
    next(events)
    (child,) = multiprocessing.active_children()
    child.kill()
    with pytest.raises(Refused, match="SIGKILL"):
        list(events)
