"""``hogui advise``: what it prints, what it refuses, and its exit status."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import core.cli.advise as command_module
from core.cli import main
from core.isolation import NotReady
from core.results.forecast import Forecast, Outlook
from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec
from tests.core.advisor.costs import Told

Output = pytest.CaptureFixture[str]
LAYERS = [{"kind": "linear", "out_features": 32}, {"kind": "tanh"}] * 4
NET = json.dumps(
    {
        "model": {"input_shape": [6], "layers": LAYERS},
        "data": {"kind": "synthetic", "batch_size": 256},
        "device": "cpu",
    }
)


@pytest.fixture
def file(tmp_path) -> str:
    path = tmp_path / "net.json"
    path.write_text(NET)
    return str(path)


class Asked:
    """Answers without a process."""

    def __init__(self) -> None:
        self.answer: Callable[[Sequence[RunSpec]], Iterator[tuple[int, Outlook]]] = Told()
        self.closed = False

    def ask_all(self, specs: Sequence[RunSpec], **options: Any) -> Iterator[tuple[int, Outlook]]:
        assert options.pop("loads_files")
        return self.answer(specs)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    fake = Asked()
    monkeypatch.setattr(command_module, "forecasters", lambda: fake)
    monkeypatch.setattr(
        command_module, "side_by_side", lambda specs, cancelled: [None] * len(specs)
    )
    yield fake
    assert fake.closed, "no process is left behind, however it ends"


def test_that_an_advice_of_this_machine_has_every_promised_key(file: str, capsys: Output) -> None:
    """The real processes, once: forecasts, rivals side by side, and runs that confirm."""
    small = ["--set", "workload.order=1", "--set", "measure.time_budget_s=0.1"]
    assert main(["advise", file, "--budget", "64MiB", "--json", "--confirm", *small]) == 0
    document = json.loads(capsys.readouterr().out)
    recommended = document["recommended"]
    assert recommended.keys() >= {"spec", "forecast", "reason"}
    assert len(document["points"]) > 3
    for point in document["points"]:
        assert point.keys() >= {"spec", "forecast", "fits"}
        assert RunSpec.from_json(json.dumps(point["spec"])).problems() == ()
    foretold = recommended["forecast"]["baseline_bytes"] + recommended["forecast"]["peak_bytes"]
    assert recommended["measured_bytes"] == foretold
    for limit in document["limits"]:
        assert limit["measured_bytes"] <= 64 * 2**20


def test_that_without_json_it_is_for_people(file: str, asked: Asked, capsys: Output) -> None:
    assert main(["advise", file, "--budget", "200KiB"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Recommended Rematerialize, " in out
    assert "instead of 250" in out
    assert "Largest batch within 200 KiB: " in out
    assert "first gradient only" in out
    assert "{" not in out


def test_that_a_budget_that_nothing_meets_is_too_large_a_run(
    file: str, asked: Asked, capsys: Output
) -> None:
    assert main(["advise", file, "--budget", "1KiB"]) == 3
    captured = capsys.readouterr()
    assert (
        captured.err.strip()
        .splitlines()[-1]
        .startswith("Nothing exact fits into 1.00 KiB: the nearest is ")
    )
    assert main(["advise", file, "--budget", "1KiB", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["recommended"] is None
    assert document["points"]


def test_that_without_a_budget_it_is_what_the_device_has(
    file: str, asked: Asked, capsys: Output
) -> None:
    asked.answer = Told(available_bytes=3 * 2**30)
    assert main(["advise", file, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["budget_bytes"] == 3 * 2**30
    assert "The budget is what the device has available, 3.00 GiB." in captured.err


def test_that_a_device_that_does_not_say_needs_a_budget(
    file: str, asked: Asked, capsys: Output
) -> None:
    assert main(["advise", file]) == 2
    assert capsys.readouterr().err.startswith("--budget: nothing was given")


@pytest.mark.parametrize("text", ["", "512", "MiB", "-1MiB", "0B", "1e9B", "2 bananas"])
def test_that_a_budget_without_a_size_is_refused_in_one_sentence(
    text: str, file: str, capsys: Output
) -> None:
    assert main(["advise", file, "--budget", text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"--budget: {text!r} was given; allowed: ")


def no_answer(specs: Sequence[RunSpec]) -> Iterator[tuple[int, Outlook]]:
    return ((place, Outlook(forecast=None, absent="It asks.")) for place in range(len(specs)))


def not_ready(specs: Sequence[RunSpec]) -> Iterator[tuple[int, Outlook]]:
    raise NotReady("it died")


def refused(specs: Sequence[RunSpec]) -> Iterator[tuple[int, Outlook]]:
    raise InvalidSpec([Problem(("device",), "device: tpu was given.")])


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (no_answer, 1, "There is no advice. It asks."),
        (not_ready, 1, "There is no advice: it died."),
        (refused, 2, "device: tpu was given."),
    ],
)
def test_that_no_advice_is_a_sentence_and_a_status(
    answer: Any, status: int, words: str, file: str, asked: Asked, capsys: Output
) -> None:
    asked.answer = answer
    assert main(["advise", file, "--budget", "1GiB"]) == status
    captured = capsys.readouterr()
    assert captured.err.strip() == words
    assert captured.out == ""


def test_that_a_wrong_spec_is_refused_before_anything_is_asked(tmp_path, capsys: Output) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"model": {"input_shape": [6], "layers": []}}))
    assert main(["advise", str(path), "--budget", "1GiB"]) == 2
    assert "model.layers is empty" in capsys.readouterr().err


def test_that_faults_which_preflight_finds_leave_a_point_out(
    file: str, asked: Asked, capsys: Output
) -> None:
    def faulty(specs: Sequence[RunSpec]) -> Iterator[tuple[int, Outlook]]:
        for place, outlook in Told()(specs):
            if specs[place].mitigation.checkpointing.kind == "rematerialize":
                found = {"severity": "error", "layer": 0, "sentence": "It would raise."}
                outlook = Outlook.model_validate({**dict(outlook), "findings": [found]})
            yield place, outlook

    asked.answer = faulty
    assert main(["advise", file, "--budget", "1GiB", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "It would raise." in {each["reason"] for each in document["impossible"]}
    kinds = {point["spec"]["mitigation"]["checkpointing"]["kind"] for point in document["points"]}
    assert kinds == {"none"}
    assert Forecast.model_validate(document["recommended"]["forecast"]).exact
