from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from network_atlas.config.compose import compose, compose_all, config_folder, expand
from network_atlas.config.executor import InlineConfig, RayConfig
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError

CONF = config_folder()
GIVEN = {
    ("model", "torchvision"): ["model.name=resnet50"],
    ("model", "timm"): ["model.name=convnext_tiny"],
    ("model", "function"): ["model.name=my.nets:build", "model.allow_code=true"],
    ("dataset", "folder"): ["dataset.root=photos"],
    ("dataset", "tar"): ["dataset.root=shards/train-{000..255}.tar"],
    ("dataset", "parquet"): ["dataset.root=shards"],
    ("dataset", "torchvision"): ["dataset.name=CIFAR10", "dataset.root=downloads"],
}
GROUPED = [file.relative_to(CONF) for file in CONF.rglob("*.yaml") if file.parent.name not in ("conf", "experiment")]
CHOICES = sorted((file.parent.as_posix(), file.stem) for file in GROUPED)
EXPERIMENTS = sorted(file.stem for file in CONF.glob("experiment/*.yaml"))
OPTIONAL = {
    *("exclude", "types", "spread", "channels", "sign", "seed", "recipe", "position", "diverse", "facets", "start"),
    *("samples", "directions", "combine", "interpolate", "pictures", "cosine_power"),
}
FOREIGN = (
    *("defaults list", "default list", "Could not", "Exception", "EQUAL", "EOF", "extraneous", "mismatched"),
    *("no viable", "force-add", "raised while", "InterpolationKey", "Multiple values", "config group"),
)
"""Words of Hydra, its parser and OmegaConf, which reach nobody."""


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run each test in an empty folder and without Hydra's global state: composing must leave both as they are."""
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    assert Path.cwd() == folder
    assert list(folder.iterdir()) == []
    assert not GlobalHydra.instance().is_initialized()


def message(overrides: list[str], **keywords: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(overrides, **keywords)
    text = str(caught.value)
    for noise in ("HYDRA_FULL_ERROR", "Traceback", "http", "search path", "Value error", "full_key", "++", *FOREIGN):
        assert noise not in text
    return text


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes(group: str, choice: str) -> None:
    config = compose([f"{group}={choice}", *GIVEN.get((group, choice), [])])
    assert isinstance(config, RunConfig)


@pytest.mark.parametrize("name", EXPERIMENTS or [pytest.param("", marks=pytest.mark.skip("no experiments"))])
def test_every_experiment_composes(name: str) -> None:
    """Its first lines hold the command to run it, with all overrides that it needs."""
    command = re.search(r"^#\s+(atlas .*)$", (CONF / "experiment" / f"{name}.yaml").read_text(), re.MULTILINE)
    assert command, "an experiment begins with its command"
    overrides = [word for word in shlex.split(command[1]) if "=" in word]
    assert f"+experiment={name}" in overrides
    assert all(isinstance(run, RunConfig) for run in compose_all(overrides))


def test_every_choice_begins_with_a_comment() -> None:
    for file in CONF.rglob("*.yaml"):
        assert file.read_text().startswith("# "), f"{file} does not say what it is for"


def test_every_field_has_its_key_in_the_files() -> None:
    """Defaults are in the YAML, except the few that an entry of a list may leave out."""
    keys = set(re.findall(r"(?:^|[\s{-])(\w+):", "\n".join(file.read_text() for file in CONF.rglob("*.yaml")), re.M))
    for kind in _dataclasses(RunConfig):
        for item in dataclasses.fields(kind):
            assert item.name in keys or (item.name in OPTIONAL and item.default is not dataclasses.MISSING)


def _dataclasses(kind: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(kind):
        yield kind
        hints = get_type_hints(kind)
        for item in dataclasses.fields(kind):
            yield from _dataclasses(hints[item.name])
    for inner in get_args(kind):
        yield from _dataclasses(inner)


def test_values_arrive_typed_and_interpolated() -> None:
    config = compose(["model=torchvision", "model.name=resnet50", "executor=inline", "sweep=all"])
    assert config.store.root == "atlases/resnet50"
    assert config.executor == InlineConfig(name="inline", threads=0)
    assert config.model.input.mean == (0.485, 0.456, 0.406)
    assert isinstance(compose([]).executor, RayConfig)


def test_list_entries_and_settings_left_out_of_the_yaml_can_be_set() -> None:
    config = compose(['sweep.select.0.include=["layer3.*"]', "sweep.select.0.exclude=[layer3.0]", "sweep.block=4"])
    assert config.sweep.select[0].include == ("layer3.*",)
    assert config.sweep.select[0].exclude == ("layer3.0",)
    assert config.sweep.block == 4
    assert compose(["model.arguments.width=2"]).model.arguments == {"width": 2}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("modle=resnet", ["'modle'", "Did you mean 'model'?", "executor"]),
        ("model=efficientnet", ["model=efficientnet", "Did you mean 'efficientnet_lite0'?", "timm, torchvision"]),
        ("executor=rey", ["executor=rey", "Did you mean 'ray'?", "inline, ray"]),
        ("model=a/b", ["model=a/b", "timm, torchvision"]),
        ("model=[a,b]", ["model=b", "timm, torchvision"]),
        ("model=null", ["model=null", "timm, torchvision"]),
        ("+model=timm", ["write model=timm"]),
        ("sweep.blok=3", ["sweep: unknown setting 'blok'. Did you mean 'block'?"]),
        ("optimize.step=3", ["'step'. Did you mean 'steps' or 'stop' or 'warm_steps'?"]),
        ("steps=3", ["Did you mean optimize.steps?"]),
        ("optimize={stes: 3}", ["Did you mean 'steps' or 'warm_steps' or 'stop'?"]),
        ("model.name.x=3", ["model.name: got {'x': 3}; must be text"]),
        ("experiment=x", ["experiment"]),
        ("+experiment=no_such", ["experiment"]),
        ("optimize.steps=[1,", ["'optimize.steps=[1,'", "for example optimize.steps=64"]),
        ("steps", ["'steps'", "Write key=value"]),
        ("", ["''", "Write key=value"]),
        ("=3", ["'=3'", "no key"]),
        ("--fast", ["'--fast'"]),
        ("optimize.steps=1,2", ["optimize.steps=1,2", "-m"]),
        ("model=glob(*)", ["model=glob(*)", "-m"]),
        ("sweep.select.9.include=[x]", ["sweep.select.9.include=[x]: ", "sweep.select has 2 items, 0..1"]),
        ("optimize.regularizers.0.name=l1", ["optimize.regularizers has no items", "'optimize.regularizers=[...]'"]),
        ("sweep.variants.2.sign=-", ["sweep.variants has 2 items, 0..1"]),
        ("sweep.select.x=1", ["sweep.select.x=1: sweep.select is a list", "sweep.select.0"]),
        ("sweep.select={a: 1}", ["sweep.select must be a list", "'sweep.select=[{include: [...]}]'"]),
        ("~sweep.select.1", ["~sweep.select.1: ", "cannot be deleted", "'sweep.select=[{include: [...]}]'"]),
        ("model.arguments=[1]", ["model.arguments=[1]: ", "must be a mapping, such as 'model.arguments={key: value}'"]),
        ("model.input=[3]", ["model.input=[3]: ", "must be a group of settings (channels, height"]),
        ("optimize.steps=interval(1,5)", ["optimize.steps=a,b,c or optimize.steps=range(1,5)"]),
        ("hydra.run.dir=/tmp", ["hydra.run.dir=/tmp: Hydra's own settings have no effect here", "store.root"]),
        ("+hydra/launcher=basic", ["Hydra's own settings have no effect here"]),
        ("~hydra", ["Hydra's own settings have no effect here"]),
        ("sweep.select=[]", ["sweep.select: got []; must be a list of at least one item"]),
        ("sweep.variants=[]", ["sweep.variants: got []; must be a list of at least one item"]),
        ("executor.gpus_per_worker=0.3", ["gpus_per_worker=0.3 must be 0, a whole", "nearest are 0.25 and 0.3333"]),
        ("executor.gpus_per_worker=0.7", ["nearest are 0.5 and 1"]),
        ("executor.gpus_per_worker=1.5", ["nearest are 1 and 2"]),
        ("executor.address=", ["address is empty", "'local', 'auto' or the address"]),
        ("model.input.channels=4", ["model.input.channels=4, but the images", "give 1 or 3", "dataset=none"]),
        ("optimize.dtype=~/x", ["'optimize.dtype=~/x'", "'key=\"value\"'"]),
        ("store.root=~/a,~/b", ["'store.root=~/a,~/b'", "'key=\"value\"'"]),
        ("~executor", ["every run needs a choice of executor"]),
        ("~sweep.foo", ["sweep.foo"]),
        ("store.root=${model.nam}", ["store.root", "Did you mean 'model.name'"]),
        ("store.root=${now:%Y}", ["store.root", "now"]),
        ("store.root=${store.root}", ["store.root", "refers to itself"]),
        ("optimize.steps=0", ["optimize.steps: got 0; must be greater than or equal to 1"]),
        ("optimize.steps=many", ["optimize.steps: got 'many'; must be a whole number"]),
        ("optimize.learning_rate=nan", ["optimize.learning_rate: got nan"]),
        ("optimize.learning_rate=inf", ["optimize.learning_rate: got inf"]),
        ("executor.workers=-1", ["executor.workers: got -1"]),
        ("executor.wrkers=1", ["executor: unknown setting 'wrkers'. Did you mean 'workers'?"]),
        ("executor.name=rey", ["executor.name: got 'rey'; must be 'inline' or 'ray'. Did you mean 'ray'?"]),
        ("~executor.name", ["executor.name must be given"]),
        ("~executor.workers", ["executor.workers must be given"]),
        ("dataset.source=phtos", ["'torchvision' or 'none'. Did you mean 'photos'?"]),
        ("dataset.version=2", ["dataset.version: got 2", "dataset.version='\"2\"'"]),
        ("sweep.select.0.include=layer1", ["sweep.select.0.include: got 'layer1'; must be a list"]),
        ("sweep.select.0.channels=3.5", ["sweep.select.0.channels: got 3.5; must be text", "or a list"]),
        ("sweep.select.0.channels=[1,-1]", ["sweep.select.0.channels.1: got -1"]),
        ("model.input.mean=[1,2]", ["model.input: mean has 2 values for 3 channels"]),
        ("scan={}", []),
        ("store.root=''", ["store.root: got ''; must be text that is not empty"]),
    ],
)
def test_a_mistake_is_explained(override: str, parts: list[str]) -> None:
    if not parts:
        assert compose([override])
        return
    text = message([override])
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=torchvision"], "model.name must be given, for example model.name=resnet50"),
        (["model=timm"], "model.name must be given, for example model.name=convnext_tiny"),
        (["dataset=folder"], "dataset.root must be given, for example dataset.root=path/to/images"),
    ],
)
def test_a_missing_mandatory_value_is_named_with_an_example(overrides: list[str], expected: str) -> None:
    assert message(overrides) == expected


def test_all_mistakes_are_reported_together() -> None:
    text = message(["model=torchvision", "dataset=folder", "sweep.blok=1", "optimize.steps=0", "executor.workers=x"])
    assert len(text.splitlines()) == 5
    assert len(message(["a b", "c=[", "scan.span=1"]).splitlines()) == 2


def test_the_cause_is_kept() -> None:
    for overrides in (["optimize.steps=0"], ["model=no"], ["store.root=${no}"], ["a=["]):
        with pytest.raises(ConfigError) as caught:
            compose(overrides)
        assert caught.value.__cause__ is not None


@cache
def default() -> RunConfig:
    return compose([])


@pytest.mark.parametrize(
    "text",
    ["~/x", "/tmp/ünï", "a=b", "/tmp/a(b)", "/tmp/it's", 'say "so"', "C:\\~\\", '~\\"', "a[", "f(x)", "{", "#1 & (2)"],
)
def test_text_is_taken_literally(text: str) -> None:
    run = compose([f"store.root={text}", f"dataset.root={text}", f"model.classes={text}", f"executor.address={text}"])
    assert (run.store.root, run.dataset.root, run.model.classes, run.executor) == (
        text, text, text, replace(default().executor, address=text)
    )  # fmt: skip
    roots = [run.store.root.rpartition("/")[0] for run in compose_all([f"store.root={text}", "optimize.steps=1,2"])]
    assert roots == [text.rstrip("/")] * 2


@given(st.text(st.characters(codec="utf-8", exclude_characters=",$\0"), min_size=1).map(lambda text: f"~{text}~"))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_that_the_grammar_cannot_read_is_kept(text: str) -> None:
    assert compose([f"dataset.version={text}"]).dataset.version == text


def test_interpolations_resolve_in_text_that_the_grammar_cannot_read() -> None:
    assert compose(["store.root=~/x/${model.name}"]).store.root == "~/x/efficientnet_lite0"


@pytest.mark.parametrize("share", [0, 1, 2, 0.5, 0.25, 0.333, 0.3333, 1 / 7])
def test_a_gpu_can_be_shared_evenly(share: float) -> None:
    executor = compose([f"executor.gpus_per_worker={share}"]).executor
    assert isinstance(executor, RayConfig)
    assert executor.gpus_per_worker == share


def test_a_grid_of_an_interval_says_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"optimize\.steps=a,b,c or optimize\.steps=range\(1,5\)"):
        compose_all(["optimize.steps=interval(1,5)"])


def test_items_added_by_an_earlier_override_count() -> None:
    text = message(["sweep.select=[{include: [a]}]", "sweep.select.1.spread=2", "sweep.select.7.spread=2"])
    assert "sweep.select.1.spread=2: sweep.select has 1 item, 0;" in text


def test_the_choice_sweep_takes_the_main_layers_whatever_their_type() -> None:
    config = compose(["sweep=select"])
    assert config.sweep.select[0].include == config.model.main_layers
    assert config.sweep.select[0].types == ()


@pytest.fixture
def user_folder(tmp_path: Path) -> str:
    folder = tmp_path / "it's my conf"
    for group in ("model", "optimize", "experiment"):
        (folder / group).mkdir(parents=True)
    (folder / "model" / "mine.yaml").write_text("defaults: [torchvision, _self_]\nname: resnet18\n")
    default = (CONF / "optimize" / "default.yaml").read_text()
    (folder / "optimize" / "default.yaml").write_text(re.sub(r"steps: \d+", "steps: 7", default))
    (folder / "experiment" / "short.yaml").write_text("# @package _global_\noptimize: {steps: 9}\n")
    (folder / "experiment" / "broken.yaml").write_text("steps: [1\n")
    return str(folder)


def test_the_users_files_add_to_the_package_and_replace_its_own(user_folder: str) -> None:
    config = compose(["model=mine"], config_dir=user_folder)
    assert (config.model.name, config.optimize.steps) == ("resnet18", 7)
    assert compose(["+experiment=short"], config_dir=user_folder).optimize.steps == 9
    assert "mine" in message(["model=min"], config_dir=user_folder)
    assert ["model=mine"] in expand(["model=glob(*)"], config_dir=user_folder)


def test_a_file_that_was_edited_is_read_again(user_folder: str) -> None:
    assert compose(["+experiment=short"], config_dir=user_folder).optimize.steps == 9
    file = next(Path(user_folder).rglob("short.yaml"))
    file.write_text(file.read_text().replace("9", "11"))
    assert compose(["+experiment=short"], config_dir=user_folder).optimize.steps == 11


def test_mistakes_in_the_users_files_are_explained(user_folder: str) -> None:
    assert "broken.yaml" in message(["+experiment=broken"], config_dir=user_folder)
    assert "+experiment=short" in message(["experiment=short"], config_dir=user_folder)
    assert "no/such" in message([], config_dir="no/such")


def test_expand_is_the_product_of_all_sweeps() -> None:
    assert expand([]) == [[]]
    assert expand(["a=1", "b=1,2", "c=range(0,2)"]) == [
        ["a=1", "b=1", "c=0"], ["a=1", "b=1", "c=1"], ["a=1", "b=2", "c=0"], ["a=1", "b=2", "c=1"]
    ]  # fmt: skip
    assert expand(["~x", "y='1,2'", "model=glob(t*)"]) == [
        ["~x", "y='1,2'", "model=timm"],
        ["~x", "y='1,2'", "model=torchvision"],
    ]


@pytest.mark.parametrize("override", ["a=interval(0,1)", "modl=glob(*)", "model=glob(z*)", "a=["])
def test_expand_refuses_values_that_it_cannot_list(override: str) -> None:
    with pytest.raises(ConfigError):
        expand([override])


def test_jobs_that_share_a_root_get_folders_of_their_own() -> None:
    runs = compose_all(["store.root=out/", "optimize.steps=1,2", "scan.span=8", "model.seed=1,2"])
    assert [run.store.root for run in runs] == [
        "out/model.seed=1,optimize.steps=1",
        "out/model.seed=2,optimize.steps=1",
        "out/model.seed=1,optimize.steps=2",
        "out/model.seed=2,optimize.steps=2",
    ]
    assert [run.optimize.steps for run in runs] == [1, 1, 2, 2]


def test_jobs_with_roots_of_their_own_keep_them() -> None:
    runs = compose_all(["model=torchvision", "model.name=resnet18,resnet50"])
    assert [run.store.root for run in runs] == ["atlases/resnet18", "atlases/resnet50"]
    assert compose_all(["store.root=out/"])[0].store.root == "out/"


def test_folders_of_jobs_are_safe_and_distinct() -> None:
    runs = compose_all(["store.root=s3://b/x", "sweep.select.0.include=[a/b],[a_b],['..']"])
    names = [run.store.root.removeprefix("s3://b/x/") for run in runs]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._=,-]+", name) for name in names)


def test_the_same_job_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="remove the repeated value"):
        compose_all(["optimize.steps=1,1"])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["optimize/parameterization=cppn", "sweep.variants=[{objective: channel, start: example}]"],
            "sweep: variant 'channel+ from example' starts from images, which parameterization cppn can't",
        ),
        (
            ["optimize/parameterization=maco", 'sweep.interpolate=[{first: "logit:1", last: "logit:2"}]'],
            "sweep: interpolations share coarse parts, which parameterization maco does not have",
        ),
        (["sweep.variants=[{objective: direction}]"], "sweep.variants.0: objective=direction with directions=0"),
    ],
)
def test_recipes_that_do_not_fit_the_sweep_are_refused_in_one_line(overrides: list[str], expected: str) -> None:
    text = message(overrides)
    assert text.startswith(expected)
    assert "\n" not in text


ADDED = "+optimize@recipes.x=lucid"
PART = "optimize/parameterization@recipes.x.parameterization"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["+optimize/parameterization@recipes.x=pixels"], f"write {ADDED}, then {PART}=pixels"),
        (["optimize/parameterization@recipes.x=pixels"], f"write {ADDED}, then {PART}=pixels"),
        (["+optimize/transform@recipes.x=none"], "then optimize/transform@recipes.x.transform=none"),
        (["+optimize/parameterization@recipes.x"], "there is no '='"),
        (["+optimize@recipes.x.y=lucid"], f"write {ADDED}"),
        (["+optimize@recipes=lucid"], "'@' puts a choice into a recipe"),
        (["+optimize@_global_=lucid"], "'@' puts a choice into a recipe"),
        (["model@foo=torchvision"], "'@' puts a choice into a recipe"),
        (["+model@dataset=torchvision"], "'@' puts a choice into a recipe"),
        (["optimize@recipes.x=lucid"], f"add the recipe first, with a '+': {ADDED}"),
        (["++optimize@recipes.x=lucid"], f"one '+' at most: {ADDED}"),
        ([ADDED, "+optimize@recipes.x=fast"], "chosen already; to choose another write it without the '+'"),
        ([ADDED, f"+{PART}=pixels"], "chosen already; to choose another write it without the '+'"),
        ([f"{PART}=pixels"], f"add the recipe first, with a '+': {ADDED}"),
        (["+optimize@recipes.x=lucd"], "Did you mean 'lucid'"),
        (["+optimize/regularizers@recipes.x=default"], "there is no group 'optimize/regularizers' of choices"),
        (["~optimize@recipes.x"], "there is no choice optimize@recipes.x to leave out"),
        (["~model"], "every run needs a choice of model"),
        (["~nothing"], "there is no setting 'nothing' to leave out"),
        (["~optimize.nothing"], "there is no setting 'optimize.nothing' to leave out"),
        (["+store.root=x"], "store.root has a value already; write it without the '+'"),
        (["experiment=everything"], "with a '+': +experiment="),
        (["optimize.steps=foo(1)"], "there is no function 'foo'"),
        (["optimize.steps=int(a)"], "in 'int(a)': invalid literal"),
        (["optimize..steps=1"], "its text is not well formed"),
        (["optimize.steps=[1"], "its text is not well formed"),
        (["optimize={steps: 1"], "its text is not well formed"),
        (["optimize@recipes.a@b=lucid"], "its text is not well formed"),
        (["executor=ray executor.workers=2"], "its text is not well formed"),
        (["optimize.steps=${nope}"], "optimize.steps: cannot be resolved: it refers to nope, which is not there"),
        (["optimize.steps=${optimize.steps}"], "it refers to itself"),
        (["optimize.steps=${now:%Y}"], "${now:...} is not available"),
        (["optimize.steps=${oc.env:NO_SUCH_NAME}"], "the environment variable 'NO_SUCH_NAME' is not set"),
        (['optimize.steps=${oc.decode:"]"}'], "its text is not well formed"),
    ],
)  # fmt: skip
def test_no_mistake_in_an_override_is_reported_in_hydras_words(overrides: list[str], says: str) -> None:
    assert says in message(overrides)
