"""Echo broadcast: a message counts only if everybody received the same one.

Goldwasser and Lindell, "Secure multi-party computation without agreement" (J. Cryptology 2005). An echo
carries for every sender the hash and the signature received, so that two different messages are proof
against who signed them.
"""

from __future__ import annotations

from collections.abc import Mapping

from tacit.crypto.signing import SIGNATURE_BYTES
from tacit.errors import DataError
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.envelope import Envelope, Session, body_hash, is_hash_signed


def echo_body(received: Mapping[int, Envelope]) -> bytes:
    """Write what was received from each sender, in ascending order."""
    return pack(body_hash(received[s].body) + received[s].signature for s in sorted(received))


def check_echoes(
    session: Session, step: str, mine: Mapping[int, Envelope], echoes: Mapping[int, Envelope]
) -> None:
    """Compare everybody's echo with one's own view. Raises PeerMisbehaved.

    The culprit is who signed two messages, or who echoes what was never signed.
    """
    senders = sorted(mine)
    hashes = {s: body_hash(mine[s].body) for s in senders}
    for echoer in sorted(echoes):
        try:
            listed = unpack(echoes[echoer].body, len(senders))
            if any(len(entry) != 32 + SIGNATURE_BYTES for entry in listed):
                raise DataError("an entry has the wrong length")
        except DataError as error:
            raise session.blame(echoer, f"sent an unreadable echo: {error}") from error
        for sender, entry in zip(senders, listed, strict=True):
            hashed, signature = entry[:32], entry[32:]
            if hashed == hashes[sender]:
                continue
            if is_hash_signed(session, step, sender, hashed, signature):
                raise session.blame(sender, f"signed two different messages for step {step}")
            raise session.blame(echoer, f"echoed what {session.members[sender].name} never signed")
