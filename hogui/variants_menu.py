"""The menu of what could be tried in place of a configuration."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QMenu

from core.spec.run import RunSpec
from core.spec.variants import variants
from hogui.forms.names import declared_text


def fill_variants(menu: QMenu, spec: RunSpec | None, choose: Callable[[str], object]) -> None:
    """Lists the variants of a configuration, or says that there are none.

    Args:
        menu: loses what it listed before.
        spec: the configuration, None where there is none.
        choose: called with the name of the variant that is chosen.
    """
    menu.clear()
    for variant, _ in variants(spec) if spec is not None else ():
        action = menu.addAction(declared_text(variant.title))
        action.setToolTip(declared_text(variant.about))
        action.triggered.connect(lambda _=False, name=variant.name: choose(name))
    if menu.isEmpty():
        sentence = "There is no variant of this configuration that can run."
        menu.addAction(QCoreApplication.translate("Variants", sentence)).setEnabled(False)
