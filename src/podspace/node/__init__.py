"""What a kubelet does: Pods from the store become sandboxes and containers, and status goes back."""
