"""Inner loops that minimise an energy, by gradients or along a direction that a local rule computes."""
