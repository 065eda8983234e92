"""Building blocks of schemas: fields that describe themselves, and the schema of a table.

Every field has a description, and a unit if there is one, in its metadata; every schema has its name and version.
Images are `struct<bytes, path>`, marked for Hugging Face `datasets`.
"""

from __future__ import annotations

import json

import pyarrow as pa

VERSION = 1
"""Version of all tables. Later versions add columns and never rename them."""

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def field(name: str, type_: pa.DataType, description: str, unit: str = "") -> pa.Field:
    """Return a field with its description, and unit, in the metadata."""
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, metadata=metadata)


LAYER_KEYS = [
    field("layer_index", pa.int32(), "position of the layer among the model's modules, in order of execution"),
    field("layer", pa.string(), "the module's path in the model; 'output' is the model's output"),
]


def columns_of(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """Return the name and type of each column, without its description."""
    return tuple((column.name, str(column.type)) for column in schema)


def table_schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    metadata = {"atlas.schema": name, "atlas.version": str(VERSION), "huggingface": _hugging_face(fields)}
    return pa.schema(fields, metadata=metadata)


HUGGING_FACE_NAMES = {"float": "float32", "double": "float64", "halffloat": "float16"}


def _hugging_face(fields: list[pa.Field]) -> str:
    return json.dumps({"info": {"features": {item.name: _feature(item.type) for item in fields}}})


def _feature(type_: pa.DataType) -> dict[str, object]:
    if type_ == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return {"feature": _feature(type_.value_type), "_type": "List"}
    if pa.types.is_struct(type_):
        return {item.name: _feature(item.type) for item in type_}
    return {"dtype": HUGGING_FACE_NAMES.get(str(type_), str(type_)), "_type": "Value"}
