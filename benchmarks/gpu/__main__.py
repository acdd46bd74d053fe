"""The command line: on a machine with a GPU no arguments, elsewhere a package for one, or a dry run."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.gpu import on_mlx
from benchmarks.gpu.carried import main as carried
from benchmarks.gpu.carried import package
from benchmarks.gpu.carried.driver import Cuda, Unavailable
from benchmarks.gpu.carried.main import NOTHING, RIGHT, WRONG
from benchmarks.gpu.cases import checked, timed
from benchmarks.gpu.pack import ARCHITECTURES, pack, pack_cub
from benchmarks.gpu.sweep import swept
from monoscan.lowering.targets.cuda.nvrtc import NvrtcError

ON_A_MAC = 1 << 23
"""The most elements that are timed by MLX: more take longer than two minutes, and memory that a laptop has not."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Check monoscan's kernels on the GPU of this machine, then time them. Exit status: 0 all is right, "
        "1 something is wrong, 2 nothing was run.",
    )
    parser.add_argument(
        "--pack", type=Path, metavar="FOLDER", help="make a folder that 'python FOLDER' runs on a machine with an NVIDIA "
        "GPU, Python and NumPy, and neither monoscan, MLX nor a network",
    )  # fmt: skip
    parser.add_argument(
        "--architectures",
        default=",".join(ARCHITECTURES),
        metavar="NAMES",
        help="what a package holds code for (%(default)s)",
    )
    parser.add_argument(
        "--sweep", action="store_true", help="time every form of the bodies on the NVIDIA GPU of this machine, and say which "
        "are the fastest; with --pack or --dry-run likewise",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="compile everything and say what would be launched")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    options = parse(arguments)
    architectures = tuple(options.architectures.split(","))
    try:
        if options.pack is not None:
            return packed(options.pack, architectures, options.sweep)
        if options.dry_run:
            return dry_run(architectures, options.sweep)
        return on_this_machine(options.sweep)
    except (NvrtcError, FileExistsError) as error:
        print(f"Nothing was run: {error}.")
        return NOTHING


def on_this_machine(sweep: bool) -> int:
    """By MLX where it has a GPU; else, and for all forms, by the driver, with code that is made now."""
    reason = "" if sweep else on_mlx.missing()
    if not sweep and not reason:
        report = on_mlx.run(checked(), timed(ON_A_MAC), on_mlx.machine())
        print(f"\nPlease paste this into an issue:\n\n{report.text()}")
        return WRONG if report.wrong else RIGHT
    try:
        cuda = Cuda()
    except Unavailable as error:
        print(f"Nothing was run: {'; '.join(filter(None, (reason, str(error))))}. --dry-run and --pack need no GPU.")
        return NOTHING
    with tempfile.TemporaryDirectory() as folder:
        _pack(Path(folder), (cuda.architecture,), sweep)
        if not sweep:
            pack_cub(Path(folder), (cuda.architecture,))
        return carried.main(Path(folder))


def _pack(folder: Path, architectures: tuple[str, ...], sweep: bool) -> package.Manifest:
    if sweep:
        return pack(folder, (), (), architectures, swept=swept())
    return pack(folder, checked(), timed(), architectures)


def packed(folder: Path, architectures: tuple[str, ...], sweep: bool) -> int:
    """Makes a package."""
    manifest = _pack(folder, architectures, sweep)
    cub = "forms are not raced" if sweep else pack_cub(folder, architectures)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    what = f"{len(manifest.cases)} cases, {len(manifest.kernels)} kernels for {', '.join(manifest.architectures)}"
    print(f"{folder}: {what}, {size / 2**20:.0f} MiB; CUB {'is not in it: ' + cub if cub else 'is in it'}.")
    print(f"On a machine with an NVIDIA GPU: python {folder.name}")
    return RIGHT


def dry_run(architectures: tuple[str, ...], sweep: bool) -> int:
    """All but the launches: code for every architecture, the manifest written and read, what would be launched."""
    with tempfile.TemporaryDirectory() as folder:
        written = _pack(Path(folder), architectures, sweep)
        manifest, stored = package.read(Path(folder)), package.arrays(Path(folder))
        for case in manifest.cases:
            print(f"{case.name}: {', then '.join(_launch(manifest, launch) for launch in case.launches)}")
        named = {each.values for case in manifest.cases for each in (*case.buffers, *case.expected)}
        absent = sorted(name for name in named - {""} - stored.keys() if not name.startswith("leaf "))
    if absent or manifest != written:
        print(f"The package is broken: {absent or 'its manifest reads otherwise than it was written'}.")
        return WRONG
    print(
        f"Nothing was run. {len(manifest.cases)} cases, {len(manifest.kernels)} kernels for {', '.join(architectures)}."
    )
    return NOTHING


def _launch(manifest: package.Manifest, launch: package.Launch) -> str:
    kernel = manifest.kernels[launch.kernel]
    registers = ", ".join(f"{number} on {name}" for name, number in kernel.registers.items())
    return f"{launch.body} by {launch.grid[0] * launch.grid[1]} groups of {launch.threads} threads (registers: {registers})"


if __name__ == "__main__":
    sys.exit(main())
