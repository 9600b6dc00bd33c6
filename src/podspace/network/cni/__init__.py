"""The Pod network by CNI plugins, as what is in /etc/cni/net.d says."""
