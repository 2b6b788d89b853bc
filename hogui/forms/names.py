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


_WORDS = {
    "anil": "ANIL",
    "cg": "conjugate gradients",
    "i_fgsm": "I-FGSM",
    "imaml": "iMAML",
    "maml": "MAML",
    "mse": "mean squared error",
    "vmap": "several at once (vmap)",
}
"""Choices whose JSON is an abbreviation."""


def choice_text(choice: object) -> str:
    """A choice as people read it: ``reverse over reverse`` for ``reverse_over_reverse``."""
    word = str(choice)
    return declared_text(_WORDS.get(word, word.replace("_", " ")))


def declared_text(text: str) -> str:
    """A label or help text of a declaration, in the user's language."""
    return QCoreApplication.translate("Spec", text) if text else ""
