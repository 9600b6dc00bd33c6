"""The ledger: what becomes of every field of a Pod. ``verdict`` says how to read and change an entry."""
