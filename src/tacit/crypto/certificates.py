"""Self-signed Ed25519 certificates: a party's identity on the network is its public key."""

from __future__ import annotations

import datetime
import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 3650
# Clocks of organisations differ; a pinned key needs no exact start date.
BACKDATED_DAYS = 2


def make_certificate(name: str, now: datetime.datetime, password: bytes | None = None) -> tuple[bytes, bytes]:
    """Make a fresh key and its certificate: (PKCS #8 PEM, X.509 PEM); `now` carries a time zone.

    With a `password` (random bytes: the derivation of PEM files is too fast for words) the key is encrypted.
    """
    key = ed25519.Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=BACKDATED_DAYS))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        # Not an authority: a roster member cannot vouch for another key.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .sign(key, None)
    )
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def spki_fingerprint(certificate: bytes) -> str:
    """Return SHA-256 of the certificate's public key (SubjectPublicKeyInfo, DER) in hex.

    Accepts PEM or DER; raises ValueError when it is neither.
    """
    pem = certificate.lstrip().startswith(b"-----")
    parsed = (
        x509.load_pem_x509_certificate(certificate) if pem else x509.load_der_x509_certificate(certificate)
    )
    try:
        key = parsed.public_key()
    except UnsupportedAlgorithm:
        raise ValueError("the certificate's key is of a kind that is not supported") from None
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def certificate_name(certificate_pem: bytes) -> str:
    """Return the certificate's common name, or an empty string; ValueError when it is not a certificate."""
    names = x509.load_pem_x509_certificate(certificate_pem).subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    return str(names[0].value) if names else ""


def is_encrypted(private_pem: bytes) -> bool:
    """Tell whether a private key's file says that it needs a password."""
    return b"ENCRYPTED" in private_pem.partition(b"\n")[0]


def encrypt_key(file: bytes, password: bytes) -> bytes:
    """Return an identity's file with its key, which is not encrypted, encrypted under random bytes."""
    key = serialization.load_pem_private_key(file, None)
    _, mark, certificate = file.partition(b"-----BEGIN CERTIFICATE-----")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    return key.private_bytes(*form, serialization.BestAvailableEncryption(password)) + mark + certificate


def key_matches(private_pem: bytes, certificate_pem: bytes, password: bytes | None = None) -> bool:
    """Tell whether the private key belongs to the certificate; ValueError when either cannot be read."""
    key = serialization.load_pem_private_key(private_pem, password if is_encrypted(private_pem) else None)
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)
