import { ApiKeyRefusal } from '../api-key.errors';
import type { StoredKey } from './key-store';

/** How many may wait for the next statement. */
const MAX_WAITING = 1_000;

/** Looks many digests up in one statement. */
export type FindAll = (
  digests: readonly string[],
  sent: () => void,
) => Promise<ReadonlyMap<string, StoredKey>>;

interface Waiting {
  readonly digest: string;
  readonly sent: () => void;
  readonly resolve: (found: StoredKey | null) => void;
  readonly reject: (error: unknown) => void;
}

/** Look-ups that wait for each other, so that any number of them costs the database one statement at a time. */
export class LookUpBatch {
  private waiting: Waiting[] = [];
  private isUnderWay = false;

  /** @param waitMs how long the first one waits for others */
  constructor(
    private readonly findAll: FindAll,
    private readonly waitMs: number,
  ) {}

  /** @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where too many wait */
  find(digest: string, sent: () => void): Promise<StoredKey | null> {
    if (this.waiting.length >= MAX_WAITING) {
      const cause = new Error('too many look-ups wait for one statement');
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause });
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ digest, sent, resolve, reject });
      if (!this.isUnderWay) this.begin();
    });
  }

  private begin(): void {
    this.isUnderWay = true;
    setTimeout(() => void this.ask().finally(() => this.next()), this.waitMs);
  }

  private next(): void {
    this.isUnderWay = false;
    if (this.waiting.length > 0) this.begin();
  }

  /** Never rejects: each that waits is told. */
  private async ask(): Promise<void> {
    const together = this.waiting;
    this.waiting = [];
    const sent = () => {
      for (const each of together) each.sent();
    };
    try {
      const found = await this.findAll([...new Set(together.map(({ digest }) => digest))], sent);
      for (const { digest, resolve } of together) resolve(found.get(digest) ?? null);
    } catch (error) {
      for (const { reject } of together) reject(error);
    }
  }
}
