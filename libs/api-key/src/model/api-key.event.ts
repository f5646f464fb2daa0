import type { RefusedReason } from './api-key.errors';

/** Who made a change: a user of the application, a key, the command line, or the application itself. */
export interface Actor {
  readonly type: 'user' | 'key' | 'cli' | 'system';
  readonly id: string | null;
}

/** What each kind of event tells beside the key. No value is ever a raw key or a digest. */
export interface EventDetails {
  created: { readonly replacesId: string | null; readonly ancestorIds: readonly string[] };
  updated: { readonly changes: Readonly<Record<string, { readonly old: unknown; readonly new: unknown }>> };
  rotated: { readonly successorId: string; readonly overlapSeconds: number };
  revoked: {
    readonly reason: string | null;
    /** The key whose revocation ended this one as well; null: this one was revoked itself. */
    readonly ancestorId: string | null;
  };
  deleted: Record<string, never>;
  pruned: Record<string, never>;
  imported: Record<string, never>;
  refused: { readonly reason: RefusedReason; readonly route: string };
  accepted: { readonly route: string };
}

export type ApiKeyEventType = keyof EventDetails;

interface EventOf<Type extends ApiKeyEventType> {
  readonly type: Type;
  /** Id of the key; null where no key of ours was presented. */
  readonly keyId: string | null;
  /** The key as `acme_live_3fKd...9xQz`; null where what was presented is no key. */
  readonly masked: string | null;
  /** The owner of the key. */
  readonly userId: string | null;
  readonly actor: Actor;
  /** Address of the caller, as the framework's proxy setting lets it be known. */
  readonly address: string | null;
  readonly requestId: string | null;
  readonly at: Date;
  readonly details: EventDetails[Type];
}

/** Something that happened to a key, or because of one. */
export type ApiKeyEvent = { [Type in ApiKeyEventType]: EventOf<Type> }[ApiKeyEventType];

/** An event of the trail, with its place in it. */
export type RecordedApiKeyEvent = ApiKeyEvent & { readonly id: string };

/** The events of changes, which the trail holds in the transaction of the change. */
export type ChangeEvent = Extract<ApiKeyEvent, { type: Exclude<ApiKeyEventType, 'refused' | 'accepted'> }>;

/** The events of requests, which cost them no I/O. */
export type RequestEvent = Extract<ApiKeyEvent, { type: 'refused' | 'accepted' }>;

/**
 * Where events go beside or instead of the table. A promise that is rejected, or takes longer than 10 s, is logged, and its events come
 * again: an event may come twice.
 */
export interface ApiKeyEventSink {
  record(events: readonly ApiKeyEvent[]): void | Promise<void>;
}

/** The names under which `EventEmitter2` of `@nestjs/event-emitter` emits, and what it hands to listeners. */
export type ApiKeyEventMap = { [Type in ApiKeyEventType as `api-key.${Type}`]: EventOf<Type> };
