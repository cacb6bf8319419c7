"""How fast GRPO's reward is: answers a second over rows with few and many anchors.

`python -m tests.perf.rewards` prints a table; nothing is judged.
"""

from __future__ import annotations

import json
import time

from schemas.recipe import RewardSpec
from tests.training.rows import row
from training.rewards import Judge, facts_of

ANSWERS = 64


def main() -> None:
    print("anchors\tclaims\tfirst batch, s\tanswers/s")
    for anchors in (40, 400, 4000):
        triplet = row(0, anchors=anchors, words=6)
        facts = facts_of(triplet)
        whole = json.loads(triplet.output)["captions"]
        shown = whole[:200]
        judge = Judge(RewardSpec())
        for batch in range(2):  # the first reads the facts of the row and indexes them
            answers = [
                json.dumps({"captions": [{"text": f"{batch} {number}"}, *shown[number % 7 :]]})
                for number in range(ANSWERS)
            ]
            begun = time.perf_counter()
            judge.scores([facts] * ANSWERS, answers)
            spent = time.perf_counter() - begun
            if batch == 0:
                first = spent
        print(f"{anchors}\t{len(shown)}\t{first:.2f}\t{ANSWERS / spent:.0f}")


if __name__ == "__main__":
    main()
