"""Planted mistakes in vaults and splitting: each lets an attack through that the real code stops."""

import io
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

import test_split_bytes
import test_split_vss
import test_vault_core as core
import test_vault_stream

from tacit.crypto import box, stream
from tacit.crypto.groups import group_named
from tacit.errors import TacitError
from tacit.threshold import split, tdh2, vault, vault_messages, vault_notice, vss

WORLD = core.World()
RISTRETTO = group_named("ristretto255")


def always(value: Any) -> Callable[..., Any]:
    return lambda *arguments, **names: value


def with_world(test: Callable[[Any], None]) -> Callable[[], None]:
    return lambda: test(WORLD)


def short_context(ciphertext: Any, label: bytes, identifier: int, purpose: bytes) -> bytes:
    """Forget the request."""
    return label + identifier.to_bytes(2)


def no_member(ciphertext: Any, label: bytes, identifier: int, purpose: bytes) -> bytes:
    return label + purpose


def no_label(key: Any, c: bytes, label: bytes, elements: Any) -> Any:
    return tdh2.challenge(
        key.group, "tdh2/h2", [tdh2.element_bytes(key), c, *map(tdh2.element_bytes, elements)]
    )


def no_last_flag(number: int, last: bool) -> bytes:
    return number.to_bytes(12)


def no_number(number: int, last: bool) -> bytes:
    return bytes(11) + bytes([last])


def any_length(self: Any) -> None:
    return None


def approvals_count_twice() -> None:
    """One doctor's approval, handed over five times, is one approval."""
    asking = WORLD.ask()
    with pytest.raises(TacitError):
        vault.open_key(asking, WORLD.vault, WORLD.header, [WORLD.approve("ann", asking)] * 5)


def label_is_hashed() -> None:
    key, _ = core.deal(2, ["a", "b", "c"])
    sealed = tdh2.encrypt(key.key, bytes(32), b"one label", core.R)
    assert not tdh2.is_sound(key.key, sealed, b"another")


def purposes_differ() -> None:
    key, shares = core.deal(2, ["a", "b", "c"])
    sealed = tdh2.encrypt(key.key, bytes(32), b"l", core.R)
    given = tdh2.partial(shares["a"], sealed, b"l", b"one request", core.R)
    assert not tdh2.partial_holds(key, sealed, b"l", b"another request", given)


def members_differ() -> None:
    assert tdh2._context(CIPHERTEXT, b"l", 1, b"p") != tdh2._context(CIPHERTEXT, b"l", 2, b"p")


CIPHERTEXT = tdh2.encrypt(RISTRETTO.generator, bytes(32), b"l", core.R)


def cut_stream() -> None:
    test_vault_stream.test_cut_reordered_repeated_extended()


def vector_of_t_plus_k() -> None:
    test_split_vss.test_mutant_vector_of_t_plus_k(RISTRETTO, vss.feldman)


def culprit_named() -> None:
    test_split_vss.test_round_trip_and_culprit(RISTRETTO, vss.pedersen)


def indices() -> None:
    test_split_bytes.test_indices_zero_and_out_of_range_refused(0)


def duplicates() -> None:
    test_split_bytes.test_duplicates_and_strangers_refused()


def damage() -> None:
    test_split_bytes.test_a_holder_who_knows_the_secret_cannot_change_it()


def two_keys() -> None:
    core.test_a_sealer_cannot_give_two_keys(WORLD)


def wrong_body() -> None:
    """A body of another file under this header."""
    from tacit.threshold import vault_files

    other, key = vault.seal_header(WORLD.vault, "another", core.R)
    body = b"".join(vault_files.seal_body(key, other, io.BytesIO(b"x").read))
    with pytest.raises(TacitError):
        b"".join(vault_files.open_body(WORLD.key, WORLD.header, io.BytesIO(body).read))


MUTANTS: dict[str, tuple[Any, Callable[[], None]]] = {
    "ciphertext's own proof not checked": (
        patch.object(tdh2, "is_sound", always(True)),
        with_world(core.test_changed_ciphertexts_are_refused_before_any_share_is_used),
    ),
    "partial's proof not checked": (
        patch.object(tdh2, "partial_holds", always(True)),
        with_world(core.test_a_bad_partial_names_its_giver),
    ),
    "label not in the challenge": (patch.object(tdh2, "_h2", no_label), label_is_hashed),
    "request not in the challenge": (patch.object(tdh2, "_context", short_context), purposes_differ),
    "member not in the challenge": (patch.object(tdh2, "_context", no_member), members_differ),
    "anybody's signature accepted": (
        patch.object(vault_messages, "signature_holds", always(True)),
        with_world(core.test_nobody_is_framed_by_a_stranger),
    ),
    "request's signature not checked": (
        patch.object(vault_messages, "is_signed", always(True)),
        with_world(core.test_what_a_member_refuses),
    ),
    "request not checked by the member": (
        patch.object(vault, "check_request", always(None)),
        with_world(core.test_what_a_member_refuses),
    ),
    "notice without signatures": (
        patch.object(vault_notice, "_check", always(None)),
        with_world(core.test_a_device_gives_nothing_before_the_notice_is_stored),
    ),
    "no commitment to the key": (patch.object(vault, "_commit", always(bytes(32))), two_keys),
    "no last flag": (patch.object(stream, "_nonce", no_last_flag), cut_stream),
    "no segment number": (patch.object(stream, "_nonce", no_number), cut_stream),
    "commitments of any length": (
        patch.object(vss.Commitments, "__post_init__", any_length),
        vector_of_t_plus_k,
    ),
    "shares not checked": (patch.object(vss, "is_valid", always(True)), culprit_named),
    "any index": (patch.object(split, "check_indices", always(None)), indices),
    "duplicate index": (patch.object(split, "check_indices", always(None)), duplicates),
    "no tag on the secret": (patch.object(split, "_tag", always(bytes(32))), damage),
}

SCENARIOS = [approvals_count_twice, label_is_hashed, purposes_differ, members_differ, wrong_body]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


@pytest.mark.parametrize("name", list(MUTANTS))
def test_mutant_is_killed(name: str) -> None:
    mutant, scenario = MUTANTS[name]
    scenario()
    failures = (AssertionError, TacitError, IndexError, ValueError, pytest.fail.Exception)
    with mutant, pytest.raises(failures):
        scenario()


def test_boxes() -> None:
    """Only the recipient, only in its context, only unaltered; and what is shown opens this box only."""
    secret = RISTRETTO.random_scalar(core.R)
    public = RISTRETTO.base_mul(secret)
    sealed = box.seal_to(public, b"hello", b"context", core.R)
    assert box.open_box(secret, sealed, b"context") == b"hello"
    data = sealed.encode()
    assert box.decode_box(public, data, b"context") == sealed
    for position in range(0, len(data), 3):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(TacitError):
            box.open_box(secret, box.decode_box(public, changed, b"context"), b"context")
    for key, context in ((public, b"other"), (public + public, b"context")):
        with pytest.raises(TacitError):
            box.decode_box(key, data, context)
    with pytest.raises(TacitError):
        box.open_box(secret, sealed, b"other")
    with pytest.raises(TacitError):
        box.open_box(secret + RISTRETTO.one, sealed, b"context")
    opening = box.show(secret, sealed, b"context", core.R)
    assert box.opening_holds(public, sealed, opening, b"context")
    assert not box.opening_holds(public, sealed, opening, b"other")
    assert box.open_shown(public, sealed, opening, b"context") == b"hello"
    second = box.seal_to(public, b"other", b"context", core.R)
    assert not box.opening_holds(public, second, opening, b"context")
    with pytest.raises(TacitError):
        box.open_shown(public, second, opening, b"context")
