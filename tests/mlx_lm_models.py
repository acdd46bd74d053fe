"""Small models of mlx-lm, made without downloads."""

from __future__ import annotations

import importlib
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map

_MAMBA = {
    "model_type": "mamba",
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "state_size": 4,
    "num_hidden_layers": 2,
    "conv_kernel": 4,
    "use_bias": False,
    "use_conv_bias": True,
    "time_step_rank": 3,
}
_JAMBA = {
    "model_type": "jamba",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "attn_layer_offset": 1,
    "attn_layer_period": 2,
    "expert_layer_offset": 1,
    "expert_layer_period": 2,
    "mamba_d_conv": 4,
    "mamba_d_state": 4,
    "mamba_expand": 2,
    "num_experts": 1,
    "num_experts_per_tok": 1,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 512,
    "vocab_size": 32,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "mamba": _MAMBA,
    "falcon_mamba": _MAMBA | {"model_type": "falcon_mamba"},
    "jamba": _JAMBA,
}
MODELS = list(ARGUMENTS)


def build(name: str, **others: Any) -> Any:
    """A model whose parameters are all random: some start at zero and would hide errors."""
    mx.random.seed(0)
    arguments = ARGUMENTS[name] | others
    module = importlib.import_module(f"mlx_lm.models.{FILES.get(name, name)}")
    model = module.Model(module.ModelArgs.from_dict(arguments))
    keys = iter(mx.random.split(mx.random.key(7), 1000))
    model.update(tree_map(lambda p: p + 0.2 * mx.random.normal(p.shape, key=next(keys)), model.parameters()))
    return model.eval()


FILES = {"falcon_mamba": "mamba"}
"""The file of a model, where it is another name."""
