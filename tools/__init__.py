"""The project's own pages, drawn from the records under results/; no part of the package."""
