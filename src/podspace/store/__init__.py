"""API objects, durable in SQLite, indexed in memory, watched by everybody."""

from podspace.store.change import Change as Change
from podspace.store.change import ChangeKind as ChangeKind
from podspace.store.index import Entry as Entry
from podspace.store.store import Delete as Delete
from podspace.store.store import Store as Store
from podspace.store.watch import Watch as Watch
