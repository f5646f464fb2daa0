import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type INestApplication, Logger } from '@nestjs/common';

/** The database of the app. `stop` does nothing if the app did not start this database. */
export interface Stoppable {
  stop(): Promise<void>;
}

const IDLE_CHECK_MS = 50;
/**
 * Milliseconds from the signal until all connections are closed (DRAIN_MS), and until the app is
 * abandoned (CLOSE_MS). After CLOSE_MS there is still time to stop the database.
 */
const DRAIN_MS = 3_500;
const CLOSE_MS = 4_000;
/** Maximum number of milliseconds from the signal to the end of the process. */
export const SHUT_DOWN_MS = 4_500;

/**
 * Stops the app, then its database, then this process, even if a step hangs.
 * @throws Error if the start of the app failed. Then the database has been stopped.
 */
export async function shutDown(
  starting: Promise<INestApplication>,
  database: Promise<Stoppable>,
): Promise<void> {
  const app = { step: 'the start' };
  const cutOff: string[] = [];
  setTimeout(() => exit([...cutOff, 'the stop of the database']), SHUT_DOWN_MS).unref();
  try {
    const closed = await Promise.race([startAndClose(starting, app, cutOff), delay(CLOSE_MS, false)]);
    if (!closed) cutOff.push(app.step);
  } finally {
    await database.then((own) => own.stop());
  }
  exit(cutOff);
}

async function startAndClose(
  starting: Promise<INestApplication>,
  app: { step: string },
  cutOff: string[],
): Promise<true> {
  const started = await starting;
  app.step = 'what was still to be written';
  await close(started, () => cutOff.push('requests in flight'));
  return true;
}

function exit(cutOff: readonly string[]): never {
  if (cutOff.length > 0) new Logger('App').error(`The time is up. Cut off: ${cutOff.join(', ')}.`);
  process.exit(cutOff.length > 0 ? 1 : 0);
}

async function close(app: INestApplication, cut: () => void): Promise<void> {
  const drained = drain(app.getHttpServer(), cut);
  await app.close();
  drained.end();
}

/** Closes idle connections while requests are in flight. Closes all connections after DRAIN_MS. */
function drain(server: Server, cut: () => void): { end(): void } {
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  const deadline = setTimeout(() => {
    cut();
    server.closeAllConnections();
  }, DRAIN_MS);
  return {
    end: () => {
      clearInterval(idle);
      clearTimeout(deadline);
    },
  };
}
