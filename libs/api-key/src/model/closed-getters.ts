import { type InspectOptions, inspect } from 'node:util';

/** An object as `util.inspect` shows it anyhow, but with its getters closed: it can be told to read them, and they give secrets. */
export function inspectClosed(value: object, depth: number, options: InspectOptions): string {
  return inspect(value, { ...options, depth, getters: false, customInspect: false });
}
