"""Timings that anyone can repeat; none of them is an assertion of a test."""
