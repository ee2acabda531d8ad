"""Measuring a trained model: likelihood in bits per token."""
