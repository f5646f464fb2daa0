import { randomInt } from 'node:crypto';
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { randomFrom } from '../test/support/random';
import { startDatabase } from './database';
import { type Comparison, compare } from './timing/comparison';
import { createRefusedKeys } from './timing/refused-keys';
import { type SamplePlan, takeSample } from './timing/sample';
import { comparisonTable } from './timing/table';
import { coldGuard, type Way, warmGuard, warmHttp } from './timing/ways';

const KEYS_OF_A_KIND = 2_000;
const LEAK = { kind: 'revoked', micros: 50 } as const;

/**
 * Default numbers of measurements of each way, for all four kinds of keys together. A comparison
 * uses two kinds, so it has one million measurements.
 */
const COUNTS = { warm: '2000000', cold: '2000000', http: '2000000' };

/**
 * Measures whether the response time reveals why a key is refused. Exits with code 1 if the
 * response time does.
 */
async function main(): Promise<void> {
  const { counts, leak, seed } = asked();
  const database = await startDatabase();
  try {
    report('Making keys ...');
    const refused = await createRefusedKeys(database.url, KEYS_OF_A_KIND);
    const plan = { keys: refused.keys, random: randomFrom(seed), leak: leak ? LEAK : null };
    const rows = [
      ...(await measure(() => warmGuard(database.url, refused), { ...plan, count: counts.warm })),
      ...(await measure(() => coldGuard(database.url, refused), { ...plan, count: counts.cold })),
      ...(await measure(() => warmHttp(database.url, refused), { ...plan, count: counts.http })),
    ];
    console.log(`${comparisonTable(rows)}\n\nSeed ${seed}.`);
    if (rows.some(([, { verdict }]) => verdict === 'TOLD APART')) process.exitCode = 1;
  } finally {
    await database.remove();
  }
}

/** Measures one way and compares the kinds of keys. Returns no comparison if `plan.count` is 0. */
async function measure(
  open: () => Promise<Way>,
  plan: Omit<SamplePlan, 'way'>,
): Promise<(readonly [string, Comparison])[]> {
  if (plan.count === 0) return [];
  const way = await open();
  try {
    report(`${plan.count.toLocaleString('en')} times: ${way.name} ...`);
    const blocks = await takeSample({ ...plan, way });
    return compare(blocks).map((comparison) => [way.name, comparison]);
  } finally {
    await way.close();
  }
}

function asked() {
  const { values } = parseArgs({
    options: {
      warm: { type: 'string', default: COUNTS.warm },
      cold: { type: 'string', default: COUNTS.cold },
      http: { type: 'string', default: COUNTS.http },
      seed: { type: 'string', default: String(randomInt(2 ** 31)) },
      leak: { type: 'boolean', default: false },
    },
  });
  const { leak, warm, cold, http, seed } = values;
  return { leak, seed: whole(seed), counts: { warm: whole(warm), cold: whole(cold), http: whole(http) } };
}

function whole(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Error(`${text} is no whole number`);
  return Number(text);
}

/** Writes to stderr, so that stdout contains only the table. */
function report(line: string): void {
  console.error(line);
}

/** Ends the process by `exit` on a signal. An `exit` handler removes the database. */
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(name, () => process.exit(128 + constants.signals[name]));

main().catch((error: unknown) => {
  report(String(error));
  process.exit(1);
});
