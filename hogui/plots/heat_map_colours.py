"""The colours of signed figures."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QImage

from hogui.plots.columns import Floats
from hogui.theme import theme


def colours_of(values: Floats, largest: float) -> NDArray[np.uint8]:
    """Red, green and blue of each value, on a last axis: zero is neutral, ± `largest` the ends of
    the theme's diverging colours. What is not finite has a colour of its own."""
    tokens = theme().tokens
    stops = np.array([_rgb(colour) for colour in tokens.diverging], dtype=np.float64)
    shares = np.clip(values / (largest or 1.0), -1, 1)
    places = np.linspace(-1, 1, len(stops))
    mixed = [np.interp(shares, places, stops[:, channel]) for channel in range(3)]
    colours = np.stack(mixed, axis=-1)
    colours[~np.isfinite(values)] = _rgb(tokens.border_strong)
    return np.rint(colours).astype(np.uint8)


def image_of(values: Floats, largest: float) -> QImage:
    """A pixel for each cell of a matrix."""
    colours = np.ascontiguousarray(colours_of(values, largest))
    rows, columns, _ = colours.shape
    return QImage(colours.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()


def _rgb(colour: str) -> tuple[int, ...]:
    return QColor(colour).getRgb()[:3]
