import fc from 'fast-check';
import { bootApp, type TestApp } from './app';
import { createUser, sql } from './database';

/** Number of keys that are changed at the same time. */
const KEYS = 100;
const ONE_HOUR_MS = 3_600_000;
/**
 * Milliseconds that a statement may wait. A hundred keys share ten connections on a machine that is
 * busy on purpose.
 */
const PATIENCE_MS = 60_000;

/**
 * Steps for one key in a round, in order. Each step starts at once, or after the previous step has
 * ended.
 */
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

/** Numbers of keys that were revoked, updated and used in a run. */
export interface Outcome {
  revoked: number;
  updated: number;
  used: number;
}

/** Starts an instance that writes last uses at this interval. `flush` writes them earlier. */
export function lastUsedInstance(database: string, lastUsedIntervalMs = ONE_HOUR_MS): Promise<TestApp> {
  const options = { usage: { lastUsedIntervalMs }, cache: { lookUpTimeoutMs: PATIENCE_MS } };
  return bootApp({ database, options, connectTimeoutMs: PATIENCE_MS });
}

/** Writes the pending last uses of an instance, in the same way as the timer of the instance. */
export function flush(app: TestApp): Promise<void> {
  const { raw } = app.keys as unknown as { raw: { uses: { lastUsed: { flush(): Promise<void> } } } };
  return raw.uses.lastUsed.flush();
}

async function states(database: string): Promise<Map<string, State>> {
  const rows = await sql<State & { id: string }>(
    database,
    'SELECT id, last_used_at, revoked_at, name FROM api_keys',
  );
  return new Map(rows.map(({ id, ...state }) => [id, state]));
}

async function clockOf(database: string): Promise<Date> {
  const [row] = await sql<{ at: Date }>(database, 'SELECT clock_timestamp() AS at');
  return row?.at ?? new Date();
}

/** The events of one key in a round. */
interface Played {
  used: boolean;
  revoked: boolean;
  name: string | null;
}

/** Runs the steps of a schedule for one key on two instances. */
async function play(
  [one, other]: readonly [TestApp, TestApp],
  key: string,
  id: string,
  { steps, waits }: Schedule,
): Promise<Played> {
  const done: Promise<unknown>[] = [];
  const did: Played = { used: false, revoked: false, name: null };
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
}

/**
 * Runs rounds of random schedules with a hundred keys each. Fails if a change is lost or undone.
 */
export async function playSchedules(database: string, rounds: number): Promise<Outcome> {
  const userId = await createUser(database);
  const instances = [await lastUsedInstance(database), await lastUsedInstance(database)] as const;
  const [one, other] = instances;
  const outcome = { revoked: 0, updated: 0, used: 0 };
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(SCHEDULE, { minLength: KEYS, maxLength: KEYS }), async (schedules) => {
        const issued = await Promise.all(schedules.map(() => one.keys.create({ userId, name: 'ci' })));
        const began = await clockOf(database);
        const played = await Promise.all(
          schedules.map((schedule, i) =>
            play(instances, issued[i]?.key ?? '', issued[i]?.apiKey.id ?? '', schedule),
          ),
        );
        const between = await states(database);
        await Promise.all([flush(one), flush(other)]);
        const after = await states(database);
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
      { numRuns: rounds, endOnFailure: true },
    );
  } finally {
    await Promise.all(instances.map((app) => app.close()));
  }
  return outcome;
}
