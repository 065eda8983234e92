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
WHOLE_HEADER, WHOLE_BYTES_PER_PIXEL = 150, 0.18
"""Of the whole image of an example, as WebP."""
WHOLE_SHARE = 0.75
"""Height of an image as a share of its width, and the model's part of it as a share of its longer side."""
CROP_BYTES_PER_PIXEL = 0.23
"""Of a crop in a sheet, as WebP."""

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
SIDE_MIN_PX, SHARP = 16, 2 / 3
"""As in `dataset.crops` and `assemble.example_images`, which planning does not import."""
BLOCK = 4096
"""Space that a small file, such as a receipt, takes on a disk."""

# Entries: of a picture or a channel, and of one of its examples.
PICTURE_ROW, PICTURE_ON_PAGE, PLAN_ITEM, REFERENCE = 450, 600, 40, 25
ROW, EXAMPLE_IN_ROW, EXAMPLE_ON_PAGE = 2_000, 60, 150
IMAGE_LISTED = 200
"""Of the path, size and hash of an image of examples, in a receipt or a manifest."""
ROW_ON_PAGE = 2_600
CHANNEL_ROW, EXAMPLE_IN_CHANNEL_ROW = 250, 12
PARTIAL_ROW, EXAMPLE_IN_PARTIAL = 90, 6
SAMPLED_VALUES = 18
"""Of one channel on one sampled example: mean, maximum and its position, the value at the centre, half a vector's."""
EXAMPLE_NAME = 25
CLASS_SUM = 5
"""Of one channel and class, of means or of maxima: 8 bytes, which compress as few classes have many examples."""


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
    images = 0.0 if config.sweep.share else _whole_images(config, plan)
    return round(tables + images + once + _picture_bytes(config, plan, pictures) + _scan_bytes(config, plan, spans))


def _shown(config: RunConfig, examples: int) -> int:
    """Return the number of examples that a row shows."""
    scan = config.scan
    return sum(min(kind, examples) for kind in (scan.top_k, scan.bottom_k, scan.class_k, *5 * (scan.spectrum_k,)))


def _all_are_whole(config: RunConfig, examples: int) -> bool:
    return examples <= config.assemble.whole_images


def _image_px(config: RunConfig) -> float:
    """Return the longer side of the whole image of an example: images are taken for a third longer than wide."""
    return min(config.assemble.image_px, 1.5 * config.model.input.resize)


def _whole_images(config: RunConfig, plan: Plan) -> float:
    """Return the size of the images of examples that are stored whole, for all layers together.

    Of a large dataset these are those of the sample, which every layer shows.
    """
    examples, shown = _examples(plan), _shown(config, _examples(plan))
    rows = sum(len(layer.channels) for layer in plan.layers)
    several = examples if _all_are_whole(config, examples) else min(config.scan.sample, examples)
    # Drawn at random from all, so that some are drawn often and others never.
    images = several * (1 - math.exp(-rows * shown / max(1, several)))
    size = WHOLE_HEADER + WHOLE_BYTES_PER_PIXEL * WHOLE_SHARE * _image_px(config) ** 2
    return images * (BLOCK // 2 + size + IMAGE_LISTED * (1 + len(plan.layers)))


def _crops_alone(config: RunConfig, layer: LayerPlan, shown: int, examples: int) -> int:
    """Return how many of a row's crops are no part of a stored whole image."""
    scan, px = config.scan, config.assemble.crop_px
    side = layer.layer.receptive_field_px or max(config.model.input.height, config.model.input.width)
    stored = max(SIDE_MIN_PX, side) * WHOLE_SHARE * _image_px(config) / config.model.input.resize
    of_positions = min(shown, scan.top_k + scan.bottom_k + scan.class_k)
    if not _all_are_whole(config, examples):
        return shown - 3 * scan.spectrum_k
    return of_positions if stored < SHARP * px and _image_px(config) >= config.assemble.image_px else 0


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
    of_span = math.ceil(_examples(plan) / max(1, len(plan.spans)))
    kept = sum(min(kind, of_span) for kind in (scan.top_k, scan.bottom_k, *2 * (scan.spectrum_k,), scan.class_k))
    labels = sum(len(set(span.labels) - {""}) for span in plan.spans) if scan.class_k else 0
    sampled, magnitudes = min(scan.sample, _examples(plan)), image.channels * image.height * (image.width // 2 + 1)
    of_all = channels * (2 * CLASS_SUM * labels + SAMPLED_VALUES * sampled) + EXAMPLE_NAME * _examples(plan)
    of_each = PARTIALS_FILE + SAMPLES_FILE + 3 * SMALL_FILE + BLOCK + 8 * magnitudes
    of_each += channels * (PARTIAL_ROW + EXAMPLE_IN_PARTIAL * kept)
    once = 4 * magnitudes + SMALL_FILE if plan.spans else 0
    return once + count * of_each + of_all * count / max(1, len(plan.spans))


def _layer_bytes(config: RunConfig, layer: LayerPlan, examples: int) -> float:
    """Return the size of a layer's tables and pages, but for images of examples that are stored whole."""
    shown, rows, pictures = _shown(config, examples), len(layer.channels), len(layer.pictures)
    alone = _crops_alone(config, layer, shown, examples)
    of_examples = shown * (EXAMPLE_IN_ROW + EXAMPLE_ON_PAGE) + alone * CROP_BYTES_PER_PIXEL * config.assemble.crop_px**2
    of_statistics = LAYER_STATISTICS + layer.layer.channels * (CHANNEL_ROW + EXAMPLE_IN_CHANNEL_ROW * shown)
    # Each picture has a file of its own on the site; half a block is lost at its end.
    on_page = PAGE_PICTURE_BYTES_PER_PIXEL * _pixels(config, layer) + PICTURE_ON_PAGE + BLOCK // 2
    fixed = LAYER_TABLE + LAYER_PAGE + INDEX_OF_LAYER + 2 * BLOCK
    of_all_channels = of_statistics + CONCEPTS_AND_BASES if examples else 0
    return fixed + rows * (ROW + ROW_ON_PAGE + of_examples) + pictures * (PICTURE_ROW + on_page) + of_all_channels
