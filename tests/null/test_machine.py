"""What is asked of the processor, here and as macOS would answer."""

from __future__ import annotations

import platform
import sys

import pytest

from monoscan.lowering.targets.cpu import machine, recipe, registers


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(sys, "platform", "darwin")
    return monkeypatch


def says(patch: pytest.MonkeyPatch, architecture: str, answers: dict[str, str]) -> str:
    """The identity of such a machine."""
    patch.setattr(platform, "machine", lambda: architecture)
    patch.setattr(machine, "_sysctl", lambda name: answers.get(name, ""))
    return machine.cpu_identity.__wrapped__()


def test_macs_are_told_apart_by_the_names_of_their_processors(mac: pytest.MonkeyPatch) -> None:
    first = says(mac, "arm64", {"machdep.cpu.brand_string": "Apple M1"})
    second = says(mac, "arm64", {"machdep.cpu.brand_string": "Apple M3 Max"})
    assert first != second
    assert "m1" in first


def test_vectors_of_a_mac_with_an_intel_processor_are_as_wide_as_its_features_say(mac: pytest.MonkeyPatch) -> None:
    features = {"machdep.cpu.features": "FPU SSE4.2 AVX1.0", "machdep.cpu.leaf7_features": "BMI1 AVX2 BMI2"}
    for answers, width in ((features, 32), ({}, 16)):
        identity = says(mac, "x86_64", {"machdep.cpu.brand_string": "Intel(R) Core(TM) i7", **answers})
        mac.setattr(registers, "cpu_identity", lambda identity=identity: identity)
        assert registers.vector_bytes.__wrapped__() == width


def test_code_for_a_mac_is_for_the_architecture_of_its_python(mac: pytest.MonkeyPatch) -> None:
    mac.setattr(platform, "machine", lambda: "arm64")
    assert machine.native_flags() == ("-arch", "arm64", "-mcpu=native")
    mac.setattr(platform, "machine", lambda: "x86_64")
    assert machine.native_flags() == ("-arch", "x86_64", "-march=native")
    assert recipe._link_options(recipe.Path("lib"))[-2:] == ("-arch", "x86_64")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_linux_needs_no_architecture() -> None:
    assert machine.architecture_flags() == ()
    assert machine.native_flags() in (("-march=native",), ("-mcpu=native",))
    assert platform.machine() in machine.cpu_identity()
