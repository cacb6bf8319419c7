"""A PostgreSQL server of one's own: in a temporary folder, for as long as tests or measurements need it."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.ports import free_port

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
"""Where packages keep `initdb`, which most leave off the path."""
_SETTINGS = "-c fsync=off -c max_connections=60 -c shared_buffers=128MB -c listen_addresses=127.0.0.1"
"""Nothing here outlives its machine. Tests restart the server; they do not cut its power."""


def missing() -> str | None:
    """Why no server can be started here; None when one can."""
    if _programs() is None:
        return "needs initdb and pg_ctl: apt-get install postgresql"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "needs the driver: pip install psycopg[binary]"
    return None


class Server:
    """A server that listens on a free port of this machine. Use it in a `with`: it is stopped and removed again."""

    def __init__(self) -> None:
        programs = _programs()
        assert programs is not None
        self._programs = programs
        self._user = _user() if os.geteuid() == 0 else None
        # Not in pytest's folder: that is closed to every other user.
        self._folder = Path(tempfile.mkdtemp(prefix="dataclaw-postgresql-"))
        self._data = self._folder / "data"
        self._port = free_port()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        try:
            # The order of text is that of bytes, as on SQLite.
            self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        options = f"{_SETTINGS} -c port={self._port} -c unix_socket_directories={self._folder}"
        self._control("start", "-o", options, "-l", self._folder / "log")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is as a crash is: every connection is cut and nothing is put in order."""
        self._control("stop", "-m", mode)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _control(self, *arguments: object) -> None:
        self._run("pg_ctl", *arguments, "-D", self._data, "-w", "-t", 120)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        # What the server inherits stays open as long as it runs: a pipe would never end.
        with open(self._folder / "output", "a+") as output:
            done = subprocess.run(
                command,
                user=self._user,
                extra_groups=[] if self._user else None,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=180,
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {output.read()}")


def _programs() -> Path | None:
    for folder in (*sorted(glob.glob(_PLACES[0]), reverse=True), *(f for p in _PLACES[1:] for f in glob.glob(p))):
        if (Path(folder) / "initdb").exists() and (Path(folder) / "pg_ctl").exists():
            return Path(folder)
    found = shutil.which("initdb")
    return Path(found).parent if found and shutil.which("pg_ctl") else None


def _user() -> str | None:
    known = {account.pw_name for account in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)
