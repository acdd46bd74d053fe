"""A driver's library that has the machine of fibres for a GPU: memory is this process's, code is a name."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from shim_driver import NUMPY, Shim

from monoscan.lowering.render.gpu_spec import Body, GpuSpec


@attrs.define
class FakeCuda:
    """What `benchmarks.gpu.carried.driver` asks of ``libcuda``, and no more.

    Args:
        codes: The kernel that each code stands for.
        start: What runs it.
        capability: The GPU's.
        failing: A function that fails.
        launched: Bodies, grids and threads of all launches.
        memory: What is allocated, by address.
    """

    codes: Mapping[bytes, GpuSpec]
    start: Shim = attrs.field(factory=Shim)
    capability: tuple[int, int] = (9, 0)
    failing: str = ""
    launched: list[tuple[str, tuple[int, int], int]] = attrs.field(factory=list)
    memory: dict[int, Any] = attrs.field(factory=dict)
    _loaded: list[bytes] = attrs.field(factory=list)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu") and name == object.__getattribute__(self, "failing"):
            return lambda *_: 100
        return object.__getattribute__(self, name)

    def cuInit(self, flags: Any) -> int:
        return 0

    def cuDeviceGet(self, device: Any, number: Any) -> int:
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:
        context._obj.value = 1
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:
        return 0

    def cuCtxSynchronize(self) -> int:
        return 0

    def cuDeviceGetName(self, text: Any, size: Any, device: Any) -> int:
        text.value = b"a machine of fibres"
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: Any, device: Any) -> int:
        value._obj.value = self.capability[which.value - 75]
        return 0

    def cuDriverGetVersion(self, value: Any) -> int:
        value._obj.value = 13000
        return 0

    def cuGetErrorName(self, failed: Any, text: Any) -> int:
        text._obj.value = b"CUDA_ERROR_NO_DEVICE"
        return 0

    def cuMemAlloc_v2(self, address: Any, size: Any) -> int:
        memory = np.empty(size.value + 32, np.uint8)
        start = -memory.ctypes.data % 32
        found = memory[start : start + size.value]
        address._obj.value = found.ctypes.data
        self.memory[found.ctypes.data] = found
        return 0

    def cuMemFree_v2(self, address: Any) -> int:
        del self.memory[address.value]
        return 0

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:
        free._obj.value = total._obj.value = 1 << 30
        return 0

    def cuMemcpyHtoD_v2(self, to: Any, source: Any, size: Any) -> int:
        return self._moved(to.value, source.value, size.value, to.value)

    def cuMemcpyDtoH_v2(self, to: Any, source: Any, size: Any) -> int:
        return self._moved(to.value, source.value, size.value, source.value)

    def cuMemcpyDtoDAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:
        return self._moved(to.value, source.value, size.value, source.value)

    def cuMemsetD8Async(self, address: Any, byte: Any, size: Any, stream: Any) -> int:
        self.memory[address.value][: size.value] = byte.value
        return 0

    def cuModuleLoadData(self, module: Any, code: Any) -> int:
        self._loaded.append(code.value)
        module._obj.value = len(self._loaded)
        return 0

    def cuModuleGetFunction(self, function: Any, module: Any, symbol: Any) -> int:
        assert symbol.value == b"monoscan_kernel"
        function._obj.value = module.value
        return 0

    def cuLaunchKernel(self, function: Any, *rest: Any) -> int:
        *sizes, _, parameters, _ = rest
        across, down, _, threads, *_ = (size.value for size in sizes)
        spec = self.codes[self._loaded[function.value - 1]]
        assert threads == spec.threads
        places = ["int64", *["uint32"] * (spec.body is Body.LOOK_BACK), *(array.dtype for array in spec.arrays)]
        addresses = [ctypes.cast(each, ctypes.POINTER(ctypes.c_uint64))[0] for each in parameters]
        given = [self.memory[a].view(NUMPY.get(d, d)) for a, d in zip(addresses, places, strict=True)]
        outputs = sum(array.written for array in spec.arrays)
        self.start.run(spec, given[: len(given) - outputs], given[len(given) - outputs :], across * down)
        self.launched.append((spec.body.value, (across, down), threads))
        return 0

    def _moved(self, to: int, source: int, size: int, device: int) -> int:
        assert size <= len(self.memory[device])
        ctypes.memmove(to, source, size)
        return 0
