"""An issuer of tokens for jobs, as GitHub and GitLab are: keys, and GitHub's exchange of a request for a token."""

import base64
import json
import time
from urllib.parse import parse_qs, urlparse

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

REQUEST_TOKEN = "request-0123456789"


def encoded(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    def __init__(self, audience):
        # The lab knows what a server is.
        from lab import Handler, Served

        self.audience = audience
        self.key, self.foreign = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        # What the exchange makes: for the audience that was asked for, unless a test says otherwise.
        self.make, self.requests, issuer = (lambda audience: self.token(aud=audience)), [], self

        class Exchange(Handler):
            def do_GET(self):
                path = urlparse(self.path)
                if path.path == "/.well-known/openid-configuration":
                    return self.answer(200, json.dumps({"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}))
                if path.path == "/keys":
                    return self.answer(200, json.dumps({"keys": [issuer.public()]}))
                if path.path == "/token" and self.headers["Authorization"] == f"bearer {REQUEST_TOKEN}":
                    asked = parse_qs(path.query)
                    issuer.requests.append(asked)
                    return self.answer(200, json.dumps({"count": 1, "value": issuer.make(asked["audience"][0])}))
                return self.answer(403)

        self.served = Served(Exchange)
        self.url, self.close = self.served.url, self.served.close

    def public(self):
        numbers = self.key.public_key().public_numbers()
        number = lambda it: encoded(it.to_bytes((it.bit_length() + 7) // 8, "big"))
        return {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": number(numbers.n), "e": number(numbers.e)}

    def token(self, key=None, **claims):
        """A token of a job in acme/shop, good for five minutes; `claims` are others, or none of a name."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "repo:acme/shop:ref:refs/heads/main",
            "aud": self.audience,
            "repository": "acme/shop",
            "project_path": "acme/shop",
            "iat": now,
            "exp": now + 300,
        } | claims
        signed = f"{encoded({'alg': 'RS256', 'typ': 'JWT', 'kid': '1'})}.{encoded(claims)}"
        return f"{signed}.{encoded((key or self.key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def environment(self):
        """What GitHub's runner gives to a job with the permission `id-token: write`."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }
