import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth } from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from '../support/app';
import { createMigratedDatabase, createUser } from '../support/database';
import { BY_NODE, requestOf, sendMalformed, statusesOf } from '../support/malformed-requests';

const CASES = 50_000;

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

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

  it(`${CASES} malformed credentials over HTTP are all refused, and none causes a server error`, async () => {
    const counts = await sendMalformed(app.port, key, CASES);
    expect([...counts.keys()].filter((status) => ![401, ...BY_NODE].includes(status))).toEqual([]);
    expect(counts.get(401)).toBeGreaterThan(CASES / 2);
    const [alive] = await statusesOf(app.port, [requestOf([`Authorization: Bearer ${key}`], true)]);
    expect(alive).toBe(200);
  });
});
