"""Scripts that draw the repository's own pages from results/; not part of the package."""
