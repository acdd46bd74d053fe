"""Models of mlx-lm with their loops over time in kernels, against mlx-lm as it is: `monoscan.integrations.mlx_lm`.

Small models of random parameters; nothing is downloaded. Wants mlx-lm: pip install "monoscan[mlx-lm]".
"""

import importlib
import importlib.util
import statistics
import time
from typing import Any

import mlx.core as mx

from monoscan.integrations.mlx_lm import accelerate, restore

TOKENS, VOCABULARY = 256, 64
SHARED = {
    **{"vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 64, "rms_norm_eps": 1e-6, "norm_eps": 1e-6},
    **{"max_position_embeddings": 4096, "model_max_length": 4096, "rope_theta": 1e4, "tie_word_embeddings": False},
    **{"attention_bias": False, "partial_rotary_factor": 0.5, "norm_topk_prob": True, "num_shared_experts": 0},
    **{"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64},
    **{"linear_num_value_heads": 2, "linear_num_key_heads": 2, "linear_key_head_dim": 64, "linear_value_head_dim": 64},
    **{"linear_conv_kernel_dim": 4, "linear_allow_neg_eigval": True, "full_attention_interval": 2},
    **{"q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 64},
    **{"first_k_dense_replace": 2, "layer_group_size": 2, "group_norm_size": 2, "n_group": 1, "topk_group": 1},
}
MAMBA = {"state_size": 16, "conv_kernel": 4, "use_bias": False, "use_conv_bias": True, "time_step_rank": 8}
JAMBA = {"attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2}
OWN: dict[str, dict[str, Any]] = {
    "mamba": MAMBA,
    "jamba": {**JAMBA, "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_expand": 2, "num_experts": 1},
    "recurrent_gemma": {
        **{"conv1d_width": 4, "logits_soft_cap": 30.0, "attention_window_size": 512},
        "block_types": ["recurrent", "attention"],
    },
    "rwkv7": {f"{name}_low_rank_dim": 16 for name in ("a", "v", "gate", "decay")},
    "qwen3_next": {"decoder_sparse_step": 1, "mlp_only_layers": [0, 1]},
    "qwen3_5": {"num_experts": 0},
    "kimi_linear": {
        "linear_attn_config": {"num_heads": 2, "head_dim": 64, "kda_layers": [1], "full_attn_layers": [2]},
    },
    "olmo_hybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "bailing_moe_v3": {"moe_shared_expert_intermediate_size": 64},
    "bailing_moe_linear": {},
}


def build(name: str) -> Any:
    module = importlib.import_module(f"mlx_lm.models.{name}")
    return module.Model(module.ModelArgs.from_dict({"model_type": name, **SHARED, **OWN[name]}))


def milliseconds(model: Any, prompt: mx.array) -> float:
    """Of the processor, for a prompt; the median of three, after one that compiles."""
    times = []
    for _ in range(4):
        started = time.process_time()
        mx.eval(model(prompt, cache=model.make_cache() if hasattr(model, "make_cache") else None))
        times.append(1e3 * (time.process_time() - started))
    return statistics.median(times[1:])


def main() -> None:
    if importlib.util.find_spec("mlx_lm") is None:
        print('mlx-lm is not installed: pip install "monoscan[mlx-lm]"')
        return
    mx.random.seed(0)
    prompt = mx.random.randint(0, VOCABULARY, (1, TOKENS))
    print(f"prompt of {TOKENS} tokens, ms of the processor    mlx-lm    accelerated")
    for name in OWN:
        model = build(name)
        stock, wanted = milliseconds(model, prompt), model(prompt)
        ours, found = milliseconds(accelerate(model), prompt), model(prompt)
        assert mx.abs(found - wanted).max().item() < 1e-4 * mx.abs(wanted).max().item(), name
        assert restore(model) is model
        print(f"{name:44}{stock:10.1f}{ours:10.1f}  {stock / ours:5.1f} times as fast")


if __name__ == "__main__":
    main()
