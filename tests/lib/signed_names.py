# SPDX-License-Identifier: MIT
"""A name server that validates DNSSEC, in place of the lab's dnsmasq: Debian's unbound, with the
zone signed.test, which ldns-signzone has signed and whose key it trusts, and the unsigned zone
test. It asks nobody else.

    with Lab(names=SignedNames) as lab:
        lab.names.texts["b.signed.test"] = [...]
        lab.names.forged["_restante.c.signed.test.", "TXT"] = '"v=..."'  # after signing
        lab.names.apply()
"""

import subprocess

from lab import ADDRESS, LabError, NameServer

SIGNED, UNSIGNED = "signed.test", "test"
SOA = "@ 1 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 1\n@ 1 IN NS ns.test.\n"


class SignedNames(NameServer):
    def __init__(self, folder):
        super().__init__(folder)
        self.forged = {}  # (owner, kind) -> data, put into the zone after it was signed
        # A key that signs all there is; its public half is what the resolver trusts.
        made = self._run("ldns-keygen", "-k", "-a", "ECDSAP256SHA256", SIGNED)
        self._key = self.folder / made.strip()

    def _run(self, *command):
        done = subprocess.run([str(part) for part in command], cwd=self.folder, text=True,
                              capture_output=True)
        if done.returncode != 0:
            raise LabError(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def apply(self):
        for zone in SIGNED, UNSIGNED:
            lines = [line for line in self._records() if self._zone_of(line.split()[0]) == zone]
            (self.folder / zone).write_text(f"$ORIGIN {zone}.\n{SOA}" + "".join(lines))
        self._run("ldns-signzone", "-f", f"{SIGNED}.signed", SIGNED, self._key)
        self._forge(self.folder / f"{SIGNED}.signed")
        config = self.folder / "unbound.conf"
        config.write_text(self._config())
        self._start("unbound", "-d", "-c", config)

    @staticmethod
    def _zone_of(owner):
        return SIGNED if owner.endswith(f".{SIGNED}.") else UNSIGNED

    def _records(self):
        for name, addresses in self.addresses.items():
            for address in addresses:
                yield f"{name}. 1 IN {'AAAA' if ':' in address else 'A'} {address}\n"
        for domain, services in self.services.items():
            for priority, weight, port, target in services:
                yield f"_restante._tcp.{domain}. 1 IN SRV {priority} {weight} {port} {target}.\n"
        for domain, texts in self.texts.items():
            for text in texts:
                yield f'_restante.{domain}. 1 IN TXT "{text}"\n'

    def _forge(self, zone):
        lines = []
        for line in zone.read_text().splitlines():
            owner, ttl, _, kind = (line.split() + [""] * 4)[:4]
            data = self.forged.get((owner, kind))
            lines.append(line if data is None else f"{owner} {ttl} IN {kind} {data}")
        zone.write_text("\n".join(lines) + "\n")

    def _config(self):
        return f"""
server:
    interface: {ADDRESS}@{self.port}
    port: {self.port}
    username: ""
    chroot: ""
    pidfile: ""
    directory: "{self.folder}"
    use-syslog: no
    logfile: ""
    val-log-level: 2
    num-threads: 1
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    module-config: "validator iterator"
    trust-anchor-file: "{self._key}.key"
    local-zone: "." refuse
    local-zone: "test." transparent
remote-control:
    control-enable: no
auth-zone:
    name: "{SIGNED}"
    zonefile: "{SIGNED}.signed"
    for-downstream: no
    fallback-enabled: no
auth-zone:
    name: "{UNSIGNED}"
    zonefile: "{UNSIGNED}"
    for-downstream: no
    fallback-enabled: no
"""
