"""Choices are kept, and nothing in their file can stop the program."""

import json
from pathlib import Path

import pytest

from hogui.preferences import Choices, Place, Preferences
from hogui.theme import Preference


def _file(home: Path, text: str) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    file = home / "preferences.json"
    file.write_text(text)
    return file


def test_that_a_choice_holds_at_the_next_start(hogui_home: Path) -> None:
    Preferences(hogui_home).change(theme=Preference.DARK, place=Place.THIS_PROCESS)
    assert Preferences(hogui_home).choices == Choices(
        theme=Preference.DARK, place=Place.THIS_PROCESS
    )


def test_that_a_first_start_measures_in_a_process_of_its_own(hogui_home: Path) -> None:
    assert Preferences(hogui_home).choices.place is Place.OWN_PROCESS


def test_that_only_a_real_change_is_told(hogui_home: Path) -> None:
    preferences, told = Preferences(hogui_home), []
    preferences.changed.connect(lambda: told.append(preferences.choices.theme))
    preferences.change(theme=Preference.SYSTEM)
    preferences.change(theme=Preference.LIGHT)
    assert told == [Preference.LIGHT]


def test_that_keys_and_values_of_another_version_are_passed_over(hogui_home: Path) -> None:
    _file(hogui_home, json.dumps({"theme": "sepia", "place": "window", "later": 1}))
    assert Preferences(hogui_home).choices == Choices(place=Place.THIS_PROCESS)


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense", "\x00\x01"])
def test_that_a_broken_file_is_put_aside_and_not_lost(hogui_home: Path, text: str) -> None:
    file = _file(hogui_home, text)
    assert Preferences(hogui_home).choices == Choices()
    assert not file.exists()
    assert file.with_name("preferences.json.unreadable").read_text() == text


def test_that_a_choice_holds_although_its_folder_cannot_be_written(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    preferences = Preferences(in_the_way)
    with pytest.raises(FileExistsError):
        preferences.change(theme=Preference.DARK)
    assert preferences.choices.theme is Preference.DARK
