import type { Provider } from '@nestjs/common';
import { Database } from '../database/database';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { Announcer } from './announcer';
import { RequestTrail } from './request-trail';
import { Trail } from './trail';

export const AUDIT_PROVIDERS: readonly Provider[] = [
  Announcer,
  {
    provide: Trail,
    inject: [Database],
    useFactory: (database: Database) => new Trail(database),
  },
  {
    provide: RequestTrail,
    inject: [API_KEY_OPTIONS, Trail, Announcer],
    useFactory: ({ audit }: ResolvedApiKeyOptions, trail: Trail, announcer: Announcer) =>
      new RequestTrail(audit, trail, announcer),
  },
];
