"""What the Kubernetes API means, as pure functions over JSON-shaped dicts: no I/O, no clock that is not passed in."""
