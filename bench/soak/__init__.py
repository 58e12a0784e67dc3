"""`make soak`: nodes as processes under mixed load, with faults, and every effect counted at the end.

`plan` decides the faults by a seed, `faults` commits them on `nodes` and `postgres`; `requests`, `events` and `deploys`
are the load, which `client` sends; `ledger` knows what was promised, `watch` how much memory and disk it took,
`evidence` what the database says in the end, `verdict` compares, `report` and `picture` show.
"""
