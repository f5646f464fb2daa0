import { Agent, get } from 'node:http';

/** One request of a load, on the clock of `performance.now`. */
export interface Call {
  /** Number of the instance that was asked. */
  readonly at: number;
  readonly key: string;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Of the answer; 0 where the connection broke. */
  readonly status: number;
}

const TICK_MS = 5;
/** Less than the servers keep an idle connection, so that none is closed just as it is used. */
const IDLE_MS = 3_000;
const MOST_IN_FLIGHT = 128;

/** Asks each instance so many times a second, whatever the answers, with the key that `pick` names. */
export class Load {
  readonly calls: Call[] = [];
  private readonly agents: readonly Agent[];
  private readonly inFlight: Set<Promise<unknown>>[];
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly urls: readonly string[],
    perSecond: number,
    private readonly pick: () => string,
  ) {
    this.agents = urls.map(() => new Agent({ keepAlive: true, timeout: IDLE_MS }));
    this.inFlight = urls.map(() => new Set());
    const start = performance.now();
    let sent = 0;
    this.timer = setInterval(() => {
      for (const due = ((performance.now() - start) * perSecond) / 1_000; sent < due; sent++)
        for (const at of urls.keys()) this.send(at);
    }, TICK_MS);
  }

  /** Ends it, and waits for the answers that are due. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.inFlight.flatMap((calls) => [...calls]));
    for (const agent of this.agents) agent.destroy();
  }

  private send(at: number): void {
    const inFlight = this.inFlight[at] as Set<Promise<unknown>>;
    if (inFlight.size >= MOST_IN_FLIGHT) return;
    const answer = call(this.urls, at, this.pick(), this.agents[at]).then((made) => {
      this.calls.push(made);
      inFlight.delete(answer);
    });
    inFlight.add(answer);
  }
}

/** One request with a key. */
export function call(urls: readonly string[], at: number, key: string, agent?: Agent): Promise<Call> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const end = (status: number) => resolve({ at, key, startedAt, endedAt: performance.now(), status });
    const headers = { authorization: `Bearer ${key}` };
    get(`${urls[at]}/me`, { agent, headers }, (response) => {
      response.resume().on('end', () => end(response.statusCode ?? 0));
    }).on('error', () => end(0));
  });
}

const CONNECTIONS = 32;

/** So many requests with a key at once, shared out between the instances, on a few connections each. */
export async function barrage(urls: readonly string[], key: string, count: number): Promise<Call[]> {
  const agents = urls.map(() => new Agent({ keepAlive: true, maxSockets: CONNECTIONS }));
  const calls = await Promise.all(
    Array.from({ length: count }, (_, i) => call(urls, i % urls.length, key, agents[i % urls.length])),
  );
  for (const agent of agents) agent.destroy();
  return calls;
}
