"""A word that a new user would try leads to the overrides that work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from network_atlas.config import suggest
from network_atlas.config.compose import compose
from network_atlas.errors import ConfigError

MEANT = [
    ("model=resnet50", "model=torchvision model.name=resnet50"),
    ("model=efficientnet_b0", "model=torchvision model.name=efficientnet_b0"),
    ("model=my.nets:build", "model=function model.name=my.nets:build model.allow_code=true"),
    ("model=nets.py", "model=function model.name=nets:NAME_OF_THE_FUNCTION model.allow_code=true"),
    ("model=timm/resnet50", "model=timm model.name=resnet50"),
    ("model=torchvision/resnet50", "model=torchvision model.name=resnet50"),
    ("model=hf-hub:a/b", "model=timm model.name=hf-hub:a/b"),
    ("model=~/a.pth", "model=torchvision model.name=NAME_OF_THE_NETWORK 'model.weights=~/a.pth'"),
    ("model=/a/b.safetensors", "model=torchvision model.name=NAME_OF_THE_NETWORK model.weights=/a/b.safetensors"),
    ("dataset=path/to/images", "dataset=folder dataset.root=path/to/images"),
    ("dataset=/path/to/images", "dataset=folder dataset.root=/path/to/images"),
    ("dataset=./photos", "dataset=folder dataset.root=./photos"),
    ("dataset=../photos", "dataset=folder dataset.root=../photos"),
    ("dataset=~/images", "dataset=folder 'dataset.root=~/images'"),
    ("dataset=s3://bucket/images", "dataset=folder dataset.root=s3://bucket/images"),
    ("dataset=shards/{000..255}.tar", "dataset=tar 'dataset.root=shards/{000..255}.tar'"),
    ("dataset=a.parquet", "dataset=parquet dataset.root=a.parquet"),
    ("dataset=cifar10", "dataset=torchvision dataset.name=CIFAR10 dataset.root=path/to/downloads"),
    ("sweep=everything", "sweep=all"),
    ("executor=cluster", "executor=ray"),
    ("optimize=quick", "optimize=fast"),
    ("resnet50", "model=torchvision model.name=resnet50"),
    ("path/to/images", "dataset=folder dataset.root=path/to/images"),
    ("/path/to/images", "dataset=folder dataset.root=/path/to/images"),
    ("inline", "executor=inline"),
    ("everything", "+experiment=everything"),
]


@pytest.mark.parametrize(("override", "line"), MEANT)
def test_the_message_ends_with_a_suggestion_that_composes(override: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([override])
    text = str(caught.value)
    assert text.endswith(f"Write: {line}")
    assert override in text
    assert "\n" not in text
    compose(shlex.split(line))


@pytest.mark.parametrize("override", ["steps", "--fast", "optimize.steps", "model=no_such_network", "scan=quick"])
def test_other_words_get_no_suggestion(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([override])
    assert "Write: " not in str(caught.value)


def test_an_unknown_network_leads_to_both_libraries_of_networks() -> None:
    with pytest.raises(ConfigError, match=r"model=torchvision model\.name=no_such_network, or model=timm"):
        compose(["model=no_such_network"])


def test_networks_of_an_installed_package_are_read_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "timm" / "models"
    models.mkdir(parents=True)
    (models / "convnext.py").write_text("@register_model\ndef convnext_tiny(**kwargs):\n    pass\n")
    monkeypatch.setattr(suggest, "_folder", lambda package: tmp_path / package)
    suggest._registered.cache_clear()
    try:
        assert suggest.choice_meant("model", "convnext_tiny.in12k") == "model=timm model.name=convnext_tiny.in12k"
        assert suggest.choice_meant("model", "resnet50") == ""
    finally:
        suggest._registered.cache_clear()


def test_every_name_read_from_torchvision_is_one_that_it_builds() -> None:
    models = pytest.importorskip("torchvision.models")
    assert suggest._registered("torchvision") == set(models.list_models(module=models))


def test_suggesting_does_not_import_torch() -> None:
    code = (
        "import sys; from network_atlas.config.suggest import choice_meant; "
        "assert choice_meant('model', 'resnet50'); assert choice_meant('dataset', 'CIFAR10'); "
        "print([name for name in ('torch', 'torchvision', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_synonym_is_a_choice() -> None:
    for group, words in suggest.SYNONYMS.items():
        for word in words:
            with pytest.raises(ConfigError) as caught:
                compose([f"{group}={word}"])
            line = re.search(r"Write: (.*)$", str(caught.value))
            assert line, f"{group}={word}"
            compose(shlex.split(line[1]))


@pytest.mark.parametrize(("name", "line"), suggest.SETTINGS.items())
def test_a_setting_of_other_tools_leads_to_an_override_that_composes(name: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([f"{name}=1"])
    assert f"Write for example: {line}." in str(caught.value)
    compose(shlex.split(line))


def test_a_path_is_not_taken_for_the_choice_that_it_ends_with() -> None:
    with pytest.raises(ConfigError, match=r"sweep=\./all: there is no such choice\. Did you mean 'all'\?"):
        compose(["sweep=./all"])
