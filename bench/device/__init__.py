"""Proves or refutes on a GPU what cnnbench says of CUDA: ``python -m bench.device``.

``table.py`` names every check: what it claims, the function that collects facts, the rules that
decide about them. ``session.py`` runs each in a process of its own (``child.py``) and judges;
``evidence.py`` keeps what they left. The functions are in ``instrument.py`` (the worker's own parts
against known quantities), ``commands.py`` (commands as a user types them) and ``readings.py`` (what
other checks have measured).
"""
