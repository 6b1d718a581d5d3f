"""Orders, rules, approvals and the log: what is shown is what is signed, by the right people, in time."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nacl")

from hypothesis import given, settings
from hypothesis import strategies as st
from threshold_network import keygen, name_of, signing_key

from tacit.crypto.sealed import write_private
from tacit.errors import (
    DataError,
    MaterialError,
    NotApproved,
    PeerMisbehaved,
    PolicyViolation,
    TacitError,
    UsageError,
)
from tacit.threshold import ceremony, frost
from tacit.threshold.ceremony import APPROVE, REFUSE, Approval, Part
from tacit.threshold.journal import Journal, check_journal
from tacit.threshold.nonces import NonceStore
from tacit.threshold.order import decode_canonical, document_digest, encode_canonical, render
from tacit.threshold.policy import (
    DIRECTORY_FORMAT,
    Directory,
    Order,
    check_order,
    decide,
    format_time,
    make_order,
    parse_time,
    read_directory,
    read_order,
)

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ROLES = {1: ["doctor"], 2: ["pharmacist"], 3: ["nurse supervisor"]}
COUNT = {
    "kind": "count",
    "needed": 2,
    "each_role_once": True,
    "roles": ["doctor", "nurse supervisor", "pharmacist"],
}


def directory_of(roles: dict[int, list[str]], rule: Any) -> Directory:
    people = [
        {"name": name_of(i), "public": signing_key(name_of(i)).public.hex(), "roles": r}
        for i, r in roles.items()
    ]
    return read_directory(
        encode_canonical({"format": DIRECTORY_FORMAT, "people": people, "rules": {"medication": rule}})
    )


# Documents

GOOD: list[Any] = [
    {},
    {"a": 1, "b": [True, False, "x"], "c": {"d": -5}},
    {"text": "Gabapentin 300 mg, one at night; no alcohol!"},
    {"text": "Jürgen Müller ça naïve Łódź"},
    {"text": "Пациент Иванов 12"},
    {"text": "患者さん 3 カルテ"},
    {"text": 'quotes " and \\ backslash / slash'},
    {"n": 2**53 - 1, "m": -(2**53) + 1},
    {"text": ""},
    {"text": "مريض"},
]


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_canonical_round_trip(number: int) -> None:
    data = encode_canonical(GOOD[number])
    assert decode_canonical(data) == GOOD[number] and encode_canonical(decode_canonical(data)) == data
    assert (
        data == json.dumps(GOOD[number], ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    )


BAD_BYTES = [
    b"",
    b"{",
    b'{"b":1,"a":2}',
    b'{"a": 1}',
    b'{"a":1}\n',
    b'{"a":1,"a":1}',
    b'{"a":{"b":1,"b":2}}',
    b'{"a":1.0}',
    b'{"a":1e3}',
    b'{"a":-0}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":01}',
    b'{"a":null}',
    b'{"a":"\\u0041"}',
    b'{"a":"\\/"}',
    b'{"a":9007199254740992}',
    b'{"A":1}',
    b'{"":1}',
    b'{"a b":1}',
    b"\xef\xbb\xbf{}",
    b'{"a":"\xff"}',
    b'{"a":"\\ud800"}',
    b"[" * 100 + b"]" * 100,
    b"[" * 100000,
    b'{"a":"' + b"x" * 70000 + b'"}',
    b'{"a":' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("number", range(len(BAD_BYTES)))
def test_other_bytes_are_refused(number: int) -> None:
    with pytest.raises(DataError):
        decode_canonical(BAD_BYTES[number])


BAD_TEXT = {
    "zero width space": "500\u200bmg",
    "zero width joiner": "a\u200db",
    "right-to-left override": "abc\u202e005",
    "isolate": "a\u2066b\u2069",
    "soft hyphen": "5\u00ad0",
    "byte order mark": "\ufeffa",
    "no-break space": "5\u00a0mg",
    "ideographic space": "a\u3000b",
    "line separator": "a\u2028b",
    "newline": "a\nb",
    "tab": "a\tb",
    "nul": "a\0b",
    "escape": "\x1b[8mhidden",
    "delete": "a\x7fb",
    "variation selector": "5\ufe0f",
    "combining grapheme joiner": "a\u034fb",
    "hangul filler": "a\u3164b",
    "hangul jungseong filler": "a\u1160b",
    "braille blank": "a\u2800b",
    "tag character": "a\U000e0041b",
    "private use": "\ue000",
    "unassigned": "\u0378",
    "fullwidth digit": "\uff15 mg",
    "superscript": "5\u00b2",
    "one half": "\u00bd tablet",
    "ligature": "\ufb01ne",
    "micro sign": "5 \u00b5g",
    "arabic digit": "\u0665",
    "cyrillic a in a Latin word": "p\u0430racetamol",
    "greek o in a Latin word": "d\u03bfse",
    "mixed across a mark": "\u0430\u0301bc",
    "mark first": "\u0301a",
    "decomposed": "Mu\u0308ller",
    "leading blank": " a",
    "trailing blank": "a ",
    "double blank": "a  b",
    "two directions": "\u05d0 500 mg",
    "kelvin sign": "\u212a",
}


@pytest.mark.parametrize("kind", sorted(BAD_TEXT))
def test_deceptive_text_is_refused(kind: str) -> None:
    for document in ({"a": BAD_TEXT[kind]}, {"a": [{"b": BAD_TEXT[kind]}]}):
        with pytest.raises(DataError):
            encode_canonical(document)
        with pytest.raises(DataError):
            decode_canonical(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12) | st.floats() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_one_form_or_none(document: Any) -> None:
    try:
        data = encode_canonical(document)
    except DataError:
        return
    assert decode_canonical(data) == document and render(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_only_raise_data_errors(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert encode_canonical(decode_canonical(data)) == data


def test_every_field_is_shown_and_no_field_can_imitate_another() -> None:
    document = {"dose": '5" other = 9', "drug": "x", "list": [1, {"deep": "y"}], "none": {}, "empty": []}
    shown = render(encode_canonical(document))
    assert document_digest(encode_canonical(document)).hex() in shown
    lines = shown.splitlines()
    assert lines[1:] == [
        '  dose = "5\\" other = 9"',
        '  drug = "x"',
        "  empty = []",
        "  list[1] = 1",
        '  list[2].deep = "y"',
        "  none = {}",
    ]


# Rules


def test_two_of_three_roles() -> None:
    directory = directory_of(ROLES, COUNT)
    rule = directory.rule("medication")
    for good in (["Ada", "Ben"], ["Cem", "Ada"], ["Ada", "Ben", "Cem"]):
        decide(rule, directory, good)
    for few in ([], ["Ada"], ["Cem"]):
        with pytest.raises(NotApproved, match="2 people with different roles"):
            decide(rule, directory, few)
    for wrong in (["Ada", "Ada"], ["Ada", "Mallory"]):
        with pytest.raises(UsageError):
            decide(rule, directory, wrong)
    with pytest.raises(PolicyViolation):
        directory.rule("discharge")


def test_one_person_with_two_roles_counts_once() -> None:
    directory = directory_of({1: ["doctor", "pharmacist"], 2: ["doctor"], 3: ["porter"]}, COUNT)
    rule = directory.rule("medication")
    decide(rule, directory, ["Ada", "Ben"])  # Ada as pharmacist, Ben as doctor: a matching has to be found
    for few in (["Ada"], ["Ada", "Cem"], ["Ben", "Cem"]):
        with pytest.raises(NotApproved):
            decide(rule, directory, few)
    same_role = directory_of({1: ["doctor"], 2: ["doctor"], 3: ["pharmacist"]}, COUNT)
    with pytest.raises(NotApproved):
        decide(same_role.rule("medication"), same_role, ["Ada", "Ben"])
    any_role = directory_of(
        {1: ["doctor"], 2: ["doctor"]}, {k: v for k, v in COUNT.items() if k != "each_role_once"}
    )
    decide(any_role.rule("medication"), any_role, ["Ada", "Ben"])


def test_matching_against_exhaustive_search() -> None:
    rng = random.Random(5)
    for _ in range(150):
        roles = {i: rng.sample(["a", "b", "c", "d"], rng.randint(1, 3)) for i in range(1, 6)}
        needed = rng.randint(1, 4)
        listed = rng.sample(["a", "b", "c", "d"], rng.randint(1, 4))
        try:
            directory = directory_of(
                roles, {"kind": "count", "needed": needed, "each_role_once": True, "roles": listed}
            )
        except DataError:
            continue
        names = rng.sample(range(1, 6), rng.randint(0, 5))
        possible = any(
            all(role in roles[person] for person, role in zip(people, order, strict=True))
            for people in itertools.permutations(names, needed)
            for order in itertools.combinations(sorted(listed), needed)
        )
        try:
            decide(directory.rule("medication"), directory, [name_of(i) for i in names])
            assert possible
        except NotApproved:
            assert not possible


def test_majority_and_weights() -> None:
    five = {i: ["member"] for i in range(1, 6)} | {6: ["porter"]}
    directory = directory_of(five, {"kind": "majority", "roles": ["member"]})
    rule = directory.rule("medication")
    decide(rule, directory, ["Ada", "Ben", "Cem"])
    for few in (["Ada", "Ben"], ["Ada", "Ben", "Fay"]):
        with pytest.raises(NotApproved):
            decide(rule, directory, few)
    four = directory_of({i: ["member"] for i in range(1, 5)}, {"kind": "majority", "roles": ["member"]})
    with pytest.raises(NotApproved):  # half is no majority
        decide(four.rule("medication"), four, ["Ada", "Ben"])
    weights = {"kind": "weights", "needed": 3, "weights": {"chief": 2, "doctor": 1}}
    directory = directory_of({1: ["chief", "doctor"], 2: ["doctor"], 3: ["doctor"], 4: ["porter"]}, weights)
    rule = directory.rule("medication")
    decide(rule, directory, ["Ada", "Cem"])
    for few in (["Ada"], ["Ben", "Cem"], ["Ada", "Dina"]):
        with pytest.raises(NotApproved, match="weight 3 of chief 2, doctor 1"):
            decide(rule, directory, few)


BAD_RULES: list[Any] = [
    {},
    {"kind": "anyone"},
    {"kind": "count", "needed": 0, "roles": ["doctor"]},
    {"kind": "count", "needed": True, "roles": ["doctor"]},
    {"kind": "count", "needed": 4, "roles": ["doctor", "pharmacist"]},
    {"kind": "count", "needed": 1, "roles": []},
    {"kind": "count", "needed": 1, "roles": "doctor"},
    {"kind": "count", "needed": 1, "roles": ["doctor", "doctor"]},
    {"kind": "count", "needed": 1, "roles": ["doctor"], "unless": "urgent"},
    {"kind": "count", "needed": 1, "roles": ["doctor"], "each_role_once": 1},
    {"kind": "majority", "roles": []},
    {"kind": "majority", "roles": ["doctor"], "needed": 1},
    {"kind": "weights", "needed": 1, "weights": {}},
    {"kind": "weights", "needed": 1, "weights": {"doctor": 0}},
    {"kind": "weights", "needed": 99, "weights": {"doctor": 1}},
    {"kind": "weights", "needed": 1, "weights": {"doctor": -1}},
    [],
]


@pytest.mark.parametrize("number", range(len(BAD_RULES)))
def test_impossible_rules_are_refused(number: int) -> None:
    with pytest.raises(DataError):
        directory_of(ROLES, BAD_RULES[number])


def test_impossible_directories_are_refused() -> None:
    public = [signing_key(name_of(i)).public.hex() for i in range(4)]
    person = {"name": "Ada", "public": public[1], "roles": ["doctor"]}
    rules = {"medication": {"kind": "count", "needed": 1, "roles": ["doctor"]}}

    def directory(people: Any, **more: Any) -> bytes:
        return encode_canonical({"format": DIRECTORY_FORMAT, "people": people, "rules": rules, **more})

    read_directory(directory([person]))
    for people in (
        [],
        [person, person],
        [person, {**person, "name": "ada", "public": public[2]}],
        [person, {**person, "name": "Ben"}],
        [{**person, "public": "00"}],
        [{**person, "public": "zz" * 32}],
        [{**person, "name": ""}],
        [{**person, "roles": []}],
        [{"name": "Ada"}],
        ["Ada"],
        "Ada",
    ):
        with pytest.raises(DataError):
            read_directory(directory(people))
    for data in (directory([person], extra=1), directory([person], format="other"), b"[]", b"{}"):
        with pytest.raises(DataError):
            read_directory(data)


# Ceremonies

SHARES = keygen(2, 3)
GROUP = SHARES[1].group_key
CONTENT = {"drug": "amoxicillin", "dose": "500 mg"}


class Ward:
    """Three people, their shares and stores, in a temporary folder."""

    def __init__(self, root: Path, rule: Any = COUNT, roles: dict[int, list[str]] = ROLES) -> None:
        self.directory = directory_of(roles, rule)
        self.stores = {
            i: NonceStore(root / f"n{i}", root / f"run{i}" / "anchor", bytes(32), os.urandom) for i in SHARES
        }
        self.count = 0

    def order(self, hours: int = 2, content: Any = None) -> Order:
        self.count += 1
        nonce = self.count.to_bytes(16, "big")
        expires = NOW + timedelta(hours=hours)
        said = content or CONTENT
        return make_order("medication", said, self.directory, GROUP.fingerprint(), "Ada", NOW, expires, nonce)

    def approve(self, order: Order, i: int, decision: str = APPROVE, now: datetime = NOW) -> Approval:
        holder = (SHARES[i], self.stores[i], os.urandom)
        key = signing_key(name_of(i))
        return ceremony.approve(
            order,
            self.directory,
            GROUP,
            name_of(i),
            key,
            decision,
            now,
            render(order.data),
            bytes(32),
            holder,
        )

    def give(self, order: Order, approvals: list[Approval], i: int, now: datetime = NOW) -> Part:
        key = signing_key(name_of(i))
        return ceremony.give_share(order, approvals, self.directory, SHARES[i], key, self.stores[i], now)


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path)


@pytest.mark.parametrize("who", [(1, 2), (3, 1), (2, 3), (1, 2, 3)])
def test_order_is_signed(ward: Ward, who: tuple[int, ...]) -> None:
    order = ward.order()
    approvals = [ward.approve(order, i) for i in who]
    parts = [ward.give(order, approvals[::-1], i) for i in who]
    signature = ceremony.combine(order, approvals, parts, ward.directory, GROUP)
    assert frost.verify(GROUP, order.data, signature)
    assert not frost.verify(GROUP, ward.order().data, signature)


def test_what_is_not_signed(ward: Ward) -> None:
    order, other = ward.order(), ward.order(content={"drug": "amoxicillin", "dose": "5000 mg"})
    one, two = ward.approve(order, 1), ward.approve(order, 2)
    late = NOW + timedelta(hours=2)
    cases: list[tuple[type[TacitError], Callable[[], Any]]] = [
        (NotApproved, lambda: ward.give(order, [one], 1)),
        (UsageError, lambda: ward.give(order, [one, one], 1)),
        (UsageError, lambda: ward.give(order, [one, two], 3)),
        (PolicyViolation, lambda: ward.give(order, [one, ward.approve(other, 2)], 1)),
        (PolicyViolation, lambda: ward.give(other, [one, two], 1)),
        (NotApproved, lambda: ward.give(order, [one, ward.approve(order, 2, REFUSE)], 1)),
        (PolicyViolation, lambda: ward.give(order, [one, two], 1, late)),
        (PolicyViolation, lambda: ward.approve(order, 1, APPROVE, late)),
        (PolicyViolation, lambda: ward.approve(order, 1, APPROVE, NOW - timedelta(hours=1))),
    ]
    for error, call in cases:
        with pytest.raises(error):
            call()
    ward.give(order, [one, two], 1)  # none of these used the nonces up


def test_an_approval_made_up_in_memory_does_not_count(ward: Ward) -> None:
    order = ward.order()
    one, two = ward.approve(order, 1), ward.approve(order, 2)
    for made_up in (replace(two, person="Cem"), replace(two, commitment=None), replace(two, order=bytes(32))):
        with pytest.raises(UsageError):
            ward.give(order, [one, made_up], 1)
    with pytest.raises(DataError):
        ward.give(order, [one, replace(two, data=two.data.replace(b"Ben", b"Cem"), person="Cem")], 1)


def test_one_refusal_stops_it(ward: Ward) -> None:
    order = ward.order()
    approvals = [ward.approve(order, 1), ward.approve(order, 2), ward.approve(order, 3, REFUSE)]
    with pytest.raises(NotApproved, match="Cem refused"):
        ward.give(order, approvals, 1)


def test_what_is_shown_is_what_is_signed(ward: Ward) -> None:
    order = ward.order()
    for shown in ("", render(order.data).replace("500", "50"), render(order.data) + "\n"):
        with pytest.raises(PolicyViolation):
            ceremony.approve(
                order, ward.directory, GROUP, "Ada", signing_key("Ada"), APPROVE, NOW, shown, bytes(32)
            )
    with pytest.raises(UsageError):  # Ben's key for Ada's name
        ceremony.approve(
            order,
            ward.directory,
            GROUP,
            "Ada",
            signing_key("Ben"),
            APPROVE,
            NOW,
            render(order.data),
            bytes(32),
        )
    with pytest.raises(UsageError):
        ward.approve(order, 1, "perhaps")


def test_altered_documents_are_refused(ward: Ward) -> None:
    order = ward.order()
    approval = ward.approve(order, 1)
    part = ward.give(order, [approval, ward.approve(order, 2)], 1)
    for data in (approval.data, part.data):
        for position in range(0, len(data), 3):
            changed = bytearray(data)
            changed[position] ^= 1
            with pytest.raises(DataError):
                if data == approval.data:
                    ceremony.read_approval(bytes(changed), ward.directory, GROUP)
                else:
                    ceremony.read_part(bytes(changed), ward.directory)
    for position in range(0, len(order.data), 5):
        changed = bytearray(order.data)
        changed[position] ^= 1
        try:
            other = read_order(bytes(changed))
        except DataError:
            continue
        with pytest.raises((PolicyViolation, NotApproved)):
            ceremony.check_approvals(other, [approval], ward.directory, GROUP, NOW)


def test_other_directories_and_groups(ward: Ward, tmp_path: Path) -> None:
    order = ward.order()
    weak = directory_of(ROLES, {"kind": "count", "needed": 1, "roles": ["doctor"]})
    with pytest.raises(PolicyViolation, match="another directory"):
        check_order(order, weak, GROUP.fingerprint(), NOW)
    refreshed = replace(GROUP, epoch=1)
    with pytest.raises(PolicyViolation, match="another group key"):
        check_order(order, ward.directory, refreshed.fingerprint(), NOW)
    assert check_order(order, ward.directory, GROUP.fingerprint(), NOW).needed == 2


def test_wrong_shares_name_the_person(ward: Ward) -> None:
    order = ward.order()
    approvals = [ward.approve(order, i) for i in (1, 2)]
    parts = [ward.give(order, approvals, i) for i in (1, 2)]
    group = GROUP.suite.group
    wrong = (group.decode_scalar(parts[1].share) + group.one).encode()
    for share in (wrong, b"short", b"\xff" * 32):
        with pytest.raises(PeerMisbehaved) as caught:
            spoiled = [parts[0], replace(parts[1], share=share)]
            ceremony.combine(order, approvals, spoiled, ward.directory, GROUP)
        assert caught.value.culprits == ("Ben",)
    for listed in ([parts[0]], [parts[0], parts[0]], [parts[0], replace(parts[1], package=bytes(32))]):
        with pytest.raises(UsageError):
            ceremony.combine(order, approvals, listed, ward.directory, GROUP)


def test_nonces_answer_once(ward: Ward) -> None:
    order = ward.order()
    approvals = [ward.approve(order, i) for i in (1, 2, 3)]
    ward.give(order, approvals[:2], 1)
    with pytest.raises(MaterialError):
        ward.give(order, approvals, 1)
    with pytest.raises(MaterialError):
        ward.give(order, approvals[:2], 1)


def test_repeated_commitment_of_another_is_refused(ward: Ward) -> None:
    """Ben's machine was set back: the same commitment comes again, under another order or another set."""
    first, second = ward.order(), ward.order()
    ben = ward.approve(first, 2)
    ward.give(first, [ward.approve(first, 1), ben], 1)
    with pytest.raises(PolicyViolation, match="another attempt"):
        ward.give(first, [ward.approve(first, 1), ben], 1)
    body = {k: v for k, v in decode_canonical(ben.data).items() if k != "signature"}
    body["order"] = second.digest.hex()
    again = ceremony._signed(signing_key("Ben"), body)
    restored = ceremony.read_approval(again, ward.directory, GROUP)
    with pytest.raises(PeerMisbehaved) as caught:
        ward.give(second, [ward.approve(second, 1), restored], 1)
    assert caught.value.culprits == ("Ben",)


def test_approvers_without_a_share(tmp_path: Path) -> None:
    """The rule may ask people who hold no share; the key's threshold still needs its holders."""
    rule = {"kind": "count", "needed": 2, "roles": ["doctor", "guardian"]}
    ward = Ward(tmp_path, rule, {1: ["doctor"], 2: ["pharmacist"], 4: ["guardian"]})
    order = ward.order()
    guardian = ceremony.approve(
        order, ward.directory, GROUP, "Dina", signing_key("Dina"), APPROVE, NOW, render(order.data), bytes(32)
    )
    ada, ben = ward.approve(order, 1), ward.approve(order, 2)
    with pytest.raises(NotApproved, match="holders of the key"):
        ward.give(order, [ada, guardian], 1)
    approvals = [ada, ben, guardian]
    parts = [ward.give(order, approvals, i) for i in (1, 2)]
    assert frost.verify(GROUP, order.data, ceremony.combine(order, approvals, parts, ward.directory, GROUP))
    body = {k: v for k, v in decode_canonical(guardian.data).items() if k != "signature"}
    body["commitment"] = decode_canonical(ada.data)["commitment"]
    with pytest.raises(DataError, match="no share"):
        forged = ceremony._signed(signing_key("Dina"), body)
        ceremony.read_approval(forged, ward.directory, GROUP)


def test_times() -> None:
    assert parse_time(format_time(NOW)) == NOW
    for wrong in (
        "",
        "2026-03-01",
        "2026-03-01T09:00:00+00:00",
        "2026-3-1T9:0:0Z",
        None,
        5,
        "2026-13-01T00:00:00Z",
    ):
        with pytest.raises(DataError):
            parse_time(wrong)
    directory = directory_of(ROLES, COUNT)
    for hours in (0, -1, 24 * 32):
        with pytest.raises(DataError):
            expires = NOW + timedelta(hours=hours)
            make_order("medication", CONTENT, directory, bytes(32), "Ada", NOW, expires, bytes(16))
    with pytest.raises(DataError):
        make_order("medication", {}, directory, bytes(32), "Ada", NOW, NOW + timedelta(hours=1), bytes(16))


# The log


def filled(path: Path, entries: int = 6) -> tuple[Journal, list[bytes]]:
    journal = Journal(path, signing_key("Ada"))
    heads = [
        journal.append(NOW + timedelta(minutes=k), "approve", "Ada", bytes([k]) * 32, f"order {k}")
        for k in range(entries)
    ]
    return journal, heads


def test_log_chain(tmp_path: Path) -> None:
    journal, heads = filled(tmp_path / "log")
    entries = journal.read(heads[2]).entries
    assert [e.number for e in entries] == list(range(6)) and entries[3].detail == "order 3"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    data = (tmp_path / "log").read_bytes()
    assert check_journal(data, signing_key("Ada").public)[1] == heads[-1]
    with pytest.raises(MaterialError):
        check_journal(data, signing_key("Ben").public)
    rows = data.split(b"\n")[:-1]
    broken = {
        "dropped": [*rows[:2], *rows[3:]],
        "swapped": [rows[1], rows[0], *rows[2:]],
        "repeated": [*rows[:3], rows[2], *rows[3:]],
        "without the first": rows[1:],
        "empty line": [*rows[:2], b"", *rows[2:]],
    }
    for kind, lines in broken.items():
        with pytest.raises(MaterialError):
            check_journal(b"\n".join(lines) + b"\n", signing_key("Ada").public)
            pytest.fail(kind)
    Journal(tmp_path / "fork", signing_key("Ada")).append(NOW, "refuse", "Ada", bytes(32))
    filled(tmp_path / "fork", 5)  # the same keeper, another history
    forked = (tmp_path / "fork").read_bytes().split(b"\n")[:-1]
    for number in range(1, 6):
        with pytest.raises(MaterialError):
            spliced = [*rows[:number], forked[number], *rows[number + 1 :]]
            check_journal(b"\n".join(spliced) + b"\n", signing_key("Ada").public)
    cut = b"\n".join(rows[:-2]) + b"\n"
    assert len(check_journal(cut, signing_key("Ada").public)[0]) == 4
    with pytest.raises(MaterialError, match="cut"):
        check_journal(cut, signing_key("Ada").public, heads[-1])


def test_every_flipped_byte_of_the_log_is_seen(tmp_path: Path) -> None:
    filled(tmp_path / "log", 2)
    data = (tmp_path / "log").read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x01
        with pytest.raises(MaterialError):
            check_journal(bytes(changed), signing_key("Ada").public)


def test_torn_last_line_is_set_aside_and_said(tmp_path: Path) -> None:
    journal, heads = filled(tmp_path / "log", 2)
    torn = b'{"detail":"torn'
    with (tmp_path / "log").open("ab") as file:
        file.write(torn)
    chain = journal.read(heads[-1])
    assert (len(chain.entries), chain.head, chain.torn) == (2, heads[-1], torn)
    head = journal.append(NOW, "approve", "Ada", bytes(32))
    chain = journal.read(heads[-1])
    assert chain.head == head and not chain.torn
    assert [(e.event, e.who) for e in chain.entries[2:]] == [
        ("incomplete line set aside", "this log"),
        ("approve", "Ada"),
    ]
    assert "log.torn-2" in chain.entries[2].detail
    assert (tmp_path / "log.torn-2").read_bytes() == torn


def test_torn_line_is_said_after_a_second_crash(tmp_path: Path) -> None:
    """The second crash comes when the torn line is set aside, and its entry not yet written."""
    journal, _ = filled(tmp_path / "log", 2)
    write_private(tmp_path / "log.torn-2", b"first")
    with (tmp_path / "log").open("ab") as file:
        file.write(b"second")
    journal.append(NOW, "approve", "Ada", bytes(32))
    assert [e.event for e in journal.read().entries[2:]] == ["incomplete line set aside", "approve"]
    assert (tmp_path / "log.torn-2").read_bytes() == b"firstsecond"


def test_entry_without_the_end_of_its_line_stays(tmp_path: Path) -> None:
    journal, heads = filled(tmp_path / "log", 2)
    os.truncate(tmp_path / "log", (tmp_path / "log").stat().st_size - 1)
    chain = journal.read(heads[-1])
    assert (len(chain.entries), chain.torn) == (2, b"")
    head = journal.append(NOW, "approve", "Ada", bytes(32))
    assert [e.event for e in journal.read(heads[-1]).entries] == ["approve"] * 3
    assert check_journal((tmp_path / "log").read_bytes(), signing_key("Ada").public, heads[-1])[1] == head


def test_a_crash_before_a_torn_line_is_cut_off_keeps_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "log", signing_key("Ada"))
    journal.append(NOW, "approve", "Ada", bytes(32))
    with (tmp_path / "log").open("ab") as file:
        file.write(b"torn")

    def crash(*_: object) -> None:
        raise RuntimeError("crash")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_line", crash)
        patched.setattr("tacit.threshold.journal.digest", crash)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="crash"):
                journal.append(NOW, "approve", "Ada", bytes(32))
    journal.append(NOW, "approve", "Ada", bytes(32))
    assert journal.set_aside(1).read_bytes() == b"torn"
    assert [e.event for e in journal.read().entries] == ["approve", "incomplete line set aside", "approve"]


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_lost_log_is_said(tmp_path: Path, lose: Callable[[Path], object]) -> None:
    logged = tmp_path / "directory.json"
    journal = Journal(tmp_path / "log", signing_key("Ada"), (logged, tmp_path / "nonces"))
    assert journal.read().entries == []  # nothing was logged yet
    head = journal.append(NOW, "directory adopted", "Ada", bytes(32))
    logged.touch()
    assert len(journal.read(head).entries) == 1
    lose(tmp_path / "log")
    with pytest.raises(MaterialError, match="cut"):
        journal.read(head)
    with pytest.raises(MaterialError, match=r"directory.json is there.*backup"):
        journal.read()
    journal.append(NOW, "approve", "Ada", bytes(32))
    begun = journal.read().entries
    assert [e.event for e in begun] == ["log begun anew", "approve"] and "directory.json" in begun[0].detail


def test_nothing_secret_in_documents(ward: Ward) -> None:
    order = ward.order()
    approvals = [ward.approve(order, i) for i in (1, 2)]
    parts = [ward.give(order, approvals, i) for i in (1, 2)]
    shown = b"".join([order.data, *(a.data for a in approvals), *(p.data for p in parts)])
    for share in SHARES.values():
        assert share.secret.encode().hex().encode() not in shown
