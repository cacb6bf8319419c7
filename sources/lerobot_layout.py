"""Where a LeRobot data set keeps its episodes.

v2.0 and v2.1: meta/episodes.jsonl, meta/tasks.jsonl, one Parquet file and one video per camera for each episode.
v3.0: meta/episodes/*/*.parquet, meta/tasks.parquet; Parquet and video files hold many episodes, of which one is rows
with its number, and a window of time for each camera.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from schemas.errors import InputError, Problem
from schemas.manifest import inside
from sources.base import Candidate
from sources.identity import fingerprint
from sources.jsonfiles import read_json, read_jsonl
from sources.lerobot_window import Span
from sources.places import basename, natural, open_binary, to_uri
from sources.robots import overview_first

VERSIONS = ("v2.0", "v2.1", "v3.0")
FORMAT = "lerobot"
INFO = "meta/info.json"
CAMERA = "video:"
"""Role of a camera's file: this and the feature's name. The first one is what `frames` shows."""
EPISODES = "episodes"
"""Role of the table of v3.0 that says where an episode lies in its files."""

_SHARED = {"info": INFO, "modality": "meta/modality.json"}
_TASKS = ("meta/tasks.jsonl", "meta/tasks.parquet")
_DEFAULT_V2 = {
    "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
}
_NUMBER, _LENGTH = "episode_index", "length"
_DATA_FILE = ("data/chunk_index", "data/file_index")
_FIELD = re.compile(r"\{[a-z_]+(?::0?[0-9]{0,2}d?)?\}")
"""What a template may hold in braces: a name and a width of two digits at most. Wider ones would fill the memory, and
Python's templates reach into objects."""
_LARGEST = 1 << 30
"""Bytes of the columns of one table that are held at once."""
_MOST_ROWS = 1 << 24
_BATCH = 256
_DAMAGES = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises for damaged files; the last one for texts, when they become Python's."""
_MEND_META = "Copy the data set's meta again"


def read_info(uri: str) -> dict[str, Any]:
    """meta/info.json, when this reader understands its version.

    Raises:
        schemas.errors.InputError: it is malformed or of another version.
    """
    info = read_json(uri)
    if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
        raise InputError(uri, "names no features", _MEND_META)
    version = str(info.get("codebase_version"))
    if version not in VERSIONS:
        cause = f"LeRobot version {version} is not read"
        raise InputError(uri, cause, f"Versions read: {', '.join(VERSIONS)}. Convert it to one of them")
    return info


def cameras(info: Mapping[str, Any], kind: str = "video") -> list[str]:
    """The features of a kind (`video`, or `image` for pictures inside the table), those that see the scene first."""
    features = info["features"].items()
    return overview_first(key for key, said in features if isinstance(said, dict) and said.get("dtype") == kind)


class Episode:
    """One episode by the roles of its files, whatever the version of its data set."""

    def __init__(self, files: Mapping[str, str], number: int) -> None:
        self.files = files
        self.number = number
        self.info = read_info(files["info"])

    @property
    def uri(self) -> str:
        """The episode as errors call it."""
        return f"{self.files['info'].removesuffix(INFO)[:-1]}#{self.number}"

    @property
    def videos(self) -> dict[str, str]:
        """The URI of each camera's video that is there, by feature, in the order of preference."""
        return {role.removeprefix(CAMERA): uri for role, uri in self.files.items() if role.startswith(CAMERA)}

    def rows(self, columns: Sequence[str]) -> pa.Table:
        """Those of the columns that there are, of this episode's rows alone.

        Raises:
            schemas.errors.InputError: the file is no Parquet file, or has no row of this episode.
        """
        uri = self.files["data"]
        if EPISODES not in self.files:
            return _read_table(uri, columns)
        rows = _read_table(uri, columns, self.number)
        if not rows.num_rows:
            cause = f"has no row of episode {self.number}, though meta puts it there"
            raise InputError(uri, cause, "Copy the file and the data set's meta again")
        return rows

    def length(self) -> int | None:
        """The number of rows that meta promises, where it does."""
        return self._entry().get(_LENGTH) if EPISODES in self.files else None

    def span(self, camera: str) -> Span | None:
        """The part of the camera's file that is this episode; None when all of it is.

        Raises:
            schemas.errors.InputError: meta says no such part any more.
        """
        if EPISODES not in self.files:
            return None
        try:
            return _span(self._entry(), camera)
        except ValueError as error:
            raise InputError(self.files[EPISODES], str(error), _MEND_META) from error

    def texts(self) -> tuple[str, ...]:
        """The task texts in the order of their first row."""
        known = _tasks(self.files["tasks"]) if "tasks" in self.files else {}
        rows = self.rows(["task_index"])
        numbers = rows["task_index"].to_pylist() if "task_index" in rows.column_names else []
        texts = [known.get(number) for number in dict.fromkeys(numbers)]
        said = tuple(text for text in texts if isinstance(text, str) and text.strip())
        if said or EPISODES not in self.files:
            return said
        return tuple(text for text in self._entry().get("tasks") or () if isinstance(text, str) and text.strip())

    def _entry(self) -> dict[str, Any]:
        """What meta/episodes says of this episode (v3.0)."""
        uri = self.files[EPISODES]
        table = _episodes(uri, fingerprint(uri))
        try:
            found = table.filter(pc.equal(table[_NUMBER], self.number)).to_pylist()
        except _DAMAGES as error:
            raise InputError(uri, f"its entry of episode {self.number} is damaged: {error}", _MEND_META) from error
        if not found:
            raise InputError(uri, f"does not list episode {self.number} any more", "Discover the data set again")
        return dict(found[0])


def find_episodes(fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
    """The episodes that meta lists, and a problem for each whose files are not there."""
    uri = to_uri(fs, root)
    try:
        info = read_info(f"{uri}/{INFO}")
    except InputError as error:
        yield error.problem
        return
    shared = [(role, f"{uri}/{path}") for role, path in _SHARED.items() if fs.isfile(f"{root}/{path}")]
    shared += [("tasks", f"{uri}/{path}") for path in _TASKS if fs.isfile(f"{root}/{path}")][:1]
    find = _find_v3 if info["codebase_version"] == "v3.0" else _find_v2
    yield from find(fs, root, info, shared)


def _find_v2(
    fs: AbstractFileSystem, root: str, info: Mapping[str, Any], shared: Sequence[tuple[str, str]]
) -> Iterator[Candidate | Problem]:
    uri = to_uri(fs, root)
    rows, problem = read_jsonl(f"{uri}/meta/episodes.jsonl")
    if problem:
        yield Problem(input=f"{uri}/meta/episodes.jsonl", cause=problem, remedy=_MEND_META)
    is_there = _presence(fs, root)
    for row in rows:
        number = row.get(_NUMBER)
        if not isinstance(number, int):
            cause = f"an episode has no number: {str(row)[:80]}"
            yield Problem(input=f"{uri}/meta/episodes.jsonl", cause=cause, remedy="Mend this line")
            continue
        try:
            data = _paths_v2(info, "data_path", number)
            videos = {key: _paths_v2(info, "video_path", number, key) for key in cameras(info)}
        except ValueError as error:
            yield Problem(input=f"{uri}#{number}", cause=str(error), remedy="Mend meta/info.json")
            continue
        yield _candidate(fs, root, number, data, videos, shared, is_there)


def _find_v3(
    fs: AbstractFileSystem, root: str, info: Mapping[str, Any], shared: Sequence[tuple[str, str]]
) -> Iterator[Candidate | Problem]:
    folder = f"{root}/meta/episodes"
    files = [path for path in fs.find(folder) if path.endswith(".parquet") and not basename(path).startswith(".")]
    tables = sorted(files, key=natural)
    is_there = _presence(fs, root)
    seen: set[int] = set()
    for path in tables:
        table = to_uri(fs, path)
        parts = [*shared, (EPISODES, table)]
        try:
            for row in _listed(table):
                yield _placed(fs, root, info, row, parts, is_there, seen)
        except InputError as error:
            yield error.problem
    promised = info.get("total_episodes")
    if not tables or (isinstance(promised, int) and promised > len(seen)):
        cause = f"meta/episodes lists {len(seen)} episodes, meta/info.json promises {promised}"
        yield Problem(input=to_uri(fs, folder), cause=cause, remedy=_MEND_META)


def _placed(
    fs: AbstractFileSystem,
    root: str,
    info: Mapping[str, Any],
    row: Mapping[str, Any],
    shared: Sequence[tuple[str, str]],
    is_there: Callable[[str], bool],
    seen: set[int],
) -> Candidate | Problem:
    """The candidate of one row of meta/episodes, whose number joins `seen`."""
    number = row.get(_NUMBER)
    if not isinstance(number, int) or number in seen:
        cause = "an episode has no number" if not isinstance(number, int) else f"episode {number} is listed twice"
        return Problem(input=shared[-1][1], cause=cause, remedy=_MEND_META)
    seen.add(number)
    try:
        data = _path_v3(info, "data_path", row, _DATA_FILE)
        videos = {}
        for key in cameras(info):
            if row.get(f"videos/{key}/chunk_index") is not None:
                _span(row, key)
                names = (f"videos/{key}/chunk_index", f"videos/{key}/file_index")
                videos[key] = [_path_v3(info, "video_path", row, names, key)]
    except ValueError as error:
        return Problem(input=f"{to_uri(fs, root)}#{number}", cause=str(error), remedy=_MEND_META)
    return _candidate(fs, root, number, [data], videos, shared, is_there)


def _candidate(
    fs: AbstractFileSystem,
    root: str,
    number: int,
    data: Sequence[str],
    videos: Mapping[str, Sequence[str]],
    shared: Sequence[tuple[str, str]],
    is_there: Callable[[str], bool],
) -> Candidate | Problem:
    """An episode with the first file of each that is there; a problem without signals, or with no camera of many."""
    uri = to_uri(fs, root)
    there = [
        (f"{CAMERA}{key}", f"{uri}/{path}")
        for key, paths in videos.items()
        for path in [path for path in paths if is_there(path)][:1]
    ]
    table = next((path for path in data if is_there(path)), None)
    if table is None or (videos and not there):
        lost = data[0] if table is None else next(iter(videos.values()))[0]
        cause = f"meta lists episode {number}, but its file {lost} is missing"
        return Problem(input=f"{uri}#{number}", cause=cause, remedy="Copy the file, or leave the episode out")
    parts = (*there, ("data", f"{uri}/{table}"), *shared)
    return Candidate(f"{basename(root)}/episode_{number:06d}", FORMAT, f"{uri}#{number}", parts, str(number))


def _presence(fs: AbstractFileSystem, root: str) -> Callable[[str], bool]:
    """Whether a file is there, by one listing of its folder instead of a question for each episode."""

    @cache
    def folder(path: str) -> frozenset[str]:
        return frozenset(fs.ls(path, detail=False)) if fs.isdir(path) else frozenset()

    def is_there(path: str) -> bool:
        full = f"{root}/{path}"
        return full in folder(full.rpartition("/")[0])

    return is_there


def _paths_v2(info: Mapping[str, Any], template: str, number: int, camera: str = "") -> list[str]:
    """Where a file of an episode may lie, relative to the data set: where the template says, then where the default
    one does. Templates of v2.0 data sets are seen to put the episode where the chunk belongs.

    Raises:
        ValueError: the template is missing, names something unknown, or leads outside the data set.
    """
    size = info.get("chunks_size")
    chunk = number // size if isinstance(size, int) and size > 0 else 0
    values = {"episode_index": number, "episode_chunk": chunk, "video_key": camera}
    paths = [_filled(template, form, values) for form in (info.get(template), _DEFAULT_V2[template])]
    return list(dict.fromkeys(paths))


def _path_v3(
    info: Mapping[str, Any], template: str, row: Mapping[str, Any], names: tuple[str, str], camera: str = ""
) -> str:
    """Where the file lies that holds an episode, relative to the data set.

    Raises:
        ValueError: as :func:`_paths_v2`, or the episode does not say which file.
    """
    for name in names:
        if not isinstance(row.get(name), int) or row[name] < 0:
            raise ValueError(f"meta/episodes gives no {name}")
    chunk, file = (int(row[name]) for name in names)
    return _filled(template, info.get(template), {"chunk_index": chunk, "file_index": file, "video_key": camera})


def _filled(name: str, template: Any, values: Mapping[str, object]) -> str:
    if not isinstance(template, str):
        raise ValueError(f"meta/info.json has no {name}")
    if {"{", "}"} & set(_FIELD.sub("", template)):
        raise ValueError(f"{name} in meta/info.json is no plain template")
    try:
        return inside(template.format(**values))
    except KeyError as error:
        raise ValueError(f"{name} in meta/info.json names something unknown: {error}") from error


def _span(row: Mapping[str, Any], camera: str) -> Span:
    """Raises ValueError when the times are no part of a file."""
    start, end = row.get(f"videos/{camera}/from_timestamp"), row.get(f"videos/{camera}/to_timestamp")
    if not isinstance(start, int | float) or not isinstance(end, int | float) or not 0 <= start < end < math.inf:
        raise ValueError(f"meta/episodes puts {camera} from {start} s to {end} s of its file")
    return Span(float(start), float(end))


def _listed(uri: str) -> Iterator[dict[str, Any]]:
    """The rows of a table of episodes, a batch in memory at a time, without its statistics.

    Raises:
        schemas.errors.InputError: it is no such table.
    """
    try:
        with open_binary(uri) as file:
            parquet = pq.ParquetFile(file)
            names = _placing(parquet.schema_arrow.names)
            if _NUMBER not in names:
                raise InputError(uri, f"has no column {_NUMBER}", _MEND_META)
            for batch in parquet.iter_batches(batch_size=1024, columns=names):
                yield from batch.to_pylist()
    except _DAMAGES as error:
        raise InputError(uri, f"is not a readable Parquet file: {error}", _MEND_META) from error


@lru_cache(maxsize=4)
def _episodes(uri: str, sign: str) -> pa.Table:
    """The columns of a table of episodes that say where they lie. `sign` is the fingerprint of the file."""
    try:
        with open_binary(uri) as file:
            parquet = pq.ParquetFile(file)
            columns = _placing(parquet.schema_arrow.names)
            return _gathered(uri, parquet, range(parquet.num_row_groups), columns)
    except _DAMAGES as error:
        raise InputError(uri, f"is not a readable Parquet file: {error}", _MEND_META) from error


def _placing(columns: Iterable[str]) -> list[str]:
    wanted = (_NUMBER, _LENGTH, "tasks", *_DATA_FILE)
    return [name for name in columns if name in wanted or name.startswith("videos/")]


def _read_table(uri: str, columns: Sequence[str], episode: int | None = None) -> pa.Table:
    """Those of the columns that there are; with `episode` of its rows alone, reading no row group without them."""
    try:
        footer = _footer(uri, fingerprint(uri))
        with open_binary(uri) as file:
            parquet = pq.ParquetFile(file, metadata=footer.metadata)
            wanted = [name for name in columns if name in parquet.schema_arrow.names]
            if episode is None:
                return _gathered(uri, parquet, range(parquet.num_row_groups), wanted)
            if not footer.has_numbers:
                raise InputError(uri, f"has no column {_NUMBER}", "Copy the file again")
            groups = np.flatnonzero((footer.least <= episode) & (episode <= footer.most)).tolist()
            schema = pa.schema([parquet.schema_arrow.field(name) for name in dict.fromkeys((*wanted, _NUMBER))])
            return _gathered(uri, parquet, groups, schema.names, episode)
    except _DAMAGES as error:
        raise InputError(uri, f"is not a readable Parquet file: {error}", "Copy the episode again") from error


def _gathered(
    uri: str, parquet: pq.ParquetFile, groups: Iterable[int], columns: Sequence[str], episode: int | None = None
) -> pa.Table:
    """Columns of some row groups; with `episode` its rows alone. A few bytes of a Parquet file can stand for any number
    of values, so what comes is counted as it comes.

    Raises:
        schemas.errors.InputError: there is more than may be held.
    """
    chosen = list(groups)
    promised = sum(parquet.metadata.row_group(group).num_rows for group in chosen)
    if promised > _MOST_ROWS:
        raise InputError(uri, f"has {promised} rows to be looked at, more than {_MOST_ROWS}", "Split it")
    schema = pa.schema([parquet.schema_arrow.field(name) for name in columns])
    if not columns:
        return parquet.read_row_groups(chosen, columns=[])
    kept: list[pa.RecordBatch] = []
    size = 0
    for batch in parquet.iter_batches(batch_size=_BATCH, row_groups=chosen, columns=list(columns)):
        rows = batch.select(schema.names)
        if episode is not None:
            rows = rows.filter(pc.equal(batch[_NUMBER], episode))
        size += rows.nbytes
        if size > _LARGEST:
            raise InputError(uri, f"its columns unpack to more than {_LARGEST} bytes", "Split it")
        kept.append(rows)
    return pa.Table.from_batches(kept, schema)


@dataclass(frozen=True)
class _Footer:
    """The metadata of a Parquet file, and the least and largest number of an episode in each row group."""

    metadata: pq.FileMetaData
    has_numbers: bool
    least: NDArray[np.float64]
    most: NDArray[np.float64]


@lru_cache(maxsize=8)
def _footer(uri: str, sign: str) -> _Footer:
    """Kept while the file does not change: with thousands of episodes it is most of the work to find one."""
    with open_binary(uri) as file:
        metadata = pq.ParquetFile(file).metadata
    column = next((i for i in range(metadata.num_columns) if metadata.schema.column(i).path == _NUMBER), None)
    least, most = np.full(metadata.num_row_groups, -np.inf), np.full(metadata.num_row_groups, np.inf)
    for group in range(metadata.num_row_groups if column is not None else 0):
        said = metadata.row_group(group).column(column).statistics
        if said is not None and said.has_min_max and isinstance(said.min, int):
            least[group], most[group] = said.min, said.max
    return _Footer(metadata, column is not None, least, most)


def _tasks(uri: str) -> dict[Any, Any]:
    """Task texts by number. A table of v3.0 holds them as the index of a data frame, whatever its name is."""
    if uri.endswith(".jsonl"):
        return {row.get("task_index"): row.get("task") for row in read_jsonl(uri)[0]}
    table = _read_table(uri, ["task_index", "task", "__index_level_0__"])
    texts = next((name for name in table.column_names if name != "task_index"), None)
    if texts is None or "task_index" not in table.column_names:
        return {}
    try:
        return dict(zip(table["task_index"].to_pylist(), table[texts].to_pylist(), strict=True))
    except _DAMAGES as error:
        raise InputError(uri, f"its texts are damaged: {error}", _MEND_META) from error
