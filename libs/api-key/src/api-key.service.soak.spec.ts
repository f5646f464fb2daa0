import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DataSource } from 'typeorm';
import { bootApp, type TestApp } from '../../../test/support/app';
import { createMigratedDatabase } from '../../../test/support/database';
import { until } from '../../../test/support/until';
import { mintKey } from './credential/format';

const CACHE_SIZE = 1_000;
const TOGETHER = 1_000;
/** Of so many keys one is well-formed, and asks the database. */
const WELL_FORMED_EVERY = 20;

let app: TestApp;

beforeAll(async () => {
  app = await bootApp({
    database: await createMigratedDatabase(),
    options: {
      cache: { size: CACHE_SIZE, lookUpTimeoutMs: 60_000, leaseMs: 60_000, heartbeatMs: 30_000 },
      usage: { lastUsedIntervalMs: 3_600_000, intervalMs: 3_600_000 },
    },
    connectTimeoutMs: 60_000,
  });
  await until(() => app.keys.verificationStatus.leaseHeld);
});

afterAll(() => app.close());

/** Statements that the pool is given from now on; a spy would keep each of them. */
function countStatements(): () => number {
  const { master } = app.app.get(DataSource).driver as unknown as {
    master: { connect: (...how: unknown[]) => unknown };
  };
  const connect = master.connect.bind(master);
  let statements = 0;
  master.connect = (...how) => {
    statements += 1;
    return connect(...how);
  };
  return () => statements;
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}

const withWrongChecksum = () => `key_${randomBytes(25).toString('hex').slice(1)}`;
const randomKey = (_: unknown, i: number) =>
  i % WELL_FORMED_EVERY === 0 ? mintKey('checksummed', 'key') : withWrongChecksum();

it('a million random keys leave at most as many cache entries as the caps allow, and a key with a wrong checksum costs no statement', async () => {
  const collect = garbageCollector();
  const statements = countStatements();
  const reasons = new Map<string, number>();
  const heapAfter = async (count: number) => {
    for (let asked = 0; asked < count; asked += TOGETHER) {
      const keys = Array.from({ length: TOGETHER }, randomKey);
      for (const result of await Promise.all(keys.map((key) => app.keys.verify(key)))) {
        const outcome = result.ok ? 'accepted' : result.reason;
        reasons.set(outcome, (reasons.get(outcome) ?? 0) + 1);
      }
    }
    collect();
    return process.memoryUsage().heapUsed;
  };
  const full = await heapAfter(100_000);
  const later = await heapAfter(900_000);
  expect(later - full).toBeLessThan(2_000_000);
  expect(Object.fromEntries(reasons)).toEqual({ malformed: 950_000, unknown: 50_000 });
  const before = statements();
  for (let i = 0; i < 10_000; i++) await app.keys.verify(withWrongChecksum());
  expect(statements()).toBe(before);
});
