import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Subject } from './plan';
import type { Order, Question } from './server';

/** A subject in a process of its own, as its parent sees it. It ends with its parent, whatever ends that. */
export class ServerProcess {
  private readonly ended: Promise<never>;
  private readonly ready: Promise<number | null>;

  private constructor(
    private readonly child: ChildProcess,
    readonly subject: Subject,
  ) {
    this.ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`The process ended with ${code ?? signal}`);
    });
    this.ready = this.nextMessage();
    for (const promise of [this.ended, this.ready]) promise.catch(() => {});
  }

  /** Starts a process, out of reach of a Ctrl-C in the terminal: it is the parent that ends it. */
  static fork(order: Order): ServerProcess {
    const child = fork(require.resolve('./server'), [JSON.stringify(order)], {
      detached: true,
      env: { ...process.env, NODE_ENV: 'production' },
    });
    return new ServerProcess(child, order.subject);
  }

  /** The port that it listens on, once it does; null once it can be called. */
  port(): Promise<number | null> {
    return this.ready;
  }

  /** CPU microseconds that the whole process has used so far, in user and system mode, after so many calls. */
  async cpuMicros(calls = 0): Promise<number> {
    const answer = this.nextMessage();
    const question: Question = { calls };
    this.child.send(question);
    return Number(await answer);
  }

  /** Ends it at once: it has nothing to keep. */
  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended.catch(() => {});
  }

  private nextMessage(): Promise<number | null> {
    return Promise.race([once(this.child, 'message').then(([message]) => message), this.ended]);
  }
}
