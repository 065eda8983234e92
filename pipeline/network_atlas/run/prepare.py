"""Prepare a run from its configuration: load the model, list the examples, make the plan.

Only reads: it writes nothing and starts no worker. `atlas plan` prints the result; `run.stages` carries it out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from network_atlas.config.determines import fixed_settings
from network_atlas.config.newer import in_common
from network_atlas.config.paths import with_absolute_paths
from network_atlas.config.plain import differences
from network_atlas.config.priors import AUTO, NONE, PACKAGED, RECIPE, TRAINED, DenoiserPrior
from network_atlas.config.recipe import GeneratorConfig
from network_atlas.config.schema import RunConfig
from network_atlas.config.twins import with_twins
from network_atlas.dataset import Example, Listing, open_source
from network_atlas.dataset.embeddings import check_images, read_embeddings
from network_atlas.dataset.folder import reaches
from network_atlas.dataset.hierarchy import read_hierarchy, unknown_labels
from network_atlas.errors import ConfigError, CorruptShardError, RootMismatchError
from network_atlas.layers import LayerSpec, ModelFacts, receptive_field_of_row
from network_atlas.models.facts import batch_difference, model_facts
from network_atlas.models.load import load_model
from network_atlas.models.receptive_field import FIELD_ALGORITHM, with_receptive_fields
from network_atlas.pictures.generators import users_generator
from network_atlas.plan.directions import too_many
from network_atlas.plan.learned import generator_name
from network_atlas.plan.make import Dataset, make_plan
from network_atlas.plan.plan import Plan
from network_atlas.plan.sweep import Sweep, expand_sweep
from network_atlas.priors.opening import check_weights
from network_atlas.run.maps import with_finished_maps, with_found_circuits, with_found_directions
from network_atlas.run.naturalness import otherwise
from network_atlas.run.number_format import dtypes_of
from network_atlas.run.warm_starts import with_earlier_pictures
from network_atlas.stats.images import IMAGES
from network_atlas.stats.sample import sample_limit
from network_atlas.store.receipts import receipts_by_key
from network_atlas.store.results import LAYERS_FILE, read_run_file, whole_receipts
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

WALKED = ("folder", "parquet")
"""Sources that search folders, and would take the pictures and tables of an atlas below `dataset.root` for data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything that is known before work starts."""

    config: RunConfig
    store: Store
    facts: ModelFacts
    sweep: Sweep
    examples: tuple[Example, ...]
    plan: Plan
    notices: tuple[str, ...] = ()
    """Files that the listing of the dataset left out, in sentences for the user."""
    vocabulary: tuple[str, str] = ("", "")
    """Hashes of what `dataset.hierarchy` and `dataset.embeddings` say; '' without one."""
    batch_difference: float | None = None
    """See `models.facts.batch_difference`; measured only for runs, which record it."""


class Loaded:
    """The network and the dataset's listing that a configuration names: each made when it is first asked for, once."""

    def __init__(self, config: RunConfig) -> None:
        self.config = with_twins(with_absolute_paths(config))

    @cached_property
    def model(self) -> nn.Module:
        """Load the network. Raises ModelError or ConfigError if it can't be built or does not run."""
        return load_model(self.config.model)

    @cached_property
    def facts(self) -> ModelFacts:
        """Run the network on generated images and return what planning needs to know of it."""
        return model_facts(self.model, self.config.model)

    @cached_property
    def listing(self) -> Listing:
        """List the dataset. Raises DatasetError if it can't be listed."""
        return open_source(self.config.dataset).listing()


def prepare(config: RunConfig, *, measured: bool = True, loaded: Loaded | None = None) -> Prepared:
    """Return a run that is ready to start. Raises if the configuration does not fit the model, the data or the root.

    With `measured` the plan has receptive fields, each of which takes a backward pass, and the result says how much a
    batch changes an image's numbers. Crops and the record of a run need both. No key covers them, so a command that
    only prints the plan leaves them out. What `loaded`, of the same configuration, holds already is not made again.
    """
    loaded = loaded or Loaded(config)
    config = loaded.config
    store = Store.open(config.store.root)
    # Before the model is loaded and the dataset is listed, which take seconds to minutes.
    check_settings(store, config)
    check_places(store, config)
    model, facts = loaded.model, loaded.facts
    sweep = expand_sweep(facts, config.sweep)
    listing = loaded.listing
    examples = listing.examples
    ids = [example.example_id for example in examples]
    hierarchy = read_hierarchy(config.dataset)
    embeddings = read_embeddings(config.dataset)
    unknown = unknown_labels(hierarchy, frozenset(example.label for example in examples), config.dataset)
    without = check_images(embeddings, _images(config, ids), config.dataset) if embeddings else ""
    plan = make_plan(
        config,
        facts,
        sweep.selections,
        Dataset(
            examples=[(example.example_id, example.version) for example in examples],
            labels=[example.label for example in examples],
            sample_limit=sample_limit(ids, config.scan.sample),
            images_limit=sample_limit(ids, min(config.scan.sample, IMAGES)),
        ),
        dtypes=dtypes_of(config, store),
        weights_files=weights_files(config, otherwise(config, store)),
        measured_otherwise=otherwise(config, store),
    )
    if measured:
        plan = _measured(store, model, plan, config)
    if any(layer.laid_out for layer in plan.layers):
        laid_out = receipts_by_key(whole_receipts(store, "layout"))
        plan = with_found_directions(with_finished_maps(plan, laid_out, store, config), laid_out, store, config)
    if plan.attributions:
        attributed = receipts_by_key(whole_receipts(store, "attribute"))
        plan = with_found_circuits(plan, attributed, store, config)
    plan = with_earlier_pictures(plan, store, config)
    return Prepared(
        config=config,
        store=store,
        facts=facts,
        sweep=sweep,
        examples=examples,
        plan=plan,
        notices=(*listing.notices, *filter(None, (unknown, without, too_many(plan, config)))),
        vocabulary=(hierarchy.content, embeddings.content if embeddings else ""),
        batch_difference=batch_difference(model, config.model.input) if measured else None,
    )


def weights_files(config: RunConfig, measured_otherwise: str = NONE) -> dict[str, str]:
    """Return the SHA-256 of each file that learned models come from, by path, and the hashes of users' generators.

    `measured_otherwise` is the denoiser that measures pictures where that is left open.

    Raises ConfigError if there is no such file, and ModelError if it holds no denoiser of the pictures' channels.
    """
    recipes = (config.optimize, *config.recipes.values())
    named = [recipe.prior.weights for recipe in recipes if isinstance(recipe.prior, DenoiserPrior)]
    paths = {*named, config.priors.naturalness, measured_otherwise} - {TRAINED, AUTO, RECIPE, NONE}
    channels = config.model.input.channels
    kinds = [recipe.parameterization for recipe in recipes]
    generators = {
        generator_name(kind): users_generator(kind, channels).identity
        for kind in kinds
        if isinstance(kind, GeneratorConfig) and kind.function
    }
    checked = {path: check_weights(path, channels) for path in sorted(paths)}
    return generators | {path: sha256 for path, sha256 in checked.items() if path != PACKAGED}


def _images(config: RunConfig, example_ids: Sequence[str]) -> frozenset[str]:
    """Return the ids of the images that the examples are views of."""
    source = open_source(config.dataset)
    return frozenset(map(source.image, example_ids))


def check_settings(store: Store, config: RunConfig) -> None:
    """Raise RootMismatchError, with the settings that differ, if the root holds an atlas made by other settings."""
    before = read_run_file(store)
    if before is None or config.store.allow_changes:
        return
    old, new = _comparable(before["fixed"], fixed_settings(config))
    changed = differences(in_common(old, new), in_common(new, old))
    if changed:
        listed = "\n  ".join(changed)
        raise RootMismatchError(
            f"store.root={store.root!r} holds an atlas made by other settings:\n  {listed}\n"
            "Give another store.root, the same settings, or store.allow_changes=true to publish a new snapshot there."
        )


def check_places(store: Store, config: RunConfig) -> None:
    """Raise ConfigError if the atlas would lie inside its own dataset, also through a link.

    The next run would scan its pictures.
    """
    if config.dataset.source not in WALKED or not store.is_local or "://" in config.dataset.root:
        return
    if reaches(Path(config.dataset.root), Path(store.base)):
        raise ConfigError(
            f"store.root={store.root!r} lies in dataset.root={config.dataset.root!r}: the next run would take "
            "the pictures of the atlas for images of the dataset. Give a store.root outside of it."
        )


def _comparable(before: dict[str, object], now: dict[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Return both sets of settings without the recipes that only one of them has: recipes may be added or removed."""
    shared = _recipes(before) & _recipes(now)
    comparable = [
        {path: value for path, value in settings.items() if _recipe(path) is None or _recipe(path) in shared}
        for settings in (before, now)
    ]
    return comparable[0], comparable[1]


def _recipes(settings: dict[str, object]) -> set[str | None]:
    return {_recipe(path) for path in settings}


def _recipe(path: str) -> str | None:
    """Return the name of the recipe that a setting belongs to; None for other settings."""
    parts = path.split(".")
    return parts[1] if parts[0] == "recipes" and len(parts) > 1 else None


def _known_receptive_fields(store: Store) -> dict[object, dict[str, Any]]:
    """Return the rows that the last run wrote about layers, by layer and upstream hash; none if they can't be read.

    Those whose fields were measured in another way are left out.
    """
    if not store.exists(LAYERS_FILE):
        return {}
    try:
        rows = read_rows(store, LAYERS_FILE)
    except CorruptShardError as error:
        log.warning("%s; measuring receptive fields anew", error)
        return {}
    # With the upstream hash: a layer of the same name may now see more or less of the input.
    current = [row for row in rows if row.get("receptive_field_algorithm") == FIELD_ALGORITHM]
    return {(row["layer"], row["upstream"]): row for row in current}


def _measured(store: Store, model: nn.Module, plan: Plan, config: RunConfig) -> Plan:
    """Return the plan with receptive fields of its layers: as the last run wrote them, or else measured now.

    Of all its layers: recipes follow them (`plan.depth`), so a unit must not have another one for who named it.
    """
    rows = _known_receptive_fields(store)
    new = [layer.layer for layer in plan.layers if (layer.layer.name, layer.upstream) not in rows]
    measured = {layer.name: layer for layer in with_receptive_fields(model, new, config.model.input)}
    return replace(
        plan,
        layers=tuple(
            replace(
                layer,
                layer=measured.get(layer.layer.name) or _as_known(layer.layer, rows[layer.layer.name, layer.upstream]),
            )
            for layer in plan.layers
        ),
    )


def _as_known(layer: LayerSpec, row: dict[str, Any]) -> LayerSpec:
    """Return a layer with the receptive field of its row in `layers.parquet`."""
    return replace(layer, receptive_field_px=row["receptive_field_px"], receptive_field=receptive_field_of_row(row))
