import { Inject, Injectable } from '@nestjs/common';
import { KeyForms } from '../credential/key-forms';
import type { DeriveFields } from '../database/api-key.row';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedPolicyOptions } from '../options/policy';
import { unusedEnd } from './policy';

/** What the options say of all keys, for changes and listings. */
@Injectable()
export class KeyRules {
  readonly policy: ResolvedPolicyOptions;

  constructor(
    readonly forms: KeyForms,
    @Inject(API_KEY_OPTIONS) { policy }: Pick<ResolvedApiKeyOptions, 'policy'>,
  ) {
    this.policy = policy;
  }

  /** Sets the fields of a stored key that are not columns. */
  readonly derive: DeriveFields = (apiKey) => {
    apiKey.environment = this.forms.environmentOf(apiKey.keyPrefix) ?? null;
    apiKey.endsUnusedAt = unusedEnd(apiKey, this.policy);
  };
}
