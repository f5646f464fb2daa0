import type { Session } from '../database/session';
import type { Acting } from '../model/acting';
import type { DefaultRate } from '../model/authority';

/** What a change of keys works with, inside its transaction. */
export interface KeyChange {
  readonly session: Session;
  /** The table of keys, quoted. */
  readonly table: string;
  readonly acting: Acting;
  /** What limits a key without a limit of its own. */
  readonly defaults: readonly DefaultRate[];
  /** The window of a limit that has none. */
  readonly windowSeconds: number;
}
