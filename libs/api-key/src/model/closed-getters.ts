import { type InspectOptions, inspect } from 'node:util';

/**
 * Formats an object as `util.inspect` does by default, but never reads a getter. The caller of
 * `util.inspect` can ask it to read getters, and these return secrets.
 */
export function inspectClosed(value: object, depth: number, options: InspectOptions): string {
  return inspect(value, { ...options, depth, getters: false, customInspect: false });
}
