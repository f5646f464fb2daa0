import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import {
  type DataSource,
  DefaultNamingStrategy,
  type EntityManager,
  type EntitySubscriberInterface,
  EventSubscriber,
  type Logger,
} from 'typeorm';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { bootOn, type Ground, type GroundSettings, UNCACHED } from '../../support/ground';
import { schemaOf } from '../../support/schema';

let database: string;
let userId: string;
const running: Ground[] = [];

beforeAll(async () => {
  database = await createMigratedDatabase();
});
beforeEach(async () => {
  userId = await createUser(database);
});
afterEach(async () => {
  for (const each of running.splice(0)) await each.close();
});

async function boot(settings: GroundSettings): Promise<Ground> {
  const ground = await bootOn(database, { options: UNCACHED, ...settings });
  running.push(ground);
  return ground;
}

/**
 * Each kind of change once: whether a key is found, changed, rotated, listed, told of and ended.
 */
async function life({ keys }: Ground) {
  const first = await keys.create({ userId, name: 'ci', expiresAt: new Date(Date.now() + 3_600_000) });
  const found = await keys.get(first.apiKey.id);
  const changed = await keys.update(first.apiKey.id, { name: 'new' });
  const second = await keys.rotate(first.apiKey.id, { overlapSeconds: 0 });
  const { items } = await keys.list({ userId });
  const events = await keys.events(first.apiKey.id);
  const usage = await keys.usage(first.apiKey.id);
  await keys.revoke(String(second?.apiKey.id));
  return {
    found: found?.id === first.apiKey.id,
    name: changed?.name,
    listed: items.length,
    events: events?.items.length,
    usage: usage !== null,
    first: (await keys.verify(first.key)).ok,
    second: (await keys.verify(String(second?.key))).ok,
  };
}

const LIFE = { found: true, name: 'new', listed: 2, events: 3, usage: true, first: false, second: false };

class ShoutingColumns extends DefaultNamingStrategy {
  override columnName(property: string, custom: string, prefixes: string[]): string {
    return custom || `col_${super.columnName(property, custom, prefixes)}`;
  }
}

class PrefixedColumns extends DefaultNamingStrategy {
  override columnName(property: string, custom: string, prefixes: string[]): string {
    return `c_${super.columnName(property, custom, prefixes)}`;
  }
}

/** Hears of all entities, and takes each for one of its own. */
@EventSubscriber()
class Everything implements EntitySubscriberInterface {
  afterLoad(entity: { profile: { secret: string } }): void {
    entity.profile.secret = '';
  }
}

describe('a life of a key', () => {
  it.each([
    ['names columns that have no name', ShoutingColumns],
    ['names all columns anew', PrefixedColumns],
  ])('works if a naming strategy %s', async (_, Strategy) => {
    expect(await life(await boot({ typeorm: { namingStrategy: new Strategy() } }))).toEqual(LIFE);
  });

  it('works if a subscriber of the application fails for entities that are not its own', async () => {
    expect(await life(await boot({ typeorm: { subscribers: [Everything] } }))).toEqual(LIFE);
  });

  it('works on a pool of one connection', async () => {
    expect(
      await life(await boot({ typeorm: { extra: { max: 1, connectionTimeoutMillis: 2_000 } } })),
    ).toEqual(LIFE);
  });

  it.each([
    'REPEATABLE READ',
    'SERIALIZABLE',
  ])('works if the data source says isolationLevel %s', async (isolationLevel) => {
    expect(await life(await boot({ typeorm: { isolationLevel } }))).toEqual(LIFE);
  });

  it('works on a pool that closes each idle connection at once', async () => {
    const extra = { max: 1, idleTimeoutMillis: 1, maxUses: 2, maxLifetimeSeconds: 1, allowExitOnIdle: true };
    expect(await life(await boot({ typeorm: { extra } }))).toEqual(LIFE);
  });

  it.each(['throw', 'ignore', 'sql-null'])('works if invalidWhereValuesBehavior is %s', async (way) => {
    const invalidWhereValuesBehavior = { null: way, undefined: way === 'sql-null' ? 'ignore' : way };
    expect(await life(await boot({ typeorm: { invalidWhereValuesBehavior } }))).toEqual(LIFE);
  });

  it('works if relationLoadStrategy and isolateWhereStatements are set', async () => {
    const typeorm = { relationLoadStrategy: 'query', isolateWhereStatements: true, installExtensions: false };
    expect(await life(await boot({ typeorm }))).toEqual(LIFE);
  });
});

it('leaves the tables unchanged if the application synchronizes its schema', async () => {
  const before = await schemaOf(database);
  await boot({ typeorm: { synchronize: true } });
  expect(await schemaOf(database)).toEqual(before);
});

/** A logger of the application that keeps all that it is told. */
class Listening implements Logger {
  readonly said: string[] = [];
  private hear = (...given: unknown[]) =>
    this.said.push(inspect(given.slice(0, -1), { depth: 5, maxArrayLength: null }));
  logQuery = this.hear;
  logQueryError = this.hear;
  logQuerySlow = this.hear;
  logSchemaBuild = this.hear;
  logMigration = this.hear;
  log = this.hear;
}

const digestOf = (key: string) => createHash('sha256').update(key).digest('hex');

describe('the digest of a key', () => {
  it('is in no line of the data source logger', async () => {
    const logger = new Listening();
    const { keys } = await boot({ typeorm: { logger, logging: 'all', maxQueryExecutionTime: 1 } });
    const { key, apiKey } = await keys.create({ userId, name: 'ci' });
    await keys.verify(key);
    await keys.rotate(apiKey.id);
    expect(logger.said.join('\n').length).toBeGreaterThan(0);
    expect(logger.said.join('\n')).not.toContain(digestOf(key));
  });

  it('is in no error of a key that could not be stored', async () => {
    const { keys } = await boot({});
    await sql(database, `ALTER TABLE api_keys ADD CONSTRAINT never CHECK (name <> 'never')`);
    const error = await keys.create({ userId, name: 'never' }).catch((reason: unknown) => reason);
    await sql(database, 'ALTER TABLE api_keys DROP CONSTRAINT never');
    expect(inspect(error, { depth: 10 })).not.toMatch(/[0-9a-f]{64}/);
  });
});

const managers = new AsyncLocalStorage<EntityManager>();

/**
 * What `typeorm-transactional` does to a data source: what is asked of it runs in the transaction
 * of the caller.
 */
function followTransactions(dataSource: DataSource): void {
  const own = dataSource.manager;
  Object.defineProperty(dataSource, 'manager', { configurable: true, get: () => managers.getStore() ?? own });
  const query = dataSource.query.bind(dataSource);
  Object.assign(dataSource, {
    query: (text: string, values?: unknown[], runner = managers.getStore()?.queryRunner) =>
      query(text, values as never, runner as never),
    transaction: (...given: unknown[]) => Reflect.apply(own.transaction, own, given),
    createQueryBuilder: (...given: unknown[]) => {
      const runner = managers.getStore()?.queryRunner;
      const { prototype } = Object.getPrototypeOf(dataSource).constructor;
      return Reflect.apply(
        prototype.createQueryBuilder,
        dataSource,
        given.length > 1 ? [...given.slice(0, 2), given[2] ?? runner] : [given[0] ?? runner],
      );
    },
  });
}

/** Runs as in a method with `@Transactional()`, which ends by an error. */
async function rolledBack(
  dataSource: DataSource,
  work: (manager: EntityManager) => Promise<unknown>,
): Promise<void> {
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction('REPEATABLE READ');
  await runner.query('SELECT count(*) FROM api_keys');
  try {
    await managers.run(runner.manager, () => work(runner.manager));
  } finally {
    await runner.rollbackTransaction();
    await runner.release();
  }
}

describe('inside a transaction of the application in the asynchronous context', () => {
  it('revokes permanently even if the transaction of the application is rolled back', async () => {
    const { keys, dataSource } = await boot({ prepare: followTransactions });
    const { key, apiKey } = await keys.create({ userId, name: 'ci' });
    await rolledBack(dataSource, () => keys.revoke(apiKey.id));
    expect(await keys.verify(key)).toMatchObject({ ok: false });
  });

  it('shows a key as revoked even if the transaction of the application began before', async () => {
    const { keys, dataSource } = await boot({ prepare: followTransactions });
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await rolledBack(dataSource, async () => {
      await sql(database, 'UPDATE api_keys SET revoked_at = now() WHERE id = $1', [apiKey.id]);
      expect((await keys.get(apiKey.id))?.revokedAt).toBeInstanceOf(Date);
    });
  });

  it('returns the events of a key even if the transaction of the application began before', async () => {
    const { keys, dataSource } = await boot({ prepare: followTransactions });
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await rolledBack(dataSource, async () => {
      await keys.update(apiKey.id, { name: 'new' });
      expect((await keys.events(apiKey.id))?.items.map(({ type }) => type)).toEqual(['updated', 'created']);
    });
  });

  it('prunes permanently even if the transaction of the application is rolled back', async () => {
    const { keys, dataSource } = await boot({ prepare: followTransactions });
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await sql(
      database,
      `UPDATE api_key_events SET created_at = now() - interval '9 years' WHERE key_id = $1`,
      [apiKey.id],
    );
    await rolledBack(dataSource, () => keys.prune({ eventsOlderThanDays: 1_000 }));
    expect(await sql(database, 'SELECT FROM api_key_events WHERE key_id = $1', [apiKey.id])).toEqual([]);
  });

  it('leaves the transaction of the application usable if a statement of the library fails', async () => {
    const { keys, dataSource } = await boot({ prepare: followTransactions });
    await rolledBack(dataSource, async (manager) => {
      await keys.list({ userId: 'not a number' }).catch(() => {});
      expect(await manager.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });
  });
});
