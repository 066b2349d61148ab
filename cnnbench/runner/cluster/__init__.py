"""One campaign on many hosts: groups are handed out one by one, and a record comes from one host.

``deal`` says who has which group next, by the ``pace`` of each host; ``address`` where the cluster
is, ``hosts`` what it can be asked, ``on_ray`` asks Ray, ``serving`` is what runs on a host,
``directory`` keeps a run for each environment, ``handing`` brings them together, and ``start``
begins and resumes.
"""
