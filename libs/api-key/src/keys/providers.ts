import type { Provider } from '@nestjs/common';
import { ChangeTrail } from '../audit/change-trail';
import { KeyDigests } from '../credential/digest';
import { DefaultRates } from '../model/authority';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { UNPEPPERED } from '../options/pepper';
import { BulkChanges } from './bulk-changes';
import { Issuance } from './issuance';
import { KeyChanges } from './key-changes';
import { KeyEdits } from './key-edits';
import { KeyListings } from './key-listings';
import { OwnerEviction } from './owner-eviction';
import { Revocations } from './revocation';

export const KEYS_PROVIDERS: readonly Provider[] = [
  Revocations,
  Issuance,
  KeyEdits,
  KeyListings,
  BulkChanges,
  OwnerEviction,
  {
    provide: KeyChanges,
    inject: [ChangeTrail, DefaultRates, API_KEY_OPTIONS],
    useFactory: (changes: ChangeTrail, { rates }: DefaultRates, { rateLimit }: ResolvedApiKeyOptions) =>
      new KeyChanges(changes, rates, rateLimit.windowSeconds),
  },
  {
    provide: KeyDigests,
    inject: [API_KEY_OPTIONS],
    useFactory: ({ pepper }: ResolvedApiKeyOptions) => new KeyDigests(pepper ?? UNPEPPERED),
  },
];
