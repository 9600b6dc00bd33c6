"""The Pod network: one bridge, one address per sandbox, NAT to the outside."""
