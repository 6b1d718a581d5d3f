"""Key generation by a trusted dealer (RFC 9591, appendix C).

Whoever deals knows the key: prefer :mod:`tacit.threshold.dealing`, where no one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tacit.crypto.groups import Randomness, Scalar
from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.threshold.keys import GroupKey, KeyShare, check_threshold
from tacit.threshold.polynomial import commit, evaluate, lagrange, sample, vartime_evaluate_committed
from tacit.threshold.suites import Suite


def deal(
    suite: Suite, threshold: int, names: Sequence[str], randomness: Randomness, secret: Scalar | None = None
) -> dict[str, tuple[KeyShare, bytes]]:
    """Return for every member the share, and the public commitments to check it by (appendix C, C.1 and C.2).

    ``names`` get the identifiers 1, 2, …; ``secret`` splits an existing key instead of a fresh one.
    """
    check_threshold(threshold, len(names))
    group = suite.group
    # C.1 secret_share_shard: a polynomial with the secret as its constant term
    secret = group.random_scalar(randomness) if secret is None else secret
    if secret.is_zero():
        raise UsageError("the secret key must not be zero")
    coefficients = sample(secret, threshold, randomness)
    # C.2 vss_commit
    commitments = commit(coefficients)
    identifiers = range(1, len(names) + 1)
    shares = {i: evaluate(coefficients, i) for i in identifiers}
    group_key = GroupKey(
        suite=suite,
        threshold=threshold,
        key=commitments[0],
        shares={i: group.base_mul(shares[i]) for i in identifiers},
        names=dict(zip(identifiers, names, strict=True)),
    )
    public = b"".join(c.encode() for c in commitments)
    return {names[i - 1]: (KeyShare(i, shares[i], group_key), public) for i in identifiers}


def accept(share: KeyShare, commitments: bytes, dealer: str = "the dealer") -> None:
    """Check a dealt share against the dealer's commitments (C.2, vss_verify). Raises PeerMisbehaved.

    The members must also compare ``commitments`` (or the group key's fingerprint) with one another.
    """
    group_key = share.group_key
    group = group_key.suite.group
    size = group.element_bytes
    if len(commitments) != size * group_key.threshold:
        raise PeerMisbehaved(f"{dealer} committed to a polynomial of the wrong degree", [dealer])
    try:
        vector = [group.decode_element(commitments[k : k + size]) for k in range(0, len(commitments), size)]
    except DataError as error:
        raise PeerMisbehaved(f"{dealer} sent commitments that are not group elements", [dealer]) from error
    for i in group_key.identifiers:
        if vartime_evaluate_committed(vector, i) != group_key.shares[i]:
            raise PeerMisbehaved(f"{dealer} dealt a share that does not match the commitments", [dealer])
    if vector[0] != group_key.key:
        raise PeerMisbehaved(f"{dealer} announced another key than the one committed to", [dealer])


def combine(group_key: GroupKey, shares: Mapping[int, Scalar]) -> Scalar:
    """Return the secret key from t shares (C.1, secret_share_combine); it is no threshold key any more."""
    if len(shares) < group_key.threshold:
        raise UsageError(f"{group_key.threshold} shares are needed")
    group = group_key.suite.group
    total = group.zero
    for i, share in shares.items():
        total = total + lagrange(group, sorted(shares), i) * share
    if group.base_mul(total) != group_key.key:
        raise DataError("the shares do not belong to this key")
    return total
