"""Learned queries that ask for what an image holds: detection transformers, perceivers."""

from __future__ import annotations

import pytest
import torch
from conformance import Checked, check_frozen, check_values
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from network_atlas.config.compose import compose
from network_atlas.models.facts import model_facts

SIZES = [f"model.input.{name}={side}" for name, side in (("height", 32), ("width", 48), ("resize", 48))]
CONFIG = compose(["model=function", "model.name=tiny_network:build", *SIZES]).model
QUERIES, WIDTH, HEADS = 7, 16, 2
OF_QUERIES_ALONE = {"decoder.0.own", "decoder.0.normalized_own", "decoder.0.asks"}
"""Layers that the images have not reached yet: of the first decoder layer, what stands before its look at them."""


class Attention(nn.Module):
    """Attention of several heads, by one operation of torch or by its parts."""

    def __init__(self, *, by_parts: bool) -> None:
        super().__init__()
        self.by_parts = by_parts
        self.keys, self.values, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        asked, keys, values = (
            part.view(len(tokens), -1, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in (queries, self.keys(tokens), self.values(tokens))
        )
        if self.by_parts:
            seen = (asked @ keys.transpose(2, 3) / 3).softmax(dim=3) @ values
        else:
            seen = scaled_dot_product_attention(asked, keys, values)
        out: Tensor = self.out(seen.transpose(1, 2).reshape(len(tokens), -1, WIDTH))
        return out


class Decoder(nn.Module):
    """A layer of a detection transformer's decoder (Carion et al. 2020)."""

    def __init__(self, *, by_parts: bool) -> None:
        super().__init__()
        self.own, self.asks = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.cross = Attention(by_parts=by_parts)
        self.normalized_own, self.normalized_cross, self.normalized = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, objects: Tensor, queries: Tensor, tokens: Tensor) -> Tensor:
        own = self.own(objects + queries)
        objects = self.normalized_own(objects + scaled_dot_product_attention(own, own, objects))
        objects = self.normalized_cross(objects + self.cross(self.asks(objects + queries), tokens))
        normalized: Tensor = self.normalized(objects + self.down(self.up(objects).relu()))
        return normalized


class Detector(nn.Module):
    """A small detection transformer; its queries are repeated for each image or expanded."""

    def __init__(self, *, by_parts: bool, expand: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.expand = expand
        self.backbone = nn.Conv2d(3, WIDTH, 8, 8)
        self.queries = nn.Parameter(torch.randn(1, QUERIES, WIDTH))
        self.decoder = nn.ModuleList(Decoder(by_parts=by_parts) for _ in range(2))
        self.kinds, self.boxes = nn.Linear(WIDTH, 6), nn.Linear(WIDTH, 4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        tokens = self.backbone(images).flatten(2).transpose(1, 2)
        count = len(images)
        queries = self.queries.expand(count, -1, -1) if self.expand else self.queries.repeat(count, 1, 1)
        objects = torch.zeros_like(queries)
        for layer in self.decoder:
            objects = layer(objects, queries, tokens)
        return {"kinds": self.kinds(objects), "boxes": self.boxes(objects).sigmoid()}


@pytest.mark.parametrize("by_parts", [False, True], ids=["whole", "by_parts"])
@pytest.mark.parametrize("expand", [False, True], ids=["repeated", "expanded"])
def test_all_that_depends_on_the_image_behind_learned_queries_is_read_as_by_plain_hooks(
    by_parts: bool, expand: bool
) -> None:
    model = Detector(by_parts=by_parts, expand=expand).eval().requires_grad_(False)
    facts, checked = model_facts(model, CONFIG), Checked()
    listed = {layer.name: layer for layer in facts.layers}
    modules = {name for name, module in model.named_modules() if not isinstance(module, nn.ModuleList)} - {""}
    assert modules - listed.keys() == OF_QUERIES_ALONE
    assert all("no gradient leads from it to the image" in facts.unsupported[name] for name in OF_QUERIES_ALONE)
    behind = [layer for name, layer in listed.items() if name.startswith("decoder") or name in ("kinds", "boxes")]
    assert {layer.tokens for layer in behind} == {QUERIES, 24}  # the keys and values have a token for each patch
    assert {layer.channel_axis for layer in behind} == {-1}
    images = torch.rand((4, 3, 32, 48), generator=torch.Generator().manual_seed(1))
    check_values(model, facts, images, checked)
    check_frozen(model, facts.layers[-3:], images, checked)
    assert checked.wrong == []
    assert checked.values == len(facts.layers)


class Queried(nn.MultiheadAttention):
    """Torch's own attention, asked by learned queries, as at the end of a pooling by attention."""

    def __init__(self) -> None:
        super().__init__(WIDTH, HEADS, batch_first=True)
        self.queries = nn.Parameter(torch.randn(1, QUERIES, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        pooled: Tensor = super().forward(self.queries.expand(len(tokens), -1, -1), tokens, tokens)[0]
        return pooled


def test_torchs_own_attention_pools_by_learned_queries() -> None:
    torch.manual_seed(0)
    tokens = nn.Sequential(nn.Conv2d(3, WIDTH, 8, 8), nn.Flatten(2), Transposed())
    model = nn.Sequential(tokens, Queried(), nn.LayerNorm(WIDTH)).eval().requires_grad_(False)
    facts = model_facts(model, CONFIG)
    listed = {layer.name: (layer.tokens, layer.channels) for layer in facts.layers}
    assert listed["1"] == listed["2"] == (QUERIES, WIDTH)


class Transposed(nn.Module):
    """Puts the channels last."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.transpose(1, 2)
