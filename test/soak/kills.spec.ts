import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { createMigratedDatabase, createUser, sql, untilAlone } from '../support/database';

const KILLS = 100;
const AT_ONCE = 2;
/** A program is killed after fewer changes than this, and so many milliseconds at most. */
const CHANGES = 20;
const WITHIN_MS = 10;

let database: string;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

/** The changes that a program acknowledged until it was killed, as words. */
async function killOne(): Promise<string[][]> {
  const child = spawn(process.execPath, [join(__dirname, '../fixtures/change-keys.cjs')], {
    env: { ...process.env, DATABASE_URL: database, USER_ID: userId },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const acknowledged: string[][] = [];
  const lines = createInterface(child.stdout);
  const ready = once(lines, 'line');
  lines.on('line', (line) => acknowledged.push(line.split(' ')));
  await ready;
  const enough = 1 + Math.floor(Math.random() * CHANGES);
  while (acknowledged.length < enough) await once(lines, 'line');
  await delay(Math.random() * WITHIN_MS);
  child.kill('SIGKILL');
  const [, signal] = await once(child, 'close');
  expect(signal).toBe('SIGKILL');
  return acknowledged.slice(1);
}

async function killMany(count: number): Promise<string[][]> {
  const acknowledged: string[][] = [];
  for (let i = 0; i < count; i++) acknowledged.push(...(await killOne()));
  return acknowledged;
}

/** The ids that a query answers, as text. */
const idsOf = async (query: string) =>
  (await sql<{ id: string }>(database, query)).map(({ id }) => String(id)).sort();

const eventsOf = (type: string, id = 'key_id') =>
  idsOf(`SELECT ${id} AS id FROM api_key_events WHERE type = '${type}'`);

it('a hundred processes that are killed at random leave no partial change, and lose no acknowledged change', async () => {
  const acknowledged = (
    await Promise.all(
      Array(AT_ONCE)
        .fill(KILLS / AT_ONCE)
        .map(killMany),
    )
  ).flat();
  await untilAlone(database);
  const acknowledgedOf = (what: string, at = 1) =>
    acknowledged.filter(([word]) => word === what).map((words) => words[at] ?? '');
  const [created, rotated, successors, revoked] = await Promise.all([
    idsOf('SELECT id FROM api_keys'),
    idsOf('SELECT replaces_id AS id FROM api_keys WHERE replaces_id IS NOT NULL'),
    idsOf('SELECT id FROM api_keys WHERE replaces_id IS NOT NULL'),
    idsOf('SELECT id FROM api_keys WHERE revoked_at IS NOT NULL AND expires_at IS NOT NULL'),
  ]);
  process.stdout.write(
    `${KILLS} kills, ${acknowledged.length} changes acknowledged, ${created.length} keys\n`,
  );
  expect(acknowledged.length).toBeGreaterThan(KILLS);

  expect(created).toEqual(
    expect.arrayContaining([...acknowledgedOf('created'), ...acknowledgedOf('rotated', 2)]),
  );
  expect(rotated).toEqual(expect.arrayContaining(acknowledgedOf('rotated')));
  expect(revoked).toEqual(expect.arrayContaining(acknowledgedOf('revoked')));

  expect(await eventsOf('created')).toEqual(created);
  expect(await eventsOf('rotated')).toEqual(rotated);
  expect(await eventsOf('rotated', `details->>'successorId'`)).toEqual(successors);
  expect(await eventsOf('revoked')).toEqual(revoked);
  expect(await idsOf('SELECT id FROM api_keys WHERE revoked_at IS NOT NULL')).toEqual(revoked);
  const ended = await idsOf('SELECT id FROM api_keys WHERE expires_at IS NOT NULL');
  expect(ended).toEqual([...rotated, ...revoked].sort());
}, 600_000);
