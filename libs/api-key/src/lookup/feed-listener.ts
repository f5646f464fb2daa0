/** Receives the changes that the revocation feed reports. */
export interface FeedListener {
  /** Called after a key was changed or deleted. */
  evict(id: string): void;
  /** Called after a key was inserted. */
  evictUnknown(): void;
  /** Called after an owner was changed or deleted. */
  evictOwner(userId: string): void;
  /** Called if any key or owner may have changed. */
  clear(): void;
}

/** Calls the method of the listener for the payload of a notification. */
export function tell(listener: FeedListener, payload: string): void {
  if (payload === '*') listener.clear();
  else if (payload === '+') listener.evictUnknown();
  else if (payload.startsWith('u:')) listener.evictOwner(payload.slice(2));
  else listener.evict(payload);
}
