"""Threshold decryption, requests, approvals, emergencies, change of keys: right result or a named culprit."""

import contextlib
import dataclasses
import io
import random
import secrets
from typing import Any

import pytest

pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

from threshold_network import NAMES, run_dealing, shares_of

from tacit.crypto.box import seal_to
from tacit.crypto.encoding import pack
from tacit.crypto.sigma import sign
from tacit.crypto.signing import SigningKey
from tacit.errors import DataError, NotApproved, PeerMisbehaved, UsageError
from tacit.threshold import dealer, tdh2, vault, vault_files, vault_notice
from tacit.threshold.plan import plan_refresh
from tacit.threshold.suites import suite_named

R = secrets.token_bytes
DOCTORS = ["ann", "bob", "cem", "dia", "eva"]
NOW = 1_700_000_000
CLERK = SigningKey(b"\x07" * 32)


def deal(threshold: Any, names: Any, suite: Any = "ristretto255") -> Any:
    made = dealer.deal(suite_named(suite), threshold, names, R)
    shares = {name: share for name, (share, _) in made.items()}
    return next(iter(shares.values())).group_key, shares


class World:
    """A vault of five doctors (three open), two heads of duty (one declares), five devices (three must note)."""

    def __init__(self) -> None:
        key, self.doctors = deal(3, DOCTORS)
        emergency, self.heads = deal(1, ["head1", "head2"])
        notice, self.devices = deal(3, [f"device-{d}" for d in DOCTORS])
        self.vault = vault.Vault(key, emergency, notice)
        self.header, self.key = vault.seal_header(self.vault, "patient 4711", R)

    def ask(self, way: Any = vault.NORMAL, header: Any = None, key: Any = CLERK, now: Any = NOW) -> Any:
        return vault.ask(
            header or self.header, self.vault, way, "clerk", key, "surgery at noon", now, 3600, R
        )

    def approve(self, name: Any, asking: Any, header: Any = None, now: Any = NOW) -> Any:
        return vault.approve(
            self.doctors[name],
            self.vault,
            vault.NORMAL,
            header or self.header,
            asking.request,
            CLERK.public,
            now,
            R,
        )


@pytest.fixture(scope="module")
def world() -> Any:
    return World()


def reseal(approval: Any, share: Any, **changes: Any) -> Any:
    """Sign a changed approval with the member's own key: what a cheating member can send."""
    changed = dataclasses.replace(approval, **changes)
    return dataclasses.replace(
        changed, signature=sign(share.secret, changed.signed_bytes(), b"vault/approval", R)
    )


def cheat(world: Any, name: Any, asking: Any) -> Any:
    """A wrong partial decryption, well encrypted and well signed."""
    share = world.doctors[name]
    approval = world.approve(name, asking)
    group, purpose = share.secret.group, asking.request.digest()
    context = vault.box_context(vault.NORMAL, share.identifier, purpose)
    wrong = group.random_scalar(R)
    message = pack([group.base_mul(wrong).encode(), bytes(64)])
    box = seal_to(group.decode_element(asking.request.reply), message, context, R)
    return reseal(approval, share, box=box.encode())


def refuse_to_store(data: bytes) -> None:
    pytest.fail("stored a notice that nobody signed")


@pytest.mark.parametrize("suite", ["ristretto255", "secp256k1"])
def test_tdh2(suite: Any) -> None:
    key, shares = deal(3, DOCTORS, suite)
    message = R(32)
    sealed = tdh2.encrypt(key.key, message, b"label", R)
    again = tdh2.Ciphertext.decode(key.key.group, sealed.encode())
    assert tdh2.is_sound(key.key, again, b"label") and not tdh2.is_sound(key.key, again, b"other")
    given = {n: tdh2.partial(shares[n], again, b"label", b"why", R) for n in DOCTORS}
    for chosen in (DOCTORS[:3], DOCTORS[2:], ["eva", "ann", "cem"]):
        values = {given[n].identifier: given[n].u_i for n in chosen}
        assert tdh2.combine(key, again, values) == message
    with pytest.raises(DataError, match="needed"):
        tdh2.combine(key, again, {given[n].identifier: given[n].u_i for n in DOCTORS[:2]})
    one = given["ann"]
    assert tdh2.partial_holds(key, again, b"label", b"why", one)
    for label, purpose, changed in (
        (b"other", b"why", one),
        (b"label", b"else", one),  # not bound to the request
        (b"label", b"why", dataclasses.replace(one, identifier=2)),  # another member's name
        (b"label", b"why", dataclasses.replace(one, identifier=9)),
        (b"label", b"why", dataclasses.replace(one, u_i=one.u_i + key.key)),
        (b"label", b"why", dataclasses.replace(one, proof=given["bob"].proof)),  # copied
    ):
        assert not tdh2.partial_holds(key, again, label, purpose, changed)


def test_changed_ciphertexts_are_refused_before_any_share_is_used(world: Any) -> None:
    """The chosen-ciphertext attack: ask for a changed copy of a sealed key."""
    header, group = world.header, world.vault.normal.key.group
    sealed = header.ciphertext(world.vault, vault.NORMAL)
    for change in (
        {"c": bytes(32)},
        {"u": sealed.u + group.generator},
        {"u": sealed.u + sealed.u, "u_bar": sealed.u_bar + sealed.u_bar},
        {"e": sealed.e + group.one},
        {"f": sealed.f + group.one},
    ):
        changed = dataclasses.replace(sealed, **change)
        copy = dataclasses.replace(header, sealed={**header.sealed, vault.NORMAL: changed.encode()})
        with pytest.raises(DataError, match="altered"):
            world.ask(header=copy)
    for relabelled in (
        dataclasses.replace(header, record="patient 1"),
        dataclasses.replace(header, file_id=bytes(32)),
        dataclasses.replace(header, commitment=bytes(32)),
        dataclasses.replace(header, sealed={**header.sealed, vault.NORMAL: header.sealed[vault.EMERGENCY]}),
    ):
        with pytest.raises(DataError, match="altered"):
            relabelled.ciphertext(world.vault, vault.NORMAL)


def test_three_open_two_do_not(world: Any) -> None:
    asking = world.ask()
    given = [world.approve(n, asking) for n in DOCTORS]
    assert vault.open_key(asking, world.vault, world.header, given[1:4]).key == world.key
    opened = vault.open_key(asking, world.vault, world.header, [*given, *given])
    assert opened.key == world.key and opened.culprits == () and opened.givers == tuple(DOCTORS)
    for few in ([], given[:2], [given[0]] * 5):
        with pytest.raises(NotApproved, match="of 3"):
            vault.open_key(asking, world.vault, world.header, few)


def test_a_bad_partial_names_its_giver(world: Any) -> None:
    asking = world.ask()
    bad = cheat(world, "bob", asking)
    with pytest.raises(PeerMisbehaved) as caught:
        vault.open_key(
            asking,
            world.vault,
            world.header,
            [world.approve("ann", asking), bad, world.approve("eva", asking)],
        )
    assert caught.value.culprits == ("bob",)
    right = [world.approve(n, asking) for n in ("ann", "cem", "dia")]
    opened = vault.open_key(asking, world.vault, world.header, [bad, *right])
    assert opened.key == world.key and opened.culprits == ("bob",)


def test_nobody_is_framed_by_a_stranger(world: Any) -> None:
    """An approval in bob's name that bob did not sign is ignored: bob is not blamed, and nothing opens."""
    asking = world.ask()
    forged = dataclasses.replace(cheat(world, "ann", asking), identifier=world.doctors["bob"].identifier)
    with pytest.raises(NotApproved):
        vault.open_key(asking, world.vault, world.header, [forged, world.approve("cem", asking)])


def test_an_approval_is_for_one_request_only(world: Any) -> None:
    first, second = world.ask(), world.ask()
    old = [world.approve(n, first) for n in DOCTORS]
    with pytest.raises(NotApproved):
        vault.open_key(second, world.vault, world.header, old)
    stolen = vault.Asking(
        first.request, second.secret
    )  # somebody who sees the approvals but lacks the reply secret
    with pytest.raises(PeerMisbehaved):
        vault.open_key(stolen, world.vault, world.header, old)


def test_what_a_member_refuses(world: Any) -> None:
    asking = world.ask()
    for now in (NOW - 1, NOW + 3600, NOW + 10**9):
        with pytest.raises(NotApproved, match="expired"):
            world.approve("ann", asking, now=now)
    other, _ = vault.seal_header(world.vault, "patient 4711", R)
    with pytest.raises(NotApproved, match="another file"):
        world.approve("ann", asking, header=other)
    with pytest.raises(NotApproved, match="another key"):
        world.approve("ann", world.ask(key=SigningKey(R(32))))
    with pytest.raises(NotApproved, match="emergency"):
        world.approve("ann", world.ask(vault.EMERGENCY))
    data = asking.request.encode()
    for position in range(4, len(data), 5):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(DataError):
            vault.Request.decode(bytes(changed))


def test_emergency_needs_the_notice(world: Any) -> None:
    asking = world.ask(vault.EMERGENCY)
    request = asking.request
    head = vault.approve(
        world.heads["head2"], world.vault, vault.EMERGENCY, world.header, request, CLERK.public, NOW, R
    )
    # The heads' parts alone, or with doctors' parts, open nothing.
    with pytest.raises(NotApproved, match="notice: 0 of 3"):
        vault.open_key(asking, world.vault, world.header, [head])
    notice = vault_notice.Notice.decode(vault_notice.make_notice(world.vault, request, [head]).encode())
    assert notice.signers(world.vault) == ("head2",)
    assert "patient 4711" in notice.describe(world.vault) and "head2" in notice.describe(world.vault)
    stored, parts = [], []
    for share in world.devices.values():
        parts.append(
            vault_notice.acknowledge(
                share, world.vault, world.header, notice, CLERK.public, stored.append, NOW, R
            )
        )
        assert len(stored) == len(parts)
    with pytest.raises(NotApproved, match="notice: 2 of 3"):
        vault.open_key(asking, world.vault, world.header, [head, *parts[:2]])
    with pytest.raises(NotApproved, match="emergency: 0 of 1"):
        vault.open_key(asking, world.vault, world.header, parts)
    assert vault.open_key(asking, world.vault, world.header, [head, *parts[1:4]]).key == world.key
    assert vault_notice.Notice.decode(stored[0]).request == request


def test_a_device_gives_nothing_before_the_notice_is_stored(world: Any) -> None:
    asking = world.ask(vault.EMERGENCY)
    head = vault.approve(
        world.heads["head1"], world.vault, vault.EMERGENCY, world.header, asking.request, CLERK.public, NOW, R
    )
    notice = vault_notice.make_notice(world.vault, asking.request, [head])
    device = next(iter(world.devices.values()))

    def full_disk(data: Any) -> None:
        raise OSError("no space")

    with pytest.raises(OSError):
        vault_notice.acknowledge(device, world.vault, world.header, notice, CLERK.public, full_disk, NOW, R)
    for approvals in (
        (),
        (dataclasses.replace(head, identifier=2),),
        (dataclasses.replace(head, signature=bytes(64)),),
    ):
        unsigned = vault_notice.Notice(asking.request, approvals)
        with pytest.raises(NotApproved, match="signed"):
            vault_notice.acknowledge(
                device, world.vault, world.header, unsigned, CLERK.public, refuse_to_store, NOW, R
            )
    with pytest.raises(UsageError, match="acknowledging"):
        vault.approve(device, world.vault, vault.NOTICE, world.header, asking.request, CLERK.public, NOW, R)


def test_change_of_keys_leaves_the_body(world: Any) -> None:
    header, key = vault.seal_header(world.vault, "x-ray", R)
    body = b"".join(vault_files.seal_body(key, header, io.BytesIO(b"picture" * 40_000).read))
    new_key, members = deal(2, ["ann", "fay", "gus"])
    new = vault.Vault(new_key)
    changed = vault.change_keys(header, key, new, R)
    assert changed.file_id == header.file_id and set(changed.sealed) == {vault.NORMAL}
    asking = vault.ask(changed, new, vault.NORMAL, "clerk", CLERK, "reading", NOW, 60, R)
    given = [
        vault.approve(members[n], new, vault.NORMAL, changed, asking.request, CLERK.public, NOW, R)
        for n in ("fay", "gus")
    ]
    opened = vault.open_key(asking, new, changed, given)
    assert b"".join(vault_files.open_body(opened.key, changed, io.BytesIO(body).read)) == b"picture" * 40_000
    with pytest.raises(DataError, match="another key"):
        changed.ciphertext(world.vault, vault.NORMAL)
    with pytest.raises(UsageError):
        vault.change_keys(header, bytes(32), new, R)


def test_an_outdated_vault_file_is_no_reason_to_accuse(world: Any) -> None:
    """After a refresh, a vault.json from before it is refused by name at both ends; nobody is called a cheat."""
    key, dealt = deal(3, NAMES[1:6])
    before = dataclasses.replace(world.vault, normal=key)
    header, file_key = vault.seal_header(before, "patient 4711", R)
    states, _ = run_dealing(plan_refresh(key), {share.identifier: share for share in dealt.values()})
    fresh = shares_of(states)
    after = dataclasses.replace(before, normal=fresh[1].group_key)
    assert after.fingerprint(vault.NORMAL) != before.fingerprint(vault.NORMAL)
    assert after.fingerprint(vault.EMERGENCY) == before.fingerprint(vault.EMERGENCY)

    def ask(made: Any) -> Any:
        return vault.ask(header, made, vault.NORMAL, "clerk", CLERK, "surgery", NOW, 60, R)

    def give(i: int, made: Any, asking: Any) -> Any:
        return vault.approve(fresh[i], made, vault.NORMAL, header, asking.request, CLERK.public, NOW, R)

    with pytest.raises(UsageError, match="different generations"):
        give(1, before, ask(before))
    with pytest.raises(NotApproved, match=r"another vault\.json"):
        give(1, after, ask(before))
    asking = ask(after)
    given = [give(i, after, asking) for i in (1, 3, 5)]
    with pytest.raises(UsageError, match=r"another vault\.json"):
        vault.open_key(asking, before, header, given)
    opened = vault.open_key(asking, after, header, given)  # the header from before the refresh
    assert opened.key == file_key and not opened.culprits


def test_a_sealer_cannot_give_two_keys(world: Any) -> None:
    """A header whose emergency halves add up to another key than the normal one: refused, nobody blamed."""
    header, _ = vault.seal_header(world.vault, "two-faced", R)
    sealed = tdh2.encrypt(world.vault.normal.key, R(32), header.label(vault.NORMAL), R).encode()
    header = dataclasses.replace(header, sealed={**header.sealed, vault.NORMAL: sealed})
    asking = world.ask(header=header)
    given = [world.approve(n, asking, header) for n in DOCTORS[:3]]
    with pytest.raises(DataError, match="sealed a wrong key"):
        vault.open_key(asking, world.vault, header, given)


def test_random_histories(world: Any) -> None:
    """Approvals late, twice, reordered, of another request, altered, by strangers: the key, or the culprits."""
    seed = secrets.randbits(32)
    rng = random.Random(seed)
    old = world.ask()
    stale = [world.approve(n, old) for n in DOCTORS]
    _, strangers = deal(3, DOCTORS)
    for _ in range(12):
        asking = world.ask()
        liars = set(rng.sample(DOCTORS, rng.randrange(4)))
        silent = set(rng.sample(DOCTORS, rng.randrange(3)))
        pile = [
            cheat(world, n, asking) if n in liars else world.approve(n, asking)
            for n in DOCTORS
            if n not in silent
        ]
        noise = [*rng.sample(stale, 2), rng.choice(pile)]
        for approval in rng.sample(pile, 1):
            data = bytearray(approval.encode())
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            with contextlib.suppress(DataError):
                noise.append(vault.Approval.decode(bytes(data)))
        noise.append(reseal(pile[0], strangers["ann"]))
        pile += noise
        rng.shuffle(pile)
        right = set(DOCTORS) - liars - silent
        speaking_liars = liars - silent
        try:
            opened = vault.open_key(asking, world.vault, world.header, pile)
            assert opened.key == world.key and len(right) >= 3, seed
            assert set(opened.culprits) == speaking_liars, seed
        except PeerMisbehaved as error:
            assert len(right) < 3 and set(error.culprits) == speaking_liars, seed
        except NotApproved:
            assert len(right) < 3 and not speaking_liars, seed


def test_headers_and_vaults_as_files(world: Any) -> None:
    data = vault_files.header_to_json(world.header)
    assert vault_files.header_from_json(data).fingerprint() == world.header.fingerprint()
    assert (
        vault_files.vault_from_json(vault_files.vault_to_json(world.vault)).normal.key
        == world.vault.normal.key
    )
    for wrong in (
        b"",
        b"[]",
        b"{}",
        data.replace(b'"record"', b'"recoil"'),
        data.replace(b'"file": "', b'"file": "00'),
        data.replace(b'"commitment"', b'"record": "a", "commitment"'),
        data[:-20],
    ):
        with pytest.raises(DataError):
            vault_files.header_from_json(wrong)
    with pytest.raises(UsageError, match="different keys"):
        vault.Vault(world.vault.normal, world.vault.normal, world.vault.notice)
    other, _ = deal(1, ["head"], "secp256k1")
    with pytest.raises(UsageError, match="one group"):
        vault.Vault(world.vault.normal, other, world.vault.notice)
    with pytest.raises(UsageError, match="both keys"):
        vault.Vault(world.vault.normal, world.vault.emergency)
