"""The command line, `atlas`: run, plan, doctor, status, view, sheet, layers.

Commands that work on a configuration take Hydra overrides (`sweep=all optimize.steps=256`); `-m` runs every
combination of comma-separated values. Exit codes: 0 done, 1 an error that says what to mend, 2 wrong usage, 3 done
but for pictures that could not be made, 75 stopped (run again to go on).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from network_atlas import __version__
from network_atlas.errors import AtlasError

STOPPED = 75
"""EX_TEMPFAIL: the run was stopped and can be resumed."""

DESCRIPTION = "Make an atlas of a whole vision network: every channel of every layer, in pictures and numbers."
OVERRIDES = "Hydra overrides, such as model=torchvision model.name=resnet50 sweep=all store.root=my-atlas"

EXAMPLES = {
    "": """\
examples:
  atlas run                                      the demo: EfficientNet-Lite0, photos from pip, five layers
  atlas plan sweep=all                           what a whole-network run would make, and cost
  atlas run model=torchvision model.name=resnet50 dataset=folder dataset.root=photos/ sweep=all
  atlas status atlases/efficientnet_lite0        how far a run is
  atlas view atlases/efficientnet_lite0          look at it in the browser

Each command has its own help: atlas run --help""",
    "run": """\
examples:
  atlas run
  atlas run sweep=select 'sweep.select.0.include=["_blocks.1?"]' store.root=late-blocks
  atlas run model=torchvision model.name=resnet18 model.weights=checkpoint.pth dataset=folder dataset.root=photos/
  atlas run -m model=torchvision model.name=resnet18,resnet50     one atlas each

The groups (model, dataset, sweep, scan, optimize, assemble, executor, store) and their choices are the folders and
files of conf/, each with comments. A stopped or killed run goes on where it was when the same command is given
again.""",
    "plan": """\
examples:
  atlas plan sweep=all
  atlas plan model=torchvision model.name=vgg16 model.weights=none sweep=main_layers

  atlas plan sweep=all executor.price_per_hour=0.9 --json

Takes the same overrides as atlas run. Changes nothing. Times are those of workers like the ones that did earlier tasks
in this root; without any, a few steps of the model are timed on this machine. --id prints a name that is the same for
the same results under the same root, so that a scheduler can refuse a second job for them. --json prints an object for
each configuration:
  format             1; later versions add fields and rename none
  root, model, examples, passed_over
  layers             [{layer, type, shape, channels, pictures, done}]
  stages             [{name, unit, total, reused, tasks, worker_seconds, longest_task_seconds, source}]
  forward_passes     work left, in passes of one image through the whole network; a step counts as three
  bytes_written      that the rest adds to the root
  price_per_hour     executor.price_per_hour, or null
  workers            [{workers, seconds, price}] for 1, 8 and 64 workers""",
    "doctor": """\
examples:
  atlas doctor
  atlas doctor executor=ray executor.address=10.0.0.7:6379 store.root=s3://bucket/atlas

Takes the same overrides as atlas run, and tries what that run needs: versions, device, threads, cluster, store, model,
dataset, plan, space. Each line says ok, or what is wrong and how to mend it; the exit code is 1 if any is wrong. Under
the root a small file is written and removed. --json prints {format, ok, checks: [{name, ok, says}]}.""",
    "layers": """\
examples:
  atlas layers
  atlas layers model=torchvision model.name=resnet50 model.weights=none

The names and types here are what sweep.select.N.include, exclude and types match.""",
    "status": """\
examples:
  atlas status atlases/efficientnet_lite0
  atlas status s3://bucket/atlas --json | jq '.stages[] | {name, done, total, seconds_left}'

Reads the root alone: works from any machine, also while a run is going. Rate and time left are those of the last
stretch of work, of all workers together. --json prints one object:
  format             1; later versions add fields and rename none
  root, model, dataset, examples
  stages             [{name, unit, done, total, failures, per_second, seconds_left, last_activity}], in order;
                     null where it is not known; times as ISO 8601, UTC
  holder             who works on the root: {host, pid, run, since, heartbeat, alive}, or null
  holders            all of them, where several do a share of the sweep each (sweep.share)
  unreadable         [{example_id, reason}]
  snapshot           {number, created} of the newest one, or null""",
    "view": """\
examples:
  atlas view atlases/efficientnet_lite0
  atlas view s3://bucket/atlas --port 8080 --no-browser

The pages also open from disk: ROOT/site/index.html.""",
    "sheet": """\
examples:
  atlas sheet atlases/efficientnet_lite0
  atlas sheet atlases/enemy --layer _blocks.13 --output noise.png --size 200

A row for each unit, a column for each variant: side by side what recipes, signs, seeds and sets make.""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parsed(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _stop)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except AtlasError as error:
        print(f"atlas: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return _stopped(options)
    except BrokenPipeError:
        _close_output()  # the reader of our output went away (atlas layers | head); there is nobody to tell
        return 0
    except OSError as error:
        _close_output()
        print(f"atlas: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""), file=sys.stderr)  # noqa: T201
        return 1


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; overrides may stand before, between and behind them."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    unknown = [word for word in rest if word.startswith("-") or not hasattr(options, "overrides")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)} (see atlas {options.name} --help)")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _close_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not stumble over it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(signum: int, frame: FrameType | None) -> None:
    """Stop the run; let no further SIGTERM cut the cleaning up short. Slurm's `scancel` sends one to each process."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stopped(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.name == "run":
        print("atlas: stopped; what was finished is kept. Give the same command again to go on.", file=sys.stderr)  # noqa: T201
    return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = _formatted(argparse.ArgumentParser(prog="atlas", description=DESCRIPTION, epilog=EXAMPLES[""]))
    parser.add_argument("--version", action="version", version=f"atlas {__version__}")
    commands = parser.add_subparsers(title="commands", dest="name", metavar="COMMAND", required=True)
    run = _command(commands, "run", _run, "make an atlas, or go on with one")
    plan = _command(commands, "plan", _plan, "say what a run would make and cost; change nothing")
    doctor = _command(commands, "doctor", _doctor, "try everything that a run needs; say how to mend what is wrong")
    layers = _command(commands, "layers", _layers, "list a model's layers: names, types, shapes, channels")
    status = _command(commands, "status", _status, "say how far an atlas is")
    view = _command(commands, "view", _view, "look at an atlas in the browser")
    sheet = _command(commands, "sheet", _sheet, "put pictures of an atlas side by side in one PNG")
    for command in (run, plan):
        command.add_argument(
            "-m", "--multirun", action="store_true", help="run every combination of comma-separated values"
        )
    for command in (run, plan, doctor, layers):
        command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=OVERRIDES)
        command.add_argument("--config-dir", metavar="DIR", help="a folder with configuration groups of your own")
    for command in (status, view, sheet):
        command.add_argument("root", metavar="ROOT", help="the atlas: a folder, or a URI such as s3://bucket/atlas")
    for command in (plan, doctor, status):
        command.add_argument("--json", action="store_true", help="print JSON, for other programs")
    plan.add_argument("--id", action="store_true", help="print only the run's name, for schedulers")
    view.add_argument("--port", type=int, default=0, help="port to serve on (default: a free one)")
    view.add_argument("--no-browser", action="store_true", help="only print the address")
    sheet.add_argument("--layer", action="append", metavar="NAME", help="only this layer (may be given several times)")
    sheet.add_argument("--units", type=int, default=12, help="units of each layer, at most (default: 12)")
    sheet.add_argument("--size", type=int, default=160, metavar="PX", help="side of a picture (default: 160)")
    sheet.add_argument("--output", default="sheet.png", metavar="FILE", help="where to write (default: sheet.png)")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    described = summary[0].upper() + summary[1:] + "."
    parser = commands.add_parser(name, help=summary, description=described, epilog=EXAMPLES[name])
    parser.set_defaults(command=function)
    return _formatted(parser)


def _formatted(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


# Each command loads what it needs when it runs: `atlas --help` must not wait for torch.


def _run(options: argparse.Namespace) -> int:
    from network_atlas.cli.commands import run_command

    return run_command(_configs(options))


def _plan(options: argparse.Namespace) -> int:
    from network_atlas.cli.commands import plan_command

    return plan_command(_configs(options), as_json=options.json, only_id=options.id)


def _configs(options: argparse.Namespace) -> list:  # type: ignore[type-arg]
    from network_atlas.config.compose import compose, compose_all

    if options.multirun:
        return compose_all(options.overrides, config_dir=options.config_dir)
    return [compose(options.overrides, config_dir=options.config_dir)]


def _doctor(options: argparse.Namespace) -> int:
    from network_atlas.cli.doctor import doctor_command
    from network_atlas.config.compose import compose

    return doctor_command(compose(options.overrides, config_dir=options.config_dir), as_json=options.json)


def _layers(options: argparse.Namespace) -> int:
    from network_atlas.cli.commands import layers_command
    from network_atlas.config.compose import compose

    return layers_command(compose(options.overrides, config_dir=options.config_dir))


def _status(options: argparse.Namespace) -> int:
    from network_atlas.cli.status import status_command

    return status_command(options.root, as_json=options.json)


def _view(options: argparse.Namespace) -> int:
    from network_atlas.cli.commands import view_command

    return view_command(options.root, port=options.port, browser=not options.no_browser)


def _sheet(options: argparse.Namespace) -> int:
    from network_atlas.cli.commands import sheet_command

    return sheet_command(
        options.root, layers=options.layer, units=options.units, size_px=options.size, file=options.output
    )


if __name__ == "__main__":
    sys.exit(main())
