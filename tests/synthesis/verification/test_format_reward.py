"""R_format: valid JSON under the schema, or errors that say where."""

from __future__ import annotations

import pytest

from schemas.errors import UsageError
from synthesis.verification.format import parse, pointer

SCHEMA = (
    '{"type": "object", "required": ["title"], "additionalProperties": false,'
    ' "properties": {"title": {"type": "string", "minLength": 1},'
    ' "a/b": {"type": "array", "items": {"type": "number"}}}}'
)


def test_a_valid_output_is_parsed():
    assert parse('{"title": "x", "a/b": [1, 2.5]}', SCHEMA).value == {"title": "x", "a/b": [1, 2.5]}


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("Sure! {}", "not valid JSON"),
        ('{"title": NaN}', "not JSON"),
        ('{"title": "x", "a/b": [1e999]}', "too large"),
        ('{"title": "\\ud800"}', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", ": [] is not of type 'object'"),
        ("{}", "'title' is a required property"),
        ('{"title": ""}', "/title: "),
        ('{"title": "x", "a/b": [1, "y"]}', "/a~1b/1: 'y' is not of type 'number'"),
        ('{"title": "x", "more": 1}', "more"),
    ],
)
def test_an_invalid_output_says_where_and_why(output, error):
    parsed = parse(output, SCHEMA)
    assert not parsed.valid
    assert error in parsed.errors[0]


def test_what_is_wrong_with_a_long_value_is_told_all_the_same():
    schema = '{"type": "array", "maxItems": 2, "items": {"type": "string", "minLength": 3}}'
    (long,) = parse(f'["{"word " * 99}", "other", "third"]', schema).errors
    assert long.startswith(": ['word word ")
    assert long.endswith("... is too long (3, at most 2)")
    (short,) = parse('["ab"]', schema).errors
    assert short == "/0: 'ab' is too short (2, at least 3)"


def test_a_schema_that_is_none_is_refused_with_its_location():
    with pytest.raises(UsageError, match="/properties/x/type"):
        parse("{}", '{"properties": {"x": {"type": "strin"}}}')
    with pytest.raises(UsageError, match="not valid JSON"):
        parse("{}", "{")


def test_pointers_escape_as_rfc_6901_says():
    assert pointer("a/b", 0, "m~n") == "/a~1b/0/m~0n"
    assert pointer() == ""


def test_formats_are_held_to():
    schema = '{"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}'
    assert parse('{"day": "2026-11-21"}', schema).valid
    assert parse('{"day": "yesterday"}', schema).errors == ("/day: 'yesterday' is not a 'date'",)
