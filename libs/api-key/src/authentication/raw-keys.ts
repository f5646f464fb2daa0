import { Injectable } from '@nestjs/common';
import type { ApiKey } from '../model/api-key.entity';
import { KeyUses } from '../usage/key-uses';
import { type InvalidKeyReason, isInvalid, KeyVerifier } from './key-verifier';

export type VerifyResult =
  | { readonly ok: true; readonly apiKey: ApiKey }
  | { readonly ok: false; readonly reason: InvalidKeyReason };

/** Verifies raw keys for applications, outside of guarded routes. */
@Injectable()
export class RawKeys {
  constructor(
    private readonly verifier: KeyVerifier,
    private readonly uses: KeyUses,
  ) {}

  /** See `ApiKeyService.verify`. */
  async verify(key: unknown): Promise<VerifyResult> {
    const found = this.verifier.recall(key) ?? (await this.verifier.verify(key, null));
    return isInvalid(found) ? { ok: false, reason: found.reason } : { ok: true, apiKey: found };
  }

  /** See `ApiKeyService.authenticate`. */
  async authenticate(key: unknown): Promise<ApiKey | null> {
    const found = await this.verify(key);
    if (!found.ok) return null;
    this.noteUse(found.apiKey);
    return found.apiKey;
  }

  /** See `ApiKeyService.noteUse`. */
  noteUse({ id }: ApiKey): void {
    this.uses.note(id);
  }
}
