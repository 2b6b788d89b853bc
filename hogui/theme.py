"""The look of the window: tokens for both themes, and the object that applies them.

Colours, sizes and fonts are named here once. Widgets receive them through the palette and one
style sheet (`hogui.style_sheet`); plots and icons read `theme().tokens` and listen to
`theme().changed`. Imports nothing but Qt, because it runs before the first frame is shown.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

from core.results.palette import CATEGORY_COLOURS
from hogui.style_sheet import style_sheet

GRID = 4
"""Distances are multiples of this many pixels: 2 steps between related things, 4 between groups."""


def category_colour(name: str) -> QColor:
    """The colour of a memory category; an unknown one looks like `other`."""
    return QColor(CATEGORY_COLOURS.get(name, CATEGORY_COLOURS["other"]))


@dataclass(frozen=True)
class RunMark:
    """How one of several runs is told apart: never by colour alone."""

    colour: str
    dash: Qt.PenStyle
    marker: str
    """pyqtgraph's symbol name."""


@dataclass(frozen=True)
class Tokens:
    """Every colour of one theme, as `#RRGGBB`."""

    name: str
    dark: bool
    window: str
    surface: str
    raised: str
    hover: str
    border: str
    border_strong: str
    text: str
    text_secondary: str
    text_disabled: str
    accent: str
    accent_hover: str
    accent_pressed: str
    on_accent: str
    selection: str
    error: str
    error_surface: str
    warning: str
    warning_surface: str
    success: str
    grid_line: str
    diverging: tuple[str, ...]
    """Colours of signed figures at equal steps: lowest, zero in the middle, highest."""
    runs: tuple[RunMark, ...]


def _run_marks(*colours: str) -> tuple[RunMark, ...]:
    dashes = (
        Qt.PenStyle.SolidLine,
        Qt.PenStyle.DashLine,
        Qt.PenStyle.DotLine,
        Qt.PenStyle.DashDotLine,
        Qt.PenStyle.DashDotDotLine,
        Qt.PenStyle.DashLine,
    )
    return tuple(map(RunMark, colours, dashes, ("o", "s", "t", "d", "x", "p")))


LIGHT = Tokens(
    name="light",
    dark=False,
    window="#FAFAFB",
    surface="#FFFFFF",
    raised="#F0F1F4",
    hover="#E6E8ED",
    border="#DDE0E6",
    border_strong="#B6BCC8",
    text="#1B1E25",
    text_secondary="#5A6170",
    text_disabled="#A0A6B2",
    accent="#2F6FED",
    accent_hover="#2561D8",
    accent_pressed="#1E52BB",
    on_accent="#FFFFFF",
    selection="#D9E5FC",
    error="#C02B2B",
    error_surface="#FCEBEB",
    warning="#8A5A00",
    warning_surface="#FDF3DC",
    success="#0B7A5B",
    grid_line="#E9EBEF",
    diverging=("#00436B", "#4F9FCC", "#FFFFFF", "#E58C52", "#7D3100"),
    runs=_run_marks("#0072B2", "#D55E00", "#009E73", "#A8528A", "#9A7400", "#3A3F4A"),
)

DARK = Tokens(
    name="dark",
    dark=True,
    window="#16181D",
    surface="#1E2128",
    raised="#272B34",
    hover="#323743",
    border="#343945",
    border_strong="#4F5666",
    text="#E8EAEF",
    text_secondary="#A3AAB8",
    text_disabled="#646B7A",
    accent="#6EA0FF",
    accent_hover="#86B0FF",
    accent_pressed="#5A8DEE",
    on_accent="#0F1522",
    selection="#2C3F66",
    error="#FF8078",
    error_surface="#3B2326",
    warning="#F0B94A",
    warning_surface="#39301D",
    success="#4CC9A0",
    grid_line="#2A2E38",
    diverging=("#A6DCFF", "#2C7DB0", "#1E2128", "#B5581C", "#FFC594"),
    runs=_run_marks("#56B4E9", "#F08A3C", "#2FC79A", "#DE94BE", "#F0E442", "#C9CED8"),
)


class Preference(StrEnum):
    """Which theme the user asked for."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class Size(StrEnum):
    """The three sizes of text, relative to the system's own font."""

    SMALL = "small"
    BODY = "body"
    TITLE = "title"


_SCALE = {Size.SMALL: 0.88, Size.BODY: 1.0, Size.TITLE: 1.2}
_SCHEMES = {
    Preference.SYSTEM: Qt.ColorScheme.Unknown,
    Preference.LIGHT: Qt.ColorScheme.Light,
    Preference.DARK: Qt.ColorScheme.Dark,
}


class Theme(QObject):
    """Applies one of the two token sets to the application and says when they change.

    Signals:
        changed: the tokens are others now; whoever paints by hand repaints.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._preference = Preference.SYSTEM
        self._tokens = LIGHT
        self._system = Qt.ColorScheme.Unknown
        self._app: QApplication | None = None

    @property
    def tokens(self) -> Tokens:
        return self._tokens

    @property
    def preference(self) -> Preference:
        return self._preference

    def apply(self, app: QApplication) -> None:
        """Gives the application its style, palette and style sheet, and follows the system from
        now on."""
        if self._app is not app:
            self._app = app
            app.setStyle(QStyleFactory.create("Fusion"))
            self._system = app.styleHints().colorScheme()
            app.styleHints().colorSchemeChanged.connect(self._follow_system)
        self._tokens = self._wanted_tokens()
        self._dress(app)

    def set_preference(self, preference: Preference) -> None:
        """Forces a theme, or follows the system again."""
        self._preference = Preference(preference)
        if self._app is not None:
            # Native frames and file dialogs follow this; the tokens below do not depend on it.
            self._app.styleHints().setColorScheme(_SCHEMES[self._preference])
        self._update()

    def font(self, size: Size = Size.BODY, *, bold: bool = False, tabular: bool = False) -> QFont:
        """The system's font in one of the three sizes; `tabular` gives every digit the same
        width."""
        font = QFont(QApplication.font())
        if size is not Size.BODY:
            font.setPointSizeF(font.pointSizeF() * _SCALE[size])
        font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        if tabular:
            font.setFeature(QFont.Tag("tnum"), 1)
        return font

    def _follow_system(self, scheme: Qt.ColorScheme) -> None:
        self._system = scheme
        self._update()

    def _update(self) -> None:
        tokens = self._wanted_tokens()
        if tokens is self._tokens:
            return
        self._tokens = tokens
        if self._app is not None:
            self._dress(self._app)
        self.changed.emit()

    def _wanted_tokens(self) -> Tokens:
        if self._preference is Preference.SYSTEM:
            return DARK if self._system is Qt.ColorScheme.Dark else LIGHT
        return DARK if self._preference is Preference.DARK else LIGHT

    def _dress(self, app: QApplication) -> None:
        app.setPalette(palette(self._tokens))
        point_size = app.font().pointSizeF()
        sizes = {f"{size}_pt": f"{point_size * scale:.1f}pt" for size, scale in _SCALE.items()}
        tokens = {field.name: getattr(self._tokens, field.name) for field in fields(Tokens)}
        app.setStyleSheet(style_sheet(tokens | sizes))


@cache
def theme() -> Theme:
    """The one theme of this process."""
    return Theme()


def palette(tokens: Tokens) -> QPalette:
    """The tokens as Qt's palette, for everything that the style sheet does not reach."""
    roles = QPalette.ColorRole
    result = QPalette()
    for role, colour in {
        roles.Window: tokens.window,
        roles.WindowText: tokens.text,
        roles.Base: tokens.surface,
        roles.AlternateBase: tokens.window,
        roles.Text: tokens.text,
        roles.PlaceholderText: tokens.text_secondary,
        roles.Button: tokens.raised,
        roles.ButtonText: tokens.text,
        roles.BrightText: tokens.error,
        roles.ToolTipBase: tokens.raised,
        roles.ToolTipText: tokens.text,
        roles.Highlight: tokens.selection,
        roles.HighlightedText: tokens.text,
        roles.Accent: tokens.accent,
        roles.Link: tokens.accent,
        roles.LinkVisited: tokens.accent,
        roles.Light: tokens.surface,
        roles.Midlight: tokens.raised,
        roles.Mid: tokens.border,
        roles.Dark: tokens.border_strong,
        roles.Shadow: tokens.border_strong,
    }.items():
        result.setColor(role, QColor(colour))
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.HighlightedText):
        result.setColor(QPalette.ColorGroup.Disabled, role, QColor(tokens.text_disabled))
    return result
