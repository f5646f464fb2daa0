// Mutates the code of the named rooms of `stryker.rooms.js`, or of all rooms. Fails if the tests
// kill too few mutants. All mutants share one PostgreSQL server. Options after `--` are passed to
// Stryker: `npm run stryker credential -- --mutate '**/scope.ts'`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openDatabase } from '../dist/src/database/open-database.js';
import { useEmbeddedPostgres } from '../dist/src/embedded-postgres/index.js';
import { ROOMS } from '../stryker.rooms.js';

/** Minimum percentage of killed mutants over all named rooms. */
const LEAST = 85;
const TEMPLATE = 'migrated_template';
/** Maximum duration of a spec, in milliseconds. */
const SPEC_MS = 120_000;
const SETTINGS = ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off', 'max_connections=300'];

const given = process.argv.slice(2);
const end = given.findIndex((argument) => argument.startsWith('-'));
const [named, options] = end < 0 ? [given, []] : [given.slice(0, end), given.slice(end)];

async function createTemplate(server) {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  await client.query(`CREATE DATABASE ${TEMPLATE}`);
  await client.end();
  const url = new URL(server);
  url.pathname = `/${TEMPLATE}`;
  await (await openDatabase(url.href)).destroy();
}

/**
 * Drops databases that specs left behind, at an interval of SPEC_MS. A database is dropped if it
 * also existed at the previous interval.
 */
function dropLeftBehind(server) {
  const pool = new pg.Pool({ connectionString: server, max: 1 });
  let before = new Set();
  const drop = async () => {
    const { rows } = await pool.query(
      `SELECT datname AS name FROM pg_database WHERE datname LIKE 'test\\_%'`,
    );
    const names = rows.map(({ name }) => name);
    for (const name of names.filter((name) => before.has(name)))
      await pool.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    before = new Set(names);
  };
  const timer = setInterval(() => drop().catch((error) => console.error(error.message)), SPEC_MS);
  return async () => {
    clearInterval(timer);
    await pool.end();
  };
}

async function mutate(room, server) {
  const env = { ...process.env, STRYKER_ROOM: room, TEST_POSTGRES_URL: server };
  const [status] = await once(
    spawn('npx', ['stryker', 'run', ...options], { stdio: 'inherit', env }),
    'exit',
  );
  if (status !== 0) throw new Error(`Stryker ended with ${status} in ${room}`);
  const { files } = JSON.parse(readFileSync(`coverage/mutation/${room}.json`, 'utf8'));
  const states = Object.values(files).flatMap(({ mutants }) => mutants.map(({ status: state }) => state));
  const count = (...wanted) => states.filter((state) => wanted.includes(state)).length;
  return { noticed: count('Killed', 'Timeout'), missed: count('Survived', 'NoCoverage') };
}

function tell(name, { noticed, missed }) {
  const score = (100 * noticed) / (noticed + missed);
  console.log(`${score.toFixed(2)} % of ${noticed + missed} mutants noticed in ${name}`);
  return score;
}

const dataDir = mkdtempSync(join(tmpdir(), 'nestjs-api-key-stryker-'));
chmodSync(dataDir, 0o755);
const server = await useEmbeddedPostgres({ dataDir, settings: SETTINGS });
const stopDropping = dropLeftBehind(server.url);
try {
  await createTemplate(server.url);
  const found = [];
  for (const room of named.length > 0 ? named : Object.keys(ROOMS))
    found.push([room, await mutate(room, server.url)]);
  for (const [room, counts] of found) tell(room, counts);
  const sum = (of) => found.reduce((total, [, counts]) => total + counts[of], 0);
  if (tell('all', { noticed: sum('noticed'), missed: sum('missed') }) < LEAST) process.exitCode = 1;
} finally {
  await stopDropping();
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
