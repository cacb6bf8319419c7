"""What a recipe may reach that came over a network: folders, stores, servers and keys that the worker's owner named.

A recipe from a file or the command line of this machine is its user's own, and reaches whatever the user does. One that
a Prefect server hands to a worker was written by whoever may start runs there: it reads and writes below the roots
alone, and talks to the named hosts alone. With DATACLAW_ROOTS set, all recipes are held to that, and readers follow no
link that leads out of the roots. docs/security.md says against whom this helps and against whom not.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from fsspec.implementations.local import LocalFileSystem

from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.redaction import has_credentials, redacted
from schemas.training import Training

ROOTS, HOSTS, KEYS = "DATACLAW_ROOTS", "DATACLAW_HOSTS", "DATACLAW_KEYS"

SCHEMES = frozenset({"file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "http", "https"})
"""Schemes that a root may have. Those that run or open something else (`ssh`, `zip`, `reference`, chains with `::`)
are not among them."""

_LOCAL = ("file", "local")
_KEY_BY_DEFAULT = "OPENAI_API_KEY"
_METADATA = tuple(
    ipaddress.ip_network(network)
    for network in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32")
)
"""Where clouds tell a machine its own credentials. No list of hosts opens them."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_POSTGRESQL_OPTIONS = frozenset({"sslmode", "connect_timeout", "application_name", "target_session_attrs"})
"""What a catalog's URL may carry after `?`. Others name files of the worker (passfile, sslkey), or another host."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Access:
    """What may be reached. Empty, as it is by default: nothing."""

    roots: tuple[str, ...] = ()
    """Folders and URIs below which may be read and written (`/data`, `s3://bucket/raw`)."""
    hosts: frozenset[str] = frozenset()
    """Servers of models, databases and Ray, as `host` or `host:port`. Loopback only under its own name."""
    keys: frozenset[str] = field(default=frozenset({_KEY_BY_DEFAULT}))
    """Keys that may be sent to model servers: names of variables, or `prefect:BLOCK`."""

    @classmethod
    def from_environment(cls) -> Access:
        """What DATACLAW_ROOTS, DATACLAW_HOSTS and DATACLAW_KEYS say, each a list with commas.

        Raises:
            UsageError: a root has a scheme that no root may have.
        """
        return _read(*(os.environ.get(name, "") for name in (ROOTS, HOSTS, KEYS)))

    def refusal(self, uri: str) -> str | None:
        """Why a path or URI may not be reached; None when it may. Links are followed to where they lead."""
        if "::" in uri:
            return "chains of file systems (::) are not reached from here"
        scheme = uri.partition("://")[0].lower() if "://" in uri else "file"
        if scheme in _LOCAL:
            path = _real(uri)
            if any(path == root or path.startswith(root.rstrip("/") + "/") for root in self._folders()):
                return None
            return f"lies outside the folders that may be reached ({ROOTS})"
        if scheme not in SCHEMES:
            return f"the scheme {scheme}:// is not reached from here"
        if _climbs(uri):
            return "climbs out of its folder"
        if not any(_below(uri, root) for root in self.roots):
            return f"lies outside the places that may be reached ({ROOTS})"
        if scheme in ("http", "https"):
            return _refused_address(urlsplit(uri).hostname or "", loopback=True)
        return None

    def check(self, uri: str, what: str) -> None:
        """Raises UsageError where a path or URI may not be reached. `what` names the key that holds it."""
        if has_credentials(uri):
            raise holds_credentials(what, uri)
        if (cause := self.refusal(uri)) is not None:
            remedy = f"Name a place below one of the roots, or have {ROOTS} name it where the worker runs"
            raise UsageError(f"{what} {uri}", cause, remedy)

    def check_server(self, host: str | None, port: int | None, what: str) -> None:
        """Raises UsageError where a server may not be talked to."""
        name = (host or "").lower().rstrip(".")
        named = {entry for entry in (name, f"{name}:{port}", f"[{name}]:{port}") if entry in self.hosts}
        if not name or not named:
            cause = "is no server that may be talked to"
            raise UsageError(f"{what} {name}", cause, f"Have {HOSTS} name it (host or host:port) where the worker runs")
        if (cause_ := _refused_address(name, loopback=name == "localhost" or _literal(name) is not None)) is not None:
            raise UsageError(f"{what} {name}", cause_, "Name another server")

    def check_recipe(self, recipe: Recipe) -> None:
        """Looks at every key of a recipe that leads somewhere. Nothing of it has been opened yet.

        Raises:
            UsageError: one of them leads where nothing may be reached.
        """
        self.check_corpus(recipe.corpus, recipe.placement.catalog, "placement.catalog")
        for number, source in enumerate(recipe.sources, 1):
            self.check(source.uri, f"sources (number {number}).uri")
        for spec in recipe.experts or ():
            for name, value in spec.parameters.items():
                self._check_if_path(value, f"experts {spec.name}.{name}")
        if (model := recipe.synthesis.model) is not None:
            self._check_if_path(model.name, "synthesis.model.name")
            self._check_if_path(model.adapter, "synthesis.model.adapter")
        placement = recipe.placement
        if placement.ray_address not in (None, "auto", "local"):
            address = urlsplit(f"//{str(placement.ray_address).partition('://')[2] or placement.ray_address}")
            self.check_server(address.hostname, _port(address.netloc), "placement.ray_address")
        if (url := placement.serving.base_url) is not None:
            self.check_web_server(url, "placement.serving.base_url")
        if (weights := placement.serving.weights) is not None:
            self.check(weights, "placement.serving.weights")
        key = placement.serving.key
        if key is not None and key not in self.keys:
            # Any variable of the worker could else be sent to a server as its key.
            cause = "is no key that may be sent to a server"
            raise UsageError(f"placement.serving.key {key}", cause, f"Have {KEYS} name it where the worker runs")

    def check_training(self, training: Training) -> None:
        """Looks at every key of a training that leads somewhere. Nothing of it has been opened yet.

        Raises:
            UsageError: one of them leads where nothing may be reached.
        """
        self._check_if_path(training.model.name, "model.name")
        self._check_if_path(training.model.adapter, "model.adapter")
        if training.grpo is not None and training.grpo.server is not None:
            self.check_web_server(training.grpo.server, "grpo.server")
        if training.benchmark is not None:
            self.check(training.benchmark.val, "benchmark.val")
            if training.benchmark.base_url is not None:
                self.check_web_server(training.benchmark.base_url, "benchmark.base_url")

    def check_web_server(self, url: str, what: str) -> None:
        """Raises UsageError where a URL is not that of a web server that may be talked to."""
        if has_credentials(url):
            raise holds_credentials(what, url)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise UsageError(what, f"{parts.scheme}:// is no web server", "Give http(s)://")
        self.check_server(parts.hostname, _port(parts.netloc) or (443 if parts.scheme == "https" else 80), what)

    def check_corpus(self, uri: str, catalog: str | None, what: str) -> None:
        """Raises UsageError where a corpus or its catalog may not be reached. `what` names the key of the catalog."""
        self.check(uri, "corpus")
        if catalog is not None:
            self._check_catalog(catalog, what)

    def _folders(self) -> list[str]:
        return [_real(root) for root in self.roots if "://" not in root or root.startswith(("file://", "local://"))]

    def _check_if_path(self, value: object, what: str) -> None:
        """A value that may be a name (of a model on a hub, a language) or a place: only a place is checked."""
        if isinstance(value, str) and (value[:1] in ("/", "~", ".") or "://" in value or os.path.lexists(value)):
            self.check(os.path.expanduser(value), what)

    def _check_catalog(self, text: str, what: str) -> None:
        from sqlalchemy import make_url  # readers know this module too, and need no database
        from sqlalchemy.exc import ArgumentError

        if has_credentials(text):
            raise holds_credentials(what, text)
        try:
            url = make_url(text)
        except ArgumentError:
            raise UsageError(what, "the catalog's URL is malformed", "Give postgresql+psycopg://host/name") from None
        backend = url.get_backend_name()
        if backend == "sqlite":
            if url.query or (url.database or "").startswith("file:"):
                raise UsageError(what, "a SQLite URL with options may name any file", "Give sqlite:////path alone")
            if url.database and url.database != ":memory:":
                self.check(url.database, what)
        elif backend == "postgresql":
            if others := sorted(set(url.query) - _POSTGRESQL_OPTIONS):
                cause = f"the options {', '.join(others)} may name files or hosts of the worker"
                raise UsageError(what, cause, "Set them where the worker runs: PGSSLROOTCERT, ~/.pgpass and the like")
            self.check_server(url.host, url.port or 5432, what)
        else:
            raise UsageError(what, f"{backend} is no catalog that may be talked to", "Use PostgreSQL or SQLite")


def access_of_run(sent: bool) -> Access | None:
    """What a run may reach; None when that is all that this machine's user may.

    Args:
        sent: its parameters came over a network, as those of a deployment, and are not the word of this machine's user.

    Raises:
        UsageError: as :meth:`Access.from_environment`.
    """
    return Access.from_environment() if sent else confinement()


def check_corpus_of_run(uri: str, catalog: str | None = None, *, sent: bool) -> None:
    """Holds a run that is about a corpus to what it may reach. Nothing has been opened yet.

    Raises:
        UsageError: corpus or catalog may not be reached, or the corpus's URI holds credentials.
    """
    if has_credentials(uri):
        raise holds_credentials("corpus", uri)
    if (access := access_of_run(sent)) is not None:
        access.check_corpus(uri, catalog, "catalog")


def confinement() -> Access | None:
    """What this process is held to by DATACLAW_ROOTS; None when it is held to nothing.

    Raises:
        UsageError: as :meth:`Access.from_environment`.
    """
    return Access.from_environment() if os.environ.get(ROOTS, "").strip() else None


def holds_credentials(what: str, uri: str) -> UsageError:
    """The error for credentials in a URI: whoever reads the corpus, its catalog or a log would read them too."""
    return UsageError(
        f"{what} {redacted(uri)}",
        "holds credentials, which would be kept with runs and rows",
        "Leave them out, and set them where the workers run: AWS_PROFILE or AWS_ACCESS_KEY_ID and its secret for S3, "
        "PGPASSWORD or ~/.pgpass for PostgreSQL, placement.serving.key for a model server",
    )


@lru_cache(maxsize=8)
def _read(roots: str, hosts: str, keys: str) -> Access:
    named = tuple(_listed(roots))
    for root in named:
        scheme = root.partition("://")[0].lower() if "://" in root else "file"
        if scheme not in SCHEMES or "::" in root:
            raise UsageError(f"{ROOTS} {redacted(root)}", f"no root has the scheme {scheme}://", _KNOWN)
    return Access(
        # Relative roots are those of the folder where the process began: it may go elsewhere.
        tuple(root if "://" in root else os.path.abspath(os.path.expanduser(root)) for root in named),
        frozenset(host.lower() for host in _listed(hosts)),
        frozenset(_listed(keys)) or frozenset({_KEY_BY_DEFAULT}),
    )


_KNOWN = f"Known: {', '.join(sorted(SCHEMES))}"


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _real(uri: str) -> str:
    """Where a local path or URI leads, all links followed."""
    path = LocalFileSystem._strip_protocol(uri) if "://" in uri else uri
    return os.path.realpath(path)


def _below(uri: str, root: str) -> bool:
    if "://" not in root:
        return False
    scheme, _, place = uri.partition("://")
    root_scheme, _, folder = root.partition("://")
    folder = folder.rstrip("/")
    place = place.partition("?")[0]
    return scheme.lower() == root_scheme.lower() and (not folder or place == folder or place.startswith(f"{folder}/"))


def _climbs(uri: str) -> bool:
    """Whether a URI holds `..`, also as web servers would understand it."""
    return ".." in unquote(unquote(uri)).replace("\\", "/").split("/")


def _port(netloc: str) -> int | None:
    try:
        return urlsplit(f"//{netloc}").port
    except ValueError:
        return None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _refused_address(host: str, loopback: bool) -> str | None:
    """Why none may talk to where a name leads; None when it is well. The name is asked for at this moment: what it is
    later, when the connection is made, nobody can tell (docs/security.md)."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return f"cannot be found: {getattr(error, 'strerror', None) or error}"
    for *_, place in found:
        address = _plain(ipaddress.ip_address(str(place[0]).partition("%")[0]))
        if any(address in network for network in _METADATA if network.version == address.version):
            return f"leads to {address}, where clouds keep the credentials of their machines"
        if (address.is_loopback or address.is_unspecified) and not loopback:
            return f"leads to {address}, this machine itself"
    return None


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one wraps, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is None and address in _NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return wrapped or address
    return address
