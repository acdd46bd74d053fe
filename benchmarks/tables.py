"""The tables of the mlx-scan README, with its shapes: `add`, `affine`, and the Mamba-style recurrence."""

from __future__ import annotations

from benchmarks import peers
from benchmarks.model import Case, Peer, Problem, Suite, size_text
from benchmarks.problems import AFFINE, FORGETFUL, SUM

MAMBA_LENGTHS = (128, 512, 1024, 2048)
MAMBA_LANES = (256, 16)
LARGE_BYTES = 8 << 20
"""From this leaf size on, both buffer cache limits are shown: MLX keeps 32 MB by default, a few such leaves."""


def cache_settings(shape: tuple[int, ...]) -> tuple[bool, ...]:
    """Whether to raise the buffer cache: not for small shapes, both ways for large ones."""
    size = 4
    for n in shape:
        size *= n
    return (False, True) if size >= LARGE_BYTES else (False,)


def cases(
    group: str, problem: Problem, shapes: list[tuple[tuple[int, ...], int]], against: str, racers: tuple[Peer, ...]
) -> tuple[Case, ...]:
    """One case per shape, axis and buffer cache setting."""
    return tuple(
        Case(group, size_text(shape, axis), shape, axis, problem, racers, against, raised)
        for shape, axis in shapes
        for raised in cache_settings(shape)
    )


def monoscan_family(problem: Problem) -> tuple[Peer, ...]:
    """Strategy auto, compiled and eager, and each portable strategy."""
    portable = tuple(peers.monoscan(problem, strategy) for strategy in peers.STRATEGIES)
    return (peers.monoscan(problem), peers.monoscan(problem, compiled=False), *portable)


def others(problem: Problem, states_alone: bool = False) -> tuple[Peer, ...]:
    """mlx-scan's two parallel algorithms and JAX's associative scan."""
    algorithms = ("hillis_steele", "blelloch")
    theirs = tuple(peers.mlx_scan(problem, algorithm, states_alone) for algorithm in algorithms)
    return (*theirs, peers.jax_scan(problem, states_alone))


AFFINE_RACERS = (
    *monoscan_family(AFFINE),
    peers.monoscan_recurrence(),
    peers.monoscan_recurrence(compiled=False),
    *others(AFFINE),
    peers.jax_loop(),
    peers.cumsum(leaf=1),
)

ADD = Suite(
    "add",
    "Sum",
    cases(
        "sum",
        SUM,
        [((1024,), 0), ((65536,), 0), ((512, 1024), 1)],
        peers.BLELLOCH,
        (*monoscan_family(SUM), *others(SUM), peers.cumsum()),
    ),
)

AFFINE_TABLE = Suite(
    "affine",
    "Affine maps",
    (
        *cases("affine table", AFFINE, [((1024,), 0), ((8192,), 0), ((128, 256), 1)], peers.BLELLOCH, AFFINE_RACERS),
        *cases(
            "affine, gates that reach 0", FORGETFUL, [((65536,), 0), ((512, 1024), 1)], peers.BLELLOCH, AFFINE_RACERS
        ),
    ),
)

MAMBA = Suite(
    "mamba",
    "Mamba-style recurrence, shape (1, T, 256, 16), axis 1",
    cases(
        "recurrence",
        AFFINE,
        [((1, length, *MAMBA_LANES), 1) for length in MAMBA_LENGTHS],
        peers.BLELLOCH,
        (
            peers.monoscan_recurrence(),
            peers.monoscan_recurrence(compiled=False),
            *others(AFFINE, states_alone=True),
            peers.jax_loop(),
            peers.python_loop(),
        ),
    ),
)
