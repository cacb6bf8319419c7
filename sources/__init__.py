"""Readers: any raw format to streams and recordings, one file per format, one roster."""
