"""A sequence that is split over the ranks of an ``mx.distributed`` group: each holds a part, and gets its results.

Nothing of it is loaded by ``import monoscan``.
"""

from monoscan.distributed.api import fold as fold
from monoscan.distributed.api import linear_recurrence as linear_recurrence
from monoscan.distributed.api import scan as scan
from monoscan.distributed.api_explain import explain as explain
from monoscan.distributed.api_states import act as act
from monoscan.distributed.api_states import loop as loop
from monoscan.errors import DistributedError as DistributedError
