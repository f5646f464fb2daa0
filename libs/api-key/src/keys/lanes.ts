import type { ReadTurn } from '../database/turns';
import { type Acting, ownerOf } from '../model/acting';

/**
 * The lanes of a call. The calls of one key wait for each other, and then for those of other keys
 * of the same owner and of the owner itself. So a key cannot keep these waiting for long.
 * @param target the lane if the application itself acts; null: it does not wait in a lane
 */
export function lanesOf(acting: Acting, target: string | null): readonly string[] {
  const owner = ownerOf(acting);
  if (owner === null) return target === null ? [] : [target];
  return [acting.apiKey ? `by key ${acting.apiKey.id}` : `by owner ${owner}`, ofOwner(owner)];
}

/** The lane of an owner. */
export function ofOwner(userId: string): string {
  return `of owner ${userId}`;
}

/** The turn of a read. */
export function readTurn(acting: Acting): ReadTurn {
  return { kind: 'read', lanes: lanesOf(acting, null) };
}

/** The turn of a read that belongs to a change that ends keys. It waits for no change. */
export const AT_ONCE: ReadTurn = { kind: 'ending', lanes: [] };

/** The turn of a change that ends keys. */
export function endingTurn(acting: Acting, target: string | null): ReadTurn {
  return { kind: 'ending', lanes: lanesOf(acting, target) };
}
