import { redactApiKeys } from './redact';

const CENSOR = '[redacted]';

/** Deeper than anyone logs on purpose: the socket of a request leads to its server, and that to everything. */
const MAX_DEPTH = 12;

/** What `pino` takes as `redact`. */
export interface PinoRedaction {
  readonly paths: string[];
  readonly censor: (value: unknown, path: readonly PropertyKey[]) => unknown;
}

/**
 * Has `pino`, `nestjs-pino` or Fastify's logger leave keys out of a line, wherever they are in it: the values of `Authorization` and
 * of the key header, in any case and in lists such as `rawHeaders`, and in all text what `redactApiKeys` finds. Use it as
 * `pino({ redact: pinoRedaction() })`, alone: `pino` takes a field for which there is another path away from it.
 * @param headerName as the option of that name
 * @param others more headers and fields to leave out, by name wherever they are, such as `cookie` or `password`
 */
export function pinoRedaction(headerName = 'X-API-Key', ...others: readonly string[]): PinoRedaction {
  const names = ['Authorization', headerName, ...others];
  const secret = new Set(names.map((name) => name.toLowerCase()));
  const topFields = new Set([...names, ...secret]);
  return {
    paths: ['*', ...Array.from(topFields, (name) => `[${JSON.stringify(name)}]`)],
    censor: (value, path) => {
      if (path.length > 1 || secret.has(String(path[0]).toLowerCase())) return CENSOR;
      try {
        return new RedactedCopy(secret).of(value);
      } catch {
        return CENSOR;
      }
    },
  };
}

/** A copy of what JSON takes of a value. What is in it twice, or in itself, is so in the copy, which takes time in proportion. */
class RedactedCopy {
  private readonly copies = new Map<object, unknown>();

  constructor(private readonly secret: ReadonlySet<string>) {}

  of(value: unknown, depth = 0): unknown {
    if (typeof value === 'string') return redactApiKeys(value);
    if (typeof value !== 'object' || value === null) return value;
    if (this.copies.has(value)) return this.copies.get(value);
    if (depth > MAX_DEPTH) return CENSOR;
    const json = asJson(value);
    if (typeof json !== 'object' || json === null) return this.of(json);
    return Array.isArray(json) ? this.ofList(value, json, depth) : this.ofFields(value, json, depth);
  }

  /** Of a list of headers, names and values in turn, as well. */
  private ofList(source: object, list: readonly unknown[], depth: number): unknown[] {
    const copy: unknown[] = [];
    this.copies.set(source, copy);
    for (const [i, value] of list.entries()) copy.push(this.named(list[i - 1], value, depth));
    return copy;
  }

  private ofFields(source: object, fields: object, depth: number): object {
    const copy = Object.create(null);
    this.copies.set(source, copy);
    for (const [name, value] of Object.entries(fields))
      copy[redactApiKeys(name)] = this.named(name, value, depth);
    return copy;
  }

  private named(name: unknown, value: unknown, depth: number): unknown {
    const isSecret = typeof name === 'string' && this.secret.has(name.toLowerCase());
    return isSecret && value != null ? CENSOR : this.of(value, depth + 1);
  }
}

function asJson(value: object): unknown {
  const { toJSON } = value as { toJSON?: unknown };
  return typeof toJSON === 'function' ? toJSON.call(value, '') : value;
}
