import type { Provider } from '@nestjs/common';
import type { BootCheck } from './boot-check';
import { BOOT_CHECKS, BootChecks } from './boot-checks';
import { GuardCheck } from './guard-check';
import { HttpsCheck } from './https-check';
import { LimitCheck } from './limit-check';
import { PoolCheck } from './pool-check';
import { PrefixCheck } from './prefix-check';
import { RouteCheck } from './route-check';
import { TableCheck } from './table-check';

const CHECKS = [RouteCheck, GuardCheck, TableCheck, HttpsCheck, PoolCheck, LimitCheck, PrefixCheck];

export const BOOT_PROVIDERS: readonly Provider[] = [
  ...CHECKS,
  { provide: BOOT_CHECKS, inject: CHECKS, useFactory: (...checks: BootCheck[]) => checks },
  BootChecks,
];
