import { once } from 'node:events';
import { get } from 'node:http';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  Req,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host';
import {
  AnyScope,
  type ApiKey,
  ApiKeyAuth,
  ApiKeyGuard,
  ApiKeyThrottlerGuard,
  CurrentApiKey,
  CurrentUser,
  Environments,
  Public,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp, type TestAppSettings } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';

/** A guard of the application, which may authenticate requests for all that the boot knows. */
@Injectable()
class LoggedIn implements CanActivate {
  canActivate() {
    return true;
  }
}

/** Elsewhere loopback has one address. */
const onLinux = process.platform === 'linux' ? it : it.skip;

type HeldScopes = Parameters<TestApp['keys']['create']>[0]['scopes'];

describe.each(ADAPTERS)('on %s,', (adapter) => {
  let database: string;
  let userId: string;
  let running: TestApp | undefined;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
  });

  afterEach(async () => {
    await running?.close();
    running = undefined;
  });

  async function boot(settings: Omit<TestAppSettings, 'database' | 'adapter'>): Promise<TestApp> {
    running = await bootApp({ database, adapter, ...settings });
    return running;
  }

  async function keyWith(app: TestApp, scopes: HeldScopes): Promise<Record<string, string>> {
    const { key } = await app.keys.create({ userId, name: 'ci', scopes });
    return { authorization: `Bearer ${key}` };
  }

  async function statusOf(app: TestApp, path: string, headers: Record<string, string> = {}): Promise<number> {
    return (await fetch(app.url + path, { headers })).status;
  }

  it('a guarded route without @Scopes needs only a valid key', async () => {
    @Controller()
    @UseGuards(ApiKeyGuard, ScopesGuard)
    class Routes {
      @Get()
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/')).toBe(401);
    expect(await statusOf(app, '/', await keyWith(app, []))).toBe(200);
  });

  it.each([
    'rpc',
    'ws',
    'graphql',
  ])('every guard refuses in a context of %s, because the transport of the request is unknown', async (type) => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get()
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    const context = new ExecutionContextHost([{ headers: {} }], Routes, Routes.prototype.get);
    context.setType(type);
    for (const Guard of [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard])
      expect(() => app.app.get<CanActivate>(Guard).canActivate(context)).toThrow(
        `nestjs-api-key guards only HTTP routes, but is used on ${type}`,
      );
  });

  it('a key with allowed addresses is accepted only from those addresses', async () => {
    @Controller()
    @UseGuards(ApiKeyGuard)
    class Routes {
      @Get()
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    const statusFrom = async (allowedIps: string[]) => {
      const { key } = await app.keys.create({ userId, name: 'ci', allowedIps });
      const answer = await fetch(app.url, { headers: { authorization: `Bearer ${key}` } });
      return [answer.status, ((await answer.json().catch(() => ({}))) as { error?: string }).error];
    };
    expect(await statusFrom(['127.0.0.0/8'])).toEqual([200, undefined]);
    expect(await statusFrom(['10.0.0.0/8', '::1'])).toEqual([403, 'IP_NOT_ALLOWED']);
  });

  onLinux(
    'a key that is remembered is refused from an address that it may not be used from, whatever the caller says of its address',
    async () => {
      @Controller()
      @UseGuards(ApiKeyGuard)
      class Routes {
        @Get()
        get() {}
      }
      const app = await boot({ controllers: [Routes], options: { https: { trustProxy: ['127.0.0.0/8'] } } });
      const { key } = await app.keys.create({ userId, name: 'ci', allowedIps: ['127.0.0.1', '::1'] });
      const spoofed = {
        'x-forwarded-proto': 'https',
        'x-forwarded-for': '127.0.0.1',
        'x-real-ip': '127.0.0.1',
        forwarded: 'for=127.0.0.1',
      };
      const statusFrom = async (localAddress: string, headers: Record<string, string> = {}) => {
        const options = { localAddress, headers: { authorization: `Bearer ${key}`, ...headers } };
        const [response] = await once(get(app.url, options), 'response');
        response.resume();
        return response.statusCode;
      };
      const found: number[] = [];
      for (let i = 0; i < 3; i++)
        found.push(
          await statusFrom('127.0.0.1'),
          await statusFrom('127.0.0.2'),
          await statusFrom('127.0.0.2', spoofed),
        );
      expect(found).toEqual([200, 403, 403, 200, 403, 403, 200, 403, 403]);
    },
  );

  it('all scopes of class and method are required', async () => {
    @Controller()
    @UseGuards(ApiKeyGuard, ScopesGuard)
    @Scopes('orders:read')
    class Routes {
      @Get('read')
      read() {}

      @Get('write')
      @Scopes('orders:write')
      write() {}

      @Get('both')
      @Scopes('api-keys:read')
      @Scopes('api-keys:write')
      both() {}
    }
    const app = await boot({ controllers: [Routes] });
    const reader = await keyWith(app, ['orders:read']);
    const writer = await keyWith(app, ['orders:write']);
    const both = await keyWith(app, ['orders:*']);
    const all = await keyWith(app, ['*']);
    expect([await statusOf(app, '/read', reader), await statusOf(app, '/write', reader)]).toEqual([200, 403]);
    expect([await statusOf(app, '/read', writer), await statusOf(app, '/write', writer)]).toEqual([403, 403]);
    expect([
      await statusOf(app, '/read', both),
      await statusOf(app, '/write', both),
      await statusOf(app, '/both', both),
    ]).toEqual([200, 200, 403]);
    expect(await statusOf(app, '/both', all)).toBe(200);
    const { missing } = (await (await fetch(`${app.url}/both`, { headers: reader })).json()) as {
      missing: string[];
    };
    expect(missing.sort()).toEqual(['api-keys:read', 'api-keys:write']);
  });

  it('@AnyScope requires one scope of each group', async () => {
    @Controller()
    @UseGuards(ApiKeyGuard, ScopesGuard)
    @AnyScope('orders:read', 'orders:write')
    class Routes {
      @Get('one')
      one() {}

      @Get('two')
      @AnyScope('api-keys:read', 'api-keys:write')
      two() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/one', await keyWith(app, ['orders:write']))).toBe(200);
    expect(await statusOf(app, '/one', await keyWith(app, ['api-keys:read']))).toBe(403);
    expect(await statusOf(app, '/two', await keyWith(app, ['orders:write']))).toBe(403);
    expect(await statusOf(app, '/two', await keyWith(app, ['orders:write', 'api-keys:read']))).toBe(200);
  });

  it('ScopesGuard refuses a key of an environment that the route does not accept, before it checks the scopes', async () => {
    @Controller()
    @ApiKeyAuth('orders:read')
    @Environments('live')
    class Routes {
      @Get()
      get() {}
    }
    const prefix = { live: 'acme_live', test: 'acme_test' };
    const app = await boot({ controllers: [Routes], options: { prefix } });
    const answerTo = async (environment: string, scopes: HeldScopes) => {
      const { key } = await app.keys.create({ userId, name: 'ci', environment, scopes });
      const answer = await fetch(app.url, { headers: { authorization: `Bearer ${key}` } });
      return [answer.status, ((await answer.json().catch(() => ({}))) as { error?: string }).error];
    };
    expect(await answerTo('live', ['orders:read'])).toEqual([200, undefined]);
    expect(await answerTo('live', [])).toEqual([403, 'INSUFFICIENT_SCOPE']);
    expect(await answerTo('test', ['orders:read'])).toEqual([403, 'WRONG_ENVIRONMENT']);
    expect(await answerTo('test', [])).toEqual([403, 'WRONG_ENVIRONMENT']);
  });

  it('a single method can be guarded', async () => {
    @Controller()
    class Routes {
      @Get('open')
      open() {}

      @Get('closed')
      @UseGuards(ApiKeyGuard)
      closed() {}

      @Get('scoped')
      @ApiKeyAuth('orders:read')
      scoped() {}
    }
    const app = await boot({ controllers: [Routes] });
    const nothing = await keyWith(app, []);
    const paths = ['/open', '/closed', '/scoped'];
    expect(await Promise.all(paths.map((path) => statusOf(app, path)))).toEqual([200, 401, 401]);
    expect(await Promise.all(paths.map((path) => statusOf(app, path, nothing)))).toEqual([200, 200, 403]);
    expect(await statusOf(app, '/scoped', await keyWith(app, ['orders:read']))).toBe(200);
  });

  it('global guards protect every route except those with @Public', async () => {
    @Controller()
    class Routes {
      @Get('plain')
      plain() {}

      @Get('scoped')
      @Scopes('orders:read')
      scoped() {}

      @Get('open')
      @Public()
      open() {}
    }

    @Controller('public')
    @Public()
    class PublicRoutes {
      @Get('open')
      open() {}

      @Get('scoped')
      @Scopes('orders:read')
      scoped() {}
    }
    const app = await boot({
      controllers: [Routes, PublicRoutes],
      providers: [
        { provide: APP_GUARD, useExisting: ApiKeyGuard },
        { provide: APP_GUARD, useClass: ScopesGuard },
      ],
    });
    const paths = ['/plain', '/scoped', '/open', '/public/open', '/public/scoped'];
    const nothing = await keyWith(app, []);
    const reader = await keyWith(app, ['orders:read']);
    expect(await Promise.all(paths.map((path) => statusOf(app, path)))).toEqual([401, 401, 200, 200, 401]);
    expect(await Promise.all(paths.map((path) => statusOf(app, path, nothing)))).toEqual([
      200, 403, 200, 200, 403,
    ]);
    expect(await Promise.all(paths.map((path) => statusOf(app, path, reader)))).toEqual([
      200, 200, 200, 200, 200,
    ]);
  });

  it('@Public on a method makes it public in a guarded class', async () => {
    @Controller()
    @ApiKeyAuth('orders:read')
    class Routes {
      @Get('open')
      @Public()
      open() {}

      @Get('closed')
      closed() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect([await statusOf(app, '/open'), await statusOf(app, '/closed')]).toEqual([200, 401]);
  });

  it('a controller inherits the scopes of its base class and adds its own', async () => {
    @UseGuards(ApiKeyGuard, ScopesGuard)
    @Scopes('orders:read')
    abstract class Base {
      @Get('inherited')
      inherited() {}
    }

    @Controller()
    @Scopes('orders:write')
    class Routes extends Base {}
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/inherited', await keyWith(app, ['orders:write']))).toBe(403);
    expect(await statusOf(app, '/inherited', await keyWith(app, ['orders:*']))).toBe(200);
  });

  it('ScopesGuard refuses a valid key if ApiKeyGuard is missing', async () => {
    @Controller()
    @UseGuards(LoggedIn, ScopesGuard)
    @Scopes('orders:read')
    class Routes {
      @Get()
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/', await keyWith(app, ['*']))).toBe(401);
  });

  it('ScopesGuard refuses a valid key if it runs before ApiKeyGuard', async () => {
    @Controller()
    @UseGuards(LoggedIn, ScopesGuard)
    @Scopes('orders:read')
    class Routes {
      @Get()
      @UseGuards(ApiKeyGuard)
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/', await keyWith(app, ['*']))).toBe(401);
  });

  it('a guard that sets request.user and request.apiKey itself does not replace ApiKeyGuard', async () => {
    @Injectable()
    class Impostor implements CanActivate {
      canActivate(context: ExecutionContext) {
        Object.assign(context.switchToHttp().getRequest(), {
          user: { id: '1' },
          apiKey: { scopes: ['*'], hasScope: () => true },
        });
        return true;
      }
    }

    @Controller()
    @UseGuards(Impostor, ScopesGuard)
    @Scopes('orders:read')
    class Routes {
      @Get()
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/')).toBe(401);
  });

  it('key and user are on the request and reach the handler through the decorators', async () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get()
      get(
        @CurrentUser() user: { id: string },
        @CurrentUser('id') id: string,
        @CurrentApiKey() apiKey: ApiKey,
        @CurrentApiKey('name') name: string,
        @Req() request: { user: unknown; apiKey: ApiKey },
      ) {
        return { user, id, keyId: apiKey.id, name, same: request.user === user && request.apiKey === apiKey };
      }

      @Get('open')
      @Public()
      open(@CurrentUser() user: unknown, @CurrentApiKey('id') id: unknown) {
        return { user: user ?? null, id: id ?? null };
      }
    }
    const app = await boot({ controllers: [Routes] });
    const { key, apiKey } = await app.keys.create({ userId, name: 'mine' });
    const response = await fetch(app.url, { headers: { 'x-api-key': key } });
    expect(await response.json()).toEqual({
      user: { id: userId },
      id: userId,
      keyId: apiKey.id,
      name: 'mine',
      same: true,
    });
    expect(await (await fetch(`${app.url}/open`, { headers: { 'x-api-key': key } })).json()).toEqual({
      user: null,
      id: null,
    });
  });

  it('guards set twice, globally and on the class, look the key up once', async () => {
    @Controller()
    @ApiKeyAuth('orders:read')
    class Routes {
      @Get()
      get() {}
    }
    const loadUser = jest.fn(async (id: string) => ({ id }));
    const app = await boot({
      controllers: [Routes],
      providers: [{ provide: APP_GUARD, useClass: ApiKeyGuard }],
      options: { loadUser },
    });
    expect(await statusOf(app, '/', await keyWith(app, ['orders:read']))).toBe(200);
    expect(loadUser.mock.calls).toEqual([[userId]]);
  });

  it('the option headerName replaces X-API-Key', async () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get()
      get() {}
    }
    const app = await boot({ controllers: [Routes], options: { headerName: 'X-Acme-Key' } });
    const { key } = await app.keys.create({ userId, name: 'ci' });
    expect([
      await statusOf(app, '/', { 'x-acme-key': key }),
      await statusOf(app, '/', { 'x-api-key': key }),
    ]).toEqual([200, 401]);
  });

  describe('loadUser', () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get()
      get(@CurrentUser() user: unknown) {
        return { user };
      }
    }

    it.each([
      ['null', null],
      ['undefined', undefined],
      ['false', false],
      ['0', 0],
      ['an empty text', ''],
      ['NaN', Number.NaN],
    ])('refuses the key if it returns %s', async (_, nobody) => {
      const app = await boot({ controllers: [Routes], options: { loadUser: async () => nobody } });
      expect(await statusOf(app, '/', await keyWith(app, []))).toBe(401);
    });

    it('causes a 503 if it fails, never a 500 and never an accepted request', async () => {
      const app = await boot({
        controllers: [Routes],
        options: { loadUser: () => Promise.reject(new Error('away')) },
      });
      const response = await fetch(app.url, { headers: await keyWith(app, []) });
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ error: 'KEY_STORE_UNAVAILABLE' });
    });

    it('sets request.user, also without a promise', async () => {
      const app = await boot({
        controllers: [Routes],
        options: { loadUser: (id) => ({ id, plan: 'gold' }) },
      });
      const response = await fetch(app.url, { headers: await keyWith(app, []) });
      expect(await response.json()).toEqual({ user: { id: userId, plan: 'gold' } });
    });
  });

  it('a property raw that a middleware sets on the request affects neither the credential nor HTTPS', async () => {
    let raw: unknown;
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get('route')
      get() {}
    }
    @Module({})
    class SetsRaw implements NestModule {
      configure(consumer: MiddlewareConsumer): void {
        const set = (request: { raw?: unknown }, _: unknown, next: () => void) => {
          request.raw = raw;
          next();
        };
        consumer.apply(set).forRoutes('*path');
      }
    }
    const app = await boot({
      controllers: [Routes],
      imports: [SetsRaw],
      options: { https: { trustProxy: ['127.0.0.1'] } },
    });
    const headers = await keyWith(app, []);
    const forged = {
      headers,
      rawHeaders: ['Authorization', headers.authorization],
      socket: { encrypted: true, remoteAddress: '127.0.0.1' },
    };
    for (raw of [Buffer.from('the body'), forged, 'text', {}]) {
      expect(await statusOf(app, '/route')).toBe(401);
      expect(await statusOf(app, '/route', { ...headers, 'x-forwarded-proto': 'http' })).toBe(403);
      expect(await statusOf(app, '/route', headers)).toBe(200);
    }
  });
});
