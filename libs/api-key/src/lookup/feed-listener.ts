/** Receives the changes that the feed reports. */
export interface FeedListener {
  /** A key was changed or deleted. */
  evict(id: string): void;
  /** A key was inserted. */
  evictUnknown(): void;
  /** An owner was changed or deleted. */
  evictOwner(userId: string): void;
  /** Anything may have changed. */
  clear(): void;
}

/** Calls the method of the listener that fits the payload of a notification. */
export function tell(listener: FeedListener, payload: string): void {
  if (payload === '*') listener.clear();
  else if (payload === '+') listener.evictUnknown();
  else if (payload.startsWith('u:')) listener.evictOwner(payload.slice(2));
  else listener.evict(payload);
}
