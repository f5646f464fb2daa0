import { nameOf, type Plan, type Subject, subjectsOf } from './plan';
import { ServerProcess } from './server-process';
import { type Turn, takeTurn, warmUp } from './turn';

/** All turns of a subject, one a round. */
export interface Measurement {
  readonly subject: Subject;
  readonly turns: readonly Turn[];
}

/** What a measurement needs beside its plan. */
interface Surroundings {
  /** Connection string of a database that holds the keys. */
  readonly databaseUrl: string;
  /** Connection string of a Redis; null: what needs one is not measured. */
  readonly redisUrl: string | null;
  readonly keys: readonly string[];
  /** Told how far it is. */
  readonly report: (line: string) => void;
  /** Ends the servers, and with them the measurement. */
  readonly signal: AbortSignal;
}

/**
 * Measures all subjects, each in a process of its own.
 * @throws Error where any request fails, or a guarded route answers a request without a key
 */
export async function measure(plan: Plan, surroundings: Surroundings): Promise<Measurement[]> {
  const { databaseUrl, redisUrl, keys, signal } = surroundings;
  signal.throwIfAborted();
  const servers = subjectsOf(plan, redisUrl !== null).map((subject) =>
    ServerProcess.fork({ subject, databaseUrl, redisUrl, keys }),
  );
  const stopAll = () => Promise.all(servers.map((server) => server.stop()));
  signal.addEventListener('abort', () => void stopAll());
  try {
    return await measureInTurn(servers, plan, surroundings);
  } finally {
    await stopAll();
  }
}

/** Round after round with all subjects in each, so that a noisy machine hurts all alike. */
async function measureInTurn(
  servers: readonly ServerProcess[],
  plan: Plan,
  { keys, report }: Surroundings,
): Promise<Measurement[]> {
  report('Starting ...');
  for (const server of servers) await naming(server, server.port());
  report('Warming up ...');
  for (const server of servers) await naming(server, warmUp(server, plan, keys));
  const measurements = servers.map((server) => ({ server, turns: [] as Turn[] }));
  for (let round = 1; round <= plan.rounds; round++) {
    report(`Round ${round} of ${plan.rounds} ...`);
    for (const { server, turns } of measurements)
      turns.push(await naming(server, takeTurn(server, plan, keys)));
  }
  return measurements.map(({ server, turns }) => ({ subject: server.subject, turns }));
}

/** Says of an error which subject it is about. */
async function naming<T>({ subject }: ServerProcess, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${nameOf(subject)}: ${message}`, { cause: error });
  }
}
