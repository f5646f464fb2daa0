/** Evicts changed keys from the cache of this instance. This class is an injection token. */
export abstract class KeyEviction {
  abstract evict(keyId: string): void;
  /** Evicts all digests without a key, because a key was inserted. */
  abstract evictUnknown(): void;
}
