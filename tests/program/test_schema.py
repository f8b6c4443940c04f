"""The exported JSON Schema is valid, explains every key, and fits the examples."""

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from checklane.program import export_schema
from checklane.program.schema import OFFERS_SCHEMA, PROGRAM_SCHEMA
from tests.program.test_problems import OFFERS, split

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "program"
SCHEMAS = export_schema()
#: Mistakes that the form alone shows; the others need the program, the currency or a file.
OF_FORM = (
    "unknown key", "unknown key deep", "missing id", "missing selector", "not money",
    "not an id", "not a whole number", "not a boolean", "not a mapping", "unknown word",
    "unknown weekday", "limit of 0", "date form", "too many hours", "locale", "empty selector",
    "word selector", "not a list",
)  # fmt: skip


def load(path):
    """Return YAML as an editor sees it: dates stay text."""
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.yaml_constructors.pop("tag:yaml.org,2002:timestamp", None)
    yaml.constructor.add_constructor(
        "tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node)
    )
    return yaml.load(path)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_are_schemas(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


def properties(schema):
    """Yield every property of a schema with its name."""
    if isinstance(schema, dict):
        for name, part in schema.get("properties", {}).items():
            yield name, part
        for part in schema.values():
            yield from properties(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from properties(part)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_key_is_explained(name):
    found = list(properties(SCHEMAS[name]))
    assert len(found) > 30
    assert [key for key, part in found if len(part.get("description", "")) < 5] == []


def test_the_examples_fit():
    program = jsonschema.Draft202012Validator(SCHEMAS[PROGRAM_SCHEMA])
    offers = jsonschema.Draft202012Validator(SCHEMAS[OFFERS_SCHEMA])
    assert list(program.iter_errors(load(EXAMPLES / "program.yaml"))) == []
    files = sorted((EXAMPLES / "offers").glob("*.yaml"))
    assert len(files) == 5
    for file in files:
        assert [error.message for error in offers.iter_errors(load(file))] == []


@pytest.mark.parametrize("name", OF_FORM)
def test_the_schema_sees_mistakes_of_form(name):
    text, _, _ = split(OFFERS[name][0])
    offers = jsonschema.Draft202012Validator(SCHEMAS[OFFERS_SCHEMA])
    assert list(offers.iter_errors(load(text))) != []
