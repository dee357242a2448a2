"""JSON Web Tokens, RS256, with keys that are made for the case and forgotten after it."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any


class Issuer:
    """Somebody with a key who signs tokens."""

    def __init__(self, directory: Path, name: str = "https://login.shop.example") -> None:
        self.name = name
        self.key = directory / f"{name.rpartition('/')[2]}-{time.monotonic_ns()}.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(self.key), "2048"], check=True, capture_output=True)

    def jwks(self) -> str:
        """The public key, as a RequestAuthentication takes it."""
        told = subprocess.run(["openssl", "rsa", "-in", str(self.key), "-noout", "-modulus"],
                              check=True, capture_output=True, text=True).stdout
        modulus = bytes.fromhex(told.strip().partition("=")[2])
        return json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one",
                                     "n": _encode(modulus), "e": "AQAB"}]})

    def token(self, subject: str, *, algorithm: str = "RS256", **claims: Any) -> str:
        """A token for this user, good for an hour unless the claims say otherwise."""
        said = {"iss": self.name, "sub": subject, "aud": "shop", "exp": int(time.time()) + 3600, **claims}
        parts = [{"alg": algorithm, "kid": "one", "typ": "JWT"}, said]
        text = ".".join(_encode(json.dumps(part).encode()) for part in parts)
        if algorithm == "none":
            return f"{text}."
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=text.encode(),
                                   check=True, capture_output=True).stdout
        return f"{text}.{_encode(signature)}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
