"""NVIDIA's driver through ctypes: memory, machine code, launches. It needs neither a toolkit nor a package."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

LIBRARY = "libcuda.so.1"
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class Unavailable(Exception):
    """There is no GPU that this can use; the message says what is missing."""


class DriverError(Exception):
    """The driver refused a call."""


class Cuda:
    """The first GPU, in its primary context, which PyTorch, JAX and CUB use too.

    Args:
        library: The driver's library, or what answers in its place.

    Raises:
        Unavailable: There is no driver or no GPU.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = _loaded() if library is None else library
        try:
            self._call("cuInit", ctypes.c_uint(0))
            device = ctypes.c_int()
            self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
            context = ctypes.c_void_p()
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
            self._call("cuCtxSetCurrent", context)
        except DriverError as error:
            raise Unavailable(f"the NVIDIA driver has no GPU for us: {error}") from error
        self.name = self._name(device)
        self.architecture = f"sm_{self._attribute(MAJOR, device)}{self._attribute(MINOR, device)}"
        self.driver = self._driver()

    def allocate(self, size: int) -> int:
        """The address of so many bytes."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        return address.value

    def release(self, address: int) -> None:
        """Gives memory back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def available(self) -> int:
        """The bytes that are free."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def upload(self, address: int, x: np.ndarray) -> None:
        """Copies an array to the GPU."""
        x = np.ascontiguousarray(x)
        self._call(
            "cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(x.nbytes)
        )

    def download(self, address: int, shape: Sequence[int], dtype: str) -> np.ndarray:
        """A copy of an array on the GPU."""
        x = np.empty(shape, dtype)
        self._call(
            "cuMemcpyDtoH_v2", ctypes.c_void_p(x.ctypes.data), ctypes.c_uint64(address), ctypes.c_size_t(x.nbytes)
        )
        return x

    def fill(self, address: int, byte: int, size: int) -> None:
        """Writes a byte everywhere, when what was asked for before is done."""
        self._call(
            "cuMemsetD8Async", ctypes.c_uint64(address), ctypes.c_ubyte(byte), ctypes.c_size_t(size), ctypes.c_void_p()
        )

    def copy(self, to: int, source: int, size: int) -> None:
        """Copies bytes on the GPU, when what was asked for before is done."""
        self._call(
            "cuMemcpyDtoDAsync_v2",
            ctypes.c_uint64(to),
            ctypes.c_uint64(source),
            ctypes.c_size_t(size),
            ctypes.c_void_p(),
        )

    def load(self, code: bytes, symbol: str) -> ctypes.c_void_p:
        """A function of machine code; its module stays until the process ends."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(code))
        self._call("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(symbol.encode()))
        return function

    def launch(self, function: ctypes.c_void_p, grid: Sequence[int], threads: int, addresses: Sequence[int]) -> None:
        """Starts a kernel of which all arguments are addresses, when what was asked for before is done."""
        values = [ctypes.c_uint64(address) for address in addresses]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        sizes = [ctypes.c_uint(size) for size in (*grid, 1, threads, 1, 1, 0)]
        self._call("cuLaunchKernel", function, *sizes, ctypes.c_void_p(), pointers, ctypes.c_void_p())

    def wait(self) -> None:
        """Returns when all that was asked for is done."""
        self._call("cuCtxSynchronize")

    def _name(self, device: ctypes.c_int) -> str:
        text = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", text, ctypes.c_int(256), device)
        return text.value.decode()

    def _attribute(self, which: int, device: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(which), device)
        return value.value

    def _driver(self) -> str:
        """The CUDA version that the driver knows, and its own version where the system says it."""
        value = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(value))
        return f"CUDA {value.value // 1000}.{value.value % 1000 // 10}{_system_version()}"

    def _call(self, name: str, *arguments: Any) -> None:
        failed = getattr(self._library, name)(*arguments)
        if failed:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(ctypes.c_int(failed), ctypes.byref(text))
            raise DriverError(f"{name} says {(text.value or b'unknown error').decode()} ({failed})")


def _loaded() -> Any:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unavailable(f"no NVIDIA driver: {LIBRARY} was not found") from error


def _system_version() -> str:
    try:
        with open("/proc/driver/nvidia/version", encoding="ascii", errors="replace") as file:
            words = file.readline().split()
    except OSError:
        return ""
    found = next((word for word in words if word[0].isdigit() and "." in word), "")
    return f", {found}" if found else ""
