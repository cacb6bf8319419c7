"""What of a schema goes to a grammar: a constraint that is weaker, never stronger than what its rows look like."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.base import schema_json
from synthesis.agents.roster import TASKS, agent_for
from synthesis.backends.constrain import constrainable
from tests.synthesis.backends.answers import SCHEMAS

FORMS = [name for name in TASKS.places if name != "own_schema"]
DOCS = Path(__file__).resolve().parents[3] / "docs" / "tasks"


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    return json.loads(constrainable(json.dumps(schema)))


def test_an_object_that_names_its_properties_takes_no_others() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}}
    closed = plain(schema)
    assert closed["additionalProperties"] is False
    assert closed["properties"]["a"]["additionalProperties"] is False


def test_what_further_properties_may_hold_is_left_as_it_is() -> None:
    schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}}
    assert plain(schema)["additionalProperties"] == {"type": "integer"}


def test_a_property_named_like_a_keyword_stays() -> None:
    schema = {"type": "object", "properties": {"title": {"title": "Title", "type": "string"}}, "required": ["title"]}
    assert plain(schema)["properties"] == {"title": {"type": "string"}}


def test_one_of_becomes_any_of_beside_those_that_are_there() -> None:
    schema = {"oneOf": [{"type": "integer"}], "anyOf": [{"type": "string"}]}
    branches = plain(schema)["anyOf"]
    assert {"type": "integer"} in branches
    assert {"type": "string"} in branches


@pytest.mark.parametrize("keyword", ["format", "multipleOf", "uniqueItems", "not", "if", "patternProperties"])
def test_what_grammar_libraries_refuse_is_left_out(keyword: str) -> None:
    value = {"format": "date", "multipleOf": 2, "uniqueItems": True}.get(keyword, {})
    assert keyword not in plain({"type": "object", "properties": {"a": {keyword: value}}})["properties"]["a"]


@pytest.mark.parametrize("form", FORMS)
def test_the_example_of_every_form_satisfies_its_constraint(form: str) -> None:
    jsonschema.validate(example(form), json.loads(constrainable(agent_for(form).schema)))


@pytest.fixture(scope="module")
def compiler(tiny_qwen3_vl: Path) -> Any:
    import xgrammar
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen3_vl)
    return xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer)))


@pytest.mark.models
@pytest.mark.parametrize("form", FORMS)
def test_the_grammar_of_every_form_takes_its_example_and_no_broken_one(form: str, compiler: Any) -> None:
    # Of numbers with bounds a grammar spells six digits behind the point, which is more than is measured.
    value = json.loads(json.dumps(example(form)), parse_float=lambda text: round(float(text), 6))
    # As a model writes it: in the order in which the form declares its fields.
    value = agent_for(form).output.model_validate(value).model_dump(mode="json", exclude_none=True)
    assert accepts(compiler, agent_for(form).schema, schema_json(value))
    assert not accepts(compiler, agent_for(form).schema, schema_json({**value, "invented": 1}))
    first = next(iter(value))
    assert not accepts(compiler, agent_for(form).schema, schema_json({**value, first: {"no": "such thing"}}))


@pytest.mark.models
@pytest.mark.parametrize("form", FORMS)
def test_vllm_takes_the_constraint_of_every_form(form: str) -> None:
    from vllm.v1.structured_output.backend_xgrammar import has_xgrammar_unsupported_json_features

    assert not has_xgrammar_unsupported_json_features(json.loads(constrainable(agent_for(form).schema)))


def test_bounds_on_the_length_of_strings_are_left_to_verification() -> None:
    schema = {"type": "object", "properties": {"maxLength": {"type": "string", "minLength": 1, "maxLength": 9}}}
    assert json.loads(constrainable(json.dumps(schema)))["properties"] == {"maxLength": {"type": "string"}}


@pytest.mark.models
def test_a_text_may_hold_quotation_marks_and_line_ends(compiler: Any) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"]}
    assert accepts(compiler, json.dumps(schema), schema_json({"text": 'It says "Open".\nThen it closes.'}))


@pytest.mark.models
@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_of_every_kind_compile(name: str, compiler: Any) -> None:
    assert not accepts(compiler, json.dumps(SCHEMAS[name]), '{"invented":1}')


def accepts(compiler: Any, schema: str, text: str) -> bool:
    """Whether the grammar lets a whole text through."""
    import xgrammar

    grammar = compiler.compile_json_schema(constrainable(schema), any_whitespace=False, separators=(",", ":"))
    matcher = xgrammar.GrammarMatcher(grammar, terminate_without_stop_token=True)
    return matcher.accept_string(text) and matcher.is_terminated()


def example(form: str) -> dict[str, Any]:
    """The example on a form's page."""
    found = re.search(r"```json\n(.*?)```", (DOCS / f"{form}.md").read_text(), re.DOTALL)
    assert found is not None, form
    value = json.loads(found[1])
    fields = agent_for(form).output.model_fields
    if isinstance(value, dict) and value.keys() <= fields.keys():
        return value
    items = value if isinstance(value, list) else [value]  # the page shows of the form's one list this much
    return {next(name for name, field in fields.items() if "tuple" in str(field.annotation)): items}
