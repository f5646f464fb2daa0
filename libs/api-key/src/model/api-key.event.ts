import type { RefusedReason } from './api-key.errors';

/**
 * The author of an event: a user of the application, a key, the command line, or the application
 * itself (`system`).
 */
export interface Actor {
  readonly type: 'user' | 'key' | 'cli' | 'system';
  readonly id: string | null;
}

/** The details of each type of event. No value is a raw key or a digest. */
export interface EventDetails {
  created: { readonly replacesId: string | null; readonly ancestorIds: readonly string[] };
  updated: { readonly changes: Readonly<Record<string, { readonly old: unknown; readonly new: unknown }>> };
  rotated: { readonly successorId: string; readonly overlapSeconds: number };
  revoked: {
    readonly reason: string | null;
    /**
     * Id of the ancestor whose revocation also revoked this key; null: this key was revoked itself.
     */
    readonly ancestorId: string | null;
  };
  disabled: { readonly reason: string | null };
  enabled: { readonly reason: string | null };
  deleted: Record<string, never>;
  pruned: Record<string, never>;
  imported: Record<string, never>;
  refused: { readonly reason: RefusedReason; readonly route: string };
  accepted: { readonly route: string };
}

export type ApiKeyEventType = keyof EventDetails;

interface EventOf<Type extends ApiKeyEventType> {
  readonly type: Type;
  /** Id of the key; null if no stored key was presented. */
  readonly keyId: string | null;
  /** The masked key, such as `acme_live_3fKd...9xQz`; null if the presented text is not a key. */
  readonly masked: string | null;
  /** The owner of the key. */
  readonly userId: string | null;
  readonly actor: Actor;
  /** Address of the caller. The proxy setting of the framework decides which address this is. */
  readonly address: string | null;
  readonly requestId: string | null;
  readonly at: Date;
  readonly details: EventDetails[Type];
}

/** A change of a key, or a request that was accepted or refused. */
export type ApiKeyEvent = { [Type in ApiKeyEventType]: EventOf<Type> }[ApiKeyEventType];

/** An event that the trail stores, with the id of its row. */
export type RecordedApiKeyEvent = ApiKeyEvent & { readonly id: string };

/** Events of changes. The trail stores each event in the transaction of the change. */
export type ChangeEvent = Extract<ApiKeyEvent, { type: Exclude<ApiKeyEventType, 'refused' | 'accepted'> }> & {
  readonly keyId: string;
};

/** Events of requests. They add no I/O to the request. */
export type RequestEvent = Extract<ApiKeyEvent, { type: 'refused' | 'accepted' }>;

/**
 * Receives events, in addition to the table or instead of the table. For events of requests: if the
 * promise is rejected or takes longer than 10 s, the failure is logged and the events are sent
 * again, in smaller batches. So the same event may arrive more than once. An event that is rejected
 * three times by itself, while others are taken, is dropped. For events of changes: a rejection is
 * logged, and nothing is sent again.
 */
export interface ApiKeyEventSink {
  record(events: readonly ApiKeyEvent[]): void | Promise<void>;
}

/**
 * The event names of `EventEmitter2` (`@nestjs/event-emitter`), and the event that each listener
 * gets.
 */
export type ApiKeyEventMap = { [Type in ApiKeyEventType as `api-key.${Type}`]: EventOf<Type> };
