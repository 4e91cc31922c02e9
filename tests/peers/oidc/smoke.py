"""armspan behind TLS, with tokens of a real OpenID Connect provider and with client certificates: the unchanged
OpenTelemetry SDK gets its spans in over gRPC and HTTP by either, and nobody gets in by less."""

import base64
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import collector
import peer
from peer import check, wait

SENDER = pathlib.Path(__file__).with_name("sender.py")


def client_certificate(folder, name, san, authority="ca"):
    """A certificate of a client, signed by the proof's authority."""
    (folder / "san").write_text(f"subjectAltName={san}")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in [
        ["req", *key, "-keyout", f"{name}.key", "-out", "request.pem", "-subj", f"/CN={name}"],
        ["x509", "-req", "-in", "request.pem", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"]
        + ["-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.pem"],
    ]:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return {"cert": str(folder / f"{name}.pem"), "key": str(folder / f"{name}.key")}


class Provider:
    def __init__(self, folder):
        self.port, self.told = peer.free_port(), folder / "provider.log"
        self.issuer = f"http://127.0.0.1:{self.port}"
        program = peer.CACHE / "oidc/provider.mjs"
        # Node looks for packages beside the program.
        program.write_text(pathlib.Path(__file__).with_name("provider.mjs").read_text())
        self.process = peer.start(["node", program, self.port], self.told, env={**os.environ, "NODE_ENV": "production"})
        wait(lambda: peer.fetch(f"{self.issuer}/.well-known/openid-configuration")[0] == 200,
             "the provider", told=self.told.read_text)  # fmt: skip

    def token(self, client, **more):
        form = urllib.parse.urlencode({"grant_type": "client_credentials", **more}).encode()
        basic = base64.b64encode(f"{client}:secret-of-the-proof".encode()).decode()
        request = urllib.request.Request(f"{self.issuer}/token", form, {"authorization": f"Basic {basic}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())["access_token"]


class Server(peer.Server):
    """The same over TLS."""

    def __init__(self, folder, config):
        self.context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        super().__init__(folder, config)

    def ask(self, path, token=None, body=None):
        """The status and the body of an answer."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        data = json.dumps(body).encode() if body is not None else None
        headers |= {"content-type": "application/json"} if data else {}
        request = urllib.request.Request(f"https://127.0.0.1:{self.ports[2]}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path, raw=False):
        status, body = self.ask(path)
        if status != 200:
            raise OSError(f"{path}: {status}")
        return body if raw else json.loads(body)


def send(server, folder, protocol, token=None, own=None, spans=3):
    """What the unchanged exporter says of its spans."""
    port = server.ports[0 if protocol == "grpc" else 1]
    command = [peer.CACHE / "oidc-python/bin/python3", SENDER, protocol, f"https://127.0.0.1:{port}", spans, folder / "ca.pem"]
    # These would win over the certificates that the exporter was given.
    rest = {name: value for name, value in os.environ.items() if not name.endswith("_CA_BUNDLE")}
    env = {**rest, "TOKEN": token or ""} | ({"CERT": own["cert"], "KEY": own["key"]} if own else {})
    done = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True, timeout=60)
    if not done.stdout:
        sys.exit(done.stderr)
    return done.stdout.strip()


def config(provider, files, folder):
    return json.dumps({
        "assignment_wait": "1s",
        "tls": {"cert": files["cert_file"], "key": files["key_file"], "client_ca": str(folder / "ca.pem"),
                "client_optional": True},
        "auth": {
            "oidc": [{"issuer": provider.issuer, "audience": "urn:armspan", "roles_claim": "scope"}],
            "clients": [{"san": "collector.example", "roles": ["ingest"]}],
        },
    })  # fmt: skip


def tokens(server, provider, folder):
    """Each token may do what its scope says."""
    service = provider.token("service", scope="armspan:ingest")
    board = provider.token("board", scope="armspan:read admin")
    check("no token", server.ask("/api/v1/status")[0], 401)
    check("a wrong token", server.ask("/api/v1/status", "eyJ.eyJ.x")[0], 401)
    check("a service may not read", server.ask("/api/v1/status", service)[0], 403)
    check("a board may read", server.ask("/api/v1/status", board)[0], 200)
    check("an admin of others is none here", server.ask("/config", board)[0], 403)
    check("a board may not send", send(server, folder, "http", board), "FAILURE")
    other = provider.token("service", scope="armspan:ingest", resource="urn:other")
    check("a token for another", server.ask("/api/v1/status", other)[0], 401)
    head, claims, signature = service.split(".")
    broad = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))) | {"scope": "armspan:admin"}
    broad = base64.urlsafe_b64encode(json.dumps(broad).encode()).decode().rstrip("=")
    check("a changed scope", server.ask("/config", f"{head}.{broad}.{signature}")[0], 401)
    for protocol in ["grpc", "http"]:
        check(f"a service sends over {protocol}", send(server, folder, protocol, service), "SUCCESS")
    return board


def certificates(server, folder):
    own = client_certificate(folder, "collector", "DNS:collector.example")
    unknown = client_certificate(folder, "unknown", "DNS:unknown.example")
    for protocol in ["grpc", "http"]:
        check(f"by its certificate over {protocol}", send(server, folder, protocol, own=own), "SUCCESS")
        check(f"a certificate of nobody over {protocol}", send(server, folder, protocol, own=unknown), "FAILURE")
        check(f"nothing over {protocol}", send(server, folder, protocol), "FAILURE")


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        files = collector.certificates(folder)
        provider = Provider(folder)
        server = Server(folder, config(provider, files, folder))
        board = tokens(server, provider, folder)
        certificates(server, folder)
        status = json.loads(server.ask("/api/v1/status", board)[1])
        check("spans received: those of the four that got in", status["received"]["spans"], 12)
        # The keys are kept: the provider may go.
        peer.end(provider.process)
        check("with the provider gone", server.ask("/api/v1/status", board)[0], 200)
        server.kill()
        server.start()
        check("and no key yet: come back", server.ask("/api/v1/status", board)[0], 503)
        check("ends with", server.stop(), 0)
    print(f"{time.monotonic() - began:.0f} s")
    peer.finish()


main()
