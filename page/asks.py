"""What a page may ask its server functions: by name, the type of each one's argument. `answering` checks them all.

Types and sizes alone; what a value means is said where it is used. Other keys of an object are let through.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, create_model

Count = Annotated[int, Field(ge=0, lt=1 << 53)]  # as scripts count
Name = Annotated[str, Field(max_length=1000)]  # of a file, a format, a run …
Text = Annotated[str, Field(max_length=1_000_000)]
File = Annotated[str, Field(max_length=28 << 20)]  # in base64
Options = Annotated[dict[Name, Text | bool | int | float | None], Field(max_length=64)]
Project = dict[str, Any]  # infer/documents/project.py looks at every value

ASKS: dict[str, Any] = {
    "voices": Any,
    "read": {"text": Text, "controls": Options},
    "reading": {"text": Text, "position": Count, "reading": Name},
    "remember": {"text": Text, "position": Count},
    "speak": {"listener": Name, "requests": Annotated[list[Options], Field(max_length=2000)]},
    "pieces": {"run": Name, "next": Count},
    "stop": {"run": Name},
    "file": {"listener": Name, "project": Project, "format": Name, "sample?": Name | None},
    "look": {"listener": Name, "request": Options},
    "open": {"project": Project},
    "batch_read": {"name": Name, "data": File, "paragraphs": bool, "request": Options},
    "batch_start": {
        "name": Name,
        "data": File,
        "paragraphs": bool,
        "fit": bool,
        "joined": bool,
        "format": Name,
        "request": Options,
        "listener": Name,
    },
    "batch_look": {"id": Name, "seen": Count},
    "batch_stop": {"id": Name},
    "batch_take": {"id": Name, "what": Name},
    "device_look": {"language": Count},
    "device_test": {"language": Count},
    "device_use": {"language": Count, "device": Name, "backend": Name, "precision": Name},
    "read_glossary": Any,
    "save_glossary": {"text": Text, "base": Text},
    "take_sample": {"data": File, "listener": Name},
    "kept_sample": Name,
    "list_kept": Any,
    "keep_project": {"project": Project, "seconds": float, "when?": float | None},
    "kept_project": {"id": Name},
    "remove_project": {"id": Name},
    "clear_history": Any,
    "save_preset": {"name": Text, "values": Any},
    "delete_preset": {"name": Text},
    "check_preset": {"values": Any},
    "check_project": Any,
    "read_recipe": File,
}


def adapter(name: str) -> TypeAdapter:
    """Checks the argument of a server function; of one that is not above nothing is asked."""
    kind = ASKS.get(name, Any)
    if isinstance(kind, dict):
        parts: dict[str, Any] = {
            key.rstrip("?"): (part, None if key.endswith("?") else ...) for key, part in kind.items()
        }
        kind = create_model(name, __config__=ConfigDict(strict=True), **parts)
    return TypeAdapter(kind)
