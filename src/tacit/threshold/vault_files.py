"""Vault headers, vault keys and bodies as files: strict JSON, and a sealed stream for the body."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tacit.crypto import stream
from tacit.crypto.sealed import naming, sync_folder
from tacit.errors import DataError, UsageError
from tacit.threshold.keys import GroupKey
from tacit.threshold.vault import EMERGENCY, FILE_ID_BYTES, NORMAL, NOTICE, Header, Vault, body_key

BODY_MAGIC = b"tacit-vault-body-1\n"
HEADER_FORMAT, VAULT_FORMAT = "tacit-vault-header-1", "tacit-vault-1"
MAX_JSON_BYTES = 1 << 20


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise DataError("a JSON object has the same key twice")
    return out


def read_json(data: bytes, what: str, keys: set[str]) -> dict[str, Any]:
    """Parse strict JSON with exactly these keys; DataError otherwise."""
    if len(data) > MAX_JSON_BYTES:
        raise DataError(f"{what} is too large")
    try:
        parsed = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise DataError(f"{what} is not valid JSON") from None
    if not isinstance(parsed, dict) or set(parsed) != keys:
        raise DataError(f"{what} does not have the expected entries")
    return parsed


def hex_bytes(value: object, what: str) -> bytes:
    """Read lower-case hex; DataError for anything else."""
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or data.hex() != value:
        raise DataError(f"{what} is not lower-case hex")
    return data


def header_to_json(header: Header) -> bytes:
    """Write a header."""
    parts = {
        p: {"key": header.keys[p].hex(), "sealed": header.sealed[p].hex()} for p in sorted(header.sealed)
    }
    document = {
        "format": HEADER_FORMAT,
        "record": header.record,
        "file": header.file_id.hex(),
        "commitment": header.commitment.hex(),
        "parts": parts,
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def header_from_json(data: bytes) -> Header:
    """Read a header; its sealed keys are checked when they are used, against the vault's key."""
    d = read_json(data, "a vault header", {"format", "record", "file", "commitment", "parts"})
    parts, record = d["parts"], d["record"]
    known = isinstance(parts, dict) and set(parts) in ({NORMAL}, {NORMAL, EMERGENCY, NOTICE})
    if d["format"] != HEADER_FORMAT or not isinstance(record, str) or not known:
        raise DataError("this is not a vault header of this version")
    if any(not isinstance(p, dict) or set(p) != {"key", "sealed"} for p in parts.values()):
        raise DataError("a vault header has malformed parts")
    file_id, commitment = hex_bytes(d["file"], "the file's id"), hex_bytes(d["commitment"], "the commitment")
    if len(file_id) != FILE_ID_BYTES or len(commitment) != 32:
        raise DataError("a vault header has fields of the wrong size")
    keys = {name: hex_bytes(part["key"], "a key") for name, part in parts.items()}
    sealed = {name: hex_bytes(part["sealed"], "a sealed key") for name, part in parts.items()}
    return Header(record, file_id, commitment, keys, sealed)


def vault_to_json(vault: Vault) -> bytes:
    """Write the public keys of a vault."""
    parts = {NORMAL: vault.normal, EMERGENCY: vault.emergency, NOTICE: vault.notice}
    document: dict[str, Any] = {"format": VAULT_FORMAT}
    document |= {name: None if key is None else json.loads(key.to_json()) for name, key in parts.items()}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def vault_from_json(data: bytes) -> Vault:
    """Read and check the public keys of a vault."""
    d = read_json(data, "a vault", {"format", NORMAL, EMERGENCY, NOTICE})
    if d["format"] != VAULT_FORMAT or d[NORMAL] is None:
        raise DataError("this is not a vault of this version")
    keys = [
        None if d[p] is None else GroupKey.from_json(json.dumps(d[p])) for p in (NORMAL, EMERGENCY, NOTICE)
    ]
    assert keys[0] is not None
    try:
        return Vault(keys[0], keys[1], keys[2])
    except UsageError as error:
        raise DataError(str(error)) from None


def seal_body(key: bytes, header: Header, read: stream.Read) -> Iterator[bytes]:
    """Yield the body file of everything that `read` returns."""
    yield BODY_MAGIC + header.file_id
    yield from stream.seal(body_key(key, header.file_id), read, BODY_MAGIC)


def open_body(key: bytes, header: Header, read: stream.Read) -> Iterator[bytes]:
    """Yield verified plain text; DataError at the first segment that is not as it was sealed."""
    head = read(len(BODY_MAGIC) + FILE_ID_BYTES)
    if head != BODY_MAGIC + header.file_id:
        raise DataError("this body does not belong to this header")
    yield from stream.open_sealed(body_key(key, header.file_id), read, BODY_MAGIC)


def save(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a new file of mode 0600 that appears under its name only when all of it is there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                with naming(path):
                    file.write(chunk)
            with naming(path):
                file.flush()
                os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            raise UsageError(f"{path} exists and is not overwritten") from None
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
