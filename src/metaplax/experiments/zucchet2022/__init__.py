"""Zucchet et al. (2022): a contrastive rule for meta-learning."""
