import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';

const CLOSE_MS = 100;

/** What the types of `pg` do not name, and `pg-native` does not have. */
interface Wired {
  readonly connection?: { readonly stream?: { destroy(): void } };
  unref?(): void;
}

/** A connection beside the pool, from its opening to its end. */
export class SideConnection {
  private connecting: Promise<unknown> = Promise.resolve();

  /** @param client not yet opened */
  constructor(readonly client: Client) {
    client.on('error', () => {});
  }

  async connect(): Promise<void> {
    this.connecting = this.client.connect();
    await this.connecting;
  }

  /** From now on it keeps no process alive. */
  unref(): void {
    (this.client as Client & Wired).unref?.();
  }

  /** Rejects when the connection ends, or the application does; that is listened for until `over`. */
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
   * Ends it without waiting for one that does not answer; one that is being made, once it is:
   * `pg-native` ends the process if it is ended before.
   */
  async close(): Promise<void> {
    this.client.removeAllListeners('notification');
    const ended = this.connecting.then(() => this.client.end()).catch(() => {});
    await Promise.race([ended, delay(CLOSE_MS, undefined, { ref: false })]);
    (this.client as Client & Wired).connection?.stream?.destroy();
  }
}
