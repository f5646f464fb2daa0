import { LRUCache } from 'lru-cache';

/**
 * Values by key, of which the least recently used goes where there are too many. Which was used last matters only to a cache that
 * is full: until then a value costs no more to read than of a `Map`.
 */
export class RecallCache<Value extends object> {
  private readonly values = new Map<string, Value>();
  private readonly lru: LRUCache<string, Value>;

  /** @param dropped told of each value that goes, for whatever reason */
  constructor(
    private readonly max: number,
    dropped: (value: Value, key: string) => void = () => {},
  ) {
    this.lru = new LRUCache({
      max,
      dispose: (value, key) => {
        if (this.values.get(key) === value) this.values.delete(key);
        dropped(value, key);
      },
    });
  }

  get size(): number {
    return this.values.size;
  }

  recall(key: string): Value | undefined {
    const value = this.values.get(key);
    if (value !== undefined && this.values.size >= this.max) this.lru.get(key);
    return value;
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  /** The keys that were used longest ago, as far as that is known. */
  oldest(): Iterable<string> {
    return this.lru.rkeys();
  }

  /** Counts as a use, also where there is room. */
  touch(key: string): void {
    this.lru.get(key);
  }

  set(key: string, value: Value): void {
    this.values.set(key, value);
    this.lru.set(key, value);
  }

  delete(key: string): void {
    this.lru.delete(key);
  }

  clear(): void {
    this.lru.clear();
  }
}
