"""When a table has to measure its texts again."""

from PySide6.QtCore import QEvent

_FONT_CHANGES = (QEvent.Type.FontChange, QEvent.Type.StyleChange)


def changes_text_sizes(event: QEvent) -> bool:
    """Whether texts may need another room after a change that a widget is told of."""
    return event.type() in _FONT_CHANGES
