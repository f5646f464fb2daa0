import type { Provider } from '@nestjs/common';
import { KeyDigests } from '../credential/digest';
import { KeyForms } from '../credential/key-forms';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { UNPEPPERED } from '../options/pepper';
import { keyFormsOf } from '../options/prefixes';
import { BulkChanges } from './bulk-changes';
import { Disabling } from './disabling';
import { Issuance } from './issuance';
import { KeyChanges } from './key-changes';
import { KeyEdits } from './key-edits';
import { KeyListings } from './key-listings';
import { KeyRules } from './key-rules';
import { OwnerEviction } from './owner-eviction';
import { Revocations } from './revocation';

export const KEYS_PROVIDERS: readonly Provider[] = [
  Revocations,
  Disabling,
  Issuance,
  KeyEdits,
  KeyListings,
  BulkChanges,
  OwnerEviction,
  KeyChanges,
  KeyRules,
  {
    provide: KeyDigests,
    inject: [API_KEY_OPTIONS],
    useFactory: ({ pepper }: ResolvedApiKeyOptions) => new KeyDigests(pepper ?? UNPEPPERED),
  },
  { provide: KeyForms, inject: [API_KEY_OPTIONS], useFactory: keyFormsOf },
];
