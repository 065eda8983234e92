"""What the columns of the tables mean, for the page that says so: from the descriptions that the schemas carry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import groupby
from typing import Any

from network_atlas.analysis.describe import describe


@cache
def tables() -> tuple[Mapping[str, Any], ...]:
    """Return each table by its name, with its columns: name, type, unit and description of each, in their order."""
    rows = describe().to_pylist()
    return tuple(
        {"name": name, "columns": tuple(columns)} for name, columns in groupby(rows, key=lambda row: row["table"])
    )
