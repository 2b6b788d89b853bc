"""The tokens keep their promises to the eye, and reach widgets and icons."""

import subprocess
import sys
from itertools import combinations

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QPushButton

import resources
from core.results.categories import CATEGORIES
from core.results.palette import CATEGORY_COLOURS
from hogui.icons import app_icon, icon, set_icon
from hogui.theme import (
    DARK,
    LIGHT,
    Preference,
    Size,
    category_colour,
    palette,
    theme,
)

BOTH = pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
OKABE_ITO = {"#0072B2", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#F0E442"}


@pytest.fixture
def dressed(qapp):
    theme().set_preference(Preference.LIGHT)
    theme().apply(qapp)
    yield theme()
    theme().set_preference(Preference.SYSTEM)


def linear(colour: str) -> tuple[float, ...]:
    """Red, green and blue as amounts of light (IEC 61966-2-1)."""
    channels = QColor(colour).getRgbF()[:3]
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)


def contrast(one: str, other: str) -> float:
    """Ratio of luminances as the Web Content Accessibility Guidelines 2.2 define it."""
    light = [
        sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True))
        for c in (one, other)
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)


def lab(rgb: tuple[float, ...]) -> tuple[float, float, float]:
    """CIE 1976 L*a*b* of linear sRGB under D65."""
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(a * b for a, b in zip(row, rgb, strict=True)) for row in rows]
    x, y, z = (
        t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
        for t in (xyz[0] / 0.95047, xyz[1], xyz[2] / 1.08883)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


# Machado, Oliveira and Fernandes 2009, severity 1, on linear sRGB.
VISION = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
}


def seen(colour: str, vision: str) -> tuple[float, float, float]:
    light = linear(colour)
    return lab(
        tuple(
            min(max(sum(a * b for a, b in zip(row, light, strict=True)), 0), 1)
            for row in VISION[vision]
        )
    )


@BOTH
def test_that_text_has_seven_to_one_and_secondary_text_four_and_a_half_to_one(tokens):
    for surface in (tokens.window, tokens.surface, tokens.raised):
        assert contrast(tokens.text, surface) >= 7
        assert contrast(tokens.text_secondary, surface) >= 4.5
    assert contrast(tokens.text, tokens.selection) >= 7
    assert contrast(tokens.on_accent, tokens.accent) >= 4.5


@BOTH
def test_that_errors_and_warnings_are_readable_where_they_appear(tokens):
    for colour, surface in (
        (tokens.error, tokens.error_surface),
        (tokens.warning, tokens.warning_surface),
    ):
        for behind in (tokens.window, tokens.surface, surface):
            assert contrast(colour, behind) >= 4.5


def test_that_every_category_of_memory_has_a_colour_of_its_own():
    assert tuple(CATEGORY_COLOURS) == CATEGORIES
    assert len(set(CATEGORY_COLOURS.values())) == len(CATEGORIES)
    assert set(CATEGORY_COLOURS.values()) >= OKABE_ITO


@pytest.mark.parametrize("vision", VISION)
def test_that_no_two_categories_look_the_same_to_colour_blind_users(vision):
    for one, other in combinations(CATEGORY_COLOURS, 2):
        distance = (
            sum(
                (a - b) ** 2
                for a, b in zip(
                    seen(CATEGORY_COLOURS[one], vision),
                    seen(CATEGORY_COLOURS[other], vision),
                    strict=True,
                )
            )
            ** 0.5
        )
        assert distance >= 10, f"{one} and {other} are {distance:.1f} apart"


def test_that_the_graphs_darken_with_the_order():
    lightness = [seen(CATEGORY_COLOURS[f"graph_{order}"], "usual")[0] for order in range(1, 7)]
    assert lightness == sorted(lightness, reverse=True)


def test_that_an_unknown_category_looks_like_other():
    assert category_colour("from_the_future") == category_colour("other")


@BOTH
def test_that_runs_differ_by_more_than_colour(tokens):
    assert len({(mark.dash, mark.marker) for mark in tokens.runs}) == len(tokens.runs)
    assert all(contrast(mark.colour, tokens.surface) >= 3 for mark in tokens.runs)


@BOTH
@pytest.mark.parametrize("vision", VISION)
def test_that_signed_figures_stand_out_from_zero_by_their_size_and_tell_their_sign(tokens, vision):
    lightness = [seen(colour, vision)[0] for colour in tokens.diverging]
    middle = len(lightness) // 2
    away = [abs(each - lightness[middle]) for each in lightness]
    assert away[: middle + 1] == sorted(away[: middle + 1], reverse=True)
    assert away[middle:] == sorted(away[middle:])
    signs = zip(tokens.diverging[:middle], tokens.diverging[:middle:-1], strict=True)
    for negative, positive in signs:
        one, other = seen(negative, vision), seen(positive, vision)
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 >= 40
        assert abs(one[0] - other[0]) <= 10, "neither sign may look larger"


def test_that_a_forced_theme_reaches_palette_and_style_sheet_and_is_announced(dressed, qapp, qtbot):
    with qtbot.waitSignal(dressed.changed):
        dressed.set_preference(Preference.DARK)
    assert qapp.palette().window().color() == QColor(DARK.window)
    assert DARK.accent in qapp.styleSheet()
    assert LIGHT.accent not in qapp.styleSheet()
    with qtbot.assertNotEmitted(dressed.changed):
        dressed.set_preference(Preference.DARK)


def test_that_the_system_is_followed_when_nothing_is_forced(dressed, qapp, qtbot):
    dressed.set_preference(Preference.SYSTEM)
    hints = QApplication.styleHints()
    with qtbot.waitSignal(dressed.changed):
        hints.colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert dressed.tokens is DARK
    with qtbot.waitSignal(dressed.changed):
        hints.colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert dressed.tokens is LIGHT


def test_that_a_forced_theme_stays_when_the_system_changes(dressed):
    QApplication.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert dressed.tokens is LIGHT
    QApplication.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)


def test_that_there_are_three_sizes_of_text(dressed):
    small, body, title = (dressed.font(size).pointSizeF() for size in Size)
    assert small < body < title


def test_that_disabled_text_is_fainter_in_the_palette():
    colours = palette(LIGHT)
    group = colours.ColorGroup
    assert colours.color(group.Disabled, colours.ColorRole.Text) == QColor(LIGHT.text_disabled)
    assert colours.color(group.Active, colours.ColorRole.Text) == QColor(LIGHT.text)


def test_that_the_theme_starts_without_numpy_pyqtgraph_or_pydantic():
    script = (
        "import sys, hogui.theme, hogui.icons, hogui.units;"
        "print(*{'numpy', 'pyqtgraph', 'pydantic', 'torch'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == []


def is_drawn_in(drawn, colour: str) -> bool:
    """Whether there are covered pixels, and all of them have the colour, but for rounding."""
    image = drawn.pixmap(20, 20).toImage()
    pixels = (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
    covered = [pixel.getRgb()[:3] for pixel in pixels if pixel.alpha() > 120]
    wanted = QColor(colour).getRgb()[:3]
    return bool(covered) and all(
        abs(a - b) <= 3 for pixel in covered for a, b in zip(pixel, wanted, strict=True)
    )


def icon_names() -> list[str]:
    return sorted(
        file.stem for file in resources.path("icons").glob("*.svg") if file.stem != "hogui"
    )


@pytest.mark.parametrize("name", icon_names())
def test_that_every_icon_is_drawn_in_the_colour_it_is_given(dressed, name):
    assert "currentColor" in resources.path(f"icons/{name}.svg").read_text(encoding="utf-8")
    assert is_drawn_in(icon(name), LIGHT.text)


def test_that_the_program_has_an_icon_in_every_size(dressed):
    assert {size.width() for size in app_icon().availableSizes()} >= {16, 32, 256}


def test_that_an_unknown_icon_is_named_in_the_error(dressed):
    with pytest.raises(FileNotFoundError, match="unicorn"):
        icon("unicorn")


def test_that_a_buttons_icon_follows_the_theme_until_the_button_dies(dressed, qtbot):
    button = QPushButton()
    set_icon(button, "cancel")
    set_icon(button, "run", "accent")
    dressed.set_preference(Preference.DARK)
    assert is_drawn_in(button.icon(), DARK.accent)
    button.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    dressed.set_preference(Preference.LIGHT)
