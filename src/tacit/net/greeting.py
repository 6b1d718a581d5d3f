"""How two parties introduce themselves after the TLS handshake, and why one refuses the other."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from tacit.errors import PeerIncompatible
from tacit.net.codec import Value, decode_from
from tacit.net.roster import Party

WIRE_VERSION = 1
CHANNELS = ("control", "up", "down")  # up: data from caller to callee
MAX_GREETING_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Greeter:
    """What this party says of itself in this run."""

    me: str
    roster_hash: bytes
    session: bytes
    instance: bytes
    silence_ms: int

    def hello(self, to: str, channel: str) -> Value:
        """Return the greeting for one channel; the callee leaves the channel empty."""
        return {
            "tacit": WIRE_VERSION,
            "from": self.me,
            "to": to,
            "channel": channel,
            "roster": self.roster_hash,
            "session": self.session,
            "instance": self.instance,
            "silence_ms": self.silence_ms,
        }

    def check_callee(self, peer: str, hello: dict[str, Any]) -> None:
        """Check the callee's greeting as far as it cannot do so itself; it judges the rest."""
        if hello.get("tacit") != WIRE_VERSION:
            raise PeerIncompatible(
                f"{peer} has version {clean(hello.get('tacit'))} of the wire format, "
                f"{self.me} has {WIRE_VERSION}; install the same version of Tacit",
                peer,
            )
        fits = hello.get("from") == peer and isinstance(hello.get("instance"), bytes)
        if not fits or not isinstance(hello.get("silence_ms"), int):
            raise PeerIncompatible(f"{peer} does not introduce itself as this version expects", peer)

    def judge(self, caller: str, hello: dict[str, Any]) -> str:
        """Return why an authenticated caller is refused, or nothing."""
        if hello.get("tacit") != WIRE_VERSION:
            return f"version {clean(hello.get('tacit'))} of the wire format, {self.me} has {WIRE_VERSION}"
        if hello.get("from") != caller:
            return f"the key presented is {caller}'s, but the name given is another"
        if hello.get("to") != self.me:
            return f"this is {self.me}, it called {clean(hello.get('to'))}"
        if hello.get("roster") != self.roster_hash:
            return "the rosters differ (names, keys or their order); give all parties the same one"
        if hello.get("session") != self.session:
            return "it takes part in another session; start all parties for the same one"
        good = hello.get("channel") in CHANNELS and isinstance(hello.get("instance"), bytes)
        return "" if good and isinstance(hello.get("silence_ms"), int) else "its greeting is incomplete"


def read_greeting(payload: bytes, sender: str) -> dict[str, Any]:
    """Decode a greeting, or raise PeerIncompatible."""
    value = decode_from(sender, payload, MAX_GREETING_BYTES)
    if not isinstance(value, dict):
        raise PeerIncompatible(f"{sender} does not introduce itself as this version expects", sender)
    return value


def clean(text: object) -> str:
    """Return received text as something safe and short to print."""
    return "".join(c if c.isprintable() else "?" for c in str(text))[:200]


def show(address: Any) -> str:
    """Return a socket address as text."""
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and len(address) >= 2 else str(address)


def at(party: Party) -> str:
    """Return a party with its address."""
    return f"{party.name} at {party.host}:{party.port}"


def explain(party: Party, me: str, error: ssl.SSLError) -> str:
    """Return why a TLS handshake with a callee failed, and the remedy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{at(party)} presents another certificate than the roster's: "
            f"ask {party.name} for its certificate over a way you trust, or correct the address"
        )
    if "ALERT" in (error.reason or ""):
        return (
            f"{at(party)} does not accept this party's certificate: "
            f"its roster has another one for {me}; compare the fingerprints"
        )
    return f"what answers for {at(party)} does not speak mutual TLS 1.3: correct the address"
