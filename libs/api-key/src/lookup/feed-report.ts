import type { Logger } from '@nestjs/common';
import { FULL_QUEUE, isFullQueue } from '../database/full-queue';
import { wordsOf } from '../model/error-words';

/** Logs once what is wrong with the feed, and once that it is right again. */
export class FeedReport {
  private reported = '';

  constructor(private readonly logger: Logger) {}

  /** The feed does not notice changes, because of this. */
  failed(error: unknown): void {
    const words = isFullQueue(error) ? FULL_QUEUE : wordsOf(error);
    if (words === this.reported) return;
    this.reported = words;
    this.logger.warn(`No revocation feed, so keys are looked up at each request: ${words}`);
  }

  /** A heartbeat was sent. */
  works(): void {
    if (this.reported === '') return;
    this.reported = '';
    this.logger.log('The revocation feed is back: keys are cached again.');
  }
}
