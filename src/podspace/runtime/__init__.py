"""The engine: sandboxes and containers, never Pods. Its verbs are those of the CRI, as plain typed Python."""
