# SPDX-License-Identifier: MIT
"""The independent peer (peer.py) as a member of a lab (tests/lib/lab.py): certificate, DNS
records, and clients of a real node beside it."""

from lab import ADDRESS
from peer import Peer


class LabPeer(Peer):
    """Serves as soon as it is made. names.apply() shows its records."""

    def __init__(self, lab, domain, certificate_for=None, **options):
        self.lab = lab
        certificate, key = lab.authority.issue(certificate_for or domain)
        super().__init__(domain, certificate, key, lab.authority.certificate,
                         (ADDRESS, lab.names.port), **{"allow_private": True, **options})
        self.publish()
        self.start()

    def publish(self, texts=None):
        names = self.lab.names
        names.addresses[self.domain] = [ADDRESS]
        names.services[self.domain] = [(0, 0, self.port, self.domain)]
        names.texts[self.domain] = self.txt_records() if texts is None else texts

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
