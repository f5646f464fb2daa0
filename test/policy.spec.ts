import { Controller, Get } from '@nestjs/common';
import {
  type Acting,
  ApiKeyAuth,
  ApiKeyGuard,
  type ApiKeyOptions,
  ApiKeyPolicyError,
  type ApiKeyService,
  type ApiKeyState,
  type CreateApiKeyInput,
  type IssuedApiKey,
  type PolicyRule,
  ScopesGuard,
} from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { digestOf } from './support/digest';
import { runKeysHere } from './support/keys-here';
import { randomFrom } from './support/random';
import { until } from './support/until';

const DAY_MS = 86_400_000;
const MANAGES = ['api-keys:read', 'api-keys:write'] as const;

@Controller('ping')
@ApiKeyAuth()
class Ping {
  @Get()
  get() {
    return {};
  }
}

let database: string;
let app: TestApp;
let keys: ApiKeyService;
let userId: string;
let manager: IssuedApiKey;

async function bootWith(policy: ApiKeyOptions['policy'], more: ApiKeyOptions = {}): Promise<TestApp> {
  const imports = [ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ScopesGuard] })];
  return bootApp({
    database,
    imports,
    controllers: [Ping],
    options: { policy, audit: { refused: 'off' }, ...more },
  });
}

const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);

/** null: never. undefined: nothing is asked. */
type Asked = number | null | undefined;

const expiryOf = (asked: Asked) => (typeof asked === 'number' ? inDays(asked) : asked);

/** The outcome of a call: the days that the newest key lives, `never`, or the rule that refused. */
type Outcome = number | 'never' | PolicyRule;

async function newestLives(): Promise<number | 'never'> {
  const [row] = await sql<{ days: string | null }>(
    database,
    `SELECT extract(epoch FROM expires_at - created_at) / 86400 AS days FROM api_keys ORDER BY id DESC LIMIT 1`,
  );
  return row?.days == null ? 'never' : Math.round(Number(row.days) * 1_000) / 1_000;
}

async function outcomeOf(call: () => Promise<unknown>, lives = newestLives): Promise<Outcome> {
  try {
    await call();
    return await lives();
  } catch (error) {
    if (error instanceof ApiKeyPolicyError) return error.rule;
    throw error;
  }
}

class Refused extends Error {
  constructor(readonly told: unknown) {
    super(JSON.stringify(told));
  }
}

async function rest(method: string, path: string, body: object) {
  const response = await fetch(`${app.url}/api-keys${path}`, {
    method,
    headers: { authorization: `Bearer ${manager.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { statusCode: number; error: string; rule?: PolicyRule };
  if (response.ok) return answer;
  const status = answer.rule === 'maxActiveKeys' ? [409, 'TOO_MANY_KEYS'] : [400, 'INVALID_REQUEST'];
  if ([answer.statusCode, answer.error].join() === status.join() && answer.rule)
    throw new ApiKeyPolicyError(answer.rule, '');
  throw new Refused(answer);
}

async function cli(...args: string[]) {
  const { code, stdout, stderr } = await runKeysHere(app, [...args, '--json'], async () => userId);
  if (code === 0) return JSON.parse(stdout);
  const rule = /\(policy\.(\w+)\)/.exec(stderr)?.[1] as PolicyRule | undefined;
  const isShown = stderr.split('\n').length === 2 && code === (rule === 'maxActiveKeys' ? 1 : 2);
  if (rule && isShown) throw new ApiKeyPolicyError(rule, '');
  throw new Refused({ code, stderr });
}

let imported = 0;
const lineOf = (asked: Asked, more: object = {}) => ({
  userId,
  name: 'imported',
  keyDigest: digestOf(`imported ${imported++}`),
  keyPrefix: 'key_ab12',
  ...(asked !== undefined && { expiresAt: expiryOf(asked)?.toISOString() ?? null }),
  ...more,
});

async function importLines(...lines: object[]) {
  const { problems, ...report } = await keys.import(lines);
  const rule = /\(policy\.(\w+)\)/.exec(problems[0]?.problem ?? '')?.[1] as PolicyRule | undefined;
  if (rule) throw new ApiKeyPolicyError(rule, problems.map(({ line }) => line).join());
  if (problems.length > 0) throw new Refused(problems);
  return report;
}

const create = (fields: object = {}, acting: Acting = {}) =>
  keys.create({ userId, name: 'x', ...fields } as CreateApiKeyInput, acting);

const created = async () => (await create({ expiresAt: inDays(10) })).apiKey.id;
const byKey = () => ({ apiKey: manager.apiKey });
const expiresIn = (asked: Asked) =>
  asked === undefined ? [] : ['--expires-in', asked === null ? 'never' : `${asked}d`];
const body = (asked: Asked) =>
  asked === undefined ? {} : { expiresAt: expiryOf(asked)?.toISOString() ?? null };

/** Every way in which a new key comes to be. */
const MAKERS: [string, (asked: Asked) => Promise<unknown>][] = [
  ['the service', (asked) => create({ expiresAt: expiryOf(asked) })],
  ['the service for a key', (asked) => create({ expiresAt: expiryOf(asked) }, byKey())],
  ['the service for a user', (asked) => create({ expiresAt: expiryOf(asked) }, { userId })],
  ['REST', (asked) => rest('POST', '', { name: 'x', ...body(asked) })],
  [
    'the command line',
    (asked) => cli('create', '--user', 'a@example.com', '--name', 'x', '--scopes', '', ...expiresIn(asked)),
  ],
  ['an import', (asked) => importLines(lineOf(asked))],
  [
    'a rotation with an expiry',
    async (asked) => keys.rotate(await created(), { expiresAt: expiryOf(asked) ?? null }),
  ],
];

/** Every way in which a disabled key comes back. The actor that enables it has disabled it. */
const ENABLERS: [string, (id: string) => Promise<unknown>, (id: string) => Promise<unknown>][] = [
  ['the service', (id) => keys.disable(id), (id) => keys.enable(id)],
  ['the service for a key', (id) => keys.disable(id, {}, byKey()), (id) => keys.enable(id, {}, byKey())],
  [
    'the service for a user',
    (id) => keys.disable(id, {}, { userId }),
    (id) => keys.enable(id, {}, { userId }),
  ],
  ['REST', (id) => rest('POST', `/${id}/disable`, {}), (id) => rest('POST', `/${id}/enable`, {})],
  ['the command line', (id) => cli('disable', id), (id) => cli('enable', id)],
];

/** Writes an expiry as Rails would: past the rules. */
const railsWrites = (id: string, expiresAt: string, column = 'expires_at') =>
  sql(database, `UPDATE api_keys SET ${column} = ${expiresAt} WHERE id = $1`, [id]);

describe('with lifetimes in the policy,', () => {
  beforeAll(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
    const before = await bootWith({});
    manager = await before.keys.create({ userId, name: 'manager', scopes: [...MANAGES] as never });
    await before.close();
    app = await bootWith({ maxLifetimeDays: 90, defaultLifetimeDays: 30 });
    keys = app.keys;
  });

  afterAll(() => app.close());

  const ASKED: [string, Asked, Outcome][] = [
    ['90 days', 90, 90],
    ['a day', 1, 1],
    ['91 days', 91, 'maxLifetimeDays'],
    ['100 years', 36_500, 'maxLifetimeDays'],
    ['no end', null, 'allowNever'],
    ['nothing', undefined, 30],
  ];
  it.each(
    MAKERS.flatMap(([maker, make]) =>
      ASKED.filter(([, asked]) => asked !== undefined || maker !== 'a rotation with an expiry').map(
        ([name, asked, expected]) => ({ maker, make, name, asked, expected }),
      ),
    ),
  )('$maker that asks for $name gets $expected', async ({ make, asked, expected }) => {
    const before = await sql(database, 'SELECT count(*) FROM api_keys WHERE created_at > now()');
    const outcome = await outcomeOf(() => make(asked));
    expect(typeof outcome === 'number' ? Math.round(outcome * 10) / 10 : outcome).toBe(expected);
    expect(before).toHaveLength(1);
  });

  const CHANGES: [string, (id: string, asked: Asked) => Promise<unknown>][] = [
    ['the service', (id, asked) => keys.update(id, { expiresAt: expiryOf(asked) })],
    ['the service for a key', (id, asked) => keys.update(id, { expiresAt: expiryOf(asked) }, byKey())],
    ['REST', (id, asked) => rest('PATCH', `/${id}`, body(asked))],
    ['the command line', (id, asked) => cli('update', id, ...expiresIn(asked))],
  ];
  const livesOf = (id: string) => async () => (await keys.get(id))?.expiresAt?.getTime() as number;
  it.each(
    CHANGES.flatMap(([changer, change]) => [
      { changer, change, name: 'within the policy', asked: 89, expected: 'allowed' },
      { changer, change, name: 'beyond it', asked: 91, expected: 'maxLifetimeDays' },
      { changer, change, name: 'to never expire', asked: null, expected: 'allowNever' },
    ]),
  )('$changer that extends a key $name gets $expected', async ({ change, asked, expected }) => {
    const id = await created();
    const outcome = await outcomeOf(() => change(id, asked), livesOf(id));
    expect(typeof outcome === 'number' ? 'allowed' : outcome).toBe(expected);
  });

  describe('a disabled key', () => {
    const lives = (id: string) => async () => {
      const expiresAt = (await keys.get(id))?.expiresAt;
      return expiresAt ? Math.round((expiresAt.getTime() - Date.now()) / DAY_MS) : 'never';
    };

    it.each(
      ENABLERS.flatMap(([enabler, disable, enable]) =>
        [
          { written: null, expected: 10 },
          { written: `now() + interval '1920 hours'`, expected: 80 },
          { written: `now() + interval '24 hours'`, expected: 1 },
          { written: `now() + interval '2184 hours'`, expected: 'maxLifetimeDays' },
          { written: 'NULL', expected: 'allowNever' },
        ].map((more) => ({ enabler, disable, enable, ...more })),
      ),
    )('into which Rails wrote the expiry $written meanwhile, enabled by $enabler, gets $expected', async ({
      disable,
      enable,
      written,
      expected,
    }) => {
      const id = await created();
      await disable(id);
      if (written) await railsWrites(id, written);
      expect(await outcomeOf(() => enable(id), lives(id))).toBe(expected);
      const isRefused = typeof expected === 'string';
      expect((await keys.get(id))?.stateAt()).toBe(isRefused ? 'disabled' : 'active');
    });

    it('that Rails made endless can be enabled after an update gave it an expiry that the policy allows', async () => {
      const id = await created();
      await keys.disable(id);
      await railsWrites(id, 'NULL');
      expect(await outcomeOf(() => keys.enable(id))).toBe('allowNever');
      await keys.update(id, { expiresAt: inDays(20) });
      expect(await outcomeOf(() => keys.enable(id), lives(id))).toBe(20);
    });

    it.each(
      CHANGES,
    )('into which Rails wrote a later expiry cannot be shortened by %s to one beyond the policy', async (_, change) => {
      for (const written of ['NULL', `now() + interval '12000 hours'`]) {
        const id = await created();
        await keys.disable(id, {}, byKey());
        await railsWrites(id, written);
        expect(await outcomeOf(() => change(id, 400), lives(id))).toBe('maxLifetimeDays');
        expect(await outcomeOf(() => change(id, null), lives(id))).toBe('allowNever');
        expect(await outcomeOf(() => change(id, 89), lives(id))).toBe(89);
        expect(await outcomeOf(() => keys.enable(id, {}, byKey()), lives(id))).toBe(89);
      }
    });

    it.each(ENABLERS)('from before the policy is given back whole by %s', async (_, disable, enable) => {
      for (const [before, expected] of [
        ['NULL', 'never'],
        [`now() + interval '12000 hours'`, 500],
      ]) {
        const id = await created();
        await railsWrites(id, String(before));
        await disable(id);
        expect(await outcomeOf(() => enable(id), lives(id))).toBe(expected);
      }
    });

    it.each(CHANGES)('cannot be extended beyond the policy by %s while it is disabled', async (_, change) => {
      const id = await created();
      await keys.disable(id, {}, byKey());
      expect(await outcomeOf(() => change(id, 91), lives(id))).toBe('maxLifetimeDays');
      expect(await outcomeOf(() => change(id, null), lives(id))).toBe('allowNever');
      expect(await outcomeOf(() => change(id, 89), lives(id))).toBe(89);
      await keys.enable(id, {}, byKey());
      expect(await lives(id)()).toBe(89);
    });
  });

  it('the longest lifetime counts from the creation of a key, so that changes do not make it endless', async () => {
    const id = await created();
    await sql(database, `UPDATE api_keys SET created_at = created_at - interval '50 days' WHERE id = $1`, [
      id,
    ]);
    expect(await outcomeOf(() => keys.update(id, { expiresAt: inDays(41) }))).toBe('maxLifetimeDays');
    expect(await keys.update(id, { expiresAt: inDays(39) })).not.toBeNull();
  });

  it('no key lives a microsecond longer than allowed, also if the clock of the caller is ahead', async () => {
    await create({ expiresAt: new Date(inDays(90).getTime() + 30_000) });
    const [row] = await sql(
      database,
      `SELECT created_at + interval '2160 hours' - expires_at BETWEEN interval '0' AND interval '1 ms' AS is_exact FROM api_keys ORDER BY id DESC LIMIT 1`,
    );
    expect(row).toEqual({ is_exact: true });
  });

  describe('a key from before', () => {
    it('keeps working, and can be changed and shortened, but not extended', async () => {
      const { id } = manager.apiKey;
      expect(await keys.verify(manager.key)).toMatchObject({ ok: true });
      expect(await keys.update(id, { name: 'renamed', expiresAt: null })).toMatchObject({ expiresAt: null });
      expect(await keys.update(id, { expiresAt: inDays(500) })).toMatchObject({ name: 'renamed' });
      expect(await outcomeOf(() => keys.update(id, { expiresAt: null }))).toBe('allowNever');
      expect(await outcomeOf(() => keys.update(id, { expiresAt: inDays(501) }))).toBe('maxLifetimeDays');
      await sql(database, 'UPDATE api_keys SET expires_at = NULL WHERE id = $1', [id]);
    });

    it.each<[string, (id: string) => Promise<unknown>]>([
      ['the service', (id) => keys.rotate(id)],
      ['the service for a key', (id) => keys.rotate(id, {}, byKey())],
      ['REST', (id) => rest('POST', `/${id}/rotate`, {})],
      ['the command line', (id) => cli('rotate', id)],
    ])('gets a successor with a lifetime of the policy, by %s', async (_, rotate) => {
      const [never, long] = [await created(), await created()];
      await sql(database, `UPDATE api_keys SET expires_at = NULL WHERE id = $1`, [never]);
      await sql(database, `UPDATE api_keys SET expires_at = now() + interval '500 days' WHERE id = $1`, [
        long,
      ]);
      expect(Math.round(Number(await outcomeOf(() => rotate(never))) * 10) / 10).toBe(30);
      expect(Math.round(Number(await outcomeOf(() => rotate(long))) * 10) / 10).toBe(90);
    });
  });

  it('an import names each line and its rule, and an expiry in the past is accepted', async () => {
    const report = await keys.import([lineOf(90), lineOf(91), lineOf(null), lineOf(-5)]);
    expect(report.problems).toEqual([
      {
        line: 2,
        problem: expect.stringMatching(/^a key lives at most 90 days .* \(policy\.maxLifetimeDays\)$/),
      },
      { line: 3, problem: expect.stringMatching(/^a key must expire, .* \(policy\.allowNever\)$/) },
    ]);
    expect(await keys.import([lineOf(90), lineOf(-5)])).toMatchObject({ imported: 2, problems: [] });
  });

  it('an import shortens an expiry that is up to a minute too late, and keeps any other as it is written', async () => {
    const HALF_A_MINUTE = 30 / 86_400;
    const lines = [lineOf(90 + HALF_A_MINUTE), lineOf(89)];
    expect(await keys.import(lines)).toMatchObject({ imported: 2, problems: [] });
    const stored = await sql<{ expires_at: Date; days: string }>(
      database,
      `SELECT expires_at, extract(epoch FROM expires_at - created_at) / 86400 AS days
       FROM api_keys WHERE key_digest = ANY ($1) ORDER BY days DESC`,
      [lines.map(({ keyDigest }) => keyDigest)],
    );
    expect(stored.map(({ days }) => Number(Number(days).toFixed(6)))[0]).toBe(90);
    expect(stored[1]?.expires_at.toISOString()).toBe(lines[1]?.expiresAt);
  });

  it('a refused command line does not create the user', async () => {
    const command = [
      'create',
      '--user',
      'new@example.com',
      '--name',
      'x',
      '--scopes',
      '',
      '--expires-in',
      '91d',
    ];
    expect(await runKeysHere(app, command)).toMatchObject({ code: 2 });
    expect(await sql(database, `SELECT FROM users WHERE email = 'new@example.com'`)).toEqual([]);
  });
});

describe('with a policy that only forbids keys that never expire,', () => {
  beforeAll(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
    app = await bootWith({ allowNever: false });
    keys = app.keys;
    manager = await create({ scopes: [...MANAGES], expiresAt: inDays(5) });
  });

  afterAll(() => app.close());

  it.each(MAKERS)('%s must give an expiry, of any length', async (maker, make) => {
    expect(await outcomeOf(() => make(null))).toBe('allowNever');
    const isOfKey = maker === 'the service for a key' || maker === 'REST';
    const ofNothing = isOfKey ? 5 : 'allowNever';
    if (maker !== 'a rotation with an expiry')
      expect(await outcomeOf(() => make(undefined))).toEqual(isOfKey ? expect.closeTo(5, 1) : ofNothing);
    if (!isOfKey) expect(await outcomeOf(() => make(5_000))).toBeCloseTo(5_000, 1);
  });
});

describe('with a maximum of active keys', () => {
  beforeEach(async () => {
    userId = await createUser(database);
    manager = await create({ scopes: [...MANAGES] });
  });

  beforeAll(async () => {
    database = await createMigratedDatabase();
    app = await bootWith({ maxActiveKeys: 3 });
    keys = app.keys;
  });

  afterAll(() => app.close());

  const fill = async () => [await create(), await create()] as const;

  it.each(
    MAKERS.filter(([maker]) => maker !== 'a rotation with an expiry'),
  )('%s cannot make one more, and can after one ended', async (_, make) => {
    const [one] = await fill();
    expect(await outcomeOf(() => make(undefined))).toBe('maxActiveKeys');
    await keys.revoke(one.apiKey.id);
    expect(await outcomeOf(() => make(undefined))).toBe('never');
    expect(await outcomeOf(() => make(undefined))).toBe('maxActiveKeys');
  });

  it.each(
    MAKERS.filter(([maker]) => maker !== 'a rotation with an expiry'),
  )('%s cannot take the place of a disabled key, which is given back', async (_, make) => {
    const [one] = await fill();
    await keys.disable(one.apiKey.id);
    expect(await outcomeOf(() => make(undefined))).toBe('maxActiveKeys');
    expect((await keys.enable(one.apiKey.id))?.stateAt()).toBe('active');
    expect(await keys.verify(one.key)).toMatchObject({ ok: true });
  });

  it.each(ENABLERS)('%s enables a key of an owner who has the maximum', async (_, disable, enable) => {
    const [one] = await fill();
    await disable(one.apiKey.id);
    expect(await outcomeOf(create)).toBe('maxActiveKeys');
    await enable(one.apiKey.id);
    expect((await keys.list({ userId, state: 'active' })).items).toHaveLength(3);
  });

  it('a disabled key whose expiry has passed gives its place away, and neither update nor enable takes it back', async () => {
    const [one] = await fill();
    await keys.update(one.apiKey.id, { expiresAt: inDays(1) });
    await keys.disable(one.apiKey.id);
    expect(await outcomeOf(create)).toBe('maxActiveKeys');
    await railsWrites(one.apiKey.id, 'now()', 'enabled_expires_at');
    await create();
    for (const expiresAt of [null, inDays(1)])
      expect(await outcomeOf(() => keys.update(one.apiKey.id, { expiresAt }))).toBe('maxActiveKeys');
    expect((await keys.enable(one.apiKey.id))?.stateAt()).toBe('expired');
    expect(await outcomeOf(() => keys.update(one.apiKey.id, { expiresAt: null }))).toBe('maxActiveKeys');
  });

  it('a disabled key that was replaced counts for the rotation of its successor', async () => {
    const [one] = await fill();
    const second = (await keys.rotate(one.apiKey.id)) as IssuedApiKey;
    await keys.disable(one.apiKey.id);
    expect(await outcomeOf(() => keys.rotate(second.apiKey.id))).toBe('maxActiveKeys');
    await keys.revoke(one.apiKey.id);
    expect(await keys.rotate(second.apiKey.id)).not.toBeNull();
  });

  it('keys that expired, were revoked or deleted, and keys of other owners do not count', async () => {
    const [one, two] = await fill();
    await keys.revoke(one.apiKey.id);
    await sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = $1`, [two.apiKey.id]);
    const other = await createUser(database);
    await keys.create({ userId: other, name: 'x' });
    await keys.delete((await create()).apiKey.id);
    await fill();
    expect(await outcomeOf(create)).toBe('maxActiveKeys');
  });

  it('an update cannot make an expired key active again, but can if there is room', async () => {
    const [one] = await fill();
    await sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = $1`, [one.apiKey.id]);
    const last = await create();
    for (const expiresAt of [null, inDays(1)])
      expect(await outcomeOf(() => keys.update(one.apiKey.id, { expiresAt }))).toBe('maxActiveKeys');
    expect(await keys.update(last.apiKey.id, { expiresAt: inDays(1) })).not.toBeNull();
    await keys.revoke(last.apiKey.id);
    expect(await keys.update(one.apiKey.id, { expiresAt: null })).not.toBeNull();
  });

  it('each key may be rotated once with an overlap at the maximum, and no new key fits until the overlap ends', async () => {
    const all = [manager, ...(await fill())];
    for (const { apiKey } of all) expect(await keys.rotate(apiKey.id)).not.toBeNull();
    expect(await outcomeOf(create)).toBe('maxActiveKeys');
  });

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['the service', (id) => keys.rotate(id)],
    ['the service for a key', (id) => keys.rotate(id, {}, byKey())],
    ['REST', (id) => rest('POST', `/${id}/rotate`, {})],
    ['the command line', (id) => cli('rotate', id)],
  ])('%s cannot rotate the successor of a key that still works, unless without an overlap', async (_, rotate) => {
    const [one] = await fill();
    const second = (await keys.rotate(one.apiKey.id)) as IssuedApiKey;
    expect(await outcomeOf(() => rotate(second.apiKey.id))).toBe('maxActiveKeys');
    const third = (await keys.rotate(second.apiKey.id, { overlapSeconds: 0 })) as IssuedApiKey;
    expect(await outcomeOf(() => rotate(third.apiKey.id))).toBe('maxActiveKeys');
    await keys.revoke(one.apiKey.id);
    expect(await outcomeOf(() => rotate(third.apiKey.id))).toBe('never');
  });

  it('an owner never has more than twice the maximum, whatever is created, rotated and ended', async () => {
    const next = randomFrom(20_261_127);
    const random = (below: number) => Math.floor(next() * below);
    const listed = async (state: ApiKeyState) => (await keys.list({ userId, state, limit: 100 })).items;
    const active = async () => [...(await listed('active')), ...(await listed('disabled'))];
    for (let step = 0; step < 120; step++) {
      const now = await active();
      const any = now[random(now.length)]?.id ?? '1';
      const calls = [
        () => create(),
        () => create(),
        () => keys.rotate(any),
        () => keys.rotate(any),
        () => keys.rotate(any, { overlapSeconds: 0 }),
        () => (step % 3 === 0 ? keys.revoke(any) : Promise.resolve()),
        () => keys.disable(any),
        () => keys.enable(any),
      ];
      await calls[random(calls.length)]?.().catch(() => {});
      expect((await active()).length).toBeLessThanOrEqual(6);
    }
  });

  it('creations and imports at the same time make no more than fit', async () => {
    const attempts = await Promise.allSettled([
      ...Array.from({ length: 6 }, () => create()),
      ...Array.from({ length: 6 }, () => importLines(lineOf(undefined))),
    ]);
    expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect((await keys.list({ userId, state: 'active' })).items).toHaveLength(3);
  });

  it('an import reports the lines that do not fit, for each owner, and expired lines always fit', async () => {
    const other = await createUser(database);
    const lines = [
      lineOf(undefined),
      lineOf(undefined, { userId: other }),
      lineOf(-1),
      lineOf(undefined),
      lineOf(undefined),
      ...Array.from({ length: 3 }, () => lineOf(undefined, { userId: other })),
    ];
    const report = await keys.import(lines);
    expect(report.problems.map(({ line }) => line)).toEqual([5, 8]);
    expect(await keys.import(lines.filter((_, i) => i !== 4 && i !== 7))).toMatchObject({ imported: 6 });
  });

  it('an import reports a line whose owner does not fit column user_id', async () => {
    const report = await keys.import([lineOf(undefined, { userId: 'x' })]);
    expect(report.problems).toEqual([
      { line: 1, problem: expect.stringMatching(/userId does not fit the type of column user_id/) },
    ]);
  });
});

describe('with an end for unused keys', () => {
  beforeAll(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
    app = await bootWith(
      { endUnusedAfterDays: 90, maxActiveKeys: 10 },
      { usage: { lastUsedIntervalMs: 100 } },
    );
    keys = app.keys;
    manager = await create({ scopes: [...MANAGES] });
  });

  afterAll(() => app.close());

  const status = async (key: string) =>
    (await fetch(`${app.url}/ping`, { headers: { authorization: `Bearer ${key}` } })).status;
  const age = (id: string, days: number, column = 'created_at') =>
    sql(database, `UPDATE api_keys SET ${column} = now() - $2 * interval '24 hours' WHERE id = $1`, [
      id,
      days,
    ]);

  const untilRefused = (key: string, reason: string) =>
    until(async () => {
      const found = await keys.verify(key);
      return !found.ok && found.reason === reason;
    });

  it.each([
    ['91 days ago and never used', 91, null, 401],
    ['89 days ago and never used', 89, null, 200],
    ['500 days ago and used 91 days ago', 500, 91, 401],
    ['500 days ago and used 89 days ago', 500, 89, 200],
  ])('a key that was created %s is answered with %4$i', async (_, createdAgo, usedAgo, expected) => {
    const { key, apiKey } = await create();
    await age(apiKey.id, createdAgo);
    if (usedAgo !== null) await age(apiKey.id, usedAgo, 'last_used_at');
    expect(await status(key)).toBe(expected);
    await keys.revoke(apiKey.id);
  });

  it('an unused key is refused with a reason of its own, and counts and shows as expired', async () => {
    const { key, apiKey } = await create();
    await age(apiKey.id, 91);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'unused' });
    expect((await keys.get(apiKey.id))?.stateAt()).toBe('expired');
    const ids = async (state: 'active' | 'expired') =>
      (await keys.list({ userId, state })).items.map(({ id }) => id);
    expect(await ids('expired')).toContain(apiKey.id);
    expect(await ids('active')).not.toContain(apiKey.id);
    await expect(keys.rotate(apiKey.id)).rejects.toThrow(/has expired/);
    const acting = { apiKey };
    await expect(create({}, acting)).rejects.toMatchObject({ code: 'INVALID_API_KEY' });
    await sql(database, 'DELETE FROM api_keys WHERE id = $1', [apiKey.id]);
  });

  it.each([
    ['never', null],
    ['after its end as an unused key', 400],
    ['before its end as an unused key', 5],
  ])('a key that expires %s shows when it ends unused, and the list of keys shows the earlier end', async (_, days) => {
    const { apiKey } = await create({ expiresAt: days === null ? null : inDays(days) });
    const unused = new Date(apiKey.createdAt.getTime() + 90 * DAY_MS);
    const headers = { authorization: `Bearer ${manager.key}` };
    const shown = await fetch(`${app.url}/api-keys/${apiKey.id}`, { headers });
    expect(await shown.json()).toMatchObject({ endsUnusedAt: unused.toISOString() });
    const earlier = apiKey.expiresAt && apiKey.expiresAt < unused ? apiKey.expiresAt : unused;
    const { stdout } = await runKeysHere(app, ['list', '--user', 'a@example.com'], async () => userId);
    const line = stdout.split('\n').find((each) => each.startsWith(`${apiKey.id} `));
    expect(line).toContain(earlier.toISOString().slice(0, 10));
    await keys.revoke(apiKey.id);
  });

  it('the state that counts first is shown and recorded: revoked, disabled, expired, unused', async () => {
    const { key, apiKey } = await create();
    const { id } = apiKey;
    await age(id, 91);
    await keys.disable(id);
    await railsWrites(id, `now() - interval '1 hour'`, 'enabled_expires_at');
    await railsWrites(id, 'enabled_expires_at');
    const seen = async () => {
      const [found, checked] = [await keys.verify(key), await keys.inspect(key)];
      if (found.ok) throw new Error('it is accepted');
      const state = (await keys.get(id))?.stateAt() as ApiKeyState;
      const ids = (await keys.list({ userId, state, limit: 100 })).items.map((each) => each.id);
      expect([ids.includes(id), checked.state, checked.reason]).toEqual([true, state, found.reason]);
      return [state, found.reason];
    };
    expect(await seen()).toEqual(['disabled', 'disabled']);
    await keys.enable(id);
    expect(await seen()).toEqual(['expired', 'expired']);
    await railsWrites(id, 'NULL');
    await untilRefused(key, 'unused');
    expect(await seen()).toEqual(['expired', 'unused']);
    await keys.disable(id);
    expect(await seen()).toEqual(['disabled', 'disabled']);
    await keys.revoke(id);
    expect(await seen()).toEqual(['revoked', 'revoked']);
  });

  it('days in which a key is disabled count, so that people get it back as expired, and no key can enable it', async () => {
    const { key, apiKey } = await create();
    const { id } = apiKey;
    await keys.disable(id, {}, byKey());
    await age(id, 91);
    await expect(keys.enable(id, {}, byKey())).rejects.toThrow(/has expired and cannot be enabled by a key/);
    await expect(keys.verify(key)).resolves.toEqual({ ok: false, reason: 'disabled' });
    expect((await keys.enable(id))?.stateAt()).toBe('expired');
    await untilRefused(key, 'unused');
    await keys.revoke(id);
  });

  it('an unused key can be changed at the maximum of active keys, because no expiry revives it', async () => {
    const { apiKey } = await create({ expiresAt: inDays(50) });
    const others = [];
    for (;;) {
      const one = await create().catch((error) => error);
      if (one instanceof ApiKeyPolicyError) break;
      others.push(one.apiKey.id);
    }
    await age(apiKey.id, 91);
    others.push((await create()).apiKey.id);
    for (const expiresAt of [inDays(1), inDays(60), null])
      expect((await keys.update(apiKey.id, { expiresAt }))?.stateAt()).toBe('expired');
    expect(await outcomeOf(create)).toBe('maxActiveKeys');
    for (const id of [...others, apiKey.id]) await keys.revoke(id);
  });

  it('a descendant that ended unused is not counted as valid after a revocation', async () => {
    const { apiKey } = await create();
    const [unused] = [await create({}, { apiKey }), await create({}, { apiKey })];
    await age(unused.apiKey.id, 91);
    expect(await keys.revoke(apiKey.id)).toMatchObject({ liveDescendants: 1 });
    await keys.revoke(apiKey.id, { descendants: true });
  });

  it('keys check says why an unused key is refused, and that it passes nowhere', async () => {
    const { key, apiKey } = await create();
    await age(apiKey.id, 91);
    const found = await keys.inspect(key);
    expect(found).toMatchObject({ state: 'expired', reason: 'unused' });
    expect(found.routes.some(({ passes }) => passes)).toBe(false);
    const { stdout } = await runKeysHere(app, ['check'], undefined, key);
    expect(stdout).toMatch(/^REFUSED\. The key has ended, because nobody used it for too long/);
    await keys.revoke(apiKey.id);
  });

  it('a cached key that is used is not ended, because its last use is read again', async () => {
    const { key, apiKey } = await create();
    await sql(
      database,
      `UPDATE api_keys SET created_at = now() - interval '2160 hours' + interval '5 seconds' WHERE id = $1`,
      [apiKey.id],
    );
    expect(await status(key)).toBe(200);
    await until(async () => (await keys.get(apiKey.id))?.lastUsedAt != null);
    const hasPassed = `SELECT FROM api_keys WHERE id = $1 AND created_at + interval '2160 hours' < clock_timestamp()`;
    await until(async () => (await sql(database, hasPassed, [apiKey.id])).length > 0);
    expect(await status(key)).toBe(200);
  });

  it('a key that ended unused is valid again if a use before its end is written late', async () => {
    const { key, apiKey } = await create();
    await age(apiKey.id, 91);
    expect(await status(key)).toBe(401);
    await age(apiKey.id, 1, 'last_used_at');
    await sql(database, `UPDATE api_keys SET name = 'evicted' WHERE id = $1`, [apiKey.id]);
    await until(async () => (await status(key)) === 200);
  });
});
