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
_GEMMA = {
    "model_type": "recurrent_gemma",
    "attention_bias": False,
    "conv1d_width": 4,
    "hidden_size": 16,
    "intermediate_size": 32,
    "logits_soft_cap": 30.0,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e4,
    "attention_window_size": 64,
    "vocab_size": 32,
    "block_types": ["recurrent", "recurrent", "attention"],
}
_RWKV = {
    "model_type": "rwkv7",
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "norm_eps": 1e-5,
    "head_dim": 8,
    "num_hidden_layers": 2,
    "a_low_rank_dim": 4,
    "v_low_rank_dim": 4,
    "gate_low_rank_dim": 4,
    "decay_low_rank_dim": 4,
}
_DELTA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "rms_norm_eps": 1e-6,
    "vocab_size": 32,
    "max_position_embeddings": 512,
    "rope_theta": 1e4,
    "tie_word_embeddings": False,
}
_LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}
_MOE = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16, "norm_topk_prob": True}
_QWEN_NEXT = (
    _DELTA
    | _LINEAR
    | _MOE
    | {
        "model_type": "qwen3_next",
        "decoder_sparse_step": 1,
        "shared_expert_intermediate_size": 16,
        "mlp_only_layers": [0, 1],
        "partial_rotary_factor": 0.5,
        "full_attention_interval": 2,
    }
)
_QWEN = _DELTA | _LINEAR | {"model_type": "qwen3_5", "full_attention_interval": 2}
_OLMO = (
    _DELTA
    | _LINEAR
    | {
        "model_type": "olmo_hybrid",
        "linear_allow_neg_eigval": True,
        "attention_bias": False,
        "layer_types": ["linear_attention", "full_attention"],
    }
)
_KIMI = (
    _DELTA
    | _MOE
    | {
        "model_type": "kimi_linear",
        "linear_attn_config": {
            "num_heads": 2,
            "head_dim": 8,
            "short_conv_kernel_size": 4,
            "kda_layers": [1],
            "full_attn_layers": [2],
        },
        "model_max_length": 512,
        "kv_lora_rank": 8,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4,
        "v_head_dim": 8,
        "first_k_dense_replace": 2,
    }
)
_BAILING_3 = _DELTA | {
    "model_type": "bailing_hybrid",
    "moe_intermediate_size": 16,
    "moe_shared_expert_intermediate_size": 16,
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "first_k_dense_replace": 2,
    "n_group": 1,
    "topk_group": 1,
    "layer_group_size": 2,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
}
_BAILING = (
    _DELTA
    | _MOE
    | {
        "model_type": "bailing_moe_linear",
        "num_shared_experts": 0,
        "first_k_dense_replace": 2,
        "layer_group_size": 2,
        "group_norm_size": 2,
        "use_qk_norm": True,
    }
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "mamba": _MAMBA,
    "falcon_mamba": _MAMBA | {"model_type": "falcon_mamba"},
    "jamba": _JAMBA,
    "recurrent_gemma": _GEMMA,
    "rwkv7": _RWKV,
    "qwen3_next": _QWEN_NEXT,
    "qwen3_5": _QWEN,
    "kimi_linear": _KIMI,
    "olmo_hybrid": _OLMO,
    "bailing_moe_v3": _BAILING_3,
    "bailing_moe_linear": _BAILING,
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
