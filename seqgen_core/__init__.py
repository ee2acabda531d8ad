"""The core of seqgen: settings, data, models, training, generation and evaluation, free of any command line."""
