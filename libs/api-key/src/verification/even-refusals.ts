import type { Eventually } from '../eventually';

/** A key that is judged for a request. */
interface Judged {
  readonly since: number;
  /** Lets the refusal out, once there is one. */
  release?: () => void;
}

/**
 * Keeps refusals to a beat, so that the time of an answer does not tell a key that is unknown from one that was ended, whose row takes
 * longer to read, or whose owner is gone, which is known at once. The beat goes on whatever is found; what was asked first goes out first. Keys that are let in wait for nothing.
 */
export class EvenRefusals {
  /** In the order in which they were asked. */
  private readonly underWay = new Set<Judged>();
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param beatMs a refusal goes out with the first beat that comes so many milliseconds after it was asked, or later
   * @param now milliseconds on a clock that never goes back
   */
  constructor(
    private readonly beatMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** What comes of letting someone in: at once, or where it fails by a refusal, with a beat. */
  hold<T>(entering: Eventually<T>, isRefusal: (error: unknown) => boolean): Promise<T> {
    const asked: Judged = { since: this.now() };
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
    const latest = this.now() - this.beatMs;
    for (const asked of this.underWay) {
      if (!asked.release || asked.since > latest) continue;
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
