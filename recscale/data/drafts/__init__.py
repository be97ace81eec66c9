"""A first sweep of a log that nobody has described: a look at some rows (`sample`), what their
values are (`profile`, `clocks`) and their names say (`names`), the part of each column (`guess`),
and all of it as a sweep file (`draft`)."""
