"""image_editing: the instruction as given, where it applies as measured, and the two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind
from schemas.errors import UnsuitedError
from schemas.geometry import Box
from schemas.outputs.image_editing import EditedRegion, ImageEditing
from schemas.score import Claim, ClaimKind, Support
from schemas.stream import Domain, Stream, TrackKind
from synthesis.base import Agent, Evidence, Recognition

MAX_REGIONS = 12


class ImageEditingAgent(Agent):
    """Takes the instruction that came with a pair of pictures and the regions in which they differ."""

    task_type: ClassVar[str] = "image_editing"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.AIGC})
    output: ClassVar[type[BaseModel]] = ImageEditing
    parts: ClassVar[dict[str, str]] = {"regions": "regions"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Give the instruction of this edit, where the picture changed, and the pictures before and after.",
        names=(
            r"(?:image |picture |photo )?edit(?:s|ed|ing)?(?: pairs?| data| instructions?)?",
            r"before[- ]and[- ]after",
        ),
        hints=(r"instructions?", r"retouch\w*", r"inpaint\w*", r"images?", r"pictures?", r"photos?", r"pairs?"),
        examples=(
            "Make image editing data with the instruction of each edit.",
            "What was changed from the first picture to the second?",
            "Pairs of photos before and after with the command that makes one out of the other.",
            "Where does the edited image differ from its source?",
            "Train a model that edits pictures as it is told.",
        ),
        prior={Domain.AIGC: 0.4},
        needs=frozenset({TrackKind.IMAGES}),
    )

    def compose(self, evidence: Evidence) -> ImageEditing:
        stream = evidence.streams[0]
        texts = evidence.of(AnchorKind.GIVEN_TEXT, stream=stream.sha256)
        regions = evidence.of(AnchorKind.EDIT_REGION, stream=stream.sha256)
        if not texts:
            raise UnsuitedError(
                stream.uri, "no edit instruction came with it", "Put the instruction beside the pictures (pairs.json)."
            )
        if not regions:
            raise UnsuitedError(
                stream.uri, "no region was found in which two pictures differ", "Check that it is a before-after pair."
            )
        regions = sorted(regions, key=lambda anchor: -(anchor.value or 0.0))[:MAX_REGIONS]
        return ImageEditing(
            instruction=texts[0].content,
            regions=tuple(
                EditedRegion(box=region.box, changed_share=region.value or 0.0)
                for region in regions
                if region.box is not None
            ),
            before_time=regions[0].t0,
            after_time=regions[0].t1,
        )

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        stream = streams[0].sha256 if len(streams) == 1 else None
        before, after = output["before_time"], output["after_time"]
        kinds = (AnchorKind.EDIT_REGION,)
        claims = [
            Claim(
                path="/instruction",
                kind=ClaimKind.QUOTE,
                stream=stream,
                text=output["instruction"],
                kinds=(AnchorKind.GIVEN_TEXT,),
            ),
            Claim(path="/after_time", kind=ClaimKind.TIME, stream=stream, t0=before, t1=after, kinds=kinds),
            Claim(path="/before_time", kind=ClaimKind.ORDER, stream=stream, items=(before, after), kinds=kinds),
        ]
        claims += [
            Claim(
                path=f"/regions/{place}",
                kind=ClaimKind.BOX,
                stream=stream,
                t0=before,
                t1=max(before, after),
                box=Box.model_validate(region["box"]),
                value=region["changed_share"],
                kinds=kinds,
            )
            for place, region in enumerate(output["regions"])
        ]
        return claims

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> ImageEditing | None:
        """Regions without support go; an output without its instruction or its two pictures is none."""
        assert isinstance(output, ImageEditing)
        wrong = {support.path for support in unsupported}
        kept = tuple(region for place, region in enumerate(output.regions) if f"/regions/{place}" not in wrong)
        if not kept or not wrong <= {f"/regions/{place}" for place in range(len(output.regions))}:
            return None
        return output.model_copy(update={"regions": kept})

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        stream = streams[0].sha256
        return [(stream, output["before_time"]), (stream, output["after_time"])]
