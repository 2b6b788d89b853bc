"""See tests/gui_fixtures.py."""

import pytest

from tests.gui_fixtures import (  # noqa: F401
    OFFSCREEN_NOISE,
    finish,
    hogui_home,
    nothing_is_left_behind,
    open_window,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.qt_log_ignore(OFFSCREEN_NOISE))
