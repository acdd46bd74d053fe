"""Shared set-up: everything outside tests/gpu runs on the CPU, where float64 exists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def cpu_unless_a_gpu_test(request: pytest.FixtureRequest) -> Iterator[None]:
    before = mx.default_device()
    if "gpu" not in Path(request.node.path).parts:
        mx.set_default_device(mx.cpu)
    yield
    mx.set_default_device(before)
