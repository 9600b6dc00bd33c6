"""podspace: Kubernetes Pods on one Linux machine, driven by kubectl, with their shared process namespace made visible."""

__version__ = "0.1.0"
