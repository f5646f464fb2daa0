import { redactApiKeys } from './redact';

const CENSOR = '[redacted]';

/**
 * Maximum depth of the redacted copy: deeper than any log needs. The socket of a request refers to
 * its server, and the server refers to nearly all objects.
 */
const MAX_DEPTH = 12;

/** Value of the option `redact` of `pino`. */
export interface PinoRedaction {
  readonly paths: string[];
  readonly censor: (value: unknown, path: readonly PropertyKey[]) => unknown;
}

/**
 * Returns the option `redact` that removes keys from each log line of `pino`, `nestjs-pino` or
 * Fastify's logger, at any depth. The values of `Authorization` and of the key header are removed,
 * in upper or lower case, and also from lists such as `rawHeaders`. In all other texts, the keys
 * that `redactApiKeys` finds are masked. Do not add other `redact` paths: a field that another path
 * covers is not redacted by this option.
 * @param headerName the option `headerName` of the module
 * @param others names of more headers and fields to remove at any depth, such as `cookie` or
 *   `password`
 * @example
 * pino({ redact: pinoRedaction() })
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

/**
 * Creates a redacted copy of the JSON form of a value. Each object is copied once. So repeated and
 * circular references stay references, and the time is proportional to the size.
 */
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

  /** Copies a list. The list may contain alternating names and values of headers. */
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
