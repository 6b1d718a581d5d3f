"""Streams: known answers, agreement, separation, uniformity of what is drawn, and their end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.crypto import prg
from tacit.crypto.hashing import hkdf
from tacit.crypto.prg import Agreement, KeyRing, Stream, Tape
from tacit.errors import MaterialError

KEY = bytes(range(32))
NIST_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
NIST_COUNTER = 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF
# SP 800-38A, F.5.1 (CTR-AES128.Encrypt): plaintext and ciphertext of four blocks.
NIST_PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
NIST_CIPHER = bytes.fromhex(
    "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
    "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
)


def test_nist_sp_800_38a_counter_mode() -> None:
    stream = kernels.prg(NIST_KEY, NIST_COUNTER, 64).tobytes()
    assert bytes(a ^ b for a, b in zip(stream, NIST_PLAIN, strict=True)) == NIST_CIPHER
    encryptor = Cipher(algorithms.AES(NIST_KEY), modes.CTR(NIST_COUNTER.to_bytes(16, "big"))).encryptor()
    assert encryptor.update(NIST_PLAIN) == NIST_CIPHER


@pytest.mark.parametrize("native", [False, True])
def test_stream_is_aes_ctr_from_zero_under_a_labelled_key(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prg, "_native_prg", lambda: native)
    stream = Stream(KEY, "mul")
    got = b"".join(stream.take(n).tobytes() for n in (32, 5, 16, 0, 1))
    key = hkdf(KEY, b"tacit/stream/mul", 16)
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    blocks = encryptor.update(bytes(16 * 5))
    # Whole blocks are consumed: 32 bytes take two, 5 one, 16 one, 0 none, 1 one.
    assert got == blocks[:32] + blocks[32:37] + blocks[48:64] + blocks[64:65]
    assert Stream(KEY, "mul").take(16).tobytes().hex() == "c791201c88455da5af740fc41715396a"


@pytest.mark.parametrize("native", [False, True])
def test_a_mask_is_what_packed_draws(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prg, "_native_prg", lambda: native)
    first, second = Stream(KEY, "x"), Stream(KEY, "x")
    for bits, n in ((3, 70), (64, 5), (1, 1), (40, 64), (7, 0)):
        mask = first.mask(bits, n, Ring(64))
        assert mask.size == Ring(64).wire_bytes(n, bits)
        assert np.array_equal(kernels.expanded(mask), second.packed(bits, n, Ring(64)))


@pytest.mark.parametrize("native", [True, False])
def test_planes_and_kept_words_that_a_kernel_makes_are_those_that_are_drawn(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if native and not prg._native_prg():
        pytest.skip("the native kernels are not built")
    monkeypatch.setattr(prg, "_native_prg", lambda: native)
    first, second = Stream(KEY, "x"), Stream(KEY, "x")
    for n, ring in ((70, Ring(64)), (1, Ring(3)), (0, Ring(40)), (65, Ring(100))):
        planes = kernels.expanded(first.plane_mask(3, n))
        assert planes.tobytes() == second.planes(3, n).tobytes()
        words = np.empty(n, ring.dtype)
        found = first.keep(ring, words)
        if isinstance(found, kernels.Made):
            kernels.add_masks(ring.zeros((n,)), kernels.Masks(), ring.width, kernels.Cut(ring.width, found))
        assert np.array_equal(words, second.fill(ring, np.empty(n, ring.dtype)))
    assert first.blocks == second.blocks


def test_what_is_drawn_is_reduced_and_reproducible() -> None:
    for width in (1, 3, 63, 64, 65, 128):
        ring = Ring(width)
        a, b = (Stream(KEY, "x").ring(ring, (3, 70)) for _ in range(2))
        assert np.array_equal(a, b) and a.shape == (3, 70)
        assert np.array_equal(ring.low_bits(a, width), a)
        few = Stream(KEY, "x").bits(max(width // 2, 1), (70,), ring)
        assert np.array_equal(ring.low_bits(few, max(width // 2, 1)), few)
    planes = Stream(KEY, "x").planes(2, 65)
    assert planes.shape == (2, 2) and planes.dtype == np.uint64
    assert Stream(KEY, "x").ring(Ring(64), (0,)).shape == (0,)


def test_draws_are_writable_and_do_not_repeat() -> None:
    stream = Stream(KEY, "x")
    first, second = stream.ring(Ring(64), (4,)), stream.ring(Ring(64), (4,))
    assert not np.any(first == second)
    first[0] = 0


@pytest.mark.parametrize("width", [3, 64, 128])
def test_filling_an_array_draws_what_a_new_one_would_hold(width: int) -> None:
    ring, n = Ring(width), 77
    for made in (lambda: Stream(b"k" * 32, "x"), lambda: Tape(range(3 * n))):
        one, other = made(), made()
        whole = np.zeros(2 * n, ring.dtype)
        for part in (whole[:n], whole[n:]):
            assert other.fill(ring, part) is part
        expected = [one.ring(ring, (n,)) for _ in range(2)]
        assert np.array_equal(whole, np.concatenate(expected))
        spread = np.zeros((n, 2), ring.dtype)[:, 0]
        assert np.array_equal(other.fill(ring, spread), spread) and np.any(spread != np.zeros(1, ring.dtype))


def test_streams_of_other_labels_peers_and_keys_differ() -> None:
    def head(source: Any) -> bytes:
        return source.take(16).tobytes()

    ring = KeyRing({"bob": bytes(32), "carol": bytes([1] * 32)}, bytes([2] * 32))
    heads = {
        head(ring.common("bob", "a")), head(ring.common("bob", "b")), head(ring.common("carol", "a")),
        head(ring.private("a")), head(Stream(bytes([3] * 32), "a")),
    }  # fmt: skip
    assert len(heads) == 5
    again = KeyRing({"alice": bytes(32)}, b"other")
    assert head(again.common("alice", "a")) == Stream(bytes(32), "a").take(16).tobytes()


def test_openssl_writes_to_contiguous_arrays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prg, "_native_prg", lambda: False)
    stream = Stream(bytes(32), "a")
    with pytest.raises(
        ValueError, match="contiguous"
    ):  # a flat copy would be written, and the array left as it was
        stream._stream.fill(np.zeros((4, 4), np.uint64).T)
    assert stream.blocks == 0
    stream.fill(Ring(64), out := np.zeros((4, 4), np.uint64).T)
    assert out.all()


def test_a_stream_goes_on_where_it_was() -> None:
    ring = KeyRing({"bob": bytes(32)}, bytes(32))
    first, second = ring.common("bob", "a").take(16), ring.common("bob", "a").take(16)
    assert Stream(bytes(32), "a").take(32).tobytes() == first.tobytes() + second.tobytes()


def test_unknown_peers_and_destroyed_keys() -> None:
    ring = KeyRing({"bob": bytes(32)}, bytes([1] * 32))
    with pytest.raises(MaterialError, match="carol"):
        ring.common("carol", "a")
    ring.common("bob", "a")
    ring.destroy()
    with pytest.raises(MaterialError):
        ring.common("bob", "a")
    assert "secret" in repr(ring) and "bob" not in repr(ring)


def test_destroyed_keys_leave_no_private_stream() -> None:
    ring = KeyRing({}, bytes([1] * 32))
    ring.destroy()
    with pytest.raises(MaterialError):
        ring.private("a")


def test_agreement_is_bound_to_its_info_and_refuses_bad_points() -> None:
    a, b = Agreement(), Agreement()
    assert a.shared(b.public, b"x") == b.shared(a.public, b"x") != a.shared(b.public, b"y")
    for bad in (bytes(32), (1).to_bytes(32, "little"), b"short"):
        with pytest.raises(MaterialError):
            a.shared(bad, b"x")


def test_tape_replays_and_notes_widths() -> None:
    tape = Tape([5, 1, 0, 1])
    assert tape.ring(Ring(3), (1,)).tolist() == [5]
    assert tape.planes(1, 3).tolist() == [[0b101]]
    assert tape.widths == [3, 1, 1, 1]
    with pytest.raises(MaterialError):
        tape.bits(2, (1,), Ring(3))
    assert Tape().ring(Ring(8), (2,)).tolist() == [0, 0]


# -- permutations ------------------------------------------------------------------------------------------------

CHI_SQUARED_23 = 73.0  # 23 degrees of freedom, α below 1e-6


def _orders(draw: Any, n: int, times: int) -> Any:
    """Count how often each order of n rows is drawn, in `times` blocks."""
    places = draw(times, n).reshape(times, n) - (np.arange(times) * n)[:, None]
    assert np.array_equal(np.sort(places, axis=1), np.tile(np.arange(n), (times, 1)))
    return np.unique(places @ (n ** np.arange(n)), return_counts=True)[1]


def test_permutations_are_uniform() -> None:
    counts = _orders(Stream(KEY, "test/permutation").permutation, 4, 48_000)
    assert counts.size == 24
    assert ((counts - 2000.0) ** 2 / 2000.0).sum() < CHI_SQUARED_23


def test_planted_biased_shuffle_is_caught() -> None:
    """Exchange every place with any place, and not with a later one: 4^4 outcomes do not divide by 24."""

    def biased(times: int, n: int) -> Any:
        jumps = Stream(KEY, "test/permutation").planes(2 * n, 64 * -(-times // 64))
        bits = np.unpackbits(jumps.view(np.uint8), axis=1, bitorder="little")[:, :times]
        places = np.tile(np.arange(n), (times, 1))
        rows = np.arange(times)
        for i in range(n):
            j = bits[2 * i] + 2 * bits[2 * i + 1]
            places[rows, i], places[rows, j] = places[rows, j].copy(), places[rows, i].copy()
        return (places + (rows * n)[:, None]).reshape(-1)

    counts = _orders(biased, 4, 48_000)
    assert ((counts - 2000.0) ** 2 / 2000.0).sum() > CHI_SQUARED_23


@pytest.mark.parametrize(("blocks", "n"), [(0, 3), (1, 0), (1, 1), (3, 2), (2, 1000), (1, (1 << 20) + 1)])
def test_permutations_agree_and_move_on(blocks: int, n: int) -> None:
    a, b = (Stream(KEY, "test/permutation") for _ in range(2))
    first = a.permutation(blocks, n)
    assert np.array_equal(first, b.permutation(blocks, n))
    inside = first.reshape(blocks, n) - (np.arange(blocks) * n)[:, None]
    assert np.array_equal(np.sort(inside, axis=1), np.tile(np.arange(n), (blocks, 1)))
    if n >= 1000:
        assert not np.array_equal(first, a.permutation(blocks, n))


def test_equal_keys_of_a_permutation_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, taken = Stream(KEY, "test/permutation"), []
    original = Stream.take

    def take(self: Stream, nbytes: int) -> Any:
        taken.append(nbytes)
        return np.zeros(nbytes, np.uint8) if len(taken) == 1 else original(self, nbytes)

    monkeypatch.setattr(Stream, "take", take)
    assert sorted(stream.permutation(1, 5)) == [0, 1, 2, 3, 4]
    assert len(taken) == 2
    assert sorted(Tape([1, 0, 1]).permutation(1, 4)) == [0, 1, 2, 3]


def test_a_stretch_of_another_size_than_the_array_is_refused() -> None:
    """The counter moves on by what was asked for: more would be drawn twice."""
    for size in (39, 48):
        with pytest.raises(ValueError):
            kernels.prg(b"k" * 16, 3, 40, np.zeros(size, np.uint8))
