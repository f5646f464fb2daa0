import { nameOf, type Plan, type Subject, subjectsOf } from './plan';
import { ServerProcess } from './server-process';
import { type Turn, takeTurn, warmUp } from './turn';

/** A subject and its turns, one turn for each round. */
export interface Measurement {
  readonly subject: Subject;
  readonly turns: readonly Turn[];
}

/** Settings of a measurement other than its plan. */
interface Surroundings {
  /** Connection string of a database that contains the keys. */
  readonly databaseUrl: string;
  /** Connection string of a Redis. If `null`, variants that need Redis are not measured. */
  readonly redisUrl: string | null;
  readonly keys: readonly string[];
  /** Receives progress messages. */
  readonly report: (line: string) => void;
  /** Signal that stops the servers and makes the measurement fail. */
  readonly signal: AbortSignal;
}

/**
 * Measures all subjects, each in a separate process.
 * @throws Error if a request fails, or if a guarded route accepts a request without a key
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

/** Runs all subjects in every round, so that noise of the machine affects all subjects alike. */
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

/** Adds the name of the subject to an error. */
async function naming<T>({ subject }: ServerProcess, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${nameOf(subject)}: ${message}`, { cause: error });
  }
}
