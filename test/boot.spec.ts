import {
  type CanActivate,
  Controller,
  Get,
  Injectable,
  Logger,
  Module,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  ApiKey,
  type ApiKeyAsyncOptions,
  ApiKeyAuth,
  ApiKeyGuard,
  ApiKeyModule,
  type ApiKeyOptions,
  ApiKeyService,
  CurrentUser,
  Public,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { DataSource } from 'typeorm';
import { bootApp, libraryModules, type TestAppSettings } from './support/app';
import { createEmptyDatabase, createMigratedDatabase, createUser } from './support/database';

let database: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
});

const READ_ONLY = { 'orders:read': 'Read orders' } as ApiKeyOptions['scopes'];

async function bootOf(settings: Omit<TestAppSettings, 'database'> & { database?: string }): Promise<string> {
  try {
    await (await bootApp({ database, ...settings })).close();
    return 'booted';
  } catch (error) {
    return (error as Error).message;
  }
}

it.each([
  ['production', true, true],
  ['production', false, false],
  ['development', true, false],
])('in %s with loopbackException %s the boot logs a warning about proxies that add no header: %s', async (environment, loopbackException, warns) => {
  const before = process.env.NODE_ENV;
  const warned = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  process.env.NODE_ENV = environment;
  try {
    expect(await bootOf({ options: { https: { loopbackException } } })).toBe('booted');
    expect(
      warned.mock.calls.flat().some((text) => String(text).includes('https.loopbackException: false')),
    ).toBe(warns);
  } finally {
    process.env.NODE_ENV = before;
    warned.mockRestore();
  }
});

it('the boot stops with the problems of all its checks in one message', async () => {
  @Controller()
  @ApiKeyAuth()
  class OrdersController {
    @Get()
    @Scopes('orders:write')
    list() {}
  }
  const empty = await createEmptyDatabase();
  expect(
    await bootOf({ database: empty, controllers: [OrdersController], options: { scopes: READ_ONLY } }),
  ).toMatch(
    /^ApiKeyModule: OrdersController\.list requires the scope "orders:write", .*; table api_keys cannot be used/,
  );
});

describe('the boot stops with a reason if', () => {
  it('a scope on a method is not in the catalogue', async () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get()
      @Scopes('orders:write')
      get() {}
    }
    expect(await bootOf({ controllers: [Routes], options: { scopes: READ_ONLY } })).toMatch(
      /Routes\.get requires the scope "orders:write", which is not in the catalogue/,
    );
  });

  it('a scope on a class is not in the catalogue', async () => {
    @Controller()
    @ApiKeyAuth('orders:write')
    class Routes {
      @Get()
      get() {}
    }
    expect(await bootOf({ controllers: [Routes], options: { scopes: READ_ONLY } })).toMatch(
      /Routes\.get requires the scope "orders:write"/,
    );
  });

  it('a route requires scopes and no guard checks them', async () => {
    @Controller()
    class Routes {
      @Get()
      @UseGuards(ApiKeyGuard)
      @Scopes('orders:read')
      get() {}
    }
    expect(await bootOf({ controllers: [Routes] })).toMatch(
      /Routes\.get requires scopes that no guard checks: add @UseGuards/,
    );
  });

  it('a route requires scopes and has no guard', async () => {
    @Controller()
    @Scopes('orders:read')
    class Routes {
      @Get()
      get() {}
    }
    expect(await bootOf({ controllers: [Routes] })).toMatch(
      /Routes\.get requires scopes that no guard checks/,
    );
  });

  it('the table does not exist', async () => {
    const empty = await createEmptyDatabase();
    await expect(bootApp({ database: empty })).rejects.toThrow(
      /table api_keys cannot be used .*apiKeyMigrations\(\)/s,
    );
  });

  it('the data source does not know the entity', async () => {
    const dataSource = new DataSource({ type: 'postgres', url: database, uuidExtension: 'pgcrypto' });
    await dataSource.initialize();
    const module = Test.createTestingModule({ imports: [ApiKeyModule.forRoot({ dataSource })] });
    await expect(module.compile()).rejects.toThrow(/does not know the entity ApiKey/);
    await dataSource.destroy();
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /the factory of forRootAsync returned no options: return an object/],
    ['a data source', { dataSource: 'keys' }, /"dataSource" has no effect .*: pass it to forRootAsync/],
    ['a wrong option', { prefix: 'no spaces' }, /option "prefix" must be 1 to 32 letters and digits/],
    ['an old name', { leaseMs: 2_000, usage: true }, /"leaseMs" is now cache.leaseMs; .* usage.requests$/],
    ['a misspelt name', { cache: { leesMs: 1 } }, /no option "cache.leesMs"; .* of cache are size, leaseMs/],
  ])('the factory of forRootAsync returns %s', async (_, options, message) => {
    const module = Test.createTestingModule({
      imports: [
        TypeOrmModule.forRoot({
          type: 'postgres',
          url: database,
          entities: [ApiKey],
          uuidExtension: 'pgcrypto',
        }),
        ApiKeyModule.forRootAsync({ useFactory: () => options as ApiKeyOptions }),
      ],
    });
    await expect(module.compile()).rejects.toThrow(message);
  });
});

describe('the boot succeeds if', () => {
  it.each<[string, Omit<TestAppSettings, 'database' | 'controllers'>]>([
    [
      'ScopesGuard is an APP_GUARD',
      {
        providers: [
          { provide: APP_GUARD, useClass: ApiKeyGuard },
          { provide: APP_GUARD, useClass: ScopesGuard },
        ],
      },
    ],
    [
      'a subclass of it is',
      {
        providers: [
          { provide: APP_GUARD, useClass: ApiKeyGuard },
          { provide: APP_GUARD, useClass: class Mine extends ScopesGuard {} },
        ],
      },
    ],
  ])('%s', async (_, settings) => {
    @Controller()
    class Routes {
      @Get()
      @Scopes('orders:read')
      get() {}

      @Get('open')
      @Public()
      open() {}
    }
    expect(await bootOf({ ...settings, controllers: [Routes], options: { scopes: READ_ONLY } })).toBe(
      'booted',
    );
  });

  it('all scopes of routes are in the catalogue, and ignores methods that are not routes', async () => {
    @Controller()
    @ApiKeyAuth('orders:read')
    class Routes {
      @Get()
      get() {}

      helper() {}
    }
    expect(await bootOf({ controllers: [Routes], options: { scopes: READ_ONLY } })).toBe('booted');
  });
});

describe('strict mode', () => {
  @Controller('bare')
  class Bare {
    @Get()
    get() {}
    @Get('open')
    @Public()
    open() {}
  }
  @Controller('keyed')
  @UseGuards(ApiKeyGuard)
  class Keyed {
    @Get()
    any() {}
    @Get('scoped')
    @ApiKeyAuth('orders:read')
    scoped() {}
  }
  const controllers = [Bare, Keyed];
  const stops = (name: string) =>
    new RegExp(`${name} does not declare who may use it \\(option "strict"\\): add`);

  it('is off by default', async () => {
    expect(await bootOf({ controllers })).toBe('booted');
  });

  it('refuses to start with a route that has neither scopes, @Public nor a guard, and names each', async () => {
    const message = await bootOf({ controllers, options: { strict: true } });
    expect(message).toMatch(stops('Bare.get'));
    expect(message).not.toMatch(/Bare\.open|Keyed\./);
  });

  it("also refuses a guard without scopes if it is 'scopes'", async () => {
    const message = await bootOf({ controllers, options: { strict: 'scopes' } });
    expect(message).toMatch(stops('Bare.get'));
    expect(message).toMatch(stops('Keyed.any'));
    expect(message).not.toMatch(/Bare\.open|Keyed\.scoped/);
  });

  it.each<[string, Type<CanActivate>]>([
    ['ThrottlerGuard, which only counts requests,', ThrottlerGuard],
    ['a guard that extends it and changes only what it counts', class Mine extends ThrottlerGuard {}],
  ])('refuses to start with a route whose only guard is %s', async (_, useClass) => {
    const providers = [{ provide: APP_GUARD, useClass }];
    const imports = [ThrottlerModule.forRoot([{ limit: 100, ttl: 60_000 }])];
    expect(await bootOf({ controllers, providers, imports, options: { strict: true } })).toMatch(
      stops('Bare.get'),
    );
  });

  it('refuses to start with an open route, although another controller is created for each request', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {}

    @Controller('per-request')
    @ApiKeyAuth()
    class PerRequestRoutes {
      constructor(readonly perRequest: PerRequest) {}
      @Get()
      get() {}
    }
    const settings = { controllers: [Bare, PerRequestRoutes], providers: [PerRequest] };
    expect(await bootOf({ ...settings, options: { strict: true } })).toMatch(stops('Bare.get'));
  });

  it('accepts a guard for the whole application', async () => {
    const providers = [{ provide: APP_GUARD, useClass: ApiKeyGuard }];
    expect(await bootOf({ controllers, providers, options: { strict: true } })).toBe('booted');
  });
});

describe('wrong options stop the boot at once', () => {
  it.each<[string, object, RegExp]>([
    ['an option that does not exist', { prefx: 'a' }, /no option "prefx"; the options are prefix, format/],
    ['a prefix with a space', { prefix: 'a b' }, /option "prefix" must be 1 to 32 letters and digits/],
    ['another format', { format: 'uuid' }, /option "format" must be "checksummed" or "hex"/],
    [
      'a trusted proxy of true',
      { https: { trustProxy: true } },
      /option "https.trustProxy" must be a list of addresses or CIDR blocks/,
    ],
    ['a number of hops', { https: { trustProxy: 1 } }, /option "https.trustProxy" must be/],
    [
      'two wrong ones',
      { realm: '"', loadUser: 'x' },
      /option "realm" must be .*; option "loadUser" must be a function/,
    ],
  ])('%s', (_, options, message) => {
    expect(() => ApiKeyModule.forRoot(options)).toThrow(message);
  });
});

describe('forRootAsync', () => {
  @Injectable()
  class Accounts {
    find = async (id: string) => ({ id, email: 'a@example.com' });
  }

  @Module({ providers: [Accounts], exports: [Accounts] })
  class AccountsModule {}

  @Injectable()
  class Options {
    constructor(private readonly accounts: Accounts) {}

    createApiKeyOptions(): ApiKeyOptions {
      return { loadUser: (id) => this.accounts.find(id), cache: { lookUpTimeoutMs: 10_000 } };
    }
  }

  @Module({ imports: [AccountsModule], providers: [Options], exports: [Options] })
  class OptionsModule {}

  @Module({ providers: [{ provide: 'given', useValue: { prefix: 'acme' } }], exports: ['given'] })
  class GivenModule {}

  @Controller()
  @ApiKeyAuth()
  class Routes {
    @Get()
    get(@CurrentUser('email') email: string) {
      return { email };
    }
  }

  it.each<[string, ApiKeyAsyncOptions]>([
    [
      'useFactory',
      {
        imports: [AccountsModule],
        inject: [Accounts],
        useFactory: async (accounts: Accounts) => new Options(accounts).createApiKeyOptions(),
      },
    ],
    ['useClass', { imports: [AccountsModule], useClass: Options }],
    ['useExisting', { imports: [OptionsModule], useExisting: Options }],
  ])('injects by %s, so that loadUser can use a provider', async (_, options) => {
    const module = await Test.createTestingModule({
      imports: [
        TypeOrmModule.forRoot({
          type: 'postgres',
          url: database,
          autoLoadEntities: true,
          uuidExtension: 'pgcrypto',
        }),
        ApiKeyModule.forRootAsync(options),
      ],
      controllers: [Routes],
    }).compile();
    const app = module.createNestApplication();
    await app.listen(0, '127.0.0.1');
    const { key } = await app.get(ApiKeyService).create({ userId: await createUser(database), name: 'ci' });
    const response = await fetch(await app.getUrl(), { headers: { 'x-api-key': key } });
    expect(await response.json()).toEqual({ email: 'a@example.com' });
    await app.close();
  });

  it.each<[string, object]>([
    ['useClass', { useClass: class Config {} }],
    ['useExisting', { imports: [AccountsModule], useExisting: Accounts }],
    ['useExisting of the options themselves', { imports: [GivenModule], useExisting: 'given' }],
  ])('says what to do if the provider of %s has no method createApiKeyOptions', async (_, options) => {
    const [typeOrm] = libraryModules(database);
    const imports = [typeOrm as never, ApiKeyModule.forRootAsync(options)];
    await expect(Test.createTestingModule({ imports }).compile()).rejects.toThrow(
      /useClass and useExisting .* need a provider with the method createApiKeyOptions.*use useFactory and inject/,
    );
  });

  it.each<[string, ApiKeyAsyncOptions]>([
    ['none', {}],
    ['two', { useClass: Options, useExisting: Options }],
  ])('refuses %s of useFactory, useClass and useExisting', (_, options) => {
    expect(() => ApiKeyModule.forRootAsync(options)).toThrow(
      'ApiKeyModule.forRootAsync takes one of useFactory, useClass and useExisting.',
    );
  });
});

it.each<[string, (url: string, opened: DataSource[]) => Promise<object[]>]>([
  [
    'by the name of a second data source',
    async (url) => [
      TypeOrmModule.forRoot({
        name: 'keys',
        type: 'postgres',
        url,
        autoLoadEntities: true,
        uuidExtension: 'pgcrypto',
      }),
      ApiKeyModule.forRoot({ dataSource: 'keys', cache: { lookUpTimeoutMs: 10_000 } }),
    ],
  ],
  [
    'as an instance, without TypeOrmModule',
    async (url, opened) => {
      const settings = { url, entities: [ApiKey], uuidExtension: 'pgcrypto' as const };
      const dataSource = await new DataSource({ type: 'postgres', ...settings }).initialize();
      opened.push(dataSource);
      return [ApiKeyModule.forRoot({ dataSource, cache: { lookUpTimeoutMs: 10_000 } })];
    },
  ],
])('the option dataSource sets the source of the keys, %s', async (_, imports) => {
  const opened: DataSource[] = [];
  const found = (await imports(database, opened)) as never[];
  const module = await Test.createTestingModule({ imports: found }).compile();
  const app = await module.createNestApplication().init();
  const keys = app.get(ApiKeyService);
  const { key } = await keys.create({ userId: await createUser(database), name: 'ci' });
  expect(await keys.verify(key)).toMatchObject({ ok: true });
  await app.close();
  for (const dataSource of opened) await dataSource.destroy();
});

describe('the boot logs a warning about the loopback exception', () => {
  const { NODE_ENV } = process.env;
  afterEach(() => {
    process.env.NODE_ENV = NODE_ENV;
    jest.restoreAllMocks();
  });

  it.each([
    ['in production', 'production', {}, 1],
    ['not if it is switched off', 'production', { https: { loopbackException: false } }, 0],
    ['not elsewhere', 'test', {}, 0],
  ])('%s', async (_, environment, options, times) => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    process.env.NODE_ENV = environment;
    await bootOf({ options });
    expect(warn.mock.calls.filter(([line]) => /https\.loopbackException: false/.test(line))).toHaveLength(
      times,
    );
  });
});

it.each([
  [1, 'connectTimeoutMS: 5_000', {}],
  [1, 'connectTimeoutMS: 5_000', { connectTimeoutMS: 5_000 }],
  [1, 'connectTimeoutMS: 5_000', { extra: { query_timeout: 15_000 } }],
  [0, 'connectTimeoutMS: 5_000', { connectTimeoutMS: 5_000, extra: { query_timeout: 15_000 } }],
  [1, 'poolSize: 4 or more', { poolSize: 1 }],
  [0, 'poolSize: 4 or more', { poolSize: 2 }],
  [0, 'poolSize: 4 or more', {}],
])('the boot logs %i times that the data source needs "%s" if its options are %j', async (times, needed, settings) => {
  const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
  const dataSource = await new DataSource({
    type: 'postgres',
    url: database,
    entities: [ApiKey],
    uuidExtension: 'pgcrypto',
    ...settings,
  }).initialize();
  const module = await Test.createTestingModule({
    imports: [ApiKeyModule.forRoot({ dataSource })],
  }).compile();
  await module.init();
  const said = warn.mock.calls.filter(([line]) => String(line).includes(needed));
  await module.close();
  await dataSource.destroy();
  warn.mockRestore();
  expect(said).toHaveLength(times);
});
