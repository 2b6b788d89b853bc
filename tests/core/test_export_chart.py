"""The picture of a run shows the figures of the run."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.export.chart import chart_svg, columns_at_peaks, nice_step
from core.results.events import Finished
from core.results.measurement import Measurement
from core.results.memory_timeline import MemoryTimeline
from core.results.outcome import Outcome
from core.results.palette import CATEGORY_COLOURS
from core.spec.presets import preset
from tests.fake_core import FakeCore

SVG = "{http://www.w3.org/2000/svg}"


def a_run(outcome: Outcome = Outcome.FINISHED) -> tuple[Measurement, MemoryTimeline]:
    *_, event = FakeCore(outcome=outcome).run(preset("lecture-second-order").spec)
    assert isinstance(event, Finished)
    return event.result, event.timeline


def words(svg: str) -> str:
    return " | ".join(text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_that_the_picture_tells_peak_median_phases_and_categories() -> None:
    result, timeline = a_run()
    assert result.memory is not None
    assert result.time is not None
    text = words(chart_svg(result, timeline))
    assert f"highest {result.memory.total_bytes / 2**20:.4g} MiB" in text
    assert f"median {result.time.median_s * 1e3:.4g} ms" in text
    for name in ("forward", "gradient 1", "gradient 2", "activations", "graph 1"):
        assert name in text


def top_by_the_labels(svg: str) -> float:
    """Bytes at the top of the stack, read back from the picture by the grid's own labels."""
    root = ElementTree.fromstring(svg)
    memory_labels = [
        (float(text.get("y", "")) - 4, float(text.text or ""))
        for text in root.iter(f"{SVG}text")
        if text.get("text-anchor") == "end" and re.fullmatch(r"[\d.]+", text.text or "")
        if float(text.get("y", "")) < 400
    ]
    (zero_y, zero), (one_y, one) = memory_labels[0], memory_labels[-1]
    bands = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("fill")]
    top_y = min(float(y) for band in bands for y in re.findall(r"V([\d.]+)", band))
    return (zero + (zero_y - top_y) / (zero_y - one_y) * (one - zero)) * 2**20


def with_baseline(result: Measurement, baseline_bytes: int) -> Measurement:
    assert result.memory is not None
    memory = result.memory.model_copy(update={"baseline_bytes": baseline_bytes})
    return result.model_copy(update={"memory": memory})


def test_that_the_highest_band_reaches_as_high_as_the_axis_says() -> None:
    result, timeline = a_run()
    highest = max(timeline.totals())
    svg = chart_svg(with_baseline(result, highest // 2), timeline)
    assert "above the baseline" not in words(svg)
    assert top_by_the_labels(svg) == pytest.approx(highest, rel=1e-3)


def test_that_the_axis_starts_at_a_baseline_that_would_hide_what_is_added() -> None:
    result, timeline = a_run()
    baseline, growth = 1000 * 2**20, 10 * 2**20
    columns = {"data": (baseline,) * 3, "graph_1": (0, growth, 0)}
    flat = timeline.model_copy(update={"t_s": (0.0, 0.5, 1.0), "columns": columns})
    svg = chart_svg(with_baseline(result, baseline), flat)
    assert "MiB above the baseline of 1000 MiB" in words(svg)
    assert "highest 1010 MiB" in words(svg)
    assert top_by_the_labels(svg) == pytest.approx(growth, rel=1e-3)
    paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
    data = next(path for path in paths if path.get("fill") == CATEGORY_COLOURS["data"])
    assert set(re.findall(r"V([\d.]+)", data.get("d", ""))) == {"372"}


def test_that_every_repetition_is_a_dot() -> None:
    result, timeline = a_run()
    root = ElementTree.fromstring(chart_svg(result, timeline))
    dots = [dot for dot in root.iter(f"{SVG}circle") if dot.get("r") == "2"]
    assert result.time is not None
    assert len(dots) == len(result.time.samples_s)


def test_that_crowded_repetitions_keep_the_slowest_and_the_fastest() -> None:
    *_, event = FakeCore(repetitions=5000).run(preset("lecture-second-order").spec)
    assert isinstance(event, Finished)
    result, timeline = event.result, event.timeline
    assert result.time is not None
    samples = list(result.time.samples_s)
    samples[1234] = 2 * max(samples)
    slow = result.model_copy(
        update={"time": result.time.model_copy(update={"samples_s": tuple(samples)})}
    )
    root = ElementTree.fromstring(chart_svg(slow, timeline))
    dots = [dot for dot in root.iter(f"{SVG}circle") if dot.get("r") == "2"]
    heights = [float(dot.get("cy", "")) for dot in dots]
    assert len(dots) < 2000
    assert 552 - min(heights) == pytest.approx((552 - 452) / 1.1, abs=0.1)
    assert heights.count(min(heights)) == 1


def test_that_a_run_without_figures_says_so() -> None:
    text = words(chart_svg(*a_run(Outcome.FAILED)))
    assert "The run has no memory curve." in text
    assert "The run has no timed repetitions." in text


def test_that_a_name_with_markup_stays_a_name() -> None:
    result, timeline = a_run()
    spec = result.spec.model_copy(update={"name": "<b>&"})
    assert "<b>&" in words(chart_svg(result.model_copy(update={"spec": spec}), timeline))


@given(st.lists(st.integers(0, 100), min_size=1, max_size=200), st.integers(1, 50))
def test_that_no_peak_is_lost_between_columns(totals: list[int], count: int) -> None:
    times = [float(index) for index in range(len(totals))]
    picked = columns_at_peaks(times, totals, times[0], max(times[-1], 1.0), count)
    assert len(picked) == count
    assert max(totals[point] for point in picked if point is not None) == max(totals)


def test_that_an_empty_column_shows_what_held_before() -> None:
    assert columns_at_peaks([0.0, 0.9], [5, 7], 0.0, 1.0, 4) == [0, 0, 0, 1]


@given(st.floats(1e-9, 1e12), st.integers(2, 10))
def test_that_a_step_is_round_and_makes_few_enough_lines(largest: float, at_most: int) -> None:
    step = nice_step(largest, at_most)
    assert largest / step <= at_most * (1 + 1e-6)
    assert f"{step:.0e}"[0] in "125"
