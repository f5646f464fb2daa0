import type { ApiKey } from './api-key.entity';

/** Hears of each key that was created or changed. This class is an injection token. */
export abstract class WrittenKeys {
  abstract noteWritten(apiKey: ApiKey): void;
}
