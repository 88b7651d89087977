"""Functions that edit .tflite files: each takes the bytes of one and returns those of another."""
