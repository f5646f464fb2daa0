import { ApiKeyRefusal } from '../model/api-key.errors';
import { type FoundKeys, firstOf, type StoredKey } from './stored-key';

/** Maximum number of look-ups that wait for the next statement. */
const MAX_WAITING = 1_000;
const MAX_UNDER_WAY = 4;

/** Looks up many digests in one statement. */
export type FindAll = (digests: readonly string[], sent: () => void) => Promise<FoundKeys>;

interface Waiting {
  readonly digest: string;
  readonly others: readonly string[];
  readonly sent: () => void;
  readonly resolve: (found: StoredKey | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Collects look-ups into batches, so that the database gets at most one statement per `waitMs`. A
 * slow statement does not delay the next statement. At most 4 statements are in flight, so that a
 * slow database is not overloaded.
 */
export class LookUpBatch {
  private waiting: Waiting[] = [];
  private isTimed = false;
  private underWay = 0;

  /** @param waitMs milliseconds that the first look-up of a batch waits for others */
  constructor(
    private readonly findAll: FindAll,
    private readonly waitMs: number,
  ) {}

  /**
   * Looks up a digest in the next batch.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if too many look-ups wait
   */
  async find(digest: string, others: readonly string[], sent: () => void): Promise<StoredKey | null> {
    if (this.waiting.length >= MAX_WAITING) {
      const cause = new Error('too many look-ups wait in one batch');
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

  /** Sends one batch, and gives each look-up its own result or error. Never rejects. */
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

/**
 * Resolves one look-up of a batch. If the row of a key cannot be read, only the look-up of this key
 * rejects.
 */
function answer({ digest, others, resolve, reject }: Waiting, found: FoundKeys): void {
  try {
    resolve(firstOf(found, digest, others));
  } catch (error) {
    reject(error);
  }
}
