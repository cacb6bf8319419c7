"""Object storage, Parquet shards, snapshots and the catalog."""
