import { Inject, Injectable } from '@nestjs/common';
import { partOf } from '../database/deadline';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';

/** Milliseconds between two ticks, or a part of the deadline of a look-up if that is shorter. */
const TICK_MS = 10;

/** A key that is being judged. */
interface Judging {
  /** Its refusal is released on the tick of this number, or a later one. */
  readonly due: number;
  /** Releases the refusal, once there is one. */
  release?: () => void;
}

/**
 * Releases refusals of well-formed keys on a timer tick, so that the time of an answer does not
 * tell an unknown key from one that was revoked, whose row takes longer to read, or whose owner is
 * gone. Ticks are counted and no time is measured: no tick can come between a request and its call
 * here, so it does not matter how long the way here took. Keys that are accepted wait for nothing.
 */
@Injectable()
export class RefusalDelay {
  private readonly tickMs: number;
  /** In the order in which they were asked, which is that of their release. */
  private readonly underWay = new Set<Judging>();
  private timer: NodeJS.Timeout | undefined;
  private ticks = 0;

  constructor(@Inject(API_KEY_OPTIONS) { cache }: Pick<ResolvedApiKeyOptions, 'cache'>) {
    this.tickMs = Math.min(TICK_MS, partOf(cache.lookUpTimeoutMs));
  }

  /**
   * What comes of judging a key. `INVALID_API_KEY` of a well-formed key is released with the second
   * tick after this call, or a later one; everything else at once.
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

/** What is malformed is no key of anybody: the time of its refusal reveals nothing. */
function isDelayed(error: unknown): boolean {
  const isInvalid = error instanceof ApiKeyRefusal && error.code === 'INVALID_API_KEY';
  return isInvalid && error.refused?.reason !== 'malformed';
}

function releaseOf(judging: Judging): Promise<void> {
  return new Promise((resolve) => {
    judging.release = resolve;
  });
}
