"""Sealing of secrets: with a public key that everybody may have, so that only nodes can open them.

A key pair (RSA, 3072 bits) lies in the database, its private half wrapped (AES-256-GCM) with `AEROFN_SECRET_KEY`,
which the database never sees. A sealed text is `sealed:1:<key pair>:<sealing>:<base64>`: RSA-OAEP with SHA-256,
318 bytes at a time, each part's label bound to the secret's name, this sealing and the part's place. The SQL
function `aerofn_internal.seal()` makes the same.
"""

import base64
import contextlib
import os
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from aerofn.errors import HostError, InvalidRequest

_EXPONENT = 65537
_KEY_BITS = 3072
_BLOCK = _KEY_BITS // 8
_MOST_IN_BLOCK = _BLOCK - 2 * 32 - 2
_NONCE = 12


class PublicKey(NamedTuple):
    """What seals: the number of a key pair and its modulus."""

    pair: int
    modulus: int

    def seal(self, name: str, value: str) -> str:
        """`value` as a text that only nodes can open, and only as the secret of this name."""
        key = rsa.RSAPublicNumbers(_EXPONENT, self.modulus).public_key()
        plain, sealing = value.encode(), str(uuid.uuid4())
        starts = range(0, len(plain), _MOST_IN_BLOCK)
        parts = [
            key.encrypt(plain[start : start + _MOST_IN_BLOCK], _oaep(name, sealing, part, len(starts)))
            for part, start in enumerate(starts, 1)
        ]
        return f"sealed:1:{self.pair}:{sealing}:{base64.b64encode(b''.join(parts)).decode()}"


class KeyPair:
    """What opens."""

    def __init__(self, pair: int, private: rsa.RSAPrivateKey) -> None:
        self.public = PublicKey(pair, private.public_key().public_numbers().n)
        self._private = private

    def open(self, name: str, sealed: str) -> str:
        """The value in a sealed text; takes a millisecond or two.

        Raises:
            HostError: it was sealed for another name or another key, or is damaged.
        """
        *_, sealing, encoded = sealed.split(":")
        try:
            data = base64.b64decode(encoded, validate=True)
            starts = range(0, len(data), _BLOCK)
            parts = [
                self._private.decrypt(data[start : start + _BLOCK], _oaep(name, sealing, part, len(starts)))
                for part, start in enumerate(starts, 1)
            ]
            return b"".join(parts).decode()
        except ValueError:
            raise HostError(
                f"secret {name} cannot be opened", hint=f"set it again: aerofn secrets set {name}"
            ) from None


class Wrapping:
    """The operator's keys: the first wraps, each unwraps what it wrapped.

    Args:
        keys: texts of `AEROFN_SECRET_KEY`.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._ciphers = [AESGCM(_derived(key)) for key in keys]

    def wrap(self, private: rsa.RSAPrivateKey) -> bytes:
        """A private key, encrypted and bound to its public half."""
        text = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return self.encrypt(text, _bound_to(private.public_key().public_numbers().n))

    def unwrap(self, pair: int, modulus: int, wrapped: bytes) -> KeyPair | None:
        """The key pair, or None if none of the keys wrapped it."""
        text = self.decrypt(wrapped, _bound_to(modulus))
        if text is None:
            return None
        private = load_der_private_key(text, None)
        assert isinstance(private, rsa.RSAPrivateKey)
        return KeyPair(pair, private)

    def encrypt(self, data: bytes, bound_to: bytes) -> bytes:
        """`data` under the first key, to be decrypted with the same `bound_to` only."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, data, bound_to)

    def decrypt(self, data: bytes, bound_to: bytes) -> bytes | None:
        """What was encrypted, or None if it was not by one of the keys, or is bound to something else."""
        for cipher in self._ciphers:
            with contextlib.suppress(InvalidTag):
                return cipher.decrypt(data[:_NONCE], data[_NONCE:], bound_to)
        return None


def new_private_key() -> rsa.RSAPrivateKey:
    """A new key; takes some tenths of a second."""
    return rsa.generate_private_key(_EXPONENT, _KEY_BITS)


def pair_of(sealed: str) -> int:
    """Which key pair opens a sealed text."""
    return int(sealed.split(":", 3)[2])


def check_value(value: str) -> None:
    """Refuse what cannot be a secret, as `aerofn.set_secret()` does; the message does not quote it.

    Raises:
        InvalidRequest: fewer than 8 bytes or more than 16384, or half a surrogate pair.
    """
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("the secret is no valid text") from None
    if not 8 <= size <= 16384:
        raise InvalidRequest(
            "a secret has 8 to 16384 bytes",
            hint="a shorter one could not be kept out of logs; what is no secret can be set as AEROFN_ENV_<KEY>",
        )


def _oaep(name: str, sealing: str, part: int, parts: int) -> padding.OAEP:
    label = f"aerofn:{name}:{sealing}:{part}/{parts}".encode()
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)


def _derived(key: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, None, b"aerofn: wraps the key pair of secrets").derive(key.encode())


def _bound_to(modulus: int) -> bytes:
    return modulus.to_bytes(_BLOCK, "big")
