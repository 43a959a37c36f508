"""Plain YAML: mappings, lists and single values, and nothing that a stranger's file could do with more.

A catalog is fetched from people we do not know. YAML's anchors let a few lines unfold to gigabytes, its tags name
classes, its C reader runs out of stack at some ten thousand brackets (PyYAML 6.0.3: the process ends), and later keys
silently replace earlier ones. None of these has a place in a catalog, so each is refused. Reading parser events is
also what makes it quick: a catalog of 1,000 expeditions takes 0.3 s here and 5 s in Intake.
"""

from __future__ import annotations

from typing import Any

import yaml

from corebank.errors import EntryError

DEPTH = 24
"""How deep values may be nested; a catalog that a bank wrote has 6 levels."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_VALUES = yaml.constructor.SafeConstructor()

# Dates stay text, as they are in a bank's attributes; the rest is YAML 1.1's own list of what a bare word may mean.
_MEANINGS = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":merge"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_CORE = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def load(text: str, where: str) -> Any:
    """What a YAML document says, as dict, list, str, int, float, bool and None.

    Parameters
    ----------
    text
        The document.
    where
        What to call it in an error.

    Raises `EntryError` for anything that is not plain: anchors, aliases, merge keys, tags, keys that stand twice or are
    no words, nesting deeper than `DEPTH`, and whatever is no YAML at all.
    """
    try:
        return _built(text, where)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: a number of thousands of digits
        if isinstance(error, EntryError):
            raise
        found = " ".join(str(error).split())[:200]
        raise EntryError(where, f"is not YAML ({found})", "Have its owner write it again with corebank") from error


def _built(text: str, where: str) -> Any:
    """Build values from parser events with a stack of our own: neither C nor Python recurses."""
    top: Any = None
    documents = 0
    open_values: list[tuple[dict[str, Any] | list[Any], list[str]]] = []  # with the key that waits for its value
    event: Any
    for event in yaml.parse(text, Loader=_LOADER):
        kind = type(event)
        if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            open_values.pop()
            continue
        if kind is yaml.DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise _not_plain(where, event, "holds more than one document")
            continue
        if kind is yaml.AliasEvent or getattr(event, "anchor", None) is not None:
            raise _not_plain(where, event, "uses an anchor, which can stand for any amount of text")
        if kind is yaml.ScalarEvent:
            value = _value(event, where)
        elif kind is yaml.MappingStartEvent:
            value = {}
        elif kind is yaml.SequenceStartEvent:
            value = []
        else:
            continue
        if kind is not yaml.ScalarEvent and event.tag not in (None, *_CORE):
            raise _not_plain(where, event, f"names a type, {event.tag!r}")
        if open_values:
            _put(*open_values[-1], value, event, where)
        else:
            top = value
        if kind is not yaml.ScalarEvent:
            open_values.append((value, []))
            if len(open_values) > DEPTH:
                raise _not_plain(where, event, f"is nested deeper than {DEPTH} levels")
    return top


def _put(into: dict[str, Any] | list[Any], waiting: list[str], value: Any, event: Any, where: str) -> None:
    """Append `value` to a list, or take it as the next key, or as the value of the key that waits."""
    if isinstance(into, list):
        into.append(value)
    elif waiting:
        into[waiting.pop()] = value
    elif not isinstance(event, yaml.ScalarEvent) or value == "<<":
        raise _not_plain(where, event, "has a key that is no word")
    elif (key := str(event.value)) in into:
        raise _not_plain(where, event, f"has the key {key[:80]!r} twice")
    else:
        waiting.append(key)


def _value(event: Any, where: str) -> Any:
    if event.tag is not None and event.tag not in _CORE and not event.implicit[0]:
        raise _not_plain(where, event, f"names a type, {event.tag!r}")
    if event.implicit[0]:
        for tag, pattern in _MEANINGS.get(event.value[:1], ()):
            if pattern.match(event.value):
                return _VALUES.construct_object(yaml.ScalarNode(tag, event.value))
    return event.value


def _not_plain(where: str, event: Any, found: str) -> EntryError:
    return EntryError(
        f"{where}, line {event.start_mark.line + 1}", found, "Have its owner write it again with corebank"
    )
