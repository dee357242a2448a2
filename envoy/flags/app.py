"""An application with a flag: does this user get the new checkout?

It asks GrowthBook, by the user's id and nothing else, and knows nothing of Coalmine. The flag's rules are in
features.json, as GrowthBook would deliver them.

    python app.py --name stable --port 8081
"""

import argparse
import json
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from growthbook import GrowthBook

FEATURES = json.loads(pathlib.Path(__file__).with_name("features.json").read_text())


def has_new_checkout(user):
    """What the flag says about this user; without a name it is off."""
    return bool(user) and GrowthBook(attributes={"id": user}, features=FEATURES).is_on("new-checkout")


class Shop(BaseHTTPRequestHandler):
    """Says which version answers, and what the flag is for the user who asks."""

    protocol_version = "HTTP/1.1"
    version_name = ""

    def do_GET(self):
        # Python reads headers as Latin-1. The mesh draws by the bytes, so the flag must see the text that they are.
        user = self.headers.get("x-user-id", "").encode("latin-1").decode("utf-8", "replace")
        flag = "on" if has_new_checkout(user) else "off"
        body = f"{self.version_name}, flag {flag}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """No line per request."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="stable or canary: what this version calls itself")
    parser.add_argument("--port", type=int, required=True, help="0 is any free one")
    arguments = parser.parse_args()
    Shop.version_name = arguments.name
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Shop)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
