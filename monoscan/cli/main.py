"""The command line: ``monoscan demo | info | explain | source | laws | bench | cache``."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoscan import __version__, dtypes, errors
from monoscan.lowering.plan.options import STRATEGIES

if TYPE_CHECKING:
    from monoscan.lowering.plan.plan import Plan

_SVG = "also draw the network of a portable --strategy, up to 32 elements, into this file"
_MOST, _WIDEST = 2**31 - 1, 256
_OPERATOR = "an operator, as Affine or 'Segmented(Sum())', or package.module:Name of your own"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The arguments without the program's name; those of the process by default.

    Returns:
        int: 0 on success, 1 where laws fail, 2 on wrong input, 130 where it was interrupted.
    """
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        arguments.command.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except errors.ScanError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has seen enough
        _drop_output()
        return 0
    except OSError as error:  # a full disk, for example
        print(f"[{arguments.command.prog}] {error}", file=sys.stderr)
        _drop_output()
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _drop_output() -> None:
    """Python would flush what is left, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("monoscan", description="A composable monoid algebra for parallel scans on MLX.")
    parser.add_argument("--version", action="version", version=f"monoscan {__version__}")
    commands = parser.add_subparsers(required=True)
    demo = _command(commands, "demo", _demo, "the main job: the Nile, a linear recurrence, a monoid of your own")
    demo.add_argument("--out", type=Path, metavar="PNG", help="also draw the Nile into this file, with matplotlib")
    _add_json(_command(commands, "info", _info, "versions, devices, and which strategies work here"))
    explain = _command(commands, "explain", _explain, "what would run, and why")
    _add_problem(explain)
    explain.add_argument("--svg", type=Path, metavar="FILE", help=_SVG)
    _add_json(explain)
    source = _command(commands, "source", _source, "the program that combine is traced to")
    _add_problem(source)
    text = source.add_mutually_exclusive_group()
    text.add_argument("--kernel", action="store_true", help="print the C++ text of the kernel instead")
    text.add_argument(
        "--target",
        choices=("metal", "cuda"),
        help="print what would be compiled for such a GPU instead, on any machine",
    )
    source.add_argument("--expand", action="store_true", help="with --kernel: and all headers that it includes")
    bench = _command(commands, "bench", _bench, "time one scan here, against mx.cumsum and the portable strategies")
    _add_problem(bench, (1_000_000,))
    bench.add_argument("--seconds", type=float, default=2.0, help="about how long to measure, in all (default: 2)")
    _add_json(bench)
    laws = _command(
        commands, "laws", _laws, "check an operator's laws; exits with 1 and the counterexample if one fails"
    )
    laws.add_argument("operator", help=_OPERATOR)
    laws.add_argument("--seed", type=int, default=0, help="of the examples (default: 0)")
    laws.add_argument("--examples", type=_positive, default=100, help="for each law (default: 100)")
    laws.add_argument("--dtype", choices=dtypes.NAMES, help="of the raw numbers (default: float32, then int32)")
    laws.add_argument("--size", type=_extent, default=2, help="the length of event axes (default: 2)")
    cache = _command(commands, "cache", _cache, "empty the folder of compiled code")
    cache.add_argument("what", choices=("clear",), help="remove all of it; what runs now goes on")
    return parser


def _command(commands: argparse._SubParsersAction, name: str, run: object, text: str) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    command.set_defaults(run=run, command=command)
    return command


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print it as JSON, for programs to read")


def _add_problem(command: argparse.ArgumentParser, shape: tuple[int, ...] = (1024,)) -> None:
    shown = ",".join(map(str, shape))
    command.add_argument("operator", help=_OPERATOR)
    command.add_argument(
        "--shape", type=_shape, default=shape, help=f"of each leaf without event axes, as 64,1024 (default: {shown})"
    )
    command.add_argument("--axis", type=int, default=0, help="the scan axis (default: 0)")
    command.add_argument(
        "--dtype", choices=dtypes.NAMES, help="of the elements (default: float32, or what the operator takes)"
    )
    command.add_argument(
        "--event",
        type=_extent,
        help="the size of event axes, as of matrices (default: what the operator needs, else 2)",
    )
    command.add_argument("--reverse", action="store_true", help="fold from the last element back")
    command.add_argument("--exclusive", action="store_true", help="each position without its own element")
    command.add_argument("--strategy", choices=STRATEGIES, default="auto", help="force one (default: auto)")


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(size) for size in text.strip("()").split(",") if size.strip())
    except ValueError:
        shape = ()
    if not shape or min(shape) < 0 or math.prod(shape) > _MOST:
        raise argparse.ArgumentTypeError(
            f"a shape is sizes with commas, as 64,1024; got {text!r}"
            + (", which is too large" if shape and min(shape) >= 0 else "")
        )
    return shape


def _positive(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"a size is a positive number; got {text!r}")
    return int(text)


def _extent(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= _WIDEST:
        raise argparse.ArgumentTypeError(f"the size of an event axis is a number from 1 to {_WIDEST}; got {text!r}")
    return int(text)


def _demo(arguments: argparse.Namespace) -> int:
    from monoscan.demo import run

    run(arguments.out)
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from monoscan.cli import info

    report = info.report()
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(info.lines(report)))
    return 0


def _cache(arguments: argparse.Namespace) -> int:
    from monoscan.lowering.targets.cpu import pruning

    cleared = pruning.clear()
    print("\n".join(f"removed {held} from {folder}" for folder, held in cleared) or "there was no compiled code")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from monoscan.cli import as_json, files, info
    from monoscan.lowering.pictures import svg
    from monoscan.lowering.pictures.network import TREES

    plan = _plan(arguments)
    if plan.source:  # no scan follows that would find out whether this can be built
        info.kernels_here()
        plan = _plan(arguments)
    drawn = None if arguments.svg is None else plan.network()
    if drawn is not None:
        files.write("explain", arguments.svg, svg.draw(drawn))
    if arguments.json:
        print(json.dumps(as_json.of(plan), indent=2))
        return 0
    print(plan)
    if drawn is not None:
        whole = f", drawn down to single elements: {drawn.work:,} combines, depth {drawn.depth}"
        print(f"  network   {arguments.svg}{whole if drawn.strategy in TREES else ''}")
    return 0


def _source(arguments: argparse.Namespace) -> int:
    from monoscan.cli import source

    if arguments.expand and not arguments.kernel:
        arguments.command.error("argument --expand: it goes with --kernel")
    if arguments.target is not None:
        print(source.gpu_kernel(_plan(arguments, "auto", device="gpu"), arguments.strategy, arguments.target))
        return 0
    plan = _plan(arguments)
    if arguments.kernel:
        print(source.kernel(plan, _plan(arguments, "kernel"), arguments.expand))
    else:
        print(source.program(plan))
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from monoscan.cli import bench, target
    from monoscan.monoids import named

    if not 0 < arguments.seconds < float("inf"):
        raise errors.ScanError(f"[bench] --seconds is a positive number; got {arguments.seconds:g}.")
    operator = named.operator(arguments.operator)
    elems = target.example(operator, arguments.shape, arguments.dtype, arguments.event)
    race = bench.race(operator, elems, arguments.seconds, **_options(arguments))
    print(json.dumps(bench.as_data(race), indent=2) if arguments.json else "\n".join(bench.lines(race)), flush=True)
    return 0


def _plan(arguments: argparse.Namespace, strategy: str | None = None, device: str | None = None) -> Plan:
    import mlx.core as mx

    import monoscan
    from monoscan.cli import target
    from monoscan.monoids import named

    operator = named.operator(arguments.operator)
    elems = target.example(operator, arguments.shape, arguments.dtype, arguments.event, drawn=False)
    options = _options(arguments)
    stream = mx.gpu if device == "gpu" else None
    chosen = options | {"strategy": strategy or options["strategy"]}
    plan: Plan = monoscan.explain(operator, elems, **chosen, stream=stream)
    return plan


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "axis": arguments.axis,
        "reverse": arguments.reverse,
        "inclusive": not arguments.exclusive,
        "strategy": arguments.strategy,
    }


def _laws(arguments: argparse.Namespace) -> int:
    try:
        from monoscan.testing import run_laws
    except ModuleNotFoundError as error:
        raise errors.ScanError(f'[laws] needs {error.name}: pip install "monoscan[test]".') from error
    options: dict[str, Any] = {} if arguments.dtype is None else {"dtypes": (arguments.dtype,)}
    return run_laws(
        arguments.operator, seed=arguments.seed, examples=arguments.examples, size=arguments.size, **options
    )
