"""Self-attention of torch's MultiheadAttention, and attention itself in bfloat16 on a processor.

Torch's own module puts the images second before its linear map, and the gradient of such rows is multiplied in many
small products: half of the time of a ViT's step in float32, nine tenths in bfloat16. Here the images stay first; in
bfloat16 the weights are rounded and packed once. The gradient of attention itself takes torch three times as long in
bfloat16 as in float32, so it is computed in float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from network_atlas.models.frozen.calls import MixCall

Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Computes a linear map of vectors, (..., inputs), with weights, (outputs, inputs), and a bias."""

SIGNATURE = inspect.signature(F.multi_head_attention_forward)
LEFT_OUT = (
    "bias_k",
    "bias_v",
    "add_zero_attn",
    "key_padding_mask",
    "attn_mask",
    "use_separate_proj_weight",
    "static_k",
    "static_v",
    "need_weights",
)
"""Arguments that must be None or false: what they ask for is left to torch."""


class Mix(torch.autograd.Function):
    """Values mixed by how queries match keys, in bfloat16; see `can_mix`."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Return the mixed values, (batch, heads, tokens, features), as the arguments are."""
        mixed, weights = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, scale=scale)
        ctx.save_for_backward(query, key, value, mixed, weights)
        ctx.scale = scale
        return cast(Tensor, mixed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of query, key and value."""
        exact = [tensor.float() for tensor in (gradient, *ctx.saved_tensors)]
        gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            *exact, 0.0, False, scale=ctx.scale
        )
        query, key, value = (tensor.to(gradient.dtype) for tensor in gradients)
        return query, key, value, None


def can_mix(call: MixCall) -> bool:
    """Say whether `Mix` computes a call in bfloat16: on a processor, without what it leaves to torch."""
    tensors = (call.query, call.key, call.value)
    is_plain = call.attn_mask is None and not call.dropout_p and not call.is_causal and not call.enable_gqa
    fits = all(
        tensor.device.type == "cpu"
        and tensor.ndim == 4
        and tensor.numel() > 0
        and tensor.is_floating_point()
        and tensor.stride(-1) == 1
        and tensor.shape[-1] == call.query.shape[-1]
        and tensor.shape[:2] == call.query.shape[:2]
        for tensor in tensors
    )
    return is_plain and fits and call.key.shape == call.value.shape


def mix(call: MixCall) -> Tensor:
    """Return what a call of `torch.nn.functional.scaled_dot_product_attention` returns, in bfloat16; see `can_mix`."""
    query, key, value = (tensor.to(torch.bfloat16) for tensor in (call.query, call.key, call.value))
    return cast(Tensor, Mix.apply(query, key, value, call.scale))


def self_attention(arguments: Any, keywords: Any, linear: Linear) -> tuple[Tensor, None] | None:
    """Return what a call of `torch.nn.functional.multi_head_attention_forward` returns; None for one left to torch.

    Its query, key and value are one tensor, (tokens, images, features), as is the first returned.
    """
    call = SIGNATURE.bind(*arguments, **keywords)
    call.apply_defaults()
    given = call.arguments
    tokens, weight = given["query"], given["in_proj_weight"]
    is_plain = tokens is given["key"] and tokens is given["value"] and tokens.ndim == 3 and weight is not None
    drops = given["training"] and given["dropout_p"] > 0
    if not is_plain or drops or any(given[name] is not None and given[name] is not False for name in LEFT_OUT):
        return None
    heads = given["num_heads"]
    rows = tokens.transpose(0, 1).contiguous()
    parts = linear(rows, weight, given["in_proj_bias"]).view(*rows.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
    call_of_mix = MixCall(parts[0], parts[1], parts[2])
    in_bfloat16 = parts.dtype is torch.bfloat16 and can_mix(call_of_mix)
    mixed = mix(call_of_mix) if in_bfloat16 else F.scaled_dot_product_attention(*call_of_mix[:3])
    output = linear(mixed.transpose(1, 2).flatten(2), given["out_proj_weight"], given["out_proj_bias"])
    return output.transpose(0, 1), None
