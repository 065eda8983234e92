"""Images from where they are to what a model or a page needs: sources, decoding, preprocessing, crops.

NumPy and Pillow alone, and `pipeline.store` for files that are not in a local folder; nothing here knows a model, a
device or an atlas.
"""

from __future__ import annotations

from pipeline.dataset.preprocessing import Preprocessing
from pipeline.dataset.sources import Example, Source, open_source

__all__ = ["Example", "Preprocessing", "Source", "open_source"]
