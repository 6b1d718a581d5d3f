"""Privacy at full width, by sampling: message bytes are uniform, and alike for different secrets.

Two-sample and goodness-of-fit chi-squared over 256 byte values, fixed seeds, α = 1e-6 a test (255 degrees of
freedom: critical value 377.1, SECURITY.md section 7). This sees the bytes of each message alone, not together
with what the receiver holds: a product without its zero share has uniform bytes too, and only the enumeration
of `test_enumerated.py` finds it. Planted here: what marginal bytes can show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit import protocols, testing
from tacit.algebra.ring import Ring
from tacit.array.analyse import nowhere
from tacit.core.cost import CostModel
from tacit.core.party import Party
from tacit.core.rows import Column
from tacit.core.share import stack_planes
from tacit.crypto.prg import KeyRing, Stream
from tacit.errors import NotRealised
from tacit.gadgets.waves import Series, Waves, WidePowers
from tacit.net.memory import Hub
from tacit.testing import NAMES, scatter, scatter_planes

Array = npt.NDArray[Any]
CRITICAL = 377.1
N = 4096
PUBLIC = {"rep3.reveal", "rep3.reveal-bits", "rep3.client-seed"}
"""Labels that carry a component, determined by the value and the receiver's own, or a fresh key."""


def _pair(p: Any, value: int) -> tuple[Any, Any]:
    ring = p.ring
    return scatter(p, ring.constant(value, (N,))), scatter(p, ring.constant(3 * value + 1, (N,)))


class Silent(Stream):
    """No mask at all."""

    def __init__(self, key: bytes, label: str) -> None:
        super().__init__(key, label)
        self._fill = self._nothing

    # Which fill arrays.
    mask = Stream.packed
    plane_mask = Stream.planes
    keep = Stream.fill

    def _nothing(self, out: Array, keep_high: int = 0, keep_low: int = 0) -> None:
        out[...] = 0


@pytest.fixture(autouse=True)
def known_streams_are_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    # A viewer takes what everybody knows off what it sees: it must not pass for a mask.
    monkeypatch.setattr(Party, "open", lambda party, label: Silent(bytes(32), label))


def _bit(p: Any, value: int) -> Any:
    plane = np.full((1, N // 64), 0xFFFFFFFFFFFFFFFF if value & 1 else 0, np.uint64)
    return scatter_planes(p, plane, N)


def _input(owner: str) -> Callable[[Any, int], Any]:
    def fn(p: Any, v: int) -> None:
        mine = p.party.name == owner
        p.share_input(owner, p.ring.constant(v, (N,)) if mine else None, (N,))
        p.share_bits(owner, np.full(8 * N, v & 1, np.uint8) if mine else None, (8 * N,))

    return fn


def _column(p: Any, value: int) -> Column:
    """Share a column that all the messages' bytes are filled by: full words."""
    return Column(_pair(p, value)[0].reshape(1, N), p.ring)


def _order(p: Any, value: int) -> Column:
    """Share the order that stays, or the one that turns round, with one whole element for each place."""
    places = np.arange(N) if value == 0 else np.arange(N)[::-1]
    return Column(scatter(p, p.ring.encode_ints(places)).reshape(1, N), p.ring)


def _sines(width: int, shift: int) -> Waves:
    """Return a sum of two sines with 32 and 8 fractional bits."""
    return Waves(Series(0.0, (), (0.75, 0.125), 2), 1 << 40, 20, 12, width, shift)


POWERS = WidePowers(rate=1 << 90, offset=5, digits=4, step=3, base=-8, s=40, t=40, width=99, shift=30)


PROGRAMS: dict[str, Callable[[Any, int], Any]] = {
    "mul": lambda p, v: p.mul(*_pair(p, v)),
    "matmul": lambda p, v: p.matmul(*(x.reshape(64, 64) for x in _pair(p, v))),
    "mul_trunc": lambda p, v: p.mul_trunc(*_pair(p, v), 13),
    "trunc": lambda p, v: p.trunc(_pair(p, v)[0], 13),
    "trunc_exact": lambda p, v: p.trunc_exact(_pair(p, v)[0], 13),
    "sign": lambda p, v: p.sign(_pair(p, v)[0], p.ring.width - 1),
    "is_zero": lambda p, v: p.is_zero(_pair(p, v)[0], p.ring.width - 2),
    "decompose": lambda p, v: p.decompose(_pair(p, v)[0], p.ring.width),
    "to_arith": lambda p, v: p.to_arith(_bit(p, v)),
    "select": lambda p, v: p.select(_bit(p, v), _pair(p, v)[0]),
    "and_": lambda p, v: [p.and_(_bit(p, v), _bit(p, v + 1)) for _ in range(8)],
    "and_all": lambda p, v: p.and_all(stack_planes([_bit(p, v >> b) for b in range(9)])),
    "dot": lambda p, v: p.dot(*(x.reshape(4, N // 4) for x in _pair(p, v))),
    "digit_ranks": lambda p, v: p.over(Ring(16)).digit_ranks(
        stack_planes([_bit(p, v >> b) for b in range(3)]), 1, N
    ),
    "shuffle": lambda p, v: p.shuffle([_column(p, v)]),
    "place": lambda p, v: p.place(_order(p, v), [_column(p, v)]),
    "fetch": lambda p, v: p.fetch(_order(p, v), [_column(p, v)]),
    "factored": lambda p, v: p.factored(_pair(p, v)[0], _sines(64, 16)),
    "factored in a narrow ring": lambda p, v: p.factored(_pair(p, v)[0], _sines(48, 20)),
    "factored into a narrow ring": lambda p, v: p.over(Ring(32)).factored(_pair(p, v)[0], _sines(48, 12)),
    "below": lambda p, v: p.below(_pair(p, v)[0], 62, (59, 57, 50)),
    "combine": lambda p, v: p.combine(_bit(p, v), np.array([[3], [5]], np.uint64), [64, 32]),
    "mul_early": lambda p, v: p.mul_early(*_pair(p, v)),
    "matmul_early": lambda p, v: p.matmul_early(*(x.reshape(N // 4, 2, 2) for x in _pair(p, v))),
    "select_trunc": lambda p, v: p.select_trunc(_bit(p, v), _pair(p, v)[0], 20),
    "mul_into": lambda p, v: p.over(Ring(48)).mul_into(
        *(x.map(Ring(48).reduce) for x in _pair(p, v)), 8, Ring(64)
    ),
    "mul_into fewer bits": lambda p, v: p.mul_into(*_pair(p, v), 16, Ring(40)),
    "matmul_into": lambda p, v: p.over(Ring(48)).matmul_into(
        *(x.reshape(64, 64) for x in _pair(p, v)), 8, Ring(64)
    ),
    "matmul_into fewer bits": lambda p, v: p.matmul_into(
        *(x.reshape(64, 64) for x in _pair(p, v)), 16, Ring(24)
    ),
    "trunc_into": lambda p, v: p.trunc_into(_pair(p, v)[0], 16, Ring(40)),
    "select_narrowed": lambda p, v: p.over(Ring(40)).select_narrowed(
        _bit(p, v), p.narrowed(_pair(p, v)[0], 16)
    ),
    "operands of more bits": lambda p, v: [
        getattr(p.over(Ring(40)), name)(*_pair(p, v)) for name in ("mul", "mul_early")
    ],
    "selections of more bits": lambda p, v: p.over(Ring(40)).select(_bit(p, v), _pair(p, v)[0]),
    "one word into two": lambda p, v: [
        p.over(Ring(48)).mul_into(*(x.map(Ring(48).low) for x in _pair(p, v)), 8, Ring(128)),
        p.over(Ring(128)).factored(_pair(p, v)[0].map(Ring(64).low), _sines(48, 20)),
    ],
    "powers of two words": lambda p, v: p.factored(_pair(p, v)[0], POWERS),
    "input by alice": _input("alice"),
    "input by a client": _input("carl"),
    "reveal to a client": lambda p, v: p.reveal(_pair(p, 5)[0], ["carl"]),
}
OF_ONE_WORD = frozenset(
    {
        *(name for name in PROGRAMS if name.startswith("factored") or name.endswith("of more bits")),
        "combine",
        "mul_into",
        "matmul_into",
        "select_narrowed",
    }
)
FEW = OF_ONE_WORD | frozenset(
    {
        *("digit_ranks", "shuffle", "place", "fetch", "below", "mul_early", "matmul_early", "select_trunc"),
        *(name for name in PROGRAMS if "into" in name),
        "powers of two words",
    }
)
"""What not every protocol realises."""
SETTINGS = testing.settings(2, 3)


def realised(protocol: str, n: int, dealer: str, name: str) -> bool:
    """Return whether a protocol has the cards of all that a program calls."""
    model = CostModel(protocol, protocols.load(protocol).cards, nowhere(NAMES[:n]), Ring(64), dealer)
    if name.endswith("of more bits") and not model.offers("select_narrowed"):
        return False  # nobody passes it such operands
    try:
        PROGRAMS[name](model, 0)
    except NotRealised:
        return False
    return True


def transcript(
    protocol: str, n: int, dealer: str, width: int, name: str, secret: int, seed: int
) -> dict[tuple[str, str, str], Array]:
    """Return the bytes of all messages by (sender, receiver, label)."""
    hub = Hub((*NAMES[:n], "carl", *((dealer,) if dealer else ())), record=True)
    testing.run(
        protocol,
        width,
        lambda p: PROGRAMS[name](p, secret),
        n=n,
        clients=("carl",),
        dealer=dealer,
        seed=seed,
        hub=hub,
    )
    out: dict[tuple[str, str, str], list[bytes]] = {}
    for r in hub.records:
        if r.label not in PUBLIC or r.receiver == "carl":
            out.setdefault((r.sender, r.receiver, r.label), []).append(r.payload)
    return {key: np.frombuffer(b"".join(parts), np.uint8) for key, parts in out.items()}


def chi_two(a: Array, b: Array) -> float:
    """Return the two-sample statistic over byte values."""
    x, y = (np.bincount(v, minlength=256).astype(float) for v in (a, b))
    both = x + y
    use = both > 0
    ratio = np.sqrt(y.sum() / x.sum())
    return float((((x * ratio - y / ratio) ** 2)[use] / both[use]).sum())


def chi_uniform(a: Array) -> float:
    """Return the goodness of fit to uniform bytes."""
    seen, mean = np.bincount(a, minlength=256).astype(float), a.size / 256
    return float((((seen - mean) ** 2) / mean).sum())


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_messages_do_not_tell_secrets_apart(
    protocol: str, n: int, dealer: str, width: int, name: str
) -> None:
    if name in FEW and not realised(protocol, n, dealer, name):
        pytest.skip(f"{protocol} does not realise {name}")
    if (name in OF_ONE_WORD and width > 64) or (name == "powers of two words" and width <= 64):
        pytest.skip(f"{protocol} over {width} bits does not realise {name}")
    secrets = (0, (1 << (width - 2)) // 5 if name != "mul_trunc" else 12_345)
    first, second = (
        transcript(protocol, n, dealer, width, name, s, seed=100 + i) for i, s in enumerate(secrets)
    )
    assert {k: v.size for k, v in first.items()} == {k: v.size for k, v in second.items()}
    assert first or name in ("input by alice", "and_", "to_arith")
    for key, a in first.items():
        where = f"{protocol} {name} width {width} {key}, seeds 100 and 101"
        for sample in (a, second[key]):
            assert chi_uniform(sample) < CRITICAL, where
        assert chi_two(a, second[key]) < CRITICAL, where


def test_shape_of_the_transcript_is_public() -> None:
    """Sizes, counts and order are equal whatever the secrets are."""
    for protocol, n, dealer in SETTINGS:
        shapes = set()
        for secret in (0, 1, 2**61, 2**64 - 1, 77):
            hub = Hub((*NAMES[:n], "carl", *((dealer,) if dealer else ())), record=True)
            testing.run(
                protocol, 64, lambda p, s=secret: PROGRAMS["select"](p, s), n=n, clients=("carl",),
                dealer=dealer, hub=hub,
            )  # fmt: skip
            shapes.add(tuple((r.sender, r.receiver, r.label, r.seq, len(r.payload)) for r in hub.records))
        assert len(shapes) == 1


def _replace_stream(monkeypatch: pytest.MonkeyPatch, label: str, kind: type[Stream]) -> None:
    """Use another kind of stream for one label, at all its holders."""
    original = KeyRing._stream

    def stream(self: KeyRing, peer: str, name: str) -> Any:
        if name != label:
            return original(self, peer, name)
        if (peer, name) not in self._streams:
            self._streams[peer, name] = kind(self._keys[peer], name)
        return self._streams[peer, name]

    monkeypatch.setattr(KeyRing, "_stream", stream)


class Biased(Stream):
    """The top bit of every element is 0."""

    def ring(self, ring: Ring, shape: tuple[int, ...]) -> Array:
        return ring.low_bits(super().ring(ring, shape), ring.width - 1)

    def fill(self, ring: Ring, out: Array) -> Array:
        out[...] = self.ring(ring, out.shape)
        return out

    keep = fill


@pytest.mark.parametrize(
    ("name", "label", "kind"),
    [
        ("input by alice", "rep3/input", Silent),
        ("input by alice", "rep3/input", Biased),
        ("to_arith", "rep3/b2a", Biased),
        ("sign", "rep3/blocks", Silent),
        ("trunc", "rep3/trunc", Silent),
    ],
)
def test_planted_bias_is_caught(name: str, label: str, kind: type[Stream], monkeypatch: Any) -> None:
    _replace_stream(monkeypatch, label, kind)
    found = transcript("rep3", 3, "", 64, name, 1, seed=100)
    assert max(chi_uniform(v) for v in found.values()) > CRITICAL
