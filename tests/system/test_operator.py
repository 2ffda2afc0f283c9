# SPDX-License-Identifier: MIT
"""What an operator meets: init, check, serve, signals, health, metrics and the log."""

import os
import re
import signal as signals
import socket
import sqlite3
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from lab import ADDRESS, ROOT, Lab, find_binary, wait_until
from scenario import OPTIONS, join, letter, post

KEY = "data/keys/k1.key"
DATABASE = "data/restante.db"


@pytest.fixture
def node(lab):
    """Set up, not started."""
    return lab.add_node("a.test", **OPTIONS)


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("lab"), keep=True) as lab:
        node = lab.add_node("a.test", **OPTIONS)
        lab.start()
        yield node


def restante(*arguments, node=None, environment=None):
    """Exit status and all that it has said."""
    options = {f"RESTANTE_{name.upper().replace('.', '_')}": str(value)
               for name, value in (node.options if node else {}).items()}
    done = subprocess.run([str(find_binary()), *map(str, arguments)], text=True, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **options, **(environment or {})})
    return done.returncode, done.stdout


def of(node, command):
    return restante(command, "--config", node.config, node=node)


def files_of(folder):
    return {path: (stat.S_IMODE(path.stat().st_mode), path.is_file() and path.read_bytes())
            for path in Path(folder).rglob("*")}


def certificate_of(node):
    """As it is served."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((ADDRESS, node.port)) as raw, \
            context.wrap_socket(raw, server_hostname=node.domain) as tls:
        return tls.getpeercert(binary_form=True)


# Commands

def test_help_and_mistakes():
    status, text = restante("--help")
    assert status == 0
    for command in "init", "serve", "check", "dns", "invite", "restored":
        assert re.search(rf"^  {command}\b", text, re.MULTILINE)
    assert restante("--version")[0] == 0
    for mistake in [], ["dance"], ["serve", "--speed", "2"], ["serve", "--config"], ["init"], \
            ["init", "--domain", "Example.org"], ["invite", "--days", "0"], ["serve", "now"]:
        status, text = restante(*mistake)
        assert status == 2 and "restante" in text


@pytest.mark.parametrize("command", ["--help", "init", "dns", "invite"])
def test_what_cannot_be_printed_is_a_failure(lab, node, tmp_path, command):
    lab.start()
    words = {"--help": ["--help"], "init": ["init", "--domain", "b.test", "--dir", tmp_path / "n"]}
    with open("/dev/full", "w") as full:
        done = subprocess.run([find_binary(), *words.get(command, [command, "--config",
                              node.config])], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr


def test_every_command_tells_how_it_is_used():
    every = re.findall(r"^  ([a-z]+(?: [a-z]+)?) ", restante("--help")[1], re.MULTILINE)
    assert "init" in every and "peer show" in every
    for command in [*every, "peer", "key"]:
        status, text = restante(*command.split(), "--help")
        told = re.findall(r"^  ([a-z]+)\b", text, re.MULTILINE)
        assert status == 0 and set(told) == {command.split()[0]}, text
        assert f"  {command} " in text
    assert restante("dance", "--help")[0] == 2


def test_init_twice_refuses_and_leaves_everything_as_it_is(tmp_path):
    arguments = "init", "--domain", "example.org", "--dir", tmp_path / "node"
    status, text = restante(*arguments)
    assert status == 0 and "restante dns" in text
    before = files_of(tmp_path)
    status, text = restante(*arguments)
    assert status == 1 and "restante.yaml: File exists" in text
    (tmp_path / "node/restante.yaml").rename(tmp_path / "restante.yaml")
    status, text = restante(*arguments)
    assert status == 1 and "there are keys already" in text
    (tmp_path / "restante.yaml").rename(tmp_path / "node/restante.yaml")
    assert files_of(tmp_path) == before


def test_secrets_are_for_the_owner_alone(serving):
    secret = [path for path in serving.folder.rglob("*")
              if path.suffix in (".key", ".secret") or path.name.startswith("restante.db")]
    assert len(secret) >= 7  # server key, root key, two secrets, database, log, index
    for path in [*secret, serving.folder / "data", serving.folder / "data/keys"]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_check_finds_a_new_node_in_order_and_changes_nothing(tmp_path):
    """As root, it would leave files that the node cannot read."""
    restante("init", "--domain", "example.org", "--dir", tmp_path)
    before = files_of(tmp_path)
    for command in "check", "dns":
        status, text = restante(command, "--config", tmp_path / "restante.yaml")
        assert status == 0 and "WRONG" not in text, text
    assert files_of(tmp_path) == before


def break_configuration(node):
    node.config.write_text("node: [\n")


def break_option(node):
    node.config.write_text("node:\n  domain: a.test\nlisten:\n  prot: 443\n")


def break_value(node):
    node.config.write_text("node:\n  domain: a.test\nstore: {}\nlimits:\n  body: lots\n")


def break_domain(node):
    node.config.write_text("node:\n  data_dir: data\n")


def break_url_address(node):
    node.set({"federation.url": "https://192.0.2.1"})


def break_url_localhost(node):
    node.set({"federation.url": "https://localhost:8443"})


def break_key_mode(node):
    (node.folder / KEY).chmod(0o644)


def break_key(node):
    (node.folder / KEY).write_text("k1 nonsense\n")


def break_key_away(node):
    (node.folder / KEY).unlink()


def break_certificate(node):
    node.set({"listen.certificate": node.folder / "nowhere.pem"})


def break_certificate_key(node):
    """It is that of another certificate."""
    other = node.lab.authority.issue("other.test")[1]
    node.set({"listen.key": other})


def break_database(node):
    """It comes from a newer program."""
    with sqlite3.connect(node.folder / DATABASE) as database:
        database.execute("PRAGMA user_version = 999")


BROKEN = {
    break_configuration: r"restante\.yaml:\d+",
    break_option: r"restante\.yaml:4.*listen\.prot",
    break_value: r"restante\.yaml:5.*limits\.body",
    break_domain: r"node\.domain",
    break_url_address: r"federation\.url.*192\.0\.2\.1.*https://NAME",
    break_url_localhost: r"federation\.url.*localhost:8443.*https://NAME",
    break_key_mode: r"k1\.key",
    break_key: r"k1\.key",
    break_key_away: r"no server key.*restante key rotate",
    break_certificate: r"nowhere\.pem",
    break_certificate_key: r"do not belong together|a\.test\.pem.*cannot be used with its key",
    break_database: r"newer than this program",
}


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__)
def test_check_and_serve_say_what_is_broken(node, damage):
    damage(node)
    for command in "check", "serve":
        status, text = of(node, command)
        assert status == 1, (command, text)
        assert re.search(BROKEN[damage], text), (command, text)
        assert "Sanitizer" not in text


def test_serve_says_so_when_its_port_or_configuration_cannot_be_had(node, tmp_path):
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        node.set({"listen.port": taken.getsockname()[1]})
        status, text = of(node, "serve")
        assert status == 1 and str(node.options["listen.port"]) in text, text
    status, text = restante("serve", "--config", tmp_path / "nowhere.yaml")
    assert status == 1 and "nowhere.yaml" in text
    status, text = restante("serve", "--config", node.config,
                            environment={"RESTANTE_LIMITS_BODY": "lots"})
    assert status == 1 and "RESTANTE_LIMITS_BODY" in text


def test_commands_beside_a_running_node_do_it_no_harm(lab, node, signal):
    """Another process at the database must not take its log away: what the node accepts
    afterwards has to outlive it."""
    lab.start()
    alice, bob = join(signal, node, "alice"), join(signal, node, "bob")
    assert of(node, "check")[0] == 0
    assert of(node, "invite")[0] == 0
    post(alice, letter(alice, bob.address, "after that"))
    node.kill()
    assert of(node, "check")[0] == 0
    node.start()
    assert len(bob.client.mailbox()["items"]) == 1


# Running

def test_health_readiness_and_metrics(serving, signal):
    assert serving.get("/healthz") == (200, '{"status":"ok"}')
    assert serving.get("/readyz") == (200, '{"status":"ready"}')
    alice, bob = join(signal, serving, "alice"), join(signal, serving, "bob")
    accepted = serving.metric("restante_messages_accepted_total")
    post(alice, letter(alice, bob.address, "hello"))
    assert serving.metric("restante_messages_accepted_total") == accepted + 1
    with bob.client.socket() as ws:
        ws.envelopes()
        assert serving.metric("restante_sockets_open") == 1
    wait_until(lambda: serving.metric("restante_sockets_open") == 0, "the socket to be gone")

    status, text = serving.get("/metrics")
    assert status == 200
    types = dict(re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", text, re.MULTILINE))
    helps = re.findall(r"^# HELP (\S+) \S.*$", text, re.MULTILINE)
    samples = re.findall(r"^([a-z_]+)(?:\{[^}]*\})? -?[0-9.e+]+$", text, re.MULTILINE)
    assert len(text.splitlines()) == len(types) + len(helps) + len(samples)
    assert sorted(helps) == sorted(types) and set(samples) <= set(types)
    for name in types:
        assert name.startswith("restante_")
        assert name.endswith("_total") == (types[name] == "counter")


def ask(node, path, **headers):
    """Status and headers of a GET with these headers."""
    connection = node.lab.connection(node)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value
                                                 for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers
    finally:
        connection.close()


@pytest.mark.parametrize("readers, here, through_a_proxy",
                         [("off", 404, 404), ("loopback", 200, 404), ("all", 200, 200)])
@pytest.mark.parametrize("proxy", ["true", "false"])
def test_metrics_are_for_whom_the_operator_says(lab, node, readers, here, through_a_proxy,
                                                proxy):
    node.set({"listen.metrics": readers, "listen.trust_forwarded_for": proxy})
    lab.start()
    assert ask(node, "/metrics")[0] == here
    assert ask(node, "/metrics", X_Forwarded_For="192.0.2.1")[0] == through_a_proxy
    assert ask(node, "/metrics", X_Forwarded_For="127.0.0.1")[0] == through_a_proxy


def ask_often(node, path, times):
    """By one connection: faster than limits allow, also where handshakes take their time."""
    connection = node.lab.connection(node)
    for _ in range(times):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        yield response.status, response.headers
    connection.close()


def test_rate_limits_count_once_and_say_when_to_come_back(lab, node):
    node.set({"limits.rate_scale": 1})
    lab.start()
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
               "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    answers = [ask(node, "/api/v1/ws", **upgrade) for _ in range(40)]
    refused = [headers for status, headers in answers if status != 101]
    assert {status for status, _ in answers} == {101, 429}
    assert all(1 <= int(headers["Retry-After"]) <= 2 for headers in refused)
    assert node.metric("restante_rate_limited_total") == len(refused)
    again = [headers for status, headers in ask_often(node, "/.well-known/restante", 200)
             if status == 429]
    assert again and all(headers["Retry-After"] == "1" for headers in again)
    assert node.metric("restante_rate_limited_total") == len(refused) + len(again)


def test_log_is_logfmt_with_events_of_the_closed_list(serving):
    known = re.findall(r"^EVENT\((\w+)\)", (ROOT / "include/restante/log.def").read_text(),
                       re.MULTILINE)
    value = r'(?:[^\s"=]+|"(?:[^"\\]|\\.)*")'
    line_form = re.compile(rf"ts=\S+Z level=(?:debug|info|warn|error) thread=[\w-]+ event=(\w+)"
                           rf"(?: \w+={value})*")
    lines = serving.log_text().splitlines()
    assert len(lines) > 2
    for line in lines:
        match = line_form.fullmatch(line)
        assert match and match[1] in known, line


def test_sighup_reloads_the_certificate(serving, signal):
    """Connections stay, and files that are no good change nothing."""
    alice = join(signal, serving, "alice")
    pid = serving._child.pid
    with alice.client.socket() as ws:
        ws.wait_for("queue_empty")
        former = certificate_of(serving)
        serving.lab.authority.issue(serving.domain)
        assert certificate_of(serving) == former
        os.kill(pid, signals.SIGHUP)
        wait_until(lambda: certificate_of(serving) != former, "the new certificate")
        new = certificate_of(serving)

        path = Path(serving.options["listen.certificate"])
        good = path.read_bytes()
        of_another_key = serving.lab.authority.issue("other.test")[0].read_bytes()
        for refused, bad in enumerate([b"nonsense", of_another_key], 1):
            path.write_bytes(bad)
            os.kill(pid, signals.SIGHUP)
            wait_until(lambda: serving.log_text().count("event=tls reloaded=no") == refused,
                       "a refusal")
            assert certificate_of(serving) == new
        path.write_bytes(good)
        ws.ping()
    alice.client.account()


@pytest.mark.parametrize("how", [signals.SIGTERM, signals.SIGINT])
def test_signal_ends_the_node_in_order(lab, node, signal, how):
    """Sockets are told to come back, nothing leaks (a sanitizer would say so), and the
    exit status is 0."""
    lab.start()
    alice, bob = join(signal, node, "alice"), join(signal, node, "bob")
    with bob.client.socket() as ws, alice.client.socket() as other:
        ws.wait_for("queue_empty")
        message = letter(alice, bob.address, "hello")
        other.write({"type": "send", "messages": [message]})
        os.kill(node._child.pid, how)
        assert ws.wait_closed() == 1012
    child = node._child
    wait_until(lambda: not child.running(), "the end")
    node.stop()  # asks for the exit status
    events = re.findall(r" event=(\w+)", node.log_text())
    assert events.index("stopping") < events.index("stopped")
    assert "Sanitizer" not in node.log_text()


def test_a_reload_while_the_node_starts_is_done_when_it_has(lab, node):
    # It takes a while to start.
    node.set({"accounts.password_memory": "256M", "accounts.password_passes": 8})
    node.start(wait=False)
    wait_until(lambda: "event=" in node.log_text(), "a sign of life")
    os.kill(node.pid, signals.SIGHUP)
    assert "event=started" not in node.log_text()
    node.wait_ready()
    wait_until(lambda: "event=tls reloaded=yes" in node.log_text(), "the reload")


def test_signals_while_the_node_ends_change_nothing(lab, node):
    lab.start()
    os.kill(node.pid, signals.SIGTERM)

    def ends():
        for again in signals.SIGHUP, signals.SIGTERM, signals.SIGINT:
            os.kill(node.pid, again)
        return not node.running()

    wait_until(ends, "the end", pause=0)
    node.stop()
    assert "event=stopped" in node.log_text()
