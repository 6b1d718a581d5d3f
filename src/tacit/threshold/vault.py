"""Sealed files that several people open together: headers, requests, approvals, notices, change of keys.

A file's body is encrypted once under its own key. The header holds that key sealed (TDH2) once for each way
of opening:

* `normal`: t of n members. * `emergency` (if the vault has it): the key in two halves that add up, one
sealed to the emergency members, one to the members' devices ("notice"). A device gives its part only after
it has stored a notice that the emergency members signed. See docs/vault.md for what this prevents and what
it cannot.

An approval is readable by the requester alone, and its proof is bound to the request: who asks, for which
file, why, until when. Changing keys writes a new header; bodies stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tacit.algebra.field import xor
from tacit.crypto.box import decode_box, open_box, seal_to
from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Element, Randomness, Scalar
from tacit.crypto.hashing import digest, hkdf
from tacit.crypto.sigma import sign
from tacit.crypto.signing import PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, is_signed
from tacit.errors import DataError, NotApproved, PeerMisbehaved, UsageError
from tacit.threshold import tdh2
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.vault_messages import EMERGENCY, MAX_TEXT, NORMAL, NOTICE, PARTS, Approval, Request

FILE_ID_BYTES = KEY_BYTES = 32
MAX_LIFETIME_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Vault:
    """Who opens: the members' group key, and for emergencies the two further keys (both or neither)."""

    normal: GroupKey
    emergency: GroupKey | None = None
    notice: GroupKey | None = None

    def __post_init__(self) -> None:
        if (self.emergency is None) != (self.notice is None):
            raise UsageError(
                "an emergency needs both keys: who may declare it, and whose devices must note it"
            )
        keys = [part.key.encode() for part in (self.normal, self.emergency, self.notice) if part is not None]
        if len(set(keys)) != len(keys):
            raise UsageError("the ways of opening need different keys")
        groups = [part.key.group for part in (self.normal, self.emergency, self.notice) if part is not None]
        if any(group is not groups[0] for group in groups):
            raise UsageError("the keys of one vault are made in one group (the same --suite)")

    def part(self, name: str) -> GroupKey:
        """Return the key of one part; UsageError if this vault has no emergency."""
        found = {NORMAL: self.normal, EMERGENCY: self.emergency, NOTICE: self.notice}.get(name)
        if found is None:
            raise UsageError("this vault has no emergency")
        return found

    def fingerprint(self, way: str) -> bytes:
        """Return the hash of the keys and shares that a way of opening uses; a refresh of shares changes it."""
        return digest("vault/keys", *(self.part(part).fingerprint() for part in PARTS[way]))


@dataclass(frozen=True, slots=True)
class Header:
    """What is kept beside a body: which record, and its key sealed for each part of each way of opening."""

    record: str
    file_id: bytes
    commitment: bytes
    keys: Mapping[str, bytes]
    sealed: Mapping[str, bytes]

    def label(self, part: str) -> bytes:
        """Return the TDH2 label: everything that a sealed key is for."""
        fields = [self.record.encode(), self.file_id, self.commitment, part.encode(), self.keys[part]]
        return pack([b"tacit/vault/1", *fields])

    def ciphertext(self, vault: Vault, part: str) -> tdh2.Ciphertext:
        """Return one sealed key; DataError unless it is sound and for this vault."""
        group_key = vault.part(part)
        if part not in self.sealed:
            raise DataError(f"this file was not sealed for the way of opening called {part}")
        if self.keys[part] != group_key.key.encode():
            raise DataError(
                "this file is sealed to another key; it needs that key's holders, or a changed header"
            )
        sealed = tdh2.Ciphertext.decode(group_key.key.group, self.sealed[part])
        if not tdh2.is_sound(group_key.key, sealed, self.label(part)):
            raise DataError("the header is altered")
        return sealed

    def fingerprint(self) -> bytes:
        """Return the hash that requests name."""
        parts = [pack([p.encode(), self.keys[p], self.sealed[p]]) for p in sorted(self.sealed)]
        return digest("vault/header", self.record.encode(), self.file_id, self.commitment, *parts)


@dataclass(frozen=True, slots=True)
class Asking:
    """What the requester keeps: the request and the secret that opens the approvals."""

    request: Request
    secret: Scalar = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """The file's key, who helped, and who gave a wrong approval although enough others were right."""

    key: bytes = field(repr=False)
    givers: tuple[str, ...]
    culprits: tuple[str, ...]


def _commit(key: bytes, file_id: bytes) -> bytes:
    """Commit to the file's key: all ways of opening give the same, and the cipher one text only."""
    return digest("vault/commitment", file_id, key)


def body_key(key: bytes, file_id: bytes) -> bytes:
    """Return the key of the body's stream."""
    return hkdf(key, b"vault/body" + file_id)


def seal_header(vault: Vault, record: str, randomness: Randomness) -> tuple[Header, bytes]:
    """Make a new file's key and seal it for every way of opening that the vault has."""
    if not record.strip() or not record.isprintable() or len(record) > MAX_TEXT:
        raise UsageError("a record needs a name in printable characters")
    key, file_id = randomness(KEY_BYTES), randomness(FILE_ID_BYTES)
    return _seal(vault, record, file_id, key, randomness), key


def _seal(vault: Vault, record: str, file_id: bytes, key: bytes, randomness: Randomness) -> Header:
    pieces = {NORMAL: key}
    if vault.emergency is not None:
        pieces[EMERGENCY] = randomness(KEY_BYTES)
        pieces[NOTICE] = xor(key, pieces[EMERGENCY])
    keys = {part: vault.part(part).key.encode() for part in pieces}
    sealed: dict[str, bytes] = {}
    header = Header(record, file_id, _commit(key, file_id), keys, sealed)
    for part, piece in pieces.items():
        sealed[part] = tdh2.encrypt(vault.part(part).key, piece, header.label(part), randomness).encode()
    return header


def change_keys(header: Header, key: bytes, vault: Vault, randomness: Randomness) -> Header:
    """Seal an opened file's key to a new vault; body and record stay. The old header still opens the file."""
    if _commit(key, header.file_id) != header.commitment:
        raise UsageError("this is not the file's key")
    return _seal(vault, header.record, header.file_id, key, randomness)


def ask(
    header: Header,
    vault: Vault,
    way: str,
    requester: str,
    signing: SigningKey,
    reason: str,
    now_s: int,
    lifetime_s: int,
    randomness: Randomness,
) -> Asking:
    """Make a request; the members see exactly these words."""
    if way not in PARTS:
        raise UsageError(f"a file is opened {' or '.join(PARTS)}, not {way!r}")
    if not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise UsageError("a request lives between a second and a week")
    for part in PARTS[way]:
        header.ciphertext(vault, part)
    group = vault.normal.key.group
    secret = group.random_scalar(randomness)
    draft = Request(
        header.fingerprint(),
        header.record,
        way,
        requester,
        reason,
        now_s,
        now_s + lifetime_s,
        group.base_mul(secret).encode(),
        randomness(32),
        vault.fingerprint(way),
        signing.public,
        b"",
    )
    signed = pack([*draft.fields(), signing.sign("vault/request", *draft.fields())])
    return Asking(Request.decode(signed), secret)


def check_request(header: Header, request: Request, requester_public: bytes, now_s: int) -> None:
    """Refuse a request that is for another file, by somebody else, or not valid now."""
    if len(requester_public) != PUBLIC_BYTES or len(request.signature) != SIGNATURE_BYTES:
        raise DataError("a key or signature has the wrong size")
    if not is_signed(request.public, request.signature, "vault/request", *request.fields()):
        raise NotApproved("the request is not signed")
    if request.public != requester_public:
        raise NotApproved(
            f"the request says {request.requester}, but is signed with another key than that person's"
        )
    if request.header != header.fingerprint() or request.record != header.record:
        raise NotApproved("the request is for another file, or the file's header was changed since")
    if (
        not request.issued_s <= now_s < request.expires_s
        or request.expires_s - request.issued_s > MAX_LIFETIME_S
    ):
        raise NotApproved("the request has expired, is not valid yet, or lives too long")


def approve(
    share: KeyShare,
    vault: Vault,
    part: str,
    header: Header,
    request: Request,
    requester_public: bytes,
    now_s: int,
    randomness: Randomness,
) -> Approval:
    """Give this member's partial decryption; call it only after the member has read and agreed."""
    if part == NOTICE:
        raise UsageError("a device's part is given by acknowledging a notice")
    return give_part(share, vault, part, header, request, requester_public, now_s, randomness)


def give_part(
    share: KeyShare,
    vault: Vault,
    part: str,
    header: Header,
    request: Request,
    requester_public: bytes,
    now_s: int,
    randomness: Randomness,
) -> Approval:
    """Check a request and give one part (for `approve` and `vault_notice.acknowledge`)."""
    check_request(header, request, requester_public, now_s)
    if part not in PARTS[request.way]:
        raise NotApproved(f"the request is for the {request.way} way of opening")
    if share.group_key.key != vault.part(part).key:
        raise UsageError("this key share belongs to another group")
    if share.group_key.fingerprint() != vault.part(part).fingerprint():
        raise UsageError(
            "your vault.json and your key share are of different generations: after a refresh or a reshare, "
            "write it again (tacit vault create) and hand it round"
        )
    if request.keys != vault.fingerprint(request.way):
        raise NotApproved(
            "the requester has another vault.json than you, perhaps from before a refresh: compare them"
        )
    purpose = request.digest()
    given = tdh2.partial(share, header.ciphertext(vault, part), header.label(part), purpose, randomness)
    reply = share.secret.group.decode_element(request.reply)
    context = box_context(part, share.identifier, purpose)
    box = seal_to(reply, pack([given.u_i.encode(), given.proof]), context, randomness).encode()
    return sign_approval(share, part, purpose, box, randomness)


def sign_approval(share: KeyShare, part: str, purpose: bytes, box: bytes, randomness: Randomness) -> Approval:
    """Sign an approval with the member's key share, so that nobody else can be blamed for it."""
    draft = Approval(part, share.identifier, purpose, box, b"")
    return replace(draft, signature=sign(share.secret, draft.signed_bytes(), b"vault/approval", randomness))


def box_context(part: str, identifier: int, purpose: bytes) -> bytes:
    """Return what the encryption of an approval is bound to."""
    return pack([b"vault/approval", part.encode(), identifier.to_bytes(2), purpose])


def _partial_in(
    asking: Asking, group_key: GroupKey, sealed: tdh2.Ciphertext, label: bytes, approval: Approval
) -> Element | None:
    """Return the verified u_i of an approval, or None if its signer gave something wrong."""
    group, purpose = group_key.key.group, asking.request.digest()
    context = box_context(approval.part, approval.identifier, purpose)
    try:
        box = decode_box(group.base_mul(asking.secret), approval.box, context)
        encoded, proof = unpack(open_box(asking.secret, box, context), 2)
        given = tdh2.Partial(approval.identifier, group.decode_element(encoded), proof)
    except DataError:
        return None
    return given.u_i if tdh2.partial_holds(group_key, sealed, label, purpose, given) else None


def _open_part(
    asking: Asking, vault: Vault, part: str, header: Header, approvals: Sequence[Approval]
) -> tuple[bytes | None, list[str], list[str]]:
    """Return one part's piece of the key (None if too few are right), the givers and the culprits."""
    group_key, sealed = vault.part(part), header.ciphertext(vault, part)
    good: dict[int, Element] = {}
    culprits = []
    for approval in approvals:
        if approval.part != part or approval.request != asking.request.digest():
            continue  # for something else: replayed or misdirected, and nobody's fault
        if not approval.is_signed(group_key):
            continue  # made up by a stranger
        u_i = _partial_in(asking, group_key, sealed, header.label(part), approval)
        if u_i is None:
            culprits.append(group_key.names[approval.identifier])
        else:
            good[approval.identifier] = u_i
    givers = [group_key.names[i] for i in sorted(good)]
    if len(good) < group_key.threshold:
        return None, givers, culprits
    return tdh2.combine(group_key, sealed, good), givers, culprits


def open_key(asking: Asking, vault: Vault, header: Header, approvals: Sequence[Approval]) -> Opened:
    """Open the file's key with enough right approvals for every part of the way that was asked for.

    Raises PeerMisbehaved, naming givers of wrong approvals, if the right ones do not suffice, and
    NotApproved if there are simply too few. Approvals that their alleged giver did not sign are ignored.
    """
    if asking.request.header != header.fingerprint():
        raise UsageError("the request is for another header")
    if asking.request.keys != vault.fingerprint(asking.request.way):
        raise UsageError("the request was made with another vault.json; use that one, or ask again")
    key, missing = bytes(KEY_BYTES), []
    givers: list[str] = []
    culprits: list[str] = []
    way = asking.request.way
    for part in PARTS[way]:
        piece, gave, wrong = _open_part(asking, vault, part, header, approvals)
        givers, culprits = givers + gave, culprits + wrong
        if piece is None:
            missing.append(f"{part}: {len(gave)} of {vault.part(part).threshold}")
        else:
            key = xor(key, piece)
    if missing and culprits:
        raise PeerMisbehaved(f"{', '.join(culprits)} gave a wrong partial decryption", culprits)
    if missing:
        raise NotApproved(f"too few valid approvals ({'; '.join(missing)})")
    if _commit(key, header.file_id) != header.commitment:
        raise DataError("whoever sealed this file sealed a wrong key; nobody who opens it is at fault")
    return Opened(key, tuple(givers), tuple(culprits))
