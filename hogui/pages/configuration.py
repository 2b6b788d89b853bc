"""The narrow column in which one run is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from PySide6.QtCore import QMargins, Qt, Signal
from PySide6.QtWidgets import (
    QMenu,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.results.forecast import Finding
from core.spec.data import DATA_KINDS
from core.spec.declaration import Problem
from core.spec.layers import LAYER_KINDS, LayerSpec
from core.spec.measure import Measure
from core.spec.mitigations import Checkpointing, Mitigation
from core.spec.model import StackModel
from core.spec.models import MODEL_KINDS
from core.spec.notices import notices
from core.spec.presets import presets
from core.spec.run import RunSpec
from core.spec.workloads import WORKLOAD_KINDS
from hogui.forms.group import Group
from hogui.forms.names import declared_text
from hogui.forms.note import Note
from hogui.forms.spec_form import SpecForm, kind_field
from hogui.icons import set_icon
from hogui.pages.own_model import OwnModel
from hogui.tables.layer_editor import LayerEditor
from hogui.variants_menu import fill_variants

_MARGINS = QMargins(12, 8, 8, 12)
_CHARACTERS = 62
"""Width of the column, in average characters: a layer with all its figures fits."""
_GROUPS = ("model", "workload", "mitigation", "measure")


class ConfigurationPanel(QWidget):
    """Shows a run's spec and gives a new one for each edit that a spec can hold.

    What a spec cannot hold stays where it was typed and is one of `problems`.

    Signals:
        specChanged: a new `RunSpec`, after an edit by the user.
        problemsChanged: `problems` are others than before.
        presetChosen: the name of a preset; whoever listens sets its spec.
        variantChosen: the name of a variant of this spec; whoever listens opens it.
    """

    specChanged = Signal(object)
    problemsChanged = Signal()
    presetChosen = Signal(str)
    variantChosen = Signal(str)

    def __init__(self, spec: RunSpec) -> None:
        super().__init__()
        self._spec = spec
        self._found: tuple[Problem, ...] = ()
        self._said: frozenset[str] = frozenset()
        """What stands in the layers' rows and need not be said twice."""
        self._problems: tuple[Problem, ...] = ()
        self._stack = SpecForm(
            list(MODEL_KINDS.values()),
            ("model",),
            kind=kind_field(
                self.tr("Model"),
                self.tr("The network whose loss is differentiated."),
                MODEL_KINDS.values(),
            ),
        )
        self._layers = LayerEditor()
        self._own_model = OwnModel()
        self._workload = SpecForm(
            list(WORKLOAD_KINDS.values()),
            ("workload",),
            kind=kind_field(
                self.tr("Workload"),
                self.tr("The computation whose cost is measured."),
                WORKLOAD_KINDS.values(),
            ),
        )
        self._loss = SpecForm([RunSpec], only=["loss"])
        self._data = SpecForm(
            list(DATA_KINDS.values()),
            ("data",),
            kind=kind_field(
                self.tr("Data"),
                self.tr("The examples that the workload computes on."),
                DATA_KINDS.values(),
            ),
        )
        self._checkpointing = SpecForm([Checkpointing], ("mitigation", "checkpointing"))
        self._mitigation = SpecForm([Mitigation], ("mitigation",))
        self._measure = SpecForm([Measure], ("measure",))
        self._forms = (
            self._stack,
            self._workload,
            self._loss,
            self._data,
            self._checkpointing,
            self._mitigation,
            self._measure,
        )
        self._groups = {
            "model": Group(self.tr("Model")),
            "workload": Group(self.tr("Workload")),
            "mitigation": Group(self.tr("Mitigation")),
            "measure": Group(self.tr("Measurement"), expanded=False),
        }
        self._lines = {name: (Note(error=True), Note()) for name in _GROUPS}
        self._arrange()
        self._connect()
        self._show_spec()

    @property
    def spec(self) -> RunSpec:
        """The spec that is shown, without refused values."""
        return self._spec

    def set_spec(self, spec: RunSpec) -> None:
        """Shows another spec without `specChanged`; fields of equal value are left alone."""
        if spec != self._spec:
            self._spec = spec
            self._show_spec()

    def problems(self) -> tuple[Problem, ...]:
        """Why this configuration cannot run: refused values first, then what does not fit."""
        return self._problems

    @property
    def has_drafts(self) -> bool:
        """Whether a refused value stands in some field or row."""
        return len(self._problems) > len(self._found)

    def discard_drafts(self) -> None:
        """Shows the spec's own values in place of refused ones."""
        for part in (*self._forms, self._layers):
            part.discard_drafts()

    def show_findings(self, findings: Iterable[Finding]) -> None:
        """Puts what was found out about single layers into their rows."""
        of_layers = tuple(each for each in findings if each.layer is not None)
        self._said = frozenset(each.sentence for each in of_layers)
        self._layers.model.set_findings(of_layers)
        self._show_notices()

    def _arrange(self) -> None:
        self.setObjectName("configurationPanel")
        # What follows a workload's headings stands apart from the last of them.
        self._data.setContentsMargins(0, 8, 0, 0)
        self._groups["model"].add_to_header(self._variants_button())
        self._groups["model"].add_to_header(self._presets_button())
        contents = {
            "model": (self._stack, self._own_model, self._layers),
            "workload": (self._workload, self._data, self._loss),
            "mitigation": (self._checkpointing, self._mitigation),
            "measure": (self._measure,),
        }
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        column = QWidget()
        column.setProperty("role", "page")
        # Before the contents: each widget is dressed again whenever it gets another ancestor.
        area.setWidget(column)
        layout = QVBoxLayout(column)
        layout.setContentsMargins(_MARGINS)
        layout.setSpacing(12)
        for name, group in self._groups.items():
            for widget in (*contents[name], *self._lines[name]):
                group.add(widget)
            layout.addWidget(group)
        layout.addStretch(1)
        self._align()
        bar = area.verticalScrollBar().sizeHint().width()
        usual = _CHARACTERS * self.fontMetrics().averageCharWidth()
        self.setMinimumWidth(max(column.minimumSizeHint().width() + bar, usual))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _align(self) -> None:
        rows = [row for form in self._forms for row in form.rows()]
        width = max(row.label_width() for row in rows)
        for row in rows:
            row.set_label_width(width)

    def _presets_button(self) -> QToolButton:
        button = _menu_button("presetsButton", self.tr("Presets"), "preset", self._fill_presets)
        button.setToolTip(self.tr("Starts from one of the ready-made configurations"))
        return button

    def _variants_button(self) -> QToolButton:
        text = self.tr("Variants")
        button = _menu_button("variantsButton", text, "duplicate", self._fill_variants)
        button.setToolTip(self.tr("Tries a smaller or larger configuration in a tab of its own"))
        return button

    def _fill_variants(self, menu: QMenu) -> None:
        fill_variants(menu, self._spec, self.variantChosen.emit)

    def _fill_presets(self, menu: QMenu) -> None:
        if menu.actions():
            return
        for preset in presets():
            action = menu.addAction(declared_text(preset.title))
            action.setToolTip(declared_text(preset.about))
            action.triggered.connect(lambda _=False, name=preset.name: self._choose_preset(name))

    def _choose_preset(self, name: str) -> None:
        """A draft belongs to the configuration that the preset replaces."""
        self.discard_drafts()
        self.presetChosen.emit(name)

    def _connect(self) -> None:
        prefixes = ("model", "workload", "", "data", "mitigation.checkpointing", "mitigation")
        for form, prefix in zip(self._forms, (*prefixes, "measure"), strict=True):
            form.changed.connect(lambda values, at=prefix: self._change(at, values))
            form.problemsChanged.connect(self._gather_problems)
        self._layers.layersChanged.connect(self._change_layers)
        self._layers.problemsChanged.connect(self._gather_problems)

    def _change(self, prefix: str, values: dict[str, Any]) -> None:
        keys = {f"{prefix}.{name}" if prefix else name: value for name, value in values.items()}
        self._adopt(self._spec.with_changes(keys))

    def _change_layers(self, layers: tuple[LayerSpec, ...]) -> None:
        documents = [layer.model_dump(mode="json") for layer in layers]
        self._adopt(self._spec.with_changes({"model.layers": documents}))

    def _adopt(self, spec: RunSpec) -> None:
        if spec != self._spec:
            self._spec = spec
            self._show_spec()
            self.specChanged.emit(spec)

    def _show_spec(self) -> None:
        spec = self._spec
        self._stack.set_spec(spec.model)
        self._show_model()
        self._workload.set_spec(spec.workload, spec)
        self._loss.set_spec(spec, spec)
        self._data.set_spec(spec.data, spec)
        self._checkpointing.set_spec(spec.mitigation.checkpointing, spec)
        self._mitigation.set_spec(spec.mitigation, spec)
        self._measure.set_spec(spec.measure, spec)
        self._groups["measure"].set_summary(self._measure.differences())
        self._found = spec.problems()
        self._show_found()
        self._show_notices()
        self._gather_problems()

    def _show_model(self) -> None:
        """A stack has its layers, a file what was found in it."""
        model = self._spec.model
        self._own_model.set_spec(self._spec)
        self._layers.setVisible(isinstance(model, StackModel))
        if isinstance(model, StackModel):
            self._layers.set_stack(model)
        else:
            self._layers.discard_drafts()

    def _show_found(self) -> None:
        """Each sentence goes to its field or row; what has none, to the foot of its group."""
        rest = self._found
        for part in (*self._forms, self._layers):
            rest = part.show_problems(rest)
        for name in _GROUPS:
            mine = (problem.sentence for problem in rest if _group_of(problem.key) == name)
            self._lines[name][0].say("\n".join(mine))

    def _show_notices(self) -> None:
        sentences = [each for each in notices(self._spec) if each not in self._said]
        keys = [sentence.partition(" ")[0] for sentence in sentences]
        for form in self._forms:
            form.keep_shown(keys)
        for name in _GROUPS:
            mine = (sentence for sentence in sentences if _group_of(sentence) == name)
            self._lines[name][1].say("\n".join(mine))

    def _gather_problems(self) -> None:
        drafts = [problem for form in self._forms for problem in form.problems()]
        problems = (*drafts, *self._layers.problems(), *self._found)
        for name, group in self._groups.items():
            group.set_faulty(any(_group_of(problem.key) == name for problem in problems))
        if problems != self._problems:
            self._problems = problems
            self.problemsChanged.emit()


def _menu_button(name: str, text: str, icon: str, fill: Callable[[QMenu], None]) -> QToolButton:
    button = QToolButton()
    button.setObjectName(name)
    button.setText(text)
    button.setProperty("role", "quiet")
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    set_icon(button, icon, "text_secondary")
    menu = QMenu(button)
    menu.setToolTipsVisible(True)
    menu.aboutToShow.connect(lambda: fill(menu))
    button.setMenu(menu)
    return button


def _group_of(text: str) -> str:
    """The group of a dotted key, or of a sentence that begins with one or with a layer's kind."""
    word = text.partition(" ")[0].rstrip(":,").partition(".")[0]
    if word in LAYER_KINDS:
        return "model"
    if word in ("data", "loss"):
        return "workload"
    return word if word in _GROUPS else "mitigation"
