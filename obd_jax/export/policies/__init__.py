"""Policies in NumPy alone: each module here is a file that an export copies, with its weights."""
