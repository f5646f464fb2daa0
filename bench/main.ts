import { constants } from 'node:os';
import { hasRedis, testRedis } from '../test/support/redis';
import { startDatabase } from './database';
import { createKeys } from './keys';
import { measure } from './measure';
import { FULL_PLAN, type Plan, QUICK_PLAN } from './plan';
import { ratiosOf } from './ratios';
import { savePicture, saveResults, saveScale } from './results';
import { measureScale, scaleTable } from './scale';
import { summarize } from './summary';
import { ratioTable, summaryTable } from './table';

async function main(plan: Plan, signal: AbortSignal): Promise<void> {
  const start = performance.now();
  const database = await startDatabase();
  try {
    if (process.argv.includes('--scale')) return await showScale(database.url);
    const summaries = summarize(
      await withRedis(plan, (redisUrl) => measureOn(database.url, redisUrl, plan, signal)),
    );
    const ratios = ratiosOf(summaries);
    console.log(`${summaryTable(summaries)}\n\n${ratioTable(ratios)}`);
    report(`Saved as ${saveResults(plan, summaries, ratios)}.`);
    if (!plan.quick) report(`Drawn as ${savePicture(summaries)}.`);
  } finally {
    await database.remove();
  }
  report(`Took ${Math.round((performance.now() - start) / 1_000)} s.`);
}

async function measureOn(databaseUrl: string, redisUrl: string | null, plan: Plan, signal: AbortSignal) {
  const keys = await createKeys(databaseUrl, plan.keys);
  return measure(plan, { databaseUrl, redisUrl, keys, report, signal });
}

/**
 * Runs `work` with the connection string of a Redis, or with `null`. It is `null` if the plan is
 * quick, or if neither `REDIS_URL` nor `redis-server` exists.
 */
async function withRedis<T>({ quick }: Plan, work: (url: string | null) => Promise<T>): Promise<T> {
  if (quick) return work(null);
  if (!hasRedis)
    report('There is no REDIS_URL and no redis-server: limits counted in Redis are not measured.');
  const redis = hasRedis ? await testRedis() : null;
  try {
    return await work(redis?.url ?? null);
  } finally {
    await redis?.stop();
  }
}

async function showScale(serverUrl: string): Promise<void> {
  const scales = await measureScale(serverUrl, report);
  console.log(scaleTable(scales));
  report(`Saved as ${saveScale(scales)}.`);
}

/**
 * Returns a signal that is aborted at the first SIGINT, SIGTERM or SIGHUP. The process continues,
 * so that it can remove the database.
 */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      process.exitCode ??= 128 + constants.signals[name];
      controller.abort();
    });
  }
  return controller.signal;
}

/** Writes to stderr, so that stdout contains only the results. */
function report(line: string): void {
  console.error(line);
}

const plan = process.argv.includes('--quick') ? QUICK_PLAN : FULL_PLAN;
const interrupted = interruption();

main(plan, interrupted).catch((error: unknown) => {
  report(interrupted.aborted ? 'Interrupted.' : String(error));
  process.exit(process.exitCode ?? 1);
});
