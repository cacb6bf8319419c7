"""Dataset export: a snapshot as the files that trainers and data loaders take. Start reading at `run.py`."""
