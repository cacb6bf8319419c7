"""Stage discover: what lies at the recipe's sources, by content. Unchanged files are not read again, and an input is
passed over when all that is asked of it is done: nothing is made of it but the key that the catalog knows it by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby, islice

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from experts.roster import EXPERTS, signature
from schemas.base import digest
from schemas.errors import InputError, Problem
from schemas.outcome import InputOutcome, Outcome
from schemas.recipe import ExpertSpec, Recipe, SourceSpec
from schemas.stream import Stream, StreamPart
from sources.base import Candidate
from sources.cameras import whole
from sources.discovery import KnownFolders, discover, probe
from sources.identity import fingerprint, hash_parts, stream_sha256
from sources.places import parent
from storage.catalog.catalog import Catalog
from storage.catalog.inputs import input_key, place_in, place_of
from storage.catalog.records import SettledFolder, SettledFolders
from synthesis.agents.roster import TASKS, agent_class
from synthesis.intent.constraints import ClashError
from synthesis.intent.domain import domain_of
from synthesis.intent.forms import forms
from synthesis.intent.reading import read
from synthesis.prompts import VERSION as PROMPTS
from tasks.run import Run

_CHUNK = 20_000
"""Inputs between two questions to the catalog which of them are settled."""
_BATCH = 256
"""Streams that are read and described between two questions what is known of them."""
_READERS = 8
"""Threads that hash and probe: both wait for storage more than they compute, and release the interpreter lock."""


@dataclass
class Discovery:
    """The streams of each source that are to be looked at, and the inputs that ended here already (unreadable, or the
    same content twice)."""

    sources: list[tuple[SourceSpec, list[Stream]]] = field(default_factory=list)
    ended: list[InputOutcome] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    """The key of the input that a stream is (a part of), by SHA-256. Streams without one are looked at every time."""
    settled: int = 0
    """Inputs that were passed over: all that is asked of them is done."""
    units_settled: int = 0

    @property
    def streams(self) -> int:
        return sum(len(streams) for _, streams in self.sources)


@task(name="discover", cache_policy=NO_CACHE)
def discover_streams(run: Run) -> Discovery:
    """Finds, hashes and probes every input that is not settled. What cannot be read goes to the quarantine."""
    with run.catalog() as catalog:
        found = find_streams(run.recipe, catalog, run.id)
    worlds = Counter(stream.domain for _, streams in found.sources for stream in streams)
    get_run_logger().info(
        "streams to look at: %s; inputs done before: %d; inputs that cannot be used: %d",
        ", ".join(f"{count} {domain}" for domain, count in sorted(worlds.items())) or "none",
        found.settled,
        len(found.ended),
    )
    return found


def find_streams(recipe: Recipe, catalog: Catalog, run: str) -> Discovery:
    """Every input of a recipe: described streams, those that ended here with the reason, and how many are settled.

    What is held in memory grows with the inputs that are to be looked at, not with the settled ones.
    """
    found = Discovery()
    catalog.sweep_inputs()
    aside = catalog.set_aside()
    scopes = [_Scope(recipe, source) for source in recipe.sources]
    seen: dict[str, str] = {}
    incomplete: set[str] = set()
    """Keys of inputs that not all of became streams: to be looked at again."""
    broken: list[tuple[str, str | None, Problem]] = []
    for scope in scopes:
        streams: list[Stream] = []
        waiting = _unsettled(scope, _Folders(scope, catalog.settled_folders(), aside), catalog, aside, found)
        while batch := list(islice(waiting, _BATCH)):
            described, known = _describe([item for item, _ in batch], scope, catalog)
            twins = _settled_twins(known.values(), scopes, catalog)
            fresh = []
            for (_, key), item in zip(batch, described, strict=True):
                if isinstance(item, Problem):
                    broken.append((item.input, None, item))
                    end = InputOutcome(uri=item.input, sha256=None, outcome=Outcome.FAILED, reasons=(str(item),))
                elif (place := seen.get(item.sha256) or _other(twins, item, key)) is not None:
                    reason = f"same content as {place}"
                    end = InputOutcome(uri=item.uri, sha256=item.sha256, outcome=Outcome.FILTERED, reasons=(reason,))
                else:
                    seen[item.sha256] = item.uri
                    found.keys[item.sha256] = key
                    fresh.append(item)
                    continue
                incomplete.add(key)
                found.ended.append(end)
            # Only these: by the place where a content was used last, it is known under another name.
            catalog.record_streams(fresh, run)
            streams += fresh
        found.sources.append((scope.source, streams))
    found.keys = {sha256: key for sha256, key in found.keys.items() if key and key not in incomplete}
    catalog.quarantine(run, broken)
    return found


class _Scope:
    """A source of a recipe, and all that the plan of its streams depends on beside them."""

    def __init__(self, recipe: Recipe, source: SourceSpec) -> None:
        self.source = source
        self.intents = source.intents or recipe.intents
        self.max_pixels = recipe.sampling.max_pixels
        self._settles = source.group_by is not None or not any(map(_joins, self.intents))
        self._asked = digest([source.model_dump(mode="json"), self.intents, _made_by(recipe)])

    def inputs(self, known: KnownFolders | None = None) -> Iterator[list[Candidate | Problem]]:
        """What is looked at together or not at all: the streams that may become one sample."""
        if self.source.group_by is None:  # the cameras of an episode come one after the other
            known = known if self._settles else None
            return (list(members) for _, members in groupby(discover(self.source, known), _episode))
        groups: dict[str, list[Candidate | Problem]] = {}
        for item in discover(self.source):
            uri = item.input if isinstance(item, Problem) else item.uri
            groups.setdefault(group_of(self.source.group_by, uri), []).append(item)
        return iter(groups.values())

    def key(self, members: Sequence[Candidate | Problem]) -> str:
        """The key of an input; empty for one that is never settled: it holds a problem, or what is asked joins all
        streams of the source, so that none can be known alone."""
        if not self._settles:
            return ""
        signs = []
        for item in members:
            if isinstance(item, Problem):
                return ""
            try:
                parts = [(role, uri, fingerprint(uri)) for role, uri in item.parts]
            except InputError:  # said when it is read
                return ""
            signs.append((item.name, item.format, item.uri, parts))
        return input_key(self.place(parent(signs[0][3][0][1])), repr(signs))

    def place(self, folder: str) -> str:
        """What the keys of inputs in a folder begin with."""
        return place_of(self._asked, folder)


@dataclass
class _LookedInto:
    """A folder with many files that is not passed over: how many settled inputs and units it has so far."""

    sign: str
    streams: int | None = None
    """In all; None until that is known."""
    inputs: int = 0
    units: int = 0


class _Folders:
    """The folders of a source all of whose inputs are settled: those that are known, and those that are found to be.
    Of folders with few files nothing is held: there may be one for each stream."""

    def __init__(self, scope: _Scope, before: SettledFolders, aside: Collection[str]) -> None:
        self._scope, self._before = scope, before
        self._tried = {parent(uri) for uri in aside}
        """Folders in which something was set aside, which is tried again."""
        self._looked_into: dict[str, _LookedInto] = {}
        self.inputs = self.units = 0
        """Of the folders that were passed over."""

    def passed(self, folder: str, sign: str) -> bool:
        place = self._scope.place(folder)
        known = self._before.known.get(place)
        if known is None or known.sign != sign or folder in self._tried:
            self._looked_into[place] = _LookedInto(sign)
            return False
        self.inputs += known.inputs
        self.units += known.units
        return True

    def seen(self, folder: str, streams: int) -> None:
        self._looked_into[self._scope.place(folder)].streams = streams

    def settled(self, key: str, streams: int, units: int) -> None:
        """Hears of a settled input."""
        if (folder := self._looked_into.get(place_in(key))) is not None:
            folder.inputs += streams
            folder.units += units

    def record(self, catalog: Catalog) -> None:
        """Remembers the folders that held nothing but settled inputs."""
        found = {
            place: SettledFolder(folder.sign, folder.inputs, folder.units)
            for place, folder in self._looked_into.items()
            if folder.inputs == folder.streams
        }
        if found:
            catalog.record_folders(self._before, found)


def group_of(group_by: str, uri: str) -> str:
    """What a stream has in common with those it belongs with (:attr:`SourceSpec.group_by`)."""
    if group_by == "folder":
        return uri.rpartition("/")[0]
    match = re.search(group_by, uri)
    return "\n".join(part or "" for part in match.groups()) if match else uri


def _episode(item: Candidate | Problem) -> str:
    return item.input if isinstance(item, Problem) else whole(item)[0]


def _joins(intent: str) -> bool:
    """Whether words of an intent ask for one sample of all streams together."""
    try:
        return any(read(intent, forms()).joins.values())
    except ClashError:
        return False


def _made_by(recipe: Recipe) -> list[object]:
    """What makes the results of a recipe, in the versions of today."""
    experts = recipe.experts if recipe.experts is not None else [ExpertSpec(name=name) for name in EXPERTS.names]
    return [
        recipe.identity,
        recipe.output_schema,
        [signature(expert, recipe.sampling) for expert in experts],
        {name: agent_class(name).version for name in TASKS.names},
        PROMPTS,
        version("dataclaw-factory"),
    ]


def _unsettled(
    scope: _Scope, folders: _Folders, catalog: Catalog, aside: Collection[str], found: Discovery
) -> Iterator[tuple[Candidate | Problem, str]]:
    """What is to be looked at of a source, in the order of discovery, with the key of the input that it is of. Inputs
    that were set aside are tried again, whatever became of them before."""
    inputs = scope.inputs(folders)
    with ThreadPoolExecutor(_READERS) as pool:
        keys_of = pool.map if "://" in scope.source.uri else map  # a file here is looked at before a thread has begun
        while chunk := list(islice(inputs, _CHUNK)):
            keys = list(keys_of(scope.key, chunk))
            again = {key for key, members in zip(keys, chunk, strict=True) if aside and _is_aside(members, aside)}
            known = catalog.settled_inputs(key for key in keys if key and key not in again)
            for key, members in zip(keys, chunk, strict=True):
                if units := known.get(key, 0):
                    found.settled += len(members)
                    found.units_settled += units
                    folders.settled(key, len(members), units)
                else:
                    yield from ((item, key) for item in members)
    found.settled += folders.inputs
    found.units_settled += folders.units
    folders.record(catalog)


def _is_aside(members: Iterable[Candidate | Problem], aside: Collection[str]) -> bool:
    return any(isinstance(item, Candidate) and item.uri in aside for item in members)


def _describe(
    items: Sequence[Candidate | Problem], scope: _Scope, catalog: Catalog
) -> tuple[list[Stream | Problem], dict[str, Stream]]:
    """Each item as a stream, or what is wrong with it; and those of the streams that were seen before, as they were."""
    candidates = [item for item in items if isinstance(item, Candidate)]
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

        def described(item: Candidate | Problem) -> Stream | Problem:
            result = item if isinstance(item, Problem) else identities[id(item)]
            if isinstance(result, Problem):
                return result
            domain = domain_of(result.candidate, scope.source.domain, scope.intents)
            if (before := known.get(result.sha256)) is not None:
                # The same content. Where it lies, what it is called and what it is for may be new.
                now = {"uri": result.candidate.uri, "name": result.candidate.name, "parts": result.parts}
                return before.model_copy(update={**now, "domain": domain})
            try:
                return probe(result.candidate, result.parts, domain, scope.max_pixels)
            except InputError as error:
                return error.problem

        streams = list(pool.map(described, items))
    catalog.record_files(
        (part.uri, print_, part.sha256, part.size)
        for result in read
        for part, print_ in zip(result.parts, result.fingerprints, strict=True)
        if files.get(part.uri) != (print_, part.sha256, part.size)
    )
    return streams, known


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


def _settled_twins(known: Iterable[Stream], scopes: Sequence[_Scope], catalog: Catalog) -> dict[str, tuple[str, str]]:
    """Of contents that were seen before, those that a settled input of this recipe still has, with its key and its URI:
    the same content anew, under another name, is a duplicate of it."""
    places = {
        key: stream
        for stream in known
        for scope in scopes
        if (key := scope.key([Candidate(stream.name, stream.format, stream.uri, _parts(stream))]))
    }
    settled = catalog.settled_inputs(places)
    return {stream.sha256: (key, stream.uri) for key, stream in places.items() if key in settled}


def _other(twins: Mapping[str, tuple[str, str]], stream: Stream, key: str) -> str | None:
    """The URI of a stream's twin; None when that is itself, tried again."""
    its_key, uri = twins.get(stream.sha256, (key, ""))
    return uri if its_key != key else None


def _parts(stream: Stream) -> tuple[tuple[str, str], ...]:
    return tuple((part.role, part.uri) for part in stream.parts)
