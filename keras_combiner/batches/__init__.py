"""Documents to token ids, to windows, to batches of similar lengths; knows no model."""
