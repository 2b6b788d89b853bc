"""The result of a run as a table: what it shows, and what it never shows."""

import csv
import io
import math

import pytest
from PySide6.QtCore import QSortFilterProxyModel, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QAbstractItemModelTester

from core.results.forecast import Forecast
from core.results.measurement import Check, LayerCost, Measurement, Memory, Phase, Timing
from core.results.outcome import Outcome
from core.results.statistics import explain
from core.spec.model import StackModel
from core.spec.presets import preset
from core.spec.run import RunSpec
from hogui.tables.result_table import ResultTable
from hogui.tables.rows_model import SORT_ROLE, Look, RowsModel
from hogui.theme import Preference, category_colour, theme
from tests.fake_core import ENVIRONMENT, FakeCore

MIB = 2**20
FINISHED = Measurement(
    run_id="r",
    started_at="2026-01-01T00:00:00Z",
    spec=RunSpec(model=StackModel(input_shape=(4,))),
    environment=ENVIRONMENT,
    outcome=Outcome.FINISHED,
    memory=Memory(
        baseline_bytes=10 * MIB,
        peak_bytes=30 * MIB,
        by_category={"parameters": 10 * MIB, "graph_1": 25 * MIB, "other": 5 * MIB, "data": 0},
        process_peak_bytes=100 * MIB,
    ),
    time=Timing(
        median_s=0.002,
        interval_s=(0.0019, 0.0022),
        samples_s=(0.0019, 0.002, 0.0022),
        first_s=0.0104,
        verdict="noisy",
    ),
    phases=(
        Phase(
            name="forward",
            start_s=0.0,
            duration_s=0.0005,
            peak_bytes=20 * MIB,
            retained_bytes=-MIB,
            result_norm=2.5,
        ),
        Phase(
            name="gradient 1",
            start_s=None,
            duration_s=None,
            peak_bytes=None,
            retained_bytes=None,
            result_norm=None,
        ),
    ),
    layers=(
        LayerCost(index=0, kind="linear", output_shape=(3, 4), parameters=20, bytes_at_peak=MIB),
    ),
    warnings=("The norm of gradient 1 is NaN.",),
)


@pytest.fixture
def table(qtbot, qapp):
    theme().set_preference(Preference.LIGHT)
    theme().apply(qapp)
    table = ResultTable()
    qtbot.addWidget(table)
    table.resize(640, 700)
    yield table
    theme().set_preference(Preference.SYSTEM)


def rows_of(table):
    """Each row's texts, by its first."""
    model = table.model()
    texts = [
        [model.index(row, column).data() or "" for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]
    return {row[0]: [text for text in row[1:] if text] for row in texts}


def test_that_memory_is_in_mib_with_its_share_of_the_sum(table):
    table.set_result(FINISHED)
    rows = rows_of(table)
    assert rows["Peak above baseline"] == ["30.00", "75.0 %"]
    assert rows["Baseline"] == ["10.00", "25.0 %"]
    assert rows["Together"] == ["40.00", "100.0 %"]
    assert rows["Process, sampled"] == ["100.00"]
    assert rows["Graph of gradient 1"] == ["25.00", "62.5 %"]
    assert "Data" not in rows


def test_that_times_share_the_unit_of_their_heading(table):
    table.set_result(FINISHED)
    rows = rows_of(table)
    assert rows["Time a repetition"] == ["ms"]
    assert rows["Median"] == ["2.000"]
    assert rows["Interval"] == ["1.900 … 2.200"]
    assert rows["First call"] == ["10.400"]
    assert rows["Verdict"] == ["noisy"]
    assert rows["Repetitions"] == ["3"]


def test_that_readings_are_rows_with_six_digits_and_words_for_names(table):
    readings = {"trace_estimate": 40.123456789, "smallest": -1.5e-12, "largest": None}
    table.set_result(FINISHED.model_copy(update={"readings": readings}))
    rows = rows_of(table)
    assert rows["Readings"] == ["Value"]
    assert rows["Trace estimate"] == ["40.1235"]
    assert rows["Smallest"] == ["-1.5e-12"]
    assert rows["Largest"] == ["–"]


def test_that_a_result_without_readings_has_no_group_of_them(table):
    table.set_result(FINISHED)
    assert "Readings" not in rows_of(table)


def test_that_phases_and_layers_show_what_was_measured(table):
    table.set_result(FINISHED)
    rows = rows_of(table)
    assert rows["Phases"][0] == "µs"
    assert rows["forward"] == ["500.0", "20.00", "−1.00", "2.5"]
    assert rows["1  Linear"] == ["1.000", "20", "3×4"]


def test_that_an_absent_figure_is_a_dash_that_carries_the_warning(table):
    table.set_result(FINISHED)
    assert rows_of(table)["gradient 1"] == ["–"] * 4
    model = table.model()
    row = next(r for r in range(model.rowCount()) if model.index(r, 0).data() == "gradient 1")
    for column in range(1, 5):
        tip = model.index(row, column).data(Qt.ItemDataRole.ToolTipRole)
        assert tip == "The norm of gradient 1 is NaN."


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_that_an_undefined_time_is_a_dash_and_never_a_zero(table, value):
    time = FINISHED.time.model_copy(update={"median_s": value, "first_s": value})
    table.set_result(FINISHED.model_copy(update={"time": time}))
    rows = rows_of(table)
    assert rows["Median"] == ["–"]
    assert rows["First call"] == ["–"]


def test_that_a_crashed_run_shows_its_sentence_and_dashes(table):
    table.set_result(
        FINISHED.model_copy(
            update={
                "outcome": Outcome.CRASHED,
                "error": "Signal 11.",
                "memory": None,
                "time": None,
                "phases": (),
                "layers": (),
            }
        )
    )
    rows = rows_of(table)
    assert next(iter(rows)) == f"{Outcome.CRASHED.sentence} Signal 11."
    assert rows["Peak above baseline"] == rows["Median"] == ["–"]
    assert "Phases" not in rows


def test_that_outcome_and_warnings_stand_first_and_span_the_table(table):
    table.set_result(FINISHED)
    model = table.model()
    assert model.index(0, 0).data() == "The run finished."
    assert model.index(1, 0).data() == "The norm of gradient 1 is NaN."
    for row in (0, 1):
        assert table.columnSpan(row, 0) == model.columnCount()
        assert not model.index(row, 0).data(Qt.ItemDataRole.DecorationRole).isNull()


def test_that_a_long_warning_gets_the_lines_that_it_needs(table):
    table.set_result(FINISHED)
    short = table.rowHeight(1)
    table.set_result(FINISHED.model_copy(update={"warnings": ("Many words. " * 40,)}))
    assert table.rowHeight(1) > 3 * short
    table.resize(2000, 700)
    table.show()
    assert table.rowHeight(1) < 3 * short


def test_that_a_category_has_the_colour_that_it_has_in_the_plots(table):
    table.set_result(FINISHED)
    model = table.model()
    label = next(
        model.index(row, 0)
        for row in range(model.rowCount())
        if model.index(row, 0).data() == "Graph of gradient 1"
    )
    assert label.data(Qt.ItemDataRole.DecorationRole) == category_colour("graph_1")


def test_that_the_copied_text_is_csv_with_plain_numbers(table):
    table.set_result(FINISHED)
    table.copy()
    rows = list(csv.reader(io.StringIO(QGuiApplication.clipboard().text())))
    assert ["Held at the peak", "MiB", "Share"] in rows
    assert ["Graph of gradient 1", "25.0", "0.625"] in rows
    assert ["gradient 1", "", "", "", ""] in rows


def test_that_selected_rows_alone_are_copied(table, qtbot):
    table.set_result(FINISHED)
    with qtbot.waitActive(table):
        table.show()
    table.setFocus()
    table.selectRow(0)
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "The run finished.\n"


def test_that_another_result_replaces_all_of_the_former(table):
    tester = QAbstractItemModelTester(
        table.model(), QAbstractItemModelTester.FailureReportingMode.Warning, table
    )
    table.set_result(FINISHED)
    table.set_result(FINISHED.model_copy(update={"warnings": ()}))
    assert table.columnSpan(1, 0) == 1
    assert tester.model().index(1, 0).data() == "Memory"
    table.set_result(None)
    assert tester.model().rowCount() == 0


def test_that_rows_of_plain_values_are_sorted_as_numbers_with_absent_ones_lowest(qapp):
    model = RowsModel(["Name", "Size"], [["a", 10], ["b", 9.5], ["c", None], ["d", math.nan]])
    proxy = QSortFilterProxyModel()
    proxy.setSourceModel(model)
    proxy.setSortRole(SORT_ROLE)
    proxy.sort(1, Qt.SortOrder.DescendingOrder)
    shown = [(proxy.index(row, 0).data(), proxy.index(row, 1).data()) for row in range(4)]
    assert shown[:2] == [("a", "10"), ("b", "9.5")]
    assert sorted(shown[2:]) == [("c", "–"), ("d", "–")]


def test_that_numbers_and_their_header_are_right_aligned(qapp):
    model = RowsModel(["Name", "Size"], [["a", 10], ["b", None]])
    right = Qt.AlignmentFlag.AlignRight
    role = Qt.ItemDataRole.TextAlignmentRole
    assert [bool(model.index(0, column).data(role) & right) for column in (0, 1)] == [False, True]
    assert model.index(1, 1).data(role) & right
    assert model.headerData(1, Qt.Orientation.Horizontal, role) & right
    assert not model.headerData(0, Qt.Orientation.Horizontal, role) & right


def test_that_a_table_with_headers_is_copied_with_them(qapp):
    model = RowsModel(["Name", "Size"], [["a", 10], ["b", None]])
    assert model.csv_text() == "Name,Size\na,10\nb,\n"
    assert model.csv_text([1]) == "Name,Size\nb,\n"
    assert model.row(0).look is Look.FIGURES


def test_that_names_give_way_before_figures_need_a_scroll_bar(qtbot) -> None:
    table = ResultTable()
    qtbot.addWidget(table)
    *_, last = FakeCore().run(preset("lecture-maml").spec)
    table.set_result(last.result)
    table.resize(900, 300)
    table.show()
    figures = range(table.model().columnCount() - 1)
    natural = sum(table.columnWidth(column) for column in figures)
    table.resize(table.width() - table.viewport().width() + natural - 20, 300)
    qtbot.waitUntil(lambda: table.viewport().width() < natural)
    assert table.horizontalScrollBar().maximum() == 0
    assert table.columnWidth(0) < natural / 2


FORECAST = Forecast(peak_bytes=30 * MIB, exact=True, seconds=0.002)
CHECK = Check(
    method="Central differences on a copy.",
    relative_error=2e-9,
    passed=True,
    tolerance=1e-7,
)


def _sentences(table):
    model = table.model()
    rows = [model.row(row) for row in range(model.rowCount())]
    return {row.cells[0].text: row.cells[0].token for row in rows if row.look is Look.SENTENCE}


@pytest.mark.parametrize(
    ("peak", "exact", "label", "off"),
    [
        (30 * MIB, True, "Forecast of the peak", "0 B off"),
        (31 * MIB, True, "Forecast of the peak", "+1.00 MiB off"),
        (30 * MIB - 512, False, "Forecast, at least", "−512 B off"),
    ],
)
def test_that_the_forecast_stands_below_the_measured_peak(table, peak, exact, label, off):
    forecast = FORECAST.model_copy(update={"peak_bytes": peak, "exact": exact})
    table.set_result(FINISHED.model_copy(update={"forecast": forecast}))
    cells = rows_of(table)[label]
    assert cells[0] == f"{peak / MIB:.2f}"
    assert cells[1].replace("\N{NO-BREAK SPACE}", " ") == off
    model = table.model()
    row = next(row for row in range(model.rowCount()) if model.index(row, 0).data() == label)
    tip = model.index(row, 1 + 1).data(Qt.ItemDataRole.ToolTipRole)
    assert tip.startswith(f"forecast {peak / MIB:.2f} MiB, measured 30.00 MiB, ")


def test_that_a_check_that_passed_shows_its_error_what_is_allowed_and_its_method(table):
    table.set_result(FINISHED.model_copy(update={"check": CHECK}))
    assert rows_of(table)["Passed"] == ["2.0e-09", "1.0e-07"]
    sentences = _sentences(table)
    assert sentences["Central differences on a copy."] == "text_secondary"
    assert "error" not in sentences.values()


def test_that_a_failed_check_is_red_at_the_top_and_lists_what_disagrees(table):
    check = CHECK.model_copy(
        update={"passed": False, "relative_error": 0.5, "failures": ("gradient 2 is off.",)}
    )
    table.set_result(FINISHED.model_copy(update={"check": check}))
    sentence = table.model().row(1).cells[0]
    assert (sentence.text, sentence.token) == (
        "The check failed: its relative error is 5.0e-01, of 1.0e-07 allowed.",
        "error",
    )
    assert rows_of(table)["Failed"] == ["5.0e-01", "1.0e-07"]
    assert _sentences(table)["gradient 2 is off."] == "error"


def test_that_an_error_that_could_not_be_computed_is_a_dash_with_its_reason(table):
    check = CHECK.model_copy(
        update={"passed": False, "relative_error": None, "failures": ("It is NaN.",)}
    )
    table.set_result(FINISHED.model_copy(update={"check": check}))
    assert rows_of(table)["Failed"][0] == "–"
    assert "The check failed; its error could not be computed." in _sentences(table)


def test_that_the_verdict_on_time_is_explained(table):
    table.set_result(FINISHED)
    assert _sentences(table)[explain(FINISHED.time)] == "warning"
    stable = FINISHED.time.model_copy(update={"verdict": "stable"})
    table.set_result(FINISHED.model_copy(update={"time": stable}))
    assert _sentences(table)[explain(stable)] == "text_secondary"


def _bars(table):
    model = table.model()
    rows = [model.row(row) for row in range(model.rowCount())]
    return [row.segments for row in rows if row.look is Look.BAR]


def test_that_bars_show_where_the_peak_went_by_category_and_by_layer(table):
    table.set_result(FINISHED)
    categories, layers = _bars(table)
    assert [(each.name, each.share, each.figure) for each in categories] == [
        ("Parameters", 0.25, "25.0 %"),
        ("Graph of gradient 1", 0.625, "62.5 %"),
        ("Other", 0.125, "12.5 %"),
    ]
    assert [each.swatch for each in categories] == [
        category_colour(name).name() for name in ("parameters", "graph_1", "other")
    ]
    assert [(each.name, each.share) for each in layers] == [
        ("1  Linear", 1 / 40),
        ("no layer", 39 / 40),
    ]
    assert sum(each.share for each in layers) == pytest.approx(1)


def test_that_a_bar_is_painted_in_the_colours_of_its_categories(table, qtbot):
    table.set_result(FINISHED)
    table.show()
    qtbot.waitExposed(table)
    model = table.model()
    row = next(row for row in range(model.rowCount()) if model.row(row).look is Look.BAR)
    place = table.visualRect(model.index(row, 0))
    image = table.viewport().grab(place).toImage()
    colours = [image.pixelColor(x, 8).name() for x in range(image.width())]
    for name, share in (("parameters", 0.25), ("graph_1", 0.625), ("other", 0.125)):
        found = colours.count(category_colour(name).name()) / len(colours)
        assert found == pytest.approx(share, abs=0.03), name


def test_that_a_bar_reads_its_shares_aloud(table):
    table.set_result(FINISHED)
    model = table.model()
    row = next(row for row in range(model.rowCount()) if model.row(row).look is Look.BAR)
    said = model.index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert said == "Parameters 25.0 %, Graph of gradient 1 62.5 %, Other 12.5 %"
