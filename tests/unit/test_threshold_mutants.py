"""Hand-written mutants of the threshold code: each weakens one check, and a named test must notice.

A mutant is a change of source text. The changed module is compiled, and the code of its functions is put into the
living function objects, so that every importer runs the mutant; afterwards the right code is put back.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nacl")
pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

import test_groups as groups_tests
import test_sealed as sealed_tests
import test_threshold_dealing as dealing_tests
import test_threshold_frost as frost_tests
import test_threshold_nonces as nonces_tests
import test_threshold_policy as policy_tests

from tacit.crypto import group_ed25519, group_secp256k1, groups, sealed
from tacit.crypto.groups import group_named
from tacit.threshold import (
    ceremony,
    dealer,
    dealing,
    echo,
    encoding,
    envelope,
    frost,
    journal,
    keys,
    nonces,
    order,
    plan,
    policy,
    repair,
)


def functions_of(module: types.ModuleType) -> dict[str, types.FunctionType]:
    found = {}
    for name, thing in vars(module).items():
        if isinstance(thing, types.FunctionType) and thing.__module__ == module.__name__:
            found[name] = thing
        elif isinstance(thing, type) and thing.__module__ == module.__name__:
            for attribute, value in vars(thing).items():
                raw = value.__func__ if isinstance(value, staticmethod) else value
                raw = raw.fget if isinstance(raw, property) else raw
                if isinstance(raw, types.FunctionType) and raw.__module__ == module.__name__:
                    found[f"{name}.{attribute}"] = raw
    return found


@contextmanager
def planted(module: types.ModuleType, old: str, new: str) -> Iterator[None]:
    """Run with ``old`` replaced by ``new`` in a module's functions."""
    source = inspect.getsource(module)
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {module.__name__}"
    mutant = types.ModuleType(module.__name__)
    mutant.__file__ = module.__file__
    living, before = functions_of(module), {}
    sys.modules[module.__name__] = mutant
    try:
        exec(compile(source.replace(old, new), str(module.__file__), "exec"), mutant.__dict__)
    finally:
        sys.modules[module.__name__] = module
    changed = 0
    for name, function in functions_of(mutant).items():
        right = living.get(name)
        if right is None or right.__code__.co_freevars != function.__code__.co_freevars:
            continue
        if right.__code__ != function.__code__:
            before[name], changed = right.__code__, changed + 1
            right.__code__ = function.__code__
    try:
        assert changed, "the mutant changes no function"
        yield
    finally:
        for name, code in before.items():
            living[name].__code__ = code


def in_folder(test: Callable[[Path], None]) -> Callable[[Path], None]:
    return test


def with_ward(test: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda folder: test(policy_tests.Ward(folder))


def plain(test: Callable[..., None], *arguments: Any) -> Callable[[Path], None]:
    return lambda folder: test(*arguments)


Mutant = tuple[types.ModuleType, str, str, Callable[[Path], None]]


def cheat(name: str) -> Callable[[Path], None]:
    return plain(dealing_tests.test_wrong_dealing_names_the_dealer, name)


MUTANTS: dict[str, Mutant] = {
    # The list of SECURITY.md, section 6
    "copied commitment accepted (no dealer in the challenge)": (
        plan,
        'plan.encode(), dealer.to_bytes(2, "big"), key',
        "plan.encode(), key",
        plain(dealing_tests.test_copied_dealing_is_refused),
    ),
    "no session in the challenge": (
        plan,
        "fields = (sid, plan.encode()",
        "fields = (bytes(32), plan.encode()",
        plain(dealing_tests.test_proof_of_another_session_is_refused, (2, "earlier", (1, 2, 3))),
    ),
    "no party in the signed fields": (
        envelope,
        'sender.to_bytes(2, "big"), receiver.to_bytes(2, "big"), hashed',
        "b'', b'', hashed",
        plain(dealing_tests.test_misdirected_messages_change_nothing),
    ),
    "ambiguous list encoding": (
        encoding,
        'parts += [len(field).to_bytes(4, "big"), field]',
        "parts += [field]",
        plain(dealing_tests.test_lists_have_one_meaning),
    ),
    "VSS vector of t + k": (
        plan,
        "fields = unpack(body, plan.threshold + (2 if plan.kind == KEYGEN else 0))",
        "fields = unpack(body)",
        cheat("one commitment more"),
    ),
    "VSS vector of t + k from the dealer": (
        dealer,
        "if len(commitments) != size * group_key.threshold:",
        "if len(commitments) < size * group_key.threshold:",
        plain(dealing_tests.test_dealer_and_its_refusals),
    ),
    "index 0": (
        keys,
        "not 1 <= i <= MAX_IDENTIFIER",
        "not 0 <= i <= MAX_IDENTIFIER",
        plain(dealing_tests.test_impossible_plans_are_refused),
    ),
    "duplicate index": (
        keys,
        "    if len(set(identifiers)) != len(identifiers):\n        raise DataError",
        "    if False:\n        raise DataError",
        plain(dealing_tests.test_impossible_plans_are_refused),
    ),
    "empty list of commitments": (
        encoding,
        "(count is not None and stated != count)",
        "(count is not None and stated not in (0, count))",
        cheat("empty list"),
    ),
    "unvalidated point": (
        group_ed25519,
        "return data != _NEUTRAL and bool(sodium.crypto_core_ed25519_is_valid_point(data))",
        "return True",
        plain(groups_tests.test_ed25519_refuses_other_subgroups),
    ),
    "unvalidated point, secp256k1": (
        group_secp256k1,
        "return bool(lib.secp256k1_ec_pubkey_parse",
        "return True or bool(lib.secp256k1_ec_pubkey_parse",
        plain(groups_tests.test_secp256k1_refuses_other_forms),
    ),
    "identity accepted": (
        group_ed25519,
        "return data != _NEUTRAL and",
        "return data == _NEUTRAL or",
        plain(groups_tests.test_ed25519_refuses_other_subgroups),
    ),
    "unreduced scalar accepted": (
        group_secp256k1,
        "return data == _ZERO or bool(lib.secp256k1_ec_seckey_verify(GLOBAL_CONTEXT.ctx, data))",
        "return True",
        plain(groups_tests.test_encodings_are_refused, group_named("secp256k1")),
    ),
    "presignature reused in memory": (
        frost,
        "pair, self._pair = self._pair, None",
        "pair = self._pair",
        plain(frost_tests.test_nonces_work_once, "ed25519"),
    ),
    "presignature reused from disk": (
        nonces,
        "            record_path.unlink()\n",
        "            pass\n",
        in_folder(nonces_tests.test_once_and_private),
    ),
    "nonce handed out before it is marked": (
        nonces,
        'write_private(self._path("used", name), purpose, checkpoint=self._checkpoint)',
        "pass",
        in_folder(nonces_tests.test_restore_of_store_while_open),
    ),
    "multicast as broadcast (split view)": (
        echo,
        "            if hashed == hashes[sender]:",
        "            if True:",
        plain(dealing_tests.test_split_view_names_who_signed_both),
    ),
    "spoofed from": (
        envelope,
        "    return is_signed(member.public, envelope.signature, _DOMAIN, *fields)",
        "    return True",
        plain(dealing_tests.test_strangers_and_other_sessions_change_nothing),
    ),
    # Dealing
    "proof of possession not checked": (
        plan,
        "if group.base_mul(mu) != R + commitments[0].vartime_mul(c):",
        "if False:",
        cheat("wrong response"),
    ),
    "no plan in the challenge": (
        plan,
        "fields = (sid, plan.encode()",
        "fields = (plan.suite.name.encode(), b''",
        plain(dealing_tests.test_proof_of_another_session_is_refused, (3, "now", (1, 2, 3))),
    ),
    "another value reshared": (
        plan,
        "if commitments[0] != plan.old.shares[dealer]:",
        "if False:",
        plain(dealing_tests.test_reshare_of_something_else_names_the_dealer),
    ),
    "refresh may move the key": (
        plan,
        "listed = unpack(body, plan.threshold - 1)",
        "listed = unpack(body)[-(plan.threshold - 1) :]",
        plain(dealing_tests.test_refresh_with_a_constant_term_names_the_dealer),
    ),
    "wrong share accepted": (
        dealing,
        "return share if group.base_mul(share) == vartime_evaluate_committed(commitments, receiver) else None",
        "return share",
        plain(
            dealing_tests.test_wrong_share_to_one_is_known_to_all,
            lambda body: (dealing_tests.G.decode_scalar(body) + dealing_tests.G.one).encode(),
        ),
    ),
    "complaint believed without looking": (
        dealing,
        "if _share_fits(plan, state.dealings[evidence.sender], sender, evidence.body) is not None:",
        "if False:",
        plain(dealing_tests.test_false_complaints_name_the_complainer, "about a right share"),
    ),
    "forged evidence believed": (
        dealing,
        "if not fitting or sender not in plan.receivers or not is_authentic(session, evidence):",
        "if not fitting or sender not in plan.receivers:",
        plain(dealing_tests.test_false_complaints_name_the_complainer, "forged"),
    ),
    "evidence about another's share believed": (
        dealing,
        "evidence.step == SHARE and evidence.receiver == sender and",
        "evidence.step == SHARE and",
        plain(dealing_tests.test_false_complaints_name_the_complainer, "about another's share"),
    ),
    "other transcript accepted": (
        dealing,
        "if content != state.transcript:",
        "if False:",
        plain(dealing_tests.test_false_complaints_name_the_complainer, "another transcript"),
    ),
    "echo of what nobody signed blames the sender": (
        echo,
        "if is_hash_signed(session, step, sender, hashed, signature):",
        "if True:",
        plain(dealing_tests.test_false_echoes_name_the_echoer, dealing_tests.reversed_echo),
    ),
    "two messages in one place accepted": (
        envelope,
        "if earlier.body != envelope.body:",
        "if False:",
        plain(dealing_tests.test_equivocation_is_seen_even_when_late),
    ),
    "members' nonces not in the session": (
        envelope,
        "listed, pack(nonces))",
        "listed)",
        plain(dealing_tests.test_sessions_bind_everything),
    ),
    "plan not in the session": (
        envelope,
        "purpose.encode(), pack(parameters), listed",
        "purpose.encode(), listed",
        plain(dealing_tests.test_sessions_bind_everything),
    ),
    "epoch does not rise": (
        dealing,
        "plan.old.epoch + 1",
        "plan.old.epoch",
        plain(dealing_tests.test_life_of_a_key, "ed25519"),
    ),
    # Repair
    "parts that do not add up": (
        repair,
        "if group.total(listed.values()) != state.group_key.shares[helper].vartime_mul(weight):",
        "if False:",
        plain(dealing_tests.test_repair_with_other_parts_names_the_helper),
    ),
    "wrong part or sum accepted": (
        repair,
        "return value if group.base_mul(value) == expected else None",
        "return value",
        plain(dealing_tests.test_wrong_repair_names_the_helper, 4),
    ),
    # FROST
    "signer listed twice": (
        frost,
        "    if len(set(identifiers)) != len(identifiers):\n        raise DataError",
        "    if False:\n        raise DataError",
        plain(frost_tests.test_wrong_packages_are_refused),
    ),
    "too few signers": (
        frost,
        "if len(identifiers) < group_key.threshold:\n        raise DataError",
        "if False:\n        raise DataError",
        plain(frost_tests.test_wrong_packages_are_refused),
    ),
    "stranger among the signers": (
        frost,
        "if any(i not in group_key.shares for i in identifiers):",
        "if False:",
        plain(frost_tests.test_wrong_packages_are_refused),
    ),
    "own commitment not compared": (
        frost,
        "if mine != [nonces.commitment]:",
        "if len(mine) != 1:",
        plain(frost_tests.test_wrong_packages_are_refused),
    ),
    "identity as a commitment": (
        frost,
        "if c.hiding.is_identity() or c.binding.is_identity() or",
        "if",
        plain(frost_tests.test_wrong_packages_are_refused),
    ),
    "signature handed out unverified": (
        frost,
        "    if suite.verify(group_key.key, message, signature):\n        return signature",
        "    return signature",
        plain(frost_tests.test_wrong_shares_are_named, "ed25519"),
    ),
    "everybody blamed": (
        frost,
        "if not _share_is_valid(group_key, joint, c, weight, shares[c.identifier]):",
        "if True:",
        plain(frost_tests.test_wrong_shares_are_named, "ed25519"),
    ),
    "odd keys not negated (BIP-340)": (
        frost,
        "secret = -share.secret if joint.negate_key else share.secret",
        "secret = share.secret",
        plain(frost_tests.test_signatures_verify_with_ordinary_verifiers, "bip340"),
    ),
    "odd nonces not negated (BIP-340)": (
        frost,
        "return (-nonce if joint.negate_nonces else nonce) + weight * secret * joint.challenge",
        "return nonce + weight * secret * joint.challenge",
        plain(frost_tests.test_signatures_verify_with_ordinary_verifiers, "bip340"),
    ),
    "group key not checked when read": (
        keys,
        "        key.check_consistent()\n        return key",
        "        return key",
        plain(dealing_tests.test_group_keys_are_checked_when_read),
    ),
    "share not compared with its verification share": (
        keys,
        "if group.base_mul(self.secret) != self.group_key.shares.get(self.identifier):",
        "if False:",
        plain(dealing_tests.test_old_shares_die),
    ),
    # Nonce store
    "restore not noticed": (
        nonces,
        "if own.exists() and self._anchor.exists() and self._read_mark(own) == self._read_mark(self._anchor):",
        "if own.exists() and self._anchor.exists():",
        in_folder(nonces_tests.test_restored_backup_is_refused),
    ),
    "restart not noticed": (
        nonces,
        "if own.exists() and self._anchor.exists() and self",
        "if not self._anchor.exists() or self",
        in_folder(nonces_tests.test_restore_twice_and_restart_are_refused),
    ),
    "generation not raised": (
        nonces,
        "            self._raise_to(self._generation() + 1)\n            # (4)",
        "            # (4)",
        in_folder(nonces_tests.test_restored_backup_is_refused),
    ),
    "files open to others": (
        nonces,
        "if status.st_uid != os.getuid() or status.st_mode & 0o077:",
        "if False:",
        in_folder(nonces_tests.test_folders_open_to_others),
    ),
    "no lock": (
        nonces,
        "record_path.exists():\n                raise",
        "False:\n                raise",
        in_folder(nonces_tests.test_race),
    ),
    # Documents, rules, approvals
    "other byte forms accepted": (
        order,
        "if encode_canonical(document) != data:",
        "if False:",
        plain(policy_tests.test_other_bytes_are_refused, 2),
    ),
    "format characters accepted": (
        order,
        "invisible or category in _REFUSED_CATEGORIES or",
        "invisible or",
        plain(policy_tests.test_deceptive_text_is_refused, "zero width space"),
    ),
    "invisible letters accepted": (
        order,
        "if invisible or category",
        "if category",
        plain(policy_tests.test_deceptive_text_is_refused, "braille blank"),
    ),
    "look-alikes accepted": (
        order,
        "        if len(scripts) > 1:",
        "        if False:",
        plain(policy_tests.test_deceptive_text_is_refused, "cyrillic a in a Latin word"),
    ),
    "compatibility forms accepted": (
        order,
        'if unicodedata.normalize("NFKC", text) != text:',
        "if False:",
        plain(policy_tests.test_deceptive_text_is_refused, "superscript"),
    ),
    "strings shown without quotation marks": (
        order,
        "{json.dumps(value, ensure_ascii=False)}",
        "{value}",
        plain(policy_tests.test_every_field_is_shown_and_no_field_can_imitate_another),
    ),
    "the same person twice": (
        policy,
        "if len(set(listed)) != len(listed):\n        raise UsageError",
        "if False:\n        raise UsageError",
        plain(policy_tests.test_two_of_three_roles),
    ),
    "the same key under two names": (
        policy,
        " or len(publics) != len(people)",
        "",
        plain(policy_tests.test_impossible_directories_are_refused),
    ),
    "half is a majority": (
        policy,
        "return 2 * len(fitting) > len(electorate)",
        "return 2 * len(fitting) >= len(electorate)",
        plain(policy_tests.test_majority_and_weights),
    ),
    "roles counted, not people": (
        policy,
        "if role not in taken or place(taken[role], tried):",
        "if role not in taken:",
        plain(policy_tests.test_matching_against_exhaustive_search),
    ),
    "expiry ignored": (
        policy,
        "if now >= order.expires:",
        "if False:",
        with_ward(policy_tests.test_what_is_not_signed),
    ),
    "another directory's rule": (
        policy,
        "if order.directory != directory.digest:",
        "if False:",
        lambda folder: policy_tests.test_other_directories_and_groups(policy_tests.Ward(folder), folder),
    ),
    "approval of another order": (
        ceremony,
        "if approval.order != order.digest:",
        "if False:",
        with_ward(policy_tests.test_what_is_not_signed),
    ),
    "refusal taken as approval": (
        ceremony,
        "if approval.decision != APPROVE:",
        "if False:",
        with_ward(policy_tests.test_one_refusal_stops_it),
    ),
    "approval signature not checked": (
        ceremony,
        'if not is_signed(person.public, _unhex(document["signature"]), form, encode_canonical(body)):',
        "if False:",
        with_ward(policy_tests.test_altered_documents_are_refused),
    ),
    "something else shown": (
        ceremony,
        "if shown != render(order.data):",
        "if False:",
        with_ward(policy_tests.test_what_is_shown_is_what_is_signed),
    ),
    "rule not applied before signing": (
        ceremony,
        "    decide(rule, directory, [approval.person for approval in approvals])\n",
        "",
        with_ward(policy_tests.test_what_is_not_signed),
    ),
    "repeated commitment of another accepted": (
        ceremony,
        "if first[:32] != approval.order:",
        "if False:",
        with_ward(policy_tests.test_repeated_commitment_of_another_is_refused),
    ),
    # Log and secrets at rest
    "log entries not chained": (
        journal,
        'body["previous"] != previous.hex()',
        "False",
        in_folder(policy_tests.test_log_chain),
    ),
    "log entries not signed": (
        journal,
        "if not is_signed(public, signature, _DOMAIN, encoded):",
        "if False:",
        in_folder(policy_tests.test_every_flipped_byte_of_the_log_is_seen),
    ),
    "cut log not noticed": (
        journal,
        "if known_head is not None and known_head not in heads:",
        "if False:",
        in_folder(policy_tests.test_log_chain),
    ),
    "label not bound": (
        sealed,
        "return AESGCMSIV(key).decrypt(nonce, body, head + label)",
        "return AESGCMSIV(key).decrypt(nonce, body, head + b'share/1')",
        plain(sealed_tests.test_round_trip_and_refusals),
    ),
    "parameters of a blob not bounded": (
        sealed,
        "if not (1 <= lanes <= MAX_LANES and 1 <= iterations <= MAX_ITERATIONS):",
        "if False:",
        plain(sealed_tests.test_parameters_are_bounded_before_work),
    ),
    "secret file open to others": (
        sealed,
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)",
        in_folder(sealed_tests.test_private_files),
    ),
    "scalar shown": (
        groups,
        'return f"Scalar({self.group.name}, redacted)"',
        'return f"Scalar({self._raw.hex()}, redacted)"',
        plain(groups_tests.test_scalars_are_never_shown, group_named("ed25519")),
    ),
}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_mutant_is_killed(name: str, tmp_path: Path) -> None:
    module, old, new, killer = MUTANTS[name]
    (tmp_path / "right").mkdir()
    (tmp_path / "mutant").mkdir()
    killer(tmp_path / "right")
    with planted(module, old, new):
        try:
            killer(tmp_path / "mutant")
        except BaseException as error:  # pytest.fail is not an Exception
            assert not isinstance(error, KeyboardInterrupt)
            return
    pytest.fail(f"the mutant survives: {name}")


def test_there_are_at_least_sixty() -> None:
    assert len(MUTANTS) >= 60
