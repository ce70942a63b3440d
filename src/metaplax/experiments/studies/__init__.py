"""Kinds of measurement that experiments are made of."""
