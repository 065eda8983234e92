"""Read the command line into options. Loads nothing heavy: `atlas --help` must not wait for torch.

    options = parse(["plan", "sweep=all", "--json"])
    options.name, options.overrides, options.json        # 'plan', ['sweep=all'], True

Commands that work on a configuration take Hydra overrides (`sweep=all optimize.steps=256`); `-m` runs every
combination of comma-separated values. Every error is one line that ends with a line to write.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from network_atlas import __version__
from network_atlas.cli.exit_codes import USAGE
from network_atlas.cli.help_texts import ARGUMENTS, DESCRIPTION, EXAMPLES, SUMMARIES
from network_atlas.errors import did_you_mean

OF_A_CONFIGURATION = ("run", "plan", "doctor", "layers", "watch", "prior")
OF_A_ROOT = ("status", "view", "sheet", "snapshots", "prune")
LIKE_HELP = "help"
LIKE_COMMANDS = {
    "version": "--version",
    "list": "layers",
    **dict.fromkeys(("history", "log", "versions"), "snapshots"),
    **dict.fromkeys(("clean", "gc", "forget"), "prune --keep 5"),
    **dict.fromkeys(("train", "fit", "priors"), "prior train"),
    **dict.fromkeys(("show", "serve", "open", "browse"), "view"),
    **dict.fromkeys(("check", "diagnose"), "doctor"),
    **dict.fromkeys(("make", "build", "start", "resume", "continue"), "run"),
}
"""Words of other tools, with our command of the same meaning."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help whose examples keep their lines, with room for the longest command beside its summary."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # argparse counts the names of commands without the indentation that it gives them.
        self._action_max_length = max(map(len, SUMMARIES)) + 2 * self._indent_increment


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line. argparse would print its whole usage first."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"atlas: {message}\nSee: {self.prog} --help\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options. Overrides may stand before, between and after them.

    Ends the program, as argparse does, with exit code 0 after printing help and 2 after a mistake.
    """
    parser = _parser()
    words = _help_asked_for(list(sys.argv[1:] if arguments is None else arguments))
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(USAGE)
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in SUMMARIES:
        parser.exit(USAGE, f"atlas: {not_a_command(command, words)}\n")
    # argparse ends the list of overrides at the first option; later ones are in `rest`.
    options, rest = parser.parse_known_args(words)
    unknown = [word for word in rest if word.startswith("-") or not hasattr(options, "overrides")]
    if unknown:
        dashes = "" if not hasattr(options, "overrides") else " Settings have no dashes: model=torchvision."
        parser.exit(
            USAGE, f"atlas: unknown arguments: {shlex.join(unknown)}.{dashes}\nSee: atlas {options.name} --help\n"
        )
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _help_asked_for(words: list[str]) -> list[str]:
    """Return the words with `help` and `help COMMAND` turned into the option --help, which argparse knows."""
    if words[:1] != [LIKE_HELP]:
        return words
    return [*(word for word in words[1:2] if word in SUMMARIES), "--help"]


def not_a_command(word: str, words: Sequence[str]) -> str:
    """Return the message for a first word that is not a command, with the command line that was probably meant."""
    if "=" in word:
        return f"{word!r} is a setting; a command comes first. Write: atlas run {shlex.join(words)}"
    if word in LIKE_COMMANDS:
        return f"{word!r} is not a command. Write: atlas {LIKE_COMMANDS[word]}"
    close = did_you_mean(word, SUMMARIES, limit=1)
    if close:
        return f"{word!r} is not a command.{close} Write: atlas {close.split(chr(39))[1]}"
    if "/" in word or os.path.isdir(word):
        return f"{word!r} is not a command. To look at the atlas there, write: atlas view {shlex.quote(word)}"
    names = ", ".join(SUMMARIES)
    return f"{word!r} is not a command; there are {names}. If it is a model, write: atlas run {_model(word)}"


def _model(name: str) -> str:
    """Return the overrides for a model by name: a choice of conf/model, or the suggestion of `config.suggest`."""
    from network_atlas.config.compose import config_folder
    from network_atlas.config.suggest import choice_meant

    if (config_folder() / "model" / f"{name}.yaml").is_file():
        return f"model={name}"
    return choice_meant("model", name) or f"model=torchvision model.name={shlex.quote(name)}"


def _parser() -> argparse.ArgumentParser:
    parser = _formatted(_Parser(prog="atlas", description=DESCRIPTION, epilog=EXAMPLES[""]))
    parser.add_argument("--version", action="version", version=f"atlas {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="name", metavar="COMMAND", required=True)
    commands = {name: _command(subparsers, name) for name in SUMMARIES}
    for name in ("run", "plan"):
        commands[name].add_argument("-m", "--multirun", action="store_true", help=ARGUMENTS["multirun"])
    commands["prior"].add_argument("action", choices=("train",), metavar="train", help=ARGUMENTS["action"])
    commands["watch"].add_argument("pattern", metavar="PATTERN", help=ARGUMENTS["pattern"])
    for name in OF_A_CONFIGURATION:
        commands[name].add_argument("overrides", nargs="*", metavar="OVERRIDE", help=ARGUMENTS["overrides"])
        commands[name].add_argument("--config-dir", metavar="DIR", help=ARGUMENTS["config_dir"])
    for name in OF_A_ROOT:
        commands[name].add_argument("root", nargs="?", metavar="ROOT", help=ARGUMENTS["root"])
    for name in ("plan", "doctor", "status", "snapshots"):
        commands[name].add_argument("--json", action="store_true", help=ARGUMENTS["json"])
    for name in ("status", "view", "sheet"):
        commands[name].add_argument("--snapshot", type=int, metavar="N", help=ARGUMENTS["snapshot"])
    commands["status"].add_argument("--verify", action="store_true", help=ARGUMENTS["verify"])
    commands["prune"].add_argument("--keep", type=int, required=True, metavar="N", help=ARGUMENTS["keep"])
    commands["prune"].add_argument("--yes", action="store_true", help=ARGUMENTS["yes"])
    commands["layers"].add_argument("--all", action="store_true", help=ARGUMENTS["all"])
    commands["plan"].add_argument("--id", action="store_true", help=ARGUMENTS["id"])
    _add_watch_options(commands["watch"])
    _add_view_options(commands["view"])
    _add_sheet_options(commands["sheet"])
    _add_diff_options(commands["diff"])
    return parser


def _add_watch_options(watch: argparse.ArgumentParser) -> None:
    watch.add_argument("--once", action="store_true", help=ARGUMENTS["once"])
    watch.add_argument("--interval", type=float, default=60.0, metavar="SECONDS", help=ARGUMENTS["interval"])
    watch.add_argument("--marker", default="", metavar="ENDING", help=ARGUMENTS["marker"])
    watch.add_argument("--every", action="store_true", help=ARGUMENTS["every"])
    watch.add_argument("--tries", type=int, default=3, help=ARGUMENTS["tries"])
    watch.add_argument("--copies", default="", metavar="DIR", help=ARGUMENTS["copies"])
    watch.add_argument("--fail-over", action="append", metavar="NAME=NUMBER", help=ARGUMENTS["drift_over"])
    for event in ("success", "failure", "drift"):
        watch.add_argument(f"--on-{event}", default="", metavar="COMMAND", help=ARGUMENTS[f"on_{event}"])
    watch.add_argument("--webhook", default="", metavar="URL", help=ARGUMENTS["webhook"])


def _add_view_options(view: argparse.ArgumentParser) -> None:
    view.add_argument("--port", type=int, help=ARGUMENTS["port"])
    view.add_argument("--no-browser", action="store_true", help=ARGUMENTS["no_browser"])


def _add_sheet_options(sheet: argparse.ArgumentParser) -> None:
    sheet.add_argument("--layer", action="append", metavar="NAME", help=ARGUMENTS["layer"])
    sheet.add_argument("--units", type=int, default=12, help=ARGUMENTS["units"])
    sheet.add_argument("--size", type=int, default=160, metavar="PX", help=ARGUMENTS["size"])
    sheet.add_argument("--output", default="sheet.png", metavar="FILE", help=ARGUMENTS["output"])


def _add_diff_options(diff: argparse.ArgumentParser) -> None:
    diff.add_argument("old", nargs="?", metavar="OLD", help=ARGUMENTS["old"])
    diff.add_argument("new", nargs="?", metavar="NEW", help=ARGUMENTS["new"])
    diff.add_argument("--out", metavar="FOLDER", help=ARGUMENTS["out"])
    diff.add_argument("--cross", action="store_true", help=ARGUMENTS["cross"])
    diff.add_argument("--fail-over", action="append", metavar="NAME=NUMBER", help=ARGUMENTS["fail_over"])
    diff.add_argument("--json", action="store_true", help=ARGUMENTS["json"])


def _command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> argparse.ArgumentParser:
    summary = SUMMARIES[name]
    description = summary[0].upper() + summary[1:] + "."
    return _formatted(subparsers.add_parser(name, help=summary, description=description, epilog=EXAMPLES[name]))


def _formatted(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.formatter_class = _Formatter
    return parser
