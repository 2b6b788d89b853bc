"""What holds for every test: no display is needed, and the user's own history is not touched."""

import os
from collections.abc import Iterator

import pytest

# Before Qt is imported anywhere; `make test` sets it too, a single test on a desk may not.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(autouse=True, scope="session")
def _a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOGUI_HOME", str(tmp_path_factory.mktemp("home")))
        yield
