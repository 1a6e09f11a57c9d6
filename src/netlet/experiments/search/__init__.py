"""The search for nets and recipes that fit a budget.

It scores trials on images held out of ``train`` and never reads ``test``. What it finds is added to
the catalog by hand and committed before a study measures it on ``test``.
"""
