import { Inject, Injectable } from '@nestjs/common';
import { partOf } from '../database/deadline';
import { ApiKeyRefusal, type RefusedReason } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';

/** Milliseconds between two ticks, but at most a quarter of `cache.lookUpTimeoutMs`. */
const TICK_MS = 10;

/** A verification in progress. */
interface Judging {
  /** Number of the first tick on which a refusal of the key may be released. */
  readonly due: number;
  /** Releases the refusal. Undefined until the key is refused. */
  release?: () => void;
}

/**
 * Delays refusals of well-formed keys until a timer tick. Without the delay, the time of an answer
 * would reveal whether a key is unknown, revoked or without an owner, because some look-ups take
 * longer. The class counts ticks and measures no time. No tick can run between the arrival of a
 * request and its call of `hold`, so earlier processing time cannot leak. Accepted keys do not
 * wait.
 */
@Injectable()
export class RefusalDelay {
  private readonly tickMs: number;
  /** Verifications in the order of their calls. Refusals are released in this order. */
  private readonly underWay = new Set<Judging>();
  private timer: NodeJS.Timeout | undefined;
  private ticks = 0;

  constructor(@Inject(API_KEY_OPTIONS) { cache }: Pick<ResolvedApiKeyOptions, 'cache'>) {
    this.tickMs = Math.min(TICK_MS, partOf(cache.lookUpTimeoutMs));
  }

  /**
   * Waits for the result of a verification. An `INVALID_API_KEY` for a well-formed key is released
   * on the second tick after this call, or on a later tick. Any other result is released at once.
   */
  async hold<T>(judged: Promise<T>): Promise<T> {
    const judging: Judging = { due: this.ticks + 2 };
    this.underWay.add(judging);
    this.timer ??= setInterval(() => this.tick(), this.tickMs).unref();
    try {
      return await judged;
    } catch (error) {
      if (isDelayed(error)) await releaseOf(judging);
      throw error;
    } finally {
      this.underWay.delete(judging);
    }
  }

  private tick(): void {
    this.ticks += 1;
    for (const judging of this.underWay) {
      if (!judging.release || judging.due > this.ticks) continue;
      this.underWay.delete(judging);
      judging.release();
    }
    if (this.underWay.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}

/**
 * Reasons of refusals that are not delayed. These refusals need no look-up, so their timing reveals
 * nothing.
 */
const WITHOUT_LOOK_UP: readonly (RefusedReason | undefined)[] = ['malformed', 'prefix'];

function isDelayed(error: unknown): boolean {
  const isInvalid = error instanceof ApiKeyRefusal && error.code === 'INVALID_API_KEY';
  return isInvalid && !WITHOUT_LOOK_UP.includes(error.refused?.reason);
}

function releaseOf(judging: Judging): Promise<void> {
  return new Promise((resolve) => {
    judging.release = resolve;
  });
}
