"""A camera whose film is kept as encoded pictures in memory, one for each step of an episode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from schemas.errors import InputError
from schemas.stream import Track, TrackKind
from sources.frame import Pixels
from sources.images import Header, measure, read_pixels
from sources.pictures import StillRecording


@dataclass(frozen=True)
class Film:
    """The encoded pictures of a camera. `times`: seconds at which each comes on screen, ascending. `uri` is what
    errors call the episode."""

    uri: str
    camera: str
    times: Sequence[float]
    pictures: Sequence[bytes]

    def describe(self, rate: float, max_pixels: int) -> tuple[Track, list[str]]:
        """The track, and notes on pictures whose header cannot be read.

        Raises:
            schemas.errors.InputError: none of them can be read, or all have more than `max_pixels` pixels.
        """
        headers: list[Header] = []
        errors: list[tuple[int, InputError]] = []
        for step, found in self.measured(max_pixels):
            if isinstance(found, Header):
                headers.append(found)
            else:
                errors.append((step, found))
        if not headers:
            raise errors[0][1] if errors else InputError(self.uri, f"{self.camera} has no pictures", "Leave it out")
        track = Track(
            kind=TrackKind.VIDEO,
            name=self.camera,
            codec=headers[0].codec,
            width=max(header.width for header in headers),
            height=max(header.height for header in headers),
            rate=rate,
            items=len(headers),
        )
        more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        return track, [
            f"{self.camera}: picture of step {step} left out: {error.problem.cause}{more}" for step, error in errors[:1]
        ]

    def measured(self, max_pixels: int | None) -> Iterator[tuple[int, Header | InputError]]:
        """For each step what the header of its picture says, or why it cannot be used."""
        for step, data in enumerate(self.pictures):
            try:
                yield step, measure(self.step_uri(step), data, max_pixels)
            except InputError as error:
                yield step, error

    def step_uri(self, step: int) -> str:
        """What errors call one picture."""
        return f"{self.uri} ({self.camera}, step {step})"


def describe_films(
    films: Iterable[Film], rate: float, max_pixels: int
) -> tuple[list[Track], list[str], list[InputError]]:
    """A track for each film of which something can be read, notes on what cannot, and the error of each that is lost
    as a whole (which is a note too)."""
    tracks: list[Track] = []
    notes: list[str] = []
    errors: list[InputError] = []
    for film in films:
        try:
            track, said = film.describe(rate, max_pixels)
        except InputError as error:
            errors.append(error)
            notes.append(f"{film.camera}: no picture can be read: {error.problem.cause}")
        else:
            tracks.append(track)
            notes += said
    return tracks, notes, errors


class FilmRecording(StillRecording):
    """An open film, without the pictures whose header cannot be read; decoded one by one."""

    def __init__(self, film: Film, max_pixels: int | None) -> None:
        self._steps = [step for step, found in film.measured(max_pixels) if isinstance(found, Header)]
        super().__init__([film.times[step] for step in self._steps])
        self._film = film
        self._max_pixels = max_pixels

    def close(self) -> None:
        """Nothing is open: the film is in memory."""

    def pixels(self, index: int) -> Pixels:
        step = self._steps[index]
        return read_pixels(self._film.step_uri(step), self._max_pixels, self._film.pictures[step])


def most_pixels(tracks: Sequence[Track], camera: str) -> int | None:
    """The pixels of the largest picture of a camera that was seen when the stream was described: a larger one is of a
    file that changed since."""
    shown = next((track for track in tracks if track.name == camera), None)
    return shown.width * shown.height if shown and shown.width and shown.height else None
