import type { ApiKeyEventSink } from '../model/api-key.event';
import { milliseconds, rule, section, wholeNumber, withDefaults } from './checks';

/**
 * Where events of requests are sent: the table, Nest's logger, nowhere, or a sink of the
 * application.
 */
export type EventTarget = 'table' | 'log' | 'off' | ApiKeyEventSink;

/** Where events are sent. Each field that is omitted keeps its default. */
export interface AuditOptions {
  /**
   * Target of the events of refused requests whose key was checked. `table` writes the events in
   * batches, outside of the requests. `log` logs them at level warn. Default `table`.
   */
  refused?: EventTarget;
  /** Target of the events of accepted requests. `log` logs them at level debug. Default `log`. */
  accepted?: EventTarget;
  /**
   * A sink of the application for events of changes. The table also stores these events, in the
   * transaction of the change. Default null.
   */
  changes?: ApiKeyEventSink | null;
  /**
   * How many events of requests are written per interval at most, 1 to 1,000,000; counted apart for
   * refused and accepted requests. If more arrive, events are dropped and counted, first those that
   * name no stored key. Default 1,000.
   */
  queueSize?: number;
  /** Milliseconds between two writes of these events, 10 to 3,600,000. Default 1,000. */
  flushIntervalMs?: number;
}

/** The section after defaults and checks, frozen. */
export type ResolvedAuditOptions = Readonly<Required<AuditOptions>>;

const DEFAULTS: ResolvedAuditOptions = {
  refused: 'table',
  accepted: 'log',
  changes: null,
  queueSize: 1_000,
  flushIntervalMs: 1_000,
};

const target = rule(
  (value) => value === 'table' || value === 'log' || value === 'off' || isSink(value),
  '"table", "log", "off" or a sink, which is an object with a method record',
);

export const checkAudit = section<AuditOptions>({
  refused: target,
  accepted: target,
  changes: rule(
    (value) => value === null || isSink(value),
    'a sink, which is an object with a method record, or null',
  ),
  queueSize: wholeNumber(1, 1_000_000),
  flushIntervalMs: milliseconds(10, 3_600_000),
});

export function resolveAudit(given?: AuditOptions): ResolvedAuditOptions {
  return withDefaults(DEFAULTS, given);
}

function isSink(value: unknown): boolean {
  return typeof (value as ApiKeyEventSink | null)?.record === 'function';
}
