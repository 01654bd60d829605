"""A text becomes sound: Engine, and what it is made of."""
