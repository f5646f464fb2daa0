import type { Provider } from '@nestjs/common';
import { Announcer } from '../audit/announcer';
import { ChangeTrail } from '../audit/change-trail';
import { Trail } from '../audit/trail';
import { API_KEY_DATABASE } from '../database/data-source';
import type { Database } from '../database/database';
import { Verification } from '../lookup/verification';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';

export const KEYS_PROVIDERS: readonly Provider[] = [
  {
    provide: ChangeTrail,
    inject: [API_KEY_DATABASE, Trail, Announcer, API_KEY_OPTIONS, Verification],
    useFactory: (
      database: Database,
      trail: Trail,
      announcer: Announcer,
      { audit }: ResolvedApiKeyOptions,
      verification: Verification,
    ) => new ChangeTrail(database, trail, announcer, audit.changes, (id) => verification.evict(id)),
  },
];
