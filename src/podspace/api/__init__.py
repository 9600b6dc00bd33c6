"""The front door for kubectl: HTTPS, discovery, CRUD, watch, tables, streaming. Knows objects, not processes."""
