"""What the window says of a forecast, and which devices it can be compared with."""

from __future__ import annotations

import pytest

from core.results.forecast import DeviceMemory, Finding, Forecast, Outlook
from hogui.device_memories import KNOWN, memory_from_text, text_of_memory
from hogui.forecast_text import words_of

MIB, GIB = 2**20, 2**30
EXACT = Forecast(
    peak_bytes=180 * MIB,
    exact=True,
    seconds=1.1,
    baseline_bytes=28 * MIB,
    by_category={"data": 8 * MIB, "graph_1": 180 * MIB, "parameters": 20 * MIB, "other": 0},
    fits=True,
    available_bytes=23 * GIB,
    memory_name="cpu",
)


def _line(**changes: object) -> str:
    outlook = Outlook(forecast=EXACT.model_copy(update=changes))
    return words_of(outlook).line.replace("\N{NO-BREAK SPACE}", " ")


def test_that_the_line_says_what_a_device_must_hold_how_long_it_takes_and_whether_it_fits() -> None:
    assert _line() == "Forecast 208 MiB together, exact · 1.10 s · fits in 23.0 GiB"


def test_that_a_lower_bound_that_fits_promises_nothing() -> None:
    assert (
        _line(exact=False, fits=None) == "Forecast at least 208 MiB together · 1.10 s · of 23.0 GiB"
    )


def test_that_what_does_not_fit_is_said_before_the_time_and_as_a_warning() -> None:
    changes = {"peak_bytes": 31 * GIB, "baseline_bytes": 0, "fits": False}
    assert _line(**changes) == (
        "Forecast 31.0 GiB together, exact · does not fit: 31.0 GiB of 23.0 GiB · 1.10 s"
    )
    words = words_of(Outlook(forecast=EXACT.model_copy(update=changes)))
    assert words.is_warning
    assert not words_of(Outlook(forecast=EXACT)).is_warning


def test_that_absent_figures_are_left_out() -> None:
    assert (
        _line(seconds=None, available_bytes=None, fits=None) == "Forecast 208 MiB together, exact"
    )


@pytest.mark.parametrize(
    ("total", "text"), [(512, "0.0005 MiB"), (300 * 1024, "0.293 MiB"), (5 * MIB, "5.00 MiB")]
)
def test_that_small_forecasts_are_in_mib_too(total: int, text: str) -> None:
    assert text in _line(peak_bytes=total, baseline_bytes=0)


def test_that_the_tip_lists_what_is_held_in_the_order_of_stacking() -> None:
    words = words_of(Outlook(forecast=EXACT))
    figures = {name: figure.replace("\N{NO-BREAK SPACE}", " ") for name, figure in words.lines}
    assert figures["Peak above baseline"] == "180.0 MiB"
    assert figures["Baseline"] == "28.0 MiB"
    assert figures["Together"] == "208.0 MiB"
    names = [name for name, _ in words.lines]
    held = ["Parameters", "Data", "Graph of gradient 1"]
    assert [name for name in names if name in {*held, "Other"}] == held
    assert "Graph of gradient 1: 180.0" in words.plain
    assert words.html.count("<tr>") == len(words.lines)


def test_that_the_tip_gives_the_reasons_of_a_lower_bound_and_what_holds_for_the_whole() -> None:
    bound = EXACT.model_copy(update={"exact": False, "reasons": ("conv2d < 3 is not known.",)})
    findings = (
        Finding(severity="note", layer=None, sentence="It switches by itself."),
        Finding(severity="error", layer=0, sentence="This stands in the layer's row."),
    )
    words = words_of(Outlook(forecast=bound, findings=findings))
    assert "conv2d < 3 is not known." in words.plain
    assert "conv2d &lt; 3" in words.html
    assert "It switches by itself." in words.plain
    assert "This stands" not in words.plain


def test_that_an_absent_forecast_gives_its_reason() -> None:
    words = words_of(Outlook(forecast=None, absent="Its shapes depend on the data."))
    assert words.line == "No forecast: Its shapes depend on the data."
    assert not words.is_warning


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("RTX 4090, 24 GB", DeviceMemory(name="RTX 4090", total_bytes=24 * GIB)),
        ("RTX 4090 24GiB", DeviceMemory(name="RTX 4090", total_bytes=24 * GIB)),
        ("laptop, 0.5 TiB, CPU", DeviceMemory(name="laptop", total_bytes=512 * GIB, cuda=False)),
        ("small, 1.5 mib", DeviceMemory(name="small", total_bytes=3 * MIB // 2)),
        ("80 GB", DeviceMemory(name="a device", total_bytes=80 * GIB)),
    ],
)
def test_that_a_device_is_named_by_its_memory(text: str, memory: DeviceMemory) -> None:
    assert memory_from_text(text) == memory
    assert memory_from_text(text_of_memory(memory)) == memory


def test_that_no_text_is_no_other_device() -> None:
    assert memory_from_text("  ") is None


@pytest.mark.parametrize("text", ["RTX 4090", "24", "GPU, 0 GB", "GPU, -3 GB, ", "24 XB"])
def test_that_what_names_no_memory_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="names no device with its memory; write for example"):
        memory_from_text(text)


def test_that_the_known_devices_can_be_kept_as_text() -> None:
    assert [memory_from_text(text_of_memory(memory)) for memory in KNOWN] == list(KNOWN)
