"""What the public calls are made of, loaded by the first call and not by ``import monoscan``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class Later:
    """A module that is imported when something of it is first asked for.

    What was found is an attribute from then on, so that later calls cost what they cost with the module itself.
    Python's import lock lets threads that come together wait for the first.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self._module), name)
        setattr(self, name, found)
        return found


if TYPE_CHECKING:
    from monoscan.distributed import api_explain
    from monoscan.scan import act as act
    from monoscan.scan import aggregate as aggregate
    from monoscan.scan import associative as associative
    from monoscan.scan import call as call
    from monoscan.scan import chunks as chunks
    from monoscan.scan import gates as gates
    from monoscan.scan import loop as loop
    from monoscan.scan import question as question
    from monoscan.scan import stream_state as stream_state
    from monoscan.scan import window as window
    from monoscan.scan.ragged import calls as calls

    split = api_explain
else:
    act = Later("monoscan.scan.act")
    aggregate = Later("monoscan.scan.aggregate")
    associative = Later("monoscan.scan.associative")
    call = Later("monoscan.scan.call")
    gates = Later("monoscan.scan.gates")
    loop = Later("monoscan.scan.loop")
    chunks = Later("monoscan.scan.chunks")
    question = Later("monoscan.scan.question")
    split = Later("monoscan.distributed.api_explain")
    stream_state = Later("monoscan.scan.stream_state")
    window = Later("monoscan.scan.window")
    calls = Later("monoscan.scan.ragged.calls")
