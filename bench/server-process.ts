import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Subject } from './plan';
import type { ServerOrder } from './server';

/** A server in a process of its own, as its parent sees it. It ends with its parent, whatever ends that. */
export class ServerProcess {
  private readonly ended: Promise<never>;
  private readonly listening: Promise<number>;

  private constructor(
    private readonly child: ChildProcess,
    readonly subject: Subject,
  ) {
    this.ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`The server ended with ${code ?? signal}`);
    });
    this.listening = this.nextMessage();
    for (const promise of [this.ended, this.listening]) promise.catch(() => {});
  }

  /** Starts a process, out of reach of a Ctrl-C in the terminal: it is the parent that ends it. */
  static fork(subject: Subject, databaseUrl: string): ServerProcess {
    const order: ServerOrder = { ...subject, databaseUrl };
    const child = fork(require.resolve('./server'), [JSON.stringify(order)], {
      detached: true,
      env: { ...process.env, NODE_ENV: 'production' },
    });
    return new ServerProcess(child, subject);
  }

  /** The port that it listens on, once it does. */
  port(): Promise<number> {
    return this.listening;
  }

  /** CPU microseconds that the whole process has used so far, in user and system mode. */
  cpuMicros(): Promise<number> {
    const answer = this.nextMessage();
    this.child.send('cpu');
    return answer;
  }

  /** Ends it at once: it has nothing to keep. */
  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended.catch(() => {});
  }

  private nextMessage(): Promise<number> {
    return Promise.race([once(this.child, 'message').then(([message]) => message), this.ended]);
  }
}
