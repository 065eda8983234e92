"""Forms of files, and values in them, that mean other weights than they seem to."""

from __future__ import annotations

import argparse
import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import needs
from torch import Tensor, nn

from network_atlas.errors import ModelError
from network_atlas.models.checkpoint import load_checkpoint

State = dict[str, Tensor]


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)).eval()


class Shared(nn.Module):
    """An encoder and a decoder with the same weights."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.encoder = network(seed)[2]
        self.decoder = nn.Linear(4, 5)
        self.decoder.weight = self.encoder.weight


def loaded(path: Path, model: nn.Module) -> State:
    load_checkpoint(model, str(path))
    return model.state_dict()


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_scores_and_arguments_beside_the_weights_are_read_and_run_nothing(tmp_path: Path) -> None:
    state = network().state_dict()
    beside = {
        "best": np.float64(0.8), "epoch": np.int64(3), "curve": np.arange(3.0), "best_is_new": np.bool_(True),
        "args": argparse.Namespace(lr=0.1, data="photos"),
    }  # fmt: skip
    torch.save({"state_dict": state, **beside}, tmp_path / "weights.pth")
    assert same(loaded(tmp_path / "weights.pth", network(1)), state)


@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_of_numpy_are_weights(order: str, tmp_path: Path) -> None:
    state = network().state_dict()
    arrays = {key: value.numpy().astype(value.numpy().dtype.newbyteorder(order)) for key, value in state.items()}
    torch.save({"model": arrays}, tmp_path / "weights.pth")
    assert same(loaded(tmp_path / "weights.pth", network(1)), state)


def test_what_is_not_loaded_safely_is_named(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pth")
    with pytest.raises(ModelError, match=r"it holds 'torch\.nn\.modules\.\w+\.\w+', a pickled Python object"):
        load_checkpoint(network(), str(tmp_path / "whole.pth"))
    torch.save({"history": defaultdict(list), **network().state_dict()}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"it holds 'collections\.defaultdict'"):
        load_checkpoint(network(), str(tmp_path / "other.pth"))


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_a_script_is_refused_as_what_it_is(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(network()[2]), str(tmp_path / "script.pt"))
    with pytest.raises(ModelError, match=r"is a TorchScript archive.*torch\.jit\.load"):
        load_checkpoint(network(), str(tmp_path / "script.pt"))


@needs("safetensors")
def test_the_content_says_what_a_file_is_and_not_its_suffix(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = network().state_dict()
    save_file(state, tmp_path / "pytorch_model.bin", metadata={"format": "pt"})
    save_file(state, tmp_path / "MODEL.SAFETENSORS")
    torch.save(state, tmp_path / "model.safetensors")
    for name in ("pytorch_model.bin", "MODEL.SAFETENSORS", "model.safetensors"):
        assert same(loaded(tmp_path / name, network(1)), state), name


@needs("safetensors")
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_checkpoint_in_several_files_is_read_by_its_index(suffix: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state, keys = network().state_dict(), sorted(network().state_dict())
    parts = {f"model-{number}.{suffix}": keys[number::2] for number in (0, 1)}
    for name, part in parts.items():
        save: Callable[..., None] = torch.save if suffix == "bin" else save_file
        save({key: state[key] for key in part}, tmp_path / name)
    index = tmp_path / f"model.{suffix}.index.json"
    files = {key: name for name, part in parts.items() for key in part}
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    assert same(loaded(index, network(1)), state)
    (tmp_path / f"model-1.{suffix}").unlink()
    with pytest.raises(ModelError, match=rf"names the file 'model-1\.{suffix}', which is not beside it"):
        load_checkpoint(network(), str(index))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"weight_map": {"0.weight": "../model.bin"}}', "no index of a checkpoint"),
        ('{"model_type": "resnet"}', "no index of a checkpoint"),
        ('{"weight_map": {', "cut short"),
        ('{"a": ' * 100_000, "cut short"),
        ('{"weight_map": {"0.weight": "config.json"}}', "names the file 'config.json', which holds JSON"),
    ],
    ids=["elsewhere", "configuration", "cut short", "deep", "itself"],
)
def test_other_json_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        load_checkpoint(network(), str(tmp_path / "config.json"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool])
def test_whole_numbers_are_no_weights(dtype: torch.dtype, tmp_path: Path) -> None:
    # As in networks that were quantized by hand: without their scales these are other weights.
    state = network().state_dict()
    state["0.weight"] = (state["0.weight"] * 100).to(dtype)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"values of 0\.weight: \w+ in the file, float32 in the model"):
        load_checkpoint(network(1), str(tmp_path / "weights.pth"))


def test_whole_numbers_that_were_saved_as_real_ones_must_still_be_whole(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("index", torch.arange(3))
    for saved, fits in ((torch.tensor([2.0, 0.0, 1.0]).half(), True), (torch.tensor([2.0, 0.5, 1.0]), False)):
        torch.save(model.state_dict() | {"index": saved}, tmp_path / "weights.pth")
        if fits:
            assert loaded(tmp_path / "weights.pth", model)["index"].tolist() == [2, 0, 1]
        else:
            with pytest.raises(ModelError, match=r"values of index: float32 in the file, int64 in the model"):
                load_checkpoint(model, str(tmp_path / "weights.pth"))


def test_an_infinite_weight_is_refused_and_an_infinite_mask_is_not(tmp_path: Path) -> None:
    model = network()
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    load_checkpoint(model, str(tmp_path / "weights.pth"))
    torch.save(model.state_dict() | {"2.bias": torch.full((5,), torch.inf)}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"holds infinity in '2\.bias'"):
        load_checkpoint(model, str(tmp_path / "weights.pth"))


def test_a_weight_that_is_infinite_in_the_models_type_is_refused(tmp_path: Path) -> None:
    state = network().state_dict()
    state["2.weight"] = state["2.weight"].double() * 1e200
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"holds infinity in '2\.weight'"):
        load_checkpoint(network(), str(tmp_path / "weights.pth"))


@pytest.mark.parametrize("name", ["optimizer", "grads", "exp_avg", "momentum_buffer"])
def test_other_numbers_of_each_weight_are_no_weights(name: str, tmp_path: Path) -> None:
    state = network().state_dict()
    others = {key: torch.zeros_like(value) for key, value in state.items()}
    torch.save({name: others, "weights of mine": state}, tmp_path / "weights.pth")
    assert same(loaded(tmp_path / "weights.pth", network(1)), state)
    torch.save({"epoch": 3, name: others}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=rf"holds no weights.*'{name}'"):
        load_checkpoint(network(), str(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "a pointer of Git LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "a page of HTML.*download it again"),
        (gzip.compress(b"weights", mtime=0), "gzip.*gunzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x93NUMPY\x01\x00", "one array of NumPy"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
    ],
)
def test_a_file_that_is_something_else_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ModelError, match=rf"weights\.pth' is .*{message}"):
        load_checkpoint(network(), str(tmp_path / "weights.pth"))


def test_another_archive_says_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", first=np.zeros(3))
    with pytest.raises(ModelError, match=r"torch\.save did not write: it holds 'first\.npy'"):
        load_checkpoint(network(), str(tmp_path / "weights.npz"))


@pytest.mark.parametrize("left_out", ["encoder.weight", "decoder.weight"])
def test_a_weight_with_two_names_may_have_one_in_the_file(left_out: str, tmp_path: Path) -> None:
    # Files of safetensors hold a shared tensor once.
    state = Shared().state_dict()
    half = {key: value for key, value in state.items() if key != left_out}
    prefixed = {f"model.{key}": value for key, value in half.items()} | {"criterion.weight": torch.ones(5)}
    for content in (half, {"state_dict": prefixed}):
        torch.save(content, tmp_path / "weights.pth")
        assert same(loaded(tmp_path / "weights.pth", Shared(1)), state)


def test_two_values_for_one_weight_are_refused(tmp_path: Path) -> None:
    state = {key: value.clone() for key, value in Shared().state_dict().items()}
    torch.save(state, tmp_path / "weights.pth")
    load_checkpoint(Shared(1), str(tmp_path / "weights.pth"))
    state["decoder.weight"] += 1
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"two values for 'encoder\.weight' and 'decoder\.weight'"):
        load_checkpoint(Shared(1), str(tmp_path / "weights.pth"))


def test_one_set_that_is_found_in_two_ways_is_named_once(tmp_path: Path) -> None:
    first, second = network(1).state_dict(), network(2).state_dict()
    flat = {f"module.query.{key}": first[key] for key in first} | {f"module.key.{key}": second[key] for key in second}
    torch.save({"state_dict": flat | {"module.queue": torch.ones(2)}}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"fit: 'state_dict\.module\.query', 'state_dict\.module\.key'\. Save"):
        load_checkpoint(network(), str(tmp_path / "weights.pth"))
