"""Estimate the bytes that a run adds to its root. Pure.

Every table, page and receipt counts. The sizes of single entries were measured in atlases of EfficientNet-Lite0 over
photos, and of the tests' tiny network, where the fixed parts of files are most of what is written.
"""

from __future__ import annotations

import math

from network_atlas.config.schema import RunConfig
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.plan import Plan
from network_atlas.plan.references import REFERENCE_EXAMPLES, is_measured_by_scan

# Pictures and crops.
PNG_SHARE = 0.78
"""Size of a PNG as a share of its raw pixels: optimized pictures are noisy and hardly compress."""
PAGE_PICTURE_BYTES_PER_PIXEL = 0.5
"""Of a picture on the site, as WebP."""
CROP_HEADER = 60
CROP_BYTES_PER_PIXEL = 0.25
"""Of a crop, as WebP, in the tables."""
CROPS_ON_PAGE = 0.5
"""Share of the crops that the site stores: many channels show the same."""

# Fixed parts of files: mostly the description of each column in the footer of a Parquet file.
PICTURES_FILE, MEASUREMENTS_FILE, PARTIALS_FILE, SAMPLES_FILE, SMALL_FILE = 10_000, 6_500, 28_000, 8_000, 4_500
LAYER_TABLE, LAYER_STATISTICS, LAYER_PAGE, INDEX_OF_LAYER, RUN_FILES, ASSETS = (
    84_000,
    48_000,
    9_000,
    2_500,
    90_000,
    125_000,
)
CONCEPTS_AND_BASES = 25_000
"""The two small tables of a layer, each in a folder of its own."""
BLOCK = 4096
"""Space that a small file, such as a receipt, takes on a disk."""

# Entries: of a picture or a channel, and of one of its examples.
PICTURE_ROW, PICTURE_ON_PAGE, PLAN_ITEM, REFERENCE = 450, 600, 40, 25
ROW, EXAMPLE_IN_ROW, EXAMPLE_ON_PAGE = 2_000, 40, 180
ROW_ON_PAGE = 2_600
CHANNEL_ROW, EXAMPLE_IN_CHANNEL_ROW = 250, 12
PARTIAL_ROW, EXAMPLE_IN_PARTIAL = 60, 9
SAMPLED_VALUES = 18
"""Of one channel on one sampled example: mean, maximum and its position, the value at the centre, half a vector's."""
EXAMPLE_NAME = 25


def bytes_of(config: RunConfig, plan: Plan, pictures: int, spans: int) -> int:
    """Return the bytes that the missing pictures, and the scan of the missing spans, add to the root.

    A share of a sweep writes no tables and no pages. Any other run writes all of them if anything is missing.
    """
    if not pictures and not spans:
        return 0
    tables = 0.0 if config.sweep.share else sum(_layer_bytes(config, layer, _examples(plan)) for layer in plan.layers)
    once = (
        RUN_FILES + PLAN_ITEM * (len(plan.picture_keys) + len(plan.scan_keys)) + (0 if config.sweep.share else ASSETS)
    )
    return round(tables + once + _picture_bytes(config, plan, pictures) + _scan_bytes(config, plan, spans))


def _examples(plan: Plan) -> int:
    return plan.spans[-1].stop if plan.spans else 0


def _png(config: RunConfig, layer: LayerPlan) -> float:
    """Return the mean size of a picture of the layer in the tables."""
    return _pixels(config, layer) * config.model.input.channels * PNG_SHARE


def _pixels(config: RunConfig, layer: LayerPlan) -> float:
    """Return the mean number of pixels of a picture of the layer: recipes may have other sizes."""
    recipes = [config.recipe(picture.recipe) for picture in layer.pictures] or [config.optimize]
    return sum(recipe.height_px * recipe.width_px for recipe in recipes) / len(recipes)


def _picture_bytes(config: RunConfig, plan: Plan, count: int) -> float:
    """Return the size of the shards of pictures and measurements, with their receipts."""
    everything = 0.0
    references = min(REFERENCE_EXAMPLES, config.scan.sample, _examples(plan))
    for layer in plan.layers:
        compared = sum(not is_measured_by_scan(picture) for picture in layer.pictures)
        each = _png(config, layer) + PICTURE_ROW + 4 * layer.layer.channels  # the activations of all channels
        everything += len(layer.pictures) * each + compared * references * REFERENCE
    files = math.ceil(count / plan.block) * (PICTURES_FILE + MEASUREMENTS_FILE + 2 * BLOCK)
    return files + everything * count / max(1, len(plan.picture_keys))


def _scan_bytes(config: RunConfig, plan: Plan, count: int) -> float:
    """Return the size of the partials, samples and statistics of `count` spans."""
    scan, image = config.kept, config.model.input
    channels = sum(layer.layer.channels for layer in plan.layers)
    kept = scan.top_k + scan.bottom_k + 2 * scan.spectrum_k + scan.class_k
    labels = sum(len(set(span.labels) - {""}) for span in plan.spans) if scan.class_k else 0
    sampled, magnitudes = min(scan.sample, _examples(plan)), image.channels * image.height * (image.width // 2 + 1)
    of_all = channels * (8 * labels + SAMPLED_VALUES * sampled) + EXAMPLE_NAME * _examples(plan)
    of_each = PARTIALS_FILE + SAMPLES_FILE + 3 * SMALL_FILE + BLOCK + 8 * magnitudes
    of_each += channels * (PARTIAL_ROW + EXAMPLE_IN_PARTIAL * kept)
    once = 4 * magnitudes + SMALL_FILE if plan.spans else 0
    return once + count * of_each + of_all * count / max(1, len(plan.spans))


def _layer_bytes(config: RunConfig, layer: LayerPlan, examples: int) -> float:
    """Return the size of a layer's tables and pages."""
    scan, crop = config.scan, config.assemble.crop_px**2
    kinds = (scan.top_k, scan.bottom_k, scan.class_k, *5 * (scan.spectrum_k,))
    shown, rows, pictures = sum(min(kind, examples) for kind in kinds), len(layer.channels), len(layer.pictures)
    of_crop = (1 + CROPS_ON_PAGE) * (CROP_HEADER + CROP_BYTES_PER_PIXEL * crop)
    of_example = EXAMPLE_IN_ROW + EXAMPLE_ON_PAGE + of_crop
    of_statistics = LAYER_STATISTICS + layer.layer.channels * (CHANNEL_ROW + EXAMPLE_IN_CHANNEL_ROW * shown)
    # Each picture has a file of its own on the site; half a block is lost at its end.
    on_page = PAGE_PICTURE_BYTES_PER_PIXEL * _pixels(config, layer) + PICTURE_ON_PAGE + BLOCK // 2
    of_pictures = pictures * (PICTURE_ROW + _png(config, layer) + on_page)
    fixed = LAYER_TABLE + LAYER_PAGE + INDEX_OF_LAYER + 2 * BLOCK
    of_all_channels = of_statistics + CONCEPTS_AND_BASES if examples else 0
    return fixed + rows * (ROW + ROW_ON_PAGE + shown * of_example) + of_pictures + of_all_channels
