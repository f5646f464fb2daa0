import type { ApiKeyOptions } from 'nestjs-api-key';

const SECTIONS = ['https', 'cache', 'usage', 'audit', 'rateLimit', 'failedAttempts'] as const;

/** Merges options. Later options override earlier options, also field by field within a section. */
export function layered(...layers: readonly ApiKeyOptions[]): ApiKeyOptions {
  const merged: ApiKeyOptions = Object.assign({}, ...layers);
  for (const name of SECTIONS) {
    const given = layers.map((layer) => layer[name]).filter((section) => section !== undefined);
    if (given.length > 1 && given.every(isSection))
      Object.assign(merged, { [name]: Object.assign({}, ...given) });
  }
  return merged;
}

/**
 * Returns whether a value is a section. Other values stay unchanged, because some tests pass wrong
 * options.
 */
function isSection(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
