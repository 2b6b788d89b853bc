"""The window's icons: one family of stroke drawings, coloured by the theme's tokens.

The files in `resources/icons` draw with `currentColor`; here that word becomes a token's colour.
`set_icon` keeps a button or action in step with the theme; `icon` makes one for the theme of now.
"""

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt
from PySide6.QtGui import QAction, QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton

import resources
from hogui.theme import theme

SIDE = 20
"""The icons' natural size in pixels."""

_PLACEHOLDER = "currentColor"


def icon(name: str, token: str = "text") -> QIcon:
    """An icon by its file's name, in the colours of the present theme.

    Args:
        name: a file of `resources/icons`, without its ending.
        token: the colour's name in `hogui.theme.Tokens`; `on_accent` for the primary button.

    Raises:
        FileNotFoundError: no icon has this name.
    """
    tokens = theme().tokens
    result = QIcon()
    for mode, colour in (
        (QIcon.Mode.Normal, getattr(tokens, token)),
        (QIcon.Mode.Disabled, tokens.text_disabled),
    ):
        result.addPixmap(pixmap(name, colour), mode)
    return result


def pixmap(name: str, colour: str, side: int = SIDE) -> QPixmap:
    """An icon's drawing in one colour (`#RRGGBB`), sharp on the screen with the finest pixels."""
    drawing = resources.path(f"icons/{name}.svg").read_text(encoding="utf-8")
    return _render(drawing.replace(_PLACEHOLDER, colour), side)


def app_icon() -> QIcon:
    """The program's own icon, from a title bar's to a launcher's size."""
    drawing = resources.path("icons/hogui.svg").read_text(encoding="utf-8")
    result = QIcon()
    for side in (16, 32, 64, 256):
        result.addPixmap(_render(drawing, side))
    return result


def set_icon(target: QAction | QAbstractButton, name: str, token: str = "text") -> None:
    """Gives a button or action an icon that follows the theme for as long as the target lives."""
    for previous in target.findChildren(
        _Follower, options=Qt.FindChildOption.FindDirectChildrenOnly
    ):
        previous.setParent(None)
        previous.deleteLater()
    if isinstance(target, QAbstractButton):
        target.setIconSize(QSize(SIDE, SIDE))
    _Follower(target, name, token)


class _Follower(QObject):
    """Lives in its target, and so ends with it."""

    def __init__(self, target: QAction | QAbstractButton, name: str, token: str) -> None:
        super().__init__(target)
        self._target, self._name, self._token = target, name, token
        theme().changed.connect(self._recolour)
        self._recolour()

    def _recolour(self) -> None:
        self._target.setIcon(icon(self._name, self._token))


def _render(drawing: str, side: int) -> QPixmap:
    application = QGuiApplication.instance()
    assert isinstance(application, QGuiApplication), "icons need a QApplication"
    ratio = application.devicePixelRatio()
    result = QPixmap(QSize(side, side) * ratio)
    result.setDevicePixelRatio(ratio)
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    QSvgRenderer(QByteArray(drawing.encode())).render(painter, QRectF(0, 0, side, side))
    painter.end()
    return result
