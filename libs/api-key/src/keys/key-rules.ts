import { Injectable } from '@nestjs/common';
import { KeyForms } from '../credential/key-forms';
import type { DeriveFields } from '../database/api-key.row';

/** What the options say of all keys, for changes and listings. */
@Injectable()
export class KeyRules {
  constructor(readonly forms: KeyForms) {}

  /** Sets the fields of a stored key that are not columns. */
  readonly derive: DeriveFields = (apiKey) => {
    apiKey.environment = this.forms.environmentOf(apiKey.keyPrefix) ?? null;
  };
}
