"""``monoscan info``: versions, devices, and which strategies work here."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import mlx.core as mx

import monoscan
from monoscan.lowering.targets.cpu import build, folders, kernels, pruning, registers
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.failures import FAILURES


def lines() -> list[str]:
    """The report, line by line."""
    return [*_versions(), "", *_devices(), "", *_strategies(), "", *_cache()]


def _versions() -> list[str]:
    packages = ("mlx", "numpy", "attrs", "nanobind", "hypothesis", "matplotlib")
    machine = f"{platform.system()} {platform.machine()}"
    return [
        f"monoscan {monoscan.__version__}, Python {platform.python_version()}, {machine}",
        "  " + ", ".join(f"{name} {_version(name)}" for name in packages),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _devices() -> list[str]:
    default = "gpu" if mx.default_device() == mx.Device(mx.gpu) else "cpu"
    return [
        "devices",
        f"  cpu      {_cpu_model()}",
        f"  gpu      {_gpu() or 'none that MLX can use'}",
        f"  default  {default}",
    ]


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _strategies() -> list[str]:
    lines = [
        "strategies",
        "  native         yes: mx.cumsum, cumprod, cummax, cummin, logcumsumexp",
        f"  kernel (cpu)   {kernels_here()}",
        f"  subnormals     {_subnormals()}",
        f"  kernel (gpu)   {_gpu_kernels()}",
    ]
    portable = ("blelloch", "hillis_steele", "brent_kung", "sequential")
    return lines + [f"  {name:<14} yes: MLX array operations, on any device" for name in portable]


def _subnormals() -> str:
    if not registers.flush():
        return "kept, as MONOSCAN_SUBNORMALS asks"
    if platform.machine() in ("x86_64", "AMD64"):
        return "results of kernels are flushed to zero, but beside float64"
    return "kept: they cost nothing on this processor"


def _gpu_kernels() -> str:
    return "no: MLX can use no GPU here" if _gpu() is None else "yes, not tried on hardware by those who wrote them"


def _gpu() -> str | None:
    return "Metal" if mx.metal.is_available() else "CUDA" if mx.cuda.is_available() else None


def kernels_here() -> str:
    """Whether kernels run, found out by building the bridge and compiling one."""
    try:
        build.load()
    except BridgeUnavailable as failure:
        return f"no: {failure.reason}"
    try:
        kernels.check_compiler()
    except BridgeUnavailable as failure:
        return f"only those compiled before: {failure.reason}"
    failed = FAILURES.reasons("kernel")
    return f"yes, but {len(failed)} failed in this process, the first so: {failed[0]}" if failed else "yes"


def _cache() -> list[str]:
    """Where compiled code is kept: the first place that will do."""
    lines = ["compiled code"]
    for place in folders.places_to_keep():
        lines.append(f"  {place.folder}{f', not used: {place.unsafe}' if place.unsafe else ''}")
        if place.unsafe is None:
            held = pruning.size_of(pruning.entries(place.folder))
            limits = f"{pruning.MAX_BYTES >> 20} MiB, {pruning.MAX_DAYS} days without use"
            return [*lines, f"  {held} (at most {limits}; monoscan cache clear empties it)"]
    return [*lines, "  kept for one process alone"]
