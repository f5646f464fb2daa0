import type { IncomingMessage } from 'node:http';

/**
 * What guards read of a request. An adapter that is not Node's own server need not give a socket.
 */
export interface RequestHead extends Pick<IncomingMessage, 'rawHeaders' | 'headers'> {
  readonly socket?: Partial<IncomingMessage['socket']> | undefined;
}

/**
 * The head of a request whose adapter gives no header lines: they are then those of its `headers`.
 * Adapters of serverless platforms build such requests: `serverless-http` 4.0.0 sets `headers`
 * alone, whose names may be in any case.
 */
export function headFromFields({ headers, socket }: Partial<IncomingMessage>): RequestHead {
  const lines = fieldsOf(headers ?? {}).flatMap(([name, value]) =>
    linesOf(value).map((line) => [name.toLowerCase(), line] as const),
  );
  return { rawHeaders: lines.flat(), headers: joined(lines), socket };
}

/** Names and values, also of the `Headers` of the Fetch standard. */
function fieldsOf(headers: object): [string, unknown][] {
  const isFetch = headers instanceof Headers || headers instanceof Map;
  return [...(isFetch ? headers.entries() : Object.entries(headers))];
}

/**
 * The lines that a value may have been. Adapters join the lines of a header with commas, and no
 * credential holds one, so a comma counts as the begin of another line.
 */
function linesOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(linesOf);
  return value === undefined || value === null ? [] : String(value).split(',');
}

function joined(lines: readonly (readonly [string, string])[]): IncomingMessage['headers'] {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, line] of lines) {
    const before = headers[name];
    headers[name] = before === undefined ? line : `${before},${line}`;
  }
  return headers;
}
