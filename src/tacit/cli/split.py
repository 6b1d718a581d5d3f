"""The commands `tacit split` and `tacit combine`: a secret in shares, of which enough give it back."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from tacit.crypto.sealed import write_private
from tacit.errors import DataError, UsageError
from tacit.threshold import slip39, split, split_files, vault_files

SCHEMES = (split_files.GF256, split_files.FELDMAN, split_files.PEDERSEN, "slip39")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `split` to the command line; `add_combine` adds its counterpart."""
    verb = subparsers.add_parser("split", help="split a secret into shares")
    verb.add_argument("secret", help="the file with the secret, or - for standard input")
    verb.add_argument("--threshold", type=int, required=True, help="how many shares give the secret back")
    verb.add_argument("--shares", type=int, required=True, help="how many shares to make")
    verb.add_argument(
        "--scheme",
        choices=SCHEMES,
        default=split_files.GF256,
        help="gf256: perfect secrecy; feldman, pedersen: each holder can check its share; slip39: words",
    )
    verb.add_argument("--passphrase", action="store_true", help="slip39: ask for a passphrase as well")
    verb.add_argument("--out", type=Path, required=True, help="folder for the share files, mode 0600 each")
    verb.set_defaults(run=_split)


def add_combine(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `combine` to the command line."""
    verb = subparsers.add_parser("combine", help="get a secret back from shares")
    verb.add_argument("shares", type=Path, nargs="+")
    verb.add_argument("--passphrase", action="store_true", help="slip39: the shares have a passphrase")
    verb.add_argument("--check", action="store_true", help="only check verifiable shares, each by itself")
    verb.add_argument("--out", help="the file for the secret, or - for standard output")
    verb.set_defaults(run=_combine)


def _read(source: str | Path) -> bytes:
    limit = 2 * split_files.MAX_SECRET_BYTES
    try:
        if source == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise UsageError(f"{source} is too large")
    return data


def _passphrase(wanted: bool, *, twice: bool) -> bytes:
    if not wanted:
        return b""
    typed = getpass.getpass("SLIP-39 passphrase: ")
    if twice and getpass.getpass("Again: ") != typed:
        raise UsageError("the two passphrases differ")
    return typed.encode()


def _split(args: argparse.Namespace) -> int:
    secret = _read(args.secret)
    if not secret or len(secret) > split_files.MAX_SECRET_BYTES:
        raise UsageError(f"a secret has between 1 and {split_files.MAX_SECRET_BYTES} bytes")
    files: list[bytes]
    if args.scheme == "slip39":
        groups, passphrase = [(args.threshold, args.shares)], _passphrase(args.passphrase, twice=True)
        words = slip39.split(secret, groups, secrets.token_bytes, passphrase=passphrase)[0]
        files = [f"{mnemonic}\n".encode() for mnemonic in words]
    elif args.scheme == split_files.GF256:
        shares = split.split_bytes(secret, args.threshold, args.shares, secrets.token_bytes)
        files = [split_files.to_json(share) for share in shares]
    else:
        sealed = split_files.split_sealed(
            secret, args.scheme, args.threshold, args.shares, secrets.token_bytes
        )
        files = [split_files.to_json(share) for share in sealed]
        print(f"public part {sealed[0].fingerprint()}: holders compare this with one another")
    paths = [
        args.out / f"share-{i}.{'txt' if args.scheme == 'slip39' else 'json'}"
        for i in range(1, len(files) + 1)
    ]
    taken = [path for path in paths if path.exists()]
    if taken:
        raise UsageError(f"{taken[0]} exists and is not overwritten")
    for path, data in zip(paths, files, strict=True):
        write_private(path, data)
        print(path)
    print(f"any {args.threshold} of these give the secret; the secret's own file is still there")
    return 0


def _secret_from(files: Sequence[bytes], passphrase: bytes) -> bytes:
    if not files[0].lstrip().startswith(b"{"):
        try:
            mnemonics = [line for data in files for line in data.decode("ascii").splitlines() if line.strip()]
        except UnicodeDecodeError:
            raise DataError("this is neither a share file nor SLIP-39 words") from None
        return slip39.combine(mnemonics, passphrase)
    shares = [split_files.from_json(data) for data in files]
    plain = [share for share in shares if isinstance(share, split.ByteShare)]
    sealed = [share for share in shares if isinstance(share, split_files.SealedShare)]
    if plain and sealed:
        raise DataError("the shares belong to different secrets")
    return split.combine_bytes(plain) if plain else split_files.combine_sealed(sealed)


def _check(paths: Sequence[Path], files: Sequence[bytes]) -> int:
    status = 0
    for path, data in zip(paths, files, strict=True):
        share = split_files.from_json(data)
        if isinstance(share, split.ByteShare):
            raise UsageError(f"{path} is of a scheme in which a share cannot be checked by itself")
        good = split_files.is_valid(share)
        print(f"{path}: {'fits' if good else 'DOES NOT FIT'} the public part {share.fingerprint()}")
        status |= not good
    return status


def _combine(args: argparse.Namespace) -> int:
    files = [_read(path) for path in args.shares]
    if args.check:
        return _check(args.shares, files)
    if not args.out:
        raise UsageError("say where the secret goes: --out FILE, or --out - for standard output")
    secret = _secret_from(files, _passphrase(args.passphrase, twice=False))
    if args.out == "-":
        sys.stdout.buffer.write(secret)
        sys.stdout.buffer.flush()
    else:
        vault_files.save(Path(args.out), [secret])
    return 0
