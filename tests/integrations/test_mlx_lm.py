"""Accelerated models of mlx-lm give the same logits, tokens, states and gradients as mlx-lm, and go back."""

from __future__ import annotations

import copy
import importlib.metadata
import pickle
from collections.abc import Iterable
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_map

from monoscan import errors
from monoscan.integrations.mlx_lm import accelerate, restore

pytest.importorskip("mlx_lm")

from mlx_lm_models import MODELS, build

TIME = 24


def tokens(*shape: int) -> mx.array:
    return mx.random.randint(0, 32, shape, key=mx.random.key(3))


def distance(found: mx.array, wanted: mx.array) -> float:
    return (mx.abs(found - wanted).max() / mx.abs(wanted).max()).item()


def run(model: Any, chunks: Iterable[mx.array]) -> mx.array:
    cache = model.make_cache()
    return mx.concatenate([model(chunk, cache=cache) for chunk in chunks], axis=1)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return build(request.param)


def test_logits_are_those_of_mlx_lm(model: Any) -> None:
    prompt = tokens(2, TIME)
    wanted, cached = model(prompt), run(model, [prompt])
    accelerate(model)
    assert distance(model(prompt), wanted) < 1e-5
    assert distance(run(model, [prompt]), cached) < 1e-5


def test_logits_of_a_prompt_in_chunks_are_those_of_the_whole(model: Any) -> None:
    prompt = tokens(2, TIME)
    wanted = run(model, [prompt])
    accelerate(model)
    assert distance(run(model, [prompt[:, :9], prompt[:, 9:10], prompt[:, 10:]]), wanted) < 1e-5


def decoded(model: Any, prompt: mx.array, steps: int) -> list[Any]:
    cache, found, fed = model.make_cache(), [], prompt
    for _ in range(steps):
        fed = mx.argmax(model(fed, cache=cache)[:, -1:], axis=-1)
        found.append(fed.tolist())
    return found


def test_decoded_tokens_are_those_of_mlx_lm(model: Any) -> None:
    prompt = tokens(1, TIME)
    wanted = decoded(model, prompt, 64)
    assert decoded(accelerate(model), prompt, 64) == wanted


def gradients(model: Any, prompt: mx.array) -> dict[str, mx.array]:
    model.train()
    parameters = model.parameters()

    def loss(changed: Any) -> mx.array:
        model.update(changed)
        return nn.losses.cross_entropy(model(prompt[:, :-1]), prompt[:, 1:]).mean()

    found = dict(tree_flatten(mx.grad(loss)(parameters)))
    model.update(parameters)
    return found


def test_gradients_are_those_of_mlx_lm(model: Any) -> None:
    prompt = tokens(2, TIME)
    wanted = gradients(model, prompt)
    found = gradients(accelerate(model), prompt)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert distance(found[name], gradient) < 2e-4, name


def test_classes_change_and_nothing_else_and_go_back(model: Any) -> None:
    classes = [type(layer) for layer in model.modules()]
    before = dict(tree_flatten(model.parameters()))
    assert accelerate(model) is model
    changed = [type(layer) for layer in model.modules()]
    assert changed != classes
    assert all(issubclass(new, old) for new, old in zip(changed, classes, strict=True))
    assert [type(layer) for layer in accelerate(model).modules()] == changed
    after = dict(tree_flatten(model.parameters()))
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert restore(model) is model
    assert [type(layer) for layer in model.modules()] == classes


@pytest.mark.long
def test_copies_and_pickles_are_accelerated_too(model: Any) -> None:
    prompt = tokens(2, TIME)
    wanted = model(prompt)
    accelerate(model)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [type(layer) for layer in copied.modules()] == [type(layer) for layer in model.modules()]
        assert distance(copied(prompt), wanted) < 1e-5
        assert distance(restore(copied)(prompt), wanted) < 1e-5


def test_halves_and_caches_keep_their_dtypes(model: Any) -> None:
    model.update(
        tree_map(lambda p: p.astype(mx.bfloat16) if mx.issubdtype(p.dtype, mx.floating) else p, model.parameters())
    )
    kept = [cache_dtypes(model)]
    accelerate(model)
    assert [cache_dtypes(model)] == kept


def cache_dtypes(model: Any) -> Any:
    cache = model.make_cache()
    logits = model(tokens(1, 5), cache=cache)
    return logits.dtype, [[None if a is None else a.dtype for a in c.cache] for c in cache if hasattr(c, "cache")]


def test_quantised_and_low_rank_layers_stay() -> None:
    from mlx_lm.tuner.lora import LoRALinear

    model = build("mamba", hidden_size=64, intermediate_size=64, time_step_rank=32)
    mixer = model.layers[0].mixer
    mixer.in_proj = LoRALinear.from_base(mixer.in_proj)
    mixer.in_proj.lora_b = mx.random.normal(mixer.in_proj.lora_b.shape)
    nn.quantize(
        model, group_size=32, class_predicate=lambda path, layer: "layers.1" in path and isinstance(layer, nn.Linear)
    )
    wanted = model(tokens(2, TIME))
    accelerate(model)
    assert distance(model(tokens(2, TIME)), wanted) < 1e-5
    assert type(mixer.in_proj) is LoRALinear
    assert type(model.layers[1].mixer.out_proj) is nn.QuantizedLinear


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9.9")
    with pytest.raises(errors.ScanError, match=r"knows mlx-lm 0\.32\.2; 9\.9\.9 is installed"):
        accelerate(build(MODELS[0]))


def test_another_model_is_refused_by_name() -> None:
    with pytest.raises(errors.ScanError, match=r"Linear has none of them"):
        accelerate(nn.Linear(2, 2))
    with pytest.raises(errors.ScanError, match=r"expects a model of mlx-lm; got int"):
        accelerate(3)
    with pytest.raises(errors.ScanError, match=r'"exact" or "stock"; got None'):
        accelerate(build(MODELS[0]), padding=None)  # type: ignore[arg-type]


def batch_cache(model: Any, rows: int) -> Any:
    """Caches of rows as mlx-lm joins them."""
    return [
        type(caches[0]).merge(list(caches)) for caches in zip(*(model.make_cache() for _ in range(rows)), strict=True)
    ]


LENGTHS = [2, 24, 13]
"""The first is shorter than what a convolution holds."""


def right_padded(model: Any, prompt: mx.array, cuts: list[int]) -> tuple[mx.array, mx.array]:
    """Logits of a batch padded on the right, and of one token after, in the way of mlx-lm's own generator."""
    cache = batch_cache(model, len(LENGTHS))
    for part in cache:
        part.prepare(lengths=LENGTHS, right_padding=[TIME - length for length in LENGTHS])
    logits = mx.concatenate([model(chunk, cache=cache) for chunk in mx.split(prompt, cuts, axis=1)], axis=1)
    for part in cache:
        part.finalize()
    return logits, model(mx.full((len(LENGTHS), 1), 3), cache=cache)


def rows_alone(model: Any, prompt: mx.array) -> list[tuple[mx.array, mx.array]]:
    found = []
    for row, length in enumerate(LENGTHS):
        cache = model.make_cache()
        logits = model(prompt[row : row + 1, :length], cache=cache)
        found.append((logits, model(mx.full((1, 1), 3), cache=cache)))
    return found


@pytest.mark.parametrize("cuts", [[], [8, 17]], ids=["whole", "chunks"])
def test_a_row_padded_on_the_right_is_as_alone(model: Any, cuts: list[int]) -> None:
    prompt = tokens(len(LENGTHS), TIME)
    wanted = rows_alone(model, prompt)
    logits, after = right_padded(accelerate(model), prompt, cuts)
    for row, (alone, alone_after) in enumerate(wanted):
        assert distance(logits[row : row + 1, : LENGTHS[row]], alone) < 1e-5
        assert distance(after[row : row + 1], alone_after) < 1e-5


def test_stock_padding_is_that_of_mlx_lm(model: Any) -> None:
    prompt = tokens(len(LENGTHS), TIME)
    wanted = right_padded(model, prompt, [])
    found = right_padded(accelerate(accelerate(model), padding="stock"), prompt, [])
    for row, length in enumerate(LENGTHS):
        assert distance(found[0][row, :length], wanted[0][row, :length]) < 1e-5
        assert distance(found[1][row], wanted[1][row]) < 1e-5


@pytest.mark.parametrize("cuts", [[], [8, 9, 19]], ids=["whole", "chunks"])
def test_a_row_padded_on_the_left_is_as_alone(model: Any, cuts: list[int]) -> None:
    prompt = tokens(len(LENGTHS), TIME)
    wanted = rows_alone(model, prompt)
    shifted = mx.stack([mx.roll(row, TIME - length) for row, length in zip(prompt, LENGTHS, strict=True)])
    cache = batch_cache(accelerate(model), len(LENGTHS))
    for part in cache:
        pad_on_the_left(part, [TIME - length for length in LENGTHS])
    logits = mx.concatenate([model(chunk, cache=cache) for chunk in mx.split(shifted, cuts, axis=1)], axis=1)
    after = model(mx.full((len(LENGTHS), 1), 3), cache=cache)
    for row, (alone, alone_after) in enumerate(wanted):
        assert distance(logits[row : row + 1, TIME - LENGTHS[row] :], alone) < 1e-5
        assert distance(after[row : row + 1], alone_after) < 1e-5


PROMPTS = [tokens(length).tolist() for length in (1, 2, 24, 13, 3, 33)]


def generated(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    """Tokens by mlx-lm's own generator of batches: rows leave a batch, and others join it."""
    from mlx_lm.generate import BatchGenerator

    generator = BatchGenerator(model, prefill_step_size=8, prefill_batch_size=3, completion_batch_size=3)
    found: dict[int, list[int]] = {
        row: [] for row in generator.insert(prompts, max_tokens=[9 + len(p) for p in prompts])
    }
    while any(len(tokens) < 9 + len(p) for tokens, p in zip(found.values(), prompts, strict=True)):
        for answer in generator.next()[1]:
            found[answer.uid].append(answer.token)
    generator.close()
    return list(found.values())


@pytest.mark.long
def test_prompts_generated_together_are_as_alone(model: Any) -> None:
    alone = [generated(model, [prompt])[0] for prompt in PROMPTS]
    assert generated(accelerate(model), PROMPTS) == alone


def test_convolutions_of_single_channels_run_in_kernels_and_go_back() -> None:
    mixer = build("qwen3_next").layers[0].linear_attn
    conv, x = mixer.conv1d, mx.random.normal((2, 9, mixer.conv1d.weight.shape[0]))
    wanted, stock = conv(x), type(conv)
    accelerate(mixer)
    assert type(conv) is not stock
    assert distance(conv(x), wanted) < 1e-5
    assert mx.array_equal(conv(x[:, :4]), wanted[:, :1])  # one position, as it was
    restore(mixer)
    assert type(conv) is stock


def pad_on_the_left(cache: Any, padding: list[int]) -> None:
    if hasattr(cache, "cache"):
        cache.left_padding = mx.array(padding)
    else:
        cache.prepare(left_padding=padding)
