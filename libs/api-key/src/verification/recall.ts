import type { LRUCache } from 'lru-cache';

/** A value by its key. Which was used last matters only to a cache that is full, so that until then nothing is moved. */
export function recall<Value extends object>(cache: LRUCache<string, Value>, key: string): Value | undefined {
  return cache.size < cache.max ? cache.peek(key) : cache.get(key);
}
