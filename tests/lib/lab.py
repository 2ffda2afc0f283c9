# SPDX-License-Identifier: MIT
"""A small world on this machine: a certificate authority, a name server and nodes.

    with Lab(binary) as lab:
        a = lab.add_node("a.test")
        b = lab.add_node("b.test")
        lab.start()
        ...
        b.kill()

Everything lives in one throwaway folder, listens on 127.0.0.1 at ports that were free, and
ends with this process. Needs Debian's openssl and dnsmasq-base; Python's standard library.
With RESTANTE_LAB_STORE=postgres in the environment nodes keep what they have in databases of
a PostgreSQL server of this process, which needs Debian's postgresql-15. RESTANTE_LAB_THREADS
is how many net threads they have, where they are not told otherwise.
"""

import atexit
import fcntl
import http.client
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from postgres import Postgres
from processes import die_with_parent

ADDRESS = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]

def find_binary():
    """The binary that RESTANTE_BIN names, or the one that `./dev build` makes."""
    path = Path(os.environ.get("RESTANTE_BIN", ROOT / "build/release/restante"))
    if not path.exists():
        raise LabError(f"{path} is missing: run ./dev build")
    return path.resolve()


# Below those that the kernel gives to whoever does not ask for one.
PORTS = range(20000, 32000)
_taken = []  # locked files, one for each port, as long as this process lives


def free_port():
    """A port for TCP and UDP that nobody uses, nor another lab while this process lives."""
    folder = Path(tempfile.gettempdir()) / f"restante-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        port = random.choice(PORTS)
        lock = open(folder / str(port), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind((ADDRESS, port))
        except OSError:
            lock.close()
            continue
        _taken.append(lock)
        return port


def wait_until(done, what, seconds=10, pause=0.02):
    """Calls done() until it answers something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = done()
        if result:
            return result
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)


class LabError(Exception):
    pass


class Child:
    """A child process that logs to a file and is only ever signalled by its own pid."""

    def __init__(self, name, command, log, env=None):
        self.name = name
        self.log = Path(log)
        with open(self.log, "ab") as out:
            self._process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, env=env, preexec_fn=die_with_parent,
                start_new_session=True)  # Ctrl-C is for us, we stop the children
        self.pid = self._process.pid

    def running(self):
        return self._process.poll() is None

    def must_run(self):
        if not self.running():
            raise LabError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, seconds=15):
        """SIGTERM; returns the exit status. One that does not end in time is killed."""
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"{self.name} did not stop within {seconds} s:\n{self.tail()}")

    def kill(self):
        self._process.kill()
        return self._process.wait()

    def pause(self):
        """Stops the process in its tracks: its peers see a host that does not answer."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)


class Authority:
    """A certificate authority for one lab, by the openssl tool."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.certificate = self.folder / "ca.pem"
        self._key = self.folder / "ca.key"
        self._openssl("-subj", "/CN=Restante lab CA", "-keyout", self._key,
                      "-out", self.certificate,
                      "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _openssl(self, *arguments):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-noenc", "-days", "30",
                   "-pkeyopt", "ec_paramgen_curve:prime256v1", *map(str, arguments)]
        # No file of this machine's administrator decides what the certificates look like.
        done = subprocess.run(command, capture_output=True, text=True,
                              env={**os.environ, "OPENSSL_CONF": str(self._config())})
        if done.returncode != 0:
            raise LabError(f"openssl: {done.stderr}")

    def _config(self):
        path = self.folder / "openssl.cnf"
        path.write_text("[req]\ndistinguished_name = name\n[name]\n")
        return path

    def issue(self, domain):
        """Paths of a certificate for the domain and of its key."""
        certificate, key = self.folder / f"{domain}.pem", self.folder / f"{domain}.key"
        self._openssl("-CA", self.certificate, "-CAkey", self._key, "-subj", f"/CN={domain}",
                      "-keyout", key, "-out", certificate,
                      "-addext", "basicConstraints=critical,CA:FALSE",
                      "-addext", f"subjectAltName=DNS:{domain}",
                      "-addext", "extendedKeyUsage=serverAuth")
        return certificate, key


class NameServer:
    """dnsmasq with nothing but the records below. Names of known domains that have no
    record do not exist; everything else is refused."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.addresses = {}  # name -> [address]
        self.services = {}   # domain -> [(priority, weight, port, target)]
        self.texts = {}      # domain -> [text]: TXT records of _restante.<domain>
        self._child = None

    def apply(self):
        """Serves the records as they are now."""
        config = self.folder / "dnsmasq.conf"
        config.write_text("\n".join(self._lines()) + "\n")
        self._start("dnsmasq", "--no-daemon", f"--conf-file={config}", "--no-hosts",
                    "--no-resolv", f"--port={self.port}", f"--listen-address={ADDRESS}",
                    "--bind-interfaces", "--cache-size=0", "--local-ttl=1", "--pid-file=")

    def _start(self, *command):
        """In place of the one that runs."""
        self.stop()
        self._child = Child(command[0], command, self.folder / f"{command[0]}.log")
        wait_until(self._answers, "the name server")

    def stop(self):
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _lines(self):
        for domain in {*self.services, *self.texts}:
            yield f"local=/{domain}/"
        for name, addresses in self.addresses.items():
            yield f"local=/{name}/"
            for address in addresses:
                yield f"host-record={name},{address}"
        for domain, services in self.services.items():
            for priority, weight, port, target in services:
                yield f"srv-host=_restante._tcp.{domain},{target},{port},{priority},{weight}"
        for domain, texts in self.texts.items():
            for text in texts:
                yield f'txt-record=_restante.{domain},"{text}"'

    def _answers(self):
        """Sends a question for the root: whatever comes back, the server is there."""
        self._child.must_run()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            try:
                s.connect((ADDRESS, self.port))
                s.send(bytes.fromhex("1234 0100 0001 0000 0000 0000 00 0001 0001"))
                return bool(s.recv(512))
            except (ConnectionRefusedError, socket.timeout):
                return False


_databases = []  # the server, then the names of its databases


def new_store():
    """A URL for store.url: "" for the file that a node makes itself."""
    if os.environ.get("RESTANTE_LAB_STORE") != "postgres":
        return ""
    if not _databases:
        server = Postgres(fsync="off")
        atexit.register(server.__exit__)
        _databases.append(server.__enter__())
    _databases.append(f"node{len(_databases)}")
    return _databases[0].url(_databases[-1])


class Node:
    """One node: a folder with its configuration and database, and its process."""

    def __init__(self, lab, domain, options):
        self.lab = lab
        self.domain = domain
        self.port = free_port()
        self.folder = lab.folder / domain
        self.config = self.folder / "restante.yaml"
        self.log = lab.folder / f"{domain}.log"
        self.url = f"https://{domain}:{self.port}"
        self.options = {}
        self._child = None
        self.folder.mkdir()
        certificate, key = lab.authority.issue(domain)
        self.set({
            "listen.host": ADDRESS,
            "listen.port": self.port,
            "listen.certificate": certificate,
            "listen.key": key,
            "listen.max_connections": 1000,
            "listen.max_connections_per_source": 1000,
            "accounts.registration": "open",
            "accounts.strangers": "accept",
            "federation.api_url": self.url,
            "federation.ca_file": lab.authority.certificate,
            "federation.dns_servers": f"{ADDRESS}:{lab.names.port}",
            "federation.allow_private": "true",
            "listen.threads": os.environ.get("RESTANTE_LAB_THREADS", 1),
            "store.url": new_store(),
        })
        self.set(options)
        self.command("init", "--domain", domain, "--dir", self.folder)
        self.publish()

    def set(self, options):
        """Options by "section.name"; in force from the next start."""
        self.options.update(options)

    def _environment(self):
        ours = {f"RESTANTE_{name.upper().replace('.', '_')}": str(value)
                for name, value in self.options.items()}
        return {**os.environ, **ours}

    def command(self, *arguments, check=True):
        """Runs `restante ARGUMENTS` as the operator of this node; answers its output."""
        done = subprocess.run([str(self.lab.binary), *map(str, arguments)], text=True,
                              capture_output=True, env=self._environment(), timeout=60,
                              preexec_fn=die_with_parent)
        if check and done.returncode != 0:
            raise LabError(f"restante {arguments[0]} of {self.domain} ended with "
                           f"{done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def operator(self, command, *arguments, **options):
        """The same for a command that reads the configuration: check, dns, peer, ..."""
        return self.command(command, "--config", self.config, *arguments, **options)

    def count(self, table):
        """Rows in a table of the node's database."""
        text = f"SELECT count(*) FROM {table}"
        if self.options["store.url"]:
            return int(_databases[0].sql(text, urlsplit(self.options["store.url"]).path[1:]))
        with closing(sqlite3.connect(self.folder / "data/restante.db")) as database:
            return database.execute(text).fetchone()[0]

    def txt_records(self):
        """The texts that the node wants published."""
        zone = self.operator("dns")
        return [" ".join(re.findall(r'"([^"]*)"', line))
                for line in zone.splitlines() if re.search(r"\sTXT\s", line)]

    def publish(self):
        """Puts this node's records as they should be; names.apply() serves them."""
        names = self.lab.names
        names.addresses[self.domain] = [ADDRESS]
        names.services[self.domain] = [(0, 0, self.port, self.domain)]
        names.texts[self.domain] = self.txt_records()

    def start(self, wait=True):
        self._child = Child(self.domain, [self.lab.binary, "serve", "--config", self.config],
                            self.log, env=self._environment())
        if wait:
            self.wait_ready()

    @property
    def pid(self):
        return self._child.pid

    def running(self):
        return self._child is not None and self._child.running()

    def wait_ready(self, seconds=20):
        wait_until(self._ready, f"{self.domain} to be ready, see {self.log}", seconds)

    def _ready(self):
        self._child.must_run()
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path):
        """A plain GET without any account: status and text."""
        connection = self.lab.connection(self)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name):
        """The sum of all samples of this name in /metrics."""
        samples = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)", self.get("/metrics")[1],
                             re.MULTILINE)
        return sum(map(float, samples))

    def stop(self):
        """SIGTERM. Ending in any other way than with 0 is an error: a sanitizer has
        something to say."""
        child, self._child = self._child, None
        status = child.stop()
        if status != 0:
            raise LabError(f"{self.domain} ended with {status}:\n{child.tail()}")

    def kill(self):
        """SIGKILL: what is not on disk is lost."""
        self._child.kill()
        self._child = None

    def restart(self):
        self.stop()
        self.start()

    def pause(self):
        self._child.pause()

    def resume(self):
        self._child.resume()

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Process(Node):
    """One more process of a node: the same configuration, data folder and database, but a port
    and a log of its own."""

    def __init__(self, node, number):
        self.lab = node.lab
        self.domain = node.domain
        self.port = free_port()
        self.folder = node.folder
        self.config = node.config
        self.log = node.lab.folder / f"{node.domain}-{number}.log"
        self.url = f"https://{node.domain}:{self.port}"
        self.options = {**node.options, "listen.port": self.port}
        self._child = None


class DirectConnection(http.client.HTTPSConnection):
    """HTTPS to a domain whose address we know better than the system's name servers."""

    def connect(self):
        sock = socket.create_connection((ADDRESS, self.port), self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(sock, server_hostname=self.host)


class Lab:
    def __init__(self, binary=None, folder=None, keep=False, names=NameServer):
        """`names`: the class of the name server; see also names.py and signed_names.py."""
        self.binary = Path(binary) if binary else find_binary()
        self.folder = Path(folder or tempfile.mkdtemp(prefix="restante-lab-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keep = keep
        self.nodes = {}
        self.authority = Authority(self.folder / "tls")
        self.names = names(self.folder / "dns")
        self.tls = ssl.create_default_context(cafile=self.authority.certificate)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close(failed=kind is not None)

    def add_node(self, domain, **options):
        """A node with its keys, certificate and DNS records; not started. Options are
        named section__name: accounts__max_devices=3."""
        node = Node(self, domain, {name.replace("__", "."): value
                                   for name, value in options.items()})
        self.nodes[domain] = node
        return node

    def add_process(self, node):
        """One more process of that node, which needs a database that can be shared; not
        started. Nobody is sent to it by DNS."""
        number = sum(other.domain == node.domain for other in self.nodes.values()) + 1
        process = Process(node, number)
        self.nodes[f"{node.domain} {number}"] = process
        return process

    def start(self):
        """The name server and all nodes."""
        self.names.apply()
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait_ready()

    def connection(self, node, timeout=30):
        if not node.options["listen.certificate"]:
            return http.client.HTTPConnection(ADDRESS, node.port, timeout=timeout)
        return DirectConnection(node.domain, node.port, timeout=timeout, context=self.tls)

    def close(self, failed=False):
        """Ends everything; the folder goes too, unless it is to be kept. After a failure
        nodes are killed, so that the failure itself is what is seen, and the folder stays."""
        problems = []
        for node in self.nodes.values():
            if node.running() and not failed:
                try:
                    node.resume()
                    node.stop()
                except LabError as problem:
                    problems.append(str(problem))
            elif node.running():
                node.kill()
        self.names.stop()
        if not self.keep and not failed:
            shutil.rmtree(self.folder, ignore_errors=True)
        if problems:
            raise LabError("\n".join(problems))
