# SPDX-License-Identifier: MIT
"""ejabberd with the modules that Debian's package sets up, without shapers. It runs in a node
of Erlang that has no name, so that it needs no epmd."""

from lab import ADDRESS

from .server import Server

PACKAGE = "ejabberd"
# The first is what the package comes with. Stored are all messages, or one of so many.
STORES = {"mnesia": 1, "sqlite": 25}

CONFIG = """
loglevel: info
log_rotate_count: 0
hosts: ["{domain}"]
certfiles: ["{certificate}", "{key}"]
ca_file: "{ca}"
s2s_use_starttls: required
# Not hashed: that the generator need not wait to log in 10,000 users.
auth_password_format: plain
registration_timeout: infinity
listen:
  - {{port: {port}, ip: "{address}", module: ejabberd_c2s, max_stanza_size: 262144, tls: true}}
  - {{port: {plain_port}, ip: "{address}", module: ejabberd_c2s, max_stanza_size: 262144}}
  - {{port: {federation_port}, ip: "{address}", module: ejabberd_s2s_in,
      max_stanza_size: 524288}}
shaper_rules:
  max_user_sessions: 10
  max_user_offline_messages: infinity
modules:
  mod_adhoc: {{}}
  mod_admin_extra: {{}}
  mod_announce: {{}}
  mod_avatar: {{}}
  mod_blocking: {{}}
  mod_bosh: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_configure: {{}}
  mod_disco: {{}}
  mod_fail2ban: {{}}
  mod_http_api: {{}}
  mod_last: {{}}
  mod_mqtt: {{}}
  mod_muc:
    default_room_options: {{mam: true}}
  mod_muc_admin: {{}}
  mod_offline:
    access_max_user_messages: max_user_offline_messages
  mod_ping: {{}}
  mod_pres_counter: {{count: 5, interval: 60}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub:
    plugins: [flat, pep]
    force_node_config:
      "eu.siacs.conversations.axolotl.*": {{access_model: open}}
      storage:bookmarks: {{access_model: whitelist}}
  mod_push: {{}}
  mod_push_keepalive: {{}}
  mod_register: {{}}
  mod_roster: {{versioning: true}}
  mod_s2s_dialback: {{}}
  mod_shared_roster: {{}}
  mod_sic: {{}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
  mod_stun_disco: {{}}
  mod_vcard: {{search: false}}
  mod_vcard_xupdate: {{}}
  mod_version: {{}}
{store}
"""

STORE_OPTIONS = {
    "mnesia": "",
    "sqlite": 'default_db: sql\nsql_type: sqlite\nsql_database: "{folder}/ejabberd.sqlite"',
}

INETRC = """{{hosts_file, ""}}.
{{resolv_conf, ""}}.
{{lookup, [dns]}}.
{{nameserver, {{127,0,0,1}}, {port}}}.
"""


class Ejabberd(Server):
    NAME = "ejabberd"

    def configure(self):
        (self.folder / "spool").mkdir()
        (self.folder / "inetrc").write_text(INETRC.format(port=self.lab.names.port))
        (self.folder / "ejabberd.yml").write_text(CONFIG.format(
            domain=self.domain, address=ADDRESS, port=self.port, plain_port=self.plain_port,
            federation_port=self.federation_port, certificate=self.certificate, key=self.key,
            ca=self.lab.authority.certificate,
            store=STORE_OPTIONS[self.store].format(folder=self.folder)))

    def environment(self):
        """As ejabberdctl sets it, with other files."""
        return {"EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
                "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"),
                "ERL_LIBS": "/usr/lib/x86_64-linux-gnu", "ERL_CRASH_DUMP_BYTES": "0",
                "ERL_INETRC": str(self.folder / "inetrc"), "ERL_MAX_PORTS": "32000",
                "ERL_MAX_ETS_TABLES": "1400"}

    def command(self):
        return ["erl", "+K", "true", "+P", "250000", "-noinput",
                "-mnesia", "dir", f'"{self.folder / "spool"}"', "-s", "ejabberd"]


KIND = Ejabberd
