"""`accelerate` and `restore`: layers get another class, and their own back."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Final, Literal, TypeVar

from monoscan import errors
from monoscan.integrations.mlx_lm.convolution import DepthwiseConvolution, depthwise
from monoscan.integrations.mlx_lm.delta import BailingDeltaRule, DeltaRule, OlmoDeltaRule
from monoscan.integrations.mlx_lm.gated_recurrence import RecurrentBlock
from monoscan.integrations.mlx_lm.layer import Accelerated, accelerated
from monoscan.integrations.mlx_lm.linear_attention import LinearAttention
from monoscan.integrations.mlx_lm.rwkv7 import Rwkv7ChannelMixing, Rwkv7TimeMixing
from monoscan.integrations.mlx_lm.selective import JambaMambaMixer, MambaBlock

Model = TypeVar("Model")

VERSIONS: Final = ("0.32.2",)
"""The releases of mlx-lm whose layers these are."""

LAYERS: Final[dict[str, type[Accelerated]]] = {
    "mamba.MambaBlock": MambaBlock,
    "jamba.JambaMambaMixer": JambaMambaMixer,
    "recurrent_gemma.RecurrentBlock": RecurrentBlock,
    "rwkv7.Rwkv7TimeMixing": Rwkv7TimeMixing,
    "rwkv7.Rwkv7ChannelMixing": Rwkv7ChannelMixing,
    "qwen3_next.Qwen3NextGatedDeltaNet": DeltaRule,
    "qwen3_5.GatedDeltaNet": DeltaRule,
    "kimi_linear.KimiDeltaAttention": DeltaRule,
    "olmo_hybrid.GatedDeltaNet": OlmoDeltaRule,
    "bailing_moe_v3.BailingKDA": BailingDeltaRule,
    "bailing_moe_linear.LinearAttention": LinearAttention,
}
"""What takes the place of which class of ``mlx_lm.models``."""


def accelerate(model: Model, *, padding: Literal["exact", "stock"] = "exact") -> Model:
    """The same model, whose loops over time run in kernels.

    Layers get a subclass of the class that they have. Parameters and their names, quantised and low-rank layers, caches
    and their dtypes stay as they are, and single tokens take the way that they took. Done twice is done once.

    Args:
        model (Module): A model of mlx-lm.
        padding (str, optional): What a cache with ``lengths`` or ``left_padding`` does: ``"exact"``, by which states and
            logits of a shorter row are those of the row alone, or ``"stock"``, as mlx-lm has it, where padding passes
            through the state of some models. Default: ``"exact"``.

    Returns:
        Module: ``model`` itself.

    Raises:
        ScanError: The installed release of mlx-lm is not known, or the model has no layer that is; ``padding`` is neither.

    Example:
        >>> from monoscan.integrations.mlx_lm import accelerate
        >>> accelerate(object())
        Traceback (most recent call last):
        monoscan.errors.ScanError: [accelerate] expects a model of mlx-lm; got object.
    """
    if padding not in ("exact", "stock"):
        raise errors.ScanError(f'[accelerate] padding is "exact" or "stock"; got {padding!r}.')
    layers = _modules("accelerate", model)
    _check_version()
    known = [layer for layer in layers if _name(_stock(layer)) in LAYERS]
    if not known:
        raise errors.ScanError(
            f"[accelerate] knows the layers {', '.join(LAYERS)} of mlx-lm; {_called(model)} has none of them. "
            "Use the model as it is."
        )
    kinds: list[tuple[Any, Any]] = [(layer, LAYERS[_name(_stock(layer))]) for layer in known]
    kinds += [(child, DepthwiseConvolution) for layer in known for child in layer.modules() if depthwise(child)]
    for layer, kind in kinds:
        layer.__class__ = accelerated(kind, _stock(layer), padding == "exact")
    return model


def restore(model: Model) -> Model:
    """The same model as mlx-lm made it: undoes `accelerate`.

    Args:
        model (Module): A model of mlx-lm, accelerated or not.

    Returns:
        Module: ``model`` itself.

    Raises:
        ScanError: It is no model.
    """
    for layer in _modules("restore", model):
        layer.__class__ = _stock(layer)
    return model


def _modules(call: str, model: Any) -> list[Any]:
    if not hasattr(model, "modules"):
        raise errors.ScanError(f"[{call}] expects a model of mlx-lm; got {type(model).__name__}.")
    found: list[Any] = model.modules()
    return found


def _check_version() -> None:
    try:
        version = importlib.metadata.version("mlx-lm")
    except importlib.metadata.PackageNotFoundError as error:
        raise errors.ScanError(
            '[accelerate] mlx-lm is not installed: pip install "monoscan[mlx-lm]", with Python 3.11 or later.'
        ) from error
    if version not in VERSIONS:
        raise errors.ScanError(
            f"[accelerate] knows mlx-lm {', '.join(VERSIONS)}; {version} is installed. "
            f"Install a known one (pip install mlx-lm=={VERSIONS[-1]}), or use the model as it is."
        )


def _called(model: Any) -> str:
    return str(getattr(model, "model_type", None) or type(model).__qualname__)


def _stock(layer: Any) -> type:
    found: type = type(layer).stock if isinstance(layer, Accelerated) else type(layer)
    return found


def _name(stock: type) -> str:
    """Of a class in a module of models, ``module.class``."""
    return f"{stock.__module__}.{stock.__qualname__}".removeprefix("mlx_lm.models.")
