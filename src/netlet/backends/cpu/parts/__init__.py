"""The parts of a compiled program: what each computes, as C and in PyTorch."""
