"""The bar of shares: where its segments lie, and what they say."""

import itertools

import pytest
from PySide6.QtCore import QRectF

from hogui.tables.rows_model import Cell, Look, Row, RowsModel, Segment
from hogui.tables.share_bar import places, segment_at

AREA = QRectF(10, 0, 400, 30)


def _segments(*shares):
    return [Segment(f"part {number}", share, "") for number, share in enumerate(shares)]


def test_that_widths_are_in_proportion_and_fill_the_bar():
    boxes = [box for _, box in places(_segments(0.5, 0.25, 0.25), AREA)]
    widths = [box.width() for box in boxes]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
    assert boxes[0].left() == AREA.left()
    assert boxes[-1].right() == pytest.approx(AREA.right(), abs=0.01)


def test_that_segments_never_overlap_and_never_vanish():
    boxes = [box for _, box in places(_segments(0.9998, *[1e-6] * 200), AREA)]
    assert all(box.width() > 0 for box in boxes)
    assert all(one.right() <= other.left() for one, other in itertools.pairwise(boxes))
    assert boxes[-1].right() <= AREA.right() + 0.01


def test_that_the_segment_under_the_pointer_is_found():
    segments = _segments(0.5, 0.5)
    assert segment_at(segments, AREA, 100) is segments[0]
    assert segment_at(segments, AREA, 300) is segments[1]
    assert segment_at(segments, AREA, 5) is None


def test_that_a_bar_is_no_row_of_the_csv_text():
    bar = Row((Cell(""),), Look.BAR, tuple(_segments(0.4, 0.6)))
    model = RowsModel(["a", "b"], [bar, ["x", 3]])
    assert model.csv_text() == "a,b\nx,3\n"
