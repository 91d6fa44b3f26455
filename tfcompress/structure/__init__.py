"""Reading, grouping and rebuilding the graphs of Keras models."""
