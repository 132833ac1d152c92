"""What a finished run shows: figures, and its movies in TensorBoard's projector."""
