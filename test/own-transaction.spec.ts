import { NestFactory } from '@nestjs/core';
import { EventEmitter2, EventEmitterModule } from '@nestjs/event-emitter';
import {
  ApiKey,
  type ApiKeyEvent,
  ApiKeyModule,
  ApiKeyService,
  type CreateApiKeyInput,
  type InTransaction,
  type IssuedApiKey,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { bootOn, type Ground, ONE_CONNECTION, untilCached } from './support/ground';
import { until } from './support/until';

/** Thrown by a test to roll a transaction back. */
class Rollback extends Error {}

const UNKNOWN = { ok: false, reason: 'unknown' };
const REVOKED = { ok: false, reason: 'revoked' };

let database: string;
let ground: Ground;
let other: Ground;
let keys: ApiKeyService;
let dataSource: DataSource;
let heard: string[];
let sunk: string[];
const told = ({ type, keyId }: ApiKeyEvent) => `${type} ${keyId}`;

beforeAll(async () => {
  database = await createMigratedDatabase();
  const record = (events: readonly ApiKeyEvent[]) => void sunk.push(...events.map(told));
  ground = await bootOn(database, {
    imports: [EventEmitterModule.forRoot({ wildcard: true })],
    options: { audit: { changes: { record } } },
  });
  other = await bootOn(database);
  ({ keys, dataSource } = ground);
  ground.app.get(EventEmitter2).on('api-key.*', (event: ApiKeyEvent) => heard.push(told(event)));
  for (const each of [ground, other]) await untilCached(each);
});

beforeEach(() => {
  [heard, sunk] = [[], []];
});

afterAll(async () => {
  await ground.close();
  await other.close();
});

async function insertUser(manager: Pick<EntityManager, 'query'>): Promise<string> {
  const [{ id }] = await manager.query(
    `INSERT INTO users (email, created_at, updated_at) VALUES (gen_random_uuid() || '@example.com', now(), now()) RETURNING id`,
  );
  return String(id);
}

/** Runs work in a transaction, and rolls the transaction back. */
async function rolledBack<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
  let result: T | undefined;
  const all = dataSource.transaction(async (manager) => {
    result = await work(manager);
    throw new Rollback();
  });
  await expect(all).rejects.toThrow(Rollback);
  return result as T;
}

const issue = async (fields: Partial<CreateApiKeyInput> = {}) =>
  keys.create({ userId: await createUser(database), name: 'ci', ...fields });

const eventsOf = async ({ apiKey }: IssuedApiKey) =>
  (await sql(database, 'SELECT type FROM api_key_events WHERE key_id = $1 ORDER BY id', [apiKey.id])).map(
    ({ type }) => type,
  );

const waiting = () =>
  sql(
    database,
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );

describe('a call in a transaction of the application', () => {
  it('creates the first key of a user that the transaction inserted', async () => {
    const issued = await dataSource.transaction(async (manager) => {
      const userId = await insertUser(manager);
      return keys.create({ userId, name: 'first' }, {}, { manager });
    });
    expect(await keys.verify(issued.key)).toMatchObject({ ok: true, apiKey: { name: 'first' } });
    expect(await eventsOf(issued)).toEqual(['created']);
  });

  it('leaves the key unknown until the commit, and accepts it at once after the commit, although it was tried before', async () => {
    const issued = await dataSource.transaction(async (manager) => {
      const created = await keys.create({ userId: await insertUser(manager), name: 'ci' }, {}, { manager });
      for (const each of [keys, keys, other.keys])
        expect(await each.verify(created.key)).toMatchObject(UNKNOWN);
      return created;
    });
    expect(await keys.verify(issued.key)).toMatchObject({ ok: true });
    await until(async () => (await other.keys.verify(issued.key)).ok);
  });

  it('leaves no key, no event and nothing told after a rollback', async () => {
    const issued = await rolledBack(async (manager) => {
      const created = await keys.create({ userId: await insertUser(manager), name: 'ci' }, {}, { manager });
      expect(await keys.verify(created.key)).toMatchObject(UNKNOWN);
      return created;
    });
    expect(await keys.verify(issued.key)).toMatchObject(UNKNOWN);
    expect(await keys.get(issued.apiKey.id)).toBeNull();
    expect(await eventsOf(issued)).toEqual([]);
    expect([heard, sunk]).toEqual([[], []]);
  });

  it('makes several changes in a row, and reports them in order after the commit', async () => {
    const { id, next } = await dataSource.transaction(async (manager) => {
      const userId = await insertUser(manager);
      const { apiKey } = await keys.create({ userId, name: 'ci' }, {}, { manager });
      expect(await keys.update(apiKey.id, { name: 'new' }, {}, { manager })).toMatchObject({ name: 'new' });
      const successor = await keys.rotate(apiKey.id, { overlapSeconds: 0 }, {}, { manager });
      const nextId = String(successor?.apiKey.id);
      const revoked = await keys.revoke(apiKey.id, { descendants: true, reason: 'r' }, {}, { manager });
      expect(revoked).toMatchObject({ descendants: [{ id: nextId }], liveDescendants: 0 });
      expect([heard, sunk]).toEqual([[], []]);
      return { id: apiKey.id, next: nextId };
    });
    const expected = [
      `created ${id}`,
      `updated ${id}`,
      `rotated ${id}`,
      `created ${next}`,
      `revoked ${id}`,
      `revoked ${next}`,
    ];
    expect(heard).toEqual(expected);
    await until(() => sunk.length === expected.length);
    expect(sunk).toEqual(expected);
  });

  it('refuses a revoked key at once after the commit on this instance, and by the feed on another one', async () => {
    const issued = await issue();
    for (const each of [keys, other.keys]) expect(await each.verify(issued.key)).toMatchObject({ ok: true });
    await rolledBack((manager) => keys.revoke(issued.apiKey.id, {}, {}, { manager }));
    expect(await keys.verify(issued.key)).toMatchObject({ ok: true });
    await dataSource.transaction(async (manager) => {
      const revoked = await keys.revoke(issued.apiKey.id, {}, {}, { manager });
      expect(revoked).toMatchObject({ apiKey: { id: issued.apiKey.id }, liveDescendants: 0 });
      expect(await keys.verify(issued.key)).toMatchObject({ ok: true });
    });
    expect(await keys.verify(issued.key)).toMatchObject(REVOKED);
    await until(async () => !(await other.keys.verify(issued.key)).ok);
  });

  it('evicts without notifications: a key that was tried before its commit works, and a revoked key is refused', async () => {
    const url = await createMigratedDatabase();
    await sql(url, 'ALTER TABLE api_keys DISABLE TRIGGER USER');
    const deaf = await bootOn(url, { options: { cache: { staleForMs: 60_000 } } });
    const { key, apiKey } = await deaf.dataSource.transaction(async (manager) => {
      const created = await deaf.keys.create(
        { userId: await insertUser(manager), name: 'ci' },
        {},
        { manager },
      );
      for (let n = 0; n < 2; n++) expect(await deaf.keys.verify(created.key)).toMatchObject(UNKNOWN);
      return created;
    });
    expect(await deaf.keys.verify(key)).toMatchObject({ ok: true });
    await deaf.dataSource.transaction((manager) => deaf.keys.revoke(apiKey.id, {}, {}, { manager }));
    expect(await deaf.keys.verify(key)).toMatchObject(REVOKED);
    await deaf.close();
  });

  it('returns null if no key was found, and judges input as always', async () => {
    await dataSource.transaction(async (manager) => {
      for (const id of ['9999999999', 'x']) {
        expect(await keys.update(id, { name: 'n' }, {}, { manager })).toBeNull();
        expect(await keys.rotate(id, {}, {}, { manager })).toBeNull();
        expect(await keys.revoke(id, {}, {}, { manager })).toBeNull();
      }
      const nameless = keys.create({ userId: '1', name: '' }, {}, { manager });
      await expect(nameless).rejects.toMatchObject({ name: 'ApiKeyInputError' });
    });
  });

  it('works with a query runner', async () => {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction('READ COMMITTED');
    const { manager } = runner;
    const issued = await keys.create({ userId: await insertUser(manager), name: 'ci' }, {}, { manager });
    expect(heard).toEqual([]);
    await runner.commitTransaction();
    expect(heard).toEqual([`created ${issued.apiKey.id}`]);
    await runner.release();
    expect(await keys.verify(issued.key)).toMatchObject({ ok: true });
  });
});

describe('a failed call in a transaction of the application', () => {
  it('leaves nothing of itself behind, and the transaction can go on', async () => {
    const { apiKey } = await issue();
    await keys.rotate(apiKey.id);
    const issued = await dataSource.transaction(async (manager) => {
      const ownerless = keys.create({ userId: '999999999', name: 'ci' }, {}, { manager });
      await expect(ownerless).rejects.toMatchObject({ problems: ['no owner with this userId exists'] });
      const twice = keys.rotate(apiKey.id, {}, {}, { manager });
      await expect(twice).rejects.toMatchObject({ name: 'ApiKeyConflictError' });
      return keys.create({ userId: await insertUser(manager), name: 'ci' }, {}, { manager });
    });
    expect(await keys.verify(issued.key)).toMatchObject({ ok: true });
  });

  it('undoes what it had written before it failed', async () => {
    const issued = await issue();
    await sql(
      database,
      `CREATE FUNCTION no_successor() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
       CREATE TRIGGER no_successor BEFORE INSERT ON api_keys FOR EACH ROW WHEN (NEW.replaces_id = ${issued.apiKey.id}) EXECUTE FUNCTION no_successor()`,
    );
    await dataSource.transaction(async (manager) => {
      const rotated = keys.rotate(issued.apiKey.id, { overlapSeconds: 0 }, {}, { manager });
      await expect(rotated).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    });
    expect(await keys.get(issued.apiKey.id)).toMatchObject({ expiresAt: null });
    expect(await keys.verify(issued.key)).toMatchObject({ ok: true });
  });

  it('does not disturb other calls that run in the same transaction at the same time', async () => {
    const issued = await dataSource.transaction(async (manager) => {
      const userId = await insertUser(manager);
      const create = (owner: string) => keys.create({ userId: owner, name: 'ci' }, {}, { manager });
      const results = await Promise.allSettled([create(userId), create('999999998'), create(userId)]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      return results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    });
    for (const { key } of issued) expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('gives the application the lock time-out of PostgreSQL as it is', async () => {
    const { apiKey } = await issue();
    const holder = new Client({ connectionString: database });
    await holder.connect();
    await holder.query(`BEGIN; SELECT FROM api_keys WHERE id = ${apiKey.id} FOR UPDATE`);
    await dataSource.transaction(async (manager) => {
      await manager.query(`SET LOCAL lock_timeout = '20ms'`);
      for (const change of [
        () => keys.update(apiKey.id, { name: 'n' }, {}, { manager }),
        () => keys.rotate(apiKey.id, {}, {}, { manager }),
        () => keys.revoke(apiKey.id, {}, {}, { manager }),
      ])
        await expect(change()).rejects.toMatchObject({ code: '55P03' });
    });
    await holder.end();
  });

  it('gives the application the deadlock of PostgreSQL as it is, and does not retry', async () => {
    const { apiKey } = await issue();
    const holder = new Client({ connectionString: database });
    await holder.connect();
    await holder.query(
      `SET deadlock_timeout = '1h'; BEGIN; SELECT FROM api_keys WHERE id = ${apiKey.id} FOR UPDATE`,
    );
    const deadlocked = dataSource.transaction(async (manager) => {
      await manager.query(`SET LOCAL deadlock_timeout = '200ms'; SELECT pg_advisory_xact_lock(7)`);
      const blocked = holder.query('SELECT pg_advisory_xact_lock(7)');
      await until(async () => (await waiting()).length > 0);
      const updated = keys.update(apiKey.id, { name: 'n' }, {}, { manager });
      await expect(updated).rejects.toMatchObject({ code: '40P01' });
      return { blocked, updated };
    });
    const { blocked } = await deadlocked;
    await blocked;
    await holder.end();
  });
});

describe('a call that the application does not await', () => {
  /** Waits until a call in the same transaction has made about so many statements. */
  async function statements(manager: EntityManager, count: number): Promise<void> {
    for (let n = 0; n < count; n++) await manager.query('SELECT 1');
  }
  const rowsOf = ({ apiKey }: IssuedApiKey) =>
    sql(
      database,
      `SELECT name, revoked_at, expires_at FROM api_keys WHERE user_id = ${apiKey.userId} ORDER BY id`,
    );
  const ASIS = { name: 'ci', revoked_at: null, expires_at: null };

  it.each([
    1, 5,
  ])('leaves nothing behind if the transaction fails after %i of its statements', async (count) => {
    const issued = await issue();
    const { id, userId } = issued.apiKey;
    const calls: ((within: InTransaction) => Promise<unknown>)[] = [
      (within) => keys.create({ userId, name: 'ci' }, {}, within),
      (within) => keys.update(id, { name: 'new' }, {}, within),
      (within) => keys.rotate(id, { overlapSeconds: 0 }, {}, within),
      (within) => keys.revoke(id, {}, {}, within),
    ];
    for (const call of calls) {
      const failure = async (manager: EntityManager) => {
        await statements(manager, count);
        throw new Rollback();
      };
      let called: Promise<unknown> | undefined;
      const all = dataSource.transaction((manager) => {
        called = call({ manager });
        return Promise.all([called, failure(manager)]);
      });
      await expect(all).rejects.toThrow(Rollback);
      await called;
      expect(await rowsOf(issued)).toEqual([ASIS]);
      expect(await eventsOf(issued)).toEqual(['created']);
    }
  });

  it('leaves nothing behind in a savepoint that fails', async () => {
    const issued = await issue();
    let called: Promise<unknown> | undefined;
    await dataSource.transaction(async (manager) => {
      const nested = manager.transaction(async (inner) => {
        called = keys.update(issued.apiKey.id, { name: 'new' }, {}, { manager: inner });
        await statements(inner, 1);
        throw new Rollback();
      });
      await expect(nested).rejects.toThrow(Rollback);
      await called;
      await keys.update(issued.apiKey.id, { metadata: { kept: true } }, {}, { manager });
    });
    expect(await keys.get(issued.apiKey.id)).toMatchObject({ name: 'ci', metadata: { kept: true } });
  });

  it('is part of the commit, and a call that begins later is refused or part of it', async () => {
    const issued = await issue();
    const { id, userId } = issued.apiKey;
    let called: Promise<unknown> | undefined;
    let made = 0;
    await dataSource.transaction(async (manager) => {
      called = (async () => {
        await keys.rotate(id, { overlapSeconds: 0 }, {}, { manager });
        for (;;) {
          await keys.create({ userId, name: 'more' }, {}, { manager });
          made++;
        }
      })();
      void called.catch(() => {});
      await statements(manager, 1);
    });
    await expect(called).rejects.toMatchObject({ message: expect.stringMatching(/no open transaction/) });
    const [old, successor, ...more] = await rowsOf(issued);
    expect([old?.expires_at, successor]).toEqual([expect.any(Date), ASIS]);
    expect(more).toHaveLength(made);
  });
});

describe('a savepoint of the application', () => {
  it('that is rolled back takes its key and its report with it', async () => {
    const ids = await dataSource.transaction(async (manager) => {
      const userId = await insertUser(manager);
      const create = (within: InTransaction) => keys.create({ userId, name: 'ci' }, {}, within);
      const first = await create({ manager });
      let lost: IssuedApiKey | undefined;
      const nested = manager.transaction(async (inner) => {
        lost = await create({ manager: inner });
        throw new Rollback();
      });
      await expect(nested).rejects.toThrow(Rollback);
      const second = await manager.transaction((inner) => create({ manager: inner }));
      await manager.query('SAVEPOINT mine');
      const alsoLost = await create({ manager });
      await manager.query('ROLLBACK TO SAVEPOINT mine');
      expect(heard).toEqual([]);
      return { kept: [first, second], lost: [lost as IssuedApiKey, alsoLost] };
    });
    expect(heard).toEqual(ids.kept.map(({ apiKey }) => `created ${apiKey.id}`));
    for (const { key } of ids.kept) expect(await keys.verify(key)).toMatchObject({ ok: true });
    for (const { key } of ids.lost) expect(await keys.verify(key)).toMatchObject(UNKNOWN);
  });

  it('keeps a key valid whose revocation was rolled back', async () => {
    const { key, apiKey } = await issue();
    heard = [];
    await dataSource.transaction(async (manager) => {
      await manager.query('SAVEPOINT mine');
      await keys.revoke(apiKey.id, {}, {}, { manager });
      await manager.query('ROLLBACK TO SAVEPOINT mine');
    });
    expect(await keys.verify(key)).toMatchObject({ ok: true });
    expect(heard).toEqual([]);
  });
});

it('a COMMIT that PostgreSQL turns into a rollback reports nothing', async () => {
  const issued = await dataSource.transaction(async (manager) => {
    const created = await keys.create({ userId: await insertUser(manager), name: 'ci' }, {}, { manager });
    await expect(manager.query('SELECT 1 / 0')).rejects.toThrow();
    return created;
  });
  expect(await keys.verify(issued.key)).toMatchObject(UNKNOWN);
  expect([heard, sunk]).toEqual([[], []]);
});

describe('an acting key in a transaction of the application', () => {
  it('is judged by its row in that transaction', async () => {
    const { apiKey } = await issue({ scopes: ['orders:read'] as never });
    const { userId } = apiKey;
    const create = (within: InTransaction, scopes: string[]) =>
      keys.create({ userId, name: 'made', scopes: scopes as never }, { apiKey }, within);
    await rolledBack(async (manager) => {
      expect(await create({ manager }, ['orders:read'])).toMatchObject({
        apiKey: { ancestorIds: [apiKey.id] },
      });
      const more = create({ manager }, ['orders:write']);
      await expect(more).rejects.toMatchObject({ name: 'ApiKeyAuthorityError' });
      await keys.update(apiKey.id, { scopes: [] }, {}, { manager });
      const narrowed = create({ manager }, ['orders:read']);
      await expect(narrowed).rejects.toMatchObject({ name: 'ApiKeyAuthorityError' });
      await keys.revoke(apiKey.id, {}, {}, { manager });
      await expect(create({ manager }, [])).rejects.toMatchObject({ code: 'INVALID_API_KEY' });
    });
    const foreign = dataSource.transaction(async (manager) =>
      keys.revoke(apiKey.id, {}, { userId: await insertUser(manager) }, { manager }),
    );
    expect(await foreign).toBeNull();
  });
});

describe('the owner of a key', () => {
  it('stays locked until the commit, so that a change in another instance waits and then succeeds', async () => {
    const { apiKey } = await issue();
    const { updated } = await dataSource.transaction(async (manager) => {
      await keys.update(apiKey.id, { metadata: { by: 'application' } }, {}, { manager });
      const update = other.keys.update(apiKey.id, { name: 'by the other' });
      await until(async () => (await waiting()).length > 0);
      return { updated: update };
    });
    expect(await updated).toMatchObject({ name: 'by the other', metadata: { by: 'application' } });
  });
});

describe('with a pool of one connection', () => {
  it('each call uses the connection of the transaction, also for an owner in another spelling', async () => {
    const one = await bootOn(database, { typeorm: ONE_CONNECTION });
    const userId = await createUser(database);
    const issued = await one.dataSource.transaction(async (manager) => {
      const acting = { userId: `00${userId}` };
      const created = await one.keys.create({ userId: `0${userId}`, name: 'ci' }, acting, { manager });
      const { id } = created.apiKey;
      await one.keys.update(id, { name: 'new' }, acting, { manager });
      const unfit = one.keys.create({ userId: 'no number', name: 'ci' }, {}, { manager });
      await expect(unfit).rejects.toMatchObject({ name: 'ApiKeyInputError' });
      const successor = await one.keys.rotate(id, {}, acting, { manager });
      expect(await one.keys.revoke(id, {}, acting, { manager })).toMatchObject({ liveDescendants: 1 });
      return successor as IssuedApiKey;
    });
    expect(issued.apiKey.userId).toBe(userId);
    expect(await one.keys.verify(issued.key)).toMatchObject({ ok: true });
    await one.close();
  });
});

it('a call leaves the settings of the session as they were', async () => {
  const names = ['row_security', 'client_encoding', 'array_nulls', 'search_path', 'lock_timeout'];
  await rolledBack(async (manager) => {
    const settings = async () => {
      const values = names.map((name) => `encode(current_setting('${name}')::bytea, 'hex') AS ${name}`);
      return manager.query(`SELECT ${values.join(', ')}`);
    };
    const userId = await insertUser(manager);
    await manager.query(
      `CREATE SCHEMA "é"; CREATE TEMPORARY TABLE api_keys (id int);
       SET LOCAL search_path = "é", public; SET LOCAL client_encoding = 'LATIN1'; SET LOCAL array_nulls = off; SET LOCAL lock_timeout = '1234ms'`,
    );
    const before = await settings();
    const { apiKey } = await keys.create({ userId, name: 'ключ' }, {}, { manager });
    expect(apiKey.name).toBe('ключ');
    expect(await settings()).toEqual(before);
    await expect(keys.rotate('1', { overlapSeconds: -1 }, {}, { manager })).rejects.toThrow();
    await expect(keys.create({ userId: '99999999', name: 'ci' }, {}, { manager })).rejects.toThrow();
    expect(await settings()).toEqual(before);
  });
});

it('reports a change whose event a trigger suppressed after its own commit, and after no other one', async () => {
  const url = await createMigratedDatabase();
  await sql(
    url,
    `CREATE FUNCTION no_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
     CREATE TRIGGER no_events BEFORE INSERT ON api_key_events FOR EACH ROW EXECUTE FUNCTION no_events()`,
  );
  const record = (events: readonly ApiKeyEvent[]) => void sunk.push(...events.map(told));
  const app = await bootOn(url, { options: { audit: { changes: { record } } } });
  const runner = app.dataSource.createQueryRunner();
  const { manager } = runner;
  const create = async () => {
    await runner.startTransaction();
    return app.keys.create({ userId: await insertUser(manager), name: 'ci' }, {}, { manager });
  };
  await create();
  await runner.rollbackTransaction();
  const { apiKey } = await create();
  await runner.commitTransaction();
  await runner.release();
  await until(() => sunk.length > 0);
  expect(sunk).toEqual([`created ${apiKey.id}`]);
  await app.close();
});

it('a call waits at most 8 s for a lock unless the application says how long, and its commit is durable', async () => {
  const url = await createMigratedDatabase();
  await sql(
    url,
    `CREATE FUNCTION show_settings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       NEW.metadata = jsonb_build_object('lock', current_setting('lock_timeout'), 'commit', current_setting('synchronous_commit'));
       RETURN NEW; END $$;
     CREATE TRIGGER show_settings BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION show_settings()`,
  );
  const app = await bootOn(url);
  await app.dataSource.transaction(async (manager) => {
    const userId = await insertUser(manager);
    const create = async () =>
      (await app.keys.create({ userId, name: 'ci' }, {}, { manager })).apiKey.metadata;
    await manager.query(`SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = 0`);
    expect(await create()).toEqual({ lock: '8s', commit: 'on' });
    await manager.query(`SET LOCAL lock_timeout = '1min'`);
    expect(await create()).toEqual({ lock: '1min', commit: 'on' });
    expect(await manager.query('SHOW synchronous_commit')).toEqual([{ synchronous_commit: 'on' }]);
  });
  await app.close();
});

it('an application that does not know the schema yet needs no second connection', async () => {
  const one = await new DataSource({
    type: 'postgres',
    url: database,
    entities: [ApiKey],
    ...ONE_CONNECTION,
  }).initialize();
  let created: IssuedApiKey | undefined;
  const userId = await createUser(database);
  const Early = {
    provide: 'early',
    inject: [ApiKeyService],
    useFactory: async (service: ApiKeyService) => {
      created = await one.transaction((manager) => service.create({ userId, name: 'ci' }, {}, { manager }));
    },
  };
  const library = ApiKeyModule.forRoot({ dataSource: one });
  const app = await NestFactory.createApplicationContext(
    { module: class App {}, imports: [library], providers: [Early] },
    { logger: false, abortOnError: false },
  );
  expect(await app.get(ApiKeyService).verify(created?.key)).toMatchObject({ ok: true });
  await app.close();
  await one.destroy();
});

describe('a transaction that does not fit is refused, and nothing is changed,', () => {
  let issued: IssuedApiKey;
  beforeAll(async () => {
    issued = await issue();
  });
  afterEach(async () => {
    expect(await keys.get(issued.apiKey.id)).toMatchObject({ name: 'ci', revokedAt: null });
    expect((await keys.list({ userId: issued.apiKey.userId })).items).toHaveLength(1);
  });

  async function expectRefusals(within: unknown, message: RegExp): Promise<void> {
    const last = within as InTransaction;
    const { id, userId } = issued.apiKey;
    for (const call of [
      () => keys.create({ userId, name: 'ci' }, {}, last),
      () => keys.update(id, { name: 'n' }, {}, last),
      () => keys.rotate(id, {}, {}, last),
      () => keys.revoke(id, {}, {}, last),
    ])
      await expect(call()).rejects.toMatchObject({
        name: 'ApiKeyTransactionError',
        message: expect.stringMatching(message),
      });
  }

  it.each(['REPEATABLE READ', 'SERIALIZABLE'] as const)('if it is %s', async (level) => {
    await dataSource.transaction(level, async (manager) => {
      await expectRefusals({ manager }, new RegExp(`is ${level}, .*READ COMMITTED`));
      expect(await manager.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });
  });

  it('if its isolation level was set by SQL', async () => {
    await dataSource.transaction(async (manager) => {
      await manager.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await expectRefusals({ manager }, /REPEATABLE READ/);
    });
  });

  it('if it is read-only', async () => {
    await dataSource.transaction(async (manager) => {
      await manager.query('SET TRANSACTION READ ONLY');
      await expectRefusals({ manager }, /READ ONLY/);
    });
  });

  it('if a statement of it has failed', async () => {
    await dataSource.transaction(async (manager) => {
      await expect(manager.query('SELECT 1 / 0')).rejects.toThrow();
      await expectRefusals({ manager }, /has failed.*roll the transaction back/);
    });
  });

  it('if it has not begun, or has ended', async () => {
    await expectRefusals({ manager: dataSource.manager }, /no open transaction/);
    const runner = dataSource.createQueryRunner();
    await expectRefusals({ manager: runner.manager }, /no open transaction/);
    await runner.startTransaction();
    await runner.query('COMMIT');
    await expectRefusals({ manager: runner.manager }, /no open transaction/);
    await runner.rollbackTransaction();
    await runner.release();
    await expectRefusals({ manager: runner.manager }, /no open transaction/);
    const ended = await dataSource.transaction(async (manager) => manager);
    await expectRefusals({ manager: ended }, /no open transaction/);
  });

  it('if it has ended, although another transaction is open on its connection', async () => {
    const one = await bootOn(database, { typeorm: ONE_CONNECTION });
    const ended = await one.dataSource.transaction(async (manager) => manager);
    const { userId } = issued.apiKey;
    await one.dataSource.transaction(async () => {
      const created = one.keys.create({ userId, name: 'ci' }, {}, { manager: ended });
      await expect(created).rejects.toMatchObject({ message: expect.stringMatching(/no open transaction/) });
    });
    await one.close();
  });

  it('if it belongs to another data source', async () => {
    await other.dataSource.transaction((manager) => expectRefusals({ manager }, /another data source/));
  });

  it('if it is no manager', async () => {
    const runner = dataSource.createQueryRunner();
    const create = (within: InTransaction) => keys.create({ userId: '1', name: 'ci' }, {}, within);
    const refused = { name: 'ApiKeyTransactionError' };
    // @ts-expect-error: the manager may be missing
    await expect(create({ manager: undefined })).rejects.toMatchObject(refused);
    // @ts-expect-error: a data source is no manager
    await expect(create({ manager: dataSource })).rejects.toMatchObject(refused);
    // @ts-expect-error: a query runner is no manager
    await expect(create({ manager: runner })).rejects.toMatchObject(refused);
    for (const within of [null, {}, 'x', { manager: undefined }, { manager: null }, { manager: 1 }])
      await expectRefusals(within, /no EntityManager/);
    for (const manager of [dataSource, runner, {}]) await expectRefusals({ manager }, /no EntityManager/);
  });

  it('if everywhere is asked for', async () => {
    await dataSource.transaction(async (manager) => {
      // @ts-expect-error: the types refuse it, too
      const revoked = keys.revoke(issued.apiKey.id, { everywhere: true }, {}, { manager });
      await expect(revoked).rejects.toMatchObject({
        name: 'ApiKeyTransactionError',
        message: expect.stringMatching(/everywhere.*after the commit/),
      });
    });
  });

  it('if manager is in another argument, or if the call takes none', async () => {
    const { id, userId } = issued.apiKey;
    await dataSource.transaction(async (manager) => {
      const misplaced = { manager } as object;
      for (const call of [
        // @ts-expect-error: the types refuse it, too
        () => keys.create({ userId, name: 'ci' }, { manager }),
        () => keys.create({ userId, name: 'ci' }, misplaced),
        () => keys.update(id, { name: 'n' }, misplaced),
        () => keys.rotate(id, misplaced),
        () => keys.rotate(id, {}, misplaced),
        () => keys.revoke(id, misplaced),
        () => keys.revoke(id, {}, misplaced),
        () => keys.revokeAll({ userId }, misplaced),
        () => keys.disable(id, {}, misplaced),
        () => keys.enable(id, {}, misplaced),
        () => keys.delete(id, misplaced),
        () => keys.get(id, misplaced),
        () => keys.list({}, misplaced),
      ])
        await expect(call()).rejects.toMatchObject({
          name: 'ApiKeyTransactionError',
          message: expect.stringMatching(/last argument/),
        });
    });
  });
});

it('a manager of another copy of TypeORM works', async () => {
  let copy: typeof import('typeorm') | undefined;
  jest.isolateModules(() => {
    copy = require('typeorm');
  });
  const { DataSource: OtherDataSource } = copy as typeof import('typeorm');
  expect(OtherDataSource).not.toBe(DataSource);
  const another = await new OtherDataSource({
    type: 'postgres',
    url: database,
    entities: [ApiKey],
  }).initialize();
  const app = await NestFactory.createApplicationContext(ApiKeyModule.forRoot({ dataSource: another }), {
    logger: false,
    abortOnError: false,
  });
  const service = app.get(ApiKeyService);
  const { key } = await another.transaction(async (manager) =>
    service.create({ userId: await insertUser(manager), name: 'ci' }, {}, { manager }),
  );
  expect(await service.verify(key)).toMatchObject({ ok: true });
  expect(another.subscribers).toHaveLength(2);
  await app.close();
  expect(another.subscribers).toEqual([]);
  await another.destroy();
});
