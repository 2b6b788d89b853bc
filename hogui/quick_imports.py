"""What keeps importing quick once Qt is there."""

from __future__ import annotations

import sys
from typing import Final

_ASKS: Final = "_mod_uses_pyside"
"""The function that reads a module's source."""


def skip_feature_search() -> None:
    """Lets imports be no slower than before Qt was loaded.

    WORKAROUND: with every module imported after PySide6, shiboken reads that module's source to
    find out whether it mentions PySide6, since features such as snake_case names are switched per
    module (https://doc.qt.io/qtforpython-6/considerations.html#features). Nothing here uses a
    feature. The answer is the one that it gives where there is no source, as in a packaged program.
    """
    feature = sys.modules.get("shibokensupport.feature")
    if feature is not None and _ASKS in vars(feature):
        vars(feature)[_ASKS] = _does_not


def _does_not(module: object) -> bool:
    del module
    return False
