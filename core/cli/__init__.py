"""The command line: ``hogui run``, ``forecast``, ``check``, ``compare`` and more. No Qt.

Each command lives in a module of its own, which is loaded only when it is asked for, so that help
and refusals appear at once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Final

import typer
from typer.main import get_command

from core import __version__
from core.cli.refusal import EXIT_INVALID, Refused

PROGRAM: Final = "hogui"
EXIT_CANCELLED: Final = 130


@dataclass(frozen=True)
class Command:
    """A command by its name; ``module`` has a function ``command`` that returns the exit status."""

    name: str
    module: str
    about: str


COMMANDS: Final = (
    Command("run", "core.cli.run", "Measures memory and time of a configuration."),
    Command("forecast", "core.cli.forecast", "Predicts memory and time without computing."),
    Command("check", "core.cli.check", "Says what would fail or be wrong, before running."),
    Command("advise", "core.cli.advise", "Foretells every mitigation and recommends one."),
    Command("orders", "core.cli.orders", "Measures every order and fits how the cost grows."),
    Command("compare", "core.cli.compare", "Compares runs: ratios, intervals and verdicts."),
    Command("script", "core.cli.script", "Prints a standalone PyTorch script of the same work."),
    Command("presets", "core.cli.presets", "Lists the presets, or prints the spec of one."),
    Command("devices", "core.cli.devices", "Lists what can be measured on."),
    Command("history", "core.cli.history", "Lists the stored runs, newest first."),
    Command("export", "core.cli.export", "Writes files from stored runs."),
)


def main(arguments: Sequence[str]) -> int:
    """Runs one command line, without the program's name; returns its exit status."""
    try:
        _refuse_unknown_command(arguments)
        command = get_command(_app(arguments))
        status = command.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except Refused as refusal:
        return _say(*refusal.sentences, status=refusal.status)
    except typer.TyperException as error:
        return _say(_usage_sentence(error.format_message(), arguments), status=EXIT_INVALID)
    except OSError as error:
        if error.errno == errno.EPIPE:
            # Whoever read our output has heard enough; Python would complain at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return _say(f"{error}.", status=1)
    except KeyboardInterrupt:
        return EXIT_CANCELLED
    return status if isinstance(status, int) else 0


def _app(arguments: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        help="What a higher-order gradient costs in memory and time. "
        "Without a command, the window opens.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_program)
    for command in COMMANDS:
        asked_for = command.name in arguments[:1]
        work = _load(command) if asked_for else _not_asked_for
        app.command(command.name, help=command.about)(work)
    return app


def _load(command: Command) -> Callable[..., int]:
    work: Callable[..., int] = import_module(command.module).command
    return work


def _not_asked_for() -> int:
    raise AssertionError("a command that was not loaded cannot be called")


def _print_version(asked_for: bool) -> None:
    if asked_for:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit(0)


def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Prints the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    del version


def _refuse_unknown_command(arguments: Sequence[str]) -> None:
    if arguments and not arguments[0].startswith("-") and not _is_command(arguments[0]):
        names = ", ".join(command.name for command in COMMANDS)
        raise Refused(f"{arguments[0]} is not a command; commands: {names}.")


def _is_command(word: str) -> bool:
    return any(command.name == word for command in COMMANDS)


def _usage_sentence(message: str, arguments: Sequence[str]) -> str:
    """What typer complains of in one line, and where to look."""
    complaint = " ".join(message.split())
    words = [PROGRAM, *filter(_is_command, arguments[:1]), "--help"]
    return f"{complaint.rstrip('.')}; see `{' '.join(words)}`."


def _say(*sentences: str, status: int) -> int:
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    return status
