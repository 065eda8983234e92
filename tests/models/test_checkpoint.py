from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from conftest import needs
from tiny_network import build
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel

from network_atlas.errors import ModelError
from network_atlas.models.checkpoint import load_checkpoint

State = dict[str, object]


class Normed(nn.Module):
    """A network with running statistics, which count their batches."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6))
        self.head = nn.Linear(6, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(images).mean((2, 3)))


class Inside(nn.Module):
    """A network whose own attribute has the name of a wrapper's."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_module(name, Normed())


def random(seed: int = 7) -> Normed:
    """Return a network with weights that no other has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Normed()
        model(torch.randn(4, 3, 8, 8))  # in training mode, so that the running statistics move
    return model.eval()


def loaded(content: object, path: Path, model: nn.Module | None = None) -> State:
    """Return the state of a model, a Normed by default, after it has loaded a file with `content`."""
    torch.save(content, path / "weights.pth")
    model = Normed() if model is None else model
    load_checkpoint(model, str(path / "weights.pth"))
    return model.state_dict()


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def assert_same_values(first: State, second: State) -> None:
    """Compare two states whose keys may have other names."""
    assert all(torch.equal(*pair) for pair in zip(first.values(), second.values(), strict=True))


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def with_inner(wrap: Callable[[nn.Module], nn.Module]) -> Callable[[Normed], nn.Module]:
    def wrapped(model: Normed) -> nn.Module:
        model.stem = wrap(model.stem)
        return model

    return wrapped


def lightning(model: nn.Module) -> nn.Module:
    """Return a module like those of Lightning: the network is an attribute."""
    outer = nn.Module()
    outer.net = model
    return outer


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compile": torch.compile,
    "parallel": nn.DataParallel,
    "averaged": AveragedModel,
    "lightning": lightning,
    "lightning of compile": lambda model: lightning(torch.compile(model)),
    "averaged of lightning": lambda model: AveragedModel(lightning(model)),
    "compile of parallel": lambda model: torch.compile(nn.DataParallel(model)),
    "averaged of parallel of compile": lambda model: AveragedModel(nn.DataParallel(torch.compile(model))),
    "parallel twice": lambda model: nn.DataParallel(nn.DataParallel(model)),
    "parallel stem": with_inner(nn.DataParallel),
    "compiled stem": with_inner(torch.compile),
    "checkpointed stem": with_inner(checkpoint_wrapper),
    "lightning of compiled stem": lambda model: lightning(with_inner(torch.compile)(model)),
    "averaged of compiled stem": lambda model: AveragedModel(with_inner(torch.compile)(model)),
}


@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_wrappers_of_modules_are_unwrapped(wrapper: str, tmp_path: Path) -> None:
    expected = random().state_dict()
    wrapped = WRAPPERS[wrapper](random()).state_dict()
    if wrapper != "checkpointed stem":  # its own hook takes the part out of the keys
        assert wrapped.keys() != expected.keys()
    assert same(loaded(wrapped, tmp_path), expected)
    assert same(loaded({"state_dict": wrapped, "epoch": 3}, tmp_path), expected)


def test_distributed_wrappers_are_unwrapped(process_group: None, tmp_path: Path) -> None:
    from torch.nn.parallel import DistributedDataParallel

    expected = random().state_dict()
    for wrapped in (
        DistributedDataParallel(random()),
        torch.compile(DistributedDataParallel(random())),
        DistributedDataParallel(torch.compile(random())),
        lightning(DistributedDataParallel(random())),
    ):
        assert same(loaded(wrapped.state_dict(), tmp_path), expected)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # torch advises its successor
def test_a_sharded_network_is_unwrapped(process_group: None, tmp_path: Path) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    expected = random().state_dict()
    for wrap in (lambda model: model, with_inner(torch.compile), with_inner(checkpoint_wrapper)):
        sharded = FullyShardedDataParallel(wrap(random()), device_id=torch.device("cpu"))
        assert same(loaded(lightning(sharded).state_dict(), tmp_path), expected)


def test_parts_that_sharding_puts_between_the_parts_of_keys_are_left_out(tmp_path: Path) -> None:
    # FSDP names modules so where its own hooks do not run: in optimizers' states, and in parts saved one by one.
    state = random().state_dict()
    keys = [
        f"_fsdp_wrapped_module.{key.replace('stem.', 'stem._fsdp_wrapped_module._checkpoint_wrapped_module.')}"
        for key in state
    ]
    assert same(loaded(dict(zip(keys, state.values(), strict=True)), tmp_path), state)


CONTAINERS: dict[str, Callable[[State], object]] = {
    "alone": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "best_prec1": 92.1, "loss": torch.tensor(0.1)},
    "nested": lambda state: {"epoch": 3, "model": {"state_dict": state}},
    "of any name": lambda state: {"my_weights": state, "epoch": 3},
    "deepspeed": lambda state: {"module": state, "global_steps": 3, "ds_config": {"zero": {}}},
    "beside an optimizer": lambda state: {
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3), "step": torch.tensor(1.0)}}, "param_groups": [{}]},
        "net": state,
    },
    "with plain values among the tensors": lambda state: {**state, "epoch": 3, "loss": 0.1},
    "average alone": lambda state: {"model_ema": state},
    "average of a wrapper": lambda state: {"ema": {"module": {f"module.{key}": state[key] for key in state}}},
    "below a prefix, beside other tensors": lambda state: {
        "state_dict": {**{f"model.{key}": state[key] for key in state}, "criterion.weight": torch.ones(5)}
    },
    "two names for the same": lambda state: {"best": state, "last": dict(state)},
}


@pytest.mark.parametrize("container", list(CONTAINERS))
def test_weights_are_taken_out_of_what_scripts_save(container: str, tmp_path: Path) -> None:
    state = random().state_dict()
    assert same(loaded(CONTAINERS[container](state), tmp_path), state)


@pytest.mark.parametrize(
    "averaged",
    ["ema", "model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "EMA", "swa_model", "averaged_model"],
)
def test_averages_are_used_only_where_there_is_nothing_plainer(averaged: str, tmp_path: Path) -> None:
    trained, average = random(1).state_dict(), random(2).state_dict()
    for name in ("state_dict", "model", "student"):
        assert same(loaded({averaged: average, name: trained}, tmp_path), trained)
    prefixed = {
        f"{name}.{key}": state[key] for name, state in ((averaged, average), ("model", trained)) for key in state
    }
    assert same(loaded({"state_dict": prefixed}, tmp_path), trained)
    assert same(loaded({averaged: average, "epoch": 3}, tmp_path), average)


@pytest.mark.parametrize("flat", [True, False])
def test_two_sets_that_fit_and_differ_are_refused(flat: bool, tmp_path: Path) -> None:
    student, teacher = random(1).state_dict(), random(2).state_dict()
    content: State = {"student": student, "teacher": teacher}
    if flat:
        content = {f"{name}.{key}": state[key] for name, state in content.items() for key in state}
    with pytest.raises(ModelError, match=r"several sets of weights that fit: 'student', 'teacher'"):
        loaded(content, tmp_path)


@pytest.mark.parametrize("name", ["module", "model", "net", "_orig_mod"])
def test_a_model_whose_own_attribute_has_a_wrappers_name_loads_its_own_state_and_others(
    name: str, tmp_path: Path
) -> None:
    state = random().state_dict()
    prefixed = {f"{name}.{key}": value for key, value in state.items()}
    for content in (
        prefixed,
        state,
        {"state_dict": {f"module.{key}": prefixed[key] for key in prefixed}},
        WRAPPERS["lightning"](random()).state_dict(),
    ):
        assert same(loaded(content, tmp_path, Inside(name)), prefixed)


def test_two_modules_that_would_get_the_same_key_keep_their_names(tmp_path: Path) -> None:
    model = nn.Module()
    model.stem, model.module = nn.Linear(2, 2), nn.Module()
    model.module.stem = nn.Linear(2, 2)
    other = copy.deepcopy(model)
    nn.init.zeros_(other.stem.weight)
    assert same(loaded(model.state_dict(), tmp_path, other), model.state_dict())
    parallel = nn.DataParallel(model).state_dict()
    assert same(loaded(parallel, tmp_path, other), model.state_dict())


class Normalize(nn.Module):
    """A module that people put in front of a network, in an nn.Sequential."""

    def __init__(self, persistent: bool = True) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1), persistent=persistent)
        self.register_buffer("std", torch.ones(3, 1, 1), persistent=persistent)


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel, lightning])
def test_a_network_behind_a_normalization_is_found(
    wrap: Callable[[nn.Module], nn.Module], persistent: bool, tmp_path: Path
) -> None:
    saved = wrap(nn.Sequential(Normalize(persistent), random())).state_dict()
    assert same(loaded(saved, tmp_path), random().state_dict())


def layers(*first: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(first))
        return nn.Sequential(*first, nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel])
@pytest.mark.parametrize("first", [Normalize(), nn.Identity()])
def test_layers_that_are_numbered_from_another_start_are_found(
    first: nn.Module, wrap: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    saved = layers(first)
    state = loaded(wrap(saved).state_dict(), tmp_path, layers())
    assert_same_values(state, saved[1:].state_dict())


def test_layers_that_the_model_numbers_from_another_start_are_found(tmp_path: Path) -> None:
    model = layers(nn.Identity())
    loaded(layers().state_dict(), tmp_path, model)
    assert_same_values(model[1:].state_dict(), layers().state_dict())


def test_numbered_layers_are_never_loaded_from_a_larger_network(tmp_path: Path) -> None:
    larger = nn.Sequential(nn.Conv2d(3, 3, 1), *layers())  # its first layer learned something
    for state in (larger.state_dict(), nn.Sequential(*layers(), nn.Conv2d(4, 4, 3)).state_dict()):
        with pytest.raises(ModelError, match="does not fit Sequential"):
            loaded(state, tmp_path, layers())


def test_a_file_that_fits_a_part_of_the_model_says_which_and_what_is_missing(tmp_path: Path) -> None:
    whole = nn.Sequential(Normalize(), Normed())
    before = copy.deepcopy(whole.state_dict())
    with pytest.raises(
        ModelError, match=r"It fits the part of the model below '1.'; the model also has '0.mean', '0.std'"
    ):
        loaded(random().state_dict(), tmp_path, whole)
    assert same(whole.state_dict(), before)
    assert torch.equal(
        loaded(random().state_dict(), tmp_path, nn.Sequential(Normalize(False), Normed()))["1.head.bias"],
        random().state_dict()["head.bias"],
    )


@pytest.mark.parametrize(
    "beside",
    [
        {"epoch": 3, "global_step": torch.tensor(1000), "best_acc1": torch.tensor([76.1])},
        {"iteration": torch.tensor(5), "lr": 0.1, "optimizer": {"state": {0: {"exp_avg": torch.ones(6)}}}},
        {"loss": torch.tensor(0.3), "name": "net", "args": {"width": 3}, "hyper.parameters": [1, 2]},
    ],
)
def test_numbers_beside_bare_weights_are_left_out(beside: State, tmp_path: Path) -> None:
    assert same(loaded(random().state_dict() | beside, tmp_path), random().state_dict())


def test_other_numbers_beside_bare_weights_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("logit_scale", "temperature", "stepwise"):  # another network's weights
        with pytest.raises(ModelError, match=f"unexpected: {name}"):
            loaded(random().state_dict() | {name: torch.tensor(1.0)}, tmp_path)
    with pytest.raises(ModelError, match="unexpected: loss"):
        loaded(random().state_dict() | {"loss": torch.ones(3)}, tmp_path)


@pytest.mark.parametrize("form", [tuple, list])
def test_weights_are_taken_out_of_tuples(form: type, tmp_path: Path) -> None:
    state = random().state_dict()
    meta = {"epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    for content in ((state, meta), (3, state), ({"model": state}, meta), {"saved": (state, [torch.ones(3)])}):
        assert same(loaded(form(content) if isinstance(content, tuple) else content, tmp_path), state)
    with pytest.raises(ModelError, match="several sets of weights that fit: '0', '1'"):
        loaded(form((state, random(8).state_dict())), tmp_path)


def test_files_from_before_batches_were_counted_load(tmp_path: Path) -> None:
    state = random().state_dict()
    old = {f"module.{key}": value for key, value in state.items() if "num_batches" not in key}
    new = loaded(old, tmp_path)
    assert all(torch.equal(new[key], state[key]) for key in state if "num_batches" not in key)


def test_a_layer_that_takes_its_shape_from_the_file_loads(tmp_path: Path) -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3))
    state = nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict()
    assert same(loaded(state, tmp_path, model), state)


@needs("safetensors")
def test_safetensors_are_unwrapped_alike(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    expected, model = random().state_dict(), Normed()
    save_file(lightning(torch.compile(random())).state_dict(), str(tmp_path / "weights.safetensors"))
    load_checkpoint(model, str(tmp_path / "weights.safetensors"))
    assert same(model.state_dict(), expected)


def test_a_file_that_fits_nowhere_names_its_prefix_and_its_sets(tmp_path: Path) -> None:
    state = {f"encoder.{key}": value for key, value in Normed(classes=7).state_dict().items()}
    with pytest.raises(ModelError) as caught:
        loaded({"model": state, "ema": {"a.weight": torch.zeros(2)}}, tmp_path)
    for words in ("shape of head.weight: (7, 6)", "begin with 'encoder.'", "under 'model'", "under 'ema'"):
        assert words in str(caught.value)


def test_a_set_that_lacks_a_weight_is_never_loaded_in_part(tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in random().state_dict().items() if key != "head.bias"}
    with pytest.raises(ModelError, match=r"missing: head\.bias"):
        loaded(state, tmp_path)


def test_a_checkpoint_that_does_not_fit_lists_every_key(tmp_path: Path) -> None:
    state = build(classes=7).state_dict()
    state["conv9.weight"] = state.pop("conv1.weight")
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ModelError) as caught:
        load_checkpoint(build(), str(tmp_path / "other.pth"))
    for words in ("missing: conv1.weight", "unexpected: conv9.weight", "shape of fc.weight: (7, 6)", "model.arguments"):
        assert words in str(caught.value)


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("harm-done").touch, ())


def test_a_checkpoint_never_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Harmful()}, "bad.pth")
    with pytest.raises(ModelError, match=r"bad\.pth.*safely") as caught:
        load_checkpoint(build(), "bad.pth")
    assert "weights_only" not in str(caught.value)
    assert not Path("harm-done").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_a_file_that_is_not_a_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"odd\.pth"):
        load_checkpoint(build(), str(tmp_path / "odd.pth"))


def test_a_checkpoint_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"optimizer": {}, "epoch": 3}, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match="optimizer"):
        load_checkpoint(build(), str(tmp_path / "odd.pth"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.to_sparse(), "sparse in the file, plain numbers in the model"),
        (lambda value: value.to("meta"), "values of .*: none in the file"),
        (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), "quantized in the file"),
        (lambda value: value.to(torch.complex64), "complex in the file, real in the model"),
        (lambda value: value * float("nan"), "holds NaN in"),
    ],
)
def test_values_that_are_not_plain_numbers_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], reason: str, tmp_path: Path
) -> None:
    state = random().state_dict()
    changed = {name: change(value) if value.is_floating_point() else value for name, value in state.items()}
    with pytest.raises(ModelError, match=reason):
        loaded(changed, tmp_path)
