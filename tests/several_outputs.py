"""Networks that return several tensors, in all that such networks return them in."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Named(NamedTuple):
    logits: Tensor
    aux_logits: Tensor | None
    features: Tensor


@dataclasses.dataclass(frozen=True)
class Record:
    logits: Tensor
    aux_logits: Tensor | None
    features: Tensor


class ModelOutput(OrderedDict):  # type: ignore[type-arg]
    """The base class of what Hugging Face's models return, as far as it matters here."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not None:
                self[field.name] = value

    def __getitem__(self, key: Any) -> Any:
        return dict(self.items())[key] if isinstance(key, str) else tuple(self.values())[key]

    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]


@dataclasses.dataclass
class ClassifierOutput(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    features: Tensor | None = None


FORMS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "dict": lambda logits, maps: {"logits": logits, "aux_logits": logits * 2, "features": maps},
    "named tuple": lambda logits, maps: Named(logits, logits * 2, maps),
    "dataclass": lambda logits, maps: Record(logits, None, maps),
    "model output": lambda logits, maps: ClassifierOutput(logits=logits, features=maps),
}


class Several(nn.Module):
    """A network of five classes that returns its logits and its features."""

    def __init__(self, form: str, data_dependent: bool = False) -> None:
        super().__init__()
        self.form, self.data_dependent = form, data_dependent
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> object:
        maps = torch.relu(self.conv(images))
        if self.data_dependent and float(maps.detach().sum()) < 0:  # torch.fx can't trace this
            maps = maps * 2
        return FORMS[self.form](self.head(maps.mean((2, 3))), maps)


class Pair(nn.Module):
    """A network that returns a tuple with a tuple in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, images: Tensor) -> object:
        maps = self.conv(images)
        return maps.mean((2, 3)), (maps, [maps * 2, "words"])


def several(form: str = "dict", data_dependent: bool = False) -> nn.Module:
    return Several(form, data_dependent)


def pair() -> nn.Module:
    return Pair()
