import type { Eventually } from '../model/eventually';

/** A key that is judged for a request. */
interface Judged {
  /** The number of the beat with which its refusal goes out, or a later one. */
  readonly due: number;
  /** Lets the refusal out, once there is one. */
  release?: () => void;
}

/**
 * Keeps refusals to a beat, so that the time of an answer does not tell a key that is unknown from one that was ended, whose row takes
 * longer to read, or whose owner is gone. Beats are counted and no time is measured: as none can come between a request and its call
 * here, it does not matter how long the way here took. What was asked first goes out first. Keys that are let in wait for nothing.
 */
export class EvenRefusals {
  /** In the order in which they were asked. */
  private readonly underWay = new Set<Judged>();
  private timer: NodeJS.Timeout | undefined;
  private beats = 0;

  /** @param beatMs milliseconds from one beat to the next; a refusal goes out with the second that comes after it was asked, or later */
  constructor(private readonly beatMs: number) {}

  /** What comes of letting someone in: at once, or where it fails by a refusal, with a beat. */
  hold<T>(entering: Eventually<T>, isRefusal: (error: unknown) => boolean): Promise<T> {
    const asked: Judged = { due: this.beats + 2 };
    this.underWay.add(asked);
    this.timer ??= setInterval(() => this.beat(), this.beatMs).unref();
    return Promise.resolve(entering).then(
      (entered) => {
        this.underWay.delete(asked);
        return entered;
      },
      async (error: unknown) => {
        if (isRefusal(error)) await released(asked);
        else this.underWay.delete(asked);
        throw error;
      },
    );
  }

  private beat(): void {
    this.beats += 1;
    for (const asked of this.underWay) {
      if (!asked.release || asked.due > this.beats) continue;
      this.underWay.delete(asked);
      asked.release();
    }
    if (this.underWay.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}

function released(asked: Judged): Promise<void> {
  return new Promise((resolve) => {
    asked.release = resolve;
  });
}
