"""The recipe's keys as a Markdown page: read from the schema, so that it says what the checks demand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hkd_edge.recipe.outline import flat, node_at, recipe_schema
from hkd_edge.recipe.problems import expectation

TITLE = "Recipes: every key"
_HEAD = f"""# {TITLE}

A recipe is a YAML file of data, never code. What is left out has its default; unknown keys, wrong types and values
beyond their limits are errors, told all at once with line and dotted path. `hkd-edge recipes show digits --resolved`
prints a recipe with all its defaults, `hkd-edge run RECIPE --set distill.temperature=2` overrides a key by its dotted
path, and `hkd-edge recipes schema` prints the schema from which this page is made, for editors that complete and check
YAML. Relative paths start from the recipe's folder, after `--set` from the current one.
"""
_COLUMNS = "| key | type, limits (unit) | default | typical | what it is |\n|---|---|---|---|---|"
_NONE = "-"
# Of numbers that have one, by the ends of their names or else by what their descriptions say.
_UNITS_OF_NAMES = {
    "image_size": "pixels",
    "_px": "pixels",
    "_stride": "pixels",
    "_ms": "ms",
    "_mb": "MB",
    "_bytes": "bytes",
    **dict.fromkeys(("batch_size", "_batch", "_images", "batches"), "images"),
    **{name: name for name in ("epochs", "threads", "blocks", "views", "members")},
    "_runs": "runs",
    "starts": "processes",
    "per_concept": "subclasses",
    "size": "pixels",  # the last: batch_size ends so too
}
_UNITS_OF_WORDS = {
    "percentage points": "percentage points",
    "percent": "percent",
    "Percent": "percent",
    "(0 to 1)": "0 to 1",
    "Channels": "channels",
}


def recipe_reference(links: Mapping[str, str] | None = None) -> str:
    """The page. `links` are Markdown links to more about a section, by its path or its name."""
    sections = _sections()
    parts = [_HEAD, _contents(sections), *(_section(*each, links or {}) for each in sections.items())]
    return "\n".join(parts)


def _sections() -> dict[str, list[str]]:
    """The dotted paths at which each kind of section stands, in the order of the schema; "" is the recipe itself."""
    found: dict[str, list[str]] = {}
    for path, kind in _walk(recipe_schema(), ""):
        found.setdefault(kind, []).append(path)
    return found


def _walk(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    yield path, str(node["title"])
    for key in node.get("properties", {}):
        inner = flat(node["properties"][key])
        if "properties" in inner:
            yield from _walk({**inner, "title": _kind(node["properties"][key])}, f"{path}.{key}".lstrip("."))


def _kind(node: Mapping[str, Any]) -> str:
    """The name of the definition that a key's node leads to; null and short forms beside it do not count."""
    options = node.get("anyOf", [node])
    return str(next(option["$ref"] for option in options if "$ref" in option)).rpartition("/")[2]


def _title(paths: list[str]) -> str:
    """The path of a section; of one that stands in several places its name, or names."""
    if len(paths) == 1:
        return paths[0] or "The recipe"
    return ", ".join(dict.fromkeys(path.rpartition(".")[2] for path in paths))


def _anchor(title: str) -> str:
    """The anchor of a heading, as code hosts make it: lower case, hyphens for spaces, no other punctuation."""
    return "".join(sign for sign in title.lower().replace(" ", "-") if sign.isalnum() or sign in "-_")


def _contents(sections: Mapping[str, list[str]]) -> str:
    titles = [_title(paths) for paths in sections.values()]
    return "Sections: " + ", ".join(f"[{title}](#{_anchor(title)})" for title in titles) + ".\n"


def _section(kind: str, paths: list[str], links: Mapping[str, str]) -> str:
    node = _node(paths[0])
    definition = node if not paths[0] else recipe_schema()["$defs"][kind]
    title = _title(paths)
    places = f" Stands at {_listed(paths)}." if len(paths) > 1 else ""
    more = f" More: {links[title]}." if title in links else ""
    rows = [_row(name, key, name in definition.get("required", ())) for name, key in node["properties"].items()]
    text = " ".join(str(definition["description"]).split())
    return "\n".join([f"## {title}\n", f"{text}{places}{more}\n", _COLUMNS, *rows, ""])


def _node(path: str) -> dict[str, Any]:
    return node_at(tuple(path.split("."))) if path else recipe_schema()


def _listed(paths: list[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _row(name: str, key: Mapping[str, Any], required: bool) -> str:
    node = flat(dict(key))
    if "properties" in node:
        title = _title(_sections()[_kind(key)])
        kind = f"section [{title}](#{_anchor(title)})"
        expected = f"null or a {kind}" if node.get("nullable") else kind
    else:
        expected = expectation(node)
    default = "required" if required else f"`{json.dumps(node['default'])}`" if _is_plain(node) else _NONE
    text = str(node["description"]).partition(" Typical values are")[0]
    unit = _unit(name, node)
    expected = f"{expected} ({unit})" if unit else expected
    cells = (f"`{name}`", expected, default, node.get("typical", _NONE), text)
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _is_plain(node: Mapping[str, Any]) -> bool:
    return not isinstance(node.get("default", {}), dict)


def _unit(name: str, node: Mapping[str, Any]) -> str:
    """The unit of a number, which its name or its description tells; "" for factors, seeds and what is no number."""
    nodes = (node, *node.get("others", ()))
    if not any(each.get("type") in ("integer", "number", "array") for each in nodes):
        return ""
    by_name = [unit for end, unit in _UNITS_OF_NAMES.items() if name.endswith(end)]
    by_words = [unit for words, unit in _UNITS_OF_WORDS.items() if words in str(node["description"])]
    return next(iter(by_name + by_words), "")


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
