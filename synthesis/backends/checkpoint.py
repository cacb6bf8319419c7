"""What the engines that run in a worker need of a model's files: its tokenizer, its picture grid, messages in its form.

No weights are loaded here, and neither torch nor transformers.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from synthesis.backends.chat import Message, Picture

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

PATCH = 28
"""Pixels of a picture's side that one token stands for, where the model does not say."""
_BYTES_PER_TOKEN = 2
"""Of a text, where the model's tokenizer cannot be had: right for facts full of digits, cautious for prose."""
TEMPLATE_SETTINGS = {"add_generation_prompt": True, "enable_thinking": False}
"""Told to every chat template. Models that think aloud are asked not to: a grammar holds from the first token on."""


def file_of(model: str, name: str) -> Path | None:
    """A small file of a model: in its folder, in the hub's cache on this machine, or fetched; None if it has none."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    for cached in (True, False):
        try:
            return Path(hf_hub_download(model, name, local_files_only=cached))
        except HFValidationError:
            return None
        except (HfHubHTTPError, OSError):
            continue
    return None


@dataclass(frozen=True)
class Grid:
    """How an image processor cuts pictures: sides are rounded to whole tokens of `unit` pixels, and the picture is
    scaled so that it has between `least` and `most` pixels."""

    unit: int
    least: float = 0.0
    most: float = math.inf

    def tokens(self, width: int, height: int) -> int:
        """As `smart_resize` of the Qwen-VL family counts, with the tokens around a picture."""
        unit = self.unit
        across, down = max(1, round(width / unit)), max(1, round(height / unit))
        pixels = across * down * unit * unit
        if pixels > self.most:
            scale = math.sqrt(width * height / self.most)
            across = max(1, math.floor(width / scale / unit))
            down = max(1, math.floor(height / scale / unit))
        elif pixels < self.least:
            scale = math.sqrt(self.least / (width * height))
            across, down = math.ceil(width * scale / unit), math.ceil(height * scale / unit)
        return across * down + 2


class Checkpoint:
    """A model's files, each read once when it is first needed."""

    def __init__(self, model: str) -> None:
        self.model = model

    def tokens(self, text: str) -> int:
        """Exactly as the model counts; a cautious guess where its tokenizer cannot be had."""
        if self.tokenizer is None:
            return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def picture_tokens(self, width: int, height: int) -> int:
        """As the model's image processor counts; where it does not say, one for every 28 by 28 pixels."""
        return self.grid.tokens(width, height)

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        from tokenizers import Tokenizer

        path = file_of(self.model, "tokenizer.json")
        if path is None:
            log.warning(
                "%s: no tokenizer.json can be had, so its tokens are guessed from the length of texts", self.model
            )
            return None
        return Tokenizer.from_file(str(path))

    @cached_property
    def blind(self) -> bool:
        """Its configuration has no part for pictures. False where there is no configuration to read."""
        path = file_of(self.model, "config.json")
        return path is not None and "vision_config" not in json.loads(path.read_text())

    @cached_property
    def grid(self) -> Grid:
        settings = self._picture_settings()
        patch, merge = settings.get("patch_size"), settings.get("merge_size")
        if not (isinstance(patch, int) and isinstance(merge, int)):
            return Grid(PATCH)
        size = settings.get("size") or {}
        least = settings.get("min_pixels") or size.get("shortest_edge") or 0.0
        most = settings.get("max_pixels") or size.get("longest_edge") or math.inf
        return Grid(patch * merge, least, most)

    @cached_property
    def specials(self) -> tuple[str, ...]:
        """The tokens that stand for more than their letters: ends of messages, places of pictures."""
        if self.tokenizer is None:
            return ()
        return tuple(token.content for token in self.tokenizer.get_added_tokens_decoder().values() if token.special)

    def as_text(self, text: str) -> str:
        """A text in which no special token is spelled: what stands on a screen must not end the message it is told in,
        nor pass for a picture."""
        for special in self.specials:
            if special in text:
                text = text.replace(special, f"{special[:1]} {special[1:]}")
        return text

    def told(self, message: Message) -> list[str | Picture]:
        """A message's texts and pictures in their order; texts that follow each other keep their distance."""
        told: list[str | Picture] = []
        for part in message.parts:
            if not isinstance(part, str):
                told.append(part)
            elif told and isinstance(told[-1], str):
                told[-1] = f"{told[-1]}\n\n{self.as_text(part)}"
            else:
                told.append(self.as_text(part))
        return told

    def parts(self, message: Message) -> list[str | Image.Image]:
        """As :meth:`told`, pictures decoded."""
        return [part if isinstance(part, str) else _decoded(part) for part in self.told(message)]

    def _picture_settings(self) -> Mapping[str, Any]:
        for name, key in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
            path = file_of(self.model, name)
            if path is None:
                continue
            settings = json.loads(path.read_text())
            settings = settings.get(key) if key else settings
            if settings:
                return dict(settings)
        return {}


def _decoded(picture: Picture) -> Image.Image:
    with Image.open(BytesIO(picture.data)) as image:
        return image.convert("RGB")
