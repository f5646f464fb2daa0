import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth } from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { BY_NODE, requestOf, sendMalformed, statusesOf } from './support/malformed-requests';

const CASES = 2_000;

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

/**
 * Header lines by what they are, as they go over the wire; `KEY` stands for a valid key, and `×n`
 * repeats what is before it.
 */
const CORPUS: readonly Case[] = JSON.parse(
  readFileSync(join(__dirname, 'fixtures/malformed-credentials.json'), 'utf8'),
);

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

  it(`${CASES} malformed credentials over HTTP are all refused, and none causes a server error`, async () => {
    const counts = await sendMalformed(app.port, key, CASES);
    expect([...counts.keys()].filter((status) => ![401, ...BY_NODE].includes(status))).toEqual([]);
    expect(counts.get(401)).toBeGreaterThan(CASES / 2);
    const [alive] = await statusesOf(app.port, [requestOf([`Authorization: Bearer ${key}`], true)]);
    expect(alive).toBe(200);
  });
});
