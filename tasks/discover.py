"""Stage discover: what lies at the recipe's sources, by content. Unchanged files are not read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from schemas.errors import InputError, Problem
from schemas.outcome import InputOutcome, Outcome
from schemas.recipe import Recipe, SourceSpec
from schemas.stream import Domain, Stream, StreamPart
from sources.base import Candidate
from sources.discovery import discover, probe
from sources.identity import fingerprint, hash_parts, stream_sha256
from storage.catalog.catalog import Catalog
from synthesis.intent.domain import domain_of
from tasks.run import Run

_CHUNK = 256
"""Candidates looked at between two questions to the catalog."""
_READERS = 8
"""Threads that hash and probe: both wait for storage more than they compute, and release the interpreter lock."""


@dataclass
class Discovery:
    """The streams of each source, and the inputs that ended here already (unreadable, or the same content twice)."""

    sources: list[tuple[SourceSpec, list[Stream]]] = field(default_factory=list)
    ended: list[InputOutcome] = field(default_factory=list)

    @property
    def streams(self) -> int:
        return sum(len(streams) for _, streams in self.sources)


@task(name="discover", cache_policy=NO_CACHE)
def discover_streams(run: Run) -> Discovery:
    """Finds, hashes and probes every input. What cannot be read goes to the quarantine."""
    with run.catalog() as catalog:
        found = find_streams(run.recipe, catalog, run.id)
    worlds = Counter(stream.domain for _, streams in found.sources for stream in streams)
    get_run_logger().info(
        "streams: %s; inputs that cannot be used: %d",
        ", ".join(f"{count} {domain}" for domain, count in sorted(worlds.items())) or "none",
        len(found.ended),
    )
    return found


def find_streams(recipe: Recipe, catalog: Catalog, run: str) -> Discovery:
    """Every input of a recipe: described streams, and those that ended here with the reason."""
    found = Discovery()
    seen: dict[str, str] = {}
    broken: list[tuple[str, str | None, Problem]] = []
    for source in recipe.sources:
        streams: list[Stream] = []
        for item in _identified(source, recipe, catalog, run):
            if isinstance(item, Problem):
                broken.append((item.input, None, item))
                found.ended.append(
                    InputOutcome(uri=item.input, sha256=None, outcome=Outcome.FAILED, reasons=(str(item),))
                )
            elif item.sha256 in seen:
                reason = f"same content as {seen[item.sha256]}"
                found.ended.append(
                    InputOutcome(uri=item.uri, sha256=item.sha256, outcome=Outcome.FILTERED, reasons=(reason,))
                )
            else:
                seen[item.sha256] = item.uri
                streams.append(item)
        found.sources.append((source, streams))
    catalog.quarantine(run, broken)
    return found


def _identified(source: SourceSpec, recipe: Recipe, catalog: Catalog, run: str) -> Iterator[Stream | Problem]:
    """The streams of one source in the order of discovery, a chunk at a time."""
    items = iter(discover(source))
    while chunk := list(islice(items, _CHUNK)):
        yield from _identify(chunk, source, recipe, catalog, run)


def _identify(
    chunk: Sequence[Candidate | Problem], source: SourceSpec, recipe: Recipe, catalog: Catalog, run: str
) -> Iterable[Stream | Problem]:
    candidates = [item for item in chunk if isinstance(item, Candidate)]
    files = catalog.known_files({uri for candidate in candidates for _, uri in candidate.parts})

    def hashed(candidate: Candidate) -> _Read | Problem:
        try:
            prints = tuple(fingerprint(uri) for _, uri in candidate.parts)
            return _Read(candidate, hash_parts(candidate, files), prints)
        except InputError as error:
            return error.problem

    with ThreadPoolExecutor(_READERS) as pool:
        identities = {
            id(candidate): result for candidate, result in zip(candidates, pool.map(hashed, candidates), strict=True)
        }
        read = [result for result in identities.values() if not isinstance(result, Problem)]
        known = catalog.known_streams({result.sha256 for result in read})

        def probed(item: Candidate | Problem) -> Stream | Problem:
            if isinstance(item, Problem):
                return item
            result = identities[id(item)]
            if isinstance(result, Problem):
                return result
            if result.sha256 in known:
                return _seen_again(
                    known[result.sha256],
                    result,
                    domain_of(result.candidate, source.domain, source.intents or recipe.intents),
                )
            try:
                domain = domain_of(result.candidate, source.domain, source.intents or recipe.intents)
                return probe(result.candidate, result.parts, domain, recipe.sampling.max_pixels)
            except InputError as error:
                return error.problem

        results = list(pool.map(probed, chunk))
    catalog.record_files(
        (part.uri, print_, part.sha256, part.size)
        for result in read
        for part, print_ in zip(result.parts, result.fingerprints, strict=True)
        if files.get(part.uri) != (print_, part.sha256, part.size)
    )
    catalog.record_streams([item for item in results if isinstance(item, Stream)], run)
    return results


@dataclass(frozen=True)
class _Read:
    """A candidate whose files have been hashed. Fingerprints were taken before: a file that changes meanwhile is read
    again by the next run."""

    candidate: Candidate
    parts: tuple[StreamPart, ...]
    fingerprints: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return stream_sha256(self.parts, self.candidate.selector)


def _seen_again(stream: Stream, read: _Read, domain: Domain) -> Stream:
    """A stream whose content is known. Where it lies, what it is called and what it is for may be new."""
    return stream.model_copy(
        update={
            "uri": read.candidate.uri,
            "name": read.candidate.name,
            "parts": read.parts,
            "domain": domain,
        }
    )
