import {
  All,
  type ArgumentsHost,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  Injectable,
  Next,
  Post,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { SkipThrottle, Throttle, ThrottlerModule, type ThrottlerStorage } from '@nestjs/throttler';
import {
  ApiKeyAuth,
  ApiKeyGuard,
  type ApiKeyOptions,
  ApiKeyThrottlerGuard,
  Cost,
  type CreateApiKeyInput,
  Public,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { ADAPTERS, type Adapter, bootApp, type TestApp, type TestAppSettings } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { until } from './support/until';

@Controller()
@UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard)
class Routes {
  @Get('a')
  a() {
    return 'a';
  }
  @Post('b')
  b() {
    return 'b';
  }
  @Get('scoped')
  @Scopes('orders:read')
  scoped() {
    return 'scoped';
  }
  @Get('own')
  @Throttle({ default: { limit: 2, ttl: 60_000 } })
  own() {
    return 'own';
  }
  @Get('named')
  @Throttle({ burst: { limit: 1, ttl: 60_000 } })
  named() {
    return 'named';
  }
  @Get('short')
  @Throttle({ short: { limit: 1, ttl: 60_000 } })
  short() {
    return 'short';
  }
  @Get('long')
  @SkipThrottle({ short: true })
  long() {
    return 'long';
  }
  @Get('odd')
  @Throttle({ 'ライト "x"': { limit: 1, ttl: 60_000 } })
  odd() {
    return 'odd';
  }
  @Get('half')
  @Throttle({ default: { limit: 1 } } as never)
  half() {
    return 'half';
  }
  @Get('wrong')
  @Throttle({ default: { limit: () => 0, ttl: 60_000 } })
  wrong() {
    return 'wrong';
  }
  @Get('free')
  @SkipThrottle()
  free() {
    return 'free';
  }
  @Get('dear')
  @Cost(3)
  dear() {
    return 'dear';
  }
  @Get('computed')
  @Cost((context) => Number(context.switchToHttp().getRequest().query.cost))
  computed() {
    return 'computed';
  }
  @Get('twice')
  @ApiKeyAuth()
  twice() {
    return 'twice';
  }
  @Get('open')
  @Public()
  open() {
    return 'open';
  }
}

@Controller('all-dear')
@UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard)
@Cost(2)
class AllDear {
  @Get()
  get() {
    return 'dear';
  }
  @Get('less')
  @Cost(1)
  less() {
    return 'less';
  }
}

@Controller('misplaced')
@UseGuards({ canActivate: () => true }, ApiKeyThrottlerGuard)
class Misplaced {
  @Get()
  get() {
    return 'never';
  }
}

/** A class `Users`, as each version of an interface may have one. */
function usersOf(path: string, limit: number) {
  @Controller(path)
  @UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard)
  class Users {
    @Get()
    @Throttle({ default: { limit, ttl: 60_000 } })
    list() {
      return path;
    }
  }
  return Users;
}

/** Passes all requests on to the next route. */
@Controller('passed')
@UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard)
class Passing {
  @All('free/*path')
  @SkipThrottle()
  free(@Next() next: () => void) {
    next();
  }
  @All('counted/*path')
  counted(@Next() next: () => void) {
    next();
  }
}

@Controller(['passed/free', 'passed/counted'])
@UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard)
class Passed {
  @Get('a')
  a() {
    return 'a';
  }
  @Get('own')
  @Throttle({ default: { limit: 1, ttl: 60_000 } })
  own() {
    return 'own';
  }
  @Get('dear')
  @Cost(3)
  dear() {
    return 'dear';
  }
  @Get('dear-own')
  @Cost(3)
  @Throttle({ default: { limit: 3, ttl: 60_000 } })
  dearOwn() {
    return 'dear';
  }
}

/** Asks the guard of limits twice at the same time, as a guard does that joins others. */
@Injectable()
class BothAtOnce implements CanActivate {
  constructor(private readonly guard: ApiKeyThrottlerGuard) {}
  async canActivate(context: ExecutionContext) {
    const both = [this.guard.canActivate(context), this.guard.canActivate(context)];
    return (await Promise.all(both.map(async (each) => each))).every(Boolean);
  }
}

@Controller('at-once')
@UseGuards(ApiKeyGuard, BothAtOnce)
class AtOnce {
  @Get()
  get() {
    return 'once';
  }
  @Get('dear')
  @Cost(() => 2)
  dear() {
    return 'dear';
  }
}

/** Authenticates twice at the same time, and the second time ends after the limits have counted. */
@Injectable()
class LateAgain implements CanActivate {
  static release = () => {};
  constructor(
    private readonly guard: ApiKeyGuard,
    private readonly limits: ApiKeyThrottlerGuard,
  ) {}
  async canActivate(context: ExecutionContext) {
    const both = [0, 1].map(async () => this.guard.canActivate(context));
    await Promise.race(both);
    await this.limits.canActivate(context);
    LateAgain.release();
    await Promise.all(both);
    return this.limits.canActivate(context);
  }
}

@Controller('late')
@UseGuards(LateAgain)
class Late {
  @Get()
  get() {
    return 'late';
  }
}

/** Passes refused requests on, as a filter of a web page does with paths that it does not know. */
@Catch()
class PassOn implements ExceptionFilter {
  catch(_error: unknown, host: ArgumentsHost) {
    host.switchToHttp().getNext<() => void>()();
  }
}

@Controller('refused')
@UseFilters(PassOn)
@UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard)
class Refusing {
  @Get('a')
  a() {
    return 'first';
  }
}

@Controller('refused')
@UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard)
class Refused {
  @Get('a')
  a() {
    return 'second';
  }
}

let database: string;
let userId: string;
const running: TestApp[] = [];

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
});

async function boot(settings: Partial<TestAppSettings> = {}): Promise<TestApp> {
  const app = await bootApp({ database, controllers: [Routes, AllDear, Misplaced], ...settings });
  running.push(app);
  return app;
}

async function keyWith(app: TestApp, fields: Partial<CreateApiKeyInput> = {}) {
  return app.keys.create({ userId, name: 'ci', ...fields });
}

const LIMIT = { limit: 5, windowSeconds: 60 };

async function ask(app: TestApp, path: string, key: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${app.url}/${path}`, {
    ...init,
    headers: { authorization: `Bearer ${key}`, ...init.headers },
  });
}

async function statuses(app: TestApp, paths: readonly string[], key: string): Promise<number[]> {
  const found: number[] = [];
  for (const path of paths)
    found.push((await ask(app, path, key, { method: path === 'b' ? 'POST' : 'GET' })).status);
  return found;
}

describe.each(ADAPTERS)('on %s', (adapter: Adapter) => {
  it('a key has one count for all its routes, and another key of the same address has its own', async () => {
    const app = await boot({ adapter });
    const [one, other] = [await keyWith(app, { rateLimit: LIMIT }), await keyWith(app, { rateLimit: LIMIT })];
    expect(await statuses(app, ['a', 'b', 'a', 'b', 'a', 'b', 'a'], one.key)).toEqual([
      200, 201, 200, 201, 200, 429, 429,
    ]);
    expect(await statuses(app, ['a', 'open'], other.key)).toEqual([200, 200]);
  });

  it('every answer for a limited key has the limit and the rest of it, and a refusal also has Retry-After', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    for (let left = 4; left >= 0; left--) {
      const { headers } = await ask(app, 'a', key);
      expect(headers.get('ratelimit-policy')).toBe('"key";q=5;w=60');
      expect(
        Number(new RegExp(`^"key";r=${left};t=(\\d+)$`).exec(headers.get('ratelimit') ?? '')?.[1]),
      ).toBeLessThanOrEqual(60);
      expect(headers.has('retry-after')).toBe(false);
    }
    const refused = await ask(app, 'a', key);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toEqual({
      statusCode: 429,
      error: 'RATE_LIMITED',
      message: expect.stringContaining('Retry-After'),
    });
    const [, reset] = /^"key";r=0;t=(\d+)$/.exec(refused.headers.get('ratelimit') ?? '') ?? [];
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(Number(reset));
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(refused.headers.has('x-ratelimit-limit')).toBe(false);
  });

  it('a loop of 403s for scopes is limited too, because the limit is checked before the scopes', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app, { rateLimit: { limit: 2, windowSeconds: 60 } });
    expect(await statuses(app, ['scoped', 'scoped', 'scoped'], key)).toEqual([403, 403, 429]);
  });

  it('no header of the caller changes the limit', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    const found: number[] = [];
    for (let i = 0; i < 8; i++) {
      const headers = {
        'user-agent': `agent ${i}`,
        'x-api-key': key,
        'x-request-id': `request-${i}`,
        cookie: `a=${i}`,
      };
      found.push((await ask(app, `a?i=${i}`, key, { headers })).status);
    }
    expect(found).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
  });

  it('X-Forwarded-For does not change the limit behind a trusted proxy', async () => {
    const app = await boot({ adapter, options: { https: { trustProxy: ['127.0.0.1'] } } });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    const found: number[] = [];
    for (let i = 0; i < 7; i++) {
      const headers = { 'x-forwarded-for': `192.0.2.${i}`, 'x-forwarded-proto': 'https' };
      found.push((await ask(app, 'a', key, { headers })).status);
    }
    expect(found).toEqual([200, 200, 200, 200, 200, 429, 429]);
  });

  it('two guards count a request once', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    for (const left of [4, 3]) {
      const { status, headers } = await ask(app, 'twice', key);
      expect([status, headers.get('ratelimit')]).toEqual([200, expect.stringContaining(`r=${left};`)]);
    }
  });

  it('@Throttle adds the limit of a route for each key; @SkipThrottle() counts nothing', async () => {
    const app = await boot({ adapter });
    const [{ key }, limited] = [await keyWith(app), await keyWith(app, { rateLimit: LIMIT })];
    expect(await statuses(app, ['own', 'own', 'own', 'a', 'a'], key)).toEqual([200, 200, 429, 200, 200]);
    expect(await statuses(app, ['free', 'own'], limited.key)).toEqual([200, 200]);
    const { headers } = await ask(app, 'own', limited.key);
    expect(headers.get('ratelimit-policy')).toBe('"key";q=5;w=60, "route";q=2;w=60');
    expect(headers.get('ratelimit')).toMatch(/^"key";r=3;t=\d+, "route";r=0;t=\d+$/);
    const refused = await ask(app, 'own', limited.key);
    expect([refused.status, refused.headers.get('ratelimit-policy')]).toEqual([
      429,
      '"key";q=5;w=60, "route";q=2;w=60',
    ]);
    expect((await ask(app, 'free', limited.key)).headers.has('ratelimit')).toBe(false);
  });

  it('@Cost counts more than one, also by a function', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    expect(await statuses(app, ['dear', 'dear', 'computed?cost=2', 'a'], key)).toEqual([200, 429, 200, 429]);
  });

  it('@Cost of a class counts on each of its routes that declares no cost of its own', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    const paths = ['all-dear', 'all-dear', 'all-dear', 'all-dear/less', 'all-dear/less'];
    expect(await statuses(app, paths, key)).toEqual([200, 200, 429, 200, 429]);
  });

  it('a limit of a route has the name from @Throttle, and does not count without a window', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app);
    expect((await ask(app, 'named', key)).headers.get('ratelimit-policy')).toBe('"burst";q=1;w=60');
    expect(await statuses(app, ['named', 'half', 'half'], key)).toEqual([429, 200, 200]);
  });

  it('an invalid computed limit accepts no request', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app);
    expect(await statuses(app, ['wrong', 'computed?cost=0', 'computed?cost=x'], key)).toEqual([
      500, 500, 500,
    ]);
  });

  it('the guard refuses if no ApiKeyGuard runs before it', async () => {
    const app = await boot({ adapter });
    const { key } = await keyWith(app);
    expect(await statuses(app, ['misplaced'], key)).toEqual([401]);
  });
});

describe.each([
  'passed/free',
  'passed/counted',
])('a request that comes by %s, and that a handler forwards,', (path) => {
  it('counts on the limit of its key once', async () => {
    const app = await boot({ controllers: [Passing, Passed] });
    const { key } = await keyWith(app, { rateLimit: { limit: 2, windowSeconds: 60 } });
    expect(await statuses(app, Array(3).fill(`${path}/a`), key)).toEqual([200, 200, 429]);
  });

  it('counts on the limit of the final route', async () => {
    const app = await boot({ controllers: [Passing, Passed] });
    const { key } = await keyWith(app);
    expect(await statuses(app, Array(2).fill(`${path}/own`), key)).toEqual([200, 429]);
  });

  it.each([
    ['rate limit', { rateLimit: { limit: 5, windowSeconds: 60 } }],
    ['quota', { quota: { limit: 5, period: 'day' } }],
  ] as const)('costs on the %s of its key what the dearest of these routes costs', async (_, limit) => {
    const app = await boot({ controllers: [Passing, Passed] });
    const { key } = await keyWith(app, limit);
    expect(await statuses(app, Array(3).fill(`${path}/dear`), key)).toEqual([200, 429, 429]);
  });

  it('counts on the quota of its key once', async () => {
    const app = await boot({ controllers: [Passing, Passed] });
    const { key } = await keyWith(app, { quota: { limit: 2, period: 'day' } });
    expect(await statuses(app, Array(3).fill(`${path}/a`), key)).toEqual([200, 200, 429]);
  });
});

it('a route that refuses a forwarded request uses up no more quota', async () => {
  const app = await boot({ controllers: [Passing, Passed] });
  const limits = {
    rateLimit: { limit: 100, windowSeconds: 60 },
    quota: { limit: 6, period: 'day' },
  } as const;
  const { key } = await keyWith(app, limits);
  const paths = ['dear-own', 'dear-own', 'a', 'a', 'a'].map((path) => `passed/counted/${path}`);
  expect(await statuses(app, paths, key)).toEqual([200, 429, 200, 200, 429]);
});

it.each([
  ['rate limit', {}, { rateLimit: { limit: 4, windowSeconds: 60 } }],
  ['rate limit in PostgreSQL', { storage: 'postgres' }, { rateLimit: { limit: 4, windowSeconds: 60 } }],
  ['quota', {}, { quota: { limit: 4, period: 'day' } }],
] as const)('a request counts on a %s once, if two guards count it at the same time', async (_, rateLimit, limit) => {
  const app = await boot({ controllers: [AtOnce], options: { rateLimit } });
  const { key } = await keyWith(app, limit);
  const paths = ['at-once', 'at-once', 'at-once/dear', 'at-once'];
  expect(await statuses(app, paths, key)).toEqual([200, 200, 200, 429]);
});

it('a request counts once, if it is authenticated again while it counts', async () => {
  let isLate = true;
  const loadUser = (id: string) => {
    isLate = !isLate;
    if (!isLate) return { id };
    return new Promise<object>((resolve) => {
      LateAgain.release = () => resolve({ id });
    });
  };
  const app = await boot({ controllers: [Late], options: { loadUser, cache: { size: 0 } } });
  const { key } = await keyWith(app, { rateLimit: { limit: 2, windowSeconds: 60 } });
  expect(await statuses(app, ['late', 'late'], key)).toEqual([200, 200]);
});

it.each([
  ['rate limit', {}, { rateLimit: { limit: 2, windowSeconds: 60 } }],
  ['rate limit in PostgreSQL', { storage: 'postgres' }, { rateLimit: { limit: 2, windowSeconds: 60 } }],
  ['quota', {}, { quota: { limit: 2, period: 'day' } }],
] as const)('a request that a %s refused is refused too on a route that a filter passes it on to', async (_, rateLimit, limit) => {
  const app = await boot({ controllers: [Refusing, Refused], options: { rateLimit } });
  const { key } = await keyWith(app, limit);
  expect(await statuses(app, Array(4).fill('refused/a'), key)).toEqual([200, 200, 429, 429]);
});

it('a limit edited by hand, too large or without a window, still limits', async () => {
  const app = await boot({ options: { rateLimit: { storage: 'postgres', windowSeconds: 30 } } });
  const [huge, half] = [await keyWith(app), await keyWith(app)];
  await sql(
    database,
    `UPDATE api_keys SET rate_limit = 2147483647, rate_limit_window_seconds = 60 WHERE id = ${huge.apiKey.id};
     UPDATE api_keys SET rate_limit = 1 WHERE id = ${half.apiKey.id}`,
  );
  const { status, headers } = await ask(app, 'computed?cost=1000000000', huge.key);
  expect([status, headers.get('ratelimit-policy')]).toEqual([200, '"key";q=1000000000;w=60']);
  expect(await statuses(app, ['computed?cost=9007199254740991', 'a'], huge.key)).toEqual([429, 429]);
  expect(await statuses(app, ['a', 'a'], half.key)).toEqual([200, 429]);
  expect((await ask(app, 'a', half.key)).headers.get('ratelimit-policy')).toBe('"key";q=1;w=30');
});

it('a window edited by hand to 0 or less is the default window', async () => {
  const app = await boot({ options: { rateLimit: { windowSeconds: 30 } } });
  for (const seconds of [0, -5]) {
    const { key, apiKey } = await keyWith(app, { rateLimit: { limit: 1, windowSeconds: 60 } });
    await sql(database, `UPDATE api_keys SET rate_limit_window_seconds = ${seconds} WHERE id = ${apiKey.id}`);
    expect(await statuses(app, ['a', 'a'], key)).toEqual([200, 429]);
  }
});

describe('named throttlers of ThrottlerModule', () => {
  const throttlers = [
    { name: 'short', limit: 2, ttl: 30_000 },
    { name: 'long', limit: 4, ttl: 60_000 },
  ];

  it('are defaults that a route can skip by name', async () => {
    const app = await boot({ imports: [ThrottlerModule.forRoot(throttlers)] });
    const [{ key }, other] = [await keyWith(app), await keyWith(app)];
    expect(await statuses(app, ['long', 'long', 'long', 'a', 'a'], key)).toEqual([200, 200, 200, 200, 429]);
    const { headers } = await ask(app, 'a', other.key);
    expect(headers.get('ratelimit-policy')).toBe('"short";q=2;w=30, "long";q=4;w=60');
    expect((await ask(app, 'long', other.key)).headers.get('ratelimit-policy')).toBe('"long";q=4;w=60');
  });

  it('keep their names separate from those of @Throttle on a route', async () => {
    const app = await boot({ imports: [ThrottlerModule.forRoot(throttlers)] });
    const { key } = await keyWith(app);
    expect((await ask(app, 'short', key)).headers.get('ratelimit-policy')).toBe(
      '"short";q=2;w=30, "long";q=4;w=60, "route-short";q=1;w=60',
    );
  });

  it('do not count requests for which skipIf is true, but limits of the key still count them', async () => {
    const skipIf = (context: ExecutionContext) =>
      context.switchToHttp().getRequest().headers['x-batch'] === 'yes';
    const module = ThrottlerModule.forRoot({
      throttlers: throttlers.map((one) => ({ ...one, ...(one.name === 'long' && { skipIf: () => true }) })),
      skipIf,
    });
    const app = await boot({ imports: [module] });
    const [{ key }, own] = [
      await keyWith(app),
      await keyWith(app, { rateLimit: { limit: 1, windowSeconds: 60 } }),
    ];
    const batch = { headers: { 'x-batch': 'yes' } };
    for (let i = 0; i < 5; i++) expect((await ask(app, 'a', key, batch)).status).toBe(200);
    expect((await ask(app, 'a', key)).headers.get('ratelimit-policy')).toBe('"short";q=2;w=30');
    expect(await statuses(app, ['a', 'a'], key)).toEqual([200, 429]);
    expect((await ask(app, 'a', own.key, batch)).status).toBe(200);
    expect((await ask(app, 'a', own.key, batch)).status).toBe(429);
  });
});

it('routes of two classes with the same name have separate limits', async () => {
  const app = await boot({ controllers: [usersOf('v1', 2), usersOf('v2', 3)] });
  const { key } = await keyWith(app);
  expect(await statuses(app, ['v1', 'v2', 'v1', 'v2', 'v1', 'v2', 'v2'], key)).toEqual([
    200, 200, 200, 200, 429, 200, 429,
  ]);
});

it('a name with characters that are invalid in headers is escaped', async () => {
  const app = await boot();
  const { key } = await keyWith(app);
  const { status, headers } = await ask(app, 'odd', key);
  expect([status, headers.get('ratelimit-policy')]).toEqual([200, '"??? \\"x\\"";q=1;w=60']);
});

it('a request that the limit of a route refuses uses nothing of the limit of the key', async () => {
  const app = await boot();
  const { key } = await keyWith(app, { rateLimit: LIMIT });
  expect(await statuses(app, ['own', 'own', 'own', 'own', 'own', 'a', 'a', 'a', 'a'], key)).toEqual([
    200, 200, 429, 429, 429, 200, 200, 200, 429,
  ]);
});

it('if several limits refuse, the caller gets the longest wait', async () => {
  const app = await boot();
  const hour = await keyWith(app, { rateLimit: { limit: 2, windowSeconds: 3_600 } });
  const second = await keyWith(app, { rateLimit: { limit: 2, windowSeconds: 20 } });
  for (const [{ key }, least, most] of [
    [hour, 3_590, 3_600],
    [second, 50, 60],
  ] as const) {
    expect(await statuses(app, ['own', 'own', 'own'], key)).toEqual([200, 200, 429]);
    const { headers } = await ask(app, 'own', key);
    expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(least);
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(most);
    expect(headers.get('ratelimit-policy')).toMatch(/^"key";q=2;w=\d+, "route";q=2;w=60$/);
  }
});

it('a key without a limit is not limited, and its answers have no limit headers', async () => {
  const app = await boot();
  const { key } = await keyWith(app);
  expect(new Set(await statuses(app, Array(50).fill('a'), key))).toEqual(new Set([200]));
  expect((await ask(app, 'a', key)).headers.has('ratelimit-policy')).toBe(false);
});

it.each<[string, ApiKeyOptions, Partial<TestAppSettings>]>([
  ['the option', { rateLimit: { limit: 3, windowSeconds: 30 } }, {}],
  ['ThrottlerModule', {}, { imports: [ThrottlerModule.forRoot([{ limit: 3, ttl: 30_000 }])] }],
])('the default of %s limits only keys without their own limit', async (_, options, settings) => {
  const app = await boot({ options, ...settings });
  const [{ key }, own] = [await keyWith(app), await keyWith(app, { rateLimit: LIMIT })];
  expect(await statuses(app, ['a', 'b', 'a', 'a'], key)).toEqual([200, 201, 200, 429]);
  expect((await ask(app, 'a', key)).headers.get('ratelimit-policy')).toBe('"default";q=3;w=30');
  expect((await ask(app, 'a', own.key)).headers.get('ratelimit-policy')).toBe('"key";q=5;w=60');
});

it('a default of ThrottlerModule that is computed for each request limits no key', async () => {
  const app = await boot({ imports: [ThrottlerModule.forRoot([{ limit: () => 1, ttl: 60_000 }])] });
  const { key } = await keyWith(app);
  expect(await statuses(app, ['a', 'a'], key)).toEqual([200, 200]);
});

it('instances whose storage is PostgreSQL share a limit', async () => {
  const options: ApiKeyOptions = { rateLimit: { storage: 'postgres', storageTimeoutMs: 60_000 } };
  const [app, other] = [await boot({ options }), await boot({ options })];
  const { key } = await keyWith(app, { rateLimit: { limit: 2, windowSeconds: 3_600 } });
  expect(await statuses(app, ['a'], key)).toEqual([200]);
  expect(await statuses(other, ['a', 'a'], key)).toEqual([200, 429]);
  expect(await statuses(app, ['a'], key)).toEqual([429]);
});

it('a refusal by a key limit that another instance used up counts nothing for the route', async () => {
  const options: ApiKeyOptions = { rateLimit: { storage: 'postgres', storageTimeoutMs: 60_000 } };
  const [app, other] = [await boot({ options }), await boot({ options })];
  const { key } = await keyWith(app, { rateLimit: { limit: 2, windowSeconds: 3_600 } });
  await statuses(other, ['a', 'a'], key);
  const { status, headers } = await ask(app, 'own', key);
  expect([status, headers.get('ratelimit-policy')]).toEqual([429, '"key";q=2;w=3600, "route";q=2;w=60']);
});

it('legacyHeaders adds the headers for older clients', async () => {
  const app = await boot({ options: { rateLimit: { legacyHeaders: true } } });
  const { key } = await keyWith(app, { rateLimit: LIMIT });
  const { headers } = await ask(app, 'a', key);
  expect(['limit', 'remaining', 'reset'].map((name) => headers.get(`x-ratelimit-${name}`))).toEqual([
    '5',
    '4',
    expect.stringMatching(/^([1-9]|[1-5]\d|60)$/),
  ]);
});

it('legacyHeaders show the limit of which the least is left', async () => {
  const app = await boot({ options: { rateLimit: { legacyHeaders: true } } });
  const leftFor = async (limit: number) => {
    const { key } = await keyWith(app, { rateLimit: { limit, windowSeconds: 60 } });
    const { headers } = await ask(app, 'own', key);
    return [headers.get('x-ratelimit-limit'), headers.get('x-ratelimit-remaining')];
  };
  expect([await leftFor(1), await leftFor(9)]).toEqual([
    ['1', '0'],
    ['2', '1'],
  ]);
});

it('a changed limit takes effect from then on, on this and on other instances', async () => {
  const [app, other] = [await boot(), await boot()];
  const { key, apiKey } = await keyWith(app, { rateLimit: LIMIT });
  expect(await statuses(app, Array(5).fill('a'), key)).toEqual(Array(5).fill(200));
  expect(await statuses(other, ['a'], key)).toEqual([200]);
  await other.keys.update(apiKey.id, { rateLimit: { limit: 7, windowSeconds: 60 } });
  await until(async () => (await ask(app, 'a', key)).headers.get('ratelimit-policy') === '"key";q=7;w=60');
  expect((await statuses(app, Array(3).fill('a'), key)).at(-1)).toBe(429);
});

it('exactly the limit of a simultaneous burst is accepted', async () => {
  const app = await boot();
  const { key } = await keyWith(app, { rateLimit: { limit: 100, windowSeconds: 60 } });
  const answers = await Promise.all(Array.from({ length: 500 }, () => ask(app, 'a', key)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(100);
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(400);
});

describe('a custom storage', () => {
  /** Counts, fails or hangs, as a test likes. */
  class Storage implements ThrottlerStorage {
    mode: 'counts' | 'fails' | 'hangs' = 'counts';
    hits = 0;

    async increment(_key: string, ttl: number, limit: number) {
      if (this.mode === 'fails') throw new Error('away');
      if (this.mode === 'hangs') await new Promise(() => {});
      const isBlocked = ++this.hits > limit;
      return {
        totalHits: this.hits,
        timeToExpire: ttl / 1_000,
        isBlocked,
        timeToBlockExpire: isBlocked ? 9 : 0,
      };
    }
  }

  it.each<[string, (storage: Storage) => Partial<TestAppSettings>]>([
    ['the option', (storage) => ({ options: { rateLimit: { storage } } })],
    ['ThrottlerModule', (storage) => ({ imports: [ThrottlerModule.forRoot({ throttlers: [], storage })] })],
  ])('is used if %s gives it', async (_, settingsFor) => {
    const storage = new Storage();
    const app = await boot(settingsFor(storage));
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    expect(await statuses(app, ['a', 'dear', 'a', 'a'], key)).toEqual([200, 200, 200, 429]);
    expect((await ask(app, 'a', key)).headers.get('retry-after')).toBe('60');
    expect(storage.hits).toBe(7);
  });

  it('is not used if the option is memory', async () => {
    const storage = new Storage();
    const imports = [ThrottlerModule.forRoot({ throttlers: [], storage })];
    const app = await boot({ imports, options: { rateLimit: { storage: 'memory' } } });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    expect(await statuses(app, Array(6).fill('a'), key)).toEqual([...Array(5).fill(200), 429]);
    expect(storage.hits).toBe(0);
  });

  it.each([
    ['fails', 'local', [200, 200, 200, 200, 200, 429]],
    ['hangs', 'local', [200, 200, 200, 200, 200, 429]],
    ['fails', 'open', Array(6).fill(200)],
    ['hangs', 'open', Array(6).fill(200)],
    ['fails', 'refuse', Array(6).fill(503)],
    ['hangs', 'refuse', Array(6).fill(503)],
  ] as const)('that %s is replaced by the policy %s, and is used again when it works', async (mode, onStorageFailure, expected) => {
    const storage = new Storage();
    const app = await boot({ options: { rateLimit: { storage, onStorageFailure, storageTimeoutMs: 50 } } });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    storage.mode = mode;
    expect(await statuses(app, Array(6).fill('a'), key)).toEqual(expected);
    storage.mode = 'counts';
    await until(async () => {
      await ask(app, 'a', key);
      return storage.hits > 0;
    });
  });

  it('has its accepted hits also counted locally, so that no caller starts from zero when it fails', async () => {
    const storage = new Storage();
    const app = await boot({ options: { rateLimit: { storage } } });
    const { key } = await keyWith(app, { rateLimit: LIMIT });
    await statuses(app, ['a', 'a', 'a'], key);
    storage.mode = 'fails';
    expect(await statuses(app, ['a', 'a', 'a'], key)).toEqual([200, 200, 429]);
  });
});

it.each([0, -1, 1.5, Number.NaN, 1_000_000_001])('@Cost(%s) throws where it is written', (cost) => {
  expect(() => Cost(cost)).toThrow('@Cost');
});

it('a refusal by a limit is in the audit trail', async () => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app, { rateLimit: { limit: 1, windowSeconds: 60 } });
  await statuses(app, ['a', 'a'], key);
  await until(async () => {
    const page = await app.keys.events(apiKey.id);
    return page?.items.some(({ details }) => (details as { reason?: string }).reason === 'rate') ?? false;
  });
});

it.each([
  { limit: 0 },
  { limit: 1.5 },
  { windowSeconds: 0 },
  { storage: 'redis' },
  { storage: {} },
  { onStorageFailure: 'hope' },
  { onQuotaFailure: 'hope' },
  { storageTimeoutMs: 1 },
  { maxKeys: 0 },
  { legacyHeaders: 'yes' },
  { burst: 1 },
])('a wrong option %j stops the boot', async (rateLimit) => {
  await expect(boot({ options: { rateLimit } as ApiKeyOptions })).rejects.toThrow(
    /option "rateLimit(\.\w+)?"/,
  );
});
