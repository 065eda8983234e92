from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from network_atlas.store.columns import Lists, put_columns, read_columns
from network_atlas.store.root import Store
from network_atlas.store.shards import encode

ENTRIES = pa.list_(
    pa.struct([pa.field("number", pa.int64()), pa.field("value", pa.float32()), pa.field("name", pa.string())])
)
SCHEMA = pa.schema([pa.field("layer_index", pa.int32()), pa.field("entries", ENTRIES)])
NUMBERS = np.array([0, -1, 2**62, 7], np.int64)
VALUES = np.array([-0.0, np.nan, np.inf, 1e-45], np.float32)


def test_lists_of_numbers_and_texts_come_back_bit_for_bit(tmp_path: Path) -> None:
    entries = Lists(np.array([3, 0, 1]), {"number": NUMBERS, "value": VALUES, "name": ["a", "b", "a", ""]})
    store = Store.open(str(tmp_path))
    entry = put_columns(store, "lists", {"layer_index": np.array([1, 1, 2], np.int32), "entries": entries}, SCHEMA)
    read = read_columns(store, entry.path, ["entries"])["entries"]
    assert read.lengths.tolist() == [3, 0, 1]
    assert read.values["number"].tolist() == NUMBERS.tolist()
    assert read.values["value"].tobytes() == VALUES.tobytes()
    assert list(read.values["name"]) == ["a", "b", "a", ""]
    second = read_columns(store, entry.path, ["entries"], layer_index=2)["entries"]
    assert (second.lengths.tolist(), second.values["number"].tolist()) == ([1], [7])


def test_tables_for_other_readers_have_only_encodings_that_all_know() -> None:
    rows = [{"layer_index": 0, "entries": [{"number": 1, "value": 0.5, "name": "a"}]}]
    groups = pq.read_metadata(pa.BufferReader(encode(rows, SCHEMA))).row_group(0)
    encodings = {name for column in range(groups.num_columns) for name in groups.column(column).encodings}
    assert encodings <= {"PLAIN", "RLE", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
