"""The names that users read for the categories of memory."""

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

_CONTEXT = "Category"
_LABELS = {
    "parameters": QT_TRANSLATE_NOOP("Category", "Parameters"),
    "data": QT_TRANSLATE_NOOP("Category", "Data"),
    "optimizer_state": QT_TRANSLATE_NOOP("Category", "Optimizer state"),
    "activations": QT_TRANSLATE_NOOP("Category", "Activations"),
    "gradients": QT_TRANSLATE_NOOP("Category", "Gradients"),
    "fast_weights": QT_TRANSLATE_NOOP("Category", "Fast weights"),
    "tangents": QT_TRANSLATE_NOOP("Category", "Tangents"),
    "temporaries": QT_TRANSLATE_NOOP("Category", "Temporaries"),
    "kernel_temporaries": QT_TRANSLATE_NOOP("Category", "Kernel temporaries"),
    "other": QT_TRANSLATE_NOOP("Category", "Other"),
}
_GRAPH = QT_TRANSLATE_NOOP("Category", "Graph of gradient {order}")


def category_label(name: str) -> str:
    """A category's name for people; an unknown category keeps its own."""
    if name.startswith("graph_"):
        order = name.removeprefix("graph_")
        return QCoreApplication.translate(_CONTEXT, _GRAPH).format(order=order)
    label = _LABELS.get(name)
    return name if label is None else QCoreApplication.translate(_CONTEXT, label)
