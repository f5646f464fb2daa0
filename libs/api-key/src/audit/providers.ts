import type { Provider } from '@nestjs/common';
import { AfterCommit } from './after-commit';
import { Announcer } from './announcer';
import { ChangeTrail } from './change-trail';
import { RequestTrail } from './request-trail';
import { Trail } from './trail';

export const AUDIT_PROVIDERS: readonly Provider[] = [
  Announcer,
  Trail,
  RequestTrail,
  AfterCommit,
  ChangeTrail,
];
