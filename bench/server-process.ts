import { Child } from './child';
import type { Subject } from './plan';
import type { Order, Question } from './server';

/** A subject in a process of its own, as its parent sees it. */
export class ServerProcess {
  private constructor(
    private readonly child: Child<number | null, Question>,
    readonly subject: Subject,
  ) {}

  static fork(order: Order): ServerProcess {
    return new ServerProcess(Child.fork(require.resolve('./server'), order), order.subject);
  }

  /** The port that it listens on, once it does; null once it can be called. */
  port(): Promise<number | null> {
    return this.child.ready;
  }

  /** CPU microseconds that the whole process has used so far, in user and system mode, after so many calls. */
  async cpuMicros(calls = 0): Promise<number> {
    return Number(await this.child.ask({ calls }));
  }

  /** Ends it at once: it has nothing to keep. */
  stop(): Promise<void> {
    return this.child.stop();
  }
}
