"""`make perf`: how fast DataClaw is, each figure beside a floor measured in the same run on the same machine.

Not a test: machines are noisy, so nothing here passes or fails. It prints a table and writes it as Markdown and as a
picture into the folder it is given.

    python tests/perf/perf.py OUT [throughput decode ocr overhead memory evidence]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDINGS = REPOSITORY.parent / "shared" / "streams"
INTENT = "Make temporal questions and answers about when things happen."


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "artifacts/perf")
    out.mkdir(parents=True, exist_ok=True)
    chosen = sys.argv[2:] or list(MEASURES)
    rows: list[tuple[str, str, str]] = []
    for name in chosen:
        print(f"measuring {name} ...", flush=True)
        for what, figure, note in MEASURES[name](out):
            print(f"  {what}: {figure}   {note}", flush=True)
            rows.append((what, figure, note))
    text = _markdown(rows)
    (out / "perf.md").write_text(text)
    print(f"\n{text}\nwritten to {out / 'perf.md'}")


def _markdown(rows: Sequence[tuple[str, str, str]]) -> str:
    machine = (
        f"{os.cpu_count()} CPUs, {psutil.virtual_memory().total >> 30} GiB, {platform.machine()}, {platform.system()}"
    )
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `make perf` on {machine}, Python {platform.python_version()}.",
        "",
    ]
    lines += ["| what | figure | how |", "|---|---|---|"]
    return "\n".join(lines + [f"| {what} | {figure} | {note} |" for what, figure, note in rows]) + "\n"


# --- clips ------------------------------------------------------------------------------------------------------------


def film(path: Path, seed: int, seconds: float, size: tuple[int, int], rate: int, codec: str = "libx264") -> Path:
    """A clip with a hard cut every few seconds, things that move, and grain; made once and kept."""
    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    width, height = size
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"preset": "ultrafast", "g": str(rate * 4)} if codec == "libx264" else {}
    part = path.with_suffix(".part" + path.suffix)
    with av.open(str(part), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        x = np.arange(width, dtype=np.float32)[None]
        scene, until = None, 0.0
        for index in range(int(seconds * rate)):
            moment = index / rate
            if moment >= until:
                until = moment + rng.uniform(3.0, 6.0)
                colours = rng.uniform(0, 255, (3, 3))
                scene = [
                    colours[0] + (x / width)[..., None] * (colours[1] - colours[0]),
                    colours[2],
                    rng.uniform(20, 80, 4),
                ]
            assert scene is not None
            picture = np.broadcast_to(scene[0], (height, width, 3)).copy()
            left = int((scene[2][0] + scene[2][1] * moment * 2) % (width - width // 6))
            top = int(height * (0.3 + 0.2 * np.sin(moment + scene[2][2])))
            picture[top : top + height // 5, left : left + width // 6] = scene[1]
            picture += rng.integers(-3, 4, (height, width, 1))
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    part.rename(path)
    return path


def films(out: Path, count: int, seconds: float) -> Path:
    """`count` clips at 640x360, 24 fps."""
    folder = out / f"films-{count}"
    with multiprocessing.Pool() as pool:
        pool.starmap(film, [(folder / f"{i:04d}.mp4", i, seconds, (640, 360), 24) for i in range(count)])
    return folder


def copies(out: Path, count: int, seconds: float) -> Path:
    """`count` streams of `seconds` out of twenty films: the same packets under another title, so content of its own."""
    folder = out / f"copies-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    masters = sorted(films(out, 20, seconds).glob("*.mp4"))
    for place in range(count):
        path = folder / f"{place:04d}.mp4"
        if not path.exists():
            with av.open(str(masters[place % len(masters)])) as source, av.open(str(path), "w") as copy:
                copy.metadata["title"] = f"copy {place}"
                stream = copy.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.stream = stream
                        copy.mux(packet)
    return folder


def snippets(out: Path, count: int) -> Path:
    """`count` clips of 2 s at 160x120: many small streams."""
    folder = out / f"snippets-{count}"
    with multiprocessing.Pool() as pool:
        jobs = [(folder / f"{i:05d}.mp4", i, 2.0, (160, 120), 10, "mpeg4") for i in range(count)]
        pool.starmap(film, jobs, chunksize=50)
    return folder


# --- measures ---------------------------------------------------------------------------------------------------------


def recipe(out: Path, raw: Path, name: str, experts: Sequence[str] = ("shots", "motion")) -> Path:
    """A recipe over `raw` into a corpus that is not there yet."""
    corpus = out / "corpora" / f"{name}-{time.time_ns()}"
    file = out / f"{name}.yaml"
    content = {
        "name": name,
        "corpus": str(corpus.resolve()),
        "sources": [{"uri": str(raw.resolve()), "domain": "daily_life"}],
        "intents": [INTENT],
        "experts": [{"name": expert} for expert in experts],
    }
    file.write_text(json.dumps(content))
    return file


def build(file: Path) -> tuple[dict, float]:
    """Runs a build as a user does; its report, and the wall time of the command."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "build", str(file), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the build failed:\n{done.stderr}")
    return json.loads(done.stdout), time.perf_counter() - begin


def throughput(out: Path) -> Iterator[tuple[str, str, str]]:
    raw = films(out, 20, 29.9)
    report, wall = build(recipe(out, raw, "throughput"))
    seconds = report["stream_seconds"]
    inner = _seconds(report)
    cpu = sum(cost["cpu"] for cost in report["costs"])
    yield (
        "build, 20 films of 30 s, 360p, cuts and motion",
        f"{wall:.1f} s",
        f"{seconds:.0f} stream seconds, whole command",
    )
    yield (
        "stream seconds per wall second",
        f"{seconds / wall:.1f}",
        f"{seconds / inner:.1f} without the start of Python and Prefect",
    )
    yield "stream seconds per CPU second of the stages", f"{seconds / cpu:.1f}", f"{cpu:.1f} CPU s in all stages"
    for cost in sorted(report["costs"], key=lambda cost: -cost["cpu"]):
        yield (
            f"share of {cost['stage']}",
            f"{100 * cost['cpu'] / cpu:.1f}%",
            f"{cost['cpu']:.2f} CPU s, {cost['calls']} calls",
        )


def _seconds(report: dict) -> float:
    return (datetime.fromisoformat(report["ended"]) - datetime.fromisoformat(report["started"])).total_seconds()


def decode(out: Path) -> Iterator[tuple[str, str, str]]:
    from schemas.recipe import SourceSpec
    from schemas.stream import Domain
    from sources.discovery import discover, open_recording, probe
    from sources.identity import hash_parts

    os.environ["DATACLAW_DECODE_THREADS"] = "1"  # as in a worker, and as the floor: threads cost CPU time
    files = [film(out / "films-20" / "0000.mp4", 0, 29.9, (640, 360), 24)]
    files += [
        p for p in (RECORDINGS / "daily_life/tears_of_steel/tears-of-steel-battle-clip-medium.webm",) if p.exists()
    ]
    for file in files:
        (candidate,) = discover(SourceSpec(uri=str(file)))
        stream = probe(candidate, hash_parts(candidate, {}), Domain.DAILY_LIFE, 10**9)

        def ours(look: Callable | None = None, stream=stream) -> None:
            with open_recording(stream) as recording:
                for frame in recording.frames(0.0, stream.duration, None, include_end=True):
                    if look:
                        look(frame)

        def bare(file=file) -> None:
            with av.open(str(file)) as container:
                container.streams.video[0].codec_context.thread_count = 1
                for _ in container.decode(video=0):
                    pass

        plain = _ratio(ours, bare)
        small = _ratio(lambda: ours(lambda frame: frame.gray(160)), bare)
        yield f"decode against PyAV alone: {file.name}", f"{plain:.2f}", "median of 5 pairs of CPU times, all frames"
        yield (
            f"decode with a 160 px luma of each frame: {file.name}",
            f"{small:.2f}",
            "the same, what the shots expert asks",
        )


def _ratio(one: Callable[[], None], other: Callable[[], None], pairs: int = 5) -> float:
    """Median of the ratios of CPU time, pair by pair, so that a drifting machine does not show."""

    def cost(work: Callable[[], None]) -> float:
        begin = time.process_time()
        work()
        return time.process_time() - begin

    one(), other()
    return statistics.median(cost(one) / cost(other) for _ in range(pairs))


def ocr(out: Path) -> Iterator[tuple[str, str, str]]:
    from experts.ensemble import Ensemble, Stopwatch
    from experts.ocr import OCR, Line
    from schemas.anchor import AnchorKind
    from schemas.recipe import Sampling, SourceSpec
    from schemas.segment import Segment
    from schemas.stream import Domain, Stream
    from sources.discovery import discover, open_recording, probe
    from sources.frame import Pixels
    from sources.identity import hash_parts

    def words_of(lines: Sequence[str]) -> set[str]:
        return {word for line in lines for word in line.split() if len(word) > 1}

    def share(found: set[str], wanted: set[str]) -> float:
        return 100 * len(found & wanted) / max(1, len(wanted))

    ticking = re.compile(r"\d\d:\d\d:\d\d")
    places = [RECORDINGS / "gui/fragments_shopping", RECORDINGS / "gui/agentnet_raw"]
    if not places[0].exists():
        yield "OCR calls", "not measured", "the recordings are not beside the repository"
        return
    expert = OCR()
    reader = expert.reader
    given: list[int] = []

    def counted(rgb: Pixels) -> list[Line]:
        given.append(rgb.shape[0] * rgb.shape[1])
        return reader(rgb)

    totals = [0, 0]
    for place in places:
        for candidate in discover(SourceSpec(uri=str(place))):
            stream: Stream = probe(candidate, hash_parts(candidate, {}), Domain.GUI, 10**9)
            end = min(stream.duration, 60.0)
            segment = Segment(stream=stream.sha256, index=0, count=1, t0=0.0, t1=end)
            watch = Stopwatch()
            given.clear()
            expert.reader = counted
            with open_recording(stream) as recording:
                found = Ensemble([expert], Sampling())(recording, segment, watch)
            ours = words_of([a.content for a in found.anchors["ocr"] if a.kind == AnchorKind.SCREEN_TEXT])
            calls = next(cost.calls for cost in watch.costs() if cost.stage == "expert:ocr")
            frames, pixels, every = 0, 0, set()
            with open_recording(stream) as recording:
                for frame in recording.frames(0.0, end, Sampling().frame_rate, include_end=True):
                    rgb = frame.rgb(expert.max_side)
                    frames, pixels = frames + 1, pixels + rgb.shape[0] * rgb.shape[1]
                    every |= words_of([line.text for line in reader(rgb)])
            totals[0] += calls
            totals[1] += frames
            # A clock with seconds is a new word each second: no reader that saves calls can find them all.
            lasting = {word for word in every if not ticking.fullmatch(word)}
            yield (
                f"OCR calls: {stream.name}",
                f"{frames / max(1, calls):.1f} times fewer",
                f"{calls} for {frames} frames; {100 * sum(given) / pixels:.0f}% of the pixels; "
                f"{share(ours, every):.1f}% of the words, {share(ours, lasting):.1f}% without clocks that show seconds",
            )
    yield (
        "OCR calls on all GUI streams",
        f"{totals[1] / max(1, totals[0]):.1f} times fewer",
        f"{totals[0]} for {totals[1]} frames",
    )


def overhead(out: Path) -> Iterator[tuple[str, str, str]]:
    for seconds, raw in ((10, films(out, 200, 10.0)), (30, copies(out, 200, 29.9))):
        yield from _overhead(out, raw, seconds)


def _overhead(out: Path, raw: Path, seconds: int) -> Iterator[tuple[str, str, str]]:
    report, wall = build(recipe(out, raw, "overhead"))
    floor = _floor(recipe(out, raw, "floor"))
    inner = _seconds(report)
    films_ = f"200 films of {seconds} s"
    yield f"{films_} through the flow", f"{wall:.1f} s", f"whole command; {inner:.1f} s of them the run"
    yield (
        f"{films_}, the same callables in plain processes",
        f"{floor:.1f} s",
        f"{os.cpu_count()} processes, no Prefect, Ray, catalog",
    )
    yield (
        f"{films_}, orchestration overhead, whole command",
        f"{100 * (wall - floor) / wall:.1f}%",
        "of the wall time, start of Python, Prefect and Ray included",
    )
    yield (
        f"{films_}, orchestration overhead, from the start of the run",
        f"{100 * (inner - floor) / inner:.1f}%",
        "of the wall time, start of Ray included",
    )


def _floor(file: Path) -> float:
    """Wall time of the pipeline's callables over the same work, split over plain processes."""
    from storage.catalog.catalog import Catalog
    from storage.corpus import Corpus
    from storage.recipes import load_recipe
    from tasks.discover import find_streams
    from tasks.plan import make_plan

    chosen = load_recipe(str(file))
    corpus = Corpus.open(chosen.corpus, create=True)
    with Catalog.open(corpus.catalog_url(None), corpus) as catalog:
        catalog.begin_run("floor", chosen.name, chosen.hash, "{}")
        plan = make_plan(chosen, find_streams(chosen, catalog, "floor"), catalog)
    share = os.cpu_count() or 1
    begin = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(share) as pool:
        pool.starmap(_carry_out, [(chosen, plan.work[i::share]) for i in range(share)])
    return time.perf_counter() - begin


def _carry_out(chosen, work) -> None:  # type: ignore[no-untyped-def]
    from experts.extract import ExtractAnchors
    from experts.gather import GatherGroups
    from schemas.rows import WORK_SCHEMA, Work
    from storage.write import WriteTriplets
    from synthesis.synthesise import SynthesiseGroups
    from tasks.pipeline import experts_of

    extract = ExtractAnchors(chosen.corpus, "floor", experts_of(chosen, work), chosen.sampling)
    gather, synthesise = GatherGroups(chosen.corpus, "floor"), SynthesiseGroups(chosen, "floor")
    write = WriteTriplets(chosen.corpus)
    for i in range(0, len(work), 8):
        write(asyncio.run(synthesise(gather(extract(Work.to_table(work[i : i + 8], WORK_SCHEMA))))))


def memory(out: Path) -> Iterator[tuple[str, str, str]]:
    peaks = {}
    for count in (20, 200, 2000):
        file = recipe(out, snippets(out, count), f"memory_{count}", ("shots", "subtitles"))
        with _peak() as peak:
            report, wall = build(file)
        peaks[count] = peak[0]
        yield (
            f"peak memory at {count} streams",
            f"{peak[0] / 2**20:.0f} MiB",
            f"PSS of all processes; {wall:.1f} s; {report['rows']} rows",
        )
    spread = max(peaks.values()) / min(peaks.values()) - 1
    yield "spread of peak memory", f"{100 * spread:.1f}%", "largest over smallest, less one"


@contextmanager
def _peak() -> Iterator[list[int]]:
    """The largest sum of proportional set sizes of this process's descendants while the block runs, in bytes."""
    peak, stop, me = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not stop.wait(0.3):
            total = 0
            for process in me.children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # it ended between the listing and the look
            peak[0] = max(peak[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def evidence(out: Path) -> Iterator[tuple[str, str, str]]:
    from selection import selection  # beside this file

    if not RECORDINGS.exists():
        yield "evidence selection", "not measured", "the recordings are not beside the repository"
        return
    yield from selection(RECORDINGS)


MEASURES = {
    "throughput": throughput,
    "decode": decode,
    "ocr": ocr,
    "overhead": overhead,
    "memory": memory,
    "evidence": evidence,
}

if __name__ == "__main__":
    main()
