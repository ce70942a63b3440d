"""Convolutions and pooling, written in the way that is fastest inside loops on a CPU."""
