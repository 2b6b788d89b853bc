"""See tests/gui_fixtures.py."""

import pytest

from core import isolation
from tests.fake_core import ENVIRONMENT
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


@pytest.fixture(autouse=True)
def _made_up_runs_are_of_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up core measures on this machine."""
    monkeypatch.setattr(isolation, "is_of_here", lambda environment, _: environment == ENVIRONMENT)
