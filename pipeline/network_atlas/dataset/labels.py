"""One text for each label, whichever file of a dataset it comes from.

label_text(3, names=["cat", "dog"])     # '3': the names do not reach that far
label_text(-1, names=["cat", "dog"])    # '': unlabelled
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from network_atlas.errors import DatasetError


def label_text(value: object, names: Sequence[str] = (), *, where: str) -> str:
    """Return a label as text, '' for an image without one.

    A whole number is the class of that number in `names`, or else the number itself. Null, NaN and negative numbers
    mean "unlabelled", as they do in most datasets. A list may hold one label.

    Raises DatasetError for several labels of one image, and for what is not a label; `where` says which it is.
    """
    if isinstance(value, list | tuple):
        return _only_label(value, names, where)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool | str):
        return sys.intern(str(value).strip())
    if isinstance(value, int):
        if value < 0:  # names[-1] would be the last class
            return ""
        return sys.intern(names[value] if value < len(names) else str(value))
    if isinstance(value, float):
        return sys.intern(str(value))
    raise DatasetError(f"{where} is a {type(value).__name__}; a label is a text or a number{FIX}")


FIX = ". Give a column or file with one label an image, or dataset.label=none"


def _only_label(values: Sequence[object], names: Sequence[str], where: str) -> str:
    if len(values) > 1:
        raise DatasetError(f"{where} holds {len(values)} labels; an atlas has one label an image{FIX}")
    return label_text(values[0], names, where=where) if values else ""
