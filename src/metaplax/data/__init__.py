"""Pixels and labels."""
