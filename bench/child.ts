import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/**
 * A forked process that answers questions. It sends one message when it is ready, then one answer
 * to each question. It also ends if the parent process is killed.
 */
export class Child<Ready, Question extends object = object> {
  private readonly ended: Promise<never>;
  readonly ready: Promise<Ready>;

  private constructor(private readonly child: ChildProcess) {
    this.ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`The process ended with ${code ?? signal}`);
    });
    this.ready = this.nextMessage();
    for (const promise of [this.ended, this.ready]) promise.catch(() => {});
  }

  /**
   * Forks a script. The child process does not receive Ctrl-C from the terminal, because the parent
   * process ends the child process.
   */
  static fork<Ready, Question extends object = object>(
    script: string,
    order: object,
  ): Child<Ready, Question> {
    const child = fork(script, [JSON.stringify(order)], {
      detached: true,
      env: { ...process.env, NODE_ENV: 'production' },
    });
    return new Child(child);
  }

  async ask<Answer>(question: Question): Promise<Answer> {
    const answer = this.nextMessage<Answer>();
    this.child.send(question);
    return answer;
  }

  /** Kills the process at once, because the process has nothing to save. */
  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended.catch(() => {});
  }

  private nextMessage<Message>(): Promise<Message> {
    return Promise.race([once(this.child, 'message').then(([message]) => message as Message), this.ended]);
  }
}
