"""Drawing new sequences from a trained model: priming, stepping, sampling, rendering."""
