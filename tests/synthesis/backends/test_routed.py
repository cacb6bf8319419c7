"""A set of experts: each task goes to one of them, and the row says to which and why."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_server import FaultyServer, ok

from schemas.errors import UsageError
from schemas.model import ModelVersion
from schemas.recipe import ModelSpec, Serving, Synthesis
from schemas.stream import Domain
from schemas.trail import Trail
from schemas.triplet import Triplet
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.weights import FOLDER
from synthesis.agents.roster import agent_of
from synthesis.backends.chat import Request
from synthesis.backends.registered import RegisteredBackend
from synthesis.backends.routed import Experts
from synthesis.base import Evidence
from synthesis.purse import Purse
from synthesis.router import Route, Router
from tests.models.tiny_adapter import make as make_adapter
from tests.synthesis.backends.answers import SCHEMAS, is_sound, picture, question
from tests.training.sets import DOMAINS, registered, without_weights
from tests.training.test_router import evidence, row, rows
from training.registry import fingerprint, register_experts, verify
from training.router import fit_router


@pytest.fixture(scope="module")
def router() -> Router:
    return fit_router(rows(range(6))).router


def unsure(router: Router) -> Router:
    """It finds every domain as likely as the others."""
    return replace(router, weights=np.zeros_like(router.weights), bias=np.zeros_like(router.bias))


def task(domain: Domain) -> Evidence:
    return evidence(row(domain, 11))


def experts(router: Router, omni: bool = True) -> Experts:
    members: dict[Any, str] = {domain: f"tailor@{number}" for number, domain in enumerate(DOMAINS, 1)}
    return Experts(members | ({"omni": "tailor@9"} if omni else {}), router)


def test_a_task_goes_to_the_expert_of_its_domain(router: Router) -> None:
    route = experts(router).route(task(Domain.EMBODIED))
    assert (route.by, route.expertise, route.version) == ("router", "embodied", "tailor@2")
    assert route.confidence is not None
    assert route.confidence >= router.least


def test_an_unsure_router_leaves_a_task_to_omni_and_without_one_to_the_likeliest_expert(router: Router) -> None:
    route = experts(unsure(router)).route(task(Domain.GUI))
    assert (route.expertise, route.version, route.confidence) == ("omni", "tailor@9", pytest.approx(1 / 3))
    assert experts(router, omni=False).chosen(Route(None, "gui", 0.5)).version == "tailor@3"


def test_forced_routes_do_not_ask_the_router(router: Router) -> None:
    held, gui = experts(router), task(Domain.GUI)
    assert held.route(gui, "omni").version == "tailor@9"
    assert held.route(gui, "expert:education").version == "tailor@1"
    wrong = {domain: held.route(task(domain), "wrong").expertise for domain in DOMAINS}
    assert wrong == {"education": "embodied", "embodied": "gui", "gui": "education"}
    assert held.route(task(Domain.GUI), "wrong").confidence is None


def test_a_route_to_an_expert_that_is_not_in_the_set_is_refused(router: Router) -> None:
    held = experts(router, omni=False)
    for route in ("omni", "expert:aigc"):
        with pytest.raises(UsageError, match="only education, embodied, gui"):
            held.check(route)
    held.check("wrong")
    with pytest.raises(UsageError, match="fewer than two domains"):
        Experts({Domain.GUI: "tailor@1"}, router).check("wrong")


def test_words_alone_are_routed_too(router: Router) -> None:
    asked = "Task: Plan the next step of the robot's gripper, 3 times"
    assert experts(router).route_words(asked).expertise == "embodied"


# --- registered -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_set(tmp_path: Path) -> ModelVersion:
    return without_weights(tmp_path).set


def settings(model: ModelVersion, route: str = "router") -> Synthesis:
    """As a resolved recipe has them."""
    spec = model.prompting.model_copy(update={"adapter": f"sha256:{model.weights.digest}"})
    return Synthesis(backend=model.backend, model=spec, route=route)


def test_a_set_is_one_version_with_copies_of_its_experts(small_set: ModelVersion) -> None:
    assert small_set.reference == "experts@1"
    assert small_set.kind == "experts"
    assert small_set.parents == ("tailor@1", "tailor@2", "tailor@3", "tailor@4")
    assert small_set.weights.is_set
    assert not small_set.weights.is_adapter
    assert {"router.json", "experts.json", "gui/adapter_config.json", "omni/adapter_model.safetensors"} < {
        file.path for file in small_set.weights.files
    }
    assert verify(small_set) == []
    (Path(small_set.place) / "router.json").write_text("{}")
    assert len(verify(small_set)) == 1
    assert verify(small_set)[0].startswith("router.json")


def test_a_server_is_asked_for_the_version_of_the_expert_and_the_row_names_it(small_set: ModelVersion) -> None:
    triplet = row(Domain.GUI, 11)
    with FaultyServer([], then=ok("{}")) as server:
        for route, version in (("router", "tailor@3"), ("omni", "tailor@4"), ("wrong", "tailor@1")):
            serving = Serving(base_url=server.base_url, weights=small_set.place)
            trail = written(RegisteredBackend(settings(small_set, route), serving), triplet)
            assert server.requests[-1].body["model"] == version
            assert trail.model == f"{small_set.weights.base.name}+{version}"
            assert trail.route is not None
            assert (trail.route.by, trail.route.version) == (route, version)
            assert (trail.route.confidence is not None) is (route == "router")


def test_who_answered_once_is_asked_again_whatever_the_router_says_now(small_set: ModelVersion) -> None:
    with FaultyServer([], then=ok("{}")) as server:
        serving = Serving(base_url=server.base_url, weights=small_set.place)
        backend = RegisteredBackend(settings(small_set, "expert:education"), serving)
        trail = written(backend, row(Domain.GUI, 11))
        again = RegisteredBackend(settings(small_set), serving).chat_of(trail)
        assert again.model.endswith("+tailor@1")


def test_a_set_that_lacks_the_forced_expert_is_refused_before_any_work(small_set: ModelVersion) -> None:
    with pytest.raises(UsageError, match="no aigc"):
        RegisteredBackend(settings(small_set, "expert:aigc"), Serving(weights=small_set.place))


def written(backend: RegisteredBackend, triplet: Triplet) -> Trail:
    """The trail of one output."""
    asked = evidence(triplet)
    writer = backend.start(agent_of(asked.spec), asked, Purse())

    async def run() -> None:
        try:
            await writer.write()
        finally:
            await backend.close()

    asyncio.run(run())
    assert writer.trail is not None
    assert Trail.model_validate_json(writer.trail.model_dump_json()) == writer.trail
    return writer.trail


@pytest.mark.parametrize("wrong", ["another base", "another way of asking", "one kind twice", "no expert of a domain"])
def test_what_is_no_set_is_refused(wrong: str, small_set: ModelVersion, tmp_path: Path) -> None:
    corpus = Corpus.open(tmp_path / "corpus")
    root = corpus.location.join(FOLDER)
    router = Router.load(Path(small_set.place) / "router.json")
    with Registry.open(corpus.catalog_url()) as registry:
        members = [registry.get(f"tailor@{number}") for number in (1, 2, 3)]
        if wrong == "another base":
            other = members[0].weights.base.model_copy(update={"fingerprint": "other"})
            weights = members[0].weights.model_copy(update={"base": other})
            members[0] = members[0].model_copy(update={"weights": weights})
        elif wrong == "another way of asking":
            asked = members[0].prompting.model_copy(update={"brief": False})
            members[0] = members[0].model_copy(update={"prompting": asked})
        elif wrong == "one kind twice":
            members.append(members[0])
        else:
            members.pop()
        with pytest.raises(UsageError):
            register_experts(registry, members, router, root, "experts", "a test")
        assert len(registry.versions("experts")) == 1


# --- real weights -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tiny_qwen3_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Path]:
    """Three adapters for the tiny base that say different things, one of them of another rank."""
    folder = tmp_path_factory.mktemp("tuned")
    return {
        kind: make_adapter(folder / kind, tiny_qwen3_vl, rank=4 + 4 * (kind == "omni"), seed=seed)
        for seed, kind in enumerate((*DOMAINS, "omni"))
    }


@pytest.mark.models
@pytest.mark.usefixtures("one_thread")
def test_adapters_on_one_base_each_answer_as_they_do_alone(
    tiny_qwen3_vl: Path, tuned: dict[Any, Path], tmp_path: Path
) -> None:
    """All at once, so that batches of several adapters take turns in one model."""
    from synthesis.backends.transformers import TransformersChat

    model = registered(tmp_path, tiny_qwen3_vl, tuned).set
    serving = Serving(dtype="float32", weights=model.place)
    backend = RegisteredBackend(settings(model), serving)
    asked = question(picture(), "Say anything.", max_tokens=30)
    names = [f"tailor@{number}" for number in (1, 2, 3, 4)]

    def alone(folder: Path | None) -> str:
        spec = ModelSpec(name=str(tiny_qwen3_vl), adapter=folder and str(folder), context=2048)
        return asyncio.run(TransformersChat(spec, Serving(dtype="float32")).complete(asked)).text

    async def together() -> list[str]:
        requests: list[Request] = [replace(asked, adapter=name) for name in (*names, None, *reversed(names))]
        replies = await asyncio.gather(*(backend.chat.complete(request) for request in requests))
        with pytest.raises(UsageError, match=r"unknown adapter 'tailor@7'"):
            await backend.chat.complete(replace(asked, adapter="tailor@7"))
        await backend.close()
        return [reply.text for reply in replies]

    texts = [alone(tuned[kind]) for kind in (*DOMAINS, "omni")]
    assert len({*texts, alone(None)}) == 5
    assert asyncio.run(together()) == [*texts, alone(None), *reversed(texts)]
    assert fingerprint(str(tiny_qwen3_vl)) == model.weights.base.fingerprint


@pytest.mark.models
@pytest.mark.usefixtures("one_thread")
def test_the_row_names_the_expert_whose_weights_wrote_it(
    tiny_qwen3_vl: Path, tuned: dict[Any, Path], tmp_path: Path
) -> None:
    model = registered(tmp_path, tiny_qwen3_vl, tuned).set
    triplet = row(Domain.EMBODIED, 11)
    answers = {}
    for route in ("router", "expert:embodied", "wrong"):
        backend = RegisteredBackend(settings(model, route), Serving(dtype="float32", weights=model.place))
        trail = written(backend, triplet)
        answers[route] = (trail.model.partition("+")[2], trail.exchanges[0].answer)
    assert answers["router"] == answers["expert:embodied"]
    assert answers["router"][0] == "tailor@2"
    assert answers["wrong"][0] == "tailor@3"
    assert answers["wrong"][1] != answers["router"][1]


@pytest.mark.models
@pytest.mark.long
def test_vllm_holds_several_adapters_in_one_engine(tiny_qwen3_vl: Path, tuned: dict[Any, Path], tmp_path: Path) -> None:
    model = registered(tmp_path, tiny_qwen3_vl, tuned).set
    backend = RegisteredBackend(settings(model), Serving(dtype="float32", weights=model.place, gpus=1, concurrency=4))
    asked = question("Say anything.", max_tokens=20)

    async def run() -> list[str]:
        try:
            requests = [replace(asked, adapter=name) for name in ("tailor@1", "tailor@2", None, "tailor@1")]
            replies = await asyncio.gather(*(backend.chat.complete(request) for request in requests))
            held = replace(question("Say.", schema=SCHEMAS["enum"]), adapter="tailor@4")
            assert is_sound(await backend.chat.complete(held), SCHEMAS["enum"])
            return [reply.text for reply in replies]
        finally:
            await backend.close()

    first, second, plain, again = asyncio.run(run())
    assert len({first, second, plain}) == 3
    assert first == again


def test_the_route_is_kept_in_the_trail_as_json(router: Router) -> None:
    route = experts(router).route(task(Domain.GUI))
    kept = json.loads(Trail(model="m", prompt_version="v1", route=route).model_dump_json())
    assert kept["route"]["version"] == "tailor@3"
    assert 0 < kept["route"]["confidence"] <= 1
