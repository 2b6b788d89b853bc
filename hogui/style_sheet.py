"""The one style sheet of the window, written with the tokens' names.

A widget asks for a look with the dynamic property `role`: `primary` (the one button that matters),
`quiet` (a flat button), `group` (the header of a collapsible group), `title`, `heading`, `figure`,
`secondary`, `small`, `error`, `warning`, `stale` (labels), `card` and `bar` (frames). A field
whose value is refused has the property `invalid` set to true.
"""

from collections.abc import Mapping
from string import Template

import resources

_TEMPLATE = Template(
    """
/* surfaces */
QMainWindow, QDialog, QStackedWidget, QScrollArea, QScrollArea > QWidget > QWidget[role="page"] {
    background: $window; }
QScrollArea { border: none; }
QFrame[role="card"] { background: $surface; border: 1px solid $border; border-radius: 6px; }
QFrame[role="bar"], QToolBar {
    background: $window; border: none; border-bottom: 1px solid $border; }
QToolBar { padding: 4px 8px; spacing: 4px; }
QToolBar::separator { background: $border; width: 1px; margin: 4px 4px; }
QStatusBar { background: $window; border-top: 1px solid $border; color: $text_secondary; }
QStatusBar::item { border: none; }
QSplitter::handle { background: transparent; border: 0 solid $border; }
QSplitter::handle:horizontal { border-left-width: 1px; }
QSplitter::handle:vertical { border-top-width: 1px; }
QSplitter::handle:hover { border-color: $accent; }
QToolTip { background: $raised; color: $text; border: 1px solid $border_strong; padding: 4px; }

/* text */
QLabel { background: transparent; }
QLabel[role="title"] { font-size: $title_pt; font-weight: 600; }
QLabel[role="heading"] { font-weight: 600; }
QLabel[role="figure"] { font-size: $title_pt; font-weight: 600; }
QLabel[role="secondary"] { color: $text_secondary; }
QLabel[role="small"] { color: $text_secondary; font-size: $small_pt; }
QLabel[role="error"] { color: $error; }
QLabel[role="warning"] { color: $warning; }
QLabel[role="stale"] { color: $text_disabled; }
QFrame[stale="true"] QLabel { color: $text_disabled; }

/* buttons */
QPushButton, QToolButton {
    background: $surface; color: $text; border: 1px solid $border_strong; border-radius: 4px;
    padding: 3px 11px; min-height: 20px; }
QToolButton { padding: 3px; }
QPushButton:hover, QToolButton:hover { background: $hover; }
QPushButton:pressed, QToolButton:pressed { background: $border; }
QPushButton:focus, QToolButton:focus { border-color: $accent; }
QPushButton:checked, QToolButton:checked { background: $selection; border-color: $accent; }
QPushButton:disabled, QToolButton:disabled {
    background: transparent; color: $text_disabled; border-color: $border; }
QToolButton::menu-indicator, QPushButton::menu-indicator {
    image: url("$icons/down.svg"); width: 10px;
    subcontrol-position: right center; subcontrol-origin: padding; right: 4px; }
QToolButton[popupMode="1"] { padding-right: 18px; }
QToolButton[popupMode="2"] { padding-right: 16px; }
QToolButton::menu-button { border: none; border-left: 1px solid $border; width: 16px; }
QToolButton::menu-arrow { image: url("$icons/down.svg"); width: 10px; height: 10px; }
QPushButton[role="primary"], QToolButton[role="primary"] {
    background: $accent; color: $on_accent; border: 1px solid $accent; font-weight: 600;
    padding: 3px 15px; }
QPushButton[role="primary"]:hover, QToolButton[role="primary"]:hover {
    background: $accent_hover; border-color: $accent_hover; }
QPushButton[role="primary"]:pressed, QToolButton[role="primary"]:pressed {
    background: $accent_pressed; border-color: $accent_pressed; }
QPushButton[role="primary"]:focus, QToolButton[role="primary"]:focus { border-color: $text; }
QPushButton[role="primary"]:disabled, QToolButton[role="primary"]:disabled {
    background: $raised; color: $text_disabled; border-color: $border; }
QPushButton[role="quiet"], QToolButton[role="quiet"], QToolBar QToolButton {
    background: transparent; border: 1px solid transparent; }
QPushButton[role="quiet"]:hover, QToolButton[role="quiet"]:hover, QToolBar QToolButton:hover {
    background: $hover; }
QPushButton[role="quiet"]:pressed, QToolButton[role="quiet"]:pressed,
QToolBar QToolButton:pressed { background: $border; }
QPushButton[role="quiet"]:checked, QToolButton[role="quiet"]:checked, QToolBar QToolButton:checked {
    background: $selection; color: $text; }
QPushButton[role="quiet"]:focus, QToolButton[role="quiet"]:focus, QToolBar QToolButton:focus {
    border-color: $accent; }
QToolButton[role="group"], QPushButton[role="group"] {
    background: transparent; border: 1px solid transparent; border-radius: 4px; font-weight: 600;
    text-align: left; padding: 3px 4px; }
QToolButton[role="group"]:hover, QPushButton[role="group"]:hover { background: $raised; }
QToolButton[role="group"]:focus, QPushButton[role="group"]:focus { border-color: $accent; }

/* fields */
QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox, QPlainTextEdit, QTextEdit {
    background: $surface; color: $text; border: 1px solid $border_strong; border-radius: 4px;
    padding: 2px 7px; min-height: 20px; selection-background-color: $selection;
    selection-color: $text; }
QLineEdit:hover, QSpinBox:hover, QDoubleSpinBox:hover, QComboBox:hover {
    border-color: $text_secondary; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus,
QTextEdit:focus, QComboBox:on { border-color: $accent; }
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled {
    background: $window; color: $text_disabled; border-color: $border; }
QLineEdit[invalid="true"], QSpinBox[invalid="true"], QDoubleSpinBox[invalid="true"],
QComboBox[invalid="true"] { border-color: $error; background: $error_surface; }
QSpinBox QLineEdit, QDoubleSpinBox QLineEdit {
    background: transparent; border: none; padding: 0 4px; min-height: 0; }
QSpinBox::up-button, QDoubleSpinBox::up-button,
QSpinBox::down-button, QDoubleSpinBox::down-button {
    background: transparent; border: none; width: 18px; subcontrol-origin: border; }
QSpinBox::up-button, QDoubleSpinBox::up-button {
    subcontrol-position: top right; margin: 1px 1px 0 0; }
QSpinBox::down-button, QDoubleSpinBox::down-button {
    subcontrol-position: bottom right; margin: 0 1px 1px 0; }
QSpinBox::up-button:hover, QDoubleSpinBox::up-button:hover, QSpinBox::down-button:hover,
QDoubleSpinBox::down-button:hover { background: $hover; }
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow {
    image: url("$icons/up.svg"); width: 10px; height: 10px; }
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {
    image: url("$icons/down.svg"); width: 10px; height: 10px; }
QComboBox::drop-down { border: none; width: 20px; }
QComboBox::down-arrow { image: url("$icons/down.svg"); width: 10px; height: 10px; }
QComboBox QAbstractItemView { background: $surface; border: 1px solid $border_strong;
    selection-background-color: $selection; selection-color: $text; outline: none; padding: 2px; }
QComboBox QAbstractItemView::item { min-height: 24px; padding: 0 6px; }
QCheckBox, QRadioButton { spacing: 8px; }
QCheckBox::indicator, QRadioButton::indicator, QTableView::indicator {
    width: 14px; height: 14px; border: 1px solid $border_strong; background: $surface; }
QCheckBox::indicator, QTableView::indicator { border-radius: 3px; }
QRadioButton::indicator { border-radius: 8px; }
QCheckBox::indicator:hover, QRadioButton::indicator:hover, QCheckBox::indicator:focus {
    border-color: $accent; }
QCheckBox::indicator:checked, QTableView::indicator:checked {
    background: $accent; border-color: $accent; image: url("$icons/check-$name.svg"); }
QRadioButton::indicator:checked {
    background: $accent; border-color: $accent; image: url("$icons/dot-$name.svg"); }
QCheckBox::indicator:disabled, QRadioButton::indicator:disabled {
    background: $raised; border-color: $border; }

/* tabs */
QTabWidget::pane { border: none; border-top: 1px solid $border; }
QTabBar { background: transparent; qproperty-drawBase: 0; }
QTabBar::tab {
    background: transparent; color: $text_secondary;
    border: none; border-bottom: 2px solid transparent;
    padding: 6px 12px 4px 12px; min-height: 20px; }
QTabBar::tab:hover { color: $text; background: $raised; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QTabBar::tab:focus { color: $accent; }
QTabBar::close-button { image: url("$icons/close.svg"); width: 12px; height: 12px; padding: 2px; }
QTabBar::close-button:hover { background: $hover; border-radius: 4px; }

/* tables */
QTableView, QTreeView, QListView {
    background: $surface; alternate-background-color: $window; border: 1px solid $border;
    border-radius: 4px; gridline-color: $grid_line; selection-background-color: $selection;
    selection-color: $text; outline: none; }
QTableView::item, QTreeView::item { padding: 0 6px; border: none; }
QTableView::item:hover, QTreeView::item:hover, QListView::item:hover { background: $raised; }
QTableView::item:selected, QTreeView::item:selected, QListView::item:selected {
    background: $selection; color: $text; }
QTableView QLineEdit, QTableView QComboBox, QTableView QSpinBox {
    border-radius: 0; padding: 0 5px; min-height: 0; border-color: $accent; }
QHeaderView { background: $surface; }
QHeaderView::section {
    background: $surface; color: $text_secondary; border: none; border-bottom: 1px solid $border;
    padding: 4px 6px; font-size: $small_pt; font-weight: 400; }
QHeaderView::section:checked { font-weight: 400; }
/* above the words: beside them it would cover those at the right */
QHeaderView::up-arrow, QHeaderView::down-arrow {
    image: url("$icons/up.svg"); width: 8px; height: 8px; subcontrol-origin: margin;
    subcontrol-position: top center; }
QHeaderView::down-arrow { image: url("$icons/down.svg"); }
QHeaderView::section:vertical { border-bottom: none; border-right: 1px solid $border; }
QTableCornerButton::section {
    background: $surface; border: none; border-bottom: 1px solid $border; }

/* progress, menus, scroll bars */
QProgressBar {
    background: $raised; border: none; border-radius: 2px; max-height: 4px; min-height: 4px;
    color: transparent; }
QProgressBar::chunk { background: $accent; border-radius: 2px; }
QMenuBar { background: $window; border-bottom: 1px solid $border; padding: 0 4px; }
QMenuBar::item { background: transparent; padding: 4px 8px; border-radius: 4px; }
QMenuBar::item:selected { background: $hover; }
QMenu { background: $surface; border: 1px solid $border_strong; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; color: $text; }
QMenu::icon { padding-left: 8px; }
QMenu::item:selected { background: $selection; }
QMenu::item:disabled { color: $text_disabled; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }
QScrollBar { background: transparent; border: none; margin: 0; }
QScrollBar:vertical { width: 12px; }
QScrollBar:horizontal { height: 12px; }
QScrollBar::handle { background: $border_strong; border-radius: 3px; margin: 3px; }
QScrollBar::handle:vertical { min-height: 24px; }
QScrollBar::handle:horizontal { min-width: 24px; }
QScrollBar::handle:hover { background: $text_secondary; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; border: none; background: none; }
QScrollBar::add-page, QScrollBar::sub-page { background: none; }
QGroupBox { border: none; border-top: 1px solid $border; margin-top: 12px; padding-top: 8px; }
QGroupBox::title { subcontrol-origin: margin; subcontrol-position: top left; padding: 0 8px 0 0;
    color: $text; font-weight: 600; }
QDialogButtonBox { dialogbuttonbox-buttons-have-icons: 0; }
"""
)


def style_sheet(values: Mapping[str, object]) -> str:
    """The style sheet of one theme.

    Args:
        values: the theme's tokens by name, and the font sizes `small_pt`, `body_pt` and `title_pt`.

    Raises:
        KeyError: the sheet uses a name that `values` lacks.
    """
    return _TEMPLATE.substitute(values, icons=resources.path("icons/style").as_posix())
