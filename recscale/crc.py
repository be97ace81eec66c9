"""Checksums of facts kept as JSON."""

from __future__ import annotations

import json
import zlib
from typing import Any

KEY = "crc32"


def of_json(facts: dict[str, Any]) -> int:
    """CRC-32 of facts, whatever their order and layout in a file."""
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def with_crc(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts, and last their checksum."""
    return {**facts, KEY: of_json(facts)}


def vouched(text: bytes) -> dict[str, Any] | None:
    """The facts of a file that `with_crc` made; None where they are not those written."""
    try:
        facts = json.loads(text)
        crc = facts.pop(KEY)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return facts if isinstance(facts, dict) and crc == of_json(facts) else None
