import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { endWithFile } from './end-with-file';
import { until } from './until';

/** A proxy to a database. A test can cut, silence and restore the connections through the proxy. */
export interface FlakyProxy {
  /** Connection string through the proxy. */
  readonly url: string;
  /** Closes all connections. Refuses new connections until `mend` is called. */
  cut(): Promise<void>;
  /** Accepts connections again and delivers the delayed data. */
  mend(): Promise<void>;
  /**
   * Delays all data of the feed, or of all connections. Connections stay open, and new connections
   * are accepted.
   */
  silence(which: 'feed' | 'all'): void;
  /**
   * Drops all data. Connections stay open, and new connections are accepted. Connections that were
   * open during this time never work again.
   */
  swallow(): void;
  /**
   * Closes the connections of the feed and drops the delayed data of these connections. The feed
   * may reconnect.
   */
  cutFeed(): void;
  /** Delays the response to the next statement that contains `text`. */
  holdAnswerTo(text: string): HeldAnswer;
  /** Number of look-ups of a digest so far. */
  lookUpsOf(digest: string): number;
}

/** A delayed response of the database. */
export interface HeldAnswer {
  /** Resolves when the database has sent the response. */
  readonly given: Promise<void>;
  /** Delivers the response to the client. */
  release(): void;
}

/** Application name of the feed. The first message of a connection contains this name. */
const FEED = 'nestjs-api-key feed';
const DIGEST = /\b[0-9a-f]{64}\b/g;

/** One proxied connection with its delayed data in both directions. */
class Link {
  private readonly upstream: Socket;
  private readonly keptBack: (() => void)[] = [];
  isFeed = false;
  private silent = false;
  private swallows = false;
  private held: (() => void) | undefined;

  constructor(
    private readonly client: Socket,
    port: number,
    private readonly said: (text: Buffer, link: Link) => void,
    isSilenced: (feed: boolean) => boolean,
    swallowsAll: boolean,
  ) {
    this.swallows = swallowsAll;
    this.upstream = connect(port, '127.0.0.1');
    this.client.once('data', (first) => {
      this.isFeed = first.includes(FEED);
      this.silent = isSilenced(this.isFeed);
    });
    this.client.on('data', (chunk) => {
      this.said(chunk, this);
      this.pass(this.silent, () => this.upstream.write(chunk));
    });
    this.upstream.on('data', (chunk) => {
      this.held?.();
      this.pass(this.silent || this.held !== undefined, () => this.client.write(chunk));
    });
    for (const socket of [this.client, this.upstream])
      socket.on('error', () => {}).on('close', () => this.destroy());
  }

  /** Delays all responses from now on. Calls `given` at each response. */
  hold(given: () => void): void {
    this.held = given;
  }

  release(): void {
    this.held = undefined;
    this.deliver();
  }

  silence(which: 'feed' | 'all'): void {
    if (which === 'all' || this.isFeed) this.silent = true;
  }

  swallow(): void {
    this.swallows = true;
  }

  mend(): void {
    this.silent = false;
    this.deliver();
  }

  destroy(): void {
    this.client.destroy();
    this.upstream.destroy();
  }

  onClose(listener: () => void): void {
    this.client.once('close', listener);
  }

  private pass(keepsBack: boolean, write: () => void): void {
    if (this.swallows) return;
    if (keepsBack) this.keptBack.push(write);
    else write();
  }

  private deliver(): void {
    if (this.silent || this.held) return;
    for (const write of this.keptBack.splice(0)) write();
  }
}

/** Starts a proxy to a database. The proxy simulates a machine that can become unavailable. */
export async function flakyProxy(database: string): Promise<FlakyProxy> {
  const url = new URL(database);
  const target = Number(url.port);
  const links = new Set<Link>();
  const holds = new Map<string, { link?: Link; readonly given: () => void }>();
  const lookUps = new Map<string, number>();
  let silenced: 'feed' | 'all' | undefined;
  let swallows = false;
  const said = (statement: Buffer, link: Link) => {
    for (const [digest] of statement.toString('latin1').matchAll(DIGEST))
      lookUps.set(digest, (lookUps.get(digest) ?? 0) + 1);
    for (const [text, hold] of holds)
      if (!hold.link && statement.includes(text)) {
        hold.link = link;
        link.hold(hold.given);
      }
  };
  const server = createServer((client) => {
    const link = new Link(
      client,
      target,
      said,
      (isFeed) => silenced === 'all' || (silenced === 'feed' && isFeed),
      swallows,
    );
    links.add(link);
    link.onClose(() => links.delete(link));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  url.port = String(port);
  const cut = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const link of links) link.destroy();
    await closed;
  };
  endWithFile(cut);
  return {
    url: url.href,
    cut,
    silence: (which) => {
      silenced = which;
      for (const link of links) link.silence(which);
    },
    swallow: () => {
      swallows = true;
      for (const link of links) link.swallow();
    },
    mend: async () => {
      silenced = undefined;
      swallows = false;
      for (const link of links) link.mend();
      if (!server.listening) await until(() => listens(server, port));
    },
    cutFeed: () => {
      silenced = undefined;
      for (const link of links) if (link.isFeed) link.destroy();
    },
    holdAnswerTo: (text) => {
      let given = () => {};
      const answer = new Promise<void>((resolve) => {
        given = resolve;
      });
      holds.set(text, { given });
      return {
        given: answer,
        release: () => {
          holds.get(text)?.link?.release();
          holds.delete(text);
        },
      };
    },
    lookUpsOf: (digest) => lookUps.get(digest) ?? 0,
  };
}

/**
 * Listens on the port that the proxy used before. Returns `false` if another process uses this port
 * at the moment.
 */
async function listens(server: Server, port: number): Promise<boolean> {
  server.listen(port, '127.0.0.1');
  return once(server, 'listening').then(
    () => true,
    () => false,
  );
}
