"""Readers of ground truth, one file per format."""

from __future__ import annotations

from benchmark.experts.labels.agentnet import agentnet_labels
from benchmark.experts.labels.base import Label, LabelReader, Labels
from benchmark.experts.labels.cues import cue_labels
from benchmark.experts.labels.cuts import cut_labels
from benchmark.experts.labels.faults import fault_labels
from benchmark.experts.labels.folder import folder_labels
from benchmark.experts.labels.given import given_labels
from benchmark.experts.labels.pages import page_labels
from benchmark.experts.labels.samples import sample_labels
from schemas.stream import Stream

__all__ = ["Label", "LabelReader", "Labels", "labels_of"]

READERS: tuple[LabelReader, ...] = (
    folder_labels,
    sample_labels,
    cut_labels,
    cue_labels,
    page_labels,
    agentnet_labels,
    given_labels,
    fault_labels,
)
"""In the order in which they are believed: what a person wrote into labels.jsonl comes first."""


def labels_of(stream: Stream) -> list[Labels]:
    """All labels of a stream; of two sources for one kind the first is taken.

    Raises:
        schemas.errors.InputError: a file of labels is not in its format.
    """
    found: dict[str, Labels] = {}
    for reader in READERS:
        for labels in reader(stream):
            found.setdefault(labels.kind, labels)
    return list(found.values())
