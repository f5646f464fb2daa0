import { randomInt } from 'node:crypto';
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { type Checkouts, checkOut } from './compare/checkout';
import { compareRevisions, prepareRevision } from './compare/measure';
import { type ComparePlan, FULL_COMPARE_PLAN, QUICK_COMPARE_PLAN } from './compare/plan';
import { allocationTable, ratioTable } from './compare/table';
import { startDatabase } from './database';

interface Asked {
  readonly revision: string;
  readonly plan: ComparePlan;
  readonly seed: number;
}

/** Compares the library of this checkout with the library of another revision. */
async function main({ revision, plan, seed }: Asked): Promise<void> {
  const start = performance.now();
  report(`Building ${revision} ...`);
  const checkouts = await checkOut(revision);
  const database = await startDatabase();
  try {
    await compare(checkouts, database.url, plan, seed);
  } finally {
    await database.remove();
    checkouts.remove();
  }
  report(`Took ${Math.round((performance.now() - start) / 1_000)} s.`);
}

async function compare(
  { old, new: current, commit }: Checkouts,
  serverUrl: string,
  plan: ComparePlan,
  seed: number,
): Promise<void> {
  const prepare = async (folder: string, name: string) =>
    prepareRevision({ folder, databaseUrl: await createDatabase(serverUrl, name) }, plan.keys);
  const revisions = {
    old: await prepare(old, 'old_revision'),
    new: await prepare(current, 'new_revision'),
  };
  const compared = await compareRevisions(revisions, { plan, seed, report });
  console.log(`Old is ${commit}; new is this checkout. Seed ${seed}.\n`);
  console.log(`${ratioTable(compared)}\n\n${allocationTable(compared)}`);
}

/** @returns the connection string of the new database */
async function createDatabase(serverUrl: string, name: string): Promise<string> {
  const client = new Client({ connectionString: serverUrl });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${name}`);
  } finally {
    await client.end();
  }
  return Object.assign(new URL(serverUrl), { pathname: `/${name}` }).href;
}

function asked(): Asked {
  const { values } = parseArgs({
    options: {
      compare: { type: 'string' },
      quick: { type: 'boolean', default: false },
      seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    },
  });
  const { compare: revision, quick, seed } = values;
  if (!revision) throw new Error('--compare needs a revision: npm run bench -- --compare main');
  if (!/^\d{1,10}$/.test(seed)) throw new Error(`--seed takes a whole number, not ${seed}`);
  return { revision, plan: quick ? QUICK_COMPARE_PLAN : FULL_COMPARE_PLAN, seed: Number(seed) };
}

/** Writes to stderr, so that stdout contains only the table. */
function report(line: string): void {
  console.error(line);
}

/**
 * Ends the process by `exit` on a signal. The `exit` handlers remove the database and the folder of
 * the revisions.
 */
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(name, () => process.exit(128 + constants.signals[name]));

Promise.resolve()
  .then(() => main(asked()))
  .catch((error: unknown) => {
    report(error instanceof Error ? error.message : String(error));
    process.exit(1);
  });
