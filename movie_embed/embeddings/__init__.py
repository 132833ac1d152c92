"""What a training run leaves, and what can be made of it without training."""
