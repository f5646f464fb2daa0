import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/**
 * A forked process, as its parent sees it. It sends one message when it is ready, and one answer
 * to each question. It ends with its parent, whatever ends that.
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

  /** Forks a script, out of reach of a Ctrl-C in the terminal: the parent ends it. */
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

  /** Ends it at once: it has nothing to keep. */
  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended.catch(() => {});
  }

  private nextMessage<Message>(): Promise<Message> {
    return Promise.race([once(this.child, 'message').then(([message]) => message as Message), this.ended]);
  }
}
