"""The front door for kubelets: the CRI over a unix socket. Knows sandboxes and containers, not Pods."""
