import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { ApiKey } from '../model/api-key.entity';
import type { RefusedKey } from '../model/api-key.errors';
import type { ApiKeyEvent, ApiKeyEventSink, RequestEvent } from '../model/api-key.event';
import type { Caller } from '../model/caller';
import { wordsOf } from '../model/error-words';
import { printable } from '../model/printable';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { EventTarget, ResolvedAuditOptions } from '../options/audit';
import { Announcer } from './announcer';
import { EventQueue } from './event-queue';
import { subjectOf, Trail } from './trail';

/** Milliseconds between two warnings that keys cannot be verified. */
const QUIET_MS = 10_000;

/** Numbers of request events that were dropped since the start, by kind. */
export interface DroppedEvents {
  /** Refused requests with a stored key. */
  readonly refusedWithKey: number;
  /** Refused requests with an unknown or malformed key. */
  readonly refusedWithoutKey: number;
  readonly accepted: number;
}

const NOBODY = { type: 'user', id: null } as const;

/** Records refused and accepted requests, without I/O during the request. */
@Injectable()
export class RequestTrail implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('ApiKey');
  private readonly options: ResolvedAuditOptions;
  private readonly refusals: EventQueue | null;
  private readonly acceptances: EventQueue | null;
  private quietUntil = 0;

  constructor(
    @Inject(API_KEY_OPTIONS) { audit: options }: Pick<ResolvedApiKeyOptions, 'audit'>,
    trail: Trail,
    private readonly announcer: Announcer,
  ) {
    this.options = options;
    const queueFor = (type: RequestEvent['type']): EventQueue | null => {
      const sink = sinkOf(options[type], trail);
      return sink && new EventQueue(type, sink, options.queueSize, options.flushIntervalMs);
    };
    this.refusals = queueFor('refused');
    this.acceptances = queueFor('accepted');
  }

  /** Number of request events of all kinds that were dropped since the start. */
  get dropped(): number {
    const { refusedWithKey, refusedWithoutKey, accepted } = this.droppedByKind;
    return refusedWithKey + refusedWithoutKey + accepted;
  }

  get droppedByKind(): DroppedEvents {
    const { ofKeys: refusedWithKey = 0, others: refusedWithoutKey = 0 } = this.refusals?.dropped ?? {};
    return { refusedWithKey, refusedWithoutKey, accepted: this.acceptances?.dropped.ofKeys ?? 0 };
  }

  /**
   * Records a refused request. The event is queued now, and built when it is written. Building the
   * event reads the stored key. During the request, the time for this would reveal that the key
   * exists. The address is read now, because a closed connection has no address.
   */
  refused(refused: RefusedKey, { route, address, requestId }: Caller): void {
    const at = new Date();
    const telling = () => refusedEvent(refused, { route, address, requestId }, at);
    if (this.announcer.isHeard) this.announcer.announce(telling());
    this.refusals?.add(telling, refused.apiKey !== null);
    if (this.options.refused === 'log') this.logger.warn(lineOf(telling()));
  }

  /** Whether accepted requests are recorded. */
  get hearsAccepted(): boolean {
    const { accepted } = this.options;
    return accepted === 'log' ? Logger.isLevelEnabled('debug') : accepted !== 'off';
  }

  accepted(apiKey: ApiKey, { route, address, requestId }: Caller): void {
    const { accepted } = this.options;
    const event: RequestEvent = {
      type: 'accepted',
      ...subjectOf(apiKey),
      actor: { type: 'key', id: apiKey.id },
      address,
      requestId,
      at: new Date(),
      details: { route },
    };
    this.acceptances?.add(() => event, true);
    if (accepted === 'log') this.logger.debug(lineOf(event));
  }

  /**
   * Logs why keys cannot be verified, at most once per `QUIET_MS`, because every request may call
   * this method.
   */
  unavailable(cause: unknown): void {
    const now = performance.now();
    if (now < this.quietUntil) return;
    this.quietUntil = now + QUIET_MS;
    this.logger.warn(`Requests are answered with 503, because keys cannot be verified: ${wordsOf(cause)}`);
  }

  onApplicationBootstrap(): void {
    for (const queue of [this.refusals, this.acceptances]) queue?.onApplicationBootstrap();
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([this.refusals?.onApplicationShutdown(), this.acceptances?.onApplicationShutdown()]);
  }
}

function sinkOf(target: EventTarget, trail: Trail): ApiKeyEventSink | null {
  if (target === 'table') return trail;
  return typeof target === 'object' ? target : null;
}

function refusedEvent(
  { reason, apiKey, masked }: RefusedKey,
  { route, address, requestId }: Caller,
  at: Date,
): RequestEvent {
  const subject = apiKey ? subjectOf(apiKey) : { keyId: null, masked, userId: null };
  const actor = apiKey ? ({ type: 'key', id: apiKey.id } as const) : NOBODY;
  return { type: 'refused', ...subject, actor, address, requestId, at, details: { reason, route } };
}

function lineOf({ type, masked, address, details }: ApiKeyEvent): string {
  const { reason, route } = details as { reason?: string; route?: string };
  const words = [type, reason, masked ?? 'no key', route, address && `from ${address}`];
  return printable(words.filter(Boolean).join(' '));
}
