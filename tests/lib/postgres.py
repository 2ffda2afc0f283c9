#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A PostgreSQL server of the tests' own, from Debian's package: on a socket in its folder and,
if asked for, at a port of 127.0.0.1. It refuses to be root, so that root's is nobody's.

    with Postgres() as server:
        server.url("name")            # of a database, made if there is none
        server.stop(); server.start() # the same data

As a program it runs another one, which finds the URL of a database in its environment:
postgres.py PROGRAM [ARGUMENT...]
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import die_with_parent

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
USER = "restante"
START_S = 30
MEMORY = Path("/dev/shm")
ENOUGH = 2 << 30  # bytes that are free there, for there may be several
# Durable as in earnest, unless a test says otherwise; small, for there may be several.
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "log_min_messages": "warning",
    "autovacuum_naptime": "5s",
}


def quoted(value):
    return "'" + str(value).replace("'", "''") + "'"


def place_of(settings):
    """Of a server's folder: in memory, where files are made quickly, if it need not be durable."""
    in_memory = settings.get("fsync") == "off" and MEMORY.is_dir() and \
        shutil.disk_usage(MEMORY).free >= ENOUGH
    return MEMORY if in_memory else None


class Postgres:
    def __init__(self, port=None, **settings):
        self.owner = {"user": "nobody", "group": "nogroup", "extra_groups": []} \
            if os.geteuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="restante-pg-", dir=place_of(settings)))
        if self.owner:
            shutil.chown(self.folder, self.owner["user"], self.owner["group"])
        self.data = self.folder / "data"
        self.settings = dict(SETTINGS, unix_socket_directories=self.folder, **settings)
        if port:
            self.settings |= {"listen_addresses": "127.0.0.1", "port": port}
        self.process = None

    def __enter__(self):
        if not self.data.exists():
            self.create()
        self.start()
        return self

    def __exit__(self, *_):
        self.resume()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def run(self, program, *arguments, **options):
        """One of PostgreSQL's programs, on its socket; what it printed."""
        done = subprocess.run([PROGRAMS / program, *map(str, arguments)], cwd="/", text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=self.environment(), **self.owner, **options)
        assert done.returncode == 0, f"{program}: {done.stdout}"
        return done.stdout

    def environment(self):
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGHOST": str(self.folder),
                "PGPORT": str(self.settings.get("port", 5432)), "PGUSER": USER}

    def create(self):
        self.run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8",
                 "--no-locale", "--no-sync")
        self.configure()

    def configure(self, **settings):
        """Read at the next start, or by a reload."""
        self.settings |= settings
        lines = [f"{name} = {quoted(value)}\n" for name, value in self.settings.items()]
        (self.data / "postgresql.conf").write_text("".join(lines))

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAMS / "postgres", "-D", self.data], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd="/", env=self.environment(), start_new_session=True,
                preexec_fn=die_with_parent, **self.owner)
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.02)

    def answers(self):
        return subprocess.run([PROGRAMS / "pg_isready", "-q"], env=self.environment()).returncode == 0

    def stop(self, how=signal.SIGINT):
        """SIGINT: ends sessions and transactions; SIGQUIT: at once, as in a crash."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(START_S)
        self.process = None

    def pids(self):
        """Of all its processes, the first one first."""
        if self.process is None:
            return []
        pid = self.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def signal_all(self, number):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_one(self, pid):
        assert pid in self.pids()
        os.kill(pid, signal.SIGKILL)

    def pause(self):
        """Its connections stay, and nothing comes through them."""
        self.signal_all(signal.SIGSTOP)

    def resume(self):
        self.signal_all(signal.SIGCONT)

    def limit_files(self, size):
        """None may grow beyond that: much the same as a full disk."""
        for pid in self.pids():
            subprocess.run(["prlimit", f"--pid={pid}", f"--fsize={size}:"], **self.owner)

    def standby(self, port, **settings):
        """Another server, which follows this one; not started."""
        other = Postgres(port, **settings)
        self.run("pg_basebackup", "-D", other.data, "-R", "--checkpoint=fast", "--no-sync")
        other.data.chmod(0o700)
        other.configure()
        return other

    def sql(self, text, database="postgres"):
        """Rows as lines, their columns parted by |."""
        return self.run(*self.psql(database), "-c", text).strip()

    @staticmethod
    def psql(database):
        return ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database)

    def session(self, database):
        """A psql that reads from a pipe."""
        program, *arguments = self.psql(database)
        return subprocess.Popen([PROGRAMS / program, *arguments], cwd="/", text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env=self.environment(),
                                preexec_fn=die_with_parent, **self.owner)

    def url(self, database, **parameters):
        """Of a database, which is made if there is none."""
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{database}'"):
            self.run("createdb", database)
        if "port" in self.settings:
            parameters |= {"host": "127.0.0.1", "port": self.settings["port"]}
        else:
            parameters |= {"host": self.folder}
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{USER}@/{database}?{query}"


def main(*command):
    with Postgres(fsync="off") as server:
        environment = dict(os.environ, RESTANTE_TEST_STORE=server.url("contract"))
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
