"""Suite -> records.

The only package that starts processes. Knows nothing of torch, reports or verdicts.

``session.run`` drives everything; ``plan`` says how long and how often; ``process`` starts real
workers and ``fake`` pretends to; ``ensemble`` lets the workers of one workload take turns.
"""
