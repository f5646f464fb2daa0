import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth } from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { randomFrom } from './support/random';

const CASES = 50_000;
const TOGETHER = 50;
const SEED = 20_261_125;
/** What Node answers by itself, before any guard: it is no HTTP, or too much of it. */
const BY_NODE = [400, 431];

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

interface Case {
  readonly what: string;
  readonly lines: readonly string[];
}

/** Header lines by what they are, as they go over the wire; `KEY` stands for a valid key, and `×n` repeats what is before it. */
const CORPUS: readonly Case[] = JSON.parse(
  readFileSync(join(__dirname, 'fixtures/malformed-credentials.json'), 'utf8'),
);

/** The statuses of answers to requests sent one after the other without waiting, as far as the server answers. */
async function statusesOf(port: number, requests: readonly string[]): Promise<number[]> {
  const socket = connect(port, '127.0.0.1');
  let answers = '';
  socket.on('data', (chunk) => (answers += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.write(Buffer.from(requests.join(''), 'latin1'));
  await once(socket, 'close');
  return [...answers.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

const requestOf = (lines: readonly string[], isLast: boolean) =>
  ['GET / HTTP/1.1', 'Host: a', ...(isLast ? ['Connection: close'] : []), ...lines, '', ''].join('\r\n');

describe.each(ADAPTERS)('on %s', (adapter) => {
  let app: TestApp;
  let key: string;

  beforeAll(async () => {
    const database = await createMigratedDatabase();
    const userId = await createUser(database);
    app = await bootApp({ database, adapter, controllers: [Routes], options: { audit: { refused: 'off' } } });
    key = (await app.keys.create({ userId, name: 'ci' })).key;
  });
  afterAll(() => app.close());

  it.each(CORPUS)('$what is refused', async ({ lines }) => {
    const written = lines.map((line) =>
      line
        .replaceAll('KEY', key)
        .replace(/(.)×(\d+)/, (_, character, times) => character.repeat(Number(times))),
    );
    const [status = 0] = await statusesOf(app.port, [requestOf(written, true)]);
    expect([401, ...BY_NODE]).toContain(status);
  });

  it(`${CASES} malformed credentials by HTTP: none is accepted, and none is a fault of the server`, async () => {
    const random = randomFrom(SEED);
    const counts = new Map<number, number>();
    let answered = 0;
    while (answered < CASES) {
      const requests = Array.from({ length: TOGETHER }, (_, i) =>
        requestOf(malformedLines(key, random), i === TOGETHER - 1),
      );
      for (const status of await statusesOf(app.port, requests)) {
        counts.set(status, (counts.get(status) ?? 0) + 1);
        answered += 1;
      }
    }
    expect([...counts.keys()].filter((status) => ![401, ...BY_NODE].includes(status))).toEqual([]);
    expect(counts.get(401)).toBeGreaterThan(CASES / 2);
    const [alive] = await statusesOf(app.port, [requestOf([`Authorization: Bearer ${key}`], true)]);
    expect(alive).toBe(200);
  });
});

const CHARACTERS = '0123456789ABCDEFabcdefghijklmnopqrstuvwxyz_-.~+/= \t",;\x80ÿ';

/** A key that is valid, in header lines that must not bring it. */
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

/** Header lines with a key that is none any more, or with a valid one in a shape that is none; now and then a byte that HTTP forbids. */
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
