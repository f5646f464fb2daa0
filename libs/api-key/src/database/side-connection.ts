import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';

const CLOSE_MS = 100;

/** Members that the types of `pg` do not have. `pg-native` does not have these members. */
interface Wired {
  readonly connection?: { readonly stream?: { destroy(): void } };
  unref?(): void;
}

/** A connection outside the pool. */
export class SideConnection {
  private connecting: Promise<unknown> = Promise.resolve();

  /** @param client a client that is not yet connected */
  constructor(readonly client: Client) {
    client.on('error', () => {});
  }

  async connect(): Promise<void> {
    this.connecting = this.client.connect();
    await this.connecting;
  }

  /** Lets the process exit while the connection is open. */
  unref(): void {
    (this.client as Client & Wired).unref?.();
  }

  /**
   * Returns a promise that rejects if the connection ends or `stopped` aborts. Stops listening to
   * `stopped` if `over` aborts.
   */
  failure(stopped: AbortSignal, over: AbortSignal): Promise<never> {
    const failure = new Promise<never>((_, reject) => {
      this.client.once('end', () => reject(new Error('the connection ended')));
      this.client.once('error', reject);
      stopped.addEventListener('abort', () => reject(new Error('the application ends')), {
        once: true,
        signal: over,
      });
    });
    failure.catch(() => {});
    return failure;
  }

  /**
   * Closes the connection. Does not wait long if the server does not answer. If the connection is
   * still being opened, closes it after it has opened, because `pg-native` would otherwise end the
   * process.
   */
  async close(): Promise<void> {
    this.client.removeAllListeners('notification');
    const ended = this.connecting.then(() => this.client.end()).catch(() => {});
    await Promise.race([ended, delay(CLOSE_MS, undefined, { ref: false })]);
    (this.client as Client & Wired).connection?.stream?.destroy();
  }
}
