"""Everything that is kept: shards, receipts, manifests, on any pyarrow filesystem. The only user of pyarrow."""
