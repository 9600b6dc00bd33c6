"""TLS to a server that is not reached by its local socket. Apart from ``client`` because importing ssl costs 15 ms."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator

from podspace.cli import kubeconfig


def wrap(sock: socket.socket, cluster: kubeconfig.Cluster, host: str) -> ssl.SSLSocket:
    """Raises: OSError (ssl.SSLError) when the certificate is not the one the kubeconfig knows."""
    context = ssl.create_default_context(cadata=cluster.ca.decode() or None)
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cluster.client_certificate:
        with _in_memory(cluster.client_certificate + b"\n" + cluster.client_key) as path:
            context.load_cert_chain(path)
    return context.wrap_socket(sock, server_hostname=cluster.server_name or host)


@contextlib.contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A path to the bytes: OpenSSL wants a file, and a private key does not belong on a disk."""
    descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
