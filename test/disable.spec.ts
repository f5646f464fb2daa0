import {
  type Acting,
  type ApiKey,
  ApiKeyConflictError,
  ApiKeyInputError,
  type ApiKeyService,
  type CreateApiKeyInput,
  type IssuedApiKey,
  type UpdateApiKeyInput,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { bootApp, QUIET, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { layered } from './support/layered';
import { asRails, railsAuthenticates } from './support/rails';
import { until } from './support/until';

const EXPIRY = new Date('2040-01-02T03:04:05.678Z');

let database: string;
let app: TestApp;
let other: TestApp;
let keys: ApiKeyService;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  const options = { cache: { leaseMs: 60_000, heartbeatMs: 1_000 }, audit: { refused: 'off' } } as const;
  app = await bootApp({ database, options });
  other = await bootApp({ database, options });
  keys = app.keys;
});

afterAll(() => Promise.all([app.close(), other.close()]));

beforeEach(async () => {
  userId = await createUser(database);
});

const issue = (fields: object = {}, acting: Acting = {}): Promise<IssuedApiKey> =>
  keys.create({ userId, name: 'ci', ...fields } as CreateApiKeyInput, acting);

const present = async (id: string): Promise<ApiKey> => (await keys.get(id)) as ApiKey;

interface Row {
  readonly expires_at: Date | number | null;
  readonly disabled_at: Date | null;
  readonly disabled_by_id: string | null;
  readonly enabled_expires_at: Date | number | null;
}

async function rowOf(id: string): Promise<Row> {
  const [row] = await sql<Row>(
    database,
    'SELECT expires_at, disabled_at, disabled_by_id, enabled_expires_at FROM api_keys WHERE id = $1',
    [id],
  );
  return row as Row;
}

const railsWrites = (id: string, expiresAt: string) =>
  sql(database, `UPDATE api_keys SET expires_at = ${expiresAt} WHERE id = $1`, [id]);

/** Runs a call that must wait for a statement of another session, and commits the statement. */
async function whileHeld<T>(statement: string, call: () => Promise<T>): Promise<PromiseSettledResult<T>> {
  const session = new Client({ connectionString: database });
  await session.connect();
  try {
    await session.query('BEGIN');
    await session.query(statement);
    const settled = Promise.allSettled([call()]);
    await until(async () => {
      const waiting = await sql(
        database,
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return waiting.length > 0;
    });
    await session.query('COMMIT');
    return (await settled)[0];
  } finally {
    await session.end();
  }
}

describe('A disabled key', () => {
  it('is refused as disabled, and is accepted again after it was enabled', async () => {
    const { key, apiKey } = await issue();
    expect(await keys.verify(key)).toMatchObject({ ok: true });
    expect((await keys.disable(apiKey.id))?.stateAt()).toBe('disabled');
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
    expect(await keys.authenticate(key)).toBeNull();
    expect((await keys.enable(apiKey.id))?.stateAt()).toBe('active');
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('that another process has cached is refused there as soon as the feed notifies it, and accepted again likewise', async () => {
    const { key, apiKey } = await issue();
    await until(() => other.keys.verificationStatus.leaseHeld);
    expect(await other.keys.verify(key)).toMatchObject({ ok: true });
    await keys.disable(apiKey.id);
    await until(async () => !(await other.keys.verify(key)).ok);
    expect(await other.keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
    await keys.enable(apiKey.id);
    await until(async () => (await other.keys.verify(key)).ok);
  });

  it('that was disabled with SQL alone is refused everywhere, and can be enabled', async () => {
    const { key, apiKey } = await issue({ expiresAt: EXPIRY });
    await until(() => other.keys.verificationStatus.leaseHeld);
    for (const each of [app, other]) expect(await each.keys.verify(key)).toMatchObject({ ok: true });
    await sql(database, 'UPDATE api_keys SET disabled_at = now() WHERE id = $1', [apiKey.id]);
    for (const each of [app, other]) await until(async () => !(await each.keys.verify(key)).ok);
    expect(await keys.enable(apiKey.id)).toEqual({ ...apiKey, updatedAt: expect.any(Date) });
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('is given back whole: no field differs but the time of the last change', async () => {
    for (const expiresAt of [EXPIRY, null]) {
      const fields = {
        expiresAt,
        scopes: ['a'],
        rateLimit: { limit: 5, windowSeconds: 60 },
        quota: { limit: 5, period: 'day' },
        allowedIps: ['10.0.0.1'],
        metadata: { a: 1 },
      };
      const { apiKey } = await issue(fields);
      await keys.disable(apiKey.id);
      expect(await keys.enable(apiKey.id)).toEqual({ ...apiKey, updatedAt: expect.any(Date) });
      expect(await rowOf(apiKey.id)).toEqual({
        expires_at: expiresAt,
        disabled_at: null,
        disabled_by_id: null,
        enabled_expires_at: null,
      });
    }
  });

  it('keeps its expiry to the microsecond', async () => {
    const { apiKey } = await issue();
    await railsWrites(apiKey.id, `'2040-01-02 03:04:05.678901+00'`);
    await keys.disable(apiKey.id);
    await keys.enable(apiKey.id);
    expect(
      await sql(
        database,
        'SELECT extract(microseconds FROM expires_at)::int AS us FROM api_keys WHERE id = $1',
        [apiKey.id],
      ),
    ).toEqual([{ us: 5_678_901 }]);
  });

  it('shows the expiry that it gets back, in the service and in events', async () => {
    const { apiKey } = await issue({ expiresAt: EXPIRY });
    const disabled = await keys.disable(apiKey.id);
    expect(disabled).toMatchObject({ expiresAt: EXPIRY, disabledAt: expect.any(Date), disabledById: null });
    expect(await present(apiKey.id)).toEqual(disabled);
    expect((await keys.list({ userId, state: 'disabled' })).items).toEqual([disabled]);
    expect((await keys.list({ userId, state: 'expired' })).items).toEqual([]);
  });

  it('has an event for each change, with actor and reason', async () => {
    const { apiKey } = await issue();
    await keys.disable(apiKey.id, { reason: 'suspect' }, { userId });
    await keys.disable(apiKey.id, { reason: 'again' }, { userId });
    await keys.enable(apiKey.id, { reason: 'cleared' });
    await keys.enable(apiKey.id);
    expect((await keys.events(apiKey.id))?.items).toMatchObject([
      { type: 'enabled', actor: { type: 'system' }, details: { reason: 'cleared' } },
      { type: 'disabled', actor: { type: 'user', id: userId }, details: { reason: 'suspect' } },
      { type: 'created' },
    ]);
  });

  it('is written once: disabling it again, and enabling an enabled key, write nothing', async () => {
    const { apiKey } = await issue();
    const xmin = async () => sql(database, 'SELECT xmin FROM api_keys WHERE id = $1', [apiKey.id]);
    const before = await xmin();
    expect(await keys.enable(apiKey.id)).toEqual(apiKey);
    expect(await xmin()).toEqual(before);
    const disabled = await keys.disable(apiKey.id);
    const after = await xmin();
    expect(await keys.disable(apiKey.id, { reason: 'again' })).toEqual(disabled);
    expect(await xmin()).toEqual(after);
  });

  it('is not a key of another owner, and not one with an invalid id', async () => {
    const { key, apiKey } = await issue();
    const stranger = { userId: await createUser(database) };
    expect([await keys.disable(apiKey.id, {}, stranger), await keys.enable(apiKey.id, {}, stranger)]).toEqual(
      [null, null],
    );
    for (const id of ['0', 'x', '', '1e3', '9223372036854775808', '999999'])
      expect([await keys.disable(id), await keys.enable(id)]).toEqual([null, null]);
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it.each([
    ['an empty text', ''],
    ['a text of two lines', 'a\nb'],
    ['a text of 256 characters', 'x'.repeat(256)],
    ['null', null],
    ['a number', 5],
  ])('is neither made nor ended if the reason is %s', async (_, reason) => {
    const { key, apiKey } = await issue();
    const options = { reason: reason as string };
    await expect(keys.disable(apiKey.id, options)).rejects.toThrow(ApiKeyInputError);
    await expect(keys.enable(apiKey.id, options)).rejects.toThrow(ApiKeyInputError);
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('is not rotated, and can be after it was enabled', async () => {
    const { apiKey } = await issue();
    await keys.disable(apiKey.id);
    await expect(keys.rotate(apiKey.id)).rejects.toThrow(`key ${apiKey.id} is disabled: enable it first`);
    await keys.enable(apiKey.id);
    expect(await keys.rotate(apiKey.id)).toMatchObject({ apiKey: { replacesId: apiKey.id } });
  });

  it('does not count among the valid descendants of a key, but is revoked with them', async () => {
    const root = await issue({ scopes: ['*'] });
    const [child, live] = [
      await issue({}, { apiKey: root.apiKey }),
      await issue({}, { apiKey: root.apiKey }),
    ];
    await keys.disable(child.apiKey.id);
    expect(await keys.revoke(root.apiKey.id)).toMatchObject({ liveDescendants: 1 });
    const { descendants } = (await keys.revoke(root.apiKey.id, { descendants: true })) ?? {};
    expect(descendants?.map(({ id }) => id).sort()).toEqual([child.apiKey.id, live.apiKey.id].sort());
    await expect(keys.enable(child.apiKey.id)).rejects.toThrow(ApiKeyConflictError);
  });
});

describe('A revocation of a disabled key', () => {
  it('is final, and its state is revoked', async () => {
    const { key, apiKey } = await issue({ expiresAt: EXPIRY });
    await keys.disable(apiKey.id);
    const revoked = await keys.revoke(apiKey.id);
    expect(revoked?.apiKey?.stateAt()).toBe('revoked');
    expect(revoked?.apiKey?.expiresAt?.getTime()).toBeLessThanOrEqual(Date.now());
    await expect(keys.enable(apiKey.id)).rejects.toThrow(`key ${apiKey.id} is revoked and cannot be enabled`);
    await expect(keys.disable(apiKey.id)).rejects.toThrow(
      `key ${apiKey.id} is revoked and cannot be disabled`,
    );
    await expect(keys.update(apiKey.id, { expiresAt: EXPIRY })).rejects.toThrow(ApiKeyConflictError);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
    expect((await present(apiKey.id)).expiresAt?.getTime()).toBeLessThanOrEqual(Date.now());
  });

  it('and an enabling at the same time leave the key revoked, whichever is first', async () => {
    for (let round = 0; round < 10; round++) {
      const { key, apiKey } = await issue({ expiresAt: EXPIRY });
      await keys.disable(apiKey.id);
      await Promise.allSettled([other.keys.enable(apiKey.id), keys.revoke(apiKey.id)]);
      expect(await keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
      expect((await rowOf(apiKey.id)).expires_at).not.toEqual(EXPIRY);
    }
  });

  it('with SQL that an enabling waited for is not undone', async () => {
    const { apiKey } = await issue();
    await keys.disable(apiKey.id);
    const outcome = await whileHeld(`UPDATE api_keys SET revoked_at = now() WHERE id = ${apiKey.id}`, () =>
      keys.enable(apiKey.id),
    );
    expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'ApiKeyConflictError' } });
    expect((await rowOf(apiKey.id)).disabled_at).not.toBeNull();
  });
});

describe('For Rails, a key', () => {
  const railsSees = (id: string) =>
    sql<{ valid: boolean }>(
      database,
      `SELECT expires_at IS NULL OR expires_at > now() AS valid FROM api_keys WHERE id = $1`,
      [id],
    ).then(([row]) => row?.valid);

  it('is expired while it is disabled', async () => {
    for (const expiresAt of [EXPIRY, null]) {
      const { apiKey } = await issue({ expiresAt });
      await keys.disable(apiKey.id);
      expect(await railsSees(apiKey.id)).toBe(false);
      await keys.enable(apiKey.id);
      expect(await railsSees(apiKey.id)).toBe(true);
    }
  });

  it.each([
    ['a later time', `'2050-01-01T00:00:00Z'`, new Date('2050-01-01'), 'active'],
    ['an earlier time', `'2039-01-01T00:00:00Z'`, new Date('2039-01-01'), 'active'],
    ['the same time as before', `'${EXPIRY.toISOString()}'`, EXPIRY, 'active'],
    ['no expiry', 'NULL', null, 'active'],
    ['a time in the past', `'2020-01-01T00:00:00Z'`, new Date('2020-01-01'), 'expired'],
  ])('that gets %s while it is disabled is refused here meanwhile, and keeps that time', async (_, written, expiresAt, state) => {
    const { key, apiKey } = await issue({ expiresAt: EXPIRY });
    await keys.disable(apiKey.id);
    await railsWrites(apiKey.id, written);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
    expect(await present(apiKey.id)).toMatchObject({ expiresAt });
    const enabled = await keys.enable(apiKey.id);
    expect(enabled).toMatchObject({ expiresAt, disabledAt: null, enabledExpiresAt: null });
    expect(enabled?.stateAt()).toBe(state);
  });

  it.each([
    ['a later time', `'2050-01-01T00:00:00Z'`, EXPIRY, EXPIRY],
    ['no expiry', 'NULL', EXPIRY, EXPIRY],
    ['an earlier time', `'2039-01-01T00:00:00Z'`, EXPIRY, new Date('2039-01-01')],
    ['a time instead of none', `'2039-01-01T00:00:00Z'`, null, new Date('2039-01-01')],
    ['no expiry as before', 'NULL', null, null],
  ])('that gets %s while it is disabled is expired again once it is disabled again, and gets the earlier expiry back', async (_, written, expiresAt, expected) => {
    const { key, apiKey } = await issue({ expiresAt });
    const first = await keys.disable(apiKey.id);
    await railsWrites(apiKey.id, written);
    expect(await railsSees(apiKey.id)).toBe(true);
    const again = await keys.disable(apiKey.id, { reason: 'again' });
    expect(again).toMatchObject({ expiresAt: expected, disabledAt: first?.disabledAt });
    expect(await railsSees(apiKey.id)).toBe(false);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
    expect((await keys.events(apiKey.id))?.items[0]).toMatchObject({
      type: 'disabled',
      details: { reason: 'again' },
    });
    expect(await keys.enable(apiKey.id)).toMatchObject({ expiresAt: expected, disabledAt: null });
    expect(await rowOf(apiKey.id)).toMatchObject({ expires_at: expected, enabled_expires_at: null });
  });

  it.each([
    'now()',
    `now() + interval '1 day'`,
    `'infinity'`,
  ])('that was disabled with SQL alone at the time %s is expired once it is disabled here', async (time) => {
    for (const expiresAt of [EXPIRY, null]) {
      const { apiKey } = await issue({ expiresAt });
      await sql(database, `UPDATE api_keys SET disabled_at = ${time} WHERE id = $1`, [apiKey.id]);
      expect(await railsSees(apiKey.id)).toBe(true);
      expect((await keys.disable(apiKey.id))?.stateAt()).toBe('disabled');
      expect(await railsSees(apiKey.id)).toBe(false);
      expect(await keys.enable(apiKey.id)).toMatchObject({ expiresAt, disabledAt: null });
      expect(await railsSees(apiKey.id)).toBe(true);
    }
  });

  it('that had expired before it was disabled stays expired', async () => {
    const { apiKey } = await issue();
    const past = new Date('2020-01-01');
    await railsWrites(apiKey.id, `'${past.toISOString()}'`);
    expect(await keys.disable(apiKey.id)).toMatchObject({ expiresAt: past });
    expect(await keys.enable(apiKey.id)).toMatchObject({ expiresAt: past });
  });

  it.each([
    'infinity',
    '-infinity',
  ])('that has an expiry of %s gets one with the same meaning back', async (time) => {
    const { key, apiKey } = await issue();
    await railsWrites(apiKey.id, `'${time}'`);
    const before = await keys.verify(key);
    await keys.disable(apiKey.id);
    expect(await railsSees(apiKey.id)).toBe(false);
    await keys.enable(apiKey.id);
    expect(await keys.verify(key)).toEqual(before.ok ? { ok: true, apiKey: expect.anything() } : before);
  });

  it.each([0, 3])('is expired at once and given back in a table with times of %i digits', async (digits) => {
    const url = await createMigratedDatabase();
    await sql(url, `ALTER TABLE api_keys ALTER expires_at TYPE timestamptz(${digits})`);
    const own = await bootApp({ database: url, options: QUIET });
    const owner = await createUser(url);
    for (let i = 0; i < 8; i++) {
      const { apiKey } = await own.keys.create({ userId: owner, name: 'ci', expiresAt: EXPIRY });
      const before = await own.keys.get(apiKey.id);
      await own.keys.disable(apiKey.id);
      expect(await sql(url, 'SELECT FROM api_keys WHERE expires_at > clock_timestamp()')).toHaveLength(i);
      expect(await own.keys.enable(apiKey.id)).toMatchObject({ expiresAt: before?.expiresAt });
    }
    await own.close();
  });

  it('does not get an expiry of never, if the column of saved expiries was emptied meanwhile', async () => {
    const { key, apiKey } = await issue({ expiresAt: EXPIRY });
    await keys.disable(apiKey.id);
    await sql(database, 'UPDATE api_keys SET enabled_expires_at = NULL WHERE id = $1', [apiKey.id]);
    expect((await keys.enable(apiKey.id))?.stateAt()).toBe('expired');
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'expired' });
  });
});

it('a key of a Rails table is refused by Rails while it is disabled, and accepted again', async () => {
  const { createHash } = await import('node:crypto');
  const { key, apiKey } = await issue();
  const digest = createHash('sha256').update(key).digest('hex');
  const authenticates = () => asRails(database, (client) => railsAuthenticates(client, digest));
  expect(await authenticates()).toBe(true);
  await keys.disable(apiKey.id);
  expect(await authenticates()).toBe(false);
  await keys.enable(apiKey.id);
  expect(await authenticates()).toBe(true);
});

describe('An update of a disabled key', () => {
  const LATER = new Date('2045-01-01');
  const update = (id: string, fields: object, acting: Acting = {}) =>
    keys.update(id, fields as UpdateApiKeyInput, acting);

  it.each([
    ['another expiry', EXPIRY, LATER],
    ['an expiry instead of none', null, LATER],
    ['no expiry', EXPIRY, null],
  ])('sets %s, which it gets when it is enabled, and it stays expired for Rails', async (_, expiresAt, given) => {
    const { key, apiKey } = await issue({ expiresAt });
    await keys.disable(apiKey.id);
    expect(await update(apiKey.id, { expiresAt: given })).toMatchObject({ expiresAt: given });
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
    const row = await rowOf(apiKey.id);
    expect(Number(row.expires_at)).toBeLessThanOrEqual(Date.now());
    expect((await keys.events(apiKey.id))?.items[0]).toMatchObject({
      type: 'updated',
      details: {
        changes: { expiresAt: { old: expiresAt?.toISOString() ?? null, new: given?.toISOString() ?? null } },
      },
    });
    expect(await keys.enable(apiKey.id)).toMatchObject({ expiresAt: given });
    expect(await rowOf(apiKey.id)).toMatchObject({ expires_at: given, enabled_expires_at: null });
  });

  it('replaces an expiry that Rails wrote meanwhile', async () => {
    const { apiKey } = await issue({ expiresAt: EXPIRY });
    await keys.disable(apiKey.id);
    await railsWrites(apiKey.id, `'2050-01-01T00:00:00Z'`);
    expect(await update(apiKey.id, { expiresAt: LATER })).toMatchObject({ expiresAt: LATER });
    expect(await keys.enable(apiKey.id)).toMatchObject({ expiresAt: LATER });
  });

  it('of a key that had expired before gives it a time to come', async () => {
    const { key, apiKey } = await issue();
    await railsWrites(apiKey.id, `'2020-01-01T00:00:00Z'`);
    await keys.disable(apiKey.id);
    expect(await update(apiKey.id, { expiresAt: LATER })).toMatchObject({ expiresAt: LATER });
    await keys.enable(apiKey.id);
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('with the expiry that it has writes nothing', async () => {
    for (const expiresAt of [EXPIRY, null]) {
      const { apiKey } = await issue({ expiresAt });
      const disabled = await keys.disable(apiKey.id);
      const before = await sql(database, 'SELECT k.*, xmin FROM api_keys k WHERE id = $1', [apiKey.id]);
      expect(await update(apiKey.id, { expiresAt, name: 'ci' })).toEqual(disabled);
      expect(await sql(database, 'SELECT k.*, xmin FROM api_keys k WHERE id = $1', [apiKey.id])).toEqual(
        before,
      );
    }
  });

  it('changes its other fields as those of any key', async () => {
    const { apiKey } = await issue({ expiresAt: EXPIRY });
    await keys.disable(apiKey.id);
    const fields = { name: 'new', scopes: ['b'], metadata: { a: 1 }, allowedIps: ['10.0.0.0/8'] };
    expect(await update(apiKey.id, fields)).toMatchObject({ ...fields, expiresAt: EXPIRY });
    expect(await keys.enable(apiKey.id)).toMatchObject({ ...fields, expiresAt: EXPIRY });
  });

  it('by a key is judged by the expiry that the disabled key gets back', async () => {
    const bound = new Date('2042-01-01');
    const manager = await issue({ scopes: ['*'], expiresAt: bound });
    const acting = { apiKey: manager.apiKey };
    const { apiKey } = await issue({ expiresAt: EXPIRY }, acting);
    await keys.disable(apiKey.id);
    await expect(update(apiKey.id, { expiresAt: LATER }, acting)).rejects.toThrow('expiresAt exceeds');
    expect(await update(apiKey.id, { expiresAt: bound }, acting)).toMatchObject({ expiresAt: bound });
    await railsWrites(apiKey.id, `'2020-01-01T00:00:00Z'`);
    await expect(update(apiKey.id, { expiresAt: bound }, acting)).rejects.toThrow(
      'has expired and cannot be revived',
    );
  });

  it('and the disabling, at the same time, lose neither: the new expiry comes back', async () => {
    for (let round = 0; round < 10; round++) {
      const { apiKey } = await issue({ expiresAt: EXPIRY });
      await Promise.all([other.keys.update(apiKey.id, { expiresAt: LATER }), keys.disable(apiKey.id)]);
      expect(await present(apiKey.id)).toMatchObject({ expiresAt: LATER, disabledAt: expect.any(Date) });
      expect(await keys.enable(apiKey.id)).toMatchObject({ expiresAt: LATER });
    }
  });
});

it('a rotation and a disabling at the same time leave the old key disabled, and rotated or not', async () => {
  for (let round = 0; round < 10; round++) {
    const { key, apiKey } = await issue({ expiresAt: EXPIRY });
    const [rotated] = await Promise.allSettled([
      other.keys.rotate(apiKey.id, { overlapSeconds: 60 }),
      keys.disable(apiKey.id),
    ]);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
    const enabled = await keys.enable(apiKey.id);
    const isShort = Number(enabled?.expiresAt) < Date.now() + 3_600_000;
    expect(isShort).toBe(rotated.status === 'fulfilled');
  }
});

it('a disabling is made without the audit trail, and an enabling is not', async () => {
  const { key, apiKey } = await issue();
  app.app.useLogger(false);
  await sql(database, 'ALTER TABLE api_key_events RENAME TO elsewhere');
  try {
    await keys.disable(apiKey.id);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
    await expect(keys.enable(apiKey.id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
  } finally {
    await sql(database, 'ALTER TABLE elsewhere RENAME TO api_key_events');
  }
});

it('a disabling everywhere returns when no instance trusts a cache entry from before', async () => {
  const url = await createMigratedDatabase();
  const options = layered(QUIET, { cache: { leaseMs: 500, heartbeatMs: 100 } });
  const own = await bootApp({ database: url, options });
  const { apiKey } = await own.keys.create({ userId: await createUser(url), name: 'ci' });
  const started = performance.now();
  await own.keys.disable(apiKey.id, { everywhere: true });
  const [row] = await sql<{ ms: string }>(url, 'SELECT trust_ms AS ms FROM api_key_trust');
  expect(performance.now() - started).toBeGreaterThan(Number(row?.ms));
  await own.close();
});
