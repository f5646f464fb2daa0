import { type Acting, ownerOf } from '../model/acting';

/**
 * The lane of a change of one key: the acting owner. If the application itself acts, the key has a
 * lane of its own, because its owner is not known before a read.
 */
export function laneOf(acting: Acting, keyId: string): string {
  return ownerOf(acting) ?? `key ${keyId}`;
}
