"""From the images of a dataset to the pixels that a model or a page needs: sources, decoding, preprocessing, crops.

This uses NumPy and Pillow, pyarrow for Parquet, and `files` for what is not in a local folder. It knows no models,
devices or atlases.
"""

from __future__ import annotations

from network_atlas.dataset.base import Example, Listing, Source
from network_atlas.dataset.preprocessing import Preprocessing
from network_atlas.dataset.sources import open_source

__all__ = ["Example", "Listing", "Preprocessing", "Source", "open_source"]
