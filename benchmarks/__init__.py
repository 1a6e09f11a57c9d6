"""Timings that anyone can repeat; never assertions."""
