"""Looking into running Pods: whose process is whose, what it may do to its neighbours, and why a Pod does not run."""
