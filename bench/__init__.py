"""Times beside a peer's, measured in the same run on the same machine: ``make bench``. Ratios, never assertions."""
