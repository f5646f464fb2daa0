import { connect } from 'node:net';
import { randomFrom } from './random';

const TOGETHER = 50;
const SEED = 20_261_125;
/**
 * Statuses that Node itself sends before any guard runs. 400: the request is not HTTP. 431: its
 * headers are too large.
 */
export const BY_NODE = [400, 431];

/**
 * Sends requests without waiting for responses and returns the statuses that arrive. Node 24 may
 * respond before it has read a whole request. Then Node 24 resets the connection.
 */
export async function statusesOf(port: number, requests: readonly string[]): Promise<number[]> {
  const socket = connect(port, '127.0.0.1');
  let answers = '';
  socket.on('data', (chunk) => (answers += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.write(Buffer.from(requests.join(''), 'latin1'));
  await new Promise((resolve) => socket.once('close', resolve));
  return [...answers.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

/** Returns the text of a GET request with these header lines, in HTTP/1.1 syntax. */
export const requestOf = (lines: readonly string[], isLast: boolean) =>
  ['GET / HTTP/1.1', 'Host: a', ...(isLast ? ['Connection: close'] : []), ...lines, '', ''].join('\r\n');

/**
 * Sends malformed credentials until `cases` responses have arrived. Returns the number of responses
 * by status.
 */
export async function sendMalformed(port: number, key: string, cases: number): Promise<Map<number, number>> {
  const random = randomFrom(SEED);
  const counts = new Map<number, number>();
  let answered = 0;
  while (answered < cases) {
    const requests = Array.from({ length: TOGETHER }, (_, i) =>
      requestOf(malformedLines(key, random), i === TOGETHER - 1),
    );
    for (const status of await statusesOf(port, requests)) {
      counts.set(status, (counts.get(status) ?? 0) + 1);
      answered += 1;
    }
  }
  return counts;
}

const CHARACTERS = '0123456789ABCDEFabcdefghijklmnopqrstuvwxyz_-.~+/= \t",;\x80ÿ';

/** Header lines that contain a valid key but must not authenticate. */
const SPOILT: readonly ((key: string) => string[])[] = [
  (key) => [`Authorization: Bearer ${key}`, `authorization: Bearer ${key}`],
  (key) => [`Authorization: Bearer ${key}`, 'Authorization:'],
  (key) => ['Authorization: Basic eDp5', `Authorization: Bearer ${key}`],
  (key) => [`X-API-Key: ${key}`, `x-api-key: ${key}`],
  (key) => ['X-API-Key:', `X-API-Key: ${key}`],
  (key) => [`Authorization: Bearer ${key}`, `X-API-Key: ${key}`, `X-API-Key: ${key}`],
  (key) => ['Authorization: Bearer nonsense', `X-API-Key: ${key}`],
  (key) => [`Authorization: Bearer,${key}`, `X-API-Key: ${key}`],
  (key) => [`Authorization: Bearer\t${key}`],
  (key) => [`Authorization: Bearer${key}`],
  (key) => [`Authorization: Basic ${key}`],
  (key) => [`Authorization: ${key}`],
  (key) => [`Authorization: Bearer Bearer ${key}`],
  (key) => [`Authorization: Bearer ${key} ${key}`],
  (key) => [`Authorization: Bearer ${key}, Bearer ${key}`],
  (key) => [`Authorization: Bearer "${key}"`],
  (key) => [`X-API-Key: ${key},${key}`],
  (key) => [`X-API-Key: Bearer ${key}`],
];

/**
 * Returns header lines with a broken key, or with a valid key in an invalid form. Some lines
 * contain a byte that HTTP forbids.
 */
function malformedLines(key: string, random: () => number): string[] {
  const below = (n: number) => Math.floor(random() * n);
  const character = () => CHARACTERS[below(CHARACTERS.length)] as string;
  if (random() < 0.2) return SPOILT[below(SPOILT.length)]?.(key) ?? [];
  const broken = () => {
    const at = 1 + below(key.length - 1);
    const other = character();
    if (random() < 0.3) return key.slice(0, at);
    if (random() < 0.3) return `${key.slice(0, at)}${character().repeat(1 + below(300))}${key.slice(at)}x`;
    return `${key.slice(0, at)}${other === key[at] ? '!' : other}${key.slice(at + 1)}`;
  };
  const forbidden = random() < 0.005 ? '\0' : '';
  const scheme = ['Bearer ', 'bearer  ', 'BEARER ', 'Bearer', 'Basic ', 'Bearer\t', ''][below(7)];
  const lines = [`${random() < 0.8 ? 'Authorization' : 'X-API-Key'}: ${scheme}a${broken()}${forbidden}`];
  if (random() < 0.1) lines.push(`X-API-Key: a${broken()}`);
  if (random() < 0.05) lines.push(`Authorization: Bearer a${broken()}`);
  return lines;
}
