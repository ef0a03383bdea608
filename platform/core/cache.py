"""A cache in the process's memory with bounds: of entries, and of the bytes that they are said to take."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock


class BoundedCache[K: Hashable, V]:
    """The least recently used entries go first. Safe for threads. It knows nothing of freshness: keep a version in the value."""

    def __init__(self, *, most_bytes: int, most_entries: int) -> None:
        self.most_bytes = most_bytes
        self.most_entries = most_entries
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        return self._bytes

    def get(self, key: K) -> V | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: K, value: V, *, size: int) -> None:
        """Replaces what was under the key. `size` in bytes; a value larger than the whole cache is not kept."""
        with self._lock:
            self._drop(key)
            if size > self.most_bytes:
                return
            self._entries[key] = (value, size)
            self._bytes += size
            while self._bytes > self.most_bytes or len(self._entries) > self.most_entries:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1]
