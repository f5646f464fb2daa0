import type { ServerResponse } from 'node:http';
import { Controller, Get, Header, NotFoundException, Res } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ApiKeyAuth, ApiKeyRefusal, ApiKeyRefusalFilter, Public } from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { rawGet } from './support/raw-http';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get('any')
  any() {
    return { ok: true };
  }

  @Get('write')
  @ApiKeyAuth('orders:write')
  write() {}

  @Get('absent')
  absent() {
    throw new NotFoundException();
  }

  @Get('decorated')
  @Header('Cache-Control', 'private, max-age=60')
  decorated() {}

  @Get('by-hand')
  byHand(@Res({ passthrough: true }) response: { header(name: string, value: string): void }) {
    response.header('Cache-Control', 'no-cache');
  }

  @Get('refused')
  @Header('Cache-Control', 'public, max-age=60')
  refused() {
    throw new ApiKeyRefusal('INSUFFICIENT_SCOPE');
  }

  @Get('open')
  @Public()
  open() {}
}

describe.each(ADAPTERS)('on %s, the header Cache-Control of an answer', (adapter) => {
  let app: TestApp;
  let key: string;
  let limited: string;

  beforeAll(async () => {
    const database = await createMigratedDatabase();
    const userId = await createUser(database);
    app = await bootApp({
      database,
      adapter,
      controllers: [Routes],
      providers: [{ provide: APP_FILTER, useClass: ApiKeyRefusalFilter }],
    });
    ({ key } = await app.keys.create({ userId, name: 'ci' }));
    const rateLimit = { limit: 1, windowSeconds: 3_600 };
    ({ key: limited } = await app.keys.create({ userId, name: 'limited', rateLimit }));
    await until(() => app.keys.verificationStatus.leaseHeld);
  });

  afterAll(() => app.close());

  const get = async (path: string, ...lines: string[]) => {
    const { status, headers } = await rawGet(app.port, path, lines);
    return [status, headers['cache-control']];
  };
  const mine = () => `X-API-Key: ${key}`;

  it('keeps an answer to X-API-Key out of caches, whether the key was looked up or cached', async () => {
    for (let i = 0; i < 3; i++) expect(await get('/any', mine())).toEqual([200, 'private, no-store']);
  });

  it('keeps an answer to Authorization out of caches', async () => {
    expect(await get('/any', `Authorization: Bearer ${key}`)).toEqual([200, 'private, no-store']);
  });

  it('keeps an error of the handler out of caches', async () => {
    expect(await get('/absent', mine())).toEqual([404, 'private, no-store']);
  });

  it('keeps each refusal out of caches', async () => {
    await get('/any', `X-API-Key: ${limited}`);
    expect([
      await get('/any'),
      await get('/any', 'X-API-Key: wrong'),
      await get('/any', mine(), 'Via: 1.1 proxy'),
      await get('/write', mine()),
      await get('/any', `X-API-Key: ${limited}`),
    ]).toEqual([401, 401, 403, 403, 429].map((status) => [status, 'private, no-store']));
  });

  it('is what the handler sets, by decorator or by hand', async () => {
    expect([await get('/decorated', mine()), await get('/by-hand', mine())]).toEqual([
      [200, 'private, max-age=60'],
      [200, 'no-cache'],
    ]);
  });

  it('keeps a refusal out of caches although the route lets caches store its answers', async () => {
    expect(await get('/refused', mine())).toEqual([403, 'private, no-store']);
  });

  it('is left alone on a public route', async () => {
    expect(await get('/open', mine())).toEqual([200, undefined]);
  });
});

it('a Cache-Control that middleware has set stays, except on a refusal', async () => {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  const app = await bootApp({ database, controllers: [Routes] });
  const { key } = await app.keys.create({ userId, name: 'ci' });
  app.app
    .getHttpServer()
    .prependListener('request', (_: unknown, response: ServerResponse) =>
      response.setHeader('Cache-Control', 'no-cache'),
    );
  const taken = await rawGet(app.port, '/any', [`X-API-Key: ${key}`]);
  const refused = await rawGet(app.port, '/any', ['X-API-Key: wrong']);
  await app.close();
  expect([taken.headers['cache-control'], refused.headers['cache-control']]).toEqual([
    'no-cache',
    'private, no-store',
  ]);
});

it('an answer that was not modified (304) is kept out of caches like the full answer', async () => {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  const app = await bootApp({ database, controllers: [Routes] });
  const { key } = await app.keys.create({ userId, name: 'ci' });
  const mine = `X-API-Key: ${key}`;
  const { headers } = await rawGet(app.port, '/any', [mine]);
  const again = await rawGet(app.port, '/any', [mine, `If-None-Match: ${headers.etag}`]);
  await app.close();
  expect([again.status, again.headers['cache-control']]).toEqual([304, 'private, no-store']);
});
