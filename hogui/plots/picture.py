"""Pictures of plots, for files and the clipboard."""

from pathlib import Path

from PySide6.QtCore import QPoint, QSize
from PySide6.QtGui import QColor, QGuiApplication, QImage
from PySide6.QtWidgets import QWidget

from hogui.theme import GRID, theme

_RATIO, _MARGIN = 2, 2 * GRID


def picture_of(widget: QWidget) -> QImage:
    """A widget with two pixels per pixel of the screen and a margin."""
    size = widget.size() + QSize(_MARGIN, _MARGIN) * 2
    image = QImage(size * _RATIO, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(_RATIO)
    image.fill(QColor(theme().tokens.window))
    widget.render(image, QPoint(_MARGIN, _MARGIN))
    return image


def save_picture(image: QImage, path: str | Path) -> None:
    """Writes a picture as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    if not image.save(str(path), "PNG"):
        raise OSError(f"The picture could not be written to {path}.")


def copy_picture(image: QImage) -> None:
    """Puts a picture on the clipboard."""
    QGuiApplication.clipboard().setImage(image)
