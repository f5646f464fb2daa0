import fc from 'fast-check';
import { Client } from 'pg';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

const ONE_HOUR_MS = 3_600_000;
const ROUNDS = 100;
const KEYS = 100;
/** A hundred keys at once wait for ten connections, on a machine that is busy on purpose. */
const PATIENCE_MS = 60_000;

/** What happens to one key in a round, in this order; each step starts when the one before it has ended, or at once. */
const SCHEDULE = fc.record({
  steps: fc.shuffledSubarray(
    ['use', 'use elsewhere', 'update', 'revoke', 'flush', 'flush elsewhere'] as const,
    {
      minLength: 2,
    },
  ),
  waits: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
});
type Schedule = typeof SCHEDULE extends fc.Arbitrary<infer T> ? T : never;

interface State {
  readonly last_used_at: Date | null;
  readonly revoked_at: Date | null;
  readonly name: string;
}

let database: string;
let userId: string;
const running: TestApp[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
});

async function instance(lastUsedIntervalMs = ONE_HOUR_MS): Promise<TestApp> {
  const options = { lastUsedIntervalMs, lookUpTimeoutMs: PATIENCE_MS };
  const app = await bootApp({ database, options, connectTimeoutMs: PATIENCE_MS });
  running.push(app);
  return app;
}

/** Writes what an instance noted, as its timer does. */
function flush(app: TestApp): Promise<void> {
  return (app.keys as unknown as { lastUsed: { flush(): Promise<void> } }).lastUsed.flush();
}

const states = async () => {
  const rows = await sql<State & { id: string }>(
    database,
    'SELECT id, last_used_at, revoked_at, name FROM api_keys',
  );
  return new Map(rows.map(({ id, ...state }) => [id, state]));
};

const now = async () =>
  (await sql<{ at: Date }>(database, 'SELECT clock_timestamp() AS at'))[0]?.at ?? new Date();

it('of ten thousand random schedules of uses, flushes, updates and revocations none loses an update, undoes a revocation or sets a use back', async () => {
  const [one, other] = [await instance(), await instance()];
  const outcome = { revoked: 0, updated: 0, used: 0 };

  const play = async (key: string, id: string, { steps, waits }: Schedule) => {
    const done: Promise<unknown>[] = [];
    const did = { used: false, revoked: false, name: null as string | null };
    const act: Record<Schedule['steps'][number], () => Promise<unknown>> = {
      use: async () => {
        if (await one.keys.authenticate(key)) did.used = true;
      },
      'use elsewhere': async () => {
        if (await other.keys.authenticate(key)) did.used = true;
      },
      update: async () => {
        const updated = await other.keys.update(id, { name: `changed ${id}` }).catch(() => null);
        if (updated) did.name = updated.name;
      },
      revoke: async () => {
        did.revoked = (await one.keys.revoke(id)) !== null;
      },
      flush: () => flush(one),
      'flush elsewhere': () => flush(other),
    };
    for (const [at, step] of steps.entries()) {
      const ended = act[step]();
      done.push(ended);
      if (waits[at]) await ended;
    }
    await Promise.all(done);
    return did;
  };

  await fc.assert(
    fc.asyncProperty(fc.array(SCHEDULE, { minLength: KEYS, maxLength: KEYS }), async (schedules) => {
      const issued = await Promise.all(schedules.map(() => one.keys.create({ userId, name: 'ci' })));
      const began = await now();
      const played = await Promise.all(
        schedules.map((schedule, i) => play(issued[i]?.key ?? '', issued[i]?.apiKey.id ?? '', schedule)),
      );
      const between = await states();
      await Promise.all([flush(one), flush(other)]);
      const after = await states();
      for (const [i, did] of played.entries()) {
        const id = issued[i]?.apiKey.id ?? '';
        const [was, is] = [between.get(id), after.get(id)];
        outcome.used += Number(did.used);
        outcome.revoked += Number(did.revoked);
        outcome.updated += Number(did.name !== null);
        expect(is?.name).toBe(did.name ?? 'ci');
        expect(is?.revoked_at !== null).toBe(did.revoked);
        expect(is?.revoked_at).toEqual(was?.revoked_at);
        expect(is?.last_used_at !== null).toBe(did.used);
        if (did.used) expect(Number(is?.last_used_at)).toBeGreaterThanOrEqual(Number(began));
        expect(Number(is?.last_used_at ?? 0)).toBeGreaterThanOrEqual(Number(was?.last_used_at ?? 0));
      }
      await sql(database, 'DELETE FROM api_keys');
    }),
    { numRuns: ROUNDS, endOnFailure: true },
  );
  for (const times of Object.values(outcome)) expect(times).toBeGreaterThan(1_000);
}, 300_000);

it('a million authentications of a hundred keys within a minute send six UPDATE statements, and one at shutdown', async () => {
  jest.useFakeTimers({
    doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'setTimeout', 'performance', 'Date'],
  });
  try {
    const app = await instance(10_000);
    const keys: string[] = [];
    while (keys.length < 100) keys.push((await app.keys.create({ userId, name: 'ci' })).key);
    const query = jest.spyOn(Client.prototype, 'query');
    const sent = (statement: RegExp) =>
      query.mock.calls.filter(([text]) => statement.test(String(text))).length;
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 16_667; i++) await app.keys.authenticate(keys[i % keys.length]);
      jest.advanceTimersByTime(1_000);
      await new Promise(setImmediate);
      if (second % 10 === 9) await flush(app);
    }
    await running.pop()?.close();
    expect([6, 7]).toContain(sent(/UPDATE \S+ k SET/));
    expect(sent(/INSERT INTO \S*usage/)).toBeLessThanOrEqual(2);
    query.mockRestore();
  } finally {
    jest.useRealTimers();
  }
}, 300_000);
