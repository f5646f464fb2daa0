import type { Logger } from '@nestjs/common';
import { FULL_QUEUE, isFullQueue } from '../database/full-queue';
import { wordsOf } from '../model/error-words';

/** Logs each problem of the revocation feed once. Logs once that the feed works again. */
export class FeedReport {
  private reported = '';

  constructor(private readonly logger: Logger) {}

  /** Logs why the revocation feed does not receive changes. */
  failed(error: unknown): void {
    const words = isFullQueue(error) ? FULL_QUEUE : wordsOf(error);
    if (words === this.reported) return;
    this.reported = words;
    this.logger.warn(`The revocation feed does not work, so keys are looked up at each request: ${words}`);
  }

  /** Logs that the revocation feed works again. Called after a heartbeat was sent. */
  works(): void {
    if (this.reported === '') return;
    this.reported = '';
    this.logger.log('The revocation feed works again: keys are cached again.');
  }
}
