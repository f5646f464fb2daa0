import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Injectable,
  Logger,
  UseGuards,
} from '@nestjs/common';
import {
  type Acting,
  type ApiKey,
  ApiKeyAuth,
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyGuard,
  ApiKeyInputError,
  type ApiKeyOptions,
  type ApiKeyService,
  ApiKeyThrottlerGuard,
  CurrentApiKey,
  Environments,
  type IssuedApiKey,
  Public,
  ScopesGuard,
} from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { digestOf } from './support/digest';
import { runKeysHere } from './support/keys-here';
import { until } from './support/until';

const BOTH: ApiKeyOptions = {
  prefix: { live: 'acme_live', test: 'acme_test' },
  acceptedPrefixes: { live: ['acme'] },
};
const MANAGES = ['api-keys:read', 'api-keys:write'];

@Controller('any')
@ApiKeyAuth()
class Any {
  @Get()
  whose(@CurrentApiKey() apiKey: ApiKey) {
    return { environment: apiKey.environment };
  }
}

@Controller('live')
@UseGuards(ApiKeyGuard, ScopesGuard)
@Environments('live')
class Live {
  @Get()
  get() {
    return {};
  }
  @Get('of-both')
  @Environments('test', 'live')
  narrowed() {
    return {};
  }
  @Get('open')
  @Public()
  open() {
    return {};
  }
}

@Controller('narrowed')
@ApiKeyAuth()
@Environments('live')
class Limited {
  @Get()
  get() {
    return {};
  }
}

@Controller('test')
@Public()
class Test {
  @Get()
  @ApiKeyAuth()
  @Environments('test')
  get() {
    return {};
  }
}

/** Authenticates a request for another route first, as another resolver of a GraphQL request. */
@Injectable()
class AuthenticatesElsewhere implements CanActivate {
  constructor(private readonly guard: ApiKeyGuard) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const elsewhere = { getClass: { value: () => Any }, getHandler: { value: () => Any.prototype.whose } };
    return this.guard.canActivate(Object.create(context, elsewhere));
  }
}

@Controller('elsewhere')
@Environments('live')
class Elsewhere {
  @Get()
  @UseGuards(AuthenticatesElsewhere, ApiKeyGuard, ScopesGuard)
  guarded() {
    return {};
  }
  @Get('scopes')
  @UseGuards(AuthenticatesElsewhere, ScopesGuard)
  scoped() {
    return {};
  }
}

/** Status and error of an answer. */
async function get(app: TestApp, path: string, key?: string): Promise<[number, string | undefined]> {
  const headers = key === undefined ? undefined : { authorization: `Bearer ${key}` };
  const response = await fetch(`${app.url}/${path}`, { headers });
  return [response.status, ((await response.json()) as { error?: string }).error];
}

const WRONG = [403, 'WRONG_ENVIRONMENT'];
const OK = [200, undefined];

describe.each(ADAPTERS)('a route with @Environments, on %s,', (adapter) => {
  let database: string;
  let app: TestApp;
  let live: IssuedApiKey;
  let test: IssuedApiKey;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    const controllers = [Any, Live, Limited, Test, Elsewhere];
    const audit = { flushIntervalMs: 10 };
    app = await bootApp({ database, adapter, controllers, options: { ...BOTH, audit } });
    const userId = await createUser(database);
    live = await app.keys.create({ userId, name: 'live', environment: 'live' });
    test = await app.keys.create({ userId, name: 'test', environment: 'test' });
    await until(() => app.keys.verificationStatus.leaseHeld);
  });

  afterAll(() => app.close());

  it.each([
    ['any', OK, OK],
    ['live', OK, WRONG],
    ['live/of-both', OK, WRONG],
    ['live/open', OK, OK],
    ['test', WRONG, OK],
    ['elsewhere', OK, WRONG],
    ['elsewhere/scopes', OK, WRONG],
  ])('accepts only keys of its environments, cached or not: /%s', async (path, ofLive, ofTest) => {
    for (const _ of ['not cached', 'cached'])
      expect([await get(app, path, live.key), await get(app, path, test.key)]).toEqual([ofLive, ofTest]);
  });

  it.each(['live', 'test'])('requires a key: /%s', async (path) => {
    expect(await get(app, path)).toEqual([401, 'MISSING_API_KEY']);
  });

  it('reads the environment from the presented key, whatever column key_prefix has', async () => {
    const set = (prefix: string, { apiKey }: IssuedApiKey) =>
      sql(database, 'UPDATE api_keys SET key_prefix = $1 WHERE id = $2', [prefix, apiKey.id]);
    await set('acme_live_abcd', test);
    const isSeen = async () => (await app.keys.get(test.apiKey.id))?.keyPrefix === 'acme_live_abcd';
    await until(isSeen);
    for (const _ of ['not cached', 'cached']) {
      expect(await get(app, 'live', test.key)).toEqual(WRONG);
      expect(await get(app, 'test', test.key)).toEqual(OK);
    }
    await set('acme_test_abcd', test);
  });

  it('answers with Cache-Control: private, no-store, also if it refuses the environment', async () => {
    for (const [path, { key }] of [
      ['live', live],
      ['live', test],
      ['elsewhere', test],
    ] as const) {
      const { headers } = await fetch(`${app.url}/${path}`, { headers: { 'x-api-key': key } });
      expect(headers.get('cache-control')).toBe('private, no-store');
    }
  });

  it('is reported by keys check as the server answers: it passes only with a key of its environments', async () => {
    for (const { key, apiKey } of [live, test]) {
      const { apiKey: found, reason, routes } = await app.keys.inspect(key);
      expect([found?.environment, reason]).toEqual([apiKey.environment, null]);
      for (const { path, passes } of routes)
        expect([path, passes]).toEqual([path, (await get(app, path.slice(1), key))[0] === 200]);
    }
    const { routes } = await app.keys.inspect(test.key);
    const narrowed = { environments: ['live'], acceptsEnvironment: false, missing: [], passes: false };
    expect(routes).toContainEqual(expect.objectContaining({ path: '/live/of-both', ...narrowed }));
    expect(routes).toContainEqual(
      expect.objectContaining({ path: '/any', environments: null, passes: true }),
    );
  });

  it('is listed by keys check for people, with the environments that it accepts', async () => {
    const { code, stdout } = await runKeysHere(app, ['check'], undefined, test.key);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^environment +test$/m);
    expect(stdout).toMatch(
      /Routes that do not accept the environment of the key:\nMETHOD +PATH +ENVIRONMENTS +HANDLER\nGET +\/live/,
    );
  });

  it('counts a request that its environment refuses on the limit of the key, so that a loop of them gets 429', async () => {
    const { userId } = test.apiKey;
    const rateLimit = { limit: 2, windowSeconds: 3600 };
    const { key } = await app.keys.create({ userId, name: 'loop', environment: 'test', rateLimit });
    const answers = [];
    for (const path of ['narrowed', 'narrowed', 'narrowed']) answers.push(await get(app, path, key));
    expect(answers).toEqual([WRONG, WRONG, [429, 'RATE_LIMITED']]);
  });

  it('records the refusal in the trail with the key and its reason', async () => {
    await get(app, 'live', test.key);
    const recorded = () =>
      sql(database, `SELECT FROM api_key_events WHERE key_id = $1 AND details->>'reason' = 'environment'`, [
        test.apiKey.id,
      ]);
    await until(async () => (await recorded()).length > 0);
  });
});

describe('at boot, a route with @Environments', () => {
  let database: string;
  beforeAll(async () => {
    database = await createMigratedDatabase();
  });

  const controllerWith = (...decorators: (ClassDecorator & MethodDecorator)[]) => {
    class Routes {
      get() {}
    }
    Controller()(Routes);
    const method = Object.getOwnPropertyDescriptor(Routes.prototype, 'get') as PropertyDescriptor;
    for (const decorate of [Get(), ...decorators]) decorate(Routes.prototype, 'get', method);
    return Routes;
  };

  const bootOf = async (options: ApiKeyOptions, ...decorators: (ClassDecorator & MethodDecorator)[]) => {
    try {
      await (await bootApp({ database, options, controllers: [controllerWith(...decorators)] })).close();
      return 'booted';
    } catch (error) {
      return (error as Error).message;
    }
  };

  class Mine extends ScopesGuard {}

  it.each<[string, ApiKeyOptions, (ClassDecorator & MethodDecorator)[], RegExp]>([
    [
      'an unknown name',
      BOTH,
      [ApiKeyAuth(), Environments('staging')],
      /Routes\.get accepts the environment "staging", which/,
    ],
    [
      'a name of the prototype',
      BOTH,
      [ApiKeyAuth(), Environments('toString')],
      /the environment "toString", which/,
    ],
    [
      'one prefix without environments',
      {},
      [ApiKeyAuth(), Environments('live')],
      /the environment "live", which/,
    ],
    ['no guard', BOTH, [Environments('live')], /has @Environments that no guard checks/],
    [
      'a guard that does not check them',
      BOTH,
      [UseGuards(ApiKeyThrottlerGuard), Environments('live')],
      /has @Environments that no guard checks/,
    ],
    [
      'ApiKeyGuard alone, which does not check them',
      BOTH,
      [UseGuards(ApiKeyGuard), Environments('live')],
      /has @Environments that no guard checks: add @UseGuards\(ApiKeyGuard, ScopesGuard\)/,
    ],
    [
      'names that exclude each other',
      BOTH,
      [ApiKeyAuth(), Environments('live'), Environments('test')],
      /Routes\.get accepts no key/,
    ],
    [
      '@Public on the same method',
      BOTH,
      [UseGuards(ApiKeyGuard), Environments('live'), Public()],
      /Routes\.get has @Public beside a guard of this library, @Scopes, @AnyScope, @Environments or/,
    ],
    [
      'all faults of guards and environments in one message',
      BOTH,
      [UseGuards(ScopesGuard, ApiKeyGuard), Environments('staging')],
      /the environment "staging", which.*; ScopesGuard .* on Routes\.get, so that no key is accepted there/,
    ],
  ])('stops the boot with %s', async (_, options, decorators, message) => {
    expect(await bootOf(options, ...decorators)).toMatch(message);
  });

  it.each<[string, (ClassDecorator & MethodDecorator)[]]>([
    ['@ApiKeyAuth', [ApiKeyAuth()]],
    ['ApiKeyGuard and ScopesGuard', [UseGuards(ApiKeyGuard, ScopesGuard)]],
    ['ScopesGuard after another guard', [UseGuards(AuthenticatesElsewhere, ScopesGuard)]],
    ['a subclass of ScopesGuard', [UseGuards(ApiKeyGuard, Mine)]],
  ])('is accepted with %s', async (_, decorators) => {
    expect(await bootOf(BOTH, ...decorators, Environments('live'))).toBe('booted');
  });

  it('does not compile or run without a name', () => {
    expect(() => Environments(...([] as unknown as [string]))).toThrow(TypeError);
  });
});

describe('two applications on one database', () => {
  let database: string;
  let [live, test]: TestApp[] = [];

  beforeAll(async () => {
    database = await createMigratedDatabase();
    const options = { audit: { flushIntervalMs: 10 } };
    live = await bootApp({ database, controllers: [Any], options: { ...options, prefix: 'acme_live' } });
    test = await bootApp({ database, controllers: [Any], options: { ...options, prefix: 'acme_test' } });
  });

  afterAll(() => Promise.all([live?.close(), test?.close()]));

  it('do not accept keys of each other, and record why with the masked key', async () => {
    const [own, other] = [live, test] as [TestApp, TestApp];
    const { key, apiKey } = await other.keys.create({ userId: await createUser(database), name: 'ci' });
    expect(await get(other, 'any', key)).toEqual(OK);
    expect(await get(own, 'any', key)).toEqual([401, 'INVALID_API_KEY']);
    expect(await own.keys.verify(key)).toEqual({ ok: false, reason: 'prefix' });
    const recorded = () =>
      sql(database, `SELECT key_id, masked FROM api_key_events WHERE details->>'reason' = 'prefix'`);
    await until(async () => (await recorded()).length > 0);
    expect(await recorded()).toEqual([{ key_id: null, masked: apiKey.masked }]);
  });

  it('say with keys check whose a key of the other one is, and that its prefix is refused everywhere', async () => {
    const [own, other] = [live, test] as [TestApp, TestApp];
    const userId = await createUser(database);
    const { key, apiKey } = await other.keys.create({ userId, name: 'ci' });
    const found = await own.keys.inspect(key);
    expect(found).toMatchObject({
      state: 'active',
      reason: 'prefix',
      apiKey: { id: apiKey.id, environment: null },
    });
    expect(found.routes.map(({ path, passes }) => [path, passes])).toEqual([['/any', false]]);
    const { stdout } = await runKeysHere(own, ['check'], undefined, key);
    expect(stdout).toMatch(/^REFUSED\. The application does not accept the prefix of the key/);
    await other.keys.delete(apiKey.id);
    expect(await own.keys.inspect(key)).toEqual({
      state: 'unknown',
      reason: 'prefix',
      apiKey: null,
      routes: [],
    });
    expect(await own.keys.verify(key)).toEqual({ ok: false, reason: 'prefix' });
  });
});

describe('a key that manages keys on one of two applications on one database', () => {
  it('reaches no key of the other one, so that a test key cannot widen, replace or end a live key', async () => {
    const database = await createMigratedDatabase();
    const live = await bootApp({ database, options: { prefix: 'acme_live' } });
    const test = await bootApp({ database, options: { prefix: 'acme_test' } });
    const userId = await createUser(database);
    const target = await live.keys.create({ userId, name: 'live', scopes: ['orders:read'] as never });
    const actor = await test.keys.create({ userId, name: 'test', scopes: ['*'] as never });
    const acting = { apiKey: actor.apiKey };
    const { id } = target.apiKey;
    const rows = () => sql(database, 'SELECT * FROM api_keys WHERE user_id = $1 ORDER BY id', [userId]);
    const before = await rows();
    for (const change of [
      () => test.keys.update(id, { scopes: ['*'] as never }, acting),
      () => test.keys.rotate(id, {}, acting),
      () => test.keys.revoke(id, {}, acting),
      () => test.keys.disable(id, {}, acting),
      () => test.keys.enable(id, {}, acting),
      () => test.keys.delete(id, acting),
    ])
      await expect(change()).rejects.toThrow(ApiKeyAuthorityError);
    await expect(test.keys.rotate(id)).rejects.toThrow(ApiKeyConflictError);
    expect(await rows()).toEqual(before);
    expect(await test.keys.revokeAll({ userId }, acting)).toMatchObject([{ id: actor.apiKey.id }]);
    expect(await live.keys.verify(target.key)).toMatchObject({ ok: true });
    await Promise.all([live.close(), test.close()]);
  });
});

describe('keys of an earlier prefix', () => {
  it('are accepted in the environment that option acceptedPrefixes gives them, and get successors of the new prefix', async () => {
    const database = await createMigratedDatabase();
    const before = await bootApp({ database, options: { prefix: 'acme' } });
    const { key, apiKey } = await before.keys.create({ userId: await createUser(database), name: 'ci' });
    await before.close();
    const app = await bootApp({ database, controllers: [Live], options: BOTH });
    expect(await get(app, 'live', key)).toEqual(OK);
    const successor = await app.keys.rotate(apiKey.id);
    expect(successor?.key).toMatch(/^acme_live_/);
    expect(successor?.apiKey.environment).toBe('live');
    await app.close();
  });

  it('are accepted without an environment if option acceptedPrefixes gives them none, and then make no keys', async () => {
    const database = await createMigratedDatabase();
    const before = await bootApp({ database, options: { prefix: 'acme' } });
    const userId = await createUser(database);
    const { key, apiKey } = await before.keys.create({ userId, name: 'ci' });
    await before.close();
    const app = await bootApp({
      database,
      controllers: [Any, Live],
      options: { ...BOTH, acceptedPrefixes: ['acme'] },
    });
    expect([await get(app, 'any', key), await get(app, 'live', key)]).toEqual([OK, WRONG]);
    const acting = { apiKey: Object.assign(apiKey, { environment: null }) };
    await expect(app.keys.create({ userId, name: 'x' }, acting)).rejects.toThrow(ApiKeyAuthorityError);
    await expect(app.keys.rotate(apiKey.id)).rejects.toThrow(
      `key ${apiKey.id} has no environment that new keys can have: create a key instead`,
    );
    await app.close();
  });

  it('are counted at boot if they are live and their prefix is not accepted', async () => {
    const database = await createMigratedDatabase();
    const userId = await createUser(database);
    await sql(
      database,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, expires_at, revoked_at)
       SELECT $1, 'ci', prefix || coalesce(expires_at, '') || coalesce(revoked_at, ''), prefix, expires_at::timestamptz, revoked_at::timestamptz
       FROM (VALUES ('acme_live_3fKd', NULL, NULL), ('acme_test_3fKd', '2999-01-01', NULL), ('acme_0000', NULL, NULL),
         ('other_3fKd', NULL, NULL), ('acme_live_x_3fKd', '2999-01-01', NULL), ('acme', NULL, NULL), ('604eae8c', NULL, NULL),
         ('other_gone', '2020-01-01', NULL), ('other_end', NULL, '2020-01-01')) AS rows (prefix, expires_at, revoked_at)`,
      [userId],
    );
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    try {
      const warnings = async (options: ApiKeyOptions) => {
        warn.mockClear();
        await (await bootApp({ database, options })).close();
        return warn.mock.calls.flat().filter((line) => String(line).includes('prefix'));
      };
      expect(await warnings(BOTH)).toEqual([
        expect.stringMatching(/^4 live keys have a prefix that is not accepted/),
      ]);
      expect(await warnings({ ...BOTH, format: 'hex' })).toEqual([
        expect.stringMatching(/^3 live keys have/),
      ]);
      await sql(database, 'UPDATE api_keys SET rate_limit = 5');
      warn.mockClear();
      await (await bootApp({ database, options: BOTH, controllers: [Live] })).close();
      const told = warn.mock.calls.flat().map(String);
      expect(told.filter((line) => /live keys have a prefix that is not accepted/.test(line))).toHaveLength(
        1,
      );
      expect(told.filter((line) => /Keys have a rate limit or quota/.test(line))).toHaveLength(1);
      await sql(database, `DELETE FROM api_keys WHERE key_prefix !~ '^acme(_live|_test)?_[^_]{4}$'`);
      expect(await warnings(BOTH)).toEqual([]);
    } finally {
      warn.mockRestore();
    }
  });
});

/** Every way in which a key can come to be, be changed or be ended, by each maker. */
describe('a key keeps to its environment:', () => {
  let database: string;
  let app: TestApp;
  let keys: ApiKeyService;
  let userId: string;
  let live: IssuedApiKey;
  let test: IssuedApiKey;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    const imports = [ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ScopesGuard] })];
    app = await bootApp({ database, imports, options: { ...BOTH, audit: { refused: 'off' } } });
    keys = app.keys;
  });

  afterAll(() => app.close());

  const issue = (environment: string): Promise<IssuedApiKey> =>
    keys.create({ userId, name: environment, environment, scopes: MANAGES as never });

  beforeEach(async () => {
    userId = await createUser(database);
    [live, test] = [await issue('live'), await issue('test')];
  });

  async function rest(method: string, path: string, body?: object) {
    const response = await fetch(`${app.url}/api-keys${path}`, {
      method,
      headers: { authorization: `Bearer ${test.key}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, ...(text === '' ? {} : JSON.parse(text)) };
  }

  const EXCEEDS = { status: 403, error: 'EXCEEDS_API_KEY' };
  const rows = () => sql(database, 'SELECT * FROM api_keys WHERE user_id = $1 ORDER BY id', [userId]);

  it.each([
    ['live', /^acme_live_\w{49}$/],
    ['test', /^acme_test_\w{49}$/],
  ])('the application creates a key of the environment that it names: %s', async (environment, form) => {
    const { key, apiKey } = await issue(environment);
    expect(key).toMatch(form);
    expect(apiKey.environment).toBe(environment);
    expect(await keys.get(apiKey.id)).toMatchObject({ environment });
    expect((await keys.list({ userId, limit: 1 })).items).toMatchObject([{ environment }]);
    expect(await keys.verify(key)).toMatchObject({ ok: true, apiKey: { environment } });
  });

  it.each([
    undefined,
    'staging',
    '',
    null,
    7,
    'toString',
  ])('the application cannot create one of %p', async (environment) => {
    const created = keys.create({ userId, name: 'x', environment: environment as string });
    await expect(created).rejects.toThrow(new ApiKeyInputError(['environment must be live or test']));
    expect(() => keys.check({ name: 'x', environment: environment as string })).toThrow(ApiKeyInputError);
  });

  it('no change can set it', async () => {
    const changed = keys.update(live.apiKey.id, { environment: 'test' } as never);
    await expect(changed).rejects.toThrow(/"environment" cannot be set/);
    expect(await rest('PATCH', `/${test.apiKey.id}`, { environment: 'live' })).toMatchObject({ status: 400 });
  });

  it('a key creates keys of its own environment, by the service and over REST', async () => {
    const acting = { apiKey: test.apiKey };
    for (const environment of [undefined, 'test']) {
      expect((await keys.create({ userId, name: 'x', environment }, acting)).key).toMatch(/^acme_test_/);
      expect(await rest('POST', '', { name: 'x', environment })).toMatchObject({
        status: 201,
        environment: 'test',
      });
    }
  });

  it('a key cannot create a key of another environment, by the service or over REST', async () => {
    const before = await rows();
    const created = keys.create({ userId, name: 'x', environment: 'live' }, { apiKey: test.apiKey });
    await expect(created).rejects.toThrow(ApiKeyAuthorityError);
    expect(await rest('POST', '', { name: 'x', environment: 'live' })).toMatchObject(EXCEEDS);
    expect(await rest('POST', '', { name: 'x', environment: 'other' })).toMatchObject({ status: 400 });
    expect(await rows()).toEqual(before);
  });

  it.each<[string, () => Promise<unknown>, () => Promise<unknown>]>([
    [
      'update',
      () => keys.update(live.apiKey.id, { name: 'x' }, { apiKey: test.apiKey }),
      () => rest('PATCH', `/${live.apiKey.id}`, { name: 'x' }),
    ],
    [
      'rotate',
      () => keys.rotate(live.apiKey.id, {}, { apiKey: test.apiKey }),
      () => rest('POST', `/${live.apiKey.id}/rotate`, {}),
    ],
    [
      'revoke',
      () => keys.revoke(live.apiKey.id, {}, { apiKey: test.apiKey }),
      () => rest('DELETE', `/${live.apiKey.id}`),
    ],
    [
      'disable',
      () => keys.disable(live.apiKey.id, {}, { apiKey: test.apiKey }),
      () => rest('POST', `/${live.apiKey.id}/disable`, {}),
    ],
    [
      'enable',
      () => keys.enable(live.apiKey.id, {}, { apiKey: test.apiKey }),
      () => rest('POST', `/${live.apiKey.id}/enable`, {}),
    ],
    [
      'delete',
      () => keys.delete(live.apiKey.id, { apiKey: test.apiKey }),
      () => rest('DELETE', `/${live.apiKey.id}`),
    ],
  ])('a key cannot %s a key of another environment, but reads it', async (_, byService, byRest) => {
    const before = await rows();
    await expect(byService()).rejects.toThrow(ApiKeyAuthorityError);
    expect(await byRest()).toMatchObject(EXCEEDS);
    expect(await rows()).toEqual(before);
    expect(await rest('GET', `/${live.apiKey.id}`)).toMatchObject({ status: 200, environment: 'live' });
  });

  it('a key cannot enable a key of another environment, whoever disabled it, and one of its own it can', async () => {
    const acting = { apiKey: test.apiKey };
    const own = await keys.create({ userId, name: 'x' }, acting);
    await keys.disable(own.apiKey.id, {}, acting);
    await sql(database, `UPDATE api_keys SET key_prefix = 'acme_live_abcd' WHERE id = $1`, [own.apiKey.id]);
    await expect(keys.enable(own.apiKey.id, {}, acting)).rejects.toThrow(/of another environment/);
    await sql(database, `UPDATE api_keys SET key_prefix = 'acme_test_abcd' WHERE id = $1`, [own.apiKey.id]);
    expect(await keys.enable(own.apiKey.id, {}, acting)).toMatchObject({
      disabledAt: null,
      environment: 'test',
    });
    await keys.disable(live.apiKey.id, {}, { apiKey: live.apiKey });
    await expect(keys.enable(live.apiKey.id, {}, acting)).rejects.toThrow(ApiKeyAuthorityError);
    expect(await keys.enable(live.apiKey.id)).toMatchObject({ disabledAt: null, environment: 'live' });
  });

  it.each<[string, (id: string) => Promise<unknown>, (id: string, acting: Acting) => Promise<unknown>]>([
    ['disable', (id) => keys.disable(id), (id, acting) => keys.disable(id, {}, acting)],
    ['revoke', (id) => keys.revoke(id), (id, acting) => keys.revoke(id, {}, acting)],
  ])('a key that would %s a key of another environment is refused, also if that was done before', async (_, end, endAgain) => {
    await end(live.apiKey.id);
    await expect(endAgain(live.apiKey.id, { apiKey: test.apiKey })).rejects.toThrow(ApiKeyAuthorityError);
  });

  it('a disabled key keeps its environment, in the answer, in lists and after it was enabled', async () => {
    expect(await keys.disable(test.apiKey.id)).toMatchObject({ environment: 'test' });
    expect((await keys.list({ userId, state: 'disabled' })).items).toMatchObject([{ environment: 'test' }]);
    expect(await keys.verify(test.key)).toEqual({ ok: false, reason: 'disabled' });
    expect(await keys.enable(test.apiKey.id)).toMatchObject({ environment: 'test' });
    expect(await keys.verify(test.key)).toMatchObject({ ok: true, apiKey: { environment: 'test' } });
  });

  it('renameScope renames a scope in all environments, which no key can', async () => {
    const environments = ['live', 'test'];
    const made = await Promise.all(
      environments.map((environment) =>
        keys.create({ userId, name: 'x', environment, scopes: ['a:old'] as never }),
      ),
    );
    const byKey = keys.renameScope('a:old', 'a:new', {}, { apiKey: test.apiKey } as object);
    await expect(byKey).rejects.toThrow(ApiKeyInputError);
    expect(await keys.renameScope('a:old', 'a:new')).toMatchObject({ keys: 2 });
    for (const [i, { key }] of made.entries())
      expect(await keys.verify(key)).toMatchObject({
        ok: true,
        apiKey: { scopes: ['a:new'], environment: environments[i] },
      });
  });

  it('a key cannot change a key whose stored prefix is not accepted, and the application can', async () => {
    const { apiKey } = await issue('test');
    await sql(database, `UPDATE api_keys SET key_prefix = 'other_abcd' WHERE id = $1`, [apiKey.id]);
    await expect(keys.update(apiKey.id, { name: 'x' }, { apiKey: test.apiKey })).rejects.toThrow(
      ApiKeyAuthorityError,
    );
    expect(await keys.update(apiKey.id, { name: 'x' })).toMatchObject({ name: 'x', environment: null });
    await expect(keys.rotate(apiKey.id)).rejects.toThrow(ApiKeyConflictError);
  });

  it('a key that rotates itself keeps the environment of the presented key, whatever column key_prefix has', async () => {
    await sql(database, `UPDATE api_keys SET key_prefix = 'acme_live_abcd' WHERE id = $1`, [test.apiKey.id]);
    expect(await rest('POST', `/${live.apiKey.id}/rotate`, {})).toMatchObject(EXCEEDS);
    const rotated = await rest('POST', `/${test.apiKey.id}/rotate`, {});
    expect(rotated).toMatchObject({
      status: 201,
      key: expect.stringMatching(/^acme_test_/),
      environment: 'test',
    });
  });

  it('a successor keeps the environment, if a key, the application or the command line rotates', async () => {
    const sibling = await issue('test');
    const byKey = await keys.rotate(sibling.apiKey.id, {}, { apiKey: test.apiKey });
    expect(byKey?.key).toMatch(/^acme_test_/);
    expect((await keys.rotate(live.apiKey.id))?.key).toMatch(/^acme_live_/);
    const shown = await runKeysHere(app, ['rotate', test.apiKey.id, '--json']);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      key: expect.stringMatching(/^acme_test_/),
      environment: 'test',
    });
  });

  it('a key that revokes all keys of its owner ends those of its own environment', async () => {
    const other = await issue('test');
    const revoked = await keys.revokeAll({ userId }, { apiKey: test.apiKey });
    expect(revoked.map(({ id }) => id).sort()).toEqual([test.apiKey.id, other.apiKey.id].sort());
    expect(revoked.map(({ environment }) => environment)).toEqual(['test', 'test']);
    expect(await keys.verify(live.key)).toMatchObject({ ok: true });
    expect(await keys.revokeAll({ userId })).toMatchObject([{ id: live.apiKey.id, environment: 'live' }]);
  });

  describe('a key that revokes a key with its descendants ends none of another environment,', () => {
    const make = (maker: IssuedApiKey) =>
      keys.create({ userId, name: 'made' }, { apiKey: maker.apiKey }).then((made) => made.apiKey.id);
    const rename = (id: string, prefix: string) =>
      sql(database, 'UPDATE api_keys SET key_prefix = $1 WHERE id = $2', [prefix, id]);
    const isLive = async (id: string) => (await keys.get(id))?.stateAt() === 'active';
    const REVOKERS: [string, (id: string) => Promise<unknown>][] = [
      ['the service', (id) => keys.revoke(id, { descendants: true }, { apiKey: test.apiKey })],
      ['REST', (id) => rest('DELETE', `/${id}?descendants=true`)],
    ];

    it.each(REVOKERS)('also if the row of the key was deleted, by %s', async (_, revoke) => {
      const made = await make(live);
      await keys.delete(live.apiKey.id);
      await revoke(live.apiKey.id);
      expect(await isLive(made)).toBe(true);
      await keys.revoke(live.apiKey.id, { descendants: true }, { userId });
      expect(await isLive(made)).toBe(false);
    });

    it.each(REVOKERS)('also if a key of its own environment made them, by %s', async (_, revoke) => {
      const [kept, foreign, ended] = [await make(test), await make(test), await make(test)];
      await rename(kept, 'acme_live_abcd');
      await rename(foreign, 'other_abcd');
      await revoke(test.apiKey.id);
      expect([await isLive(kept), await isLive(foreign), await isLive(ended)]).toEqual([true, true, false]);
    });

    it('and the result counts the descendants that are still valid', async () => {
      await rename(await make(test), 'acme_live_abcd');
      await make(test);
      const byKey = await keys.revoke(test.apiKey.id, { descendants: true }, { apiKey: test.apiKey });
      expect(byKey).toMatchObject({ descendants: [{ environment: 'test' }], liveDescendants: 1 });
      expect(await keys.revoke(test.apiKey.id, { descendants: true })).toMatchObject({
        descendants: [{ environment: 'live' }],
        liveDescendants: 0,
      });
    });
  });

  const COMMAND = ['create', '--user', 'ada@example.com', '--name', 'x', '--scopes', 'a', '--json'];

  it.each([
    'live',
    'test',
  ])('the command line creates a key of the environment that it names: %s', async (environment) => {
    const { code, stdout } = await runKeysHere(app, [...COMMAND, '--environment', environment]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      environment,
      key: expect.stringContaining(`acme_${environment}_`),
    });
  });

  it.each([[[]], [['--environment', 'staging']]])('the command line creates none with %j', async (more) => {
    const { code, stdout, stderr } = await runKeysHere(app, [...COMMAND, ...more]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^error: environment must be live or test\. Help: keys create --help\n$/);
  });

  it('an import reports each line whose prefix is not accepted, and stores none of the batch', async () => {
    const line = (keyPrefix: string) => ({
      userId,
      name: 'x',
      keyDigest: digestOf(`a key of ${keyPrefix}`),
      keyPrefix,
    });
    const before = await rows();
    const bad = ['other_ab12', 'acmelive_', 'live', 'acme_live_x_ab12'];
    const report = await keys.import(['acme_live_ab12', ...bad].map(line));
    expect(report).toMatchObject({ imported: 0 });
    expect(report.problems).toEqual(
      [2, 3, 4, 5].map((number) => ({
        line: number,
        problem:
          'keyPrefix must be hex digits, or start with an accepted prefix and "_": acme_live_, acme_test_, acme_',
      })),
    );
    expect(await rows()).toEqual(before);
    expect(await keys.import(['acme_live_ab12', 'acme_test_ab12', 'acme_ab12'].map(line))).toMatchObject({
      imported: 3,
    });
  });
});

describe('without environments', () => {
  it('an environment cannot be named, by the service or on the command line', async () => {
    const database = await createMigratedDatabase();
    const app = await bootApp({ database });
    const userId = await createUser(database);
    await expect(app.keys.create({ userId, name: 'x', environment: 'live' })).rejects.toThrow(
      ApiKeyInputError,
    );
    const command = ['create', '--user', 'ada@example.com', '--name', 'x', '--scopes', 'a'];
    const { code, stderr } = await runKeysHere(app, [...command, '--environment', 'live']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('environment cannot be set')]);
    expect((await app.keys.create({ userId, name: 'x' })).apiKey.environment).toBeNull();
    await app.close();
  });
});

describe('hex keys', () => {
  let database: string;
  let app: TestApp;
  const boot = async (options: ApiKeyOptions) => {
    database = await createMigratedDatabase();
    app = await bootApp({
      database,
      controllers: [Any, Live],
      options: { ...BOTH, format: 'hex', ...options },
    });
  };
  afterEach(() => app.close());

  it('have no environment, open no narrowed route, and make only keys without environment', async () => {
    await boot({});
    const userId = await createUser(database);
    const { key, apiKey } = await app.keys.create({ userId, name: 'x', scopes: MANAGES as never });
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect([await get(app, 'any', key), await get(app, 'live', key)]).toEqual([OK, WRONG]);
    const acting = { apiKey };
    expect((await app.keys.create({ userId, name: 'x' }, acting)).key).toMatch(/^[0-9a-f]{64}$/);
    await expect(app.keys.create({ userId, name: 'x', environment: 'live' }, acting)).rejects.toThrow(
      ApiKeyAuthorityError,
    );
    const live = await app.keys.create({ userId, name: 'x', environment: 'live' });
    expect(live.key).toMatch(/^acme_live_/);
    await expect(app.keys.update(live.apiKey.id, { name: 'y' }, acting)).rejects.toThrow(
      ApiKeyAuthorityError,
    );
    expect((await app.keys.rotate(apiKey.id))?.key).toMatch(/^[0-9a-f]{64}$/);
    expect((await app.keys.rotate(live.apiKey.id))?.key).toMatch(/^acme_live_/);
  });

  it('have the environment of option hexEnvironment', async () => {
    await boot({ hexEnvironment: 'live' });
    const userId = await createUser(database);
    const { key, apiKey } = await app.keys.create({ userId, name: 'x' });
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await get(app, 'live', key)).toEqual(OK);
    expect(await app.keys.get(apiKey.id)).toMatchObject({ environment: 'live' });
    expect((await app.keys.create({ userId, name: 'x', environment: 'live' })).key).toMatch(/^[0-9a-f]{64}$/);
    expect((await app.keys.create({ userId, name: 'x', environment: 'test' })).key).toMatch(/^acme_test_/);
  });
});
