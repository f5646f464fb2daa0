import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { type Eventually, isPending } from '../model/eventually';
import { type InvalidKey, isInvalid, type KeyJudge, MALFORMED } from './key-verifier';
import { EvenRefusals } from './refusal-delay';

/** Refusals of well-formed keys go out so many milliseconds apart, and no later than a part of the deadline of a look-up. */
const BEAT_MS = 10;
const PART_OF_DEADLINE = 4;

/** What else is asked of who presents a valid key: the address it comes from, its owner. */
export type Enter<Entered, About> = (apiKey: ApiKey, about: About) => Eventually<Entered>;

/** Lets in who presents a valid key, and refuses all others alike, in words and in time. */
export class KeyAdmission {
  private readonly evenly: EvenRefusals;

  /** @param lookUpTimeoutMs as the option */
  constructor(
    private readonly keys: KeyJudge,
    lookUpTimeoutMs: number,
  ) {
    this.evenly = new EvenRefusals(Math.min(BEAT_MS, lookUpTimeoutMs / PART_OF_DEADLINE));
  }

  /** As `ApiKeyService.admit`. */
  admit<Entered, About>(
    key: unknown,
    request: object,
    enter: Enter<Entered, About>,
    about: About,
  ): Eventually<Entered> {
    const judging = this.keys.judge(key, request);
    if (judging === MALFORMED) throw refusalOf(MALFORMED);
    if (!isPending(judging)) return this.enterAtOnce(judging, enter, about);
    const entering = judging.then((found) => enter(requireValid(found), about));
    return this.evenly.hold(entering, isHeld);
  }

  private enterAtOnce<Entered, About>(
    found: ApiKey | InvalidKey,
    enter: Enter<Entered, About>,
    about: About,
  ): Eventually<Entered> {
    try {
      const entering = enter(requireValid(found), about);
      return isPending(entering) ? this.evenly.hold(entering, isHeld) : entering;
    } catch (error) {
      return this.evenly.hold(Promise.reject(error), isHeld);
    }
  }
}

function requireValid(found: ApiKey | InvalidKey): ApiKey {
  if (isInvalid(found)) throw refusalOf(found);
  return found;
}

function refusalOf(refused: InvalidKey): ApiKeyRefusal {
  return new ApiKeyRefusal('INVALID_API_KEY', { refused });
}

function isHeld(error: unknown): boolean {
  return error instanceof ApiKeyRefusal && error.code === 'INVALID_API_KEY';
}
