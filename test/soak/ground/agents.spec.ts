import { AsyncLocalStorage } from 'node:async_hooks';
import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, CurrentUser } from 'nestjs-api-key';
import { Client } from 'pg';
import { createMigratedDatabase, createUser } from '../../support/database';
import { bootOn, ONE_CONNECTION, statusOf, UNCACHED } from '../../support/ground';

const requests = new AsyncLocalStorage<string>();

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get(@CurrentUser() user: { id: string; request: string }) {
    return { ...user, handler: requests.getStore() };
  }
}

let database: string;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

/**
 * Runs with a `Client.query` that adds a comment to each text, as agents do that link statements to
 * traces.
 */
async function commenting<T>(comment: (text: string) => string, work: () => Promise<T>): Promise<T> {
  const { query } = Client.prototype;
  const patched = function (this: Client, ...given: unknown[]) {
    const [first, ...rest] = given as [{ text?: string; submit?: unknown } | string, ...unknown[]];
    const isConfig = typeof first === 'object' && typeof first.text === 'string' && !first.submit;
    const commented =
      typeof first === 'string'
        ? comment(first)
        : isConfig
          ? { ...first, text: comment(String(first.text)) }
          : first;
    return Reflect.apply(query as never, this, [commented, ...rest]);
  };
  Client.prototype.query = patched as never;
  try {
    return await work();
  } finally {
    Client.prototype.query = query;
  }
}

/** What becomes of four requests with a key of two an hour, and of one after it was revoked. */
async function statusesBehind(comment: (text: string) => string): Promise<number[]> {
  return commenting(comment, async () => {
    const ground = await bootOn(database, {
      typeorm: ONE_CONNECTION,
      controllers: [Routes],
      options: {
        ...UNCACHED,
        rateLimit: { storage: 'postgres', onStorageFailure: 'refuse', storageTimeoutMs: 10_000 },
      },
    });
    try {
      const rateLimit = { limit: 2, windowSeconds: 3_600 };
      const { key, apiKey } = await ground.keys.create({ userId, name: 'ci', rateLimit });
      const statuses: number[] = [];
      for (let i = 0; i < 4; i++) statuses.push(await statusOf(ground.url, key));
      await ground.keys.revoke(apiKey.id);
      return [...statuses, await statusOf(ground.url, key)];
    } finally {
      await ground.close();
    }
  });
}

describe('a key', () => {
  it('works behind an agent that writes its service before each statement', async () => {
    const statuses = await statusesBehind((text) => `/*dddbs='pg',ddps='app'*/ ${text}`);
    expect(statuses).toEqual([200, 200, 429, 429, 401]);
  });

  it('works behind an agent that writes its trace after each statement', async () => {
    let trace = 0;
    const statuses = await statusesBehind((text) => `${text} /*traceparent='00-${trace++}-01'*/`);
    expect(statuses).toEqual([200, 200, 429, 429, 401]);
  });
});

describe('a request that waits for a connection with others', () => {
  it('keeps its own asynchronous context in loadUser and in the handler', async () => {
    const ground = await bootOn(database, {
      typeorm: ONE_CONNECTION,
      controllers: [Routes],
      options: {
        ...UNCACHED,
        rateLimit: { storage: 'postgres', storageTimeoutMs: 10_000 },
        loadUser: (id) => ({ id, request: requests.getStore() }),
      },
      setUp: (app) =>
        app.use((request: { headers: Record<string, string> }, _: unknown, next: () => void) =>
          requests.run(String(request.headers['x-request-id']), next),
        ),
    });
    try {
      const issued = await Promise.all(
        Array.from({ length: 30 }, async () => {
          const owner = await createUser(database);
          return ground.keys.create({
            userId: owner,
            name: 'ci',
            rateLimit: { limit: 100, windowSeconds: 60 },
          });
        }),
      );
      const answers = await Promise.all(
        issued.map(async ({ key, apiKey }) => {
          const headers = { authorization: `Bearer ${key}`, 'x-request-id': `request of ${apiKey.userId}` };
          return (await fetch(ground.url, { headers })).json();
        }),
      );
      const expected = issued.map(({ apiKey: { userId: id } }) => ({
        id,
        request: `request of ${id}`,
        handler: `request of ${id}`,
      }));
      expect(answers).toEqual(expected);
    } finally {
      await ground.close();
    }
  });
});
