import type { Session } from '../database/session';
import type { Acting } from '../model/acting';
import type { DefaultRate } from '../model/authority';
import type { KeyRules } from './key-rules';

/** The context of a change of keys, in its transaction. */
export interface KeyChange {
  readonly session: Session;
  /** Quoted name of the table of keys. */
  readonly table: string;
  readonly acting: Acting;
  readonly rules: KeyRules;
  /** Limits of a key without a rate limit of its own. */
  readonly defaults: readonly DefaultRate[];
  /** Window in seconds of a rate limit without a window. */
  readonly windowSeconds: number;
}
