"""Images: names, registries, layers unpacked for overlayfs, and the store that keeps them."""
