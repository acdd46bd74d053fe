"""Recurrent layers of ``mlx.nn`` whose states are scans: trained in parallel over time, decoded step by step.

Each layer takes ``x`` of shape ``(..., time, dims)``, the state of an earlier call and the lengths of padded rows, and
returns outputs and the last state; ``step`` is one position.
"""

from monoscan.nn.attention import GatedLinearAttention
from monoscan.nn.gated import RGLRU, MinGRU, MinLSTM
from monoscan.nn.lru import LRU
from monoscan.nn.recurrent import Recurrent
from monoscan.nn.s5 import S5
from monoscan.nn.selective import SelectiveSSM

__all__ = ["LRU", "RGLRU", "S5", "GatedLinearAttention", "MinGRU", "MinLSTM", "Recurrent", "SelectiveSSM"]
