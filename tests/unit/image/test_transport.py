"""Which requests go through a proxy."""

from __future__ import annotations

import pytest

from podspace.image.transport import Transport


def test_the_environments_proxy_is_for_others_than_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert Transport.proxy("https://registry-1.docker.io/v2/") is None
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    assert Transport.proxy("https://registry-1.docker.io/v2/") == "http://proxy.example:3128"
    assert Transport.proxy("https://registry.internal.example/v2/") is None
    assert Transport.proxy("http://127.0.0.1:5000/v2/") is None
    assert Transport.proxy("http://localhost:5000/v2/") is None
