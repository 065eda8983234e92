"""Self-attention of torch's MultiheadAttention in bfloat16, with its weights rounded and packed once.

Torch's own puts the images second before its linear map, and multiplies such rows image by image: half of the time of a
ViT's step in bfloat16 on a processor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

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
    mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
    output = linear(mixed.transpose(1, 2).flatten(2), given["out_proj_weight"], given["out_proj_bias"])
    return output.transpose(0, 1), None
