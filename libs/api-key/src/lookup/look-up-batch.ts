import { ApiKeyRefusal } from '../model/api-key.errors';
import { type FoundKeys, firstOf, type StoredKey } from './key-store';

/** How many look-ups may wait for the next statement, and how many statements may be under way. */
const MAX_WAITING = 1_000;
const MAX_UNDER_WAY = 4;

/** Looks many digests up in one statement. */
export type FindAll = (digests: readonly string[], sent: () => void) => Promise<FoundKeys>;

interface Waiting {
  readonly digest: string;
  readonly others: readonly string[];
  readonly sent: () => void;
  readonly resolve: (found: StoredKey | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Look-ups that wait for each other, so that any number of them costs the database one statement in so many milliseconds. One that
 * is slow does not hold up the next; a database that is slow is not asked more and more.
 */
export class LookUpBatch {
  private waiting: Waiting[] = [];
  private isTimed = false;
  private underWay = 0;

  /** @param waitMs how long the first one waits for others */
  constructor(
    private readonly findAll: FindAll,
    private readonly waitMs: number,
  ) {}

  /** @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if too many wait */
  async find(digest: string, others: readonly string[], sent: () => void): Promise<StoredKey | null> {
    if (this.waiting.length >= MAX_WAITING) {
      const cause = new Error('too many look-ups wait for one statement');
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause });
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ digest, others, sent, resolve, reject });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.isTimed || this.waiting.length === 0 || this.underWay >= MAX_UNDER_WAY) return;
    this.isTimed = true;
    setTimeout(() => void this.send(), this.waitMs);
  }

  private async send(): Promise<void> {
    this.isTimed = false;
    this.underWay += 1;
    await this.ask();
    this.underWay -= 1;
    this.schedule();
  }

  /** Never rejects: each that waits is told. */
  private async ask(): Promise<void> {
    const together = this.waiting;
    this.waiting = [];
    const sent = () => {
      for (const each of together) each.sent();
    };
    try {
      const digests = together.flatMap(({ digest, others }) => [digest, ...others]);
      const found = await this.findAll([...new Set(digests)], sent);
      for (const each of together) answer(each, found);
    } catch (error) {
      for (const { reject } of together) reject(error);
    }
  }
}

/** A key that cannot be read fails nobody else. */
function answer({ digest, others, resolve, reject }: Waiting, found: FoundKeys): void {
  try {
    resolve(firstOf(found, digest, others));
  } catch (error) {
    reject(error);
  }
}
