"""Verdicts on the fields of probes, hooks and restart rules. How to change one: ``verdict``.

None of these types has a line yet: a container's probes, ``lifecycle`` and ``restartPolicyRules`` are refused as a whole.
"""

from __future__ import annotations

from podspace.kube.fields.verdict import Types

TYPES: Types = {}
