"""Verdicts on the fields of names and name servers. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured

_HOSTS = "conformance/pods/test_environment.py::test_names_and_hosts"
_RESOLVERS = "conformance/pods/test_environment.py::test_resolvers"

TYPES: Types = {
    "HostAlias": {
        "hostnames": honoured(_HOSTS),
        "ip": honoured(_HOSTS),
    },
    "PodDNSConfig": {
        "nameservers": honoured(_RESOLVERS),
        "options": honoured(_RESOLVERS),
        "searches": honoured(_RESOLVERS),
    },
    "PodDNSConfigOption": {
        "name": honoured(_RESOLVERS),
        "value": honoured(_RESOLVERS),
    },
}
