"""Families as users write them, for the tests: `own_families.sequence:Mixer` and so on."""
