import { Controller, Get, type MiddlewareConsumer, Module, type NestModule, Req } from '@nestjs/common';
import { ApiKeyAuth, Public } from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { exchange } from './support/raw-http';

/** What others hang on a request and read of it, on Express and on Fastify. */
type OpenRequest = { user?: unknown; apiKey?: { readonly id?: string } };

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get(@Req() request: OpenRequest) {
    return { user: request.user ?? null, apiKey: request.apiKey?.id ?? null };
  }
  @Get('open')
  @Public()
  open(@Req() request: OpenRequest) {
    return this.get(request);
  }
  @Get('inherited')
  inherited(@Req() request: OpenRequest) {
    return this.get(Object.create(request));
  }
  @Get('replaced')
  replaced(@Req() request: OpenRequest) {
    request.user = 'another';
    return this.get(request);
  }
}

/** Fills `user` before any guard, as a middleware of another way to log in does. */
@Module({})
class LogsIn implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer
      .apply((request: OpenRequest & { raw?: OpenRequest }, _: unknown, next: () => void) => {
        request.user = 'from a session';
        next();
      })
      .forRoutes('*path');
  }
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  let app: TestApp;
  let userId: string;
  let key: string;
  let id: string;

  const boot = async (imports: [] | [typeof LogsIn] = []) => {
    const database = await createMigratedDatabase();
    userId = await createUser(database);
    app = await bootApp({ database, adapter, controllers: [Routes], imports });
    const issued = await app.keys.create({ userId, name: 'ci' });
    [key, id] = [issued.key, issued.apiKey.id];
  };
  afterEach(() => app.close());

  const ask = async (path: string) =>
    (await fetch(`${app.url}/${path}`, { headers: { authorization: `Bearer ${key}` } })).json();

  it('the handler reads user and key of the request, also from an object that inherits from the request', async () => {
    await boot();
    expect(await ask('')).toEqual({ user: { id: userId }, apiKey: id });
    expect(await ask('inherited')).toEqual({ user: { id: userId }, apiKey: id });
  });

  it('other code may set the user after the guard', async () => {
    await boot();
    expect(await ask('replaced')).toEqual({ user: 'another', apiKey: id });
  });

  it('a middleware may set the user before the guard, which then replaces it', async () => {
    await boot([LogsIn]);
    expect(await ask('')).toEqual({ user: { id: userId }, apiKey: id });
    expect(await ask('open')).toEqual({
      user: adapter === 'express' ? 'from a session' : null,
      apiKey: null,
    });
  });

  it('the next request on the same connection is not authenticated', async () => {
    await boot();
    const answers = await exchange(
      app.port,
      `GET / HTTP/1.1\r\nhost: a\r\nx-api-key: ${key}\r\n\r\nGET /open HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`,
    );
    expect(answers).toContain(`{"user":{"id":"${userId}"},"apiKey":"${id}"}`);
    expect(answers).toContain('{"user":null,"apiKey":null}');
  });
});
