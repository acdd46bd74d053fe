"""Poses along a chain of frames: where a robot is after each of its moves.

Each move is a rotation and a step, seen from the robot. `Rigid3` composes them, with
quaternions that a projection brings back to length one.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

MOVES = 2_000


def main() -> None:
    rng = np.random.default_rng(0)
    axis = rng.normal(size=(MOVES, 3)) * 0.1 + [0, 0, 1]  # mostly about the vertical
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = rng.normal(0.02, 0.05, size=(MOVES, 1))
    turns = np.hstack([np.cos(angle / 2), np.sin(angle / 2) * axis]).astype(np.float32)
    steps = (rng.normal(size=(MOVES, 3)) * 0.01 + [0.1, 0, 0]).astype(np.float32)

    poses = ms.Rigid3()
    rotation, position = poses.project(ms.scan(poses, (mx.array(turns), mx.array(steps))))
    got = np.array(position)

    expected = plain(turns.astype(np.float64), steps.astype(np.float64))
    np.testing.assert_allclose(got, expected, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(np.array(rotation), axis=1), 1, atol=1e-6)
    print(
        f"{MOVES:,} moves end at {np.round(got[-1], 2)}, as by 4 by 4 matrices in float64, within 1 mm of 10 cm moves"
    )

    back, home = ms.fold(poses, inverse(turns, steps), reverse=True)
    there = ms.fold(poses, (mx.array(turns), mx.array(steps)))
    _, closed = poses.combine(there, (back, home))
    np.testing.assert_allclose(np.array(closed), 0, atol=1e-2)
    print("the inverse moves, from the last to the first, lead back to the start within 1 cm")


def inverse(turns: np.ndarray, steps: np.ndarray) -> tuple[mx.array, mx.array]:
    """Of each move: turn back, and step back in the turned frame."""
    conjugate = turns * [1, -1, -1, -1]
    moved = np.einsum("nij,nj->ni", matrices(conjugate), -steps)
    return mx.array(conjugate.astype(np.float32)), mx.array(moved.astype(np.float32))


def matrices(q: np.ndarray) -> np.ndarray:
    """Rotation matrices of quaternions (w, x, y, z)."""
    w, x, y, z = q.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def plain(turns: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Positions by a loop over homogeneous matrices."""
    pose, positions = np.eye(4), []
    for rotation, step in zip(matrices(turns), steps, strict=True):
        move = np.eye(4)
        move[:3, :3], move[:3, 3] = rotation, step
        pose = pose @ move
        positions.append(pose[:3, 3])
    return np.array(positions)


if __name__ == "__main__":
    main()
