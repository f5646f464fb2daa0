/** What the feed tells. */
export interface FeedListener {
  /** A key changed or went. */
  evict(id: string): void;
  /** A key was inserted. */
  evictUnknown(): void;
  /** An owner changed or went. */
  evictOwner(userId: string): void;
  /** Anything may have changed. */
  clear(): void;
}

/** Tells a listener what a notification of the table's channel means. */
export function tell(listener: FeedListener, payload: string): void {
  if (payload === '*') listener.clear();
  else if (payload === '+') listener.evictUnknown();
  else if (payload.startsWith('u:')) listener.evictOwner(payload.slice(2));
  else listener.evict(payload);
}
