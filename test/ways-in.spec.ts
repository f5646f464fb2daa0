import { Controller, Get, Injectable, Req, Res, Scope, type Type, UseGuards } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  ApiKey,
  ApiKeyAuth,
  ApiKeyGuard,
  ApiKeyModule,
  ApiKeyService,
  Public,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { AppDataSource } from '../ormconfig';
import { ADAPTERS, bootApp, libraryModules, type TestApp, type TestAppSettings } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { rawGet } from './support/raw-http';

/** `Host` and `Connection`, which `rawGet` sends before the lines that it is given. */
const LINES_OF_RAW_GET = 2;
/**
 * Node 20 drops the lines beyond those that it keeps, and the guard refuses. Later ones refuse
 * such a request themselves.
 */
const BEYOND_WHAT_NODE_KEEPS = [401, 431];

/** A guard of the application, which may authenticate requests for all that the boot knows. */
@Injectable()
class LoggedIn {
  canActivate() {
    return true;
  }
}

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

async function boot(settings: Omit<TestAppSettings, 'database'>): Promise<TestApp> {
  running = await bootApp({ database, ...settings });
  return running;
}

async function bearer(app: TestApp): Promise<string> {
  return `Authorization: Bearer ${(await app.keys.create({ userId, name: 'ci', scopes: ['*'] })).key}`;
}

async function bootError(settings: Omit<TestAppSettings, 'database'>): Promise<string> {
  return boot(settings).then(
    () => 'booted',
    (error: Error) => error.message,
  );
}

/** A decorator as tracing libraries have it: another function takes the place of the method. */
const traced: MethodDecorator = (_target, _key, descriptor) => {
  const inner = descriptor.value as unknown as (...args: unknown[]) => unknown;
  descriptor.value = function (this: unknown, ...args: unknown[]) {
    return inner.apply(this, args);
  } as never;
};

describe.each(ADAPTERS)('on %s, a request without a key does not reach', (adapter) => {
  it.each<[string, MethodDecorator]>([
    ['@ApiKeyAuth() without scopes', ApiKeyAuth()],
    ['@UseGuards(ApiKeyGuard)', UseGuards(ApiKeyGuard)],
    ['@UseGuards(ApiKeyGuard, ScopesGuard)', UseGuards(ApiKeyGuard, ScopesGuard)],
  ])('a method with %s in a class that is @Public', async (_, guarded) => {
    @Controller()
    @Public()
    class Routes {
      @Get('open')
      open() {}

      @Get('closed')
      @guarded
      closed() {}
    }
    const app = await boot({ adapter, controllers: [Routes] });
    expect((await rawGet(app.port, '/open')).status).toBe(200);
    expect((await rawGet(app.port, '/closed')).status).toBe(401);
    expect((await rawGet(app.port, '/closed', [await bearer(app)])).status).toBe(200);
  });

  it.each<[string, ClassDecorator]>([
    ['@ApiKeyAuth() without scopes', ApiKeyAuth()],
    ['@UseGuards(ApiKeyGuard)', UseGuards(ApiKeyGuard)],
  ])('a controller with %s that extends a @Public controller', async (_, guarded) => {
    @Public()
    abstract class Base {
      @Get('inherited')
      inherited() {}
    }

    @Controller()
    @guarded
    class Routes extends Base {
      @Get('own')
      own() {}
    }
    const app = await boot({ adapter, controllers: [Routes] });
    for (const path of ['/inherited', '/own']) {
      expect((await rawGet(app.port, path)).status).toBe(401);
      expect((await rawGet(app.port, path, [await bearer(app)])).status).toBe(200);
    }
  });

  it('a route with a guard instance of this library in a class that is @Public', async () => {
    const guard = Object.assign(Object.create(ScopesGuard.prototype), { canActivate: () => false });
    @Controller()
    @Public()
    class Routes {
      @Get()
      @UseGuards(guard)
      get() {}
    }
    expect((await rawGet((await boot({ adapter, controllers: [Routes] })).port, '/')).status).toBe(403);
  });

  it('a route without scopes whose only guard of this library is ScopesGuard', async () => {
    @Controller()
    @UseGuards(LoggedIn, ScopesGuard)
    class Routes {
      @Get()
      get() {}
    }
    expect((await rawGet((await boot({ adapter, controllers: [Routes] })).port, '/')).status).toBe(401);
  });

  it('any route with more header lines than Node keeps, because a dropped line may be a second credential or a proxy header', async () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get()
      get() {}
    }
    const app = await boot({
      adapter,
      controllers: [Routes],
      options: { https: { loopbackException: true } },
    });
    const credential = await bearer(app);
    const filler = (lines: number) => Array.from({ length: lines }, () => 'a:');
    const status = async (...lines: string[]) => (await rawGet(app.port, '/', lines)).status;
    expect(await status(credential, ...filler(900))).toBe(200);
    expect(await status(credential, ...filler(900), 'Via: 1.1 proxy')).toBe(403);
    expect(await status(credential, ...filler(1_000 - LINES_OF_RAW_GET - 1))).toBe(401);
    for (const hidden of ['Via: 1.1 proxy', 'X-Forwarded-For: 192.0.2.1', credential]) {
      expect(BEYOND_WHAT_NODE_KEEPS).toContain(await status(credential, ...filler(2_500), hidden));
    }
    app.app.getHttpServer().maxHeadersCount = 20;
    expect(await status(credential, ...filler(20 - LINES_OF_RAW_GET - 1))).toBe(401);
    expect(BEYOND_WHAT_NODE_KEEPS).toContain(await status(credential, ...filler(100), 'Via: 1.1 proxy'));
    expect(await status(credential)).toBe(200);
  });
});

it('a guard in the wrong order is logged once per route, however many requests it refuses', async () => {
  @Controller()
  @UseGuards(LoggedIn, ScopesGuard)
  class Routes {
    @Get()
    @UseGuards(ApiKeyGuard)
    get() {}
  }
  const app = await boot({ controllers: [Routes] });
  const lines: string[] = [];
  const line = (message: string) => lines.push(message);
  app.app.useLogger({ log() {}, warn() {}, error: line });
  for (let i = 0; i < 3; i++) expect((await rawGet(app.port, '/')).status).toBe(401);
  expect(lines).toEqual([
    expect.stringMatching(/^Routes\.get refuses every request, because no ApiKeyGuard ran/),
  ]);
});

describe('the boot stops if', () => {
  it.each<[string, MethodDecorator]>([
    ['@Scopes', Scopes('orders:read')],
    ['@ApiKeyAuth', ApiKeyAuth()],
    ['@Public', Public()],
  ])('another decorator replaced the method below which %s stands', async (_, declared) => {
    @Controller()
    @UseGuards(ApiKeyGuard, ScopesGuard)
    class Routes {
      @Get()
      @traced
      @declared
      get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toMatch(/Routes\.get lost its @Scopes/);
  });

  it('a class overrides a route and drops its scopes', async () => {
    @UseGuards(ApiKeyGuard, ScopesGuard)
    abstract class Base {
      @Get()
      @Scopes('orders:write')
      get() {}
    }

    @Controller()
    class Routes extends Base {
      @Get()
      override get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toMatch(/Routes\.get lost its @Scopes/);
  });

  it.each(['forRootAsync', 'dataSource'])('a request-scoped provider reaches %s', async (where) => {
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {}

    @Controller()
    @Scopes('orders:read')
    class Unguarded {
      @Get()
      get() {}
    }
    const [typeOrm] = libraryModules(database);
    const requestScopedSource = {
      module: class RequestScopedSource {},
      global: true,
      providers: [
        Tenant,
        { provide: 'source', inject: [Tenant], useFactory: () => new AppDataSource(database) },
      ],
      exports: [Tenant, 'source'],
    };
    const library = ApiKeyModule.forRootAsync({
      imports: [requestScopedSource],
      inject: where === 'forRootAsync' ? [Tenant] : ['source'],
      useFactory: () => ({}),
    });
    const module = await Test.createTestingModule({
      imports: [typeOrm as never, library],
      controllers: [Unguarded],
    }).compile();
    const app = module.createNestApplication();
    await expect(app.init()).rejects.toThrow(/depends on a request-scoped provider/);
    await app.close();
  });
});

describe('the boot succeeds if', () => {
  it('a class overrides a route and repeats its decorators', async () => {
    abstract class Base {
      @Get()
      @ApiKeyAuth('orders:write')
      get() {}
    }

    @Controller()
    class Routes extends Base {
      @Get()
      @ApiKeyAuth('orders:read')
      override get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toBe('booted');
  });

  it('@Scopes stands above a decorator that replaces the method', async () => {
    @Controller()
    class Routes {
      @Get()
      @ApiKeyAuth('orders:read')
      @traced
      get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toBe('booted');
  });

  it('both guards are global and request-scoped', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends ScopesGuard {}

    @Controller()
    @Scopes('orders:read')
    class Routes {
      @Get()
      get() {}
    }
    const providers = [
      { provide: APP_GUARD, useExisting: ApiKeyGuard },
      { provide: APP_GUARD, useClass: PerRequest, scope: Scope.REQUEST },
    ];
    expect(await bootError({ controllers: [Routes], providers })).toBe('booted');
  });
});

it('a request with a getter for user, added through Fastify, still gets its user', async () => {
  @Controller()
  @ApiKeyAuth()
  class Routes {
    @Get()
    get() {}
  }
  const module = await Test.createTestingModule({
    imports: [
      TypeOrmModule.forRootAsync({
        useFactory: () => ({ type: 'postgres', entities: [ApiKey] }),
        dataSourceFactory: async () => new AppDataSource(database),
      }),
      ApiKeyModule.forRoot({ cache: { lookUpTimeoutMs: 10_000 } }),
    ],
    controllers: [Routes],
  }).compile();
  const adapter = new FastifyAdapter();
  adapter.getInstance().decorateRequest('user', { getter: () => null } as never);
  const app = module.createNestApplication(adapter);
  await app.listen(0, '127.0.0.1');
  running = {
    keys: module.get((await import('nestjs-api-key')).ApiKeyService),
    close: () => app.close(),
  } as TestApp;
  expect((await rawGet(app.getHttpServer().address().port, '/', [await bearer(running)])).status).toBe(200);
});

describe('the boot stops if an instance of a controller would lose its decorators:', () => {
  it('it binds its methods in the constructor', async () => {
    @Controller()
    @Public()
    class Routes {
      constructor() {
        this.get = this.get.bind(this);
      }

      @Get()
      @ApiKeyAuth('orders:write')
      get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toMatch(/Routes\.get loses its decorators/);
  });

  it('a mixin gives it the constructor of another class', async () => {
    @Public()
    class Health {}

    @Controller()
    @ApiKeyAuth('orders:write')
    class Routes {
      @Get()
      get() {}
    }
    Object.defineProperty(Routes.prototype, 'constructor', { value: Health });
    expect(await bootError({ controllers: [Routes] })).toMatch(/Routes\.get loses its decorators/);
  });

  it('it overrides a route and drops its guards', async () => {
    abstract class Base {
      @Get()
      @UseGuards(ApiKeyGuard)
      get() {}
    }

    @Controller()
    class Routes extends Base {
      @Get()
      override get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toMatch(
      /Routes\.get overrides a route with guards and drops them/,
    );
  });

  it('ApiKeyModule is imported twice, because a key of one would be accepted by the other', async () => {
    const second = ApiKeyModule.forRoot({ prefix: 'other' });
    expect(await bootError({ imports: [second] })).toMatch(/imported twice with different options/);
  });
});

it('a request-scoped controller that rebinds its methods accepts no request', async () => {
  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {}

  @Controller()
  @UseGuards(ApiKeyGuard, ScopesGuard)
  class Routes {
    constructor(readonly perRequest: PerRequest) {
      this.get = this.get.bind(this);
    }

    @Get()
    @Scopes('orders:write')
    get() {}
  }
  const app = await boot({ controllers: [Routes], providers: [PerRequest] });
  expect((await rawGet(app.port, '/', [await bearer(app)])).status).toBe(500);
});

it.each<[string, () => unknown]>([
  ['an undefined scope together with @ApiKeyAuth', () => ApiKeyAuth(undefined as never, 'orders:write')],
  ['a getter', () => Public()(class {} as never, 'info', { get: () => 1 } as never)],
])('%s throws where it is written', (_, write) => {
  expect(write).toThrow(TypeError);
});

@Controller('guarded')
@UseGuards(ApiKeyGuard)
class Guarded {
  @Get()
  get() {
    return 'guarded';
  }
}

/** One module object, as a class of modules has it that two applications start. */
const SAME_MODULE = ApiKeyModule.forRoot({ cache: { lookUpTimeoutMs: 10_000 } });

async function bootOnSameModule(url: string, controllers: Type[]) {
  const useFactory = () => ({ type: 'postgres' as const, url, entities: [ApiKey], retryAttempts: 0 });
  const imports = [TypeOrmModule.forRootAsync({ useFactory }), SAME_MODULE];
  const module = await Test.createTestingModule({ imports, controllers }).compile();
  const app = module.createNestApplication();
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  return app;
}

it('two apps that import the same module object do not take the word of each other', async () => {
  const inner = await bootOnSameModule(await createMigratedDatabase(), [Guarded]);
  @Controller('guarded')
  @UseGuards(ApiKeyGuard)
  class Outer {
    @Get()
    get(@Req() request: unknown, @Res() response: unknown) {
      inner.getHttpAdapter().getInstance()(request, response);
    }
  }
  const outer = await bootOnSameModule(database, [Outer]);
  try {
    const { key } = await outer.get(ApiKeyService).create({ userId, name: 'ci' });
    const { port } = outer.getHttpServer().address();
    const { status } = await rawGet(port, '/guarded', [`Authorization: Bearer ${key}`]);
    expect(status).toBe(401);
  } finally {
    await outer.close();
    await inner.close();
  }
});

it.each([
  ['a database of its own', true, {}],
  ['the same database, and other users,', false, { loadUser: () => null }],
])('an app with %s does not take the word of another one that passes a request on to it', async (_, isApart, options) => {
  @Controller('inner')
  @UseGuards(ApiKeyGuard)
  class Inner {
    @Get()
    get() {
      return 'inner';
    }
  }
  const inner = await bootApp({
    database: isApart ? await createMigratedDatabase() : database,
    controllers: [Inner],
    options,
  });
  @Controller('inner')
  @UseGuards(ApiKeyGuard)
  class Outer {
    @Get()
    get(@Req() request: unknown, @Res() response: unknown) {
      inner.app.getHttpAdapter().getInstance()(request, response);
    }
  }
  try {
    const outer = await boot({ controllers: [Outer] });
    const { status, body } = await rawGet(outer.port, '/inner', [await bearer(outer)]);
    expect([status, body]).toEqual([401, expect.not.stringContaining('inner')]);
  } finally {
    await inner.close();
  }
});
