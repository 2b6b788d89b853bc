"""The window in the user's language, as far as resources/translations has it."""

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

import resources


def install(application: QCoreApplication, locale: QLocale | None = None) -> list[QTranslator]:
    """Installs our translation and Qt's own for a locale; English where there is none.

    Args:
        application: keeps the translators alive.
        locale: the system's by default.

    Returns:
        What was found.
    """
    locale = locale or QLocale.system()
    folders = (
        ("hogui", str(resources.path("translations"))),
        ("qtbase", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)),
    )
    found = []
    for name, folder in folders:
        translator = QTranslator(application)
        if translator.load(locale, name, "_", folder):
            application.installTranslator(translator)
            found.append(translator)
    return found
