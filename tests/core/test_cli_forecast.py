"""``hogui forecast``: what it prints, what it refuses, and its exit status."""

import json
import re
from collections.abc import Iterator

import pytest

import core.cli.forecast as command_module
from core.cli import main
from core.cli.forecast import device_memory
from core.cli.refusal import Refused
from core.isolation import NotReady
from core.results.forecast import DeviceMemory, Forecast, Outlook
from core.spec.declaration import InvalidSpec, Problem
from core.spec.run import RunSpec

Output = pytest.CaptureFixture[str]
NET = json.dumps({"model": {"input_shape": [6], "layers": [{"kind": "linear"}]}, "device": "cpu"})
GIB = 2**30


@pytest.fixture
def file(tmp_path) -> str:
    path = tmp_path / "net.json"
    path.write_text(NET)
    return str(path)


class Asked:
    """Answers without a process."""

    def __init__(self, answer: Outlook | Exception) -> None:
        self.answer = answer
        self.on: DeviceMemory | None = None
        self.closed = False

    def ask(
        self, spec: RunSpec, on: DeviceMemory | None, learn_s: float, *, loads_files: bool
    ) -> Outlook:
        assert loads_files
        self.on = on
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    told = Forecast(peak_bytes=3000, exact=True, seconds=0.25, by_category={"data": 3000})
    fake = Asked(Outlook(forecast=told))
    monkeypatch.setattr(command_module, "forecaster", lambda: fake)
    yield fake
    assert fake.closed, "no process is left behind, however it ends"


def test_that_a_forecast_of_this_machine_has_every_promised_key(file: str, capsys: Output) -> None:
    """The real process, once."""
    assert main(["forecast", file, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document.keys() >= {"peak_bytes", "exact", "seconds", "by_category", "fits"}
    assert document["exact"] is True
    assert document["fits"] is True
    assert document["seconds"] > 0
    total = document["baseline_bytes"] + document["peak_bytes"]
    assert sum(document["by_category"].values()) == total


def test_that_without_json_it_is_for_people(file: str, asked: Asked, capsys: Output) -> None:
    assert main(["forecast", file]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "{" not in captured.out
    assert captured.out


def test_that_another_device_is_handed_on(file: str, asked: Asked) -> None:
    assert main(["forecast", file, "--on", "RTX 4090,24GiB"]) == 0
    assert asked.on == DeviceMemory(name="RTX 4090", total_bytes=24 * GIB)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("A,24GB", 24 * 2**30),
        ("A,24 GiB", 24 * GIB),
        ("A, 1.5TiB", 3 * 2**39),
        ("A,500mb", 500 * 2**20),
        ("A,512KiB", 2**19),
        ("A,1B", 1),
    ],
)
def test_that_sizes_have_their_units(text: str, nbytes: int) -> None:
    assert device_memory(text) == DeviceMemory(name="A", total_bytes=nbytes)


def test_that_a_name_may_hold_a_comma() -> None:
    assert device_memory("Card, second,8GiB").name == "Card, second"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RTX 4090",
        "24GiB",
        ",24GiB",
        "A,",
        "A,24",
        "A,24 bananas",
        "A,-3GiB",
        "A,0GiB",
        "A,1e9B",
    ],
)
def test_that_anything_else_is_refused_in_one_sentence(
    text: str, file: str, capsys: Output
) -> None:
    with pytest.raises(Refused):
        device_memory(text)
    assert main(["forecast", file, "--on", text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"--on: {text!r} was given; allowed: ")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Outlook(forecast=None, absent="It asks."), 1, "There is no forecast. It asks."),
        (NotReady("it died"), 1, "There is no forecast: it died."),
        (
            InvalidSpec([Problem(("device",), "device: tpu was given.")]),
            2,
            "device: tpu was given.",
        ),
    ],
)
def test_that_no_forecast_is_a_sentence_and_a_status(
    answer: Outlook | Exception, status: int, words: str, file: str, asked: Asked, capsys: Output
) -> None:
    asked.answer = answer
    assert main(["forecast", file]) == status
    captured = capsys.readouterr()
    assert captured.err.strip() == words
    assert captured.out == ""


def test_that_a_setting_without_effect_is_told_after_the_forecast(
    file: str, capsys: Output
) -> None:
    """By the real process."""
    told = (
        "warning: mitigation.checkpointing.segments has no effect here: "
        'mitigation.checkpointing.kind is "none".'
    )
    assert main(["forecast", file]) == 0
    assert "warning" not in capsys.readouterr().out
    assert main(["forecast", file, "--set", "mitigation.checkpointing.segments=1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == told


@pytest.mark.parametrize("exact", [True, False])
def test_that_peak_baseline_and_their_sum_are_named_as_in_the_window(
    file: str, asked: Asked, capsys: Output, exact: bool
) -> None:
    told = Forecast(peak_bytes=3 * 2**20, exact=exact, seconds=0.25, baseline_bytes=2**20)
    asked.answer = Outlook(forecast=told)
    assert main(["forecast", file]) == 0
    rows = dict(re.findall(r"^(\S.*?)  +(\S.*?) *$", capsys.readouterr().out, re.MULTILINE))
    form = "{}, exact" if exact else "at least {}"
    assert rows["Peak above baseline"] == form.format("3.000 MiB")
    assert rows["Baseline"] == "1.000 MiB (parameters and data)"
    assert rows["Together"] == form.format("4.000 MiB")
    assert rows["Time a repetition"] == "about 250 ms"
