import type { ApiKeyOptions } from 'nestjs-api-key';

const SECTIONS = ['https', 'cache', 'usage', 'audit', 'rateLimit', 'failedAttempts'] as const;

/** Options of which the later ones win, field by field in their sections as well. */
export function layered(...layers: readonly ApiKeyOptions[]): ApiKeyOptions {
  const merged: ApiKeyOptions = Object.assign({}, ...layers);
  for (const name of SECTIONS) {
    const given = layers.map((layer) => layer[name]).filter((section) => section !== undefined);
    if (given.length > 1 && given.every(isSection))
      Object.assign(merged, { [name]: Object.assign({}, ...given) });
  }
  return merged;
}

/** What a test of a wrong option gives stays as it is. */
function isSection(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
