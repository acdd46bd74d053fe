"""The command line: ``monoscan demo | info | explain | source | laws | bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from monoscan import dtypes, errors
from monoscan.lowering.problem import STRATEGIES

_OPERATOR = "an operator, as Affine or 'Segmented(Sum())', or package.module:Name of your own"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The arguments without the program's name; those of the process by default.

    Returns:
        int: 0 on success, 1 where laws fail, 2 on wrong input.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except errors.ScanError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("monoscan", description="A composable monoid algebra for parallel scans on MLX.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = _command(commands, "demo", _demo, "the main job: the Nile, a linear recurrence, a monoid of your own")
    demo.add_argument("--out", type=Path, metavar="PNG", help="where the plot goes (default: nile.png here, if matplotlib is there)")
    _command(commands, "info", _info, "versions, devices, and which strategies work here")
    explain = _command(commands, "explain", _explain, "what would run, and why")
    _add_problem(explain)
    laws = _command(commands, "laws", _laws, "check an operator's laws; exits with 1 and the counterexample if one fails")
    laws.add_argument("operator", help=_OPERATOR)
    laws.add_argument("--seed", type=int, default=0, help="of the examples (default: 0)")
    laws.add_argument("--examples", type=int, default=100, help="for each law (default: 100)")
    return parser


def _command(commands: argparse._SubParsersAction, name: str, run: object, text: str) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _add_problem(command: argparse.ArgumentParser) -> None:
    command.add_argument("operator", help=_OPERATOR)
    command.add_argument("--shape", type=_shape, default=(1024,), help="of each leaf without event axes, as 64,1024 (default: 1024)")
    command.add_argument("--axis", type=int, default=0, help="the scan axis (default: 0)")
    command.add_argument("--dtype", choices=dtypes.NAMES, default="float32", help="of the elements (default: float32)")
    command.add_argument("--event", type=int, default=2, help="the size of event axes, as of matrices (default: 2)")
    command.add_argument("--reverse", action="store_true", help="fold from the last element back")
    command.add_argument("--exclusive", action="store_true", help="each position without its own element")
    command.add_argument("--strategy", choices=STRATEGIES, default="auto", help="force one (default: auto)")


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.strip("()").split(",") if size.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"a shape is integers with commas, as 64,1024; got {text!r}") from error


def _demo(arguments: argparse.Namespace) -> int:
    from monoscan.demo import run

    run(arguments.out)
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from monoscan.cli import info

    print("\n".join(info.lines()))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    import monoscan
    from monoscan.cli import target

    operator = target.operator(arguments.operator)
    elems = target.example(operator, arguments.shape, arguments.dtype, arguments.event)
    plan = monoscan.explain(
        operator,
        elems,
        axis=arguments.axis,
        reverse=arguments.reverse,
        inclusive=not arguments.exclusive,
        strategy=arguments.strategy,
    )
    print(plan)
    return 0


def _laws(arguments: argparse.Namespace) -> int:
    try:
        from monoscan.testing import run_laws
    except ModuleNotFoundError as error:
        raise errors.ScanError(f'[laws] needs {error.name}: pip install "monoscan[test]".') from error
    return run_laws(arguments.operator, seed=arguments.seed, examples=arguments.examples)


if __name__ == "__main__":
    sys.exit(main())
