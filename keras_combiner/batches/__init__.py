"""Turns documents into token ids, windows and batches of similar lengths; knows no model."""
