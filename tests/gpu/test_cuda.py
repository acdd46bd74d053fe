"""Every text for CUDA compiles by NVRTC, without a GPU; what registers it takes stands in a table.

After a deliberate change run with MONOSCAN_UPDATE_GOLDENS=1 and read the difference.
"""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from cases import CASES, DERIVED, adjoints, launches, plan
from selection import thinned
from test_one_pass import SelectiveScan

import monoscan as ms
from monoscan.cli import target
from monoscan.lowering.render import cuda
from monoscan.lowering.targets.cuda import nvrtc
from monoscan.lowering.targets.cuda.cubin import registers
from monoscan.monoids import named

TABLE = Path(__file__).parent / "goldens" / "registers.json"
ARCHITECTURES = ("sm_80", "sm_90", "sm_120")


def _missing() -> bool:
    try:
        nvrtc.library()
    except nvrtc.NvrtcError:
        return True
    return False


pytestmark = pytest.mark.skipif(_missing(), reason="no NVRTC")


def test_a_refused_text_says_why() -> None:
    with pytest.raises(nvrtc.NvrtcError, match="storage class"):
        nvrtc.compile_text("nonsense", "sm_90")


def test_the_kernel_that_clears_flags_compiles() -> None:
    assert nvrtc.compile_text(cuda.CLEAR, "sm_90").code


@pytest.mark.parametrize(
    ("architecture", "name"), thinned(product(ARCHITECTURES, CASES), [("sm_90", "affine rows"), ("sm_90", "segments")])
)
def test_registers(architecture: str, name: str) -> None:
    """Within the budget nothing spills, and the table is as it was for this version of NVRTC."""
    compare(architecture, name, [launch.spec for launch in launches(CASES[name], "cuda")])


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("architecture", "name"), thinned(product(ARCHITECTURES, DERIVED), []))
def test_registers_of_derivatives(architecture: str, name: str) -> None:
    compare(architecture, f"derivatives: {name}", [spec for spec, *_ in adjoints(CASES[name], "cuda")])


AGGREGATED = {"selective scan in order": 8, "selective scan by products": 1}
"""Batches of 256 channels."""


@pytest.mark.parametrize(("architecture", "name"), thinned(product(ARCHITECTURES, AGGREGATED), []))
def test_registers_of_an_aggregator(architecture: str, name: str) -> None:
    """A selective scan of 16 states, in one pass or in three launches."""
    lead, states = mx.zeros((AGGREGATED[name], 512, 256)), mx.zeros((AGGREGATED[name], 512, 1, 16))
    inputs = (lead, ms.fixed(mx.zeros((256, 16))), states, states, lead)
    kernel = ms.explain(SelectiveScan(), inputs, 1, stream=mx.gpu).kernel
    compare(architecture, name, [launch.spec for launch in kernel.launches_for("cuda")])


@pytest.mark.long
def test_wide_states_share_no_more_than_there_is() -> None:
    for launch in launches(plan(ms.MatMul(), mx.ones((500, 64, 5, 5))), "cuda"):
        assert nvrtc.compile_text(cuda.text(launch.spec), "sm_90").code


def compare(architecture: str, name: str, specs: list[Any]) -> None:
    """Compares with the table."""
    cubins = [nvrtc.compile_text(cuda.text(spec), architecture) for spec in specs]
    found = [[cubin.registers, cubin.spilled] for cubin in cubins]
    assert not any(spilled for _, spilled in found)
    tables = json.loads(TABLE.read_text())
    key = f"NVRTC {nvrtc.version()}, {architecture}"
    if os.environ.get("MONOSCAN_UPDATE_GOLDENS"):
        tables.setdefault(key, {})[name] = found
        TABLE.write_text(json.dumps(tables, indent=1, sort_keys=True) + "\n")
    assert found == tables.get(key, {}).get(name, found)


def test_code_says_what_registers_it_takes() -> None:
    for architecture in ARCHITECTURES:
        cubin = nvrtc.compile_text(cuda.text(launches(CASES["affine rows"], "cuda")[0].spec), architecture)
        assert registers(cubin.code) == cubin.registers > 0
    assert registers(b"no code") is None


NAMES = [name for name in named.catalogue() if name not in ("Via",)]


@pytest.mark.parametrize("name", thinned(NAMES, []))
def test_the_catalogue_compiles(name: str) -> None:
    operator = named.operator(ARGUMENTS.get(name, name))
    for lead, axis in (((4, 1000), 1), ((50, 40), 0), ((1, 100_000), 1)):
        planned = plan(operator, target.example(operator, lead), axis)
        for launch in launches(planned, "cuda"):
            nvrtc.compile_text(cuda.text(launch.spec), "sm_90")


ARGUMENTS = {
    "Dual": "Dual(First())", "FiniteMap": "FiniteMap(2)", "Maybe": "Maybe(Last())", "Segmented": "Segmented(Max())",
    "Semidirect": "Semidirect(Product(), Sum())", "SemiringMatMul": "SemiringMatMul(MaxPlus())",
    "Struct": "Struct(mean=Mean(), peak=Max())", "Tuple": "Tuple(Min(), Max())",
}  # fmt: skip
