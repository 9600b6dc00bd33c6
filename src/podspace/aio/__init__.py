"""asyncio pieces that have no better home: owned tasks, bounded teardown."""
