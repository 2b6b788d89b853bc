"""Names and words of particular fields; the only place of the forms that knows one."""

from PySide6.QtCore import QCoreApplication

OBJECT_NAMES = {
    "workload.kind": "workloadCombo",
    "workload.order": "orderSpin",
    "workload.inner_steps": "innerStepsSpin",
    "mitigation.checkpointing.kind": "checkpointingCombo",
    "device": "deviceCombo",
}
"""Object names that other programs rely on, by the dotted key of the field."""


def object_name(key: str) -> str:
    """The object name of a field's editor: its public one, else its dotted key."""
    return OBJECT_NAMES.get(key, key)


def declared_text(text: str) -> str:
    """A label or help text of a declaration, in the user's language."""
    return QCoreApplication.translate("Spec", text) if text else ""
