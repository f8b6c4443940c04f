"""The JSON Schema of program files, for editors and reviews."""

from typing import Any

from pydantic import TypeAdapter

from checklane.program.model import Offer, Program

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Names of the files that ``checklane offers schema`` writes.
PROGRAM_SCHEMA = "program.schema.json"
OFFERS_SCHEMA = "offers.schema.json"


def export_schema() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas by file name.

    Returns
    -------
    dict of str to dict
        ``program.schema.json`` for program.yaml and ``offers.schema.json`` for offers/*.yaml.

    Notes
    -----
    The schemas know the form of a file. References between files, check digits and the decimals of
    the currency are judged by ``checklane offers check``.
    """
    return {
        PROGRAM_SCHEMA: finished(TypeAdapter(Program), "checklane program"),
        OFFERS_SCHEMA: finished(TypeAdapter(list[Offer]), "checklane offers"),
    }


def finished(adapter: "TypeAdapter[Any]", title: str) -> dict[str, Any]:
    """Return a schema without the titles that only repeat the keys, and with its own."""
    schema = adapter.json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, "title": title, **plain(schema)}


def plain(schema: Any, *, of_properties: bool = False) -> Any:
    """Return a part of a schema without generated titles and without defaults that are parts."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, part in schema.items():
        is_title = key == "title" and isinstance(part, str)
        is_part = key == "default" and isinstance(part, dict | list | None)
        if not of_properties and (is_title or is_part):
            continue
        kept[key] = plain(part, of_properties=key in ("properties", "$defs"))
    return kept
