"""Images from where they are to what a model or a page needs: sources, decoding, preprocessing, crops.

NumPy and Pillow, pyarrow for Parquet, and `files` for what is not in a local folder; nothing here knows a model, a
device or an atlas.
"""

from __future__ import annotations

from network_atlas.dataset.preprocessing import Preprocessing
from network_atlas.dataset.sources import Example, Source, open_source

__all__ = ["Example", "Preprocessing", "Source", "open_source"]
