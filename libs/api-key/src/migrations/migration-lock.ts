import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { QueryRunner } from 'typeorm';
import { flag, textOrNull } from '../database/fields';
import { printable } from '../model/printable';
import { row, rows, run } from './sql';

/** Key of the advisory lock: a number that no other application is likely to use. */
const LOCK = '4706327181153905';
const POLL_MS = 100;
const FIRST_REPORT_MS = 1_000;
const REPORT_EVERY_MS = 10_000;

/**
 * Waits for the advisory lock by polling. A statement that waits would hold a snapshot. A `CREATE
 * INDEX CONCURRENTLY` of the migrating instance would wait for this snapshot. After 1 s, and then
 * every 10 s, a warning says who holds the lock.
 */
export async function takeLock(runner: QueryRunner): Promise<void> {
  let reportAt = performance.now() + FIRST_REPORT_MS;
  while (!(await isTaken(runner))) {
    if (performance.now() >= reportAt) {
      await reportHolder(runner);
      reportAt = performance.now() + REPORT_EVERY_MS;
    }
    await delay(POLL_MS);
  }
}

/** Releases the lock of this session, if the session has it. */
export function releaseLock(runner: QueryRunner): Promise<void> {
  return run(runner, `SELECT pg_advisory_unlock(${LOCK})::text`);
}

async function isTaken(runner: QueryRunner): Promise<boolean> {
  return flag(await row(runner, `SELECT pg_try_advisory_lock(${LOCK})::text AS taken`), 'taken');
}

async function reportHolder(runner: QueryRunner): Promise<void> {
  const [holder] = await rows(
    runner,
    `SELECT pid::text AS pid, application_name AS application, host(client_addr) AS address, state,
       floor(extract(epoch FROM clock_timestamp() - state_change))::text AS seconds
     FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = $1::bigint
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [LOCK],
  );
  if (!holder) return; // the lock was released meanwhile
  const [pid, application, address] = ['pid', 'application', 'address'].map((name) =>
    textOrNull(holder, name),
  );
  const state = `${textOrNull(holder, 'state') ?? 'unknown'} for ${textOrNull(holder, 'seconds') ?? '?'} s`;
  new Logger('ApiKeyModule').warn(
    `runMigrations waits for another session that holds the lock of the migrations: pid ${pid}, ` +
      `application "${printable(application ?? '')}", address ${address ?? 'local'}, ${state}. ` +
      `If no instance migrates, for example because a pooler kept the session, end it: SELECT pg_terminate_backend(${pid}).`,
  );
}
