"""From a source to tokens on disk: catalogue, download, preprocess, the store, and windows for training."""
