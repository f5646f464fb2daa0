import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { ApiKeyEvent, ApiKeyEventSink } from '../model/api-key.event';
import { wordsOf } from '../model/error-words';

interface Emitter {
  emit(name: string, event: ApiKeyEvent): unknown;
}

/**
 * Emits events to listeners in this process, if the application uses `EventEmitter2` of
 * `@nestjs/event-emitter`.
 */
@Injectable()
export class Announcer implements OnModuleInit {
  private readonly logger = new Logger('ApiKeyModule');
  private emitter: Emitter | null = null;

  constructor(private readonly moduleRef: ModuleRef) {}

  onModuleInit(): void {
    this.emitter = this.findEmitter();
  }

  /** Whether the application has an event emitter. */
  get isHeard(): boolean {
    return this.emitter !== null;
  }

  /** Emits an event. If a listener throws an error, the error is logged and not thrown. */
  announce(event: ApiKeyEvent): void {
    try {
      this.emitter?.emit(`api-key.${event.type}`, event);
    } catch (error) {
      this.logger.error(`A listener of api-key.${event.type} failed: ${wordsOf(error)}`);
    }
  }

  private findEmitter(): Emitter | null {
    try {
      const { EventEmitter2 } = require('@nestjs/event-emitter');
      return this.moduleRef.get<Emitter>(EventEmitter2, { strict: false });
    } catch {
      return null;
    }
  }
}

/** Sends events to the sink of the application. Errors of the sink are logged. */
export function forward(sink: ApiKeyEventSink, events: readonly ApiKeyEvent[], logger: Logger): void {
  Promise.resolve()
    .then(() => sink.record(events))
    .catch((error) => logger.error(`The event sink of option "audit" failed: ${wordsOf(error)}`));
}
