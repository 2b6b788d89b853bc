"""Labels on a plot stay in its area and stay readable."""

import pytest
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QFontMetricsF, QImage, QPainter

from hogui.plots.painting import chip, fitting_text

TEXTS = ("peak 3.94 MiB at 1.234 ms", "peak 3.94 MiB", "3.94 MiB")


@pytest.fixture
def painter(qapp):
    image = QImage(400, 100, QImage.Format.Format_ARGB32)
    painter = QPainter(image)
    yield painter
    painter.end()


@pytest.fixture
def metrics(painter) -> QFontMetricsF:
    return QFontMetricsF(painter.font())


@pytest.mark.parametrize("width", [400, 120, 60, 30])
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_that_a_label_lies_within_its_area_however_narrow(painter, width, share):
    area = QRectF(0, 0, width, 100)
    box = chip(painter, area, QPointF(share * width, 50), *TEXTS, bold=True)
    assert area.contains(box)


def test_that_the_longest_text_that_fits_is_said(metrics):
    for text in TEXTS:
        assert fitting_text(metrics, metrics.horizontalAdvance(text), *TEXTS) == text


def test_that_a_text_that_never_fits_is_cut_at_its_end(metrics):
    width = metrics.horizontalAdvance("3.94…")
    said = fitting_text(metrics, width, *TEXTS)
    assert said.startswith("3.9")
    assert said.endswith("…")
    assert metrics.horizontalAdvance(said) <= width
