from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import needs
from example_shards import NAMES, write_folder

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import open_source
from network_atlas.errors import DatasetError, UnreadableImageError

MakeConfig = Callable[..., DatasetConfig]

pytestmark = needs("torchvision")


@pytest.mark.filterwarnings("ignore")
def test_a_dataset_that_lists_its_files_has_the_ids_of_a_folder(tmp_path: Path, make_config: MakeConfig) -> None:
    folder = open_source(make_config(root=str(write_folder(tmp_path)), label="folder"))
    source = open_source(make_config(source="torchvision", name="ImageFolder", label="column"))
    assert source.examples() == folder.examples()
    for name in NAMES:
        assert source.read(name).tobytes() == folder.read(name).tobytes()
        assert source.label(name) == folder.label(name)


def test_a_dataset_without_files_has_its_own_numbers(make_config: MakeConfig) -> None:
    config = make_config(source="torchvision", name="FakeData", root="", arguments={"size": 3}, label="column")
    source = open_source(config)
    ids = [example.example_id for example in source.examples()]
    assert ids == [f"FakeData/size=3/{number:08d}" for number in range(3)]
    assert len({source.read(name).tobytes() for name in ids}) == 3
    assert open_source(config).read(ids[1]).tobytes() == source.read(ids[1]).tobytes()
    assert all(source.label(name).isdigit() for name in ids)
    with pytest.raises(UnreadableImageError, match="no such image"):
        source.read("FakeData/size=3/00000003")


def test_mistakes_name_the_fix_and_download_nothing(tmp_path: Path, make_config: MakeConfig) -> None:
    with pytest.raises(DatasetError, match=r"no such dataset\. Did you mean 'CIFAR10"):
        open_source(make_config(source="torchvision", name="CIFAR-10"))
    with pytest.raises(DatasetError, match=r"CIFAR10 can't be opened.*dataset\.download=true fetches it"):
        open_source(make_config(source="torchvision", name="CIFAR10"))
    with pytest.raises(DatasetError, match=r"check dataset\.arguments=\{'trian': True\}"):
        open_source(make_config(source="torchvision", name="CIFAR10", arguments={"trian": True}))
    assert os.listdir(tmp_path) == []
