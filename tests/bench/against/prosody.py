# SPDX-License-Identifier: MIT
"""Prosody as Debian's package sets it up, but for its limits of bytes a second, which are off."""

from lab import ADDRESS

from .server import Server

PACKAGE = "prosody"
# The first is what the package comes with. Stored are all messages, or one of so many.
STORES = {"files": 1, "sqlite": 25}

CONFIG = """
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
log = {{ info = "*console" }}
interfaces = {{ "{address}" }}
c2s_ports = {{ {plain_port} }}
c2s_direct_tls_ports = {{ {port} }}
s2s_ports = {{ {federation_port} }}
ssl = {{ certificate = "{certificate}", key = "{key}", cafile = "{ca}" }}
unbound = {{
	resolvconf = false, hoststxt = false, forward = "{address}@{names_port}",
	options = {{ ["do-not-query-localhost:"] = "no" }},
}}
modules_enabled = {{
	"disco", "roster", "saslauth", "tls", "blocklist", "bookmarks", "carbons", "dialback",
	"pep", "private", "smacks", "vcard4", "vcard_legacy", "csi_simple", "invites",
	"invites_adhoc", "invites_register", "ping", "register", "time", "uptime", "version",
	"admin_adhoc", "admin_shell", "posix",
}}
s2s_secure_auth = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
allow_registration = true
registration_invite_only = false
-- Not hashed: that the generator need not wait to log in 10,000 users.
authentication = "internal_plain"
{store}
VirtualHost "{domain}"
"""

STORE_OPTIONS = {
    "files": "",
    "sqlite": 'storage = "sql"\nsql = { driver = "SQLite3", database = "prosody.sqlite" }',
}


class Prosody(Server):
    NAME = "Prosody"

    def configure(self):
        (self.folder / "data").mkdir()
        (self.folder / "prosody.cfg.lua").write_text(CONFIG.format(
            folder=self.folder, domain=self.domain, address=ADDRESS, port=self.port,
            plain_port=self.plain_port, federation_port=self.federation_port,
            certificate=self.certificate, key=self.key, ca=self.lab.authority.certificate,
            names_port=self.lab.names.port, store=STORE_OPTIONS[self.store]))

    def command(self):
        return ["prosody", "-F", "--config", self.folder / "prosody.cfg.lua"]


KIND = Prosody
