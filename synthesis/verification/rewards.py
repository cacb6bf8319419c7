"""The parts of the reward R = l1 R_format + l2 R_anchor + l3 R_eff: plain functions, each in [0, 1] or None.

The same functions decide what is published, prove it later from Parquet alone, and reinforce in GRPO.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.recipe import RewardWeights
from schemas.score import Claim, ClaimKind, Support
from synthesis.verification.check import AnchorIndex
from synthesis.verification.format import Parsed

BASE_WORDS = 20
"""Words that any output may spend: a title, a goal."""
WORDS_PER_FACT = 12
"""Words that a supported fact allows around the contents of the anchors it cites."""
FREE_FACTS = 64
"""Beyond so many facts the allowance grows with their number's power 3/4 only."""

_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+(?:['’-][^\W_]+)*")


def format_reward(parsed: Parsed) -> float:
    """R_format: 1 when the output is valid JSON under its schema, otherwise 0."""
    return 1.0 if parsed.valid else 0.0


def anchor_reward(claims: Sequence[Claim], supports: Sequence[Support]) -> float | None:
    """R_anchor = S / (S + U), the share of supported claims; None where nothing is claimed.

    S counts distinct (kind, cited anchors) of supported claims and U distinct unsupported claims, wherever they
    stand: saying a true thing twice, or in two places, adds nothing.

    Example:
        "A" is said at 0 s, and again "A" at 0 s: S = 1. "B" at 5 s, which nobody says: U = 1. R_anchor = 1/2.
    """
    if not claims:
        return None
    # The path is left out: the same untruth in two places is one untruth, as the same truth is one truth.
    missing = {
        claim.model_dump_json(exclude={"path"})
        for claim, support in zip(claims, supports, strict=True)
        if not support.supported
    }
    carried = len(supported_facts(supports))
    return carried / (carried + len(missing))


def efficiency_reward(value: Any, supports: Sequence[Support], index: AnchorIndex) -> float:
    """R_eff = min(1, A / W): the words that the evidence used allows over the words written.

    W is the number of words in all strings of the output (a character of a script without spaces is a word). With F
    the distinct supported facts, each a kind of claim with the anchors it cites, n = |F|, E all anchors they cite and
    w(a) the words of an anchor's content,

        A = 20 + min(1, 64 / n)^(1/4) * (12 n + sum over a in E of w(a)),     A = 0 when F is empty.

    A fact counts once, however often it is claimed, and so does an anchor, so repetition only adds to W. The factor
    makes the allowance grow slower than the number of facts beyond 64, so citing every anchor there is does not pay.
    An output that uses no evidence gets 0, the empty one included.

    Example:
        Two subtitles of 5 words each are quoted (two facts): A = 20 + 24 + 10 = 54. In 40 words: R_eff = 1. In 108
        words: R_eff = 54 / 108 = 0.5. Each quoted three times in 108 words: still 0.5.
    """
    used = supported_facts(supports)
    if not used:
        return 0.0
    cited = {anchor for _, anchors in used for anchor in anchors}
    allowed = WORDS_PER_FACT * len(used) + sum(count_words(index.by_id(anchor).content) for anchor in cited)
    allowance: float = BASE_WORDS + min(1.0, FREE_FACTS / len(used)) ** 0.25 * allowed
    return min(1.0, allowance / max(1, sum(count_words(text) for text in strings(value))))


def coverage_reward(supports: Sequence[Support], enough: int) -> float:
    """R_cover = min(1, S / enough): distinct supported facts, against as many as are enough (at least one).

    R_anchor is a share, so what is doubtful is better left out: it alone teaches to say little. This part counts. No
    verifier can know what is enough, so it is part of no published score; in training the published row says it.

    Example:
        The row has six supported facts, the answer three, one of them twice: R_cover = 1/2.
    """
    return min(1.0, len(supported_facts(supports)) / max(1, enough))


def supported_facts(supports: Iterable[Support]) -> set[tuple[ClaimKind, tuple[str, ...]]]:
    """The distinct facts that are supported: each a kind of claim with the anchors it cites."""
    return {(support.kind, support.anchors) for support in supports if support.supported}


def combine(weights: RewardWeights, format_: float | None, anchor: float | None, efficiency: float | None) -> float:
    """R = sum of l_i R_i over the parts that apply, divided by the sum of their weights.

    Example:
        l = (0.3, 0.6, 0.1), R = (1, 0.5, None): (0.3 + 0.3) / 0.9 = 0.667. Nothing applies: 0.
    """
    pairs = [(weights.format, format_), (weights.anchor, anchor), (weights.efficiency, efficiency)]
    present = [(weight, part) for weight, part in pairs if part is not None]
    total = sum(weight for weight, _ in present)
    reward = sum(weight * part for weight, part in present) / total if total > 0 else 0.0
    return min(max(reward, 0.0), 1.0)


def count_words(text: str) -> int:
    return len(_WORD.findall(text))


def strings(value: Any) -> Iterable[str]:
    """Every string of a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
