"""The meaning of every column, from the descriptions in the schemas: as a table, and as the document COLUMNS.md.

describe().filter(...)          # table, column, type, unit, description; nested ones by dotted path
document()                      # the text of pipeline/COLUMNS.md, which scripts/columns writes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from network_atlas.analysis.tables import SCHEMAS

COLUMNS = ("table", "column", "type", "unit", "description")
HEAD = """\
# Columns of the tables

Made by `scripts/columns` from the descriptions in the code, which every Parquet file carries too. Columns in lists and
structs are named by their path. How to read the tables is in [ANALYSIS.md](ANALYSIS.md).
"""


def describe(schemas: Mapping[str, pa.Schema] = SCHEMAS) -> pa.Table:
    """Return one row per column of these tables: name, type, unit and meaning; nested columns by dotted path."""
    rows = [
        dict(zip(COLUMNS, (name, *row), strict=True))
        for name, schema in schemas.items()
        for item in schema
        for row in _described(item, item.name)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in COLUMNS]))


def document(schemas: Mapping[str, pa.Schema] = SCHEMAS) -> str:
    """Return the columns of all tables as Markdown."""
    return "\n".join([HEAD, *(line for name, schema in schemas.items() for line in _section(name, schema))])


def _section(name: str, schema: pa.Schema) -> Iterator[str]:
    yield f"## {name}\n"
    yield "| column | type | unit | meaning |"
    yield "|---|---|---|---|"
    for item in schema:
        for path, kind, unit, description in _described(item, item.name):
            yield f"| `{path}` | {kind} | {unit} | {description.replace('|', chr(92) + '|')} |"
    yield ""


def _described(item: pa.Field, path: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield path, type, unit and meaning of a column and of those inside it."""
    metadata = item.metadata or {}
    description, unit = (metadata.get(key, b"").decode() for key in (b"description", b"unit"))
    yield path, _kind(item.type), unit, description
    inner = item.type.value_type if pa.types.is_list(item.type) else item.type
    if pa.types.is_struct(inner) and not _is_image(inner):
        for below in inner:
            yield from _described(below, f"{path}.{below.name}")


def _is_image(type_: pa.DataType) -> bool:
    return [item.name for item in type_] == ["bytes", "path"]


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return f"list of {_kind(type_.value_type)}"
    if pa.types.is_struct(type_):
        return "image" if _is_image(type_) else "struct"
    return str(type_)
