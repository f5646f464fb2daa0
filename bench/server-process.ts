import { Child } from './child';
import type { Subject } from './plan';
import type { Order, Question } from './server';

/** A process that runs one subject. */
export class ServerProcess {
  private constructor(
    private readonly child: Child<number | null, Question>,
    readonly subject: Subject,
  ) {}

  static fork(order: Order): ServerProcess {
    return new ServerProcess(Child.fork(require.resolve('./server'), order), order.subject);
  }

  /**
   * Waits until the process is ready. Resolves to the port of the HTTP server, or to `null` if the
   * subject runs without a server.
   */
  port(): Promise<number | null> {
    return this.child.ready;
  }

  /**
   * Runs `calls` calls. Then returns the CPU microseconds that the process has used since its
   * start, in user and system mode.
   */
  async cpuMicros(calls = 0): Promise<number> {
    return Number(await this.child.ask({ calls }));
  }

  /** Kills the process at once, because the process has nothing to save. */
  stop(): Promise<void> {
    return this.child.stop();
  }
}
