"""What maintenance did, in words for people: for the command, and for the log and the artifact of the flow."""

from __future__ import annotations

from storage.maintenance import Maintenance
from tasks.words import count


def facts(done: Maintenance) -> list[tuple[str, str]]:
    """What maintenance did, for people."""
    merged = done.compacted
    would = "would be " if done.dry_run else ""
    small = "none that are small" if not merged.before else f"{merged.before:,} {would}merged into {merged.after:,}"
    told = [
        ("shards", small if done.published is None else f"{small}, snapshot {done.published}"),
        ("expired", f"{count(len(done.expired), 'snapshot')}" + _numbers(done.expired)),
        ("left over", f"{count(done.orphans, 'file')} {would}removed, {megabytes(done.orphan_bytes)}"),
        ("corpus", f"{megabytes(done.bytes_before)} before, {megabytes(done.bytes_after)} after"),
        ("catalog", f"{megabytes(done.catalog_bytes_freed)} freed"),
    ]
    if done.waits_for:
        told.append(("under way", f"{', '.join(done.waits_for)}: what is younger was left alone"))
    return told


def megabytes(size: int) -> str:
    """Bytes, for people: `0.4 MB`, `1,234 MB`."""
    return f"{size / 1e6:,.1f} MB" if size < 10e6 else f"{size / 1e6:,.0f} MB"


def _numbers(numbers: tuple[int, ...]) -> str:
    return f" ({numbers[0]} to {numbers[-1]})" if numbers else ""
