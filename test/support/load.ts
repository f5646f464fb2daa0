import { Agent, get } from 'node:http';

/** A request of a load and its result. The times are results of `performance.now`. */
export interface Call {
  /** Index of the instance that received the request. */
  readonly at: number;
  readonly key: string;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Status of the response. 0 if the connection broke. */
  readonly status: number;
}

const TICK_MS = 5;
/**
 * Milliseconds until an idle connection is closed. This is less than the keep-alive timeout of the
 * servers, so that no server closes a connection at the moment of its next use.
 */
const IDLE_MS = 3_000;
const MOST_IN_FLIGHT = 128;

/**
 * Sends requests to each instance at a fixed rate, without waiting for responses. The function
 * `pick` selects the key of each request.
 */
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

  /** Stops the load and waits for the outstanding responses. */
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

/** Sends one request with a key. */
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

/**
 * Sends `count` requests with a key at once. The requests are spread over the instances, with a few
 * connections to each instance.
 */
export async function barrage(urls: readonly string[], key: string, count: number): Promise<Call[]> {
  const agents = urls.map(() => new Agent({ keepAlive: true, maxSockets: CONNECTIONS }));
  const calls = await Promise.all(
    Array.from({ length: count }, (_, i) => call(urls, i % urls.length, key, agents[i % urls.length])),
  );
  for (const agent of agents) agent.destroy();
  return calls;
}
