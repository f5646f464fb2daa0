import { Controller, Get, Logger, Module, type Type, UseGuards } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { SkipThrottle, Throttle, ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import {
  ApiKeyAuth,
  ApiKeyGuard,
  ApiKeyService,
  ApiKeyThrottlerGuard,
  type CreateApiKeyInput,
  Public,
} from 'nestjs-api-key';
import { bootApp, libraryModules, type TestApp, type TestAppSettings } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

const LIMIT = { limit: 5, windowSeconds: 60 };
const QUOTA = { limit: 5, period: 'day' } as const;
const MANY = 12;

@Controller('guarded')
@UseGuards(ApiKeyGuard)
class Guarded {
  @Get()
  get() {}
}

@Controller('mixed')
@ApiKeyAuth()
class Limited {
  @Get()
  get() {}
}

@Controller('skipped')
@UseGuards(ApiKeyGuard)
@SkipThrottle()
class Skipped {
  @Get()
  get() {}
}

@Controller('open')
class Open {
  @Get()
  get() {}
  @Get('public')
  @Public()
  open() {}
}

@Controller('throttled')
@UseGuards(ApiKeyGuard)
class Throttled {
  @Get()
  @Throttle({ default: { limit: 1, ttl: 60_000 } })
  get() {}
}

function routeOfMany(index: number): Type {
  @Controller(`many/${index}`)
  @UseGuards(ApiKeyGuard)
  class Routes {
    @Get()
    get() {}
  }
  Object.defineProperty(Routes, 'name', { value: `Routes${index}` });
  return Routes;
}

let database: string;
let userId: string;
let warned: jest.SpyInstance;
const running: TestApp[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  warned = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
});

afterEach(async () => {
  warned.mockRestore();
  await Promise.all(running.splice(0).map((app) => app.close()));
});

async function boot(settings: Partial<TestAppSettings> = {}): Promise<TestApp> {
  const app = await bootApp({ database, controllers: [Guarded, Limited, Skipped, Open], ...settings });
  running.push(app);
  return app;
}

function keyWith(app: TestApp, fields: Partial<CreateApiKeyInput> = {}) {
  return app.keys.create({ userId, name: 'ci', ...fields });
}

/** Warnings about limits since the last call. */
function said(): string[] {
  const texts = warned.mock.calls
    .map(([text]) => String(text))
    .filter((text) => /nothing counts|counts nothing|limits no key/.test(text));
  warned.mockClear();
  return texts;
}

describe('the boot logs a warning about routes without ApiKeyThrottlerGuard if', () => {
  it('the options have a default limit, and names only routes that need a key and do not skip limits', async () => {
    await boot({ options: { rateLimit: LIMIT } });
    expect(said()).toEqual([
      expect.stringMatching(
        /^Option "rateLimit\.limit" is set, but nothing counts requests on Guarded\.get: use @ApiKeyAuth/,
      ),
    ]);
  });

  it.each([
    ['rate limit', { rateLimit: LIMIT }],
    ['quota', { quota: QUOTA }],
  ])('a stored key has a %s', async (_, limits) => {
    await keyWith(await boot({ controllers: [Limited] }), limits);
    said();
    await boot();
    expect(said()).toEqual([expect.stringMatching(/^Keys have a rate limit or quota, but nothing counts/)]);
  });

  it('a route has @Throttle', async () => {
    await boot({ controllers: [Throttled] });
    expect(said()).toEqual([
      expect.stringMatching(/^Routes have @Throttle, but nothing counts requests on Throttled\.get/),
    ]);
  });

  it('a route has @Throttle without ttl, which ApiKeyThrottlerGuard does not count', async () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get('half')
      @Throttle({ default: { limit: 1 } })
      half() {}
      @Get('whole')
      @Throttle({ default: { limit: 1, ttl: 60_000 } })
      whole() {}
    }
    await boot({ controllers: [Routes] });
    expect(said()).toEqual([
      '@Throttle counts nothing on Routes.half, because limit or ttl is missing: set both',
    ]);
  });

  it('there are many, and names ten of them', async () => {
    const controllers = Array.from({ length: MANY }, (_, index) => routeOfMany(index));
    await boot({ controllers, options: { rateLimit: LIMIT } });
    expect(said()).toEqual([
      expect.stringMatching(
        / on Routes0\.get, (?:Routes\d\.get, ){8}Routes9\.get and 2 more: use @ApiKeyAuth/,
      ),
    ]);
  });
});

describe('a throttler of ThrottlerModule whose limit is a function', () => {
  const imports = [ThrottlerModule.forRoot([{ name: 'short', limit: () => 1, ttl: 60_000 }])];

  it('limits no key, and the boot logs that', async () => {
    await boot({ controllers: [Limited], imports });
    expect(said()).toEqual([
      'Throttler short of ThrottlerModule limits no key, because its limit or ttl is a function: set option "rateLimit.limit"',
    ]);
  });

  it.each<[string, Partial<TestAppSettings>]>([
    ['ThrottlerGuard uses it', { providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }] }],
    ['the options have a default limit', { options: { rateLimit: LIMIT } }],
  ])('is not logged if %s', async (_, settings) => {
    await boot({ controllers: [Limited], imports, ...settings });
    expect(said()).toEqual([]);
  });
});

describe('the boot logs no warning about limits if', () => {
  it('no key has a limit', async () => {
    await keyWith(await boot());
    await boot();
    expect(said()).toEqual([]);
  });

  it.each(['revoked', 'expired'])('each key with a limit is %s', async (state) => {
    const app = await boot({ controllers: [Limited] });
    const { apiKey } = await keyWith(app, { rateLimit: LIMIT });
    if (state === 'revoked') await app.keys.revoke(apiKey.id);
    else await sql(database, `UPDATE api_keys SET expires_at = now() - interval '1 minute'`);
    await boot();
    expect(said()).toEqual([]);
  });

  it('every route that needs a key has the guard, also if it is global', async () => {
    class Mine extends ApiKeyThrottlerGuard {}
    const options = { rateLimit: LIMIT };
    await boot({ controllers: [Limited, Skipped, Open], options });
    for (const limits of [ApiKeyThrottlerGuard, Mine]) {
      const providers = [ApiKeyGuard, limits].map((useClass) => ({ provide: APP_GUARD, useClass }));
      await boot({ providers, options });
    }
    expect(said()).toEqual([]);
  });

  it('no route needs a key', async () => {
    await boot({ controllers: [Open], options: { rateLimit: LIMIT } });
    expect(said()).toEqual([]);
  });

  it('ThrottlerGuard counts the limit of a route', async () => {
    await boot({
      controllers: [Throttled],
      providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
      imports: [ThrottlerModule.forRoot([{ limit: 100, ttl: 60_000 }])],
    });
    expect(said()).toEqual([]);
  });
});

describe('the log has one warning with the routes that do not count a limit,', () => {
  const warning = (id: string) =>
    expect.stringMatching(
      new RegExp(`^Key ${id} has a rate limit or quota, but nothing counts requests on Guarded\\.get: use`),
    );

  it.each([
    ['rate limit', { rateLimit: LIMIT }],
    ['quota', { quota: QUOTA }],
  ])('if a key is created with a %s', async (_, limits) => {
    const app = await boot();
    await keyWith(app);
    expect(said()).toEqual([]);
    const { apiKey } = await keyWith(app, limits);
    await keyWith(app, limits);
    expect(said()).toEqual([warning(apiKey.id)]);
  });

  it('if a key gets a limit by an update', async () => {
    const app = await boot();
    const { apiKey } = await keyWith(app);
    await app.keys.update(apiKey.id, { quota: QUOTA });
    expect(said()).toEqual([warning(apiKey.id)]);
  });

  it('if a key with a limit is rotated', async () => {
    const { apiKey } = await keyWith(await boot({ controllers: [Limited] }), { rateLimit: LIMIT });
    const app = await boot();
    said();
    const successor = await app.keys.rotate(apiKey.id);
    expect(said()).toEqual([warning(String(successor?.apiKey.id))]);
  });

  it('if a key makes a key that shares its limit', async () => {
    const { apiKey } = await keyWith(await boot({ controllers: [Limited] }), { rateLimit: LIMIT });
    const app = await boot();
    said();
    const made = await keyWith(app, {});
    expect([made.apiKey.sharedLimits, said()]).toEqual([null, []]);
    const child = await app.keys.create({ userId, name: 'child', rateLimit: LIMIT }, { apiKey });
    expect(said()).toEqual([warning(child.apiKey.id)]);
  });
});

it('a key with a limit is created without a warning if all guarded routes count it', async () => {
  await keyWith(await boot({ controllers: [Limited, Skipped, Open] }), { rateLimit: LIMIT, quota: QUOTA });
  expect(said()).toEqual([]);
});

it('a script without HTTP creates keys with limits without a warning, because it may lack global guards of the server', async () => {
  @Module({ imports: libraryModules(database), controllers: [Guarded] })
  class ScriptModule {}
  const script = await NestFactory.createApplicationContext(ScriptModule, {
    logger: false,
    abortOnError: false,
  });
  await script.get(ApiKeyService).create({ userId, name: 'ci', rateLimit: LIMIT });
  await script.close();
  expect(said()).toEqual([]);
});
