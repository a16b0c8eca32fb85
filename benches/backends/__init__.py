"""Where each database comes from and how it is filled: one module a database, with the functions that `sqlite` has.

`place(folder)` gives the targets, `seed`, `reset` and `read_back` go through one plain driver, so that no contender has
a hand in its own data.
"""
