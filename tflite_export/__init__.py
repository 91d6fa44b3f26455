"""From a trained Keras model to proven integers: convert, verify, run, and see what they cost on an NPU."""
