import type { TestApp } from './app';
import { digestOf } from './digest';

const TOGETHER = 500;

/** Imports raw keys. The name of each imported key is its position in `keys`. */
export async function importKeys(app: TestApp, userId: string, keys: readonly string[]): Promise<void> {
  const lines = keys.map((key, i) => ({
    userId,
    name: String(i),
    keyDigest: digestOf(key),
    keyPrefix: key.slice(0, 14),
  }));
  expect(await app.keys.import(lines)).toMatchObject({ imported: keys.length, problems: [] });
}

/** Returns the positions of the keys that are refused, or that authenticate as another key. */
export async function misjudged(app: TestApp, keys: readonly string[]): Promise<number[]> {
  const others: number[] = [];
  for (let from = 0; from < keys.length; from += TOGETHER) {
    const results = await Promise.all(keys.slice(from, from + TOGETHER).map((key) => app.keys.verify(key)));
    for (const [i, result] of results.entries())
      if (!result.ok || result.apiKey.name !== String(from + i)) others.push(from + i);
  }
  return others;
}
