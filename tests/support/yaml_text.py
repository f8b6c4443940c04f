"""Plain values as YAML that the program reader takes: one line a list item, no quotes to spare."""

import json
import re
from typing import Any

PLAIN = re.compile(r"-?[A-Za-z0-9][A-Za-z0-9_./:;-]*")


def flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    is_plain = PLAIN.fullmatch(text) is not None and not text.endswith(":")
    return text if is_plain else json.dumps(text)


def block(values: dict[str, Any]) -> str:
    """Return a mapping, a line a key; lists get a line an item."""
    lines = []
    for key, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{key}:")
            lines += [f"- {flow(item)}" for item in value]
        elif isinstance(value, str) and "\n" in value:
            lines.append(f"{key}: |")
            lines += [f"  {line}" for line in value.splitlines()]
        else:
            lines.append(f"{key}: {flow(value)}")
    return "\n".join(lines) + "\n"


def offers_file(offers: list[dict[str, Any]]) -> str:
    """Return a file of offers."""
    return "".join(f"- {flow(offer)}\n" for offer in offers) or "[]\n"
