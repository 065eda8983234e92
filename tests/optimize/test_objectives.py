from __future__ import annotations

import torch

from pipeline.optimize.objectives import scores
from pipeline.plan.tasks import Picture
from pipeline.units import Channel, ClassLogit, Neuron, Unit


def picture(unit: Unit, objective: str) -> Picture:
    return Picture(key="00" * 16, unit=unit, variant=objective, objective=objective, sign=1, seed=0)


MAPS = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)


def test_a_channel_is_its_spatial_mean() -> None:
    made = scores(MAPS[:1], [picture(Channel(layer="a", channel=1), "channel")])
    assert made.tolist() == [MAPS[0, 1].mean().item()]


def test_a_neuron_is_row_before_column() -> None:
    made = scores(MAPS[:1], [picture(Neuron(layer="a", channel=1, row=3, column=2), "neuron")])
    assert made.tolist() == [MAPS[0, 1, 3, 2].item()]


def test_every_picture_has_its_own_score_in_a_mixed_batch() -> None:
    units = [
        picture(Channel(layer="a", channel=2), "channel"),
        picture(Neuron(layer="a", channel=0, row=0, column=4), "neuron"),
    ]
    assert scores(MAPS, units).tolist() == [MAPS[0, 2].mean().item(), MAPS[1, 0, 0, 4].item()]


def test_a_logit_is_one_entry_of_the_output() -> None:
    maps = torch.tensor([3.0, -1.0, 7.0]).reshape(1, 3, 1, 1)
    assert scores(maps, [picture(ClassLogit(layer="output", channel=2), "logit")]).tolist() == [7.0]
