"""A registry for tests: ``with registry.running(tmp_path) as mirror``. See ``tools.registry``, which the demo uses as well."""

from __future__ import annotations

from tools.registry import Mirror, conf_text, running

__all__ = ["Mirror", "conf_text", "running"]
