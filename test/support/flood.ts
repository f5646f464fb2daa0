import { Agent, type RequestOptions, request } from 'node:http';

/** A request that a flood sends again and again. */
export interface FloodRequest {
  readonly method: 'GET' | 'PATCH' | 'DELETE' | 'POST';
  readonly path: string;
  readonly key: string;
  /** The JSON body of the n-th request. */
  readonly body?: (n: number) => object;
}

/**
 * Sends a request again and again on many connections. Each connection waits for the response
 * before it sends the next request.
 */
export class Flood {
  /** Number of responses by status. Status 0 counts broken connections. */
  readonly statuses = new Map<number, number>();
  private readonly agent: Agent;
  private readonly loops: Promise<void>;
  private isOver = false;
  private sent = 0;

  constructor(url: string, connections: number, wanted: FloodRequest) {
    this.agent = new Agent({ keepAlive: true, maxSockets: connections });
    this.loops = Promise.all(Array.from({ length: connections }, () => this.loop(url, wanted))).then(
      () => {},
    );
  }

  get answered(): number {
    return [...this.statuses.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Stops the flood and waits for the outstanding responses. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.loops;
    this.agent.destroy();
  }

  private async loop(url: string, wanted: FloodRequest): Promise<void> {
    while (!this.isOver) {
      const status = await send(url, wanted, this.sent++, this.agent);
      this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    }
  }
}

/**
 * Sends one request.
 * @returns the status of the response, or 0 if the connection broke
 */
export function send(
  url: string,
  { method, path, key, body }: FloodRequest,
  n = 0,
  agent?: Agent,
): Promise<number> {
  const content = body && JSON.stringify(body(n));
  const headers = {
    authorization: `Bearer ${key}`,
    ...(content !== undefined && { 'content-type': 'application/json', 'content-length': content.length }),
  };
  const options: RequestOptions = { method, headers, agent };
  return new Promise((resolve) => {
    request(`${url}${path}`, options, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', () => resolve(0))
      .end(content);
  });
}
