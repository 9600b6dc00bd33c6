"""Exec, attach and port-forward over WebSocket and SPDY, for both front doors (`api`, `cri`). Knows no Pod and no sandbox."""
