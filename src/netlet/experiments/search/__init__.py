"""The search behind the frontier: nets that fit a budget, recipes for them, and what each trial came to.

It sees images held out of ``train`` only. What it finds is written into the catalogue by hand, and
committed, before a study scores it on ``test``.
"""
