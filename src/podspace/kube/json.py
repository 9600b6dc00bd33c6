"""The one name for a decoded JSON object, so that ``Any`` has a single door into the program.

Everything above ``kube`` that holds an API object annotates it as ``json.JSON``. Import it as ``from podspace.kube.json import JSON``:
the module shares its name with the standard library's.
"""

from __future__ import annotations

from typing import Any, TypeAlias

JSON: TypeAlias = dict[str, Any]
