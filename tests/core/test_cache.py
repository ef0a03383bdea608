from core.cache import BoundedCache


def test_the_least_recently_used_goes_first() -> None:
    cache: BoundedCache[str, int] = BoundedCache(most_bytes=100, most_entries=2)
    cache.put("a", 1, size=1)
    cache.put("b", 2, size=1)
    assert cache.get("a") == 1
    cache.put("c", 3, size=1)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


def test_the_bytes_are_bounded() -> None:
    cache: BoundedCache[str, int] = BoundedCache(most_bytes=100, most_entries=10)
    cache.put("a", 1, size=60)
    cache.put("b", 2, size=40)
    assert (len(cache), cache.bytes) == (2, 100)
    cache.put("c", 3, size=1)
    assert (cache.get("a"), len(cache), cache.bytes) == (None, 2, 41)


def test_a_value_takes_the_place_of_the_one_before() -> None:
    cache: BoundedCache[str, int] = BoundedCache(most_bytes=100, most_entries=10)
    cache.put("a", 1, size=60)
    cache.put("a", 2, size=70)
    assert (cache.get("a"), len(cache), cache.bytes) == (2, 1, 70)


def test_a_value_larger_than_the_cache_is_not_kept_nor_is_its_predecessor() -> None:
    cache: BoundedCache[str, int] = BoundedCache(most_bytes=100, most_entries=10)
    cache.put("a", 1, size=60)
    cache.put("a", 2, size=101)
    assert (cache.get("a"), len(cache), cache.bytes) == (None, 0, 0)


def test_it_can_be_emptied() -> None:
    cache: BoundedCache[str, int] = BoundedCache(most_bytes=100, most_entries=10)
    cache.put("a", 1, size=60)
    cache.clear()
    assert (cache.get("a"), len(cache), cache.bytes) == (None, 0, 0)
