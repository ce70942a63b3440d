"""Convolutions and pooling written the way that is fastest inside loops on a CPU."""
